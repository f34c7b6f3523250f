//! Documents from the raw logs again: no node is asked. A kill at any instruction leaves a rebuild that
//! goes on where it was.
//!
//! While it runs the documents are incomplete, the store refuses commits, and status says so.

use std::sync::Arc;

use alloy_primitives::B256;

use super::apply::{Foreign, Start, Turn, Work};
use super::error::PipelineError;
use super::handler::{Handler, StateView};
use super::runner::VIEW_MAX_DOCS;
use super::store::{
    ChainState, ContractTag, Parked, RawPage, Rebuild, RebuildUnit, Recognised, Store,
};
use crate::chain::update::{Phase, ProvenBlock, Segment};
use crate::decode::registry::Registry;
use crate::types::asset::DocKey;
use crate::types::chain::ChainId;
use crate::types::event::Position;

/// Logs of one step: as many as a commit of history holds.
const STEP_LOGS: usize = 20_000;

/// What documents are made with.
#[derive(Debug)]
pub struct Rebuilder<'a> {
    pub chain: ChainId,
    /// Knows every child of a factory.
    pub registry: &'a Registry,
    pub tags: &'a [ContractTag],
    pub handlers: &'a [Box<dyn Handler>],
    pub store: &'a dyn Store,
}

/// What a rebuild did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// Gone over by this call; a rebuild that was cut short has done the rest before.
    pub blocks: u64,
    pub logs: u64,
    pub undecoded: u64,
    pub digest: B256,
    pub parked: Vec<Parked>,
}

impl Rebuilder<'_> {
    /// Builds the documents of everything stored, from the start or from where a rebuild was cut short.
    /// `told` hears the last block of each step.
    pub async fn run(
        &self,
        state: &ChainState,
        told: impl Fn(u64),
    ) -> Result<Rebuilt, PipelineError> {
        let (mut from, parked) = match state.rebuild {
            Some(Rebuild::From(block)) => (block, state.parked.clone()),
            Some(Rebuild::Due) | None => {
                self.store.begin_rebuild(self.chain).await?;
                (0, Vec::new())
            }
        };
        let digest = match from.checked_sub(1) {
            Some(block) => self.store.digest_at(self.chain, block).await?,
            None => B256::ZERO,
        };
        let mut rebuilt = Rebuilt { blocks: 0, logs: 0, undecoded: 0, digest, parked };
        let mut view = StateView::default();
        let undo_above = state.finalized.unwrap_or(0);
        loop {
            let page = self.store.raw(self.chain, from, STEP_LOGS).await?;
            let (next, last) = (page.next, page.blocks.last().map(|commit| commit.block.number));
            let unit = self.step(page, undo_above, &mut rebuilt, &mut view).await?;
            self.store.rebuild(Arc::new(unit)).await?;
            if let Some(last) = last {
                told(last);
            }
            match next {
                Some(next) => from = next,
                None => return Ok(rebuilt),
            }
            if view.len() > VIEW_MAX_DOCS {
                view.clear();
            }
        }
    }

    async fn step(
        &self,
        page: RawPage,
        undo_above: u64,
        rebuilt: &mut Rebuilt,
        view: &mut StateView,
    ) -> Result<RebuildUnit, PipelineError> {
        let next = page.next;
        let before: Vec<_> = page.blocks.iter().map(|commit| commit.digest).collect();
        let blocks = page
            .blocks
            .iter()
            .map(|commit| ProvenBlock { block: commit.block, proof: commit.proof })
            .collect();
        let segment = Segment { phase: Phase::History, blocks, logs: page.logs };
        let start = Start {
            undo_above,
            digest: rebuilt.digest,
            parked: std::mem::take(&mut rebuilt.parked),
            foreign: Foreign::Keep,
        };
        let mut work = Work::new(self.registry, self.tags, segment, start);
        self.load(work.missing(self.chain, self.handlers, view), view).await?;
        while let Turn::Needs(key) = work.turn(self.chain, self.handlers, view) {
            self.load(vec![key], view).await?;
        }
        let finished = work.finish(view);
        let mut recognised = Vec::with_capacity(finished.logs.len());
        for (log, what) in finished.logs.iter().zip(finished.recognised) {
            let Some(what) = what else { continue };
            rebuilt.undecoded += u64::from(matches!(what, Recognised::Undecoded { .. }));
            let at = Position { block: log.head.block_number, log_index: log.head.log_index };
            recognised.push((at, what));
        }
        let blocks = finished.blocks.iter().zip(before);
        let changed = blocks.filter(|(commit, before)| commit.digest != *before);
        let digests = changed.map(|(commit, _)| (commit.block.number, commit.digest)).collect();
        rebuilt.blocks += finished.blocks.len() as u64;
        rebuilt.logs += finished.logs.len() as u64;
        rebuilt.digest = finished.digest;
        rebuilt.parked.clone_from(&finished.parked);
        Ok(RebuildUnit {
            chain: self.chain,
            digests,
            recognised,
            docs: finished.docs,
            undo: finished.undo,
            parked: finished.parked,
            next,
        })
    }

    async fn load(&self, keys: Vec<DocKey>, view: &mut StateView) -> Result<(), PipelineError> {
        if keys.is_empty() {
            return Ok(());
        }
        let docs = self.store.load(self.chain, &keys).await?;
        for (key, doc) in keys.into_iter().zip(docs) {
            view.set(key, doc);
        }
        Ok(())
    }
}
