//! How long a provider takes, as a decaying histogram: quantiles for hedging, a mean for the choice.
//!
//! Half-octave buckets are exact enough to tell "slow for this provider" from "slow".

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Buckets of half an octave from 32 µs up; the last holds everything above a minute.
const BUCKETS: usize = 44;
/// Samples after which all counts are halved, so that the past fades.
const FADE_AT: u32 = 1024;
/// Samples before a quantile means something.
const SAMPLES_MIN: u32 = 32;
/// Weight of the newest sample in the mean.
const MEAN_STEP: f64 = 0.1;

/// Latencies of one provider.
#[derive(Debug)]
pub struct Latency {
    buckets: [AtomicU32; BUCKETS],
    samples: AtomicU32,
    /// Moving average in microseconds, as the bits of an f64.
    mean: AtomicU64,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU32::new(0)),
            samples: AtomicU32::new(0),
            mean: AtomicU64::new(0),
        }
    }
}

impl Latency {
    /// Adds a sample. Racing writers may lose one; a statistic stays a statistic.
    pub fn note(&self, took: Duration) {
        let micros = took.as_secs_f64() * 1e6;
        let old = self.mean_micros();
        let new = if old == 0.0 { micros } else { old + (micros - old) * MEAN_STEP };
        self.mean.store(new.to_bits(), Ordering::Relaxed);
        if let Some(bucket) = self.buckets.get(bucket_of(micros)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        if self.samples.fetch_add(1, Ordering::Relaxed) >= FADE_AT {
            let mut left = 0;
            for bucket in &self.buckets {
                let half = bucket.load(Ordering::Relaxed) / 2;
                bucket.store(half, Ordering::Relaxed);
                left += half;
            }
            self.samples.store(left, Ordering::Relaxed);
        }
    }

    /// The moving average in microseconds, zero before the first sample.
    pub fn mean_micros(&self) -> f64 {
        f64::from_bits(self.mean.load(Ordering::Relaxed))
    }

    /// The time within which `share` of the calls are answered; nothing while too few were seen.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let samples = self.samples.load(Ordering::Relaxed);
        if samples < SAMPLES_MIN {
            return None;
        }
        let mut left = f64::from(samples) * share;
        for (at, bucket) in self.buckets.iter().enumerate() {
            left -= f64::from(bucket.load(Ordering::Relaxed));
            if left <= 0.0 {
                return Some(Duration::from_secs_f64(upper_micros(at) / 1e6));
            }
        }
        None
    }
}

fn bucket_of(micros: f64) -> usize {
    (0..BUCKETS - 1).find(|at| micros <= upper_micros(*at)).unwrap_or(BUCKETS - 1)
}

fn upper_micros(bucket: usize) -> f64 {
    32.0 * 2f64.powf(bucket as f64 / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantile_follows_the_samples_and_forgets() {
        let latency = Latency::default();
        assert_eq!(latency.quantile(0.95), None, "nothing seen yet");
        for at in 0..200 {
            latency.note(Duration::from_micros(if at % 50 == 0 { 900_000 } else { 1_000 }));
        }
        let p95 = latency.quantile(0.95).expect("enough seen");
        assert!(
            p95 >= Duration::from_micros(1_000) && p95 < Duration::from_micros(1_500),
            "{p95:?}"
        );
        assert!(latency.quantile(0.995).expect("enough") >= Duration::from_micros(900_000));
        (0..5_000).for_each(|_| latency.note(Duration::from_millis(40)));
        assert!(latency.quantile(0.5).expect("enough") >= Duration::from_millis(40));
    }
}
