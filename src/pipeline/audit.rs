//! Goes over what is stored: blocks that are missing, rows that were altered or deleted, blocks without a
//! proof. Asks nodes again for what is in doubt, or for everything, and can put it right.
//!
//! Documents are not compared: whoever repairs builds them again from the raw logs.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::B256;

use super::apply::recognised;
use super::digest::Content;
use super::error::PipelineError;
use super::store::{AmendUnit, ChainState, CommitBlock, ContractTag, RawPage, Store};
use crate::chain::error::ChainError;
use crate::chain::fetch::Fetcher;
use crate::chain::update::Segment;
use crate::decode::registry::{Recognition, Registry};
use crate::types::chain::{BlockRange, BlockRef, ChainId, Proof};
use crate::types::log::{LogBuf, LogView};

/// Logs of one page: bounds memory.
const PAGE_LOGS: usize = 20_000;
/// Blocks asked for in one go: within the span that public nodes answer.
const ASK_BLOCKS: u64 = 256;
/// Tries of one range, each with a pause behind it that doubles from the first.
const TRIES: u32 = 5;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(200);
/// Faults that are listed; all are counted.
const LISTED_MAX: usize = 1_000;

/// Which blocks nodes are asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Those that look wrong, are missing or have no proof.
    Doubtful,
    Everything,
}

/// What is done about faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    Look,
    Repair,
}

/// What is wrong with a stored block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub block: u64,
    pub what: &'static str,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub from: Option<u64>,
    pub to: Option<u64>,
    /// Stored blocks gone over.
    pub blocks: u64,
    /// Blocks that nodes were asked for again.
    pub asked: u64,
    /// Blocks that have no proof in the end.
    pub unverified: u64,
    /// The first of them; `faulty` counts all.
    pub faults: Vec<Fault>,
    pub faulty: u64,
    /// Blocks were replaced; the documents have to be built again.
    pub repaired: bool,
}

impl Report {
    fn add(&mut self, fault: Fault) {
        self.faulty += 1;
        if self.faults.len() < LISTED_MAX {
            self.faults.push(fault);
        }
    }
}

/// One chain's audit.
#[derive(Debug)]
pub struct Audit<'a> {
    pub chain: ChainId,
    pub registry: &'a Registry,
    pub tags: &'a [ContractTag],
    pub store: &'a dyn Store,
    pub fetcher: &'a Fetcher,
    pub depth: Depth,
    pub task: Task,
}

/// Why an audit ended early.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
}

impl From<super::error::StoreError> for AuditError {
    fn from(error: super::error::StoreError) -> Self {
        Self::Pipeline(error.into())
    }
}

/// A block as it is stored, with its logs.
#[derive(Debug)]
struct Stored {
    commit: CommitBlock,
    logs: LogBuf,
}

impl Audit<'_> {
    /// Goes over everything from `start_block` to the cursor. `told` hears the last block of each page.
    pub async fn run(
        &self,
        state: &ChainState,
        start_block: u64,
        told: impl Fn(u64),
    ) -> Result<Report, AuditError> {
        let mut report = Report::default();
        let Some(cursor) = state.cursor else { return Ok(report) };
        report.to = Some(cursor.number);
        let (mut from, mut expected, mut parent) = (0, start_block, None);
        loop {
            let page = self.store.raw(self.chain, from, PAGE_LOGS).await?;
            let next = page.next;
            let first = page.blocks.first().map(|commit| commit.block.number);
            if report.from.is_none() {
                expected = first.map_or(expected, |first| expected.min(first));
                report.from = Some(expected);
            }
            let end = match (next, page.blocks.last()) {
                (Some(next), _) => next.saturating_sub(1),
                (None, _) => cursor.number,
            };
            report.blocks += page.blocks.len() as u64;
            let stored = split(page)?;
            let range = BlockRange { from: expected, to: end };
            self.page(state, range, stored, &mut parent, &mut report).await?;
            told(end);
            expected = end.saturating_add(1);
            match next {
                Some(next) => from = next,
                None => return Ok(report),
            }
        }
    }

    /// Every block of `range` must be in `stored` and right.
    async fn page(
        &self,
        state: &ChainState,
        range: BlockRange,
        stored: BTreeMap<u64, Stored>,
        parent: &mut Option<(u64, B256)>,
        report: &mut Report,
    ) -> Result<(), AuditError> {
        let mut doubtful: Vec<u64> = Vec::new();
        let mut suspects: BTreeMap<u64, &'static str> = BTreeMap::new();
        for number in range.from..=range.to {
            let Some(block) = stored.get(&number) else {
                suspects.insert(number, "is missing");
                doubtful.push(number);
                continue;
            };
            let seems = local(block);
            if let Some(what) = seems {
                suspects.insert(number, what);
            }
            let unproven = block.commit.proof == Proof::Unverified;
            if seems.is_some() || unproven || self.depth == Depth::Everything {
                doubtful.push(number);
            }
            report.unverified += u64::from(unproven);
        }
        for ask in runs(&doubtful) {
            let segment = self.fetch(ask).await?;
            report.asked += ask.len();
            let before = ask.from.checked_sub(1);
            let below = before.and_then(|before| match stored.get(&before) {
                Some(block) => Some(block.commit.block.hash),
                None => parent.filter(|(number, _)| *number == before).map(|(_, hash)| hash),
            });
            self.compare(state, segment, below, (&stored, &suspects), report).await?;
        }
        if let Some((number, block)) = stored.last_key_value() {
            *parent = Some((*number, block.commit.block.hash));
        }
        Ok(())
    }

    /// What nodes say against what is stored.
    async fn compare(
        &self,
        state: &ChainState,
        segment: Segment,
        below: Option<B256>,
        (stored, suspects): (&BTreeMap<u64, Stored>, &BTreeMap<u64, &'static str>),
        report: &mut Report,
    ) -> Result<(), AuditError> {
        let (recognised, logs) = recognised(self.registry, self.tags, segment.logs);
        let mut unit = AmendUnit {
            chain: self.chain,
            blocks: Vec::new(),
            logs: LogBuf::default(),
            recognised: Vec::new(),
            coverage: Vec::new(),
        };
        let mut parent = below;
        let mut at = 0;
        for proven in segment.blocks {
            let number = proven.block.number;
            let said: Vec<LogView<'_>> =
                logs.iter().skip(at).take_while(|log| log.head.block_number == number).collect();
            let first = at;
            at += said.len();
            let ours = stored.get(&number);
            let final_ = state.finalized.is_some_and(|finalized| number <= finalized);
            let other = ours.is_some_and(|ours| ours.commit.block.hash != proven.block.hash);
            if other && !final_ {
                // A fork that the next start follows.
                parent = ours.map(|ours| ours.commit.block.hash);
                continue;
            }
            let seems = suspects.get(&number).copied();
            let fault = self.differs(ours, &proven.block, parent, &said).or(seems);
            parent = Some(proven.block.hash);
            if let Some(what) = fault {
                report.add(Fault { block: number, what });
            }
            let better = ours.is_some_and(|ours| {
                ours.commit.proof == Proof::Unverified && proven.proof != Proof::Unverified
            });
            if self.task == Task::Look || (fault.is_none() && !better) {
                continue;
            }
            report.unverified = report.unverified.saturating_sub(u64::from(better));
            let (block, proof) = (proven.block, proven.proof);
            unit.blocks.push(CommitBlock { block, proof, digest: None });
            unit.recognised.extend(recognised[first..at].iter().cloned());
            for log in said {
                unit.logs.push_view(log).map_err(ChainError::from)?;
            }
        }
        if !unit.blocks.is_empty() {
            self.store.amend(Arc::new(unit)).await?;
            report.repaired = true;
        }
        Ok(())
    }

    /// In what a stored block differs from the chain's.
    fn differs(
        &self,
        ours: Option<&Stored>,
        block: &BlockRef,
        parent: Option<B256>,
        said: &[LogView<'_>],
    ) -> Option<&'static str> {
        let ours = ours?;
        if ours.commit.block.hash != block.hash {
            Some("has another hash than the chain's block")
        } else if parent.is_some_and(|hash| hash != block.parent) {
            Some("does not follow the stored block below it")
        } else if ours.commit.block.timestamp != block.timestamp {
            Some("has another timestamp than the chain's block")
        } else if !self.same(ours, said) {
            Some("has other logs than the chain's")
        } else {
            None
        }
    }

    /// Logs of contracts that are not configured any more are nobody's fault.
    fn same(&self, stored: &Stored, said: &[LogView<'_>]) -> bool {
        let ours: Vec<LogView<'_>> = stored.logs.iter().filter(|log| self.ours(*log)).collect();
        ours.len() == said.len()
            && ours.iter().zip(said).all(|(ours, said)| {
                ours.head.log_index == said.head.log_index
                    && ours.head.address == said.head.address
                    && ours.head.tx_hash == said.head.tx_hash
                    && ours.head.tx_index == said.head.tx_index
                    && ours.topics() == said.topics()
                    && ours.data == said.data
            })
    }

    fn ours(&self, log: LogView<'_>) -> bool {
        !matches!(self.registry.recognise(log), Recognition::Foreign)
    }

    async fn fetch(&self, range: BlockRange) -> Result<Segment, AuditError> {
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            match self.fetcher.history(range).await {
                Err(error) if error.is_retryable() => {
                    log::warn!(range:% = range, pause:? = pause; "asking again: {error}");
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2);
                }
                outcome => return Ok(outcome?),
            }
        }
        Ok(self.fetcher.history(range).await?)
    }
}

/// What a block's own rows say against each other.
fn local(stored: &Stored) -> Option<&'static str> {
    let mut content = Content::of(&stored.commit.block);
    stored.logs.iter().for_each(|log| content.log(log));
    match (stored.commit.digest, stored.logs.is_empty()) {
        (None, true) => None,
        (None, false) => Some("has logs and no digest"),
        (Some(_), true) => Some("has lost its logs"),
        (Some(digest), false) if digest.content != content.finish() => {
            Some("does not give its digest")
        }
        (Some(_), false) => None,
    }
}

/// A page by block.
fn split(page: RawPage) -> Result<BTreeMap<u64, Stored>, ChainError> {
    let mut blocks: BTreeMap<u64, Stored> = BTreeMap::new();
    for commit in page.blocks {
        blocks.insert(commit.block.number, Stored { commit, logs: LogBuf::default() });
    }
    for log in page.logs.iter() {
        if let Some(block) = blocks.get_mut(&log.head.block_number) {
            block.logs.push_view(log)?;
        }
    }
    Ok(blocks)
}

/// Numbers in ascending order as ranges that one question can ask for.
fn runs(numbers: &[u64]) -> Vec<BlockRange> {
    let mut runs: Vec<BlockRange> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some(run) if run.to + 1 == *number && run.len() < ASK_BLOCKS => run.to = *number,
            _ => runs.push(BlockRange { from: *number, to: *number }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_asked_for_together_and_never_too_many() {
        let numbers: Vec<u64> = [3, 4, 9].into_iter().chain(100..100 + ASK_BLOCKS + 1).collect();
        let asked = runs(&numbers);
        let total: u64 = asked.iter().map(BlockRange::len).sum();
        assert_eq!(total, numbers.len() as u64);
        assert_eq!(asked[0], BlockRange { from: 3, to: 4 });
        assert!(asked.iter().all(|range| range.len() <= ASK_BLOCKS));
    }
}
