//! The OpenAPI 3.1 document, made from the handlers' own descriptions.
//!
//! `docs/openapi.json` is a copy that a test keeps equal, so that a change of the API shows in review.

use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use utoipa::OpenApi;

use super::error::Problem;
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
        events::list,
        stream::stream,
        tokens::list,
        tokens::one,
        tokens::holders,
        tokens::holdings,
        transactions::one,
    ),
    components(schemas(dto::Problem, dto::ParameterFault, dto::Finalized))
)]
struct Document;

/// The document as pretty JSON, with a line end.
pub fn document() -> String {
    let mut text = Document::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// `GET /api/v1/openapi.json`
pub(in crate::gateway) async fn serve(headers: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    Params::of(&uri).finish()?;
    let bytes = document().into_bytes();
    Ok(revalidated(&headers, "application/json", bytes, "public, max-age=300"))
}
