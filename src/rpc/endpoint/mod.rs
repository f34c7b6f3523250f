//! One provider: a way to send calls, its rate budget, its health, and proof that it serves our chain.
//!
//! Chooses nothing and retries nothing; `pool` does. URLs never leave this folder unredacted.

pub mod breaker;

pub mod bucket;

pub mod health;

mod http;

mod identity;

pub mod latency;

mod meter;

mod retry;

pub mod socket;

mod tls;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use self::bucket::Bucket;
use self::health::Health;
use self::http::HttpLink;
pub use self::identity::Genesis;
use self::identity::{
    GENESIS_TIMEOUT, Identity, Known, block_hash, chain_id_call, genesis_call, verify_chain,
    wrong_chain,
};
use self::socket::{Socket, SocketLink};
use super::error::{ErrorClass, RpcError};
use super::wire::Call;
use super::wire::response::Outcome;
use crate::config::{Provider, ProviderUrl, Transport};
use crate::types::chain::ChainId;

/// Longest wait for one answer, whatever the caller's deadline: nodes give up at about this time too.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for a connection, handshakes included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer kept in memory, in bytes: a 10,000-log answer is about 7 MB.
pub const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// One provider of one chain.
#[derive(Debug)]
pub struct Endpoint {
    pub name: Arc<str>,
    pub chain: ChainId,
    weight: AtomicU32,
    /// Scheme, host and port of the URL, for reports.
    pub shown_url: String,
    pub transport: Transport,
    pub health: Health,
    url: ProviderUrl,
    link: Link,
    bucket: RwLock<Option<Arc<Bucket>>>,
    identity: Identity,
    genesis: Arc<Genesis>,
    next_id: AtomicU64,
}

#[derive(Debug)]
enum Link {
    Http(HttpLink),
    Socket(SocketLink),
}

impl Endpoint {
    /// Describes the provider; connects to nothing. `genesis` is shared by the chain's providers.
    pub fn new(chain: ChainId, provider: &Provider, genesis: Arc<Genesis>) -> Self {
        let name: Arc<str> = Arc::from(provider.name.as_str());
        let url = provider.url.expose().to_owned();
        let link = match provider.url.transport {
            Transport::Http => Link::Http(HttpLink::new(name.clone(), url)),
            Transport::WebSocket => {
                Link::Socket(SocketLink::new(name.clone(), url, chain, genesis.clone()))
            }
        };
        Self {
            health: Health::new(chain.0, name.clone()),
            name,
            chain,
            weight: AtomicU32::new(provider.weight.max(1)),
            shown_url: provider.url.redacted(),
            transport: provider.url.transport,
            url: provider.url.clone(),
            link,
            bucket: RwLock::new(provider.rate_limit_rps.map(bucket)),
            identity: Identity::default(),
            genesis,
            next_id: AtomicU64::new(1),
        }
    }

    /// Share of requests.
    pub fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    /// The share with what a provider that just came back may take of it.
    pub fn weight_now(&self) -> f64 {
        f64::from(self.weight()) * self.health.readiness()
    }

    /// Takes over what may change without a new connection; false when the address is another one.
    pub fn adopt(&self, provider: &Provider) -> bool {
        if provider.url.expose() != self.url.expose() {
            return false;
        }
        self.weight.store(provider.weight.max(1), Ordering::Relaxed);
        let mut current = self.bucket.write().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().map(|bucket| bucket.rate()) != provider.rate_limit_rps {
            *current = provider.rate_limit_rps.map(bucket);
        }
        true
    }

    /// Sends one call and returns the raw `result`.
    pub async fn call(&self, call: &Call, deadline: Instant) -> Result<Bytes, RpcError> {
        self.check_chain(deadline).await?;
        self.take_tokens(1, deadline).await?;
        let outcome = self.send(call, deadline).await;
        self.forget_chain_after(outcome.as_ref().err());
        outcome
    }

    /// Sends calls together and returns one outcome each, in order.
    pub async fn batch(
        &self,
        calls: &[Call],
        deadline: Instant,
    ) -> Result<Vec<Result<Bytes, RpcError>>, RpcError> {
        self.check_chain(deadline).await?;
        self.take_tokens(u32::try_from(calls.len()).unwrap_or(u32::MAX), deadline).await?;
        let first_id = self.next_id.fetch_add(calls.len() as u64, Ordering::Relaxed);
        let outcome = match &self.link {
            Link::Http(link) => link.batch(first_id, calls, deadline).await,
            Link::Socket(link) => link.batch(first_id, calls, deadline).await,
        };
        self.forget_chain_after(outcome.as_ref().err());
        outcome.map(|items| items.into_iter().map(|item| self.lift(item)).collect())
    }

    /// Opens a socket of its own for subscriptions; the chain behind it is checked.
    pub async fn open_socket(&self) -> Result<Socket, RpcError> {
        match &self.link {
            Link::Socket(link) => link.open().await,
            Link::Http(_) => {
                let text = "subscriptions need a ws:// or wss:// URL";
                Err(RpcError::new(ErrorClass::Unsupported, &self.name, text))
            }
        }
    }

    /// True unless the provider was found to serve another chain a short while ago.
    pub fn serves_our_chain(&self) -> bool {
        self.identity.known().may_be_ours() && self.genesis.fault(&self.name).is_none()
    }

    /// What the chain check found: `None` while it has not been made.
    pub fn chain_is_ours(&self) -> Option<bool> {
        match self.identity.known() {
            Known::Nothing => None,
            Known::Ours => Some(self.genesis.fault(&self.name).is_none()),
            Known::Other { .. } => Some(false),
        }
    }

    /// Why the provider is kept out although it answers.
    pub fn genesis_fault(&self) -> Option<String> {
        self.genesis.fault(&self.name)
    }

    /// True when a call could be sent now without waiting for the rate budget.
    pub fn has_budget(&self) -> bool {
        self.bucket().is_none_or(|bucket| bucket.wait_for(1).is_zero())
    }

    async fn send(&self, call: &Call, deadline: Instant) -> Result<Bytes, RpcError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let outcome = match &self.link {
            Link::Http(link) => link.call(id, call, deadline).await?,
            Link::Socket(link) => link.call(id, call, deadline).await?,
        };
        outcome.map_err(|object| RpcError::from_object(&self.name, object))
    }

    fn lift(&self, item: Option<Outcome>) -> Result<Bytes, RpcError> {
        match item {
            Some(Ok(result)) => Ok(result),
            Some(Err(object)) => Err(RpcError::from_object(&self.name, object)),
            None => {
                let text = "the batch answer lacks this item";
                Err(RpcError::new(ErrorClass::BadAnswer, &self.name, text))
            }
        }
    }

    async fn take_tokens(&self, count: u32, deadline: Instant) -> Result<(), RpcError> {
        let Some(bucket) = self.bucket() else { return Ok(()) };
        let wait = bucket.take(count);
        if wait.is_zero() {
            return Ok(());
        }
        if Instant::now() + wait > deadline {
            bucket.give_back(count);
            let class = ErrorClass::RateLimited { after: Some(wait) };
            return Err(RpcError::new(class, &self.name, "our own rate_limit_rps is used up"));
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Asks for chain id and first block once per connection period. A socket asks on connecting.
    async fn check_chain(&self, deadline: Instant) -> Result<(), RpcError> {
        if matches!(self.link, Link::Socket(_)) || matches!(self.identity.known(), Known::Ours) {
            return Ok(());
        }
        let _one = self.identity.checking.lock().await;
        match self.identity.known() {
            Known::Ours => return Ok(()),
            known @ Known::Other { found, .. } if !known.may_be_ours() => {
                return Err(wrong_chain(&self.name, self.chain, found));
            }
            _ => {}
        }
        let chain = chain_id_call();
        let (answer, ()) = tokio::join!(self.send(&chain, deadline), self.ask_genesis(deadline));
        let checked = verify_chain(&self.name, self.chain, &answer?);
        self.note_chain(checked.as_ref().err());
        checked
    }

    async fn ask_genesis(&self, deadline: Instant) {
        let until = deadline.min(Instant::now() + GENESIS_TIMEOUT);
        if let Ok(answer) = self.send(&genesis_call(), until).await
            && let Some(hash) = block_hash(&answer)
        {
            self.genesis.note(&self.name, hash);
        }
    }

    fn note_chain(&self, error: Option<&RpcError>) {
        let known = match error.map(|e| e.class) {
            None => Known::Ours,
            Some(ErrorClass::WrongChain { found, .. }) => {
                Known::Other { found, at: Instant::now() }
            }
            Some(_) => Known::Nothing,
        };
        if let Some(error) = error {
            log::error!("provider disabled: {error}");
        }
        self.identity.set(known);
    }

    /// After a lost connection the next call proves the chain again.
    fn forget_chain_after(&self, error: Option<&RpcError>) {
        match error.map(|e| e.class) {
            Some(ErrorClass::Unreachable) => {
                if matches!(self.identity.known(), Known::Ours) {
                    self.identity.set(Known::Nothing);
                }
            }
            Some(ErrorClass::WrongChain { .. }) => self.note_chain(error),
            None if matches!(self.link, Link::Socket(_)) => self.identity.set(Known::Ours),
            _ => {}
        }
    }

    fn bucket(&self) -> Option<Arc<Bucket>> {
        self.bucket.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn bucket(rate: u32) -> Arc<Bucket> {
    Arc::new(Bucket::per_second(rate))
}
