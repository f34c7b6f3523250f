//! The REST routes under `/api/v1` and the two probes: which path is answered by which function.
//!
//! Read only; nothing here changes a chain, a store or a session.

pub(in crate::gateway) mod dto;

pub(in crate::gateway) mod events;

pub(in crate::gateway) mod tokens;

pub(in crate::gateway) mod transactions;

pub(in crate::gateway) mod status;

pub(in crate::gateway) mod stream;

mod tail;

mod kept;

mod export;

pub(in crate::gateway) mod query;

use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use self::tail::Tail;
use super::error::{Class, Problem};
use super::limits::{COST_READ, Caller, Limiter};
use super::live::ChainLive;
use super::openapi;
use crate::store::cache::Answers;
use crate::store::read::Queries;
use crate::telemetry::metrics::{self, Gauge, Metric};
use crate::types::chain::ChainId;

/// Requests answered at one time. A store answers hundreds at once only by queueing them; beyond
/// this a caller is better off knowing.
const RUNNING_MAX: usize = 256;
/// For an answer to begin; a query that takes longer holds a reader that others wait for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What every REST handler can reach.
#[derive(Debug, Clone)]
pub(in crate::gateway) struct Api(Arc<ApiParts>);

#[derive(Debug)]
pub(in crate::gateway) struct ApiParts {
    pub(in crate::gateway) queries: Arc<dyn Queries>,
    pub(in crate::gateway) feed: watch::Receiver<u64>,
    pub(in crate::gateway) live: Arc<dyn ChainLive>,
    pub(in crate::gateway) version: String,
    tail: Tail,
    /// One permit per open event stream.
    pub(in crate::gateway) streams: Arc<Semaphore>,
    pub(in crate::gateway) limiter: Limiter,
    /// One permit per request that is being answered.
    pub(in crate::gateway) running: Semaphore,
    running_now: Gauge,
    /// One permit per running export.
    pub(in crate::gateway) exports: Arc<Semaphore>,
    /// Chains seen in the store, so that a filter on one costs no query.
    chains: RwLock<Vec<ChainId>>,
    /// Where hot documents are kept for all gateways.
    kept: OnceLock<Arc<dyn Answers>>,
}

impl std::ops::Deref for Api {
    type Target = ApiParts;

    fn deref(&self) -> &ApiParts {
        &self.0
    }
}

impl Api {
    pub(in crate::gateway) fn new(
        queries: Arc<dyn Queries>,
        feed: watch::Receiver<u64>,
        live: Arc<dyn ChainLive>,
        version: String,
    ) -> Self {
        metrics::gauge(Metric::GatewayRunningMax, &[]).set(RUNNING_MAX as u64);
        Self(Arc::new(ApiParts {
            tail: Tail::new(Arc::clone(&queries)),
            queries,
            feed,
            live,
            version,
            streams: Arc::new(Semaphore::new(stream::STREAMS_MAX)),
            limiter: Limiter::default(),
            running: Semaphore::new(RUNNING_MAX),
            running_now: metrics::gauge(Metric::GatewayRunning, &[]),
            exports: Arc::new(Semaphore::new(export::EXPORTS_MAX)),
            chains: RwLock::default(),
            kept: OnceLock::new(),
        }))
    }

    /// Keeps hot documents in a cache that processes share.
    pub(in crate::gateway) fn keep_in(&self, answers: Arc<dyn Answers>) {
        self.kept.set(answers).ok();
    }

    /// The problem of a chain that is not in the index, naming those that are.
    async fn require_chain(&self, chain: ChainId) -> Result<(), Problem> {
        let known = |list: &Vec<ChainId>| list.contains(&chain);
        if self.chains.read().is_ok_and(|list| known(&list)) {
            return Ok(());
        }
        let list: Vec<_> = self.queries.chains().await?.iter().map(|index| index.chain).collect();
        let found = known(&list);
        let answer = if found { Ok(()) } else { Err(chain_unknown(chain, &list)) };
        if let Ok(mut kept) = self.chains.write() {
            *kept = list;
        }
        answer
    }
}

impl Api {
    /// Takes what a costly request weighs beyond a plain read.
    fn charge_extra(&self, caller: Caller, cost: u32) -> Result<(), Problem> {
        let standing = self.limiter.charge(caller, cost.saturating_sub(COST_READ));
        standing.and_then(|standing| standing.problem()).map_or(Ok(()), Err)
    }
}

/// The problem of a chain that is not among those indexed.
fn chain_unknown(chain: ChainId, known: &[ChainId]) -> Problem {
    let names: Vec<_> = known.iter().map(ChainId::to_string).collect();
    let names = if names.is_empty() { "none yet".to_owned() } else { names.join(", ") };
    Problem::new(
        Class::ChainUnknown,
        format!("chain {chain} is not indexed here; indexed: {names}"),
    )
}

/// The data routes. The caller adds the edge (limits, headers) and the probes.
pub(in crate::gateway) fn data(api: Api) -> Router {
    let hot = Router::new()
        .route("/api/v1/tokens", get(tokens::list))
        .route("/api/v1/tokens/{chain_id}/{address}", get(tokens::one))
        .route("/api/v1/tokens/{chain_id}/{address}/holders", get(tokens::holders))
        .route("/api/v1/holders/{address}", get(tokens::holdings))
        .route_layer(from_fn_with_state(api.clone(), kept::kept));
    Router::new()
        .merge(hot)
        .route("/api/v1/status", get(status::status))
        .route("/api/v1/chains/{chain_id}", get(status::chain))
        .route("/api/v1/events", get(events::list))
        .route("/api/v1/events/stream", get(stream::stream))
        .route("/api/v1/transactions/{hash}", get(transactions::one))
        .route_layer(from_fn_with_state(api.clone(), admit))
        .with_state(api)
}

/// Lets a request in if its caller has allowance left and the service has room, and bounds its time.
async fn admit(State(api): State<Api>, caller: Caller, request: Request, next: Next) -> Response {
    let standing = api.limiter.charge(caller, COST_READ);
    let refused = standing.and_then(|standing| standing.problem());
    let _counted = api.running_now.enter();
    let mut response = match (refused, api.running.try_acquire()) {
        (Some(problem), _) => problem.into_response(),
        (None, Err(_)) => Problem::new(Class::Overloaded, "too many requests are being answered")
            .retry_after(stream::FULL_RETRY_AFTER)
            .into_response(),
        (None, Ok(_permit)) => match timeout(ANSWER_TIMEOUT, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Problem::new(Class::AnswerTimeout, "ask for less: a narrower range or page")
                .into_response(),
        },
    };
    if let Some(standing) = standing {
        standing.write(response.headers_mut());
    }
    response
}

/// Routes that are open even when the data is not.
pub(in crate::gateway) fn open(api: Api) -> Router {
    Router::new()
        .route("/api/v1/openapi.json", get(openapi::serve))
        .route("/livez", get(status::livez))
        .route("/readyz", get(status::readyz))
        .route("/startupz", get(status::startupz))
        .with_state(api)
}

/// Refuses everything while public reading is off: sign-in is not part of this version yet.
pub(in crate::gateway) async fn refuse_anonymous(_: Request, _: Next) -> Response {
    let detail = "this service does not show its data without sign-in ([gateway] public_read)";
    Problem::new(Class::SignInRequired, detail).into_response()
}

/// A data answer with a validator: a caller that already has it gets 304 and no body.
fn json<T: Serialize>(headers: &HeaderMap, body: &T) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => revalidated(headers, "application/json", bytes, "no-cache"),
        Err(error) => {
            log::error!(target: "rwahub::gateway", "an answer cannot be written: {error}");
            Problem::new(Class::Internal, "the log of the service has the cause").into_response()
        }
    }
}

/// `bytes` under a weak ETag (weak: compression may change the bytes on the way).
pub(in crate::gateway) fn revalidated(
    headers: &HeaderMap,
    content_type: &'static str,
    bytes: Vec<u8>,
    cache_control: &'static str,
) -> Response {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    hasher.write(&bytes);
    let tag = format!("W/\"{:016x}-{:x}\"", hasher.finish(), bytes.len());
    let matches = headers.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        value.to_str().is_ok_and(|list| list.split(',').any(|one| same_tag(one.trim(), &tag)))
    });
    let mut response = if matches {
        axum::http::StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, content_type)], bytes).into_response()
    };
    let out = response.headers_mut();
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache_control));
    if let Ok(value) = HeaderValue::try_from(tag) {
        out.insert(header::ETAG, value);
    }
    response
}

/// Weak comparison of RFC 9110, 8.8.3.2.
fn same_tag(given: &str, ours: &str) -> bool {
    given == "*" || given.trim_start_matches("W/") == ours.trim_start_matches("W/")
}

/// A live fact: never kept by anyone.
fn no_store<T: Serialize>(body: &T) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response()
}
