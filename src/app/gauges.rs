//! Gauges that no single room knows: lag, proof, providers against each other, disk. Set at a steady pace.
//!
//! Reports into the health board how the store and each chain's providers are; decides nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio_util::sync::CancellationToken;

use super::backup;
use super::build::Parts;
use crate::config::{self, Config};
use crate::rpc::endpoint::breaker::Gate;
use crate::rpc::pool::{Pool, quantity};
use crate::store::read::ChainIndex;
use crate::telemetry::health::{ChainState, ComponentState, Snapshot};
use crate::telemetry::metrics::{self, Metric, gauge};
use crate::telemetry::{disk, health};
use crate::types::chain::ChainId;
use crate::types::clock::{Clock, SystemClock};

/// Twice as often as the shortest usual scrape interval.
const EVERY: Duration = Duration::from_secs(5);
/// Gas prices are for people and alerts; once per so many rounds is one call a minute.
const GAS_PRICE_ROUNDS: u64 = 12;
/// The store must answer a trivial question in this time, or it counts as down.
const STORE_PATIENCE: Duration = Duration::from_secs(5);

/// What is remembered between rounds.
#[derive(Debug, Default)]
struct Memory {
    round: u64,
    /// Since when a chain's index has been behind its head.
    behind_since: BTreeMap<ChainId, Duration>,
}

/// Works until stopped.
pub(super) async fn run(parts: Arc<Parts>, config: Config, stop: CancellationToken) -> Result<()> {
    let mut tick = tokio::time::interval(EVERY);
    let mut memory = Memory::default();
    let clock = SystemClock;
    let started = clock.now();
    metrics::set(Metric::ProcessStart, &[], started.as_secs_f64());
    gauge(Metric::BackupConfigured, &[]).set(u64::from(config.backup.path.is_some()));
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = tick.tick() => {}
        }
        let round = async {
            chains(&parts, &mut memory, clock.now()).await;
            for pool in parts.pools() {
                providers(&parts, pool);
                if memory.round.is_multiple_of(GAS_PRICE_ROUNDS) {
                    gas_price(pool).await;
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = round => {}
        }
        if let Some(folder) = folder(&config.store) {
            disk_of(folder).await;
        }
        backups(config.backup.path.clone(), clock.now().saturating_sub(started)).await;
        components(&parts.health.snapshot());
        memory.round += 1;
    }
}

async fn chains(parts: &Parts, memory: &mut Memory, now: Duration) {
    let asked = tokio::time::timeout(STORE_PATIENCE, parts.store.chains()).await;
    let indexes = match asked {
        Ok(Ok(indexes)) => indexes,
        Ok(Err(error)) => {
            parts.health.component("store", ComponentState::Down, Some(error.to_string()));
            return;
        }
        Err(_) => {
            let text = format!("no answer in {} s", STORE_PATIENCE.as_secs());
            parts.health.component("store", ComponentState::Down, Some(text));
            return;
        }
    };
    parts.health.component("store", ComponentState::Up, None);
    let board = parts.health.snapshot();
    for index in &indexes {
        chain(index, board.chains.get(&index.chain), memory, now);
    }
}

fn chain(
    index: &ChainIndex,
    on_board: Option<&health::ChainHealth>,
    memory: &mut Memory,
    now: Duration,
) {
    let label = index.chain.to_string();
    let labels = [label.as_str()];
    let indexed = index.indexed.map(|block| block.number);
    if let Some(block) = index.verified_through {
        gauge(Metric::ChainVerified, &labels).set(block);
    }
    if let Some(indexed) = indexed {
        let unverified =
            index.verified_through.map_or(index.blocks, |to| indexed.saturating_sub(to));
        gauge(Metric::ChainUnverified, &labels).set(unverified);
    }
    let Some(on_board) = on_board else { return };
    gauge(Metric::ChainState, &labels).set(state_number(on_board.state));
    let Some(head) = on_board.head else { return };
    let age = now.saturating_sub(head.seen_at);
    metrics::set(Metric::ChainHeadAge, &labels, age.as_secs_f64());
    let lag = head.block.number.saturating_sub(indexed.unwrap_or(0));
    gauge(Metric::ChainLag, &labels).set(lag);
    let behind = memory.behind(index.chain, lag > 0, now);
    metrics::set(Metric::ChainLagSeconds, &labels, behind.as_secs_f64());
}

impl Memory {
    /// How long a chain has been behind without a break.
    fn behind(&mut self, chain: ChainId, is_behind: bool, now: Duration) -> Duration {
        if !is_behind {
            self.behind_since.remove(&chain);
            return Duration::ZERO;
        }
        now.saturating_sub(*self.behind_since.entry(chain).or_insert(now))
    }
}

fn state_number(state: ChainState) -> u64 {
    match state {
        ChainState::Starting => 0,
        ChainState::Backfilling => 1,
        ChainState::Live => 2,
        ChainState::Stalled => 3,
        ChainState::Failed => 4,
        ChainState::Standby => 5,
    }
}

/// Providers against the best of their chain, and what the board says of them together. The board is
/// public through `/status`, so it counts providers and names none.
fn providers(parts: &Parts, pool: &Pool) {
    let chain = pool.chain_id();
    let label = chain.to_string();
    let best = pool.highest_head();
    let mut usable = 0;
    for endpoint in pool.endpoints() {
        let head = endpoint.health.head();
        if head > 0 {
            let labels = [label.as_str(), &*endpoint.name];
            gauge(Metric::RpcHeadLag, &labels).set(best.saturating_sub(head));
        }
        usable += usize::from(endpoint.health.breaker.gate() != Gate::Open);
    }
    let all = pool.endpoints().len();
    let state = match usable {
        0 => ComponentState::Down,
        some if some < all => ComponentState::Degraded,
        _ => ComponentState::Up,
    };
    let detail = Some(format!("{usable} of {all} providers answer"));
    parts.health.component(&format!("providers:{chain}"), state, detail);
}

async fn gas_price(pool: &Pool) {
    match pool.call("eth_gasPrice", "[]").await {
        Ok(answer) => {
            if let Some(wei) = quantity(&answer.result) {
                gauge(Metric::ChainGasPrice, &[&pool.chain_id().to_string()]).set(wei);
            }
        }
        Err(error) => log::debug!(chain = pool.chain_id().0; "no gas price: {error}"),
    }
}

/// Where an embedded store lies.
fn folder(store: &config::Store) -> Option<PathBuf> {
    match store {
        config::Store::Embedded { path } => Some(path.clone()),
        config::Store::MongoDb { .. } => None,
    }
}

async fn disk_of(folder: PathBuf) {
    let looked = tokio::task::spawn_blocking(move || (disk::disk(&folder), disk::files(&folder)));
    let Ok((disk, files)) = looked.await else { return };
    gauge(Metric::StoreFile, &[]).set(files);
    if let Some(disk) = disk {
        gauge(Metric::StoreDiskFree, &[]).set(disk.free);
        gauge(Metric::StoreDiskSize, &[]).set(disk.size);
    }
}

/// What lies in the folder of backups. `up` stands in for ages while there is nothing.
async fn backups(folder: Option<PathBuf>, up: Duration) {
    let Some(folder) = folder else { return };
    let looked =
        tokio::task::spawn_blocking(move || (backup::newest(&folder), backup::last(&folder)));
    let Ok((newest, drill)) = looked.await else { return };
    let now = SystemClock.now();
    let since = |seconds: u64| now.saturating_sub(Duration::from_secs(seconds)).as_secs_f64();
    let age = newest.as_ref().map_or(up.as_secs_f64(), |one| since(one.taken_at_ms / 1000));
    metrics::set(Metric::BackupAge, &[], age);
    gauge(Metric::BackupSize, &[]).set(newest.map_or(0, |one| one.sealed_bytes()));
    let passed_at = drill.as_ref().and_then(|drill| drill.passed_at_seconds);
    metrics::set(Metric::BackupVerifyAge, &[], passed_at.map_or(up.as_secs_f64(), since));
    gauge(Metric::BackupVerified, &[])
        .set(drill.as_ref().map_or(0, |d| if d.passed { 1 } else { 2 }));
    if let Some(drill) = drill {
        metrics::set(Metric::BackupRpo, &[], drill.rpo_seconds);
        metrics::set(Metric::BackupRto, &[], drill.rto_seconds);
    }
}

fn components(board: &Snapshot) {
    for (name, component) in &board.components {
        gauge(Metric::HealthComponent, &[name.as_str()]).set(match component.state {
            ComponentState::Up => 0,
            ComponentState::Degraded => 1,
            ComponentState::Down => 2,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_in_seconds_counts_from_the_first_moment_behind_and_ends_at_the_head() {
        let mut memory = Memory::default();
        let mut at = |behind, second| {
            memory.behind(ChainId(1), behind, Duration::from_secs(second)).as_secs()
        };
        assert_eq!(at(true, 100), 0);
        assert_eq!(at(true, 130), 30);
        assert_eq!(at(false, 135), 0);
        assert_eq!(at(true, 140), 0);
        assert_eq!(at(true, 141), 1);
    }
}
