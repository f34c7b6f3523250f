//! An operator's rewind: the blocks above one are undone as a reorg would undo them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::PipelineError;
use super::store::{CommitMode, CommitUnit, Store};
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
    let target = state.window.iter().chain(state.cursor.as_ref()).find(|block| block.number == to);
    let Some(target) = target.copied() else {
        return Err(PipelineError::CannotRewind {
            chain,
            to,
            oldest: state.window.first().map(|block| block.number),
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
    };
    store.commit(Arc::new(unit)).await?;
    Ok(target)
}
