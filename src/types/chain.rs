//! What names a chain, a block, a range of blocks, and how sure we are of them.
//!
//! Knows nothing of how blocks are fetched or stored.

use std::fmt;

use alloy_primitives::B256;

/// EIP-155 chain identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChainId(pub u64);

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A block as a link of the chain: its own identity and its parent's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockRef {
    pub number: u64,
    pub hash: B256,
    pub parent: B256,
    /// Seconds since the Unix epoch, as the header says.
    pub timestamp: u64,
}

/// A block named by number and hash: enough to say where an index stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockId {
    pub number: u64,
    pub hash: B256,
}

impl From<&BlockRef> for BlockId {
    fn from(block: &BlockRef) -> Self {
        Self { number: block.number, hash: block.hash }
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.number, self.hash)
    }
}

/// Blocks `from` to `to`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRange {
    pub from: u64,
    pub to: u64,
}

impl BlockRange {
    /// How many blocks the range holds; an inverted range holds none.
    pub fn len(&self) -> u64 {
        if self.is_empty() { 0 } else { (self.to - self.from).saturating_add(1) }
    }

    /// True for an inverted range.
    pub fn is_empty(&self) -> bool {
        self.to < self.from
    }

    /// The first `span` blocks of the range and what is left of it.
    pub fn split_first(&self, span: u64) -> (Self, Option<Self>) {
        let last = self.from.saturating_add(span.max(1) - 1);
        if last >= self.to {
            return (*self, None);
        }
        (Self { from: self.from, to: last }, Some(Self { from: last + 1, to: self.to }))
    }
}

impl fmt::Display for BlockRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..={}", self.from, self.to)
    }
}

/// How settled a block is, as the chain itself says (`safe` and `finalized` tags).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Finality {
    Observed,
    Safe,
    Finalized,
}

impl Finality {
    /// The word the outside sees.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Safe => "safe",
            Self::Finalized => "finalized",
        }
    }
}

/// Why we believe that no log of a block is missing. Stored per block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Proof {
    /// Nothing beyond the provider's word.
    Unverified = 0,
    /// The header's bloom excludes every address and topic we ask for.
    BloomNegative = 1,
    /// The receipts root was recomputed from all receipts of the block.
    ReceiptsRoot = 2,
}

impl Proof {
    /// The stored byte back as a proof; unknown bytes prove nothing.
    pub fn from_u8(byte: u8) -> Self {
        match byte {
            1 => Self::BloomNegative,
            2 => Self::ReceiptsRoot,
            _ => Self::Unverified,
        }
    }

    /// The word the outside sees.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unverified => "unverified",
            Self::BloomNegative => "bloom",
            Self::ReceiptsRoot => "receipts",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_splits_without_gap_or_overlap() {
        let range = BlockRange { from: 10, to: 25 };
        let (head, rest) = range.split_first(10);
        assert_eq!(head, BlockRange { from: 10, to: 19 });
        assert_eq!(rest, Some(BlockRange { from: 20, to: 25 }));
        assert_eq!(head.len() + rest.map_or(0, |r| r.len()), range.len());
        assert_eq!(range.split_first(u64::MAX), (range, None));
        assert_eq!(range.split_first(0).0.len(), 1, "a span of zero still makes progress");
    }
}
