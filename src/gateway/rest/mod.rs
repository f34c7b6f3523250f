//! The REST handlers under `/api/v1` and `/auth`, and the two probes.
//!
//! Which path leads to which, and who may use it, is in `routes`; what is changed goes through `auth`.

pub(in crate::gateway) mod dto;

pub(in crate::gateway) mod events;

pub(in crate::gateway) mod tokens;

pub(in crate::gateway) mod transactions;

pub(in crate::gateway) mod status;

pub(in crate::gateway) mod stream;

pub(in crate::gateway) mod mutation;

pub(in crate::gateway) mod sign_in;

pub(in crate::gateway) mod people;

pub(in crate::gateway) mod trail;

mod tail;

pub(in crate::gateway) mod kept;

mod export;

pub(in crate::gateway) mod query;

use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::{Semaphore, watch};

use self::tail::Tail;
use super::auth::Auth;
use super::error::{Class, Problem};
use super::limits::{COST_READ, Caller, Limiter};
use super::live::ChainLive;
use crate::store::cache::Answers;
use crate::store::read::Queries;
use crate::telemetry::metrics::{self, Gauge, Metric};
use crate::types::chain::ChainId;

/// Requests answered at one time. A store answers hundreds at once only by queueing them; beyond
/// this a caller is better off knowing.
const RUNNING_MAX: usize = 256;
/// For an answer to begin; a query that takes longer holds a reader that others wait for.
pub(in crate::gateway) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What every REST handler can reach.
#[derive(Debug, Clone)]
pub(in crate::gateway) struct Api(Arc<ApiParts>);

#[derive(Debug)]
pub(in crate::gateway) struct ApiParts {
    pub(in crate::gateway) queries: Arc<dyn Queries>,
    pub(in crate::gateway) feed: watch::Receiver<u64>,
    pub(in crate::gateway) live: Arc<dyn ChainLive>,
    pub(in crate::gateway) version: String,
    pub(in crate::gateway) auth: Auth,
    pub(in crate::gateway) public_read: bool,
    pub(in crate::gateway) trusted_proxies: Vec<String>,
    pub(in crate::gateway) max_body_bytes: usize,
    tail: Tail,
    /// One permit per open event stream.
    pub(in crate::gateway) streams: Arc<Semaphore>,
    pub(in crate::gateway) limiter: Limiter,
    /// One permit per request that is being answered.
    pub(in crate::gateway) running: Semaphore,
    pub(in crate::gateway) running_now: Gauge,
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
    pub(in crate::gateway) fn new(parts: super::Parts) -> Self {
        let super::Parts { queries, feed, live, config, version, auth, .. } = parts;
        metrics::gauge(Metric::GatewayRunningMax, &[]).set(RUNNING_MAX as u64);
        Self(Arc::new(ApiParts {
            tail: Tail::new(Arc::clone(&queries)),
            queries,
            feed,
            live,
            version,
            auth,
            public_read: config.public_read,
            trusted_proxies: config.trusted_proxies,
            max_body_bytes: config.max_body_bytes,
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
