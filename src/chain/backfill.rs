//! History up to a final block: many ranges in flight, told in order, sized by what they weigh.
//!
//! Never goes above the block it is given: above `finalized` the chain belongs to `follow`.

use std::time::Duration;

use alloy_primitives::B256;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;

use super::error::ChainError;
use super::fetch::Fetcher;
use super::queue::UpdateSender;
use super::update::{ChainUpdate, Segment};
use crate::types::chain::{BlockId, BlockRange, ChainId};

/// Ranges fetched at the same time. Two cores parse about as fast as four connections deliver.
const RANGES_IN_FLIGHT: usize = 4;
/// First span, in blocks: small enough for the tightest public limits.
const SPAN_START: u64 = 64;
/// Largest span, in blocks: bounds the headers of one segment.
const SPAN_MAX: u64 = 4096;
/// Segment weight the span steers towards. Large units commit cheaper, small ones hold less memory.
const SEGMENT_TARGET_BYTES: usize = 4 << 20;
/// Waits between tries of one range: doubling from the first to the last.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LAST: Duration = Duration::from_secs(10);

/// Blocks per segment: grows while segments are light, halves when they are heavy.
#[derive(Debug, Clone, Copy)]
struct Span(u64);

impl Span {
    fn learn(&mut self, segment: &Segment) {
        let bytes = segment.bytes();
        if bytes > SEGMENT_TARGET_BYTES {
            self.0 = (self.0 / 2).max(1);
        } else if bytes < SEGMENT_TARGET_BYTES / 2 {
            self.0 = self.0.saturating_mul(2).min(SPAN_MAX);
        }
    }
}

/// Tells every block of `range` in order and returns the last. `parent` is the hash that the first
/// block must name, when the index already stands right below it.
pub async fn run(
    chain: ChainId,
    fetcher: &Fetcher,
    range: BlockRange,
    parent: Option<BlockId>,
    out: &UpdateSender,
) -> Result<Option<BlockId>, ChainError> {
    let mut rest = Some(range).filter(|range| !range.is_empty());
    let mut span = Span(SPAN_START);
    let mut in_flight = FuturesOrdered::new();
    let mut tip = parent;
    loop {
        while in_flight.len() < RANGES_IN_FLIGHT
            && let Some(left) = rest
        {
            let (next, after) = left.split_first(span.0);
            rest = after;
            in_flight.push_back(patiently(fetcher, next));
        }
        let Some(segment) = in_flight.next().await.transpose()? else { return Ok(tip) };
        span.learn(&segment);
        let first = segment.blocks.first().map(|proven| proven.block);
        if let (Some(tip), Some(first)) = (tip, first) {
            check_joint(chain, tip, first.parent)?;
        }
        tip = segment.tip().or(tip);
        out.send(ChainUpdate::Committed(segment)).await?;
    }
}

/// History below `finalized` cannot fork, so a joint that does not fit is another chain's history.
fn check_joint(chain: ChainId, tip: BlockId, parent: B256) -> Result<(), ChainError> {
    if tip.hash == parent {
        return Ok(());
    }
    Err(ChainError::ForeignHistory { chain, stored: tip })
}

/// Tries until it works: a range is never skipped.
async fn patiently(fetcher: &Fetcher, range: BlockRange) -> Result<Segment, ChainError> {
    let mut wait = RETRY_FIRST;
    loop {
        match fetcher.history(range).await {
            Ok(segment) => return Ok(segment),
            Err(error) if error.is_retryable() => {
                log::warn!(range:% = range, wait:? = wait; "range failed, trying again: {error}");
                tokio::time::sleep(wait).await;
                wait = wait.saturating_mul(2).min(RETRY_LAST);
            }
            Err(error) => return Err(error),
        }
    }
}
