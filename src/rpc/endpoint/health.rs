//! What is known about how a provider does: latency, failures, throttle, head, lacking methods.
//!
//! Only records and answers; the choice between providers is made in `pool`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy_primitives::B256;
use tokio::time::Instant;

use super::breaker::{Breaker, Gate};
use super::latency::Latency;
use super::meter::Meter;
use super::retry::Retries;
use crate::rpc::error::{ErrorClass, RpcError};

/// Pause after a 429 that does not say how long; doubles with each in a row.
const THROTTLE_MIN: Duration = Duration::from_secs(1);
/// Longest pause a provider may ask for: a Retry-After of a day must not take it out for a day.
const THROTTLE_MAX: Duration = Duration::from_secs(60);
/// Pause after a billing error: nothing changes within minutes.
const BILLING_PAUSE: Duration = Duration::from_secs(600);
/// How long a method counts as lacking after the provider said so.
const UNSUPPORTED_FOR: Duration = Duration::from_secs(600);
/// Methods remembered as lacking; a client may invent names without end.
const UNSUPPORTED_MAX: usize = 64;

/// A provider that came back gets its full share after this: caches are cold, and what broke it may
/// have been load.
const SLOW_START: Duration = Duration::from_secs(10);
/// The share it starts with.
const SLOW_START_SHARE: f64 = 0.1;
/// Time in which what is recent counts half.
const RECENT_HALF: Duration = Duration::from_secs(10);
/// Share of recent calls that fail at a provider which others are preferred to.
const TROUBLED_SHARE: f64 = 0.2;
/// Recent failures below which there is no trouble: so that it is tried again after a while.
const TROUBLED_FAILURES: f64 = 1.0;
/// How long a provider whose answer was proven false comes after the others.
const DEMOTED_FOR: Duration = Duration::from_secs(60);

/// The health of one provider.
#[derive(Debug)]
pub struct Health {
    pub breaker: Breaker,
    in_flight: AtomicU32,
    latency: Latency,
    calls: AtomicU64,
    failures: AtomicU64,
    head: AtomicU64,
    /// Streams of heads that are open.
    head_streams: AtomicU32,
    /// An operator took the provider out; calls under way end by themselves.
    drained: AtomicBool,
    notes: Mutex<Notes>,
    retries: Retries,
    meter: Meter,
}

#[derive(Debug, Default)]
struct Notes {
    throttled_until: Option<Instant>,
    throttles_in_a_row: u32,
    unsupported: HashMap<String, Instant>,
    last_error: Option<String>,
    /// The head by hash, where the provider named it.
    head_block: Option<(u64, B256)>,
    back_since: Option<Instant>,
    demoted_until: Option<Instant>,
    recent: Recent,
}

/// Calls and failures of the last moments, fading.
#[derive(Debug, Default)]
struct Recent {
    calls: f64,
    failures: f64,
    at: Option<Instant>,
}

impl Recent {
    fn fade(&mut self) {
        let now = Instant::now();
        if let Some(at) = self.at.replace(now) {
            let left =
                0.5f64.powf(now.duration_since(at).as_secs_f64() / RECENT_HALF.as_secs_f64());
            self.calls *= left;
            self.failures *= left;
        }
    }

    fn note(&mut self, failed: bool) {
        self.fade();
        self.calls += 1.0;
        self.failures += f64::from(u8::from(failed));
    }
}

/// A call under way: counts as load until dropped.
#[derive(Debug)]
pub struct InFlight<'a> {
    health: &'a Health,
    started: Instant,
    probe: bool,
}

impl Health {
    /// A provider of which nothing is known yet.
    pub fn new(chain: u64, provider: Arc<str>) -> Self {
        Self {
            breaker: Breaker::default(),
            in_flight: AtomicU32::new(0),
            latency: Latency::default(),
            calls: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            head: AtomicU64::new(0),
            head_streams: AtomicU32::new(0),
            drained: AtomicBool::new(false),
            notes: Mutex::default(),
            retries: Retries::default(),
            meter: Meter::new(chain, provider),
        }
    }

    /// Counts a call as under way. A probe holds the breaker's probe right until dropped.
    pub fn start(&self, probe: bool) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight { health: self, started: Instant::now(), probe }
    }

    /// Lower is better: expected wait with the load that is already there.
    pub fn cost(&self) -> f64 {
        let load = f64::from(self.in_flight.load(Ordering::Relaxed)) + 1.0;
        // A provider never asked starts at a millisecond: tried soon, not flooded.
        self.latency_micros().max(1_000.0) * load
    }

    /// The moving average of answer times in microseconds, zero before the first.
    pub fn latency_micros(&self) -> f64 {
        self.latency.mean_micros()
    }

    /// The time within which `share` of the calls are answered, once that is known.
    pub fn latency_quantile(&self, share: f64) -> Option<Duration> {
        self.latency.quantile(share)
    }

    /// Calls sent and calls that failed by the provider's fault.
    pub fn counts(&self) -> (u64, u64) {
        (self.calls.load(Ordering::Relaxed), self.failures.load(Ordering::Relaxed))
    }

    /// Calls under way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The highest block the provider was seen to have, zero when unknown.
    pub fn head(&self) -> u64 {
        self.head.load(Ordering::Relaxed)
    }

    /// The provider's head as it says now; a head may fall.
    pub fn note_head(&self, head: u64) {
        self.head.store(head, Ordering::Relaxed);
        self.meter.head(head);
    }

    /// The same with the head's hash.
    pub fn note_head_block(&self, number: u64, hash: B256) {
        self.notes().head_block = Some((number, hash));
        self.note_head(number);
    }

    /// Whether the provider can serve this block, as far as its head tells.
    pub fn has_block(&self, number: u64, hash: &B256) -> bool {
        let head = self.head();
        if head != number {
            return head > number;
        }
        let named = self.notes().head_block.filter(|(at, _)| *at == number);
        named.is_none_or(|(_, at)| at == *hash)
    }

    /// How much of its weight a provider takes: less than all for a while after it came back.
    pub fn readiness(&self) -> f64 {
        let Some(since) = self.notes().back_since else { return 1.0 };
        (since.elapsed().as_secs_f64() / SLOW_START.as_secs_f64()).clamp(SLOW_START_SHARE, 1.0)
    }

    /// The provider is new here, or back.
    pub fn start_slowly(&self) {
        self.notes().back_since = Some(Instant::now());
    }

    /// An answer of the provider was proven false.
    pub fn demote(&self) {
        self.notes().demoted_until = Some(Instant::now() + DEMOTED_FOR);
    }

    /// True for a while after a false answer.
    pub fn is_demoted(&self) -> bool {
        self.notes().demoted_until.is_some_and(|until| until > Instant::now())
    }

    /// True while a good part of what it was asked lately failed: the others come first.
    pub fn is_troubled(&self) -> bool {
        let mut notes = self.notes();
        let recent = &mut notes.recent;
        recent.fade();
        recent.failures > TROUBLED_FAILURES && recent.failures > recent.calls * TROUBLED_SHARE
    }

    /// Whether a call that failed elsewhere may be repeated here.
    pub fn allows_retry(&self) -> bool {
        self.retries.allowed()
    }

    /// Spends one repeated call; false when there is none left.
    pub fn take_retry(&self) -> bool {
        self.retries.take()
    }

    /// The provider does not have a block that its head seemed to cover.
    pub fn note_lacks(&self, block: u64) {
        self.head.fetch_min(block.saturating_sub(1), Ordering::Relaxed);
    }

    /// True while a stream of heads is open.
    pub fn pushes_heads(&self) -> bool {
        self.head_streams.load(Ordering::Acquire) > 0
    }

    /// Counts a stream of heads as open until dropped.
    pub fn head_stream(&self) -> HeadStreamOpen<'_> {
        self.head_streams.fetch_add(1, Ordering::AcqRel);
        HeadStreamOpen(self)
    }

    /// True while an operator keeps the provider out.
    pub fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    /// Takes the provider out, or back in.
    pub fn set_drained(&self, drained: bool) {
        if self.drained.swap(drained, Ordering::Relaxed) && !drained {
            self.start_slowly();
        }
    }

    /// When the provider may be asked again, if it told us to wait.
    pub fn throttled_for(&self) -> Option<Duration> {
        let until = self.notes().throttled_until?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// True when the provider said lately that it does not serve `method`.
    pub fn lacks_method(&self, method: &str) -> bool {
        let notes = self.notes();
        notes.unsupported.get(method).is_some_and(|at| at.elapsed() < UNSUPPORTED_FOR)
    }

    /// The last failure's text, for reports.
    pub fn last_error(&self) -> Option<String> {
        self.notes().last_error.clone()
    }

    fn note_error(&self, method: &str, error: &RpcError) {
        let mut notes = self.notes();
        match error.class {
            ErrorClass::RateLimited { after } => {
                let step = THROTTLE_MIN.saturating_mul(1 << notes.throttles_in_a_row.min(6));
                let pause = after.unwrap_or(step).min(THROTTLE_MAX);
                notes.throttles_in_a_row = notes.throttles_in_a_row.saturating_add(1);
                notes.throttled_until = Some(Instant::now() + pause);
            }
            ErrorClass::Billing => notes.throttled_until = Some(Instant::now() + BILLING_PAUSE),
            ErrorClass::Unsupported => {
                notes.unsupported.retain(|_, at| at.elapsed() < UNSUPPORTED_FOR);
                if notes.unsupported.len() < UNSUPPORTED_MAX {
                    notes.unsupported.insert(method.to_owned(), Instant::now());
                }
            }
            class if class.is_failure() => {}
            _ => return,
        }
        notes.last_error = Some(error.message.clone());
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InFlight<'_> {
    /// Records how the call ended. Without this (the client went away) nothing counts.
    pub fn finish<T>(self, method: &str, outcome: &Result<T, RpcError>) {
        let health = self.health;
        let took = self.started.elapsed();
        health.meter.call(method, took, outcome);
        health.calls.fetch_add(1, Ordering::Relaxed);
        match outcome {
            Err(error) if error.class.is_failure() => {
                health.failures.fetch_add(1, Ordering::Relaxed);
                health.retries.note(false);
                health.notes().recent.note(true);
                health.note_error(method, error);
                // A time out is a latency too; a refused connection is not a fast answer.
                if error.class == ErrorClass::Timeout {
                    health.latency.note(took);
                }
                health.breaker.on_failure();
                health.meter.breaker(health.breaker.gate());
            }
            // Told to wait: neither healthy nor broken.
            Err(error)
                if matches!(error.class, ErrorClass::RateLimited { .. } | ErrorClass::Billing) =>
            {
                health.note_error(method, error);
            }
            other => {
                if let Err(error) = other {
                    health.note_error(method, error);
                }
                health.latency.note(took);
                health.retries.note(true);
                let mut notes = health.notes();
                notes.throttles_in_a_row = 0;
                notes.recent.note(false);
                drop(notes);
                if health.breaker.gate() == Gate::Closed || self.probe {
                    let closed = health.breaker.gate() == Gate::Closed;
                    health.breaker.on_success();
                    if !closed && health.breaker.gate() == Gate::Closed {
                        health.start_slowly();
                    }
                    if self.probe {
                        health.meter.breaker(health.breaker.gate());
                    }
                }
            }
        }
    }
}

/// An open stream of heads.
#[derive(Debug)]
pub struct HeadStreamOpen<'a>(&'a Health);

impl Drop for HeadStreamOpen<'_> {
    fn drop(&mut self) {
        self.0.head_streams.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.health.in_flight.fetch_sub(1, Ordering::Relaxed);
        if self.probe {
            self.health.breaker.end_probe();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(health: &Health, class: ErrorClass) {
        let error: Result<(), _> = Err(RpcError::new(class, &Arc::from("node"), "text"));
        health.start(false).finish("eth_call", &error);
    }

    #[tokio::test(start_paused = true)]
    async fn a_429_throttles_and_never_opens_the_breaker() {
        let health = Health::new(1, Arc::from("node"));
        let after = Some(Duration::from_secs(7));
        (0..20).for_each(|_| end(&health, ErrorClass::RateLimited { after }));
        assert_eq!(health.breaker.gate(), Gate::Closed);
        assert_eq!(health.throttled_for(), after);
        tokio::time::advance(Duration::from_secs(8)).await;
        assert_eq!(health.throttled_for(), None);
        end(&health, ErrorClass::RateLimited { after: Some(Duration::from_secs(90_000)) });
        assert_eq!(health.throttled_for(), Some(THROTTLE_MAX));
    }

    #[tokio::test]
    async fn reverts_and_client_cancels_never_count_and_timeouts_do() {
        let health = Health::new(1, Arc::from("node"));
        (0..50).for_each(|_| end(&health, ErrorClass::Execution));
        (0..50).for_each(|_| drop(health.start(false)));
        assert_eq!(health.breaker.gate(), Gate::Closed);
        assert_eq!(health.in_flight(), 0);
        (0..5).for_each(|_| end(&health, ErrorClass::Timeout));
        assert_eq!(health.breaker.gate(), Gate::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_comes_back_gets_its_share_little_by_little() {
        let health = Health::new(1, Arc::from("node"));
        assert!(
            (health.readiness() - 1.0).abs() < f64::EPSILON,
            "a new one has nothing to recover"
        );
        health.set_drained(true);
        health.set_drained(false);
        assert!((health.readiness() - SLOW_START_SHARE).abs() < f64::EPSILON);
        tokio::time::advance(SLOW_START / 2).await;
        assert!((health.readiness() - 0.5).abs() < 0.01);
        tokio::time::advance(SLOW_START).await;
        assert!((health.readiness() - 1.0).abs() < f64::EPSILON);
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_is_a_share_of_what_is_recent_and_passes() {
        let health = Health::new(1, Arc::from("node"));
        let good: Result<(), RpcError> = Ok(());
        (0..90).for_each(|_| health.start(false).finish("eth_call", &good));
        (0..10).for_each(|_| end(&health, ErrorClass::Transient));
        assert!(!health.is_troubled(), "one in ten");
        (0..20).for_each(|_| end(&health, ErrorClass::Transient));
        assert!(health.is_troubled());
        tokio::time::advance(RECENT_HALF * 6).await;
        assert!(!health.is_troubled(), "tried again after a while");
    }

    #[test]
    fn a_block_is_had_by_who_names_it_or_stands_above_it() {
        let health = Health::new(1, Arc::from("node"));
        let (ours, other) = (B256::repeat_byte(1), B256::repeat_byte(2));
        health.note_head_block(10, ours);
        assert!(health.has_block(10, &ours) && health.has_block(9, &other));
        assert!(!health.has_block(10, &other) && !health.has_block(11, &ours));
        health.note_head(11);
        assert!(health.has_block(11, &other), "a height alone names no branch");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lacking_method_is_remembered_for_a_while() {
        let health = Health::new(1, Arc::from("node"));
        end(&health, ErrorClass::Unsupported);
        assert!(health.lacks_method("eth_call"));
        assert!(!health.lacks_method("eth_getLogs"));
        tokio::time::advance(UNSUPPORTED_FOR).await;
        assert!(!health.lacks_method("eth_call"));
    }
}
