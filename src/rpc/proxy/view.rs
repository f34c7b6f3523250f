//! The head that clients see: one for all of them, named by hash, never behind what a client already
//! knows.
//!
//! Says "I do not know" rather than something stale; the question then goes to a provider as it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy_primitives::B256;
use tokio::time::Instant;

use super::cache::Answers;
use super::feed::{Feed, Running};
use crate::rpc::pool::{CallOptions, Pool, quantity};
use crate::rpc::wire::Call;

/// How old the head may be where nobody pushes heads. Clients ask at most this often for real.
const FRESH: Duration = Duration::from_millis(200);
/// How long a write makes us doubt our head, unless the head moves before.
const DOUBT_AFTER_WRITE: Duration = Duration::from_secs(3);
/// Time for asking whether the head is still the head.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after the head could not be learned: the providers are down, and requests must not queue up.
const UNKNOWN_FOR: Duration = Duration::from_secs(1);

/// The head at one moment, good for one request or one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) number: u64,
    pub(crate) hash: B256,
}

/// What is known of a block number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The canonical block of this number, which a reorg may still replace.
    Recent(B256),
    /// Below the window: no reorg that we would survive reaches it.
    Settled,
    /// Above the head, or nothing is known.
    Unknown,
}

/// The chain as clients see it.
#[derive(Debug)]
pub(super) struct View {
    pool: Arc<Pool>,
    feed: Arc<Feed>,
    answers: Arc<Answers>,
    running: Mutex<Option<Arc<Running>>>,
    unknown_since: Mutex<Option<Instant>>,
    /// The highest block that some answer spoke of.
    told: AtomicU64,
    write: Mutex<Option<(B256, Instant)>>,
    confirmed: tokio::sync::Mutex<Option<Instant>>,
}

impl View {
    pub(super) fn new(pool: Arc<Pool>, feed: Arc<Feed>, answers: Arc<Answers>) -> Self {
        Self {
            pool,
            feed,
            answers,
            running: Mutex::default(),
            unknown_since: Mutex::default(),
            told: AtomicU64::new(0),
            write: Mutex::default(),
            confirmed: tokio::sync::Mutex::default(),
        }
    }

    /// The head, if it is certain that no provider and no client is ahead of it.
    pub(super) async fn tip(&self) -> Option<Tip> {
        let running = self.running().await?;
        let tip = running.tip()?;
        if self.pool.head_quorum() > 1 {
            // Single providers may well be ahead; they do not make the head.
            return Some(tip);
        }
        let known = self.pool.highest_head().max(self.told.load(Ordering::Acquire));
        if known > tip.number || self.in_doubt(tip.hash) {
            return None;
        }
        if self.pool.pushes_heads() || self.is_confirmed(tip.number).await {
            return Some(tip);
        }
        None
    }

    /// The height that clients were told of: who is below it answers for an older chain.
    pub(super) fn floor(&self) -> Option<u64> {
        self.held().and_then(|running| running.tip()).map(|tip| tip.number)
    }

    /// What is known of block `number`, without asking anybody.
    pub(super) fn place(&self, number: u64) -> Place {
        match self.held() {
            Some(running) => running.place(number),
            None => Place::Unknown,
        }
    }

    /// The height of a recent block.
    pub(super) fn number_of(&self, hash: &B256) -> Option<u64> {
        self.held().and_then(|running| running.number_of(hash))
    }

    /// True unless the block is known to be orphaned or unknown.
    pub(super) fn is_canonical(&self, number: u64, hash: &B256) -> bool {
        match self.place(number) {
            Place::Recent(canonical) => canonical == *hash,
            Place::Settled => true,
            Place::Unknown => false,
        }
    }

    /// An answer spoke of this block, so a client may know of it.
    pub(super) fn note_told(&self, number: u64) {
        self.told.fetch_max(number, Ordering::AcqRel);
    }

    /// A client changed something and will want to see it.
    pub(super) fn note_write(&self) {
        let tip = self.held().and_then(|running| running.tip());
        *lock(&self.write) = Some((tip.map_or(B256::ZERO, |tip| tip.hash), Instant::now()));
    }

    fn in_doubt(&self, tip: B256) -> bool {
        let mut write = lock(&self.write);
        let doubt = write.is_some_and(|(seen, at)| seen == tip && at.elapsed() < DOUBT_AFTER_WRITE);
        if !doubt {
            *write = None;
        }
        doubt
    }

    /// Without pushes somebody has to ask, one for all, and not too often.
    async fn is_confirmed(&self, tip: u64) -> bool {
        let mut confirmed = self.confirmed.lock().await;
        if confirmed.is_some_and(|at| at.elapsed() < FRESH) {
            return true;
        }
        let asked = Instant::now();
        let call = Call::new("eth_blockNumber", &b"[]"[..]);
        let options =
            CallOptions { timeout: CONFIRM_TIMEOUT, hedge: true, ..CallOptions::default() };
        let said = Box::pin(self.pool.call_with(&call, &options)).await;
        match said.map(|answer| quantity(&answer.result).unwrap_or(u64::MAX)) {
            Ok(u64::MAX) => false,
            Ok(head) if head <= tip => {
                *confirmed = Some(asked);
                true
            }
            Ok(head) => {
                self.note_told(head);
                false
            }
            Err(_) => false,
        }
    }

    async fn running(&self) -> Option<Arc<Running>> {
        if let Some(running) = self.held() {
            return Some(running);
        }
        if lock(&self.unknown_since).is_some_and(|at| at.elapsed() < UNKNOWN_FOR) {
            return None;
        }
        match Box::pin(self.feed.running()).await {
            Ok(running) => {
                *lock(&self.running) = Some(running.clone());
                // After a gap nothing that was kept is certain any more.
                self.answers.clear();
                // A head of an earlier life must not make us doubt the new one for ever.
                self.told.store(0, Ordering::Release);
                Some(running)
            }
            Err(error) => {
                log::debug!("the head is not known: {error}");
                *lock(&self.unknown_since) = Some(Instant::now());
                None
            }
        }
    }

    fn held(&self) -> Option<Arc<Running>> {
        let mut held = lock(&self.running);
        if held.as_ref().is_some_and(|running| !running.is_live()) {
            *held = None;
        }
        held.clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
