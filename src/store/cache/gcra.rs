//! The generic cell rate algorithm as arithmetic: what is owed, what passes, how long to wait.
//!
//! Times are microseconds, as Redis tells them, so that both engines judge alike. No clock here.

use std::time::Duration;

/// Microseconds in a second.
const SECOND_US: u64 = 1_000_000;

/// A rate and how much of it may be used at once, both in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Time in which one unit is earned, at least 1 µs.
    pub(super) unit_us: u64,
    /// Time in which the whole allowance is earned.
    pub(super) burst_us: u64,
}

impl Quota {
    /// `units` per `per`, of which `burst` units at once. Nothing is below one unit.
    pub fn new(units: u32, per: Duration, burst: u32) -> Self {
        let per_us = u64::try_from(per.as_micros()).unwrap_or(u64::MAX);
        let unit_us = (per_us / u64::from(units.max(1))).max(1);
        Self { unit_us, burst_us: unit_us.saturating_mul(u64::from(burst.max(1))) }
    }

    /// `units` per second, of which `burst` units at once.
    pub fn per_second(units: u32, burst: u32) -> Self {
        Self::new(units, Duration::from_micros(SECOND_US), burst)
    }

    /// What one of `nodes` processes may grant by itself: a part of the rate and of the burst.
    #[must_use]
    pub fn share(self, nodes: u32) -> Self {
        let unit_us = self.unit_us.saturating_mul(u64::from(nodes.max(1)));
        Self { unit_us, burst_us: self.burst_us }
    }

    /// The whole allowance in units.
    pub fn burst(self) -> u32 {
        u32::try_from(self.burst_us / self.unit_us).unwrap_or(u32::MAX)
    }

    pub(super) fn price_us(self, cost: u32) -> u64 {
        self.unit_us.saturating_mul(u64::from(cost))
    }
}

/// How a caller stands after a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Units left.
    pub remaining: u32,
    /// Until the whole allowance is there again.
    pub reset: Duration,
    /// How long to wait before the same charge passes; `None`: it passed.
    pub retry_after: Option<Duration>,
    /// Judged by this process's share, because the shared count was away.
    pub local: bool,
}

impl Standing {
    pub fn allowed(&self) -> bool {
        self.retry_after.is_none()
    }

    /// From what is owed after the charge and how long to wait, both in microseconds.
    pub(super) fn of(quota: Quota, owed_us: u64, retry_us: u64) -> Self {
        let left = quota.burst_us.saturating_sub(owed_us) / quota.unit_us;
        Self {
            remaining: u32::try_from(left).unwrap_or(u32::MAX),
            reset: Duration::from_micros(owed_us),
            retry_after: (retry_us > 0).then(|| Duration::from_micros(retry_us)),
            local: false,
        }
    }
}

/// Judges a charge against an allowance that is whole at `whole_at`; gives the standing and when the
/// allowance is whole afterwards. A cost above the burst passes when the allowance is whole, and is
/// paid off before the next: refused for ever, its "retry after" would be a lie.
pub(super) fn judge(now: u64, whole_at: u64, quota: Quota, cost: u32) -> (Standing, u64) {
    let owed = whole_at.saturating_sub(now);
    let price = quota.price_us(cost);
    let after = owed.saturating_add(price);
    if after <= quota.burst_us || owed == 0 {
        return (Standing::of(quota, after, 0), now.saturating_add(after));
    }
    let over = if price > quota.burst_us { owed } else { after - quota.burst_us };
    (Standing::of(quota, owed, over), now.saturating_add(owed))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cost_above_the_burst_passes_when_whole_and_is_paid_off() {
        let quota = Quota::per_second(10, 5);
        let (first, whole_at) = judge(0, 0, quota, 20);
        assert!(first.allowed());
        assert_eq!((first.remaining, first.reset), (0, Duration::from_secs(2)));
        let (second, _) = judge(1_000_000, whole_at, quota, 20);
        assert_eq!(second.retry_after, Some(Duration::from_secs(1)));
        assert!(judge(2_000_000, whole_at, quota, 20).0.allowed());
    }

    proptest! {
        /// In any window, no more passes than the burst and what the rate earns; and a wait that is
        /// kept passes.
        #[test]
        fn the_rate_holds_and_waits_are_true(
            units in 1u32..1000, burst in 1u32..100,
            steps in proptest::collection::vec((0u64..50_000, 1u32..10), 1..300),
        ) {
            let quota = Quota::per_second(units, burst);
            let (mut now, mut whole_at, mut passed) = (0u64, 0u64, 0u64);
            for (gap, cost) in steps {
                now += gap;
                let (standing, after) = judge(now, whole_at, quota, cost);
                whole_at = after;
                match standing.retry_after {
                    None => passed += u64::from(cost.min(burst)),
                    Some(wait) => {
                        let wait = u64::try_from(wait.as_micros()).expect("short");
                        prop_assert!(judge(now + wait, whole_at, quota, cost).0.allowed());
                        if wait > 1 {
                            prop_assert!(!judge(now + wait - 1, whole_at, quota, cost).0.allowed());
                        }
                    }
                }
                let earned = now / quota.unit_us + u64::from(burst) + 10;
                prop_assert!(passed <= earned, "{passed} of {earned}");
            }
        }
    }
}
