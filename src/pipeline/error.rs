//! What can go wrong between a chain's update and its commit.

use crate::types::chain::{BlockId, ChainId};

/// A back end's refusal, with what the caller may do about it as data.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Another process owns this store, or a newer writer has taken over the chain.
    #[error("{what} is held by another writer: {holder}; stop it or give this one its own store")]
    Fenced { what: String, holder: String },
    /// The unit does not continue what is stored: a bug or a store that was changed from outside.
    #[error("chain {chain}: the unit starts at {unit} but the store stands at {stored}")]
    NotContiguous { chain: ChainId, unit: String, stored: String },
    /// Disk full, file missing, connection lost: retry later, nothing was applied.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// The file or database is not what this version wrote.
    #[error("store unusable: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// Whether the same call can succeed later without an operator.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Why a bus did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// Not reached, or it answers with a fault; what was asked may or may not have happened.
    #[error("bus unavailable: {0}")]
    Unavailable(String),
    /// Another publisher has appended meanwhile.
    #[error("stream {stream} does not end at {expected} any more")]
    Moved { stream: String, expected: u64 },
    /// Too large, or a name that the back end cannot hold.
    #[error("message refused: {0}")]
    Refused(String),
    /// The address of the configuration cannot be used.
    #[error("bus url: {0}")]
    BadUrl(String),
}

/// Why a chain's pipeline stopped.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain told of a block that does not follow the last one: refusing is the only safe answer.
    #[error("chain {chain}: block {block} does not follow {cursor}")]
    BrokenLink { chain: ChainId, block: BlockId, cursor: BlockId },
    /// A plugin cannot go on; nothing of the block was stored, so a fixed plugin continues here.
    #[error("chain {chain}: handler {handler} stopped at block {block} log {log_index}: {reason}")]
    Handler { chain: ChainId, handler: &'static str, block: u64, log_index: u32, reason: String },
    /// Final blocks have no undo records, and a block that is not indexed cannot be the last one.
    #[error(
        "chain {chain}: cannot rewind to block {to}: the blocks that can become the last one are {} to {}; \
         for an older one, index again into a new [store] path",
        .oldest.map_or_else(|| "none".to_owned(), |n| n.to_string()),
        .newest.map_or_else(|| "none".to_owned(), |n| n.to_string())
    )]
    CannotRewind { chain: ChainId, to: u64, oldest: Option<u64>, newest: Option<u64> },
    /// The task that wrote a unit died.
    #[error("chain {chain}: the commit was lost: {reason}")]
    CommitLost { chain: ChainId, reason: String },
}
