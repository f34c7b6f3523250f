//! One call on its way through the providers: attempts, deadline, pauses, what may be repeated.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::Instant;

use super::members::Endpoints;
use super::{CallOptions, Pool, choose};
use crate::rpc::endpoint::Endpoint;
use crate::rpc::error::{ErrorClass, RpcError};

/// Attempts beyond one per provider.
const EXTRA_ATTEMPTS: usize = 2;
/// Attempts in all: a call that fails this often fails.
const ATTEMPTS_MAX: usize = 8;
/// First and longest pause before the same provider is asked again.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// An attempt gets at least this much of the deadline, the rest is kept for the next provider.
const ATTEMPT_MIN: Duration = Duration::from_secs(2);

/// One call on its way through the providers.
#[derive(Debug)]
pub(super) struct Round<'a> {
    pool: &'a Pool,
    pub(super) options: &'a CallOptions,
    pub(super) endpoints: Endpoints,
    pub(super) deadline: Instant,
    pub(super) tried: Vec<Arc<str>>,
    attempts_left: usize,
    pauses: backon::ExponentialBackoff,
    /// The error to show if nothing helps: the first that a node itself wrote, else the last.
    shown: Option<RpcError>,
    /// Asking the same provider again makes no sense.
    untried_only: bool,
}

impl<'a> Round<'a> {
    pub(super) fn new(pool: &'a Pool, options: &'a CallOptions) -> Self {
        let endpoints = pool.endpoints();
        let pauses = ExponentialBuilder::default()
            .with_min_delay(RETRY_PAUSE.0)
            .with_max_delay(RETRY_PAUSE.1)
            .with_max_times(ATTEMPTS_MAX)
            .with_jitter()
            .build();
        Self {
            pool,
            options,
            deadline: Instant::now() + options.timeout,
            tried: Vec::new(),
            attempts_left: (endpoints.len() + EXTRA_ATTEMPTS).min(ATTEMPTS_MAX),
            endpoints,
            pauses,
            shown: None,
            untried_only: false,
        }
    }

    pub(super) async fn next(&mut self, method: &str) -> Result<Arc<Endpoint>, RpcError> {
        let want = choose::Want {
            method,
            options: self.options,
            tried: &self.tried,
            untried_only: self.untried_only,
        };
        match choose::choose(self.pool, &want, self.deadline).await {
            // A repeated call is paid for by whoever gets it, so that an outage does not multiply load.
            Ok(endpoint) if self.tried.is_empty() || endpoint.health.take_retry() => Ok(endpoint),
            Ok(endpoint) => Err(self.shown.take().unwrap_or_else(|| {
                let text = "failing too often to be asked again now";
                RpcError::new(ErrorClass::Overload, &endpoint.name, text)
            })),
            Err(error) => Err(self.shown.take().unwrap_or(error)),
        }
    }

    /// Half of what is left, so that a hanging provider leaves time for another.
    pub(super) fn attempt_deadline(&self) -> Instant {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if self.attempts_left <= 1 || self.endpoints.len() == 1 {
            return self.deadline;
        }
        Instant::now() + (left / 2).max(ATTEMPT_MIN).min(left)
    }

    /// Notes a failure and waits if the next attempt should wait; an error when there is none.
    pub(super) async fn failed(&mut self, error: RpcError) -> Result<(), RpcError> {
        self.attempts_left = self.attempts_left.saturating_sub(1);
        let class = error.class;
        self.tried.push(error.endpoint.clone());
        if !class.is_retryable() || (self.options.write && may_have_arrived(class)) {
            return Err(error);
        }
        self.untried_only |= pointless_again(class);
        if self.shown.as_ref().is_none_or(|shown| shown.object.is_none()) {
            self.shown = Some(error);
        }
        let untried = self.endpoints.iter().any(|e| !self.tried.contains(&e.name));
        let pause = if untried { Duration::ZERO } else { self.pauses.next().unwrap_or_default() };
        if self.attempts_left == 0 || Instant::now() + pause >= self.deadline {
            return Err(self.shown.take().unwrap_or_else(|| {
                RpcError::of_pool(ErrorClass::Timeout, "no answer before the deadline")
            }));
        }
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }
}

/// Another try with the same provider would end the same way.
fn pointless_again(class: ErrorClass) -> bool {
    matches!(
        class,
        ErrorClass::NotYet
            | ErrorClass::Pruned
            | ErrorClass::Unsupported
            | ErrorClass::Denied
            | ErrorClass::Billing
            | ErrorClass::WrongChain { .. }
            | ErrorClass::Unknown
    )
}

/// The provider may have acted on the call although it gave no answer.
fn may_have_arrived(class: ErrorClass) -> bool {
    !matches!(
        class,
        ErrorClass::RateLimited { .. }
            | ErrorClass::Unsupported
            | ErrorClass::Denied
            | ErrorClass::Billing
            | ErrorClass::WrongChain { .. }
    )
}
