//! Tries every dependency without changing anything: providers, store directory, ABIs.

use anyhow::Result;

use super::build::Decoding;
use super::storage;
use crate::config::Config;
use crate::rpc::pool::Pool;
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
    pub abi_fault: Option<String>,
}

impl CheckReport {
    /// Whether everything is as it should be.
    pub fn passed(&self) -> bool {
        self.store_fault.is_none()
            && self.abi_fault.is_none()
            && self.providers.iter().all(|provider| provider.fault.is_none())
    }
}

/// Checks all at once.
pub async fn run(config: &Config) -> CheckReport {
    let fault = |outcome: Result<()>| outcome.err().map(|error| format!("{error:#}"));
    CheckReport {
        providers: providers(config).await,
        store_fault: fault(storage::probe(&config.store).await),
        abi_fault: fault(Decoding::new(config).map(drop)),
    }
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
