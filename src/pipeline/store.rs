//! The port to a back end: what one atomic unit holds and what a start needs to know.
//!
//! Implementations live in `store`. A unit is applied whole or not at all, and applying the same unit
//! twice is refused by its cursor.

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use async_trait::async_trait;

use super::error::StoreError;
use crate::types::asset::{Doc, DocKey};
use crate::types::chain::{BlockId, BlockRef, ChainId, Proof};
use crate::types::event::{LayoutId, Position};
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
    /// The state digest at the cursor, see `pipeline::digest`; zero before the first log.
    pub digest: B256,
    /// Handlers that wait for a fix.
    pub parked: Vec<Parked>,
    /// The documents do not stand at the cursor: a rebuild has to finish before anything is committed.
    pub rebuild: Option<Rebuild>,
}

/// A handler that could not take an event. Its documents stay as they were right before `at`; it sees
/// no later event until a reorg takes that event away or the documents are rebuilt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    pub handler: String,
    pub at: Position,
    pub reason: String,
}

/// How far a rebuild of the documents from the raw logs has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebuild {
    /// Asked for; the documents are still the old ones.
    Due,
    /// The documents hold everything below this block and nothing else.
    From(u64),
}

/// What a block with logs of ours adds to the digest. Blocks without have none: they change no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockDigest {
    /// Over the block and its raw logs alone: finds a row that was altered.
    pub content: B256,
    /// Rolling, over everything up to here.
    pub state: B256,
}

/// A block of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitBlock {
    pub block: BlockRef,
    pub proof: Proof,
    /// `None` for a block without logs of ours.
    pub digest: Option<BlockDigest>,
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
    /// Every handler that is parked after the unit; replaces what was stored.
    pub parked: Vec<Parked>,
}

/// Stored blocks in order with all their logs.
#[derive(Debug, Clone, Default)]
pub struct RawPage {
    /// Parents are the hashes of the stored blocks right below, zero where there is none.
    pub blocks: Vec<CommitBlock>,
    pub logs: LogBuf,
    /// The block to go on from; `None` at the end of what is stored.
    pub next: Option<u64>,
}

/// One atomic step of a rebuild. Raw logs stay; what they are called and what follows from them moves.
#[derive(Debug, Clone)]
pub struct RebuildUnit {
    pub chain: ChainId,
    /// New digests of blocks gone over; those that are not listed keep theirs.
    pub digests: Vec<(u64, Option<BlockDigest>)>,
    /// What the logs gone over are now; logs that are not listed stay what they were.
    pub recognised: Vec<(Position, Recognised)>,
    /// As in [`CommitUnit`].
    pub docs: Vec<(DocKey, Option<Doc>)>,
    pub undo: Vec<Undo>,
    pub parked: Vec<Parked>,
    /// The block that the next step begins with; `None` ends the rebuild.
    pub next: Option<u64>,
}

/// Stored blocks that are replaced, or added where they are missing: raw data only. Makes a rebuild due
/// in the same step if there is a block in it. Cursor, finality and feed do not move.
#[derive(Debug, Clone)]
pub struct AmendUnit {
    pub chain: ChainId,
    /// Ascending, none above the cursor. Their state digests are the rebuild's to set.
    pub blocks: Vec<CommitBlock>,
    /// All logs of `blocks`, one recognition each.
    pub logs: LogBuf,
    pub recognised: Vec<Recognised>,
    /// Moves with the rest.
    pub coverage: Vec<Coverage>,
}

/// How far history has been searched for what one source of logs asks for (see `pipeline::sources`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    pub source: B256,
    /// Everything from the source's start up to here is stored; `None`: everything up to the cursor.
    pub through: Option<u64>,
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

    /// The state digest right after `block`; zero where no log of ours came before.
    async fn digest_at(&self, chain: ChainId, block: u64) -> Result<B256, StoreError>;

    /// Stored blocks from `from` on with all their logs: whole blocks, at least one if there is one,
    /// ending before the next block with logs once `logs_max` of them are in the page.
    ///
    /// This and the five below are for mending an index. A back end without them says so.
    async fn raw(&self, chain: ChainId, from: u64, logs_max: usize) -> Result<RawPage, StoreError> {
        let _ = (chain, from, logs_max);
        Err(StoreError::Unsupported("raw logs are not read back"))
    }

    /// Begins a rebuild: drops the chain's documents and undo records and unparks every handler. What
    /// tokens said of themselves (names, decimals) is kept and found again when it ends.
    async fn begin_rebuild(&self, chain: ChainId) -> Result<(), StoreError> {
        let _ = chain;
        Err(StoreError::Unsupported("documents are not rebuilt"))
    }

    /// Applies one step of a rebuild.
    async fn rebuild(&self, unit: Arc<RebuildUnit>) -> Result<(), StoreError> {
        let _ = unit;
        Err(StoreError::Unsupported("documents are not rebuilt"))
    }

    /// Replaces raw data.
    async fn amend(&self, unit: Arc<AmendUnit>) -> Result<(), StoreError> {
        let _ = unit;
        Err(StoreError::Unsupported("raw logs are not replaced"))
    }

    /// The sources that history has been searched for; none where that is not remembered.
    async fn coverage(&self, chain: ChainId) -> Result<Vec<Coverage>, StoreError> {
        let _ = chain;
        Ok(Vec::new())
    }

    /// Records these, replacing those of the same source.
    async fn cover(&self, chain: ChainId, coverage: Vec<Coverage>) -> Result<(), StoreError> {
        let _ = (chain, coverage);
        Ok(())
    }

    /// A bulk load ends: build what was deferred (secondary indexes), so that queries are fast.
    async fn end_bulk(&self) -> Result<(), StoreError>;
}
