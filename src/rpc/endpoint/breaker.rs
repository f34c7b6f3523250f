//! A circuit breaker: `failsafe`'s state machine with our trip policy and a bounded half-open state.
//!
//! `failsafe` lets every caller through once half-open; here one probe at a time does the asking.
//! What counts as a failure is decided by the error class, not here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use failsafe::{FailurePolicy, Instrument, StateMachine};

/// Failures in a row that open the breaker.
const FAILURES_IN_A_ROW: u32 = 5;
/// Share of failures, over about the last twenty calls, that opens it as well.
const FAILURE_SHARE: f64 = 0.5;
/// Calls before the share means something.
const CALLS_MIN: u32 = 20;
/// First time out; doubles with each failed probe.
const OPEN_MIN: Duration = Duration::from_millis(500);
/// Longest time out: a provider that recovers is back within this.
const OPEN_MAX: Duration = Duration::from_secs(30);

/// What the breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    Closed,
    Open,
    /// The time out is over and a probe may ask.
    HalfOpen,
}

impl Gate {
    /// The word for reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// One breaker, for one provider and transport.
#[derive(Debug)]
pub struct Breaker {
    machine: StateMachine<Trip, Watch>,
    gate: Arc<AtomicU8>,
    probing: AtomicBool,
}

impl Default for Breaker {
    fn default() -> Self {
        let gate = Arc::new(AtomicU8::new(0));
        let machine = StateMachine::new(Trip::default(), Watch(gate.clone()));
        Self { machine, gate, probing: AtomicBool::new(false) }
    }
}

impl Breaker {
    /// The state as last seen; an open breaker turns half-open only when asked to probe.
    pub fn gate(&self) -> Gate {
        match self.gate.load(Ordering::Acquire) {
            0 => Gate::Closed,
            1 => Gate::Open,
            _ => Gate::HalfOpen,
        }
    }

    /// The right to send the one probe, when the time out is over and nobody else probes.
    pub fn try_probe(&self) -> bool {
        if self.gate() == Gate::Closed || !self.machine.is_call_permitted() {
            return false;
        }
        !self.probing.swap(true, Ordering::AcqRel)
    }

    /// Gives the probe right back, whatever came of it.
    pub fn end_probe(&self) {
        self.probing.store(false, Ordering::Release);
    }

    /// A call that the provider served.
    pub fn on_success(&self) {
        self.machine.on_success();
    }

    /// A call that speaks against the provider's health.
    pub fn on_failure(&self) {
        self.machine.on_error();
    }
}

/// Opens after failures in a row or a high share of failures; backs off exponentially.
#[derive(Debug, Default)]
struct Trip {
    in_a_row: u32,
    calls: u32,
    share: f64,
    times_open: u32,
}

impl FailurePolicy for Trip {
    fn record_success(&mut self) {
        self.in_a_row = 0;
        self.note(0.0);
    }

    fn mark_dead_on_failure(&mut self) -> Option<Duration> {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.note(1.0);
        let dead = self.in_a_row >= FAILURES_IN_A_ROW
            || (self.calls >= CALLS_MIN && self.share > FAILURE_SHARE);
        dead.then(|| {
            let time = OPEN_MIN.saturating_mul(1 << self.times_open.min(6)).min(OPEN_MAX);
            self.times_open = self.times_open.saturating_add(1);
            // Providers behind one load balancer fail together; do not probe them together.
            time.mul_f64(rand::random_range(0.8..1.2))
        })
    }

    fn revived(&mut self) {
        *self = Self::default();
    }
}

impl Trip {
    fn note(&mut self, failed: f64) {
        self.calls = self.calls.saturating_add(1);
        self.share += (failed - self.share) / 20.0;
    }
}

/// Mirrors the machine's state into an atomic, which the choice of a provider reads.
#[derive(Debug)]
struct Watch(Arc<AtomicU8>);

impl Instrument for Watch {
    fn on_call_rejected(&self) {}

    fn on_open(&self) {
        self.0.store(1, Ordering::Release);
    }

    fn on_half_open(&self) {
        self.0.store(2, Ordering::Release);
    }

    fn on_closed(&self) {
        self.0.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_open_it_and_one_probe_at_a_time_closes_it() {
        let breaker = Breaker::default();
        (0..4).for_each(|_| breaker.on_failure());
        assert_eq!(breaker.gate(), Gate::Closed);
        breaker.on_failure();
        assert_eq!(breaker.gate(), Gate::Open);
        assert!(!breaker.try_probe(), "not before the time out is over");
        std::thread::sleep(OPEN_MIN.mul_f64(1.3));
        assert!(breaker.try_probe());
        assert_eq!(breaker.gate(), Gate::HalfOpen);
        assert!(!breaker.try_probe(), "one at a time");
        breaker.end_probe();
        assert!(breaker.try_probe(), "an abandoned probe gives its right back");
        breaker.on_success();
        breaker.end_probe();
        assert_eq!(breaker.gate(), Gate::Closed);
    }

    #[test]
    fn a_success_in_between_starts_the_count_again() {
        let breaker = Breaker::default();
        for _ in 0..3 {
            (0..3).for_each(|_| breaker.on_failure());
            (0..3).for_each(|_| breaker.on_success());
        }
        assert_eq!(breaker.gate(), Gate::Closed);
    }
}
