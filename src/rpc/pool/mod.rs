//! All providers of one chain behind one door: choice, retry, fail-over, batches.
//!
//! Every call has one deadline and one budget of attempts, whatever happens on the way. Splitting of
//! block ranges is left to the caller, who knows what it asks for.

mod choose;

mod hedge;

mod members;

mod report;

mod round;

pub mod scorecard;

mod tally;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use alloy_primitives::B256;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use tokio::sync::watch;
use tokio::time::Instant;

pub use self::members::{Endpoints, Replaced};
pub use self::report::{ProviderProbe, ProviderStatus};
use self::round::Round;
use self::scorecard::{Misdeed, Scorecard};
use self::tally::Tally;
use super::endpoint::{Endpoint, Genesis};
use super::error::{ErrorClass, RpcError};
use super::wire::{Call, hex};
use crate::config;
use crate::types::chain::ChainId;
use crate::types::clock::SystemClock;

/// Time for one call, retries included, unless the caller says otherwise.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// Calls in one batch; more are sent as several batches to the same provider. Providers cap at 100
/// to 1,000.
pub const BATCH_ITEMS_MAX: usize = 100;
/// Items of a batch that failed and are asked for again at the same time.
const ITEMS_AGAIN_AT_ONCE: usize = 8;

/// The providers of one chain.
#[derive(Debug)]
pub struct Pool {
    chain: ChainId,
    poll_interval: Duration,
    /// Replaced as a whole when the configuration changes.
    members: watch::Sender<Endpoints>,
    genesis: Arc<Genesis>,
    head_quorum: AtomicUsize,
    scorecard: Scorecard,
    hedges: hedge::Budget,
    tally: Tally,
}

/// A result as the node wrote it.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Raw JSON text of `result`, not re-serialised.
    pub result: Bytes,
    /// Who answered.
    pub provider: Arc<str>,
}

/// What a call may ask of the choice of provider.
#[derive(Debug, Clone)]
pub struct CallOptions {
    /// Time for the whole call.
    pub timeout: Duration,
    /// Only providers whose head is known to be at least this block.
    pub min_head: Option<u64>,
    /// Only this provider.
    pub pin: Option<Arc<str>>,
    /// Not these providers.
    pub exclude: Vec<Arc<str>>,
    /// The call changes something: it is not repeated once it may have arrived.
    pub write: bool,
    /// A second provider may be asked when the first is slow.
    pub hedge: bool,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self {
            timeout: DEADLINE,
            min_head: None,
            pin: None,
            exclude: Vec::new(),
            write: false,
            hedge: false,
        }
    }
}

impl CallOptions {
    /// Only providers that have block `head`.
    pub fn at_head(head: u64) -> Self {
        Self { min_head: Some(head), ..Self::default() }
    }

    /// Only this provider.
    pub fn pinned(provider: Arc<str>) -> Self {
        Self { pin: Some(provider), ..Self::default() }
    }
}

impl Pool {
    /// Knows the providers; connects to none.
    pub fn new(chain: &config::Chain) -> Arc<Self> {
        let genesis = Arc::new(Genesis::default());
        let endpoint = |p| Arc::new(Endpoint::new(chain.id, p, genesis.clone()));
        let endpoints = chain.providers.iter().map(endpoint).collect();
        Arc::new(Self {
            chain: chain.id,
            poll_interval: chain.poll_interval,
            members: watch::Sender::new(endpoints),
            genesis,
            head_quorum: AtomicUsize::new(chain.head_quorum),
            scorecard: Scorecard::new(Arc::new(SystemClock)),
            hedges: hedge::Budget::default(),
            tally: Tally::default(),
        })
    }

    /// What providers did wrong.
    pub fn scorecard(&self) -> &Scorecard {
        &self.scorecard
    }

    /// A provider's answer was proven false: noted, and the others come first for a while.
    pub fn accuse(
        &self,
        provider: &Arc<str>,
        misdeed: Misdeed,
        block: (u64, Option<B256>),
        detail: impl Into<String>,
    ) {
        if self.scorecard.note(provider, misdeed, block, detail) {
            log::warn!("{provider}: {} at block {}", misdeed.as_str(), block.0);
        }
        if misdeed != Misdeed::Lag
            && let Some(endpoint) = self.endpoint(provider)
        {
            endpoint.health.demote();
        }
    }

    /// Calls sent so far by method, those of batches and repeated ones included.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.tally.counts()
    }

    /// The chain that every provider must serve.
    pub fn chain_id(&self) -> ChainId {
        self.chain
    }

    /// How often heads are asked for when no push speaks.
    pub fn poll_interval(&self) -> Duration {
        self.poll_interval
    }

    /// Sends one call to a good provider, and to others if that fails. `params` is raw JSON.
    pub async fn call(
        &self,
        method: &'static str,
        params: impl Into<Bytes>,
    ) -> Result<Answer, RpcError> {
        self.call_with(&Call::new(method, params), &CallOptions::default()).await
    }

    /// The same with a say in the choice of provider.
    pub async fn call_with(&self, call: &Call, options: &CallOptions) -> Result<Answer, RpcError> {
        self.checked(call, options, None, Ok).await
    }

    /// Asks until an answer passes `read`: one that does not is the provider's failure like any
    /// other, and the next provider is asked.
    pub async fn call_checked<T>(
        &self,
        call: &Call,
        options: &CallOptions,
        read: impl Fn(Answer) -> Result<T, RpcError>,
    ) -> Result<T, RpcError> {
        self.checked(call, options, None, read).await
    }

    /// `failed`: how a provider has answered this call already.
    async fn checked<T>(
        &self,
        call: &Call,
        options: &CallOptions,
        failed: Option<RpcError>,
        read: impl Fn(Answer) -> Result<T, RpcError>,
    ) -> Result<T, RpcError> {
        let mut round = Round::new(self, options);
        if let Some(error) = failed {
            round.failed(error).await?;
        }
        loop {
            let endpoint = round.next(&call.method).await?;
            let until = round.attempt_deadline();
            self.tally.add(&call.method, 1);
            let (endpoint, outcome) = self.hedged(&round, endpoint, call, until).await;
            let provider = endpoint.name.clone();
            match outcome.and_then(|result| read(Answer { result, provider })) {
                Ok(answer) => return Ok(answer),
                Err(error) => round.failed(error).await?,
            }
        }
    }

    /// Sends calls together and reads each answer. An item that fails, or whose answer does not pass
    /// `read`, fails alone: it is asked for again elsewhere.
    pub async fn batch_checked<T>(
        &self,
        calls: &[Call],
        options: &CallOptions,
        read: impl Fn(usize, Answer) -> Result<T, RpcError>,
    ) -> Result<Vec<T>, RpcError> {
        let items = self.batch_with(calls, options).await?;
        let read = &read;
        let again = |((index, call), item): ((usize, &Call), Result<Answer, RpcError>)| {
            let first = item.and_then(|answer| read(index, answer));
            // Owned, so that the future borrows nothing of this closure.
            let call = call.clone();
            async move {
                match first {
                    Err(error) if error.is_retryable() => {
                        let read = |answer| read(index, answer);
                        self.checked(&call, options, Some(error), read).await
                    }
                    outcome => outcome,
                }
            }
        };
        let items = calls.iter().enumerate().zip(items).map(again);
        futures_util::stream::iter(items).buffered(ITEMS_AGAIN_AT_ONCE).try_collect().await
    }

    /// Sends calls to one provider together. If it fails as a whole, all go to another one.
    pub async fn batch(&self, calls: &[Call]) -> Result<Vec<Result<Answer, RpcError>>, RpcError> {
        self.batch_with(calls, &CallOptions::default()).await
    }

    /// The same with a say in the choice of provider.
    pub async fn batch_with(
        &self,
        calls: &[Call],
        options: &CallOptions,
    ) -> Result<Vec<Result<Answer, RpcError>>, RpcError> {
        let Some(first) = calls.first() else { return Ok(Vec::new()) };
        let mut round = Round::new(self, options);
        loop {
            let endpoint = round.next(&first.method).await?;
            let until = round.attempt_deadline();
            self.tally.add_all(calls);
            let outcome = attempt_batch(&endpoint, calls, until).await;
            match outcome {
                Ok(items) => {
                    let provider = &endpoint.name;
                    let answer = |result| Answer { result, provider: provider.clone() };
                    return Ok(items.into_iter().map(|item| item.map(answer)).collect());
                }
                Err(error) => round.failed(error).await?,
            }
        }
    }
}

/// One call to one provider, recorded in its health.
async fn attempt(endpoint: &Endpoint, call: &Call, until: Instant) -> Result<Bytes, RpcError> {
    let flight = endpoint.health.start(false);
    // Boxed: the way through HTTP or a socket is a large future, and attempts are nested in others.
    let outcome = Box::pin(endpoint.call(call, until)).await;
    flight.finish(&call.method, &outcome);
    if call.method == "eth_blockNumber"
        && let Some(head) = outcome.as_ref().ok().and_then(|result| quantity(result))
    {
        endpoint.health.note_head(head);
    }
    outcome
}

/// A batch to one provider in chunks; items it left out are asked for once more, one by one.
async fn attempt_batch(
    endpoint: &Endpoint,
    calls: &[Call],
    until: Instant,
) -> Result<Vec<Result<Bytes, RpcError>>, RpcError> {
    let mut items = Vec::with_capacity(calls.len());
    for chunk in calls.chunks(BATCH_ITEMS_MAX) {
        let flight = endpoint.health.start(false);
        let outcome = Box::pin(endpoint.batch(chunk, until)).await;
        flight.finish("batch", &outcome);
        match outcome {
            Ok(answers) => items.extend(answers),
            // The node takes no batches; it may well take the calls.
            Err(error) if refuses_batches(error.class) => {
                for call in chunk {
                    items.push(attempt(endpoint, call, until).await);
                }
            }
            Err(error) => return Err(error),
        }
    }
    for (item, call) in items.iter_mut().zip(calls) {
        let again = item.as_ref().err().is_some_and(|error| {
            matches!(error.class, ErrorClass::BadAnswer | ErrorClass::Transient)
        });
        if again {
            *item = attempt(endpoint, call, until).await;
        }
    }
    Ok(items)
}

fn refuses_batches(class: ErrorClass) -> bool {
    matches!(class, ErrorClass::Invalid | ErrorClass::Unsupported | ErrorClass::Unknown)
}

/// A JSON string that holds a quantity.
pub(crate) fn quantity(result: &[u8]) -> Option<u64> {
    hex::quantity(result.strip_prefix(b"\"")?.strip_suffix(b"\"")?)
}

#[cfg(test)]
mod tests;
