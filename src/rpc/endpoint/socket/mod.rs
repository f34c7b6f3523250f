//! JSON-RPC over one WebSocket: many calls at once, subscriptions, a dead peer noticed.
//!
//! A lost socket fails its calls and ends its subscriptions; it is opened again by the next call,
//! not before the back-off is over. Nothing here resubscribes: the owner of a stream must know of
//! the gap.

mod io;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};

use super::identity::{
    GENESIS_TIMEOUT, Genesis, block_hash, chain_id_call, genesis_call, verify_chain,
};
use super::{ANSWER_BYTES_MAX, CALL_TIMEOUT, CONNECT_TIMEOUT, tls};
use crate::rpc::error::{ErrorClass, RpcError};
use crate::rpc::wire::Call;
use crate::rpc::wire::response::{self, Message, Outcome};
use crate::types::chain::ChainId;

/// Frames waiting to be written: senders wait when the peer reads slowly.
const OUTGOING_MAX: usize = 256;
/// Calls without an answer on one socket.
const PENDING_MAX: usize = 4096;
/// Events buffered per subscription; our readers only hand on, so this is reached when they hang.
const EVENTS_MAX: usize = 1024;
/// How often the peer is pinged.
const PING_EVERY: Duration = Duration::from_secs(15);
/// A peer that sent nothing for this long, pongs included, is dead.
const SILENCE_MAX: Duration = Duration::from_secs(40);
/// First and longest pause between connection attempts.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(15));
/// Ids of our own bookkeeping calls start here, clear of the ids that the endpoint counts up.
const FIRST_OWN_ID: u64 = 1 << 52;

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The address of a WebSocket provider and its current socket for calls.
#[derive(Debug)]
pub(super) struct SocketLink {
    address: Arc<Address>,
    current: tokio::sync::Mutex<Current>,
}

#[derive(Debug)]
struct Address {
    name: Arc<str>,
    url: String,
    chain: ChainId,
    genesis: Arc<Genesis>,
}

#[derive(Debug)]
struct Current {
    socket: Option<Socket>,
    backoff: ExponentialBackoff,
    not_before: Option<(Instant, RpcError)>,
}

impl SocketLink {
    pub(super) fn new(name: Arc<str>, url: String, chain: ChainId, genesis: Arc<Genesis>) -> Self {
        let current = Current { socket: None, backoff: backoff(), not_before: None };
        Self {
            address: Arc::new(Address { name, url, chain, genesis }),
            current: tokio::sync::Mutex::new(current),
        }
    }

    pub(super) async fn call(
        &self,
        id: u64,
        call: &Call,
        deadline: Instant,
    ) -> Result<Outcome, RpcError> {
        self.socket(deadline).await?.call(id, call, deadline).await
    }

    /// Calls side by side on one socket: the same provider, and no item can block another.
    pub(super) async fn batch(
        &self,
        first_id: u64,
        calls: &[Call],
        deadline: Instant,
    ) -> Result<Vec<Option<Outcome>>, RpcError> {
        let socket = self.socket(deadline).await?;
        let sends = (first_id..).zip(calls).map(|(id, call)| socket.call(id, call, deadline));
        futures_util::future::try_join_all(sends)
            .await
            .map(|outcomes| outcomes.into_iter().map(Some).collect())
    }

    /// A socket of its own, outside the shared one.
    pub(super) async fn open(&self) -> Result<Socket, RpcError> {
        connect(&self.address).await
    }

    /// The shared socket, connected again if it was lost. One attempt at a time; the others wait.
    async fn socket(&self, deadline: Instant) -> Result<Socket, RpcError> {
        let name = &self.address.name;
        let attempt = async {
            let mut current = self.current.lock().await;
            if let Some(socket) = current.socket.as_ref().filter(|socket| !socket.is_closed()) {
                return Ok(socket.clone());
            }
            current.socket = None;
            if let Some((at, error)) =
                current.not_before.as_ref().filter(|(at, _)| *at > Instant::now())
            {
                let wait = at.saturating_duration_since(Instant::now()).as_millis();
                let text = format!("{}; next attempt in {wait} ms", error.message);
                return Err(RpcError::new(error.class, name, text));
            }
            match connect(&self.address).await {
                Ok(socket) => {
                    current.backoff = backoff();
                    current.not_before = None;
                    current.socket = Some(socket.clone());
                    Ok(socket)
                }
                Err(error) => {
                    let pause = current.backoff.next().unwrap_or(BACKOFF.1);
                    current.not_before = Some((Instant::now() + pause, error.clone()));
                    Err(error)
                }
            }
        };
        tokio::time::timeout_at(deadline, attempt).await.unwrap_or_else(|_| {
            Err(RpcError::new(ErrorClass::Timeout, name, "not connected in time"))
        })
    }
}

fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(BACKOFF.0)
        .with_max_delay(BACKOFF.1)
        .with_jitter()
        .without_max_times()
        .build()
}

/// An open WebSocket. Clones share it; dropping the last one closes it and ends its tasks.
#[derive(Debug, Clone)]
pub struct Socket {
    shared: Arc<Shared>,
    _tasks: Arc<Tasks>,
}

#[derive(Debug)]
struct Shared {
    name: Arc<str>,
    outgoing: mpsc::Sender<Frame>,
    pending: Mutex<HashMap<u64, Pending>>,
    events: Mutex<HashMap<Bytes, mpsc::Sender<Bytes>>>,
    closed: AtomicBool,
    next_own: AtomicU64,
    /// Milliseconds after `opened` at which something last arrived.
    heard: AtomicU64,
    opened: Instant,
}

#[derive(Debug)]
enum Pending {
    Call(oneshot::Sender<Outcome>),
    /// The stream is in place before the reader looks at the next frame, so no event is missed.
    Subscribe(oneshot::Sender<Outcome>, mpsc::Sender<Bytes>),
}

#[derive(Debug)]
struct Tasks(JoinHandle<()>, JoinHandle<()>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.abort();
        self.1.abort();
    }
}

/// A stream of raw events. Ends when the socket is lost; dropping it unsubscribes.
#[derive(Debug)]
pub struct Subscription {
    socket: Socket,
    id: Bytes,
    events: mpsc::Receiver<Bytes>,
}

impl Socket {
    /// Sends one call and waits for its answer.
    pub async fn call(&self, id: u64, call: &Call, deadline: Instant) -> Result<Outcome, RpcError> {
        let (reply, answer) = oneshot::channel();
        self.send(id, call, Pending::Call(reply), deadline).await?;
        self.answer(answer, deadline).await
    }

    /// Subscribes with the raw params of `eth_subscribe`.
    pub async fn subscribe(&self, params: impl Into<Bytes>) -> Result<Subscription, RpcError> {
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        let (reply, answer) = oneshot::channel();
        let (sink, events) = mpsc::channel(EVENTS_MAX);
        let id = self.next_own_id();
        let call = Call::new("eth_subscribe", params);
        self.send(id, &call, Pending::Subscribe(reply, sink), deadline).await?;
        match self.answer(answer, deadline).await? {
            Ok(id) => Ok(Subscription { socket: self.clone(), id, events }),
            Err(object) => Err(RpcError::from_object(&self.shared.name, object)),
        }
    }

    /// An id for a call on a socket that its holder does not share with the endpoint's own calls.
    pub(crate) fn next_own_id(&self) -> u64 {
        self.shared.next_own.fetch_add(1, Ordering::Relaxed)
    }

    /// True once the peer is gone.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }

    async fn send(
        &self,
        id: u64,
        call: &Call,
        pending: Pending,
        deadline: Instant,
    ) -> Result<(), RpcError> {
        self.shared.register(id, pending)?;
        let mut text = Vec::with_capacity(call.size_hint());
        call.write(id, &mut text);
        let Ok(text) = String::from_utf8(text) else {
            return Err(self.shared.error(ErrorClass::Invalid, "the call is not UTF-8"));
        };
        let sent = tokio::time::timeout_at(deadline, self.shared.outgoing.send(Frame::text(text)));
        match sent.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.shared.lost()),
            Err(_) => Err(self.shared.error(ErrorClass::Timeout, "the peer does not read")),
        }
    }

    async fn answer(
        &self,
        answer: oneshot::Receiver<Outcome>,
        deadline: Instant,
    ) -> Result<Outcome, RpcError> {
        let until = deadline.min(Instant::now() + CALL_TIMEOUT);
        match tokio::time::timeout_at(until, answer).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(_)) if !self.is_closed() => {
                Err(self.shared.error(ErrorClass::BadAnswer, "the answer carries another id"))
            }
            Ok(Err(_)) => Err(self.shared.lost()),
            Err(_) => Err(self.shared.error(ErrorClass::Timeout, "no answer in time")),
        }
    }
}

impl Subscription {
    /// The next event, raw; `None` when the stream has ended and must be opened anew.
    pub async fn next(&mut self) -> Option<Bytes> {
        self.events.recv().await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let shared = &self.socket.shared;
        shared.events().remove(&self.id);
        let id = shared.next_own.fetch_add(1, Ordering::Relaxed);
        let mut text = Vec::new();
        let params = [b"[", self.id.as_ref(), b"]"].concat();
        Call::new("eth_unsubscribe", params).write(id, &mut text);
        if let Ok(text) = String::from_utf8(text)
            && shared.outgoing.try_send(Frame::text(text)).is_err()
        {
            // A full queue means a peer that does not read; the socket's end unsubscribes too.
            log::debug!("{}: unsubscribe not sent", shared.name);
        }
    }
}

impl Shared {
    fn register(&self, id: u64, pending: Pending) -> Result<(), RpcError> {
        let mut map = self.pending();
        if map.len() >= PENDING_MAX {
            // Calls that timed out leave their entry behind; now is the time to sweep.
            map.retain(|_, entry| match entry {
                Pending::Call(reply) | Pending::Subscribe(reply, _) => !reply.is_closed(),
            });
            if map.len() >= PENDING_MAX {
                return Err(self.error(ErrorClass::Overload, "too many calls without an answer"));
            }
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(self.lost());
        }
        map.insert(id, pending);
        Ok(())
    }

    /// False when the frame cannot be read, or nobody knows whose answer it was: then the connection is
    /// given up, else that call would wait until its deadline.
    fn deliver(&self, frame: &Bytes) -> bool {
        match response::parse(frame) {
            Ok(Message::Reply { id: Some(id), outcome }) => match self.pending().remove(&id) {
                Some(Pending::Call(reply)) => drop(reply.send(outcome)),
                Some(Pending::Subscribe(reply, sink)) => {
                    if let Ok(subscription) = &outcome {
                        self.events().insert(subscription.clone(), sink);
                    }
                    drop(reply.send(outcome));
                }
                None => return self.disown(id),
            },
            Ok(Message::Event { subscription, result }) => {
                let mut events = self.events();
                let full = events.get(&subscription).is_some_and(|s| s.try_send(result).is_err());
                if full {
                    // The reader sees the end of its stream and fills the gap by itself.
                    events.remove(&subscription);
                }
            }
            Ok(Message::Reply { id: None, .. }) => {
                log::warn!("{}: an answer without an id on the socket", self.name);
                return self.disown(0);
            }
            Err(error) => {
                log::warn!("{}: unreadable frame, connecting again: {error}", self.name);
                return false;
            }
        }
        true
    }

    /// An answer under an id that nobody waits for. With one call under way it is that call's; among
    /// several nobody can tell. False when the connection has to go.
    fn disown(&self, id: u64) -> bool {
        if id >= FIRST_OWN_ID {
            // What we sent without waiting: an unsubscription.
            return true;
        }
        let mut pending = self.pending();
        pending.retain(|_, entry| match entry {
            Pending::Call(reply) | Pending::Subscribe(reply, _) => !reply.is_closed(),
        });
        log::warn!("{}: an answer under an id that was not asked", self.name);
        match pending.len() {
            0 => true,
            1 => {
                pending.clear();
                true
            }
            _ => false,
        }
    }

    /// Fails every call and ends every stream.
    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.pending().clear();
        self.events().clear();
    }

    fn heard_now(&self) {
        let millis = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard.store(millis, Ordering::Relaxed);
    }

    fn silent_for(&self) -> Duration {
        let heard = Duration::from_millis(self.heard.load(Ordering::Relaxed));
        self.opened.elapsed().saturating_sub(heard)
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<u64, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn events(&self) -> MutexGuard<'_, HashMap<Bytes, mpsc::Sender<Bytes>>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self) -> RpcError {
        self.error(ErrorClass::Unreachable, "the socket was lost before the answer")
    }

    fn error(&self, class: ErrorClass, text: &str) -> RpcError {
        RpcError::new(class, &self.name, text)
    }
}

async fn connect(address: &Address) -> Result<Socket, RpcError> {
    let error = |class, text: String| RpcError::new(class, &address.name, text);
    let mut config = WebSocketConfig::default();
    config.max_message_size = Some(ANSWER_BYTES_MAX);
    config.max_frame_size = Some(ANSWER_BYTES_MAX);
    let tls = tls::client_config()
        .ok_or_else(|| error(ErrorClass::Unreachable, "TLS is not usable".into()))?;
    let connecting = tokio_tungstenite::connect_async_tls_with_config(
        address.url.as_str(),
        Some(config),
        true,
        Some(Connector::Rustls(tls)),
    );
    let stream = match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(Ok((stream, _))) => stream,
        Ok(Err(cause)) => return Err(refused(&address.name, &cause)),
        Err(_) => return Err(error(ErrorClass::Timeout, "no connection in time".into())),
    };
    let socket = start(address.name.clone(), stream);
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    let (chain, genesis) = (chain_id_call(), genesis_call());
    let first = socket.call(socket.next_own_id(), &chain, deadline);
    let second = socket.call(socket.next_own_id(), &genesis, Instant::now() + GENESIS_TIMEOUT);
    let (answer, block) = tokio::join!(first, second);
    let answer = answer?.map_err(|object| RpcError::from_object(&address.name, object))?;
    verify_chain(&address.name, address.chain, &answer)?;
    if let Ok(Ok(block)) = block
        && let Some(hash) = block_hash(&block)
    {
        address.genesis.note(&address.name, hash);
    }
    Ok(socket)
}

/// A refused handshake often carries the reason as an HTTP status.
fn refused(name: &Arc<str>, cause: &tokio_tungstenite::tungstenite::Error) -> RpcError {
    use tokio_tungstenite::tungstenite::Error;
    match cause {
        Error::Http(answer) => {
            let body = answer.body().as_deref().unwrap_or_default();
            let mut error = RpcError::from_http(name, answer.status().as_u16(), None, body);
            if error.class == ErrorClass::BadAnswer {
                error.class = ErrorClass::Unreachable;
            }
            error
        }
        other => RpcError::new(ErrorClass::Unreachable, name, format!("cannot connect: {other}")),
    }
}

fn start(name: Arc<str>, stream: Stream) -> Socket {
    let (sink, source) = stream.split();
    let (outgoing, queue) = mpsc::channel(OUTGOING_MAX);
    let shared = Arc::new(Shared {
        name,
        outgoing,
        pending: Mutex::default(),
        events: Mutex::default(),
        closed: AtomicBool::new(false),
        next_own: AtomicU64::new(FIRST_OWN_ID),
        heard: AtomicU64::new(0),
        opened: Instant::now(),
    });
    let reader = tokio::spawn(io::read(shared.clone(), source));
    let writer = tokio::spawn(io::write(shared.clone(), sink, queue));
    Socket { shared, _tasks: Arc::new(Tasks(reader, writer)) }
}

#[cfg(test)]
mod tests;
