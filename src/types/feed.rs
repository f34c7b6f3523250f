//! The feed: one numbered entry for every step of a chain's index, in commit order.
//!
//! Resuming readers (SSE, subscriptions, webhooks) keep a [`FeedCursor`]; events are expanded from
//! the entry's blocks, so a backfill of a thousand blocks costs one entry.

use super::chain::{BlockRange, ChainId};
use super::event::{EventRecord, Position};

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedStep {
    /// These blocks joined the canonical index.
    Committed(BlockRange),
    /// These blocks left it; their events are retracted, newest first.
    Retracted(BlockRange),
    /// Everything up to this block is final.
    Finalized(u64),
}

/// One entry of the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedEntry {
    /// Counts up over all chains, never reused.
    pub seq: u64,
    pub chain: ChainId,
    pub step: FeedStep,
}

/// A place in the feed: everything of entries below `seq`, and of `seq` itself up to and including
/// `within`, has been delivered. `within = None` means nothing of `seq` yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedCursor {
    pub seq: u64,
    pub within: Option<Position>,
}

/// What a reader of the feed gets, each with the cursor that stands right behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedItem {
    Observed(EventRecord),
    Retracted(EventRecord),
    Finalized { chain: ChainId, block: u64 },
}
