//! News from the providers: new heads and log hints pushed over WebSocket, polling as the watchdog.
//!
//! A doorbell, not a source of truth: events may repeat, come out of order or be missing for a while.
//! `chain` walks parents by itself. Streams are opened anew after a loss, for as long as the
//! [`Heads`] lives; dropping it ends everything.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::{B256, U64};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::endpoint::Endpoint;
use super::endpoint::socket::{Socket, Subscription};
use super::error::RpcError;
use super::eth::header::Link;
use super::eth::{BlockTag, LogFilter, Which};
use super::pool::{CallOptions, Pool};
use super::wire::{Call, WireError, logs};
use crate::config::Transport;
use crate::types::chain::BlockRef;
use crate::types::log::LogBuf;

/// Signals waiting for the reader. When full, streams wait; none is dropped.
const SIGNALS_MAX: usize = 1024;
/// First and longest pause before a lost stream is opened again.
const REOPEN_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(15));
/// A stream is checked against the provider's head after this many poll intervals of silence.
const SILENT_POLLS: u32 = 4;
/// Time for one poll of one provider.
const POLL_TIMEOUT: Duration = Duration::from_secs(5);

/// A provider says that it has a new head.
#[derive(Debug, Clone)]
pub struct HeadEvent {
    pub provider: Arc<str>,
    pub number: u64,
    pub hash: B256,
    pub parent: B256,
    pub timestamp: u64,
    /// The header object as the node sent it; a polled one is the whole block.
    pub raw: Bytes,
}

impl HeadEvent {
    /// The head as a link of the chain.
    pub fn block_ref(&self) -> BlockRef {
        BlockRef {
            number: self.number,
            hash: self.hash,
            parent: self.parent,
            timestamp: self.timestamp,
        }
    }
}

/// A provider pushed a log, so this block has logs that interest us.
#[derive(Debug, Clone)]
pub struct LogHint {
    pub provider: Arc<str>,
    pub block_number: u64,
    pub block_hash: B256,
    /// The provider takes the log back because its block was orphaned.
    pub removed: bool,
    /// The log object as the node sent it.
    pub raw: Bytes,
}

impl LogHint {
    /// The log itself, alone in a buffer.
    pub fn read(&self) -> Result<LogBuf, WireError> {
        logs::parse_one(&self.raw)
    }
}

/// One piece of news.
#[derive(Debug, Clone)]
pub enum Signal {
    Head(HeadEvent),
    Log(LogHint),
}

/// The merged stream of news of one chain.
#[derive(Debug)]
pub struct Heads {
    signals: mpsc::Receiver<Signal>,
    _tasks: JoinSet<()>,
}

impl Heads {
    /// Starts listening to every provider. `log_filters` become `logs` subscriptions on sockets of
    /// their own, since a burst of logs must not hold up heads; none means heads only.
    pub fn start(pool: Arc<Pool>, log_filters: Vec<LogFilter>, poll_interval: Duration) -> Self {
        let (sender, signals) = mpsc::channel(SIGNALS_MAX);
        let desk = Arc::new(Desk {
            sender,
            started: Instant::now(),
            pushed: AtomicU64::new(0),
            poll_interval: poll_interval.max(Duration::from_millis(10)),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(attend(pool, desk, log_filters));
        Self { signals, _tasks: tasks }
    }

    /// The next piece of news. Pending while nothing happens; never ends by itself.
    pub async fn next(&mut self) -> Option<Signal> {
        self.signals.recv().await
    }

    /// News that is already there, without waiting.
    pub fn try_next(&mut self) -> Option<Signal> {
        self.signals.try_recv().ok()
    }
}

/// What the tasks share.
#[derive(Debug)]
struct Desk {
    sender: mpsc::Sender<Signal>,
    started: Instant,
    /// Milliseconds after `started` at which a head was last pushed.
    pushed: AtomicU64,
    poll_interval: Duration,
}

impl Desk {
    /// False when nobody listens any more.
    async fn send(&self, signal: Signal) -> bool {
        self.sender.send(signal).await.is_ok()
    }

    fn note_push(&self) {
        let at = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.pushed.store(at.max(1), Ordering::Relaxed);
    }

    fn pushed_lately(&self) -> bool {
        let at = self.pushed.load(Ordering::Relaxed);
        at > 0 && self.started.elapsed() < Duration::from_millis(at) + self.poll_interval
    }
}

/// One provider that is listened to.
#[derive(Debug)]
struct Seat {
    endpoint: Arc<Endpoint>,
    /// The head that was last passed on, so that a poll repeats none.
    last: Mutex<Option<B256>>,
}

impl Seat {
    /// Notes what the provider says; false when it said the same before.
    fn note(&self, event: &HeadEvent) -> bool {
        self.endpoint.health.note_head_block(event.number, event.hash);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.replace(event.hash) != Some(event.hash)
    }
}

/// Listens to every provider that is in use, as providers come and go.
async fn attend(pool: Arc<Pool>, desk: Arc<Desk>, filters: Vec<LogFilter>) {
    let mut members = pool.members();
    let mut seats: Vec<(Arc<Endpoint>, JoinSet<()>)> = Vec::new();
    loop {
        let now = members.borrow_and_update().clone();
        let in_use = |e: &Arc<Endpoint>| !e.health.is_drained();
        seats.retain(|(seated, _)| in_use(seated) && now.iter().any(|e| Arc::ptr_eq(e, seated)));
        for endpoint in now.into_iter().filter(in_use) {
            if !seats.iter().any(|(seated, _)| Arc::ptr_eq(seated, &endpoint)) {
                let tasks = seat(&pool, &desk, &endpoint, &filters);
                seats.push((endpoint, tasks));
            }
        }
        if members.changed().await.is_err() {
            return;
        }
    }
}

fn seat(
    pool: &Arc<Pool>,
    desk: &Arc<Desk>,
    endpoint: &Arc<Endpoint>,
    filters: &[LogFilter],
) -> JoinSet<()> {
    let seat = Arc::new(Seat { endpoint: endpoint.clone(), last: Mutex::default() });
    let mut tasks = JoinSet::new();
    if endpoint.transport == Transport::WebSocket {
        tasks.spawn(listen(seat.clone(), desk.clone(), Topic::Heads));
        if !filters.is_empty() {
            tasks.spawn(listen(seat.clone(), desk.clone(), Topic::Logs(filters.to_vec())));
        }
    }
    // Each on its own: one that hangs must not hold up what the others say.
    tasks.spawn(poll(pool.clone(), seat, desk.clone()));
    tasks
}

#[derive(Debug)]
enum Topic {
    Heads,
    Logs(Vec<LogFilter>),
}

/// Keeps one socket's subscriptions open.
async fn listen(seat: Arc<Seat>, desk: Arc<Desk>, topic: Topic) {
    let endpoint = &seat.endpoint;
    let mut pauses = pauses();
    loop {
        let started = Instant::now();
        let ended = match &topic {
            Topic::Heads => heads(&seat, &desk).await,
            Topic::Logs(filters) => hints(endpoint, &desk, filters).await,
        };
        if desk.sender.is_closed() {
            return;
        }
        if let Err(error) = ended {
            log::debug!("subscription not open: {error}");
        }
        // A stream that lived for a while earned a quick retry.
        if started.elapsed() > REOPEN_PAUSE.1 {
            pauses = self::pauses();
        }
        tokio::time::sleep(pauses.next().unwrap_or(REOPEN_PAUSE.1)).await;
    }
}

/// Heads of one provider until the stream ends or turns out deaf.
async fn heads(seat: &Seat, desk: &Desk) -> Result<(), RpcError> {
    let endpoint = &seat.endpoint;
    let socket = endpoint.open_socket().await?;
    let mut stream = socket.subscribe(&b"[\"newHeads\"]"[..]).await?;
    let _open = endpoint.health.head_stream();
    let patience = desk.poll_interval.saturating_mul(SILENT_POLLS);
    let mut last = 0u64;
    loop {
        match tokio::time::timeout(patience, stream.next()).await {
            Ok(None) => return Ok(()),
            Ok(Some(raw)) => {
                let Some(event) = head_event(&endpoint.name, raw) else { continue };
                last = event.number;
                seat.note(&event);
                desk.note_push();
                if !desk.send(Signal::Head(event)).await {
                    return Ok(());
                }
            }
            Err(_) if is_deaf(&socket, last).await? => {
                log::warn!("{}: newHeads is silent although the head moved", endpoint.name);
                return Ok(());
            }
            Err(_) => {}
        }
    }
}

/// True when the node's head moved past the last head that it pushed.
async fn is_deaf(socket: &Socket, last: u64) -> Result<bool, RpcError> {
    let call = Call::new("eth_blockNumber", &b"[]"[..]);
    let id = socket.next_own_id();
    let head = socket.call(id, &call, Instant::now() + POLL_TIMEOUT).await?;
    let head = head.ok().and_then(|result| super::pool::quantity(&result)).unwrap_or(0);
    Ok(last > 0 && head > last)
}

/// Log hints of one provider until one of the streams ends.
async fn hints(
    endpoint: &Arc<Endpoint>,
    desk: &Arc<Desk>,
    filters: &[LogFilter],
) -> Result<(), RpcError> {
    let socket = endpoint.open_socket().await?;
    let mut streams = JoinSet::new();
    for filter in filters {
        let stream = socket.subscribe(filter.params_for_subscription()).await?;
        streams.spawn(pass_on(endpoint.name.clone(), desk.clone(), stream));
    }
    // The first end takes the others down: all are opened again together.
    let _ended = streams.join_next().await;
    Ok(())
}

async fn pass_on(provider: Arc<str>, desk: Arc<Desk>, mut stream: Subscription) {
    while let Some(raw) = stream.next().await {
        let Some(hint) = log_hint(&provider, raw) else { continue };
        if !desk.send(Signal::Log(hint)).await {
            return;
        }
    }
}

/// Asks a provider for its head while no push speaks.
async fn poll(pool: Arc<Pool>, seat: Arc<Seat>, desk: Arc<Desk>) {
    let mut ticks = tokio::time::interval(desk.poll_interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if desk.pushed_lately() {
            continue;
        }
        let Some(event) = poll_one(&pool, &seat.endpoint).await else { continue };
        if seat.note(&event) && !desk.send(Signal::Head(event)).await {
            return;
        }
    }
}

async fn poll_one(pool: &Pool, endpoint: &Endpoint) -> Option<HeadEvent> {
    let options =
        CallOptions { timeout: POLL_TIMEOUT, ..CallOptions::pinned(endpoint.name.clone()) };
    let answer = pool.call_with(&Which::Tag(BlockTag::Latest).call(), &options).await.ok()?;
    head_event(&answer.provider, answer.result)
}

fn head_event(provider: &Arc<str>, raw: Bytes) -> Option<HeadEvent> {
    match serde_json::from_slice::<Link>(&raw) {
        Ok(link) => Some(HeadEvent {
            provider: provider.clone(),
            number: link.number,
            hash: link.hash,
            parent: link.parent_hash,
            timestamp: link.timestamp,
            raw,
        }),
        Err(error) => {
            log::warn!("{provider}: unreadable head: {error}");
            None
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hint {
    block_number: U64,
    block_hash: B256,
    #[serde(default)]
    removed: bool,
}

fn log_hint(provider: &Arc<str>, raw: Bytes) -> Option<LogHint> {
    match serde_json::from_slice::<Hint>(&raw) {
        Ok(hint) => Some(LogHint {
            provider: provider.clone(),
            block_number: hint.block_number.to(),
            block_hash: hint.block_hash,
            removed: hint.removed,
            raw,
        }),
        Err(error) => {
            log::warn!("{provider}: unreadable log: {error}");
            None
        }
    }
}

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(REOPEN_PAUSE.0)
        .with_max_delay(REOPEN_PAUSE.1)
        .with_jitter()
        .without_max_times()
        .build()
}
