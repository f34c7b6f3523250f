//! Contracts that the stored history was not searched for: found at a start, fetched before anything else.

use anyhow::{Context, Result};

use super::build::Parts;
use super::chain_task::{self, QUEUE_BYTES};
use super::maintain::Index;
use crate::chain::fetch::Fetcher;
use crate::chain::profile::bloom_rule;
use crate::chain::verify::Verifier;
use crate::chain::{backfill, queue};
use crate::config;
use crate::pipeline::late::Late;
use crate::pipeline::sources::{self, Missing, Source};
use crate::rpc::eth::LogFilter;
use crate::telemetry::health::ChainState;
use crate::types::chain::BlockRange;

/// Searches the stored blocks for what is configured and was not searched for, builds the documents
/// again if anything was found, and leaves the rest to the follower.
pub(super) async fn catch_up(
    parts: &Parts,
    chain: &config::Chain,
    index: &mut Index,
) -> Result<()> {
    let store = index.store.clone();
    let missing = sources::missing(store.as_ref(), chain.id, &index.state, &index.sources).await?;
    if missing.is_empty() {
        return Ok(());
    }
    let Some(cursor) = index.state.cursor else { return Ok(()) };
    // Above `finalized` the chain may have forked since: those blocks are followed again.
    let to = index.state.finalized.map_or(cursor.number, |block| block.min(cursor.number));
    let from = missing.iter().map(|missing| missing.from).min().unwrap_or(0);
    let first = store.raw(chain.id, 0, 0).await?.blocks.first().map_or(0, |one| one.block.number);
    if from < first {
        log::warn!(
            chain = chain.id.0, from, first;
            "a contract begins before the first stored block; its history is searched from there"
        );
    }
    let range = BlockRange { from: from.max(first), to };
    let doing = "history is searched for contracts that are new";
    log::info!(chain = chain.id.0, range:% = range; "{doing}");
    parts.health.chain(chain.id, ChainState::Backfilling, Some(doing.to_owned()));
    let found = search(parts, chain, index, &missing, range).await?;
    log::info!(chain = chain.id.0, logs = found; "history was searched");
    index.refresh().await?;
    index.make_whole().await?;
    if to < cursor.number {
        let store = index.store.as_ref();
        crate::pipeline::rewind::rewind(store, chain.id, &chain.name, to).await?;
    }
    sources::cover(index.store.as_ref(), chain.id, &index.sources).await?;
    index.refresh().await
}

async fn search(
    parts: &Parts,
    chain: &config::Chain,
    index: &mut Index,
    missing: &[Missing],
    range: BlockRange,
) -> Result<u64> {
    let pool = parts.pool(chain.id).context("a pool per configured chain")?;
    let filters = filters(missing);
    let fetcher = Fetcher {
        node: chain_task::node(&pool, &filters, chain),
        verifier: Verifier::new(chain.verify, bloom_rule(chain.id), filters),
    };
    let (sender, updates) = queue::bounded(QUEUE_BYTES);
    let mut late = Late {
        chain: chain.id,
        registry: &mut index.registry,
        tags: &index.tags,
        store: index.store.as_ref(),
        missing,
    };
    let fetch = async {
        let sender = sender;
        backfill::run(chain.id, &fetcher, range, None, &sender).await
    };
    let (fetched, merged) = tokio::join!(fetch, late.run(updates));
    // A merge that fails closes the queue, so its reason comes first.
    let found = merged?;
    fetched.map_err(|error| super::explain(chain, error))?;
    Ok(found)
}

/// What to ask nodes for: addresses with all their logs, topics at any address, and pairs.
fn filters(missing: &[Missing]) -> Vec<LogFilter> {
    let sources = || missing.iter().map(|missing| &missing.source);
    let mut filters = Vec::new();
    let whole: Vec<_> =
        sources().filter(|one| one.topic0.is_none()).filter_map(|one| one.address).collect();
    if !whole.is_empty() {
        filters.push(LogFilter::by_topic0(whole, Vec::new()));
    }
    let anywhere: Vec<_> =
        sources().filter(|one| one.address.is_none()).filter_map(|one| one.topic0).collect();
    if !anywhere.is_empty() {
        filters.push(LogFilter::by_topic0(Vec::new(), anywhere));
    }
    let pairs: Vec<&Source> =
        sources().filter(|one| one.address.is_some() && one.topic0.is_some()).collect();
    if !pairs.is_empty() {
        let addresses = distinct(pairs.iter().filter_map(|one| one.address).collect());
        let topics = distinct(pairs.iter().filter_map(|one| one.topic0).collect());
        filters.push(LogFilter::by_topic0(addresses, topics));
    }
    filters
}

fn distinct<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort_unstable();
    list.dedup();
    list
}
