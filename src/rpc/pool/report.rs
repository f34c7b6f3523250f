//! What an operator may see of the providers: a snapshot, and a fresh look at each.
//!
//! Shows scheme, host and port of a URL, never its path or key.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::Pool;
use super::choose::ask_head;
use crate::config::Transport;
use crate::rpc::endpoint::Endpoint;

/// Time for a fresh look at one provider.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// How a provider stands, from what is already known.
#[derive(Debug, Clone)]
pub struct ProviderStatus {
    pub name: String,
    pub url: String,
    pub transport: Transport,
    pub weight: u32,
    /// `closed`, `open` or `half-open`.
    pub breaker: &'static str,
    pub drained: bool,
    /// Comes after the others: its head is behind, it was proven to lie, or it fails often.
    pub demoted: Option<&'static str>,
    pub throttled_for: Option<Duration>,
    pub head: Option<u64>,
    pub latency_ms: f64,
    pub in_flight: u32,
    pub calls: u64,
    pub failures: u64,
    /// `None` while the chain id has not been asked for.
    pub chain_ok: Option<bool>,
    pub last_error: Option<String>,
}

/// What a provider just answered.
#[derive(Debug, Clone)]
pub struct ProviderProbe {
    pub name: String,
    pub url: String,
    pub transport: Transport,
    /// It answered a call on our chain.
    pub reachable: bool,
    pub chain_ok: Option<bool>,
    pub head: Option<u64>,
    pub took: Duration,
    pub error: Option<String>,
}

impl Pool {
    /// How every provider stands, without asking any.
    pub fn status(&self) -> Vec<ProviderStatus> {
        self.endpoints()
            .iter()
            .map(|endpoint| {
                let health = &endpoint.health;
                let (calls, failures) = health.counts();
                ProviderStatus {
                    name: endpoint.name.to_string(),
                    url: endpoint.shown_url.clone(),
                    transport: endpoint.transport,
                    weight: endpoint.weight(),
                    breaker: health.breaker.gate().as_str(),
                    drained: health.is_drained(),
                    demoted: self.demotion(endpoint),
                    throttled_for: health.throttled_for(),
                    head: Some(health.head()).filter(|head| *head > 0),
                    latency_ms: health.latency_micros() / 1000.0,
                    in_flight: health.in_flight(),
                    calls,
                    failures,
                    chain_ok: endpoint.chain_is_ours(),
                    last_error: health.last_error(),
                }
            })
            .collect()
    }

    fn demotion(&self, endpoint: &Endpoint) -> Option<&'static str> {
        let health = &endpoint.health;
        let reasons = [
            (health.is_demoted(), "false answers"),
            (self.lags(endpoint), "head behind the others"),
            (health.is_troubled(), "fails often"),
        ];
        reasons.into_iter().find_map(|(holds, reason)| holds.then_some(reason))
    }

    /// Asks every provider for chain id and head, all at once.
    pub async fn probe(&self) -> Vec<ProviderProbe> {
        join_all(self.endpoints().into_iter().map(|endpoint| async move { look(&endpoint).await }))
            .await
    }

    /// Asks one provider for chain id and head.
    pub async fn probe_one(&self, provider: &str) -> Option<ProviderProbe> {
        let endpoint = self.endpoint(provider)?;
        Some(look(&endpoint).await)
    }
}

async fn look(endpoint: &Endpoint) -> ProviderProbe {
    let started = Instant::now();
    let error = ask_head(endpoint, started + LOOK_TIMEOUT, false).await;
    let error = error.map(|error| error.message).or_else(|| endpoint.genesis_fault());
    ProviderProbe {
        name: endpoint.name.to_string(),
        url: endpoint.shown_url.clone(),
        transport: endpoint.transport,
        reachable: error.is_none(),
        chain_ok: endpoint.chain_is_ours(),
        head: error.is_none().then(|| endpoint.health.head()),
        took: started.elapsed(),
        error,
    }
}
