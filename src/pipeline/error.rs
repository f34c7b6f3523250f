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
    /// A part of the port that this back end does not have.
    #[error("this store cannot do that: {0}; use [store] kind = \"embedded\" for it")]
    Unsupported(&'static str),
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

/// Why a chain's pipeline stopped.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain told of a block that does not follow the last one: refusing is the only safe answer.
    #[error("chain {chain}: block {block} does not follow {cursor}")]
    BrokenLink { chain: ChainId, block: BlockId, cursor: BlockId },
    /// The documents are not those of the stored blocks; nothing may be built on them.
    #[error(
        "chain {chain}: a rebuild of the documents was begun and has to end first: \
         run `rwahub reindex --chain {chain}`"
    )]
    RebuildDue { chain: ChainId },
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
