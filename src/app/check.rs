//! Tries every dependency without changing anything: providers, store directory, ABIs.

use anyhow::{Context, Result};

use super::build::Decoding;
use super::storage;
use crate::bus::nats::Nats;
use crate::config::{self, Config};
use crate::rpc::pool::Pool;
use crate::store::cache;
use crate::types::chain::ChainId;

/// What a provider answered.
#[derive(Debug, Clone)]
pub struct ProviderReport {
    pub chain: ChainId,
    pub name: String,
    /// Without path and key.
    pub url: String,
    pub head: Option<u64>,
    pub fault: Option<String>,
}

/// What every dependency answered; `None` is no fault.
#[derive(Debug, Clone)]
pub struct CheckReport {
    pub providers: Vec<ProviderReport>,
    pub store_fault: Option<String>,
    /// Of the engines behind `[cache]` and `[bus]`; back ends of our own have none.
    pub cache_fault: Option<String>,
    pub bus_fault: Option<String>,
    pub abi_fault: Option<String>,
}

impl CheckReport {
    /// Whether everything is as it should be.
    pub fn passed(&self) -> bool {
        self.store_fault.is_none()
            && self.cache_fault.is_none()
            && self.bus_fault.is_none()
            && self.abi_fault.is_none()
            && self.providers.iter().all(|provider| provider.fault.is_none())
    }
}

/// Checks all at once.
pub async fn run(config: &Config) -> CheckReport {
    let fault = |outcome: Result<()>| outcome.err().map(|error| format!("{error:#}"));
    CheckReport {
        providers: providers(config).await,
        cache_fault: fault(cache_answers(&config.cache).await),
        bus_fault: fault(bus_answers(&config.bus).await),
        store_fault: fault(storage::probe(&config.store).await),
        abi_fault: fault(Decoding::new(config).map(drop)),
    }
}

async fn cache_answers(cache: &config::Cache) -> Result<()> {
    let config::Cache::Redis { url, .. } = cache else { return Ok(()) };
    let shared = cache::open(cache)?;
    let hint =
        || format!("[cache] url = \"{}\"; check the url and that Redis runs", url.redacted());
    shared.values.get("probe").await.with_context(hint).map(drop)
}

async fn bus_answers(bus: &config::Bus) -> Result<()> {
    let config::Bus::Nats { url, prefix } = bus else { return Ok(()) };
    let hint = || {
        format!(
            "[bus] url = \"{}\"; check the url and that NATS runs with --jetstream",
            url.redacted()
        )
    };
    let nats = Nats::open(url.expose(), prefix).await.with_context(hint)?;
    nats.probe().await.with_context(hint)
}

/// Asks every provider of every chain.
pub async fn providers(config: &Config) -> Vec<ProviderReport> {
    let mut reports = Vec::new();
    for chain in &config.chains {
        let pool = Pool::new(chain);
        for status in pool.probe().await {
            reports.push(ProviderReport {
                chain: chain.id,
                name: status.name,
                url: status.url,
                head: status.head,
                fault: status.error.map(|error| match status.chain_ok {
                    // The error says what to correct.
                    Some(false) => error,
                    _ => format!("{error}; check the url and that the node runs"),
                }),
            });
        }
    }
    reports
}
