//! Integrity profiles: chains whose headers do not commit to their logs as Ethereum's do.
//!
//! A profile only takes claims back: its chain's blocks are indexed like any other's and stay
//! `unverified` where the proof would not hold. Everything not listed keeps Ethereum's rules, which
//! the recomputed header hash and receipts root check for themselves.

use crate::types::chain::ChainId;

/// What a chain's header bloom is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BloomRule {
    /// Holds every log: what it excludes is absent.
    Complete,
    /// May lack logs, or come late: excludes nothing.
    Partial,
}

/// Chains whose bloom may lack logs: system transactions (HyperEVM 999, zkSync Era 324), blooms that
/// are empty or late (Filecoin 314, early Cronos 25, Monad 143 with its delayed execution).
const PARTIAL_BLOOM: [u64; 5] = [25, 143, 314, 324, 999];

/// The rule of a chain.
pub fn bloom_rule(chain: ChainId) -> BloomRule {
    if PARTIAL_BLOOM.contains(&chain.0) { BloomRule::Partial } else { BloomRule::Complete }
}
