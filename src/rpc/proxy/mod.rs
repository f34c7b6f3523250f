//! JSON-RPC 2.0 towards clients: form, policy, forwarding, subscriptions. No HTTP here.
//!
//! A result, an error's code, message and data pass through untouched; ids are echoed byte for byte.

mod believe;

mod cache;

mod feed;

mod filters;

mod get_logs;

pub mod index;

mod log_flow;

mod meter;

mod method;

mod one_block;

pub mod payload;

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
pub use self::cache::SecondLevel;
use self::feed::Feed;
use self::filters::{FilterCall, Filters};
use self::index::LogIndex;
use self::meter::Meter;
use self::payload::Found;
use self::policy::{Ask, Policy, Treatment, Verify};
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
    /// Which logs and receipts are proven by receipts roots before they are given out, where the client
    /// does not say.
    pub verify: Verify,
    /// Longest range of logs that is proven; 0 takes the providers' word for everything.
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
            verify: Verify::All,
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
    /// `None` where nothing is ever proven.
    proofs: Option<Arc<Proofs>>,
    index: Option<Arc<dyn LogIndex>>,
    meter: Meter,
}

/// What holds for one request or all of a batch.
#[derive(Debug, Clone, Copy, Default)]
struct Aim {
    /// The head that tags mean.
    tip: Option<Tip>,
    /// What the client asked for, if it said so.
    verify: Option<Verify>,
}

impl From<Option<Tip>> for Aim {
    fn from(tip: Option<Tip>) -> Self {
        Self { tip, verify: None }
    }
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
        // Subscriptions are pushed to everyone alike, so what holds for them is the configuration's word.
        let pushed = proofs.clone().filter(|_| limits.verify != Verify::Off);
        let feed = Feed::new(pool.clone(), limits.socket_backlog_max, pushed);
        let feed = Arc::new(feed);
        let answers = Arc::new(Answers::new(limits.cache_bytes_max));
        let view = View::new(pool.clone(), feed.clone(), answers.clone());
        let meter = Meter::new(pool.chain_id().0);
        let filters = Filters::default();
        let (index, batch_items_max) = (None, AtomicUsize::new(limits.batch_items_max));
        Self {
            pool,
            policy,
            limits,
            batch_items_max,
            feed,
            view,
            answers,
            filters,
            proofs,
            index,
            meter,
        }
    }

    /// The same door with an index that answers for the contracts it covers.
    #[must_use]
    pub fn with_index(mut self, index: Arc<dyn LogIndex>) -> Self {
        self.index = Some(index);
        self
    }

    /// Puts a cache that processes share behind this door's own.
    pub fn back_with(&self, second: Arc<dyn SecondLevel>) {
        self.answers.back_with(second);
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
    pub async fn answer(self: &Arc<Self>, body: &Bytes) -> Option<Reply> {
        self.answer_as(body, Ask::default()).await
    }

    /// The same for a client with wishes of its own.
    pub async fn answer_as(self: &Arc<Self>, body: &Bytes, ask: Ask) -> Option<Reply> {
        match request::parse(body, &self.limits()) {
            Body::Broken(fault) => Some(Reply::fault(b"null", &fault)),
            Body::One(item) => {
                let tip = self.tip_for(item.iter().map(|r| r.method.as_str())).await;
                self.item(item, Aim { tip, verify: ask.verify }).await
            }
            Body::Batch(items) if ask.one_block => self.at_one_block(items, ask).await,
            Body::Batch(items) => self.batch_as(items, ask).await,
        }
    }

    async fn batch(self: &Arc<Self>, items: Vec<Result<Request, Fault>>) -> Option<Reply> {
        self.batch_as(items, Ask::default()).await
    }

    async fn batch_as(
        self: &Arc<Self>,
        items: Vec<Result<Request, Fault>>,
        ask: Ask,
    ) -> Option<Reply> {
        let writes = |item: &Result<Request, Fault>| {
            item.as_ref().is_ok_and(|r| {
                matches!(self.policy.treat(&r.method), Treatment::Write | Treatment::SendRaw)
            })
        };
        // Transactions of one sender must arrive in the order they were written.
        let parallel = if items.iter().any(writes) { 1 } else { BATCH_PARALLEL };
        let methods = items.iter().flatten().map(|r| r.method.as_str());
        let tip = if parallel > 1 { self.tip_for(methods).await } else { None };
        self.each(items, Aim { tip, verify: ask.verify }, parallel).await
    }

    async fn each(
        self: &Arc<Self>,
        items: Vec<Result<Request, Fault>>,
        aim: Aim,
        parallel: usize,
    ) -> Option<Reply> {
        let replies: Vec<_> = futures_util::stream::iter(items)
            .map(|item| self.item(item, aim))
            .buffered(parallel)
            .filter_map(std::future::ready)
            .collect()
            .await;
        if replies.is_empty() { None } else { Some(Reply::batch(replies)) }
    }

    async fn item(
        self: &Arc<Self>,
        item: Result<Request, Fault>,
        aim: impl Into<Aim>,
    ) -> Option<Reply> {
        let request = match item {
            Ok(request) => request,
            Err(fault) => return Some(Reply::fault(b"null", &fault)),
        };
        // A notification asks for nothing, so nothing is sent to a provider for it.
        let id = request.id.clone()?;
        let (started, method) = (Instant::now(), meter::label(&request.method));
        let outcome = self.dispatch(request, aim.into()).await;
        self.meter.call(method, started.elapsed(), &outcome);
        Some(match outcome {
            Ok(found) => Reply::found(&id, found),
            Err(Refusal::Node(error)) => Reply::error(&id, &error),
            Err(Refusal::Ours(fault)) => Reply::fault(&id, &fault),
        })
    }

    async fn dispatch(self: &Arc<Self>, request: Request, aim: Aim) -> Result<Found, Refusal> {
        match self.policy.treat(&request.method) {
            Treatment::Denied => Err(Fault::method(&request.method).into()),
            Treatment::ChainId => Ok(Found::hub(format!("\"{:#x}\"", self.pool.chain_id().0))),
            Treatment::Subscribe | Treatment::Unsubscribe => {
                let message = "notifications not supported over HTTP, use a WebSocket".into();
                Err(Fault { id: None, code: -32601, message }.into())
            }
            Treatment::Forward if let Some(call) = FilterCall::of(&request.method) => {
                Box::pin(self.filter_call(call, request)).await
            }
            Treatment::Forward => {
                let reading = self.read(request, aim);
                // Waiting for an equal question counts as well; an answer that has begun may take longer.
                match tokio::time::timeout(self.limits.timeout, reading).await {
                    Ok(outcome) => outcome,
                    Err(_) => {
                        Err(RpcError::of_pool(ErrorClass::Timeout, "no answer in time").into())
                    }
                }
            }
            Treatment::SendRaw => Ok(Found::upstream(Box::pin(self.send_raw(request)).await?)),
            Treatment::Write => {
                let outcome = self.forward(request, true).await;
                self.view.note_write();
                outcome
            }
        }
    }

    async fn forward(self: &Arc<Self>, request: Request, write: bool) -> Result<Found, Refusal> {
        let hedge = !write;
        // What speaks of the head comes from whoever is at the head that clients know.
        let min_head = (!write && method::subject(&request.method).is_of_head())
            .then(|| self.view.floor())
            .flatten();
        let timeout = self.limits.timeout;
        let options = CallOptions { timeout, write, hedge, min_head, ..Default::default() };
        let method = request.method.clone();
        let call = Call::new(request.method, request.params);
        let got = match Box::pin(self.ask(call.clone(), &options)).await {
            Err(error) if min_head.is_some() && serve::is_of_nobody(&error) => {
                let anybody = CallOptions { min_head: None, ..options };
                Box::pin(self.ask(call, &anybody)).await?
            }
            outcome => outcome?,
        };
        Ok(self.found(&method, got))
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

#[cfg(test)]
mod replay_tests;

#[cfg(test)]
mod index_tests;
