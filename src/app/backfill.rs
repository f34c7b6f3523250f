//! One-shot indexing of a chain up to a block, with a report.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context, Result};

use super::build::Parts;
use super::chain_task::ChainTask;
use crate::config::{self, Config};
use crate::pipeline::runner::Progress;
use crate::store::read::Queries;
use crate::types::chain::{BlockId, ChainId};

/// What a backfill did.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub chain_id: u64,
    pub from_block: u64,
    pub to_block: u64,
    /// Totals of this run.
    pub blocks: u64,
    pub logs: u64,
    pub events: u64,
    pub undecoded: u64,
    pub rpc_calls: BTreeMap<String, u64>,
    pub seconds: f64,
    pub verified_through: Option<u64>,
}

/// A view on a running backfill.
#[derive(Debug, Clone)]
pub struct Watch {
    pub progress: Arc<Progress>,
    pub from_block: u64,
    pub to_block: u64,
}

/// Indexes `chain` up to `to`, calls `watch` once it has started, and reports.
pub async fn run(
    config: &Config,
    chain: ChainId,
    to: u64,
    watch: impl FnOnce(Watch),
) -> Result<Report> {
    let started = Instant::now();
    let parts = Parts::build(config).await?;
    let settings = settings(config, chain)?;
    let pool = parts.pool(chain).with_context(|| unknown_chain(config, chain))?;
    let mut task = ChainTask::open(&parts, settings).await?;
    let from = index_of(&parts, chain).await?.0.map_or(settings.start_block, |tip| tip + 1);
    watch(Watch { progress: Arc::clone(&task.progress), from_block: from, to_block: to });

    let runner = tokio::spawn(task.runner.run(task.updates));
    let followed = task.follower.run_to(to).await;
    // Dropping the follower closes the queue; the runner commits what it holds and ends.
    drop(task.follower);
    let committed = runner.await.context("the pipeline task died")?;
    committed?;
    let reached = followed.map_err(|error| super::explain(settings, error))?;

    let (_, verified_through) = index_of(&parts, chain).await?;
    let progress = &task.progress;
    Ok(Report {
        chain_id: chain.0,
        from_block: from,
        to_block: reached.map_or(to, |block| block.number),
        blocks: progress.blocks.load(Ordering::Relaxed),
        logs: progress.logs.load(Ordering::Relaxed),
        events: progress.events.load(Ordering::Relaxed),
        undecoded: progress.undecoded.load(Ordering::Relaxed),
        rpc_calls: pool.calls(),
        seconds: started.elapsed().as_secs_f64(),
        verified_through,
    })
}

/// The indexed tip's number and `verified_through` of a chain.
async fn index_of(parts: &Parts, chain: ChainId) -> Result<(Option<u64>, Option<u64>)> {
    let chains = parts.store.chains().await?;
    let index = chains.into_iter().find(|index| index.chain == chain);
    Ok(index.map_or((None, None), |index| {
        (index.indexed.map(|block| block.number), index.verified_through)
    }))
}

/// The chain's part of the configuration.
pub(super) fn settings(config: &Config, chain: ChainId) -> Result<&config::Chain> {
    let found = config.chains.iter().find(|known| known.id == chain);
    found.with_context(|| unknown_chain(config, chain))
}

fn unknown_chain(config: &Config, chain: ChainId) -> String {
    let known: Vec<String> = config.chains.iter().map(|known| known.id.to_string()).collect();
    format!("--chain {chain} is not configured; [[chain]] entries are: {}", known.join(", "))
}

/// Drops the indexed blocks above `to` and puts the documents back as they were then.
pub async fn rewind(config: &Config, chain: ChainId, to: u64) -> Result<BlockId> {
    let parts = Parts::build(config).await?;
    let settings = settings(config, chain)?;
    Ok(crate::pipeline::rewind::rewind(parts.store.as_ref(), chain, &settings.name, to).await?)
}
