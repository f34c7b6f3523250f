//! How many repeated calls a provider is sent: none beyond a trickle while it fails more than one call in
//! ten, so that an outage is not answered with a multiple of the load.
//!
//! A first attempt is never held back here; that is the breaker's part.

use std::sync::{Mutex, PoisonError};

use super::bucket::Bucket;

/// Tokens at most, and from the start. A failure takes one.
const TOKENS_MAX: f64 = 100.0;
/// What a success gives back: in the long run one failure in ten is forgiven.
const PER_SUCCESS: f64 = 0.1;
/// Repeated calls flow freely above this.
const FREE_ABOVE: f64 = TOKENS_MAX / 2.0;
/// Repeated calls per second that are always allowed: with few calls a ratio means nothing.
const ALWAYS_PER_SECOND: u32 = 10;

/// The budget of one provider.
#[derive(Debug)]
pub(super) struct Retries {
    tokens: Mutex<f64>,
    always: Bucket,
}

impl Default for Retries {
    fn default() -> Self {
        Self { tokens: Mutex::new(TOKENS_MAX), always: Bucket::per_second(ALWAYS_PER_SECOND) }
    }
}

impl Retries {
    /// A call ended by the provider's merit or fault.
    pub(super) fn note(&self, success: bool) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let change = if success { PER_SUCCESS } else { -1.0 };
        *tokens = (*tokens + change).clamp(0.0, TOKENS_MAX);
    }

    /// Whether a repeated call would be let through.
    pub(super) fn allowed(&self) -> bool {
        self.flows() || self.always.wait_for(1).is_zero()
    }

    /// Lets one repeated call through, or not.
    pub(super) fn take(&self) -> bool {
        if self.flows() {
            return true;
        }
        let free = self.always.wait_for(1).is_zero();
        if free {
            self.always.take(1);
        }
        free
    }

    fn flows(&self) -> bool {
        *self.tokens.lock().unwrap_or_else(PoisonError::into_inner) > FREE_ABOVE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_outage_earns_a_trickle_and_one_failure_in_ten_is_forgiven() {
        let retries = Retries::default();
        for _ in 0..1_000 {
            retries.note(false);
            (0..10).for_each(|_| retries.note(true));
        }
        assert!(retries.take(), "one in eleven");
        let mut taken = 0;
        for _ in 0..1_000 {
            retries.note(false);
            taken += usize::from(retries.take());
        }
        assert!((50..=60).contains(&taken), "{taken} of 1,000");
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        let more = (0..100).filter(|_| retries.take()).count();
        assert_eq!(more, 10);
    }
}
