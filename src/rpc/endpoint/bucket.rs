//! A token bucket for `rate_limit_rps`: calls are spaced, never refused while the deadline allows.
//!
//! Knows nothing of what providers answer; a 429 is the business of `health`.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// Tokens that refill at a steady rate, with one second's worth as the burst.
#[derive(Debug)]
pub struct Bucket {
    rate: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Below zero when calls are already waiting for tokens to come.
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// A full bucket of `rate` tokens a second.
    pub fn per_second(rate: u32) -> Self {
        let rate = f64::from(rate.max(1));
        Self { rate, state: Mutex::new(State { tokens: rate, at: Instant::now() }) }
    }

    /// Tokens a second.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was a u32")]
    pub fn rate(&self) -> u32 {
        self.rate as u32
    }

    /// Takes tokens, into debt if need be, and says how long to wait before using them.
    pub fn take(&self, count: u32) -> Duration {
        let mut state = self.refilled();
        state.tokens -= f64::from(count);
        self.wait(state.tokens)
    }

    /// Returns tokens that were taken and not used.
    pub fn give_back(&self, count: u32) {
        let mut state = self.refilled();
        state.tokens = (state.tokens + f64::from(count)).min(self.rate);
    }

    /// How long a taker of `count` tokens would wait now.
    pub fn wait_for(&self, count: u32) -> Duration {
        let state = self.refilled();
        self.wait(state.tokens - f64::from(count))
    }

    fn wait(&self, tokens: f64) -> Duration {
        if tokens >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-tokens / self.rate) }
    }

    fn refilled(&self) -> std::sync::MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        let fresh = now.duration_since(state.at).as_secs_f64() * self.rate;
        state.tokens = (state.tokens + fresh).min(self.rate);
        state.at = now;
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_the_rest_is_spaced() {
        let bucket = Bucket::per_second(10);
        assert!((0..10).all(|_| bucket.take(1).is_zero()));
        assert_eq!(bucket.take(1), Duration::from_millis(100));
        assert_eq!(bucket.take(1), Duration::from_millis(200));
        tokio::time::advance(Duration::from_millis(250)).await;
        assert!(bucket.wait_for(1) > Duration::ZERO);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(bucket.take(10).is_zero(), "never more than one second's worth");
        assert!(!bucket.take(1).is_zero());
    }
}
