//! History up to a final block: many ranges in flight, told in order, sized by what they weigh.
//!
//! Never goes above the block it is given: above `finalized` the chain belongs to `follow`.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use alloy_primitives::B256;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};
use tokio::task::JoinHandle;

use super::error::ChainError;
use super::fetch::Fetcher;
use super::queue::{QueueClosed, UpdateSender};
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
            in_flight.push_back(Fetching::start(fetcher.clone(), next));
        }
        let Some((range, segment)) = in_flight.next().await.transpose()? else { return Ok(tip) };
        span.learn(&segment);
        let first = segment.blocks.first().map(|proven| proven.block);
        if let (Some(tip), Some(first)) = (tip, first) {
            check_joint(chain, tip, first.parent)?;
        }
        tip = segment.tip().or(tip);
        // A crowded range ends early; what it left comes before everything else.
        let told = segment.blocks.len() as u64;
        if let (_, Some(left)) = range.split_first(told.max(1)) {
            in_flight.push_front(Fetching::start(fetcher.clone(), left));
        }
        out.send(ChainUpdate::Committed(segment)).await?;
    }
}

/// A range on a task of its own, so that several cores parse and hash; ends when it is dropped.
#[derive(Debug)]
struct Fetching(JoinHandle<Result<(BlockRange, Segment), ChainError>>);

impl Fetching {
    fn start(fetcher: Fetcher, range: BlockRange) -> Self {
        Self(tokio::spawn(async move { Ok((range, patiently(&fetcher, range).await?)) }))
    }
}

impl Future for Fetching {
    type Output = Result<(BlockRange, Segment), ChainError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_unpin(context).map(|ended| {
            // A task that panicked takes the chain's task with it, as it would without a task.
            ended.unwrap_or_else(|error| match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(ChainError::Closed(QueueClosed)),
            })
        })
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        self.0.abort();
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
