//! The one loop: a chain's updates in, committed units out, one at a time and in order.
//!
//! While a unit is being written the next is already being decoded; no more than one is in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alloy_primitives::B256;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::apply::{Finished, Foreign, Start, Turn, Work};
use super::error::{PipelineError, StoreError};
use super::handler::{Handler, StateView};
use super::meters::Meters;
use super::parking::Parking;
use super::rewind::still_parked;
use super::sink::Sink;
use super::store::{ChainState, CommitMode, CommitUnit, ContractTag, Recognised, Store};
use crate::chain::queue::UpdateReceiver;
use crate::chain::update::{ChainUpdate, Phase, Segment};
use crate::decode::registry::Registry;
use crate::telemetry::health::HealthBoard;
use crate::types::asset::DocKey;
use crate::types::chain::{BlockId, ChainId};

/// Documents held in memory at the most, about 200 bytes each; past it the view is emptied and
/// filled again from the store.
pub(super) const VIEW_MAX_DOCS: usize = 200_000;
/// Waits between tries of a commit that the store could not take: doubling, first to last.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(10);

/// Running totals of one chain, for progress bars and reports. Totals of this run only.
#[derive(Debug, Default)]
pub struct Progress {
    pub blocks: AtomicU64,
    pub logs: AtomicU64,
    pub events: AtomicU64,
    pub undecoded: AtomicU64,
    /// Number of the last committed block.
    pub tip: AtomicU64,
    pub caught_up: AtomicU64,
}

/// One chain's pipeline.
#[derive(Debug)]
pub struct Runner {
    chain: ChainId,
    registry: Registry,
    /// What the registry's contract indexes are called in the store.
    tags: Vec<ContractTag>,
    handlers: Vec<Box<dyn Handler>>,
    store: Arc<dyn Store>,
    sinks: Vec<Arc<dyn Sink>>,
    progress: Arc<Progress>,
    view: StateView,
    cursor: Option<BlockId>,
    /// The state digest at the cursor.
    digest: B256,
    parking: Parking,
    finalized: Option<u64>,
    /// The commit under way.
    writing: Option<JoinHandle<Result<u64, StoreError>>>,
    /// The store defers its indexes; built when history ends.
    bulk: bool,
    meters: Meters,
}

/// What a runner is made of.
#[derive(Debug)]
pub struct Parts {
    pub chain: ChainId,
    pub registry: Registry,
    /// One tag per contract of the registry.
    pub tags: Vec<ContractTag>,
    pub handlers: Vec<Box<dyn Handler>>,
    pub store: Arc<dyn Store>,
    pub sinks: Vec<Arc<dyn Sink>>,
    pub progress: Arc<Progress>,
    pub health: HealthBoard,
}

impl Runner {
    /// A runner that continues where the store stands.
    pub fn new(parts: Parts, state: &ChainState) -> Self {
        let meters = Meters::new(parts.chain);
        let parked = state.parked.clone();
        Self {
            chain: parts.chain,
            registry: parts.registry,
            tags: parts.tags,
            handlers: parts.handlers,
            store: parts.store,
            sinks: parts.sinks,
            progress: parts.progress,
            view: StateView::default(),
            cursor: state.cursor,
            digest: state.digest,
            parking: Parking::new(parts.chain, parts.health, meters.clone(), parked),
            finalized: state.finalized,
            writing: None,
            bulk: false,
            meters,
        }
    }

    /// Works until the chain closes its end or something needs an operator. What was committed
    /// stays; what was not is fetched again.
    pub async fn run(mut self, mut updates: UpdateReceiver) -> Result<(), PipelineError> {
        while let Some(update) = updates.recv().await {
            match update {
                ChainUpdate::Committed(segment) => self.commit(segment, None).await?,
                ChainUpdate::Reorged { fork, orphaned, segment } => {
                    self.meters.reorged(orphaned.len());
                    self.registry.forget_above(fork.number);
                    self.commit(segment, Some(fork)).await?;
                }
                ChainUpdate::Finalized(block) => self.finalize(block).await?,
                ChainUpdate::CaughtUp => self.end_of_history().await?,
            }
        }
        self.settle().await?;
        self.end_of_bulk().await
    }

    async fn commit(
        &mut self,
        segment: Segment,
        fork: Option<BlockId>,
    ) -> Result<(), PipelineError> {
        self.check_link(&segment, fork)?;
        let phase = segment.phase;
        let Some(tip) = segment.tip() else { return Ok(()) };
        let undo_above = match phase {
            Phase::History => u64::MAX,
            Phase::Head => self.finalized.unwrap_or(0),
        };
        // A child may log in the very block that creates it: learn first, recognise after.
        self.registry.learn_from(segment.logs.iter());
        let restored = match fork {
            Some(fork) => self.restore(fork.number).await?,
            None => Vec::new(),
        };
        let parked = self.parking.parked().to_vec();
        let start = Start { undo_above, digest: self.digest, parked, foreign: Foreign::Drop };
        let mut work = Work::new(&self.registry, &self.tags, segment, start);
        work.touch(restored);
        self.load(work.missing(self.chain, &self.handlers, &self.view)).await?;
        while let Turn::Needs(key) = work.turn(self.chain, &self.handlers, &mut self.view) {
            self.load(vec![key]).await?;
        }
        let finished = work.finish(&self.view);
        self.digest = finished.digest;
        self.parking.set(finished.parked.clone());
        let unit = self.unit(finished, phase, fork, tip);
        self.count(&unit);
        self.settle().await?;
        self.write(unit);
        self.cursor = Some(tip);
        if phase == Phase::Head {
            // At the head a commit is small and whoever waits for it should not wait for the next.
            self.settle().await?;
        }
        if self.view.len() > VIEW_MAX_DOCS {
            self.settle().await?;
            self.view.clear();
        }
        Ok(())
    }

    fn check_link(&self, segment: &Segment, fork: Option<BlockId>) -> Result<(), PipelineError> {
        let (Some(first), Some(cursor)) = (segment.blocks.first(), fork.or(self.cursor)) else {
            return Ok(());
        };
        if first.block.parent == cursor.hash && first.block.number == cursor.number + 1 {
            return Ok(());
        }
        let block = BlockId::from(&first.block);
        Err(PipelineError::BrokenLink { chain: self.chain, block, cursor })
    }

    /// Puts documents, digest and parked handlers back as they were right after `block`; returns the
    /// documents that it changed.
    async fn restore(&mut self, block: u64) -> Result<Vec<DocKey>, PipelineError> {
        self.settle().await?;
        self.digest = self.store.digest_at(self.chain, block).await?;
        self.parking.set(still_parked(self.parking.parked().to_vec(), block));
        let undo = self.store.undo_above(self.chain, block).await?;
        let mut keys = Vec::with_capacity(undo.len());
        for record in undo {
            keys.push(record.key);
            self.view.set(record.key, record.before);
        }
        Ok(keys)
    }

    async fn load(&mut self, keys: Vec<DocKey>) -> Result<(), PipelineError> {
        if keys.is_empty() {
            return Ok(());
        }
        // The unit under way may hold newer contents, but those keys are in the view already.
        let docs = self.store.load(self.chain, &keys).await?;
        for (key, doc) in keys.into_iter().zip(docs) {
            self.view.set(key, doc);
        }
        Ok(())
    }

    fn unit(
        &self,
        finished: Finished,
        phase: Phase,
        fork: Option<BlockId>,
        cursor: BlockId,
    ) -> CommitUnit {
        CommitUnit {
            chain: self.chain,
            mode: match phase {
                Phase::History => CommitMode::Bulk,
                Phase::Head => CommitMode::Live,
            },
            rewind_to: fork.map(|fork| fork.number),
            blocks: finished.blocks,
            logs: finished.logs,
            // `Foreign::Drop`: none of them is `None`.
            recognised: finished.recognised.into_iter().flatten().collect(),
            docs: finished.docs,
            undo: finished.undo,
            cursor,
            finalized: match phase {
                Phase::History => Some(cursor.number),
                Phase::Head => self.finalized,
            },
            parked: finished.parked,
        }
    }

    fn write(&mut self, unit: CommitUnit) {
        self.bulk |= unit.mode == CommitMode::Bulk;
        if let Some(finalized) = unit.finalized {
            self.finalized = self.finalized.max(Some(finalized));
        }
        let (store, meters) = (Arc::clone(&self.store), self.meters.clone());
        self.writing = Some(tokio::spawn(insist(store, Arc::new(unit), meters)));
    }

    /// Waits for the commit under way and tells who waits for it.
    async fn settle(&mut self) -> Result<(), PipelineError> {
        let Some(writing) = self.writing.take() else { return Ok(()) };
        let seq = writing.await.map_err(|error| PipelineError::CommitLost {
            chain: self.chain,
            reason: error.to_string(),
        })??;
        if let Some(cursor) = self.cursor {
            self.progress.tip.store(cursor.number, Ordering::Relaxed);
            self.meters.indexed(cursor.number);
        }
        self.tell(seq);
        Ok(())
    }

    async fn finalize(&mut self, block: u64) -> Result<(), PipelineError> {
        self.settle().await?;
        if self.finalized.is_some_and(|known| known >= block) {
            return Ok(());
        }
        let seq = self.store.finalize(self.chain, block).await?;
        self.finalized = Some(block);
        self.meters.finalized(block);
        self.tell(seq);
        Ok(())
    }

    async fn end_of_history(&mut self) -> Result<(), PipelineError> {
        self.settle().await?;
        self.end_of_bulk().await?;
        self.progress.caught_up.store(1, Ordering::Relaxed);
        Ok(())
    }

    async fn end_of_bulk(&mut self) -> Result<(), PipelineError> {
        if std::mem::take(&mut self.bulk) {
            self.store.end_bulk().await?;
        }
        Ok(())
    }

    fn count(&self, unit: &CommitUnit) {
        let events = unit
            .recognised
            .iter()
            .filter(|recognised| matches!(recognised, Recognised::Event { .. }))
            .count() as u64;
        let logs = unit.recognised.len() as u64;
        self.progress.blocks.fetch_add(unit.blocks.len() as u64, Ordering::Relaxed);
        self.progress.logs.fetch_add(logs, Ordering::Relaxed);
        self.progress.events.fetch_add(events, Ordering::Relaxed);
        self.progress.undecoded.fetch_add(logs - events, Ordering::Relaxed);
        self.meters.committing(unit.blocks.len() as u64, events, logs - events);
    }

    fn tell(&self, seq: u64) {
        for sink in &self.sinks {
            sink.committed(seq);
        }
    }
}

/// Writes until the store takes it: a unit is never skipped.
async fn insist(
    store: Arc<dyn Store>,
    unit: Arc<CommitUnit>,
    meters: Meters,
) -> Result<u64, StoreError> {
    let mut wait = RETRY_FIRST;
    loop {
        let started = Instant::now();
        match store.commit(Arc::clone(&unit)).await {
            Err(error) if error.is_retryable() => {
                log::error!(chain = unit.chain.0, wait:? = wait; "commit failed, trying again: {error}");
                tokio::time::sleep(wait).await;
                wait = wait.saturating_mul(2).min(RETRY_LAST);
            }
            outcome => {
                meters.committed(unit.mode, started.elapsed());
                return outcome;
            }
        }
    }
}
