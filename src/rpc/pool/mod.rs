//! All providers of one chain behind one door: choice, retry, fail-over, batches.
//!
//! Every call has one deadline and one budget of attempts, whatever happens on the way. Splitting of
//! block ranges is left to the caller, who knows what it asks for.

mod choose;

mod hedge;

mod report;

mod tally;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use tokio::time::Instant;

pub use self::report::{ProviderProbe, ProviderStatus};
use self::tally::Tally;
use super::endpoint::Endpoint;
use super::error::{ErrorClass, RpcError};
use super::wire::{Call, hex};
use crate::config;
use crate::types::chain::ChainId;

/// Time for one call, retries included, unless the caller says otherwise.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// Calls in one batch; more are sent as several batches to the same provider. Providers cap at 100
/// to 1,000.
pub const BATCH_ITEMS_MAX: usize = 100;
/// Items of a batch that failed and are asked for again at the same time.
const ITEMS_AGAIN_AT_ONCE: usize = 8;
/// Attempts beyond one per provider.
const EXTRA_ATTEMPTS: usize = 2;
/// Attempts in all: a call that fails this often fails.
const ATTEMPTS_MAX: usize = 8;
/// First and longest pause before the same provider is asked again.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// An attempt gets at least this much of the deadline, the rest is kept for the next provider.
const ATTEMPT_MIN: Duration = Duration::from_secs(2);

/// The providers of one chain.
#[derive(Debug)]
pub struct Pool {
    chain: ChainId,
    poll_interval: Duration,
    endpoints: Vec<Arc<Endpoint>>,
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
        let endpoints =
            chain.providers.iter().map(|p| Arc::new(Endpoint::new(chain.id, p))).collect();
        Arc::new(Self {
            chain: chain.id,
            poll_interval: chain.poll_interval,
            endpoints,
            hedges: hedge::Budget::default(),
            tally: Tally::default(),
        })
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

    /// The providers, in the order of the configuration.
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
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

    /// The highest head that any provider is known to have.
    pub fn highest_head(&self) -> u64 {
        self.endpoints.iter().map(|e| e.health.head()).max().unwrap_or(0)
    }

    /// True while some provider's stream of heads is open.
    pub fn pushes_heads(&self) -> bool {
        self.endpoints.iter().any(|e| e.health.pushes_heads())
    }

    /// Up to `count` providers, best first, for a call that goes to several.
    pub fn best(&self, count: usize) -> Vec<Arc<str>> {
        let mut usable: Vec<_> = self
            .endpoints
            .iter()
            .filter(|e| !e.health.is_drained() && e.serves_our_chain())
            .collect();
        usable.sort_by_cached_key(|e| {
            let open = e.health.breaker.gate() != super::endpoint::breaker::Gate::Closed;
            (open, e.health.throttled_for(), (e.health.cost() / f64::from(e.weight)).to_bits())
        });
        usable.into_iter().take(count).map(|e| e.name.clone()).collect()
    }

    /// Keeps new calls from a provider, or lets them through again. False if there is none of the name.
    pub fn drain(&self, provider: &str, drained: bool) -> bool {
        let endpoint = self.endpoint(provider);
        endpoint.inspect(|e| e.health.set_drained(drained)).is_some()
    }

    /// The provider with this name.
    pub fn endpoint(&self, name: &str) -> Option<&Arc<Endpoint>> {
        self.endpoints.iter().find(|e| &*e.name == name)
    }
}

/// One call on its way through the providers.
#[derive(Debug)]
struct Round<'a> {
    pool: &'a Pool,
    options: &'a CallOptions,
    deadline: Instant,
    tried: Vec<Arc<str>>,
    attempts_left: usize,
    pauses: backon::ExponentialBackoff,
    /// The error to show if nothing helps: the first that a node itself wrote, else the last.
    shown: Option<RpcError>,
    /// Asking the same provider again makes no sense.
    untried_only: bool,
}

impl<'a> Round<'a> {
    fn new(pool: &'a Pool, options: &'a CallOptions) -> Self {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(RETRY_PAUSE.0)
            .with_max_delay(RETRY_PAUSE.1)
            .with_max_times(ATTEMPTS_MAX)
            .with_jitter()
            .build();
        Self {
            pool,
            options,
            deadline: Instant::now() + options.timeout,
            tried: Vec::new(),
            attempts_left: (pool.endpoints.len() + EXTRA_ATTEMPTS).min(ATTEMPTS_MAX),
            pauses,
            shown: None,
            untried_only: false,
        }
    }

    async fn next(&mut self, method: &str) -> Result<Arc<Endpoint>, RpcError> {
        let want = choose::Want {
            method,
            options: self.options,
            tried: &self.tried,
            untried_only: self.untried_only,
        };
        match choose::choose(self.pool, &want, self.deadline).await {
            Ok(endpoint) => Ok(endpoint),
            Err(error) => Err(self.shown.take().unwrap_or(error)),
        }
    }

    /// Half of what is left, so that a hanging provider leaves time for another.
    fn attempt_deadline(&self) -> Instant {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if self.attempts_left <= 1 || self.pool.endpoints.len() == 1 {
            return self.deadline;
        }
        Instant::now() + (left / 2).max(ATTEMPT_MIN).min(left)
    }

    /// Notes a failure and waits if the next attempt should wait; an error when there is none.
    async fn failed(&mut self, error: RpcError) -> Result<(), RpcError> {
        self.attempts_left = self.attempts_left.saturating_sub(1);
        let class = error.class;
        self.tried.push(error.endpoint.clone());
        if !class.is_retryable() || (self.options.write && may_have_arrived(class)) {
            return Err(error);
        }
        self.untried_only |= pointless_again(class);
        if self.shown.as_ref().is_none_or(|shown| shown.object.is_none()) {
            self.shown = Some(error);
        }
        let untried = self.pool.endpoints.iter().any(|e| !self.tried.contains(&e.name));
        let pause = if untried { Duration::ZERO } else { self.pauses.next().unwrap_or_default() };
        if self.attempts_left == 0 || Instant::now() + pause >= self.deadline {
            return Err(self.shown.take().unwrap_or_else(|| {
                RpcError::of_pool(ErrorClass::Timeout, "no answer before the deadline")
            }));
        }
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }
}

/// Another try with the same provider would end the same way.
fn pointless_again(class: ErrorClass) -> bool {
    matches!(
        class,
        ErrorClass::NotYet
            | ErrorClass::Pruned
            | ErrorClass::Unsupported
            | ErrorClass::Denied
            | ErrorClass::Billing
            | ErrorClass::WrongChain { .. }
            | ErrorClass::Unknown
    )
}

/// The provider may have acted on the call although it gave no answer.
fn may_have_arrived(class: ErrorClass) -> bool {
    !matches!(
        class,
        ErrorClass::RateLimited { .. }
            | ErrorClass::Unsupported
            | ErrorClass::Denied
            | ErrorClass::Billing
            | ErrorClass::WrongChain { .. }
    )
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
