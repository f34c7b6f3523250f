//! One provider: a way to send calls, its rate budget, its health, and proof that it serves our chain.
//!
//! Chooses nothing and retries nothing; `pool` does. URLs never leave this folder unredacted.

pub mod breaker;

pub mod bucket;

pub mod health;

mod http;

pub mod latency;

mod meter;

pub mod socket;

pub mod stream;

mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use self::bucket::Bucket;
use self::health::Health;
use self::http::HttpLink;
use self::socket::{Socket, SocketLink};
use super::error::{ErrorClass, RpcError};
use super::wire::response::Outcome;
use super::wire::{Call, hex};
use crate::config::{Provider, Transport};
use crate::types::chain::ChainId;

/// Longest wait for one answer, whatever the caller's deadline: nodes give up at about this time too.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for a connection, handshakes included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer kept in memory, in bytes: a 10,000-log answer is about 7 MB.
pub const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How long a provider of another chain is left alone before it is asked again.
const WRONG_CHAIN_RECHECK: Duration = Duration::from_secs(60);

/// One provider of one chain.
#[derive(Debug)]
pub struct Endpoint {
    pub name: Arc<str>,
    pub chain: ChainId,
    pub weight: u32,
    /// Scheme, host and port of the URL, for reports.
    pub shown_url: String,
    pub transport: Transport,
    /// Blocks in one `eth_getLogs`, when the operator said so.
    pub max_block_range: Option<u64>,
    pub health: Health,
    link: Link,
    bucket: Option<Bucket>,
    identity: Identity,
    next_id: AtomicU64,
}

#[derive(Debug)]
enum Link {
    Http(HttpLink),
    Socket(SocketLink),
}

/// What is known about the chain behind the URL.
#[derive(Debug, Default)]
struct Identity {
    state: std::sync::Mutex<Known>,
    /// One check at a time; the others wait for its result.
    checking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default, Clone, Copy)]
enum Known {
    #[default]
    Nothing,
    Ours,
    Other {
        found: ChainId,
        at: Instant,
    },
}

impl Endpoint {
    /// Describes the provider; connects to nothing.
    pub fn new(chain: ChainId, provider: &Provider) -> Self {
        let name: Arc<str> = Arc::from(provider.name.as_str());
        let url = provider.url.expose().to_owned();
        let link = match provider.url.transport {
            Transport::Http => Link::Http(HttpLink::new(name.clone(), url)),
            Transport::WebSocket => Link::Socket(SocketLink::new(name.clone(), url, chain)),
        };
        Self {
            health: Health::new(chain.0, name.clone()),
            name,
            chain,
            weight: provider.weight.max(1),
            shown_url: provider.url.redacted(),
            transport: provider.url.transport,
            max_block_range: provider.max_block_range,
            link,
            bucket: provider.rate_limit_rps.map(Bucket::per_second),
            identity: Identity::default(),
            next_id: AtomicU64::new(1),
        }
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
        match self.known() {
            Known::Other { at, .. } => at.elapsed() >= WRONG_CHAIN_RECHECK,
            Known::Nothing | Known::Ours => true,
        }
    }

    /// What the chain check found: `None` while it has not been made.
    pub fn chain_is_ours(&self) -> Option<bool> {
        match self.known() {
            Known::Nothing => None,
            Known::Ours => Some(true),
            Known::Other { .. } => Some(false),
        }
    }

    /// True when a call could be sent now without waiting for the rate budget.
    pub fn has_budget(&self) -> bool {
        self.bucket.as_ref().is_none_or(|bucket| bucket.wait_for(1).is_zero())
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
        let Some(bucket) = &self.bucket else { return Ok(()) };
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

    /// Asks for the chain id once per connection period. A socket checks its own on connecting.
    async fn check_chain(&self, deadline: Instant) -> Result<(), RpcError> {
        if matches!(self.link, Link::Socket(_)) || matches!(self.known(), Known::Ours) {
            return Ok(());
        }
        let _one = self.identity.checking.lock().await;
        match self.known() {
            Known::Ours => return Ok(()),
            Known::Other { found, at } if at.elapsed() < WRONG_CHAIN_RECHECK => {
                return Err(wrong_chain(&self.name, self.chain, found));
            }
            _ => {}
        }
        let answer = self.send(&chain_id_call(), deadline).await?;
        let checked = verify_chain(&self.name, self.chain, &answer);
        self.note_chain(checked.as_ref().err());
        checked
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
        self.set_known(known);
    }

    /// After a lost connection the next call proves the chain again.
    fn forget_chain_after(&self, error: Option<&RpcError>) {
        match error.map(|e| e.class) {
            Some(ErrorClass::Unreachable) => {
                if matches!(self.known(), Known::Ours) {
                    self.set_known(Known::Nothing);
                }
            }
            Some(ErrorClass::WrongChain { .. }) => self.note_chain(error),
            None if matches!(self.link, Link::Socket(_)) => self.set_known(Known::Ours),
            _ => {}
        }
    }

    fn known(&self) -> Known {
        *self.identity.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn set_known(&self, known: Known) {
        *self.identity.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = known;
    }
}

/// The question every connection starts with.
fn chain_id_call() -> Call {
    Call::new("eth_chainId", &b"[]"[..])
}

/// Compares the answer to `eth_chainId` with the configured chain.
fn verify_chain(name: &Arc<str>, expected: ChainId, answer: &[u8]) -> Result<(), RpcError> {
    let text = answer.strip_prefix(b"\"").and_then(|a| a.strip_suffix(b"\"")).unwrap_or(answer);
    let found = hex::quantity(text).map(ChainId).ok_or_else(|| {
        let shown = String::from_utf8_lossy(answer.get(..80).unwrap_or(answer)).into_owned();
        RpcError::new(ErrorClass::BadAnswer, name, format!("eth_chainId answered {shown}"))
    })?;
    if found == expected { Ok(()) } else { Err(wrong_chain(name, expected, found)) }
}

fn wrong_chain(name: &Arc<str>, expected: ChainId, found: ChainId) -> RpcError {
    let text = format!(
        "serves chain {found}, configured for chain {expected}; correct the url or the chain id"
    );
    RpcError::new(ErrorClass::WrongChain { expected, found }, name, text)
}
