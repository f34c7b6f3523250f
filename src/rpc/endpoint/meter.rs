//! A provider's metrics, with their labels bound once per method and outcome.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;

use super::breaker::Gate;
use crate::rpc::error::RpcError;
use crate::telemetry::metrics::{
    Counter, Gauge, Histogram, Metric, counter, gauge, histogram, method_label,
};

/// Counters of one provider.
#[derive(Debug)]
pub(super) struct Meter {
    chain: String,
    provider: Arc<str>,
    requests: DashMap<(&'static str, &'static str), Counter>,
    seconds: DashMap<&'static str, Histogram>,
    head: Gauge,
    breaker: Gauge,
}

impl Meter {
    pub(super) fn new(chain: u64, provider: Arc<str>) -> Self {
        let chain = chain.to_string();
        let labels = [chain.as_str(), &*provider];
        let head = gauge(Metric::RpcProviderHead, &labels);
        let breaker = gauge(Metric::RpcBreaker, &labels);
        Self { head, breaker, chain, provider, requests: DashMap::new(), seconds: DashMap::new() }
    }

    pub(super) fn call<T>(&self, method: &str, took: Duration, outcome: &Result<T, RpcError>) {
        let method = method_label(method);
        let word = outcome.as_ref().err().map_or("ok", |error| error.class.as_str());
        let labels = [&self.chain, &*self.provider, method, word];
        let count = || counter(Metric::RpcRequests, &labels);
        self.requests.entry((method, word)).or_insert_with(count).add(1);
        let time = || histogram(Metric::RpcSeconds, &[&self.chain, &*self.provider, method]);
        self.seconds.entry(method).or_insert_with(time).time(took);
    }

    pub(super) fn head(&self, head: u64) {
        self.head.set(head);
    }

    pub(super) fn breaker(&self, gate: Gate) {
        self.breaker.set(match gate {
            Gate::Closed => 0,
            Gate::HalfOpen => 1,
            Gate::Open => 2,
        });
    }
}
