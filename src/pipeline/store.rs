//! The port to a back end: what one atomic unit holds and what a start needs to know.
//!
//! Implementations live in `store`. A unit is applied whole or not at all, and applying the same unit
//! twice is refused by its cursor.

use std::sync::Arc;

use alloy_primitives::Address;
use async_trait::async_trait;

use super::error::StoreError;
use crate::types::asset::{Doc, DocKey};
use crate::types::chain::{BlockId, BlockRef, ChainId, Proof};
use crate::types::event::LayoutId;
use crate::types::log::LogBuf;

/// Where a chain's index stands, as a start finds it.
#[derive(Debug, Clone, Default)]
pub struct ChainState {
    /// The last committed block; `None` before the first commit.
    pub cursor: Option<BlockId>,
    /// Everything up to here is final and has no undo records any more.
    pub finalized: Option<u64>,
    /// Committed blocks above `finalized`, oldest first, to rebuild the reorg window from.
    pub window: Vec<BlockId>,
}

/// A block of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitBlock {
    pub block: BlockRef,
    pub proof: Proof,
}

/// What a log was recognised as, in the order of the unit's logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recognised {
    Event {
        layout: LayoutId,
        contract: ContractTag,
    },
    /// Kept raw in the dead-letter table with the reason.
    Undecoded {
        contract: ContractTag,
        reason: &'static str,
    },
}

/// Index into the names of configured contracts that the store was opened with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContractTag(pub u16);

/// A document's content before a block changed it. `before = None`: it did not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undo {
    pub block: u64,
    pub key: DocKey,
    pub before: Option<Doc>,
}

/// How a unit is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitMode {
    /// History: large units, no undo records needed, may be fetched again after a power cut.
    Bulk,
    /// At the head.
    Live,
}

/// One atomic step of a chain's index: everything in it becomes visible together.
#[derive(Debug, Clone)]
pub struct CommitUnit {
    pub chain: ChainId,
    pub mode: CommitMode,
    /// Drop every block above this one first (reorg). Their logs become retracted, their documents
    /// are overwritten by `docs`, which already holds the restored contents.
    pub rewind_to: Option<u64>,
    /// Ascending and linked; block numbers may skip only where `Verify::Off` fetched no header.
    pub blocks: Vec<CommitBlock>,
    /// Sorted by (block, log index); each belongs to one of `blocks`.
    pub logs: LogBuf,
    /// One entry per log.
    pub recognised: Vec<Recognised>,
    /// Final contents after the unit, each key once; `None` deletes.
    pub docs: Vec<(DocKey, Option<Doc>)>,
    /// Contents before each block above the finalized one, in the order of application.
    pub undo: Vec<Undo>,
    /// Where the index stands after the unit: the last of `blocks`, or the end of a scanned range
    /// whose last block held nothing of ours.
    pub cursor: BlockId,
    /// Highest final block known; undo records at and below it are dropped.
    pub finalized: Option<u64>,
}

/// What a back end must do for the pipeline.
#[async_trait]
pub trait Store: std::fmt::Debug + Send + Sync {
    /// Registers the chain if it is new and tells where its index stands.
    async fn open_chain(&self, chain: ChainId, name: &str) -> Result<ChainState, StoreError>;

    /// The documents' present contents, in the order of `keys`.
    async fn load(&self, chain: ChainId, keys: &[DocKey]) -> Result<Vec<Option<Doc>>, StoreError>;

    /// Undo records of all blocks above `block`, newest first: applying them in this order restores
    /// the documents as they were right after `block`.
    async fn undo_above(&self, chain: ChainId, block: u64) -> Result<Vec<Undo>, StoreError>;

    /// Every stored log of one contract, oldest first: how a start learns a factory's children again.
    async fn logs_by(&self, chain: ChainId, address: Address) -> Result<LogBuf, StoreError>;

    /// Applies one unit. After `Ok(seq)` it survives a crash of the process; `seq` is the number of
    /// the last feed entry written (see `types::feed`).
    async fn commit(&self, unit: Arc<CommitUnit>) -> Result<u64, StoreError>;

    /// Records that everything up to `block` is final; returns the feed number.
    async fn finalize(&self, chain: ChainId, block: u64) -> Result<u64, StoreError>;

    /// The first block from which the index was made with these very `filters`; a change of them counts
    /// from the next block on. Nothing from a back end that does not keep them.
    async fn covered_since(
        &self,
        _chain: ChainId,
        _filters: &str,
    ) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    /// A bulk load ends: build what was deferred (secondary indexes), so that queries are fast.
    async fn end_bulk(&self) -> Result<(), StoreError>;
}
