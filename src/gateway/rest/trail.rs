//! The audit trail, read: what was changed, by whom, and a signed statement of its end.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde_json::{Value, json};

use super::query::{LIMIT_DEFAULT, LIMIT_MAX, Params, limit, number};
use super::{Api, no_store};
use crate::gateway::auth::AuthError;
use crate::gateway::auth::secret::hex;
use crate::gateway::error::Problem;

/// Entries of the audit trail, oldest first.
#[utoipa::path(
    get, path = "/api/v1/audit", operation_id = "listAudit", tag = "audit",
    security(("bearer" = [])),
    params(
        ("after" = Option<u64>, Query, description = "Entries above this number", maximum = 9007199254740991i64),
        ("limit" = Option<u64>, Query, description = "Items of a page", minimum = 1, maximum = 1000)
    ),
    responses((status = 200, description = "A page of entries", body = Object))
)]
pub(in crate::gateway) async fn entries(
    State(api): State<Api>,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut params = Params::of(&uri);
    let after = params.take("after", number);
    let most = params.take("limit", |text| limit(text, LIMIT_MAX));
    params.finish()?;
    let most = most.unwrap_or(LIMIT_DEFAULT);
    let found = api.auth.records().audit(after.unwrap_or(0), most).await;
    let found = found.map_err(AuthError::from)?;
    let next = found.last().filter(|_| found.len() == most).map(|entry| entry.seq);
    let items: Vec<Value> = found
        .iter()
        .map(|entry| {
            let body: Value = serde_json::from_str(&entry.body).unwrap_or_default();
            json!({ "seq": entry.seq, "at_ms": entry.at_ms, "hash": hex(&entry.hash), "entry": body })
        })
        .collect();
    Ok(no_store(&json!({ "items": items, "next_after": next })))
}

/// A signed statement of how far the trail goes: keep it elsewhere, and no later export can leave out
/// or change what was there.
#[utoipa::path(
    get, path = "/api/v1/audit/checkpoint", operation_id = "getAuditCheckpoint", tag = "audit",
    security(("bearer" = [])),
    responses((status = 200, description = "The checkpoint", body = Object))
)]
pub(in crate::gateway) async fn checkpoint(
    State(api): State<Api>,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::of(&uri).finish()?;
    Ok(no_store(&api.auth.checkpoint().await?))
}
