//! JSON-RPC 2.0 towards clients: form, policy, forwarding, subscriptions. No HTTP here.
//!
//! A result, an error's code, message and data pass through untouched; ids are echoed byte for byte.

mod believe;

mod cache;

mod feed;

mod filters;

mod get_logs;

mod meter;

mod method;

pub mod policy;

mod proof;

pub mod reply;

pub mod request;

mod send;

mod serve;

pub mod session;

mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::Instant;

use self::cache::Answers;
use self::feed::Feed;
use self::filters::{FilterCall, Filters};
use self::meter::Meter;
use self::policy::{Policy, Treatment};
use self::proof::Proofs;
use self::reply::{Fault, Reply};
use self::request::{Body, Request};
use self::view::{Tip, View};
use super::error::{ErrorClass, RpcError};
use super::pool::{CallOptions, Pool};
use super::wire::Call;
use crate::types::chain::ChainId;

/// Items of one batch that are under way at once.
const BATCH_PARALLEL: usize = 16;

/// What one client may ask for at once.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest request body, in bytes.
    pub body_bytes_max: usize,
    /// Most requests of one batch.
    pub batch_items_max: usize,
    /// Deepest nesting of a request.
    pub depth_max: usize,
    /// Requests of one socket under way at once; more wait in the socket.
    pub socket_requests_max: usize,
    /// Subscriptions of one socket.
    pub socket_subscriptions_max: usize,
    /// Messages a socket may lag behind before it is closed with its cursor.
    pub socket_backlog_max: usize,
    /// Memory for answers that stay true, in bytes.
    pub cache_bytes_max: u64,
    /// Ranges of logs up to this many blocks are proven by receipts roots before they are given out, and
    /// so are a block's logs and receipts; 0 takes the providers' word.
    pub verify_blocks_max: u64,
    /// Time for one request.
    pub timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 5 * 1024 * 1024,
            batch_items_max: 1_000,
            depth_max: 64,
            socket_requests_max: 64,
            socket_subscriptions_max: 256,
            socket_backlog_max: 1_024,
            cache_bytes_max: 64 * 1024 * 1024,
            verify_blocks_max: 0,
            timeout: Duration::from_secs(30),
        }
    }
}

/// The door to one chain.
#[derive(Debug)]
pub struct Proxy {
    pool: Arc<Pool>,
    policy: Policy,
    limits: Limits,
    /// The one limit that a reload may change.
    batch_items_max: AtomicUsize,
    feed: Arc<Feed>,
    view: View,
    answers: Arc<Answers>,
    filters: Filters,
    /// `None` where the providers' word is taken.
    proofs: Option<Arc<Proofs>>,
    meter: Meter,
}

/// The doors, by chain id.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    by_chain: Arc<BTreeMap<ChainId, Arc<Proxy>>>,
}

impl Proxies {
    /// One door per chain.
    pub fn new(proxies: impl IntoIterator<Item = Proxy>) -> Self {
        let by_chain = proxies.into_iter().map(|p| (p.pool.chain_id(), Arc::new(p))).collect();
        Self { by_chain: Arc::new(by_chain) }
    }

    /// The door to `chain`, if it is served.
    pub fn get(&self, chain: ChainId) -> Option<&Arc<Proxy>> {
        self.by_chain.get(&chain)
    }

    /// The chains served, ascending.
    pub fn chains(&self) -> impl Iterator<Item = ChainId> {
        self.by_chain.keys().copied()
    }
}

impl Proxy {
    /// A door over `pool`.
    pub fn new(pool: Arc<Pool>, policy: Policy, limits: Limits) -> Self {
        let proofs = (limits.verify_blocks_max > 0).then(|| Arc::new(Proofs::new(pool.clone())));
        let feed = Feed::new(pool.clone(), limits.socket_backlog_max, proofs.clone());
        let feed = Arc::new(feed);
        let answers = Arc::new(Answers::new(limits.cache_bytes_max));
        let view = View::new(pool.clone(), feed.clone(), answers.clone());
        let meter = Meter::new(pool.chain_id().0);
        let filters = Filters::default();
        let batch_items_max = AtomicUsize::new(limits.batch_items_max);
        Self { pool, policy, limits, batch_items_max, feed, view, answers, filters, proofs, meter }
    }

    /// The limits that hold here.
    pub fn limits(&self) -> Limits {
        let batch_items_max = self.batch_items_max.load(Ordering::Relaxed);
        Limits { batch_items_max, ..self.limits.clone() }
    }

    /// Changes how many requests one batch may hold, from the next one on.
    pub fn set_batch_items_max(&self, most: usize) {
        self.batch_items_max.store(most, Ordering::Relaxed);
    }

    /// Answers one body; nothing when it holds notifications only.
    pub async fn answer(&self, body: &Bytes) -> Option<Reply> {
        match request::parse(body, &self.limits()) {
            Body::Broken(fault) => Some(Reply::fault(b"null", &fault)),
            Body::One(item) => {
                let tip = self.tip_for(item.iter().map(|r| r.method.as_str())).await;
                self.item(item, tip).await
            }
            Body::Batch(items) => self.batch(items).await,
        }
    }

    async fn batch(&self, items: Vec<Result<Request, Fault>>) -> Option<Reply> {
        let writes = |item: &Result<Request, Fault>| {
            item.as_ref().is_ok_and(|r| {
                matches!(self.policy.treat(&r.method), Treatment::Write | Treatment::SendRaw)
            })
        };
        // Transactions of one sender must arrive in the order they were written.
        let parallel = if items.iter().any(writes) { 1 } else { BATCH_PARALLEL };
        let methods = items.iter().flatten().map(|r| r.method.as_str());
        let tip = if parallel > 1 { self.tip_for(methods).await } else { None };
        let replies: Vec<_> = futures_util::stream::iter(items)
            .map(|item| self.item(item, tip))
            .buffered(parallel)
            .filter_map(std::future::ready)
            .collect()
            .await;
        if replies.is_empty() { None } else { Some(Reply::batch(replies)) }
    }

    async fn item(&self, item: Result<Request, Fault>, tip: Option<Tip>) -> Option<Reply> {
        let request = match item {
            Ok(request) => request,
            Err(fault) => return Some(Reply::fault(b"null", &fault)),
        };
        // A notification asks for nothing, so nothing is sent to a provider for it.
        let id = request.id.clone()?;
        let (started, method) = (Instant::now(), meter::label(&request.method));
        let outcome = self.dispatch(request, tip).await;
        self.meter.call(method, started.elapsed(), &outcome);
        Some(match outcome {
            Ok(result) => Reply::result(&id, result),
            Err(Refusal::Node(error)) => Reply::error(&id, &error),
            Err(Refusal::Ours(fault)) => Reply::fault(&id, &fault),
        })
    }

    async fn dispatch(&self, request: Request, tip: Option<Tip>) -> Result<Bytes, Refusal> {
        match self.policy.treat(&request.method) {
            Treatment::Denied => Err(Fault::method(&request.method).into()),
            Treatment::ChainId => Ok(format!("\"{:#x}\"", self.pool.chain_id().0).into()),
            Treatment::Subscribe | Treatment::Unsubscribe => {
                let message = "notifications not supported over HTTP, use a WebSocket".into();
                Err(Fault { id: None, code: -32601, message }.into())
            }
            Treatment::Forward if let Some(call) = FilterCall::of(&request.method) => {
                Box::pin(self.filter_call(call, request)).await
            }
            Treatment::Forward => {
                let reading = self.read(request, tip);
                // Waiting for an equal question counts as well.
                match tokio::time::timeout(self.limits.timeout, reading).await {
                    Ok(outcome) => outcome,
                    Err(_) => {
                        Err(RpcError::of_pool(ErrorClass::Timeout, "no answer in time").into())
                    }
                }
            }
            Treatment::SendRaw => Box::pin(self.send_raw(request)).await,
            Treatment::Write => {
                let outcome = self.forward(request, true).await;
                self.view.note_write();
                outcome
            }
        }
    }

    async fn forward(&self, request: Request, write: bool) -> Result<Bytes, Refusal> {
        let hedge = !write;
        // What speaks of the head comes from whoever is at the head that clients know.
        let min_head = (!write && method::subject(&request.method) != method::Subject::Unknown)
            .then(|| self.view.floor())
            .flatten();
        let timeout = self.limits.timeout;
        let options = CallOptions { timeout, write, hedge, min_head, ..Default::default() };
        let call = Call::new(request.method, request.params);
        match Box::pin(self.pool.call_with(&call, &options)).await {
            Err(error) if min_head.is_some() && serve::is_of_nobody(&error) => {
                let anybody = CallOptions { min_head: None, ..options };
                Ok(Box::pin(self.pool.call_with(&call, &anybody)).await?.result)
            }
            outcome => Ok(outcome?.result),
        }
    }
}

/// Why a request got no result.
#[derive(Debug)]
enum Refusal {
    Node(RpcError),
    Ours(Fault),
}

impl From<RpcError> for Refusal {
    fn from(error: RpcError) -> Self {
        Self::Node(error)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Ours(fault)
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod stream_tests;

#[cfg(test)]
mod read_tests;

#[cfg(test)]
mod send_tests;
