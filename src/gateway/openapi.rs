//! The OpenAPI 3.1 document, made from the handlers' own descriptions.
//!
//! `docs/openapi.json` is a copy that a test keeps equal, so that a change of the API shows in review.
//! The examples beside this file are real answers: a test asks for each of them again.

use std::sync::LazyLock;

use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde_json::{Map, Value};
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};

use super::error::{Class, Problem};
use super::rest::query::Params;
use super::rest::{dto, events, revalidated, status, stream, tokens, transactions};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "RWA Hub",
        description = "Events, tokens and holders of real-world-asset contracts, indexed and proven. \
            Amounts are decimal strings in the smallest unit, addresses EIP-55, hashes lower-case hex. \
            Every error is a problem (RFC 9457) with a stable `code`. JSON-RPC is at `/rpc/{chain_id}`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "status", description = "How the service and each chain stand"),
        (name = "events", description = "What contracts logged, as a list and live"),
        (name = "tokens", description = "Tokens and who holds them"),
    ),
    paths(
        status::status,
        status::chain,
        status::livez,
        status::readyz,
        status::startupz,
        events::list,
        stream::stream,
        tokens::list,
        tokens::one,
        tokens::holders,
        tokens::holdings,
        transactions::one,
        serve,
    ),
    components(schemas(dto::Event, dto::Problem, dto::ParameterFault, dto::Finalized))
)]
struct Document;

/// Answers by operation and content type.
const EXAMPLES: &str = include_str!("openapi_examples.json");

/// What every route under `/api/v1` may answer besides its own.
const COMMON: &[Class] = &[
    Class::InvalidParameter,
    Class::SignInRequired,
    Class::RateLimited,
    Class::Internal,
    Class::Overloaded,
    Class::AnswerTimeout,
];

const PROBLEM_TYPE: &str = "application/problem+json";

/// The document as pretty JSON, with a line end.
pub fn document() -> String {
    document_with(&serde_json::from_str(EXAMPLES).unwrap_or_default())
}

/// The document with these examples.
pub(in crate::gateway) fn document_with(examples: &Map<String, Value>) -> String {
    let mut document = Document::openapi();
    for (path, item) in &mut document.paths.paths {
        let Some(operation) = item.get.as_mut() else { continue };
        if path.starts_with("/api/v1/") {
            COMMON.iter().for_each(|class| add_problem(operation, *class));
        }
        let id = operation.operation_id.clone().unwrap_or_default();
        if let Some(Value::Object(examples)) = examples.get(&id) {
            add_examples(operation, examples);
        }
    }
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

fn add_problem(operation: &mut Operation, class: Class) {
    let row = class.row();
    let response = ResponseBuilder::new().description(format!("`{}`: {}", row.code, row.title_en));
    let schema = Ref::from_schema_name("Problem");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let response = response.content(PROBLEM_TYPE, content).build();
    let status = row.status.as_str().to_owned();
    operation.responses.responses.entry(status).or_insert(RefOr::T(response));
}

fn add_examples(operation: &mut Operation, examples: &Map<String, Value>) {
    let Some(RefOr::T(response)) = operation.responses.responses.get_mut("200") else { return };
    for (content_type, example) in examples {
        if let Some(RefOr::T(content)) = response.content.get_mut(content_type) {
            content.example = Some(example.clone());
        }
    }
}

static SERVED: LazyLock<String> = LazyLock::new(document);

/// This document.
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    operation_id = "getOpenApi",
    tag = "status",
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
pub(in crate::gateway) async fn serve(headers: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    Params::of(&uri).finish()?;
    let bytes = SERVED.clone().into_bytes();
    Ok(revalidated(&headers, "application/json", bytes, "public, max-age=300"))
}
