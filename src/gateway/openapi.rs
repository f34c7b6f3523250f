//! The OpenAPI 3.1 document, made from the handlers' own descriptions.
//!
//! `docs/openapi.json` is a copy that a test keeps equal, so that a change of the API shows in review.
//! The examples beside this file are real answers: a test asks for each of them again.

use std::sync::LazyLock;

use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde_json::{Map, Value};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use super::error::{Class, Problem};
use super::rest::query::Params;
use super::rest::{
    dto, events, people, revalidated, sign_in, status, stream, tokens, trail, transactions,
};

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
        (name = "auth", description = "Signing in with a wallet (EIP-4361), and sessions"),
        (name = "people", description = "Users, their grants, and API keys"),
        (name = "audit", description = "What was changed, by whom"),
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
        sign_in::jwks,
        sign_in::nonce,
        sign_in::verify,
        sign_in::refresh,
        sign_in::logout,
        sign_in::me,
        sign_in::sessions,
        sign_in::end_session,
        people::keys,
        people::add_key,
        people::end_key,
        people::users,
        people::add_user,
        people::user,
        people::grant,
        people::disable,
        people::sessions,
        trail::entries,
        trail::checkpoint,
    ),
    modifiers(&Bearer),
    components(schemas(dto::Event, dto::Problem, dto::ParameterFault, dto::Finalized))
)]
struct Document;

/// How a caller shows who it is.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An access token, or an API key (`rwa_…`)."));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme.build()));
    }
}

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

/// What a route that is not for everybody may answer besides.
const SIGNED_IN: &[Class] =
    &[Class::Forbidden, Class::NotFound, Class::Changed, Class::Unprocessable];

/// What a route that reads a body may answer besides.
const WITH_BODY: &[Class] = &[
    Class::InvalidBody,
    Class::Forbidden,
    Class::BodyTooLarge,
    Class::RequestTimeout,
    Class::Changed,
];

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.delete].into_iter().flatten()
}

const PROBLEM_TYPE: &str = "application/problem+json";

/// The document as pretty JSON, with a line end.
pub fn document() -> String {
    document_with(&serde_json::from_str(EXAMPLES).unwrap_or_default())
}

/// The document with these examples.
pub(in crate::gateway) fn document_with(examples: &Map<String, Value>) -> String {
    let mut document = Document::openapi();
    for (path, item) in &mut document.paths.paths {
        let judged = path.starts_with("/api/v1/") || path.starts_with("/auth/");
        for operation in operations(item) {
            if judged {
                COMMON.iter().for_each(|class| add_problem(operation, *class));
            }
            if operation.security.is_some() {
                SIGNED_IN.iter().for_each(|class| add_problem(operation, *class));
            }
            if operation.request_body.is_some() {
                WITH_BODY.iter().for_each(|class| add_problem(operation, *class));
            }
            let id = operation.operation_id.clone().unwrap_or_default();
            if let Some(Value::Object(examples)) = examples.get(&id) {
                add_examples(operation, examples);
            }
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
