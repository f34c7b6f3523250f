//! The simulator's own random numbers: splitmix64, seeded by a list of words.
//!
//! Small and fixed on purpose: a seed must name the same chain in every version of every library.
//! Not for anything secret.

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// One step of the splitmix64 finalizer: spreads every input bit over the whole word.
pub(super) fn spread(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// A stream of random words.
#[derive(Debug, Clone)]
pub(super) struct Rng(u64);

impl Rng {
    /// The stream that belongs to this list of words; order matters.
    pub(super) fn new(words: &[u64]) -> Self {
        Self(words.iter().fold(0, |state, word| {
            spread(state.wrapping_add(GOLDEN) ^ word.wrapping_mul(GOLDEN).rotate_left(17))
        }))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        spread(self.0)
    }

    /// A number below `limit`; 0 when `limit` is 0. The bias of 2^-64 does not matter here.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(limit);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// [`Self::below`] for table indices.
    pub(super) fn index(&mut self, limit: u32) -> u32 {
        u32::try_from(self.below(u64::from(limit))).unwrap_or(0)
    }

    /// A place in a list of this length.
    pub(super) fn place(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// True with probability `rate` (0 never, 1 always).
    pub(super) fn chance(&mut self, rate: f64) -> bool {
        const UNIT: f64 = 1.0 / (1u64 << 53) as f64;
        ((self.next() >> 11) as f64) * UNIT < rate
    }

    /// Random bytes for addresses and hashes.
    pub(super) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0u8; N];
        for chunk in out.chunks_mut(8) {
            let word = self.next().to_be_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_names_one_stream_for_ever() {
        let mut rng = Rng::new(&[1, 2, 3]);
        let first: Vec<u64> = (0..3).map(|_| rng.next()).collect();
        let mut again = Rng::new(&[1, 2, 3]);
        assert_eq!(first, (0..3).map(|_| again.next()).collect::<Vec<_>>());
        assert_ne!(first[0], Rng::new(&[3, 2, 1]).next(), "order of the words matters");
    }

    #[test]
    fn chance_keeps_its_ends_and_its_mean() {
        let mut rng = Rng::new(&[9]);
        assert!((0..1000).all(|_| !rng.chance(0.0)));
        assert!((0..1000).all(|_| rng.chance(1.0)));
        let hits = (0..100_000).filter(|_| rng.chance(0.25)).count();
        assert!((24_000..26_000).contains(&hits), "{hits}");
        assert!((0..1000).all(|_| rng.below(7) < 7));
        assert_eq!(rng.below(0), 0);
    }
}
