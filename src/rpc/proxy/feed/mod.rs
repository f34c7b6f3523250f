//! One stream of a chain's heads and logs for any number of clients.
//!
//! Runs while somebody listens. Everything that is sent is linked by hash: each head is the child of
//! the one sent before or follows the fork's common block, and logs of orphaned blocks are taken back
//! before the new ones come. Which log a client wants is filtered in `session`.

mod claims;

pub(crate) mod cursor;

mod follow;

mod pending;

mod replay;

pub(crate) mod window;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use alloy_primitives::B256;
use bytes::Bytes;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;

use self::cursor::Cursor;
use self::pending::PendingFeeds;
pub(crate) use self::pending::PendingStream;
use self::window::{Known, Window};
use super::proof::Proofs;
use super::view::{Place, Tip};
use crate::rpc::error::{ErrorClass, RpcError};
use crate::rpc::eth::{BlockTag, LogFilter, RpcHeader, Which};
use crate::rpc::pool::{CallOptions, Pool};
use crate::types::chain::{BlockRange, BlockRef};
use crate::types::log::LogBuf;

/// Blocks kept by hash: a reorg deeper than this ends all streams with their cursor.
const WINDOW_BLOCKS: usize = 256;
/// Blocks known from the start: deeper than any reorg of daily life, and one batch.
const BASE_BLOCKS: u64 = 64;
/// Time for the first head and for the blocks before it.
const START_TIMEOUT: Duration = Duration::from_secs(5);
/// Blocks waiting for their logs.
const LOG_QUEUE_MAX: usize = 256;

/// The stream of one chain; idle until somebody subscribes.
#[derive(Debug)]
pub(crate) struct Feed {
    pool: Arc<Pool>,
    backlog: usize,
    proofs: Option<Arc<Proofs>>,
    running: tokio::sync::Mutex<Weak<Running>>,
    pending: PendingFeeds,
}

/// A stream under way. Ends when the last subscriber drops it.
#[derive(Debug)]
pub(crate) struct Running {
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

/// What the tasks and the subscribers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pool: Arc<Pool>,
    proofs: Option<Arc<Proofs>>,
    window: Mutex<Window>,
    /// Taken away when the stream breaks off, which ends the subscribers' receivers.
    heads: Mutex<Option<broadcast::Sender<Arc<Known>>>>,
    logs: Mutex<LogState>,
    log_watchers: AtomicUsize,
}

/// Blocks whose logs were sent, as the log subscribers know the chain.
#[derive(Debug)]
struct LogState {
    sender: Option<broadcast::Sender<Arc<LogNews>>>,
    announced: VecDeque<Announced>,
    /// Orphaned blocks, oldest first, for subscribers that resume.
    orphans: VecDeque<Announced>,
}

#[derive(Debug, Clone)]
struct Announced {
    known: Arc<Known>,
    /// `None` when nobody wanted logs at the time.
    logs: Option<Arc<BlockLogs>>,
}

/// All logs of one block.
#[derive(Debug, Default)]
pub(crate) struct BlockLogs {
    /// The log objects as the node wrote them.
    pub(crate) raw: Vec<Bytes>,
    pub(crate) logs: LogBuf,
}

/// The logs of a block come, or are taken back.
#[derive(Debug)]
pub(crate) struct LogNews {
    pub(crate) known: Arc<Known>,
    pub(crate) logs: Arc<BlockLogs>,
    pub(crate) retracted: bool,
    /// Of a block taken up in its middle, the first log index that counts; for a retraction the
    /// first that does not.
    pub(crate) split: Option<u32>,
}

impl LogNews {
    /// The logs that a client asked for, in the order in which it gets them, each with the place where
    /// it stands afterwards.
    pub(crate) fn for_client<'a>(
        &'a self,
        filter: &'a LogFilter,
    ) -> impl Iterator<Item = (&'a Bytes, Cursor)> {
        let count = self.logs.raw.len();
        (0..count).filter_map(move |step| {
            let at = if self.retracted { count - 1 - step } else { step };
            let (raw, log) = (self.logs.raw.get(at)?, self.logs.logs.get(at)?);
            let index = log.head.log_index;
            let counts = self.split.is_none_or(|split| (index < split) == self.retracted);
            if !counts || !filter.matches(log.head) {
                return None;
            }
            let held = if self.retracted { index } else { index.saturating_add(1) };
            let BlockRef { number, hash, .. } = self.known.block;
            Some((raw, Cursor::Logs { number, hash, held }))
        })
    }
}

/// Heads for one subscriber.
#[derive(Debug)]
pub(crate) struct HeadStream {
    /// What a resumed subscriber missed, oldest first.
    pub(crate) missed: Vec<Arc<Known>>,
    pub(crate) live: broadcast::Receiver<Arc<Known>>,
    _running: Arc<Running>,
}

/// Logs for one subscriber, unfiltered.
#[derive(Debug)]
pub(crate) struct LogStream {
    /// What a resumed subscriber missed, in order.
    pub(crate) missed: Vec<LogNews>,
    pub(crate) live: broadcast::Receiver<Arc<LogNews>>,
    /// Retractions of blocks up to this one concern logs that the subscriber never saw.
    pub(crate) joined_after: u64,
    running: Arc<Running>,
}

impl Drop for LogStream {
    fn drop(&mut self) {
        self.running.shared.log_watchers.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Feed {
    pub(crate) fn new(pool: Arc<Pool>, backlog: usize, proofs: Option<Arc<Proofs>>) -> Self {
        Self {
            pool,
            proofs,
            backlog: backlog.max(1),
            running: tokio::sync::Mutex::default(),
            pending: PendingFeeds::default(),
        }
    }

    /// Pending transactions from now on, as hashes or whole.
    pub(crate) async fn pending(&self, full: bool) -> Result<PendingStream, RpcError> {
        self.pending.join(&self.pool, self.backlog, full).await
    }

    /// Heads from now on, or from a cursor on.
    pub(crate) async fn heads(&self, resume: Option<Cursor>) -> Result<HeadStream, RpcError> {
        let running = self.running().await?;
        let (live, blocks) = running.shared.join_heads()?;
        let missed = match resume {
            None => Vec::new(),
            Some(cursor) => replay::heads(&running.shared, cursor, blocks).await?,
        };
        Ok(HeadStream { missed, live, _running: running })
    }

    /// Logs from now on, or from a cursor on.
    pub(crate) async fn logs(&self, resume: Option<Cursor>) -> Result<LogStream, RpcError> {
        let running = self.running().await?;
        running.shared.log_watchers.fetch_add(1, Ordering::AcqRel);
        let (live, joined) = running.shared.join_logs()?;
        let joined_after = if resume.is_some() { 0 } else { joined.tip_seq };
        let mut stream = LogStream { missed: Vec::new(), live, joined_after, running };
        if let Some(cursor) = resume {
            stream.missed = replay::logs(&stream.running.shared, cursor, joined).await?;
        }
        Ok(stream)
    }

    /// The stream under way, started if there is none. Known heads come first, so that a subscriber
    /// is told of every block after the confirmation.
    pub(crate) async fn running(&self) -> Result<Arc<Running>, RpcError> {
        let mut slot = self.running.lock().await;
        if let Some(running) = slot.upgrade().filter(|running| running.shared.is_live()) {
            return Ok(running);
        }
        let latest = Which::Tag(BlockTag::Latest);
        // Requests wait for this: a provider that hangs must not make them wait long.
        let options = CallOptions { timeout: START_TIMEOUT, hedge: true, ..CallOptions::default() };
        let base = self.base(latest, &options).await?.ok_or_else(|| {
            RpcError::of_pool(ErrorClass::NotYet, "no provider has a latest block")
        })?;
        let older = self.before(base.header.number, &base.provider).await;
        let base = follow::known(base.block_ref(), &base.raw, &base.provider);
        let mut window = Window::new(base, WINDOW_BLOCKS);
        window.prepend(older);
        let running = Arc::new(self.start(window));
        *slot = Arc::downgrade(&running);
        Ok(running)
    }

    /// The first block of a stream: from whoever is known to be at the head, else from anybody.
    async fn base(
        &self,
        latest: Which,
        options: &CallOptions,
    ) -> Result<Option<RpcHeader>, RpcError> {
        let head = self.pool.highest_head();
        let at_head = CallOptions { min_head: Some(head), ..options.clone() };
        match self.pool.header(latest, &at_head).await {
            Ok(Some(found)) if found.header.number >= head => Ok(Some(found)),
            _ => self.pool.header(latest, options).await,
        }
    }

    /// Blocks before `number`, so that a fork right after the start finds its parents. None is fine.
    async fn before(&self, number: u64, provider: &Arc<str>) -> Vec<Known> {
        let Some(last) = number.checked_sub(1) else { return Vec::new() };
        let range = BlockRange { from: number.saturating_sub(BASE_BLOCKS), to: last };
        let options =
            CallOptions { timeout: START_TIMEOUT, ..CallOptions::pinned(provider.clone()) };
        match self.pool.headers(range, &options).await {
            Ok(headers) => headers
                .iter()
                .map(|header| follow::known(header.block_ref(), &header.raw, &header.provider))
                .collect(),
            Err(error) => {
                log::debug!("the stream starts with one block: {error}");
                Vec::new()
            }
        }
    }

    fn start(&self, window: Window) -> Running {
        let announced =
            window.blocks().map(|k| Announced { known: k.clone(), logs: None }).collect();
        let shared = Arc::new(Shared {
            pool: self.pool.clone(),
            proofs: self.proofs.clone(),
            window: Mutex::new(window),
            heads: Mutex::new(Some(broadcast::channel(self.backlog).0)),
            logs: Mutex::new(LogState {
                sender: Some(broadcast::channel(self.backlog).0),
                announced,
                orphans: VecDeque::new(),
            }),
            log_watchers: AtomicUsize::new(0),
        });
        let (steps, queue) = mpsc::channel(LOG_QUEUE_MAX);
        let mut tasks = JoinSet::new();
        tasks.spawn(follow::follow(shared.clone(), steps));
        tasks.spawn(follow::announce_logs(shared.clone(), queue));
        Running { shared, _tasks: tasks }
    }
}

impl Running {
    /// False once the stream broke off; the next subscriber starts another.
    pub(crate) fn is_live(&self) -> bool {
        self.shared.is_live()
    }

    /// The last head that was announced.
    pub(crate) fn tip(&self) -> Option<Tip> {
        let window = self.shared.window();
        window.tip().map(|known| Tip { number: known.block.number, hash: known.block.hash })
    }

    /// The height of a block of the window.
    pub(crate) fn number_of(&self, hash: &B256) -> Option<u64> {
        let window = self.shared.window();
        window.blocks().rev().find(|k| k.block.hash == *hash).map(|k| k.block.number)
    }

    /// What is known of a block number.
    pub(crate) fn place(&self, number: u64) -> Place {
        self.shared.window().place(number)
    }
}

/// What a joining log subscriber finds.
#[derive(Debug)]
struct Joined {
    tip_seq: u64,
    announced: Vec<Announced>,
    orphans: Vec<Announced>,
}

impl Shared {
    /// A receiver and the blocks sent before it, with nothing in between.
    #[expect(clippy::type_complexity, reason = "used once, by name below")]
    fn join_heads(&self) -> Result<(broadcast::Receiver<Arc<Known>>, Vec<Arc<Known>>), RpcError> {
        let window = self.window();
        let heads = lock(&self.heads);
        let live = heads.as_ref().ok_or_else(broken_off)?.subscribe();
        Ok((live, window.blocks().cloned().collect()))
    }

    fn join_logs(&self) -> Result<(broadcast::Receiver<Arc<LogNews>>, Joined), RpcError> {
        let state = lock(&self.logs);
        let live = state.sender.as_ref().ok_or_else(broken_off)?.subscribe();
        let joined = Joined {
            tip_seq: state.announced.back().map_or(0, |a| a.known.seq),
            announced: state.announced.iter().cloned().collect(),
            orphans: state.orphans.iter().cloned().collect(),
        };
        Ok((live, joined))
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        lock(&self.window)
    }

    fn is_live(&self) -> bool {
        lock(&self.heads).is_some()
    }

    /// Ends every subscriber's stream: they come back with their cursor.
    fn break_off(&self) {
        *lock(&self.heads) = None;
        lock(&self.logs).sender = None;
    }
}

fn broken_off() -> RpcError {
    RpcError::of_pool(ErrorClass::Transient, "the stream is starting anew")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
