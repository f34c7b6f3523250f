//! What a chain's pipeline reports to the metrics, so that the loop itself stays readable.

use std::time::Duration;

use super::store::CommitMode;
use crate::telemetry::metrics::{self, Metric};
use crate::types::chain::ChainId;

/// One chain's meters.
#[derive(Debug, Clone)]
pub(super) struct Meters {
    chain: String,
}

impl Meters {
    pub(super) fn new(chain: ChainId) -> Self {
        Self { chain: chain.to_string() }
    }

    pub(super) fn reorged(&self, depth: usize) {
        metrics::count(Metric::ChainReorgs, &[&self.chain], 1);
        // A depth is at most the reorg window, far below 2^32, so the conversion loses nothing.
        let depth = u32::try_from(depth).unwrap_or(u32::MAX);
        metrics::observe(Metric::ChainReorgDepth, &[&self.chain], f64::from(depth));
    }

    pub(super) fn committing(&self, blocks: u64, events: u64, undecoded: u64) {
        let labels = [self.chain.as_str()];
        metrics::count(Metric::PipelineBlocks, &labels, blocks);
        metrics::count(Metric::PipelineLogs, &labels, events + undecoded);
        metrics::count(Metric::PipelineEvents, &labels, events);
        metrics::count(Metric::PipelineUndecoded, &labels, undecoded);
    }

    pub(super) fn committed(&self, mode: CommitMode, took: Duration) {
        let mode = match mode {
            CommitMode::Bulk => "bulk",
            CommitMode::Live => "live",
        };
        metrics::time(Metric::PipelineCommitSeconds, &[&self.chain, mode], took);
    }

    pub(super) fn parked(&self, handler: &str, parked: bool) {
        metrics::gauge(Metric::HandlerParked, &[&self.chain, handler]).set(u64::from(parked));
    }

    pub(super) fn indexed(&self, block: u64) {
        metrics::gauge(Metric::ChainIndexed, &[&self.chain]).set(block);
    }

    pub(super) fn finalized(&self, block: u64) {
        metrics::gauge(Metric::ChainFinalized, &[&self.chain]).set(block);
    }
}
