//! An operator's rewind: the blocks above one are undone as a reorg would undo them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::PipelineError;
use super::store::{CommitMode, CommitUnit, Parked, Store};
use crate::types::asset::{Doc, DocKey};
use crate::types::chain::{BlockId, ChainId};
use crate::types::log::LogBuf;

/// Makes `to` the last block of the index. Only unfinalized blocks can be undone.
pub async fn rewind(
    store: &dyn Store,
    chain: ChainId,
    name: &str,
    to: u64,
) -> Result<BlockId, PipelineError> {
    let state = store.open_chain(chain, name).await?;
    if state.rebuild.is_some() {
        return Err(PipelineError::RebuildDue { chain });
    }
    let known = state.window.iter().chain(state.cursor.as_ref()).find(|block| block.number == to);
    let target = match known {
        Some(block) => Some(*block),
        // The final block itself may become the last one: what is above it can be undone.
        None if state.finalized == Some(to) => stored(store, chain, to).await?,
        None => None,
    };
    let Some(target) = target else {
        return Err(PipelineError::CannotRewind {
            chain,
            to,
            oldest: state.finalized.or(state.window.first().map(|block| block.number)),
            newest: state.cursor.map(|block| block.number),
        });
    };
    let mut docs: BTreeMap<DocKey, Option<Doc>> = BTreeMap::new();
    for undo in store.undo_above(chain, to).await? {
        docs.insert(undo.key, undo.before);
    }
    let unit = CommitUnit {
        chain,
        mode: CommitMode::Live,
        rewind_to: Some(to),
        blocks: Vec::new(),
        logs: LogBuf::default(),
        recognised: Vec::new(),
        docs: docs.into_iter().collect(),
        undo: Vec::new(),
        cursor: target,
        finalized: None,
        parked: still_parked(state.parked, to),
    };
    store.commit(Arc::new(unit)).await?;
    Ok(target)
}

async fn stored(
    store: &dyn Store,
    chain: ChainId,
    number: u64,
) -> Result<Option<BlockId>, PipelineError> {
    let page = store.raw(chain, number, 0).await?;
    let block = page.blocks.first().map(|commit| BlockId::from(&commit.block));
    Ok(block.filter(|block| block.number == number))
}

/// Handlers whose event stays when the blocks above `to` go. The others go on: their documents are as
/// they were right before the event, and undo records take them back from there.
pub(super) fn still_parked(parked: Vec<Parked>, to: u64) -> Vec<Parked> {
    parked.into_iter().filter(|parked| parked.at.block <= to).collect()
}
