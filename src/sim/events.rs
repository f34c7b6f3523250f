//! The events that simulated contracts emit: signatures, and one log as data.
//!
//! Signatures are those of the published ERC-20 and T-REX 4 ABIs. Knows neither JSON nor RLP.

/// Which event a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    Transfer,
    Approval,
    AddressFrozen,
    TokensFrozen,
    TokensUnfrozen,
    Paused,
    Unpaused,
    IdentityRegistryAdded,
    ComplianceAdded,
    AgentAdded,
    UpdatedTokenInformation,
    IdentityRegistered,
    IdentityRemoved,
    CountryUpdated,
    TokenBound,
    /// ERC-721: the token id is a topic too.
    NftTransfer,
    /// `Transfer` of old contracts without indexed arguments.
    PlainTransfer,
    /// An anonymous event: no topic at all.
    Anonymous,
}

impl Kind {
    /// Every kind; a kind's place here is its discriminant.
    pub const ALL: [Self; 18] = [
        Self::Transfer,
        Self::Approval,
        Self::AddressFrozen,
        Self::TokensFrozen,
        Self::TokensUnfrozen,
        Self::Paused,
        Self::Unpaused,
        Self::IdentityRegistryAdded,
        Self::ComplianceAdded,
        Self::AgentAdded,
        Self::UpdatedTokenInformation,
        Self::IdentityRegistered,
        Self::IdentityRemoved,
        Self::CountryUpdated,
        Self::TokenBound,
        Self::NftTransfer,
        Self::PlainTransfer,
        Self::Anonymous,
    ];

    /// The signature whose hash is topic 0.
    pub fn signature(self) -> &'static str {
        match self {
            Self::Transfer | Self::NftTransfer | Self::PlainTransfer => {
                "Transfer(address,address,uint256)"
            }
            Self::Approval => "Approval(address,address,uint256)",
            Self::AddressFrozen => "AddressFrozen(address,bool,address)",
            Self::TokensFrozen => "TokensFrozen(address,uint256)",
            Self::TokensUnfrozen => "TokensUnfrozen(address,uint256)",
            Self::Paused => "Paused(address)",
            Self::Unpaused => "Unpaused(address)",
            Self::IdentityRegistryAdded => "IdentityRegistryAdded(address)",
            Self::ComplianceAdded => "ComplianceAdded(address)",
            Self::AgentAdded => "AgentAdded(address)",
            Self::UpdatedTokenInformation => {
                "UpdatedTokenInformation(string,string,uint8,string,address)"
            }
            Self::IdentityRegistered => "IdentityRegistered(address,address)",
            Self::IdentityRemoved => "IdentityRemoved(address,address)",
            Self::CountryUpdated => "CountryUpdated(address,uint16)",
            Self::TokenBound => "TokenBound(address)",
            Self::Anonymous => "",
        }
    }

    /// The event's name, for counts; layouts that share a signature are told apart.
    pub fn name(self) -> &'static str {
        match self {
            Self::NftTransfer => "Transfer (ERC-721)",
            Self::PlainTransfer => "Transfer (nothing indexed)",
            Self::Anonymous => "anonymous",
            named => named.signature().split('(').next().unwrap_or_default(),
        }
    }
}

/// A 32-byte word: an account by its place in the address book, or a small number. Zero is always
/// the zero account, so that equal words are equal values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Word {
    Party(u32),
    Number(u64),
}

impl Word {
    pub(super) const ZERO: Self = Self::Party(0);

    pub(super) fn number(value: u64) -> Self {
        if value == 0 { Self::ZERO } else { Self::Number(value) }
    }
}

/// What a log carries beside its topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    Empty,
    /// `wide` amounts are shifted left by [`WIDE_BITS`] on the wire, past 128 bits.
    Amount {
        value: u128,
        wide: bool,
    },
    Word(Word),
    /// Receiver and value of a mint, all arguments of `Transfer` in the data.
    PlainMint {
        to: u32,
        value: u64,
    },
    /// The strings of `UpdatedTokenInformation`, in the un-indexed layout of T-REX 3.
    TokenInfo {
        token: u32,
    },
}

/// How far the amounts of wide tokens are shifted.
pub(super) const WIDE_BITS: usize = 100;

/// One log before it has a place in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogSpec {
    /// The contract, as a place in the address book.
    pub(super) emitter: u32,
    pub(super) kind: Kind,
    /// Topics after topic 0; only the first `indexed` mean something.
    pub(super) topics: [Word; 3],
    pub(super) indexed: u8,
    pub(super) data: Data,
}

impl LogSpec {
    pub(super) fn new(emitter: u32, kind: Kind, indexed: &[Word], data: Data) -> Self {
        let mut topics = [Word::ZERO; 3];
        let mut count = 0;
        for (slot, word) in topics.iter_mut().zip(indexed) {
            *slot = *word;
            count += 1;
        }
        Self { emitter, kind, topics, indexed: count, data }
    }

    /// How many topics the log has, topic 0 included.
    pub(super) fn topic_count(&self) -> u8 {
        u8::from(self.kind != Kind::Anonymous) + self.indexed
    }

    /// The topics after topic 0.
    pub(super) fn indexed(&self) -> &[Word] {
        &self.topics[..usize::from(self.indexed)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kinds_place_is_its_discriminant() {
        for (place, kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(place, *kind as usize, "{kind:?}");
        }
    }
}
