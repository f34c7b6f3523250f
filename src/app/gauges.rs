//! Gauges that only the store and the board together know: lag and proof, set at a steady pace.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio_util::sync::CancellationToken;

use super::build::Parts;
use crate::telemetry::metrics::{Metric, gauge};

/// Twice as often as the shortest usual scrape interval.
const EVERY: Duration = Duration::from_secs(5);

/// Works until stopped.
pub(super) async fn run(parts: Arc<Parts>, stop: CancellationToken) -> Result<()> {
    let mut tick = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = tick.tick() => {}
        }
        if let Err(error) = set(&parts).await {
            log::debug!("gauges not refreshed: {error:#}");
        }
    }
}

async fn set(parts: &Parts) -> Result<()> {
    let board = parts.health.snapshot();
    for index in parts.store.chains().await? {
        let label = index.chain.to_string();
        let labels = [label.as_str()];
        if let Some(block) = index.verified_through {
            gauge(Metric::ChainVerified, &labels).set(block);
        }
        let head = board.chains.get(&index.chain).and_then(|chain| chain.head);
        if let (Some(head), Some(indexed)) = (head, index.indexed) {
            gauge(Metric::ChainLag, &labels).set(head.block.number.saturating_sub(indexed.number));
        }
    }
    Ok(())
}
