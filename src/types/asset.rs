//! Documents derived from events: tokens, holdings, identities. Amounts are 256-bit integers.
//!
//! A document is what a handler reads and writes; how it is stored is the store's business.

use alloy_primitives::{Address, U256};

/// Which standard a token contract has shown itself to follow by its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum TokenStandard {
    Erc20 = 0,
    Erc721 = 1,
    Erc3643 = 2,
}

impl TokenStandard {
    /// The word the outside sees.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Erc20 => "erc20",
            Self::Erc721 => "erc721",
            Self::Erc3643 => "erc3643",
        }
    }

    /// The stored byte back; `None` for a byte no version has written.
    pub fn from_u8(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Erc20),
            1 => Some(Self::Erc721),
            2 => Some(Self::Erc3643),
            _ => None,
        }
    }
}

/// A token contract and its running totals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub standard: TokenStandard,
    /// Block of the first event seen.
    pub first_block: u64,
    /// Minted minus burnt, in the token's smallest unit (pieces for ERC-721).
    pub supply: U256,
    /// Accounts with a balance above zero.
    pub holders: u64,
    /// Transfer events, mints and burns included.
    pub transfers: u64,
    pub paused: bool,
    pub identity_registry: Option<Address>,
    pub compliance: Option<Address>,
}

/// What one account holds of one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Holding {
    /// In the token's smallest unit (pieces for ERC-721). Derived from transfers, so it is what
    /// `balanceOf` answers for every token whose balances move by `Transfer` alone.
    pub balance: U256,
    /// Part of the balance that an agent froze, in the smallest unit.
    pub frozen: U256,
    /// The whole account is frozen for this token.
    pub account_frozen: bool,
}

/// A wallet's entry in an ERC-3643 identity registry. A registry's entry for itself (see
/// [`DocKey::storage_of`]) names the contract that holds its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pub identity: Address,
    /// ISO 3166-1 numeric; `None` until an event names it.
    pub country: Option<u16>,
}

/// Names a document inside one chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DocKey {
    Token(Address),
    Holding { token: Address, holder: Address },
    Identity { registry: Address, wallet: Address },
}

impl DocKey {
    /// Where it is written which identity storage a registry uses: tokens name their registry, and
    /// registries that share a storage have their wallets there. A registry is no investor, so its
    /// entry for itself is free for this.
    pub fn storage_of(registry: Address) -> Self {
        Self::Identity { registry, wallet: registry }
    }
}

/// A document's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doc {
    Token(Token),
    Holding(Holding),
    Identity(Identity),
}

/// What a token says of itself (`name()`, `symbol()`, `decimals()`), read by call, not from events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenMetadata {
    pub name: Option<String>,
    pub symbol: Option<String>,
    pub decimals: Option<u8>,
}
