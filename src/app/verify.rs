//! `rwahub verify`: a chain's stored blocks against themselves and against the providers.

use std::time::Instant;

use alloy_primitives::B256;
use anyhow::{Context, Result};
use std::collections::BTreeMap;

use super::build::{self, Parts};
use super::chain_task;
use super::maintain::Index;
use crate::chain::fetch::Fetcher;
use crate::chain::profile::bloom_rule;
use crate::chain::verify::Verifier;
use crate::config::Config;
use crate::pipeline::audit::Audit;
pub use crate::pipeline::audit::{Depth, Report, Task};
use crate::store::read::Queries;
use crate::types::chain::ChainId;

/// What an audit found, and where the index stands after it.
#[derive(Debug, Clone)]
pub struct Verified {
    pub chain: ChainId,
    pub report: Report,
    pub verified_through: Option<u64>,
    pub digest: B256,
    pub rpc_calls: BTreeMap<String, u64>,
    pub seconds: f64,
}

/// Goes over the chain's stored blocks. `told` hears block and last block at each step.
pub async fn run(
    config: &Config,
    chain: ChainId,
    (depth, task): (Depth, Task),
    told: impl Fn(u64, u64),
) -> Result<Verified> {
    let started = Instant::now();
    let settings = super::backfill::settings(config, chain)?;
    let parts = Parts::build(config).await?;
    let pool = parts.pool(chain).context("a pool per configured chain")?;
    let mut index = Index::open(&parts, settings).await?;
    index.make_whole().await?;
    let filters = build::filters(&index.registry);
    let fetcher = Fetcher {
        node: chain_task::node(&pool, &filters, settings),
        verifier: Verifier::new(settings.verify, bloom_rule(chain), filters.clone()),
    };
    let audit = Audit {
        chain,
        registry: &index.registry,
        tags: &index.tags,
        store: index.store.as_ref(),
        fetcher: &fetcher,
        depth,
        task,
    };
    let last = index.state.cursor.map_or(0, |cursor| cursor.number);
    let report = audit.run(&index.state, settings.start_block, |block| told(block, last)).await?;
    index.refresh().await?;
    index.make_whole().await?;
    let chains = parts.store.chains().await?;
    let now = chains.into_iter().find(|one| one.chain == chain).context("the chain was opened")?;
    Ok(Verified {
        chain,
        report,
        verified_through: now.verified_through,
        digest: now.digest,
        rpc_calls: pool.calls(),
        seconds: started.elapsed().as_secs_f64(),
    })
}
