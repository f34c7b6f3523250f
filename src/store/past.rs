//! What a token's logs say of its holdings, for questions about an earlier block.
//!
//! Sums need no order, so a back end adds up what came in and what went out: back from the present over
//! the later logs, or forward from nothing over the earlier ones.

use std::collections::HashMap;

use alloy_primitives::{Address, B256, U256, b256};

use crate::types::asset::Holding;

/// Logs that one question may walk: about three seconds of one core here.
pub(super) const WALK_LOGS_MAX: u32 = 1_000_000;

/// `Transfer(address,address,uint256)`, of ERC-20 and ERC-721 alike.
pub(super) const TRANSFER: B256 =
    b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

/// What came in and what went out of one account.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Sums {
    pub(super) received: U256,
    pub(super) sent: U256,
    pub(super) frozen: U256,
    pub(super) unfrozen: U256,
    /// The last word on the account as a whole, if there was one.
    pub(super) account_frozen: Option<bool>,
}

/// What a log says of holdings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Transfer,
    TokensFrozen,
    TokensUnfrozen,
    AddressFrozen,
}

impl Meaning {
    /// What an event of this name and signature hash says.
    pub(super) fn of(event: &str, topic0: Option<&B256>) -> Option<Self> {
        match event {
            "Transfer" if topic0 == Some(&TRANSFER) => Some(Self::Transfer),
            "TokensFrozen" => Some(Self::TokensFrozen),
            "TokensUnfrozen" => Some(Self::TokensUnfrozen),
            "AddressFrozen" => Some(Self::AddressFrozen),
            _ => None,
        }
    }
}

impl Sums {
    /// A present holding with these sums of later logs taken back. Whether the account was frozen is
    /// not in a sum.
    pub(super) fn back(&self, now: &Holding) -> Holding {
        Holding {
            balance: now.balance.saturating_add(self.sent).saturating_sub(self.received),
            frozen: now.frozen.saturating_add(self.unfrozen).saturating_sub(self.frozen),
            account_frozen: now.account_frozen,
        }
    }

    /// The holding that these sums of earlier logs make.
    pub(super) fn forward(&self) -> Holding {
        Holding {
            balance: self.received.saturating_sub(self.sent),
            frozen: self.frozen.saturating_sub(self.unfrozen),
            account_frozen: self.account_frozen.unwrap_or_default(),
        }
    }
}

/// Counts one log in.
pub(super) fn add(sums: &mut HashMap<Address, Sums>, meaning: Meaning, words: Words<'_>) {
    let (Some(first), Some(second)) = (words.address(0), words.get(1)) else { return };
    let plus = |sum: &mut U256, value: U256| *sum = sum.saturating_add(value);
    match meaning {
        Meaning::Transfer => {
            let Some(value) = words.transferred() else { return };
            plus(&mut sums.entry(first).or_default().sent, value);
            plus(&mut sums.entry(Address::from_word(second)).or_default().received, value);
        }
        Meaning::TokensFrozen => plus(&mut sums.entry(first).or_default().frozen, second.into()),
        Meaning::TokensUnfrozen => {
            plus(&mut sums.entry(first).or_default().unfrozen, second.into());
        }
        Meaning::AddressFrozen => {
            sums.entry(first).or_default().account_frozen = Some(!second.is_zero());
        }
    }
}

/// A stored log as 32-byte words: its topics behind the first one, then its data. For the events read
/// here that is the order of their arguments, however many of them are indexed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words<'a> {
    pub(super) topics: &'a [u8],
    pub(super) data: &'a [u8],
}

impl Words<'_> {
    /// The word at `at`.
    pub(super) fn get(&self, at: usize) -> Option<B256> {
        let at = at * 32;
        let word = match self.topics.get(at..at + 32) {
            Some(word) => Some(word),
            None => {
                let at = at.checked_sub(self.topics.len())?;
                self.data.get(at..at + 32)
            }
        };
        word.map(B256::from_slice)
    }

    /// The address at `at`.
    pub(super) fn address(&self, at: usize) -> Option<Address> {
        self.get(at).map(Address::from_word)
    }

    /// The amount of a transfer; one piece when the third argument is indexed too (ERC-721).
    fn transferred(&self) -> Option<U256> {
        if self.topics.len() == 96 { Some(U256::from(1)) } else { self.get(2).map(Into::into) }
    }
}
