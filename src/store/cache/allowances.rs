//! Allowances of many callers in this process's memory: the whole limiter of one process, and what a
//! process falls back to while the shared count is away.

use dashmap::DashMap;
use tokio::time::Instant;

use super::gcra::{Quota, Standing, judge};

/// Callers remembered, about 10 MB. Beyond it, newcomers share one allowance, never none or any.
const CALLERS_MAX: usize = 65_536;
/// Where newcomers go while the table is full.
const NEWCOMERS: &str = "";

/// When each caller's allowance is whole again, in microseconds since the table was made.
#[derive(Debug)]
pub(super) struct Allowances {
    begun: Instant,
    whole_at: DashMap<String, u64>,
}

impl Default for Allowances {
    fn default() -> Self {
        Self { begun: Instant::now(), whole_at: DashMap::new() }
    }
}

impl Allowances {
    /// Takes `cost` units.
    pub(super) fn charge(&self, key: &str, quota: Quota, cost: u32) -> Standing {
        let now = self.now();
        let mut whole_at = self.whole_at.entry(self.place(key, now).to_owned()).or_insert(now);
        let (standing, after) = judge(now, *whole_at, quota, cost);
        *whole_at = after;
        standing
    }

    /// Takes over what is owed elsewhere. A share of rate and burst is earned in the same time as the
    /// whole, so the time owed is the same for both.
    pub(super) fn learn(&self, key: &str, owed_us: u64) {
        let now = self.now();
        self.whole_at.insert(self.place(key, now).to_owned(), now.saturating_add(owed_us));
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The caller's own place, or the common one when the table is full even without those who have
    /// been quiet long enough to be whole.
    fn place<'k>(&self, key: &'k str, now: u64) -> &'k str {
        if self.whole_at.len() < CALLERS_MAX || self.whole_at.contains_key(key) {
            return key;
        }
        self.whole_at.retain(|_, whole_at| *whole_at > now);
        if self.whole_at.len() < CALLERS_MAX { key } else { NEWCOMERS }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_full_table_neither_grows_nor_lets_everyone_in() {
        let allowances = Allowances::default();
        let quota = Quota::per_second(50, 300);
        for at in 0..CALLERS_MAX + 300 {
            assert!(allowances.charge(&at.to_string(), quota, 1).allowed());
        }
        assert!(!allowances.charge("one more", quota, 1).allowed());
        assert!(allowances.charge("0", quota, 1).allowed(), "the known keep theirs");
        assert!(allowances.whole_at.len() <= CALLERS_MAX + 1);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(allowances.charge("one more", quota, 1).allowed());
        assert!(allowances.whole_at.len() <= 2, "the quiet are forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_goes_on_from_what_was_owed_in_the_shared_count() {
        let allowances = Allowances::default();
        let quota = Quota::per_second(100, 100);
        // 60 of 100 units are used: a third of the processes has a third of the other 40.
        allowances.learn("caller", 600_000);
        let mut passed = 0;
        while allowances.charge("caller", quota.share(3), 1).allowed() {
            passed += 1;
        }
        assert_eq!(passed, 13);
    }
}
