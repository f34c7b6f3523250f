//! What each event changes, in the words of the token standards.
//!
//! Amounts saturate: an index that starts after a token's deployment has not seen every credit, so a
//! debit may exceed what is known. The balance then stays at zero and never wraps; a complete history
//! never saturates. Loading and storing documents is `state`'s work.

use alloy_primitives::{Address, U256};

use super::state::Draft;
use crate::decode::event::RwaEvent;
use crate::pipeline::handler::HandlerError;
use crate::types::asset::{DocKey, Holding, Identity, Token, TokenStandard};

/// An event, reduced to what it means for documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Moved {
        from: Address,
        to: Address,
        amount: U256,
        standard: TokenStandard,
    },
    Frozen {
        holder: Address,
        amount: U256,
    },
    Unfrozen {
        holder: Address,
        amount: U256,
    },
    /// The new total, where the two before give the difference.
    FrozenIs {
        holder: Address,
        amount: U256,
    },
    AccountFrozen {
        holder: Address,
        frozen: bool,
    },
    Paused(bool),
    RegistrySet(Address),
    ComplianceSet(Address),
    StorageSet(Address),
    Registered {
        wallet: Address,
        identity: Address,
    },
    Removed {
        wallet: Address,
    },
    Country {
        wallet: Address,
        country: u16,
    },
}

impl Change {
    /// What the event means here; `None` for the many that change no document of ours.
    ///
    /// `IdentityUpdated` names identities but no wallet, so it cannot be applied from the log alone;
    /// our own suite logs `WalletIdentityChanged` with it.
    /// The unindexed `Transfer` of early contracts does not tell an amount from a token's number.
    pub(super) fn of(event: &RwaEvent<'_>) -> Option<Self> {
        Some(match event {
            RwaEvent::Erc20Transfer(e) => Self::Moved {
                from: e.from(),
                to: e.to(),
                amount: e.value(),
                standard: TokenStandard::Erc20,
            },
            RwaEvent::Erc721Transfer(e) => Self::Moved {
                from: e.from(),
                to: e.to(),
                amount: U256::ONE,
                standard: TokenStandard::Erc721,
            },
            RwaEvent::TokensFrozen(e) => {
                Self::Frozen { holder: e.user_address(), amount: e.amount() }
            }
            RwaEvent::TokensUnfrozen(e) => {
                Self::Unfrozen { holder: e.user_address(), amount: e.amount() }
            }
            RwaEvent::Frozen(e) => Self::FrozenIs { holder: e.account(), amount: e.amount() },
            RwaEvent::AddressFrozen(e) => {
                Self::AccountFrozen { holder: e.user_address(), frozen: e.is_frozen() }
            }
            RwaEvent::Paused(_) => Self::Paused(true),
            RwaEvent::Unpaused(_) => Self::Paused(false),
            RwaEvent::IdentityRegistryAdded(e) => Self::RegistrySet(e.identity_registry()),
            RwaEvent::ComplianceAdded(e) => Self::ComplianceSet(e.compliance()),
            RwaEvent::IdentityStorageSet(e) => Self::StorageSet(e.identity_storage()),
            RwaEvent::IdentityRegistered(e) => {
                Self::Registered { wallet: e.investor_address(), identity: e.identity() }
            }
            RwaEvent::IdentityStored(e) => {
                Self::Registered { wallet: e.investor_address(), identity: e.identity() }
            }
            RwaEvent::WalletIdentityChanged(e) => {
                Self::Registered { wallet: e.wallet(), identity: e.new_identity() }
            }
            RwaEvent::IdentityRemoved(e) => Self::Removed { wallet: e.investor_address() },
            RwaEvent::IdentityUnstored(e) => Self::Removed { wallet: e.investor_address() },
            RwaEvent::CountryUpdated(e) => Self::country(e.investor_address(), e.country()),
            RwaEvent::CountryModified(e) => Self::country(e.investor_address(), e.country()),
            _ => return None,
        })
    }

    fn country(wallet: Address, country: u64) -> Self {
        Self::Country { wallet, country: u16::try_from(country).unwrap_or(u16::MAX) }
    }

    /// The documents that [`Self::apply`] reads.
    pub(super) fn keys(self, contract: Address, keys: &mut Vec<DocKey>) {
        let token = DocKey::Token(contract);
        let holding = |holder| DocKey::Holding { token: contract, holder };
        let identity = |wallet| DocKey::Identity { registry: contract, wallet };
        match self {
            Self::Moved { from, to, .. } => {
                keys.push(token);
                keys.extend([from, to].into_iter().filter(|a| !a.is_zero()).map(holding));
            }
            Self::Frozen { holder, .. }
            | Self::Unfrozen { holder, .. }
            | Self::FrozenIs { holder, .. }
            | Self::AccountFrozen { holder, .. } => keys.extend([token, holding(holder)]),
            Self::Paused(_) | Self::RegistrySet(_) | Self::ComplianceSet(_) => keys.push(token),
            // Keyed by whoever logs it, see `DocKey::storage_of`.
            Self::StorageSet(_) => keys.push(identity(contract)),
            Self::Registered { wallet, .. }
            | Self::Removed { wallet }
            | Self::Country { wallet, .. } => keys.push(identity(wallet)),
        }
    }

    /// Changes the draft.
    pub(super) fn apply(self, draft: &mut Draft<'_>) -> Result<(), HandlerError> {
        match self {
            Self::Moved { from, to, amount, standard } => moved(draft, from, to, amount, standard),
            Self::Frozen { holder, amount } => restricted(draft, holder, |holding| {
                holding.frozen = holding.frozen.saturating_add(amount);
            }),
            Self::Unfrozen { holder, amount } => restricted(draft, holder, |holding| {
                holding.frozen = holding.frozen.saturating_sub(amount);
            }),
            // Not `restricted`: ERC-7943 has it for every kind of token, and others have the name.
            Self::FrozenIs { holder, amount } => match draft.known_token()? {
                Some(_) => draft.holding(holder, |holding| holding.frozen = amount),
                None => Ok(()),
            },
            Self::AccountFrozen { holder, frozen } => {
                restricted(draft, holder, |holding| holding.account_frozen = frozen)
            }
            Self::Paused(paused) => draft.token_if_known(|token| token.paused = paused),
            Self::RegistrySet(registry) => draft.token(TokenStandard::Erc3643, |token| {
                show_3643(token);
                token.identity_registry = Some(registry);
            }),
            Self::ComplianceSet(compliance) => draft.token(TokenStandard::Erc3643, |token| {
                show_3643(token);
                token.compliance = Some(compliance);
            }),
            Self::StorageSet(storage) => {
                let entry = Identity { identity: storage, country: None };
                draft.identity(draft.contract(), |_| Some(entry))
            }
            Self::Registered { wallet, identity } => draft.identity(wallet, |known| {
                let country = known.and_then(|known| known.country);
                Some(Identity { identity, country })
            }),
            Self::Removed { wallet } => draft.identity(wallet, |_| None),
            Self::Country { wallet, country } => draft.identity(wallet, |known| {
                let identity = known.map_or(Address::ZERO, |known| known.identity);
                Some(Identity { identity, country: Some(country) })
            }),
        }
    }
}

/// A transfer, mint or burn.
fn moved(
    draft: &mut Draft<'_>,
    from: Address,
    to: Address,
    amount: U256,
    standard: TokenStandard,
) -> Result<(), HandlerError> {
    // Contracts that log both kinds of `Transfer` move the same things twice: the first kind counts.
    let pieces = |standard| standard == TokenStandard::Erc721;
    if draft.known_token()?.is_some_and(|token| pieces(token.standard) != pieces(standard)) {
        return Ok(());
    }
    let (mut gone, mut come) = (0u64, 0u64);
    if from != to {
        if !from.is_zero() {
            gone = u64::from(draft.holding(from, |holding| debit(holding, amount))?);
        }
        if !to.is_zero() {
            come = u64::from(draft.holding(to, |holding| credit(holding, amount))?);
        }
    }
    draft.token(standard, |token| {
        token.transfers = token.transfers.saturating_add(1);
        token.holders = token.holders.saturating_sub(gone).saturating_add(come);
        match (from.is_zero(), to.is_zero()) {
            (true, false) => token.supply = token.supply.saturating_add(amount),
            (false, true) => token.supply = token.supply.saturating_sub(amount),
            _ => {}
        }
    })
}

/// A freeze, which only ERC-3643 tokens know.
fn restricted(
    draft: &mut Draft<'_>,
    holder: Address,
    change: impl FnOnce(&mut Holding),
) -> Result<(), HandlerError> {
    draft.token(TokenStandard::Erc3643, show_3643)?;
    draft.holding(holder, change)
}

/// A fungible token has shown itself to be a security token. Pieces stay pieces.
fn show_3643(token: &mut Token) {
    if token.standard == TokenStandard::Erc20 {
        token.standard = TokenStandard::Erc3643;
    }
}

/// Takes an amount away; true when that leaves a holder with nothing.
fn debit(holding: &mut Holding, amount: U256) -> bool {
    let held = !holding.balance.is_zero();
    holding.balance = holding.balance.saturating_sub(amount);
    held && holding.balance.is_zero()
}

/// Adds an amount; true when that makes a holder.
fn credit(holding: &mut Holding, amount: U256) -> bool {
    let held = !holding.balance.is_zero();
    holding.balance = holding.balance.saturating_add(amount);
    !held && !holding.balance.is_zero()
}
