//! What a chain tells the pipeline: every step of the canonical chain, as data.

use crate::types::chain::{BlockId, BlockRef, Proof};
use crate::types::log::LogBuf;

/// One step. Steps of a chain arrive in order and each continues the one before.
#[derive(Debug, Clone)]
pub enum ChainUpdate {
    /// Blocks that follow the last one told.
    Committed(Segment),
    /// The blocks above `fork` are orphaned, `segment` takes their place. It was fetched and
    /// proven before this was told.
    Reorged { fork: BlockId, orphaned: Vec<BlockId>, segment: Segment },
    /// Everything up to this block is final.
    Finalized(u64),
    /// History is done; what follows comes from the head.
    CaughtUp,
}

/// Linked blocks and their logs.
#[derive(Debug, Clone)]
pub struct Segment {
    pub phase: Phase,
    /// Ascending; linked by parent hash.
    pub blocks: Vec<ProvenBlock>,
    /// Sorted by (block, log index); each belongs to one of `blocks`.
    pub logs: LogBuf,
}

/// A block and why we believe its logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProvenBlock {
    pub block: BlockRef,
    pub proof: Proof,
}

/// Where a segment comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// At or below the finalized block: cannot be reorganised any more.
    History,
    /// Above it.
    Head,
}

impl Segment {
    /// Bytes held, for the queue's bound.
    pub fn bytes(&self) -> usize {
        self.logs.bytes() + self.blocks.len() * size_of::<ProvenBlock>()
    }

    /// The block the index stands at after this segment.
    pub fn tip(&self) -> Option<BlockId> {
        self.blocks.last().map(|proven| BlockId::from(&proven.block))
    }
}

impl ChainUpdate {
    /// Bytes held, for the queue's bound.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Committed(segment) | Self::Reorged { segment, .. } => segment.bytes(),
            Self::Finalized(_) | Self::CaughtUp => size_of::<Self>(),
        }
    }
}
