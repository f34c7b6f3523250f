//! The documents of one event while it is applied: loaded on first use, written once if changed.
//!
//! An empty holding is no document: it is deleted, and a transfer of nothing creates none. Decides
//! nothing about what events mean.

use alloy_primitives::Address;

use crate::pipeline::handler::{Effect, HandlerError, StateView};
use crate::types::asset::{Doc, DocKey, Holding, Identity, Token, TokenStandard};

/// Most holdings that one event touches: a sender and a receiver.
const HOLDINGS_MAX: usize = 2;

/// One event's documents.
#[derive(Debug)]
pub(super) struct Draft<'v> {
    contract: Address,
    block: u64,
    view: &'v StateView,
    token: Option<Changed<Token>>,
    holdings: [Option<(Address, Changed<Holding>)>; HOLDINGS_MAX],
    identity: Option<(Address, Changed<Identity>)>,
}

#[derive(Debug, Clone)]
struct Changed<T> {
    existed: bool,
    dirty: bool,
    now: Option<T>,
}

impl<'v> Draft<'v> {
    /// Nothing loaded, nothing changed.
    pub(super) fn new(contract: Address, block: u64, view: &'v StateView) -> Self {
        Self { contract, block, view, token: None, holdings: [None, None], identity: None }
    }

    /// Who logged the event.
    pub(super) fn contract(&self) -> Address {
        self.contract
    }

    /// The token as stored, `None` before its first event.
    pub(super) fn known_token(&self) -> Result<Option<&'v Token>, HandlerError> {
        let key = DocKey::Token(self.contract);
        match self.view.get(key)? {
            None => Ok(None),
            Some(Doc::Token(token)) => Ok(Some(token)),
            Some(other) => Err(mismatch(key, other)),
        }
    }

    /// Changes the token; its first event creates it.
    pub(super) fn token(
        &mut self,
        standard: TokenStandard,
        change: impl FnOnce(&mut Token),
    ) -> Result<(), HandlerError> {
        let known = self.known_token()?;
        let block = self.block;
        let slot = self.token.get_or_insert_with(|| Changed::of(known));
        let before = slot.now.clone();
        change(slot.now.get_or_insert_with(|| new_token(standard, block)));
        slot.dirty |= slot.now != before;
        Ok(())
    }

    /// Changes the token if any event has shown that there is one.
    pub(super) fn token_if_known(
        &mut self,
        change: impl FnOnce(&mut Token),
    ) -> Result<(), HandlerError> {
        match self.known_token()?.map(|token| token.standard) {
            Some(standard) => self.token(standard, change),
            None => Ok(()),
        }
    }

    /// Changes what an account holds.
    pub(super) fn holding<T>(
        &mut self,
        holder: Address,
        change: impl FnOnce(&mut Holding) -> T,
    ) -> Result<T, HandlerError> {
        let key = DocKey::Holding { token: self.contract, holder };
        let stored = match self.view.get(key)? {
            None => None,
            Some(Doc::Holding(holding)) => Some(holding),
            Some(other) => return Err(mismatch(key, other)),
        };
        let free = |slot: &&mut Option<(Address, Changed<Holding>)>| {
            slot.as_ref().is_none_or(|(address, _)| *address == holder)
        };
        let Some(slot) = self.holdings.iter_mut().find(free) else {
            return Err(HandlerError::Rejected("one event touched more than two holdings".into()));
        };
        let (_, slot) = slot.get_or_insert_with(|| (holder, Changed::of(stored)));
        let mut holding = slot.now.unwrap_or_default();
        let before = holding;
        let answer = change(&mut holding);
        slot.dirty |= holding != before;
        slot.now = (holding != Holding::default()).then_some(holding);
        Ok(answer)
    }

    /// Changes a wallet's entry in an identity registry.
    pub(super) fn identity(
        &mut self,
        wallet: Address,
        change: impl FnOnce(Option<Identity>) -> Option<Identity>,
    ) -> Result<(), HandlerError> {
        let key = DocKey::Identity { registry: self.contract, wallet };
        let stored = match self.view.get(key)? {
            None => None,
            Some(Doc::Identity(identity)) => Some(identity),
            Some(other) => return Err(mismatch(key, other)),
        };
        let mut changed = Changed::of(stored);
        let now = change(changed.now);
        changed.dirty = now != changed.now;
        changed.now = now;
        self.identity = Some((wallet, changed));
        Ok(())
    }

    /// Hands over what changed.
    pub(super) fn finish(self, effects: &mut Vec<Effect>) {
        let contract = self.contract;
        if let Some(token) = self.token {
            token.finish(DocKey::Token(contract), Doc::Token, effects);
        }
        for (holder, holding) in self.holdings.into_iter().flatten() {
            let key = DocKey::Holding { token: contract, holder };
            holding.finish(key, Doc::Holding, effects);
        }
        if let Some((wallet, identity)) = self.identity {
            let key = DocKey::Identity { registry: contract, wallet };
            identity.finish(key, Doc::Identity, effects);
        }
    }
}

impl<T: Clone> Changed<T> {
    fn of(stored: Option<&T>) -> Self {
        Self { existed: stored.is_some(), dirty: false, now: stored.cloned() }
    }

    fn finish(self, key: DocKey, doc: impl FnOnce(T) -> Doc, effects: &mut Vec<Effect>) {
        match self.now {
            Some(now) if self.dirty => effects.push(Effect::Put(key, doc(now))),
            None if self.existed => effects.push(Effect::Delete(key)),
            _ => {}
        }
    }
}

fn new_token(standard: TokenStandard, first_block: u64) -> Token {
    Token {
        standard,
        first_block,
        supply: Default::default(),
        holders: 0,
        transfers: 0,
        paused: false,
        identity_registry: None,
        compliance: None,
    }
}

fn mismatch(key: DocKey, doc: &Doc) -> HandlerError {
    HandlerError::Rejected(format!("{key:?} holds another kind of document: {doc:?}"))
}
