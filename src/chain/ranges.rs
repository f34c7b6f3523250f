//! How many blocks one `eth_getLogs` may ask for: learnt from refusals and successes.
//!
//! Structural caps and density are kept apart: a cap only tightens, the span moves below it,
//! growing by steps and shrinking by halves.

use std::sync::Mutex;

use crate::types::chain::BlockRange;

/// First guess, in blocks: within the tightest paid limits, quickly outgrown where allowed.
const SPAN_START: u64 = 500;
/// Most blocks asked for at once.
const SPAN_MAX: u64 = 100_000;
/// Growth after a good answer: a quarter of the span, so that one refusal costs few calls.
const GROWTH_DIVISOR: u64 = 4;
/// Answers above this many bytes are large enough; asking for more only holds more memory.
const ANSWER_TARGET_BYTES: usize = 8 << 20;

/// What has been learnt of one set of providers.
#[derive(Debug)]
pub struct Ranges(Mutex<Learnt>);

#[derive(Debug, Clone, Copy)]
struct Learnt {
    span: u64,
    cap: u64,
}

impl Ranges {
    /// Nothing learnt yet; `cap` is what the operator says the providers allow.
    pub fn new(cap: Option<u64>) -> Self {
        let cap = cap.unwrap_or(SPAN_MAX).clamp(1, SPAN_MAX);
        Self(Mutex::new(Learnt { span: SPAN_START.min(cap), cap }))
    }

    /// Blocks to ask for now.
    pub fn span(&self) -> u64 {
        self.learnt().span
    }

    /// A range of `asked` blocks came back with this many bytes.
    pub fn succeeded(&self, asked: u64, bytes: usize) {
        let mut learnt = self.learnt();
        if bytes > ANSWER_TARGET_BYTES {
            learnt.span = (asked / 2).max(1);
        } else if asked >= learnt.span && bytes < ANSWER_TARGET_BYTES / 2 {
            let step = (learnt.span / GROWTH_DIVISOR).max(1);
            learnt.span = learnt.span.saturating_add(step).min(learnt.cap);
        }
    }

    /// A range was refused as too much; returns how many blocks to ask for instead, always fewer.
    pub fn refused(
        &self,
        asked: BlockRange,
        cap: Option<u64>,
        suggested: Option<BlockRange>,
    ) -> u64 {
        let mut learnt = self.learnt();
        let fewer = |blocks: &u64| *blocks > 0 && *blocks < asked.len();
        if let Some(cap) = cap.filter(fewer) {
            learnt.cap = learnt.cap.min(cap);
            learnt.span = learnt.span.min(cap);
            return cap;
        }
        // A suggestion fits this very range, and is not always sane: only a smaller one is used.
        let suggested = suggested.filter(|range| range.from == asked.from).map(|range| range.len());
        let next = suggested.filter(fewer).unwrap_or((asked.len() / 2).max(1));
        learnt.span = learnt.span.min(next.max(1));
        next
    }

    fn learnt(&self) -> std::sync::MutexGuard<'_, Learnt> {
        // The lock guards two numbers; a panic elsewhere cannot leave them half written.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: BlockRange = BlockRange { from: 100, to: 599 };

    #[test]
    fn a_cap_is_kept_and_density_is_forgotten() {
        let ranges = Ranges::new(None);
        assert_eq!(ranges.refused(ASKED, Some(100), None), 100);
        for _ in 0..100 {
            ranges.succeeded(ranges.span(), 1000);
        }
        assert_eq!(ranges.span(), 100, "the cap stays");

        let ranges = Ranges::new(None);
        assert_eq!(ranges.refused(ASKED, None, None), 250);
        for _ in 0..100 {
            ranges.succeeded(ranges.span(), 1000);
        }
        assert!(ranges.span() > 10_000, "a crowded spot is passed");
    }

    #[test]
    fn every_refusal_makes_progress_whatever_is_suggested() {
        let ranges = Ranges::new(None);
        let equal = Some(ASKED);
        let inverted = Some(BlockRange { from: 100, to: 50 });
        let elsewhere = Some(BlockRange { from: 0, to: 10 });
        for suggested in [equal, inverted, elsewhere] {
            assert_eq!(ranges.refused(ASKED, Some(9999), suggested), 250);
        }
        let smaller = Some(BlockRange { from: 100, to: 149 });
        assert_eq!(ranges.refused(ASKED, None, smaller), 50);
    }
}
