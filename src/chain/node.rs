//! What a chain asks of nodes: headers, logs, receipts, finality.
//!
//! The trait lets tests put a scripted world in place of providers; `pool_node` has the real one.

use alloy_primitives::{B256, Bloom};
use async_trait::async_trait;

use super::error::ChainError;
use crate::types::chain::{BlockId, BlockRange, BlockRef};
use crate::types::log::LogBuf;

/// Blocks whose receipts are asked for together, where the node knows nothing better.
const RECEIPTS_AT_ONCE: usize = 16;

/// A header as far as indexing needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub block: BlockRef,
    pub bloom: Bloom,
    pub receipts_root: B256,
    /// The advertised hash is the hash of the advertised fields. False on chains whose headers have
    /// fields of their own; the receipts root then proves less.
    pub hash_proven: bool,
    /// Hashes of the block's transactions, by which receipts are checked and, if need be, fetched.
    /// `None`: a header that was pushed, without its body.
    pub transactions: Option<Vec<B256>>,
}

/// All receipts of a block: their root and their logs.
#[derive(Debug, Clone)]
pub struct Receipts {
    pub root: B256,
    /// In block order.
    pub logs: LogBuf,
}

/// A node, or many behind one face.
#[async_trait]
pub trait Node: std::fmt::Debug + Send + Sync {
    /// The newest block.
    async fn head(&self) -> Result<Header, ChainError>;

    /// The newest block of each provider that answers: who is behind, and who is on a fork.
    async fn heads(&self) -> Vec<Header>;

    /// The newest final block; `None` where the node does not know finality.
    async fn finalized(&self) -> Result<Option<BlockId>, ChainError>;

    async fn header_at(&self, number: u64) -> Result<Option<Header>, ChainError>;

    async fn header_of(&self, hash: B256) -> Result<Option<Header>, ChainError>;

    /// Every header of the range in order, or an error.
    async fn headers(&self, range: BlockRange) -> Result<Vec<Header>, ChainError>;

    /// Our logs of the range in chain order: complete or an error. Splits by itself where the
    /// provider's limits ask for it.
    async fn logs(&self, range: BlockRange) -> Result<LogBuf, ChainError>;

    /// Our logs of one block by its hash; an unknown block is an error, never empty.
    async fn logs_of(&self, hash: B256) -> Result<LogBuf, ChainError>;

    /// How many blocks' receipts make one answer of a sensible size.
    fn receipts_at_once(&self) -> usize {
        RECEIPTS_AT_ONCE
    }

    /// All receipts of each block, our logs or not; `None` where the node does not serve them.
    async fn receipts_of(&self, headers: &[&Header]) -> Result<Option<Vec<Receipts>>, ChainError>;
}
