//! Why a chain cannot go on, and whether trying again can help.

use crate::rpc::error::RpcError;
use crate::types::chain::{BlockId, BlockRange, ChainId};
use crate::types::log::LogBufFull;

/// A failure of fetching or of following.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// No provider could answer.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// What nodes said does not fit together: a fork moved under us, or a node that lies. Asked again.
    #[error("{what} of {range} does not fit together: {detail}")]
    Inconsistent { what: &'static str, range: BlockRange, detail: String },
    /// A block that must exist is not there (yet).
    #[error("no provider serves block {0} yet")]
    NotYet(String),
    /// The configured start lies above the chain's head.
    #[error(
        "chain {chain}: start_block = {start} lies above the head {head}; set a block that exists"
    )]
    StartAboveHead { chain: ChainId, start: u64, head: u64 },
    /// The stored index does not continue on the chain that the providers serve.
    #[error(
        "chain {chain}: the store stands at block {stored} but the providers have another block there; \
         they serve another chain or it was reset: point `[store] path` at a new directory, or check the providers"
    )]
    ForeignHistory { chain: ChainId, stored: BlockId },
    /// A reorg reaches below what may be undone.
    #[error(
        "chain {chain}: the providers' chain leaves ours below block {floor}, the oldest that can be undone; \
         if the chain was reset, point `[store] path` at a new directory, otherwise check the providers"
    )]
    TooDeep { chain: ChainId, floor: u64 },
    #[error(transparent)]
    TooLarge(#[from] LogBufFull),
    /// The pipeline has stopped, so there is nobody to fetch for.
    #[error(transparent)]
    Closed(#[from] super::queue::QueueClosed),
}

impl ChainError {
    /// Whether the same step may succeed later without an operator.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Rpc(error) => error.is_retryable(),
            Self::Inconsistent { .. } | Self::NotYet(_) => true,
            Self::StartAboveHead { .. }
            | Self::ForeignHistory { .. }
            | Self::TooDeep { .. }
            | Self::TooLarge(_)
            | Self::Closed(_) => false,
        }
    }
}
