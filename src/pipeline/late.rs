//! A contract that was added later: its logs are put among the stored ones, block by block, so that the
//! raw log is what it would be had the contract been there from the start.
//!
//! Documents are built again afterwards, by whoever calls. A kill leaves the blocks done so far, with the
//! coverage that says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::apply::recognised;
use super::audit::AuditError;
use super::sources::Missing;
use super::store::{AmendUnit, CommitBlock, ContractTag, Coverage, Store};
use crate::chain::error::ChainError;
use crate::chain::queue::UpdateReceiver;
use crate::chain::update::{ChainUpdate, Segment};
use crate::decode::registry::Registry;
use crate::types::chain::{BlockId, ChainId, Proof};
use crate::types::log::LogBuf;

/// Stored logs read at a time while two lists are put together.
const PAGE_LOGS: usize = 20_000;

/// What logs are put among.
#[derive(Debug)]
pub struct Late<'a> {
    pub chain: ChainId,
    pub registry: &'a mut Registry,
    pub tags: &'a [ContractTag],
    pub store: &'a dyn Store,
    pub missing: &'a [Missing],
}

impl Late<'_> {
    /// Takes segments of the missing pieces' logs, in order, until the fetching end closes. Returns how
    /// many logs were new.
    pub async fn run(&mut self, mut updates: UpdateReceiver) -> Result<u64, AuditError> {
        let mut new = 0;
        while let Some(update) = updates.recv().await {
            if let ChainUpdate::Committed(segment) = update {
                new += self.merge(segment).await?;
            }
        }
        Ok(new)
    }

    async fn merge(&mut self, segment: Segment) -> Result<u64, AuditError> {
        let Some(tip) = segment.tip() else { return Ok(0) };
        self.registry.learn_from(segment.logs.iter());
        let (_, fetched) = recognised(self.registry, self.tags, segment.logs);
        let stored = self.stored(segment.blocks.first().map_or(0, |p| p.block.number), tip).await?;
        let mut unit = AmendUnit {
            chain: self.chain,
            blocks: Vec::new(),
            logs: LogBuf::default(),
            recognised: Vec::new(),
            coverage: self.progress(tip.number),
        };
        let mut logs = LogBuf::default();
        let (mut at, mut new) = (0, 0);
        for proven in segment.blocks {
            let number = proven.block.number;
            let first = at;
            while fetched.get(at).is_some_and(|log| log.head.block_number == number) {
                at += 1;
            }
            let Some((commit, ours)) = stored.get(&number) else { continue };
            if commit.block.hash != proven.block.hash {
                let stored = BlockId::from(&commit.block);
                return Err(ChainError::ForeignHistory { chain: self.chain, stored }.into());
            }
            let mut both: BTreeMap<u32, _> = ours.iter().map(|l| (l.head.log_index, l)).collect();
            let before = both.len();
            let theirs = (first..at).filter_map(|index| fetched.get(index));
            both.extend(theirs.map(|log| (log.head.log_index, log)));
            let added = both.len() - before;
            let proof = if proven.proof == Proof::Unverified { proven.proof } else { commit.proof };
            if added == 0 && proof == commit.proof {
                continue;
            }
            new += added as u64;
            unit.blocks.push(CommitBlock { block: proven.block, proof, digest: None });
            for log in both.into_values() {
                logs.push_view(log).map_err(ChainError::from)?;
            }
        }
        (unit.recognised, unit.logs) = recognised(self.registry, self.tags, logs);
        self.store.amend(Arc::new(unit)).await?;
        Ok(new)
    }

    /// The stored blocks from `first` to `tip` with their logs.
    async fn stored(
        &self,
        first: u64,
        tip: BlockId,
    ) -> Result<BTreeMap<u64, (CommitBlock, LogBuf)>, AuditError> {
        let mut blocks: BTreeMap<u64, (CommitBlock, LogBuf)> = BTreeMap::new();
        let mut from = Some(first);
        while let Some(next) = from.filter(|next| *next <= tip.number) {
            let page = self.store.raw(self.chain, next, PAGE_LOGS).await?;
            for commit in page.blocks.iter().filter(|commit| commit.block.number <= tip.number) {
                blocks.insert(commit.block.number, (*commit, LogBuf::default()));
            }
            for log in page.logs.iter() {
                if let Some((_, logs)) = blocks.get_mut(&log.head.block_number) {
                    logs.push_view(log).map_err(ChainError::from)?;
                }
            }
            from = page.next;
        }
        Ok(blocks)
    }

    fn progress(&self, through: u64) -> Vec<Coverage> {
        let behind = self.missing.iter().filter(|missing| missing.from <= through);
        behind
            .map(|missing| Coverage { source: missing.source.id, through: Some(through) })
            .collect()
    }
}
