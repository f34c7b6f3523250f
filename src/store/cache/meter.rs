//! Counts what is found in kept answers and what is not, per cache, as numbers and as a ratio.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::telemetry::metrics::{Counter, Gauge, Metric, counter, gauge};

/// One cache's counters, bound once.
#[derive(Debug)]
pub struct HitMeter {
    hits: Counter,
    misses: Counter,
    ratio: Gauge,
    asked: AtomicU64,
    found: AtomicU64,
}

impl HitMeter {
    /// `cache` is a word of ours: `memory`, `redis`.
    pub fn new(cache: &str) -> Self {
        Self {
            hits: counter(Metric::CacheLookups, &[cache, "hit"]),
            misses: counter(Metric::CacheLookups, &[cache, "miss"]),
            ratio: gauge(Metric::CacheHitRatio, &[cache]),
            asked: AtomicU64::new(0),
            found: AtomicU64::new(0),
        }
    }

    /// Counts one look.
    pub fn looked(&self, found: bool) {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let hits = self.found.fetch_add(u64::from(found), Ordering::Relaxed) + u64::from(found);
        if found {
            self.hits.add(1)
        } else {
            self.misses.add(1)
        }
        self.ratio.set_ratio(hits, asked);
    }
}
