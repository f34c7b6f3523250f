//! A second provider is asked when the first is slow for its own measure. The first real answer wins.
//!
//! Never for writes or heavy queries, never beyond a share of all calls, and a null never wins while the
//! other is still at work: null may mean "not here yet".

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{CallOptions, Pool, Round, attempt, choose};
use crate::rpc::endpoint::Endpoint;
use crate::rpc::endpoint::breaker::Gate;
use crate::rpc::error::RpcError;
use crate::rpc::wire::Call;

/// Share of a provider's calls that are answered before a second one is asked.
const QUANTILE: f64 = 0.95;
/// Shortest wait: below this a hedge costs more than it saves.
const DELAY_MIN: Duration = Duration::from_millis(10);
/// Wait while a provider's measure is not known.
const DELAY_UNKNOWN: Duration = Duration::from_millis(500);
/// Hedges per thousand calls, over the long run.
const PER_MILLE: i64 = 50;
/// Hedges that may come at once after a quiet time.
const BURST: i64 = 20;

/// Queries so heavy that asking twice is worse than waiting.
const HEAVY: &[&str] = &["eth_getLogs", "eth_getBlockReceipts", "eth_simulateV1"];

/// How many hedges are left.
#[derive(Debug)]
pub(super) struct Budget(AtomicI64);

impl Default for Budget {
    fn default() -> Self {
        Self(AtomicI64::new(BURST * 1000))
    }
}

impl Budget {
    fn earn(&self) {
        if self.0.load(Ordering::Relaxed) < BURST * 1000 {
            self.0.fetch_add(PER_MILLE, Ordering::Relaxed);
        }
    }

    fn spend(&self) -> bool {
        let spent = self.0.fetch_sub(1000, Ordering::Relaxed) >= 1000;
        if !spent {
            self.0.fetch_add(1000, Ordering::Relaxed);
        }
        spent
    }
}

type Outcome = Result<Bytes, RpcError>;

impl Pool {
    /// One attempt at `endpoint`, hedged where allowed. Says who gave the outcome.
    pub(super) async fn hedged(
        &self,
        round: &Round<'_>,
        endpoint: Arc<Endpoint>,
        call: &Call,
        until: Instant,
    ) -> (Arc<Endpoint>, Outcome) {
        let options = round.options;
        let alone = round.endpoints.len() < 2 || options.pin.is_some();
        if alone || !options.hedge || options.write || HEAVY.contains(&&*call.method) {
            let outcome = attempt(&endpoint, call, until).await;
            return (endpoint, outcome);
        }
        self.hedges.earn();
        let usual = endpoint.health.latency_quantile(QUANTILE).unwrap_or(DELAY_UNKNOWN);
        let first = attempt(&endpoint, call, until);
        tokio::pin!(first);
        tokio::select! {
            outcome = &mut first => return (endpoint.clone(), outcome),
            () = tokio::time::sleep(usual.max(DELAY_MIN)) => {}
        }
        let Some(other) = Box::pin(self.spare(round, &endpoint, call)).await else {
            return (endpoint.clone(), first.await);
        };
        self.tally.add(&call.method, 1);
        let second = attempt(&other, call, until);
        tokio::pin!(second);
        // The loser is dropped and counts for nothing, neither good nor bad.
        let (one, outcome, first_done) = tokio::select! {
            outcome = &mut first => (&endpoint, outcome, true),
            outcome = &mut second => (&other, outcome, false),
        };
        if is_real(&outcome) {
            return (one.clone(), outcome);
        }
        let (late, late_outcome) =
            if first_done { (&other, second.await) } else { (&endpoint, first.await) };
        if is_real(&late_outcome) || outcome.is_err() {
            return (late.clone(), late_outcome);
        }
        (one.clone(), outcome)
    }

    /// Another healthy provider, if the budget allows one more call.
    async fn spare(
        &self,
        round: &Round<'_>,
        first: &Endpoint,
        call: &Call,
    ) -> Option<Arc<Endpoint>> {
        let mut exclude = round.options.exclude.clone();
        exclude.push(first.name.clone());
        let options = CallOptions { exclude, ..round.options.clone() };
        let want = choose::Want {
            method: &call.method,
            options: &options,
            tried: &round.tried,
            untried_only: true,
        };
        let other = choose::choose(self, &want, round.deadline).await.ok()?;
        let fit = other.health.breaker.gate() == Gate::Closed
            && other.health.throttled_for().is_none()
            && other.has_budget();
        (fit && self.hedges.spend()).then_some(other)
    }
}

fn is_real(outcome: &Outcome) -> bool {
    outcome.as_ref().is_ok_and(|result| result.as_ref() != b"null")
        || outcome.as_ref().is_err_and(|error| !error.is_retryable())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hedges_stay_within_their_share() {
        let budget = Budget::default();
        let mut spent = 0;
        for _ in 0..10_000 {
            budget.earn();
            spent += i32::from(budget.spend());
        }
        assert!((500..=520).contains(&spent), "{spent} of 10,000");
    }
}
