//! Hot documents: whole answers about tokens and holders, kept for all gateways with the feed's number
//! that they are true at.
//!
//! Only with a cache that processes share; one process reads its own store quicker than it could ask.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Api;
use super::revalidated;
use crate::gateway::error::{Class, Problem};
use crate::store::cache::Answers;

/// Largest answer kept; a page of a hundred holders is 30 KB.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Longest life. The feed's number tells of new blocks, but not of a token's name that was just learnt.
const TTL: Duration = Duration::from_secs(10);
const JSON: &str = "application/json";

/// The routes whose answers are asked for again and again.
const HOT: [&str; 4] = [
    "/api/v1/tokens",
    "/api/v1/tokens/{chain_id}/{address}",
    "/api/v1/tokens/{chain_id}/{address}/holders",
    "/api/v1/holders/{address}",
];

/// Answers hot routes from what is kept, else asks and keeps.
pub(in crate::gateway) async fn kept(
    State(api): State<Api>,
    request: Request,
    next: Next,
) -> Response {
    let matched = request.extensions().get::<MatchedPath>();
    if !matched.is_some_and(|path| HOT.contains(&path.as_str())) {
        return next.run(request).await;
    }
    let Some(answers) = api.kept.get().map(Arc::clone) else { return next.run(request).await };
    // Before the question is asked: what is read later is at least as new.
    let position = *api.feed.borrow();
    let key = key(&request);
    if let Some(body) = answers.get(&key, position).await {
        return revalidated(request.headers(), JSON, body.into(), "no-cache");
    }
    let response = next.run(request).await;
    keep(answers, key, position, response).await
}

fn key(request: &Request) -> Vec<u8> {
    let uri = request.uri();
    let path_and_query = uri.path_and_query().map_or(uri.path(), |whole| whole.as_str());
    format!("rest:{path_and_query}").into_bytes()
}

async fn keep(
    answers: Arc<dyn Answers>,
    key: Vec<u8>,
    position: u64,
    response: Response,
) -> Response {
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == JSON);
    if response.status() != StatusCode::OK || !is_json {
        return response;
    }
    let (head, body) = response.into_parts();
    // The body is whole in memory already; it has a length of its own limits.
    let body: Bytes = match to_bytes(body, usize::MAX).await {
        Ok(body) => body,
        Err(_) => {
            let detail = "the answer broke off";
            return Problem::new(Class::Internal, detail).into_response();
        }
    };
    if body.len() <= ANSWER_BYTES_MAX {
        answers.put(&key, position, body.clone(), TTL).await;
    }
    Response::from_parts(head, body.into())
}
