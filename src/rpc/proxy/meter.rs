//! Metrics of one door: clients' calls by method and outcome, time to answer.

use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;

use super::Refusal;
use crate::telemetry::metrics::{Counter, Histogram, Metric, counter, histogram, method_label};

/// Counters with their labels bound.
#[derive(Debug)]
pub(super) struct Meter {
    chain: String,
    requests: DashMap<(&'static str, &'static str), Counter>,
    seconds: DashMap<&'static str, Histogram>,
    hits: Counter,
    misses: Counter,
}

impl Meter {
    pub(super) fn new(chain: u64) -> Self {
        let chain = chain.to_string();
        let lookups = |outcome| counter(Metric::ProxyCache, &[&chain, outcome]);
        let (hits, misses) = (lookups("hit"), lookups("miss"));
        Self { hits, misses, chain, requests: DashMap::new(), seconds: DashMap::new() }
    }

    /// A question that may be answered from memory was.
    pub(super) fn looked_up(&self, hit: bool) {
        if hit { self.hits.add(1) } else { self.misses.add(1) }
    }

    pub(super) fn call(
        &self,
        method: &'static str,
        took: Duration,
        outcome: &Result<Bytes, Refusal>,
    ) {
        let word = match outcome {
            Ok(_) => "ok",
            Err(Refusal::Node(error)) => error.class.as_str(),
            Err(Refusal::Ours(_)) => "refused",
        };
        let count = || counter(Metric::ProxyRequests, &[&self.chain, method, word]);
        self.requests.entry((method, word)).or_insert_with(count).add(1);
        let time = || histogram(Metric::ProxySeconds, &[&self.chain, method]);
        self.seconds.entry(method).or_insert_with(time).time(took);
    }
}

/// The label of a client's method.
pub(super) fn label(method: &str) -> &'static str {
    method_label(method)
}
