//! Who holds how much, at any block: the balances that the logs add up to.
//!
//! Running totals at the head, and a bounded number of copies on the way. Moves only by `Transfer`;
//! keeps no allowance and no frozen part.

use std::sync::Arc;

use super::book::Book;
use super::events::{Data, Kind, LogSpec, Word};

/// Copies kept; when there would be more, every second one goes and the spacing doubles.
const CHECKPOINTS_MAX: usize = 64;
/// First spacing of copies, in blocks.
const SPACING_MIN: u64 = 64;

/// Balances and supplies of every token, in units of the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Totals {
    holders: u32,
    balances: Vec<u128>,
    pub(super) supplies: Vec<u128>,
}

impl Totals {
    fn new(book: &Book) -> Self {
        let tokens = book.contracts() as usize;
        Self {
            holders: book.holders(),
            balances: vec![0; tokens * book.holders() as usize],
            supplies: vec![0; tokens],
        }
    }

    fn slot(&self, token: u32, holder: u32) -> usize {
        token as usize * self.holders as usize + holder as usize
    }

    pub(super) fn balance(&self, token: u32, holder: u32) -> u128 {
        self.balances.get(self.slot(token, holder)).copied().unwrap_or(0)
    }

    pub(super) fn apply(&mut self, book: &Book, logs: &[LogSpec]) {
        for log in logs {
            let Some((token, from, to, value)) = transfer(book, log) else { continue };
            self.shift(book, token, to, from, value);
        }
    }

    pub(super) fn undo(&mut self, book: &Book, logs: &[LogSpec]) {
        for log in logs.iter().rev() {
            let Some((token, from, to, value)) = transfer(book, log) else { continue };
            self.shift(book, token, from, to, value);
        }
    }

    /// Adds to `gains`, takes from `loses`. A balance below zero would mean that the recipe is
    /// wrong; overflow checks are on in every profile.
    fn shift(&mut self, book: &Book, token: u32, gains: u32, loses: u32, value: u128) {
        match book.holder_index(gains) {
            Some(holder) => {
                let slot = self.slot(token, holder);
                self.balances[slot] += value;
            }
            None => self.supplies[token as usize] -= value,
        }
        match book.holder_index(loses) {
            Some(holder) => {
                let slot = self.slot(token, holder);
                self.balances[slot] -= value;
            }
            None => self.supplies[token as usize] += value,
        }
    }
}

/// Token, sender, receiver and value, if the log moves a balance.
pub(super) fn transfer(book: &Book, log: &LogSpec) -> Option<(u32, u32, u32, u128)> {
    match (log.kind, log.indexed(), log.data) {
        (Kind::Transfer, [Word::Party(from), Word::Party(to)], Data::Amount { value, .. }) => {
            Some((book.token_index(log.emitter)?, *from, *to, value))
        }
        _ => None,
    }
}

/// Totals at the head with copies below it.
#[derive(Debug)]
pub(super) struct Ledger {
    head: u64,
    totals: Totals,
    copies: Vec<(u64, Arc<Totals>)>,
    spacing: u64,
}

impl Ledger {
    /// The ledger before the genesis is applied.
    pub(super) fn new(book: &Book) -> Self {
        let totals = Totals::new(book);
        Self { head: 0, copies: Vec::new(), totals, spacing: SPACING_MIN }
    }

    pub(super) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Moves the head up to `number`, whose logs these are.
    pub(super) fn apply(&mut self, book: &Book, number: u64, logs: &[LogSpec]) {
        self.totals.apply(book, logs);
        self.head = number;
        if !number.is_multiple_of(self.spacing) {
            return;
        }
        self.copies.push((number, Arc::new(self.totals.clone())));
        if self.copies.len() > CHECKPOINTS_MAX {
            self.spacing *= 2;
            let spacing = self.spacing;
            self.copies.retain(|(at, _)| at.is_multiple_of(spacing));
        }
    }

    /// Moves the head down from the block whose logs these are.
    pub(super) fn undo(&mut self, book: &Book, logs: &[LogSpec]) {
        self.totals.undo(book, logs);
        self.head = self.head.saturating_sub(1);
        let head = self.head;
        self.copies.retain(|(at, _)| *at <= head);
    }

    /// The newest copy at or below `number`: its height and totals. `None` means that one has to
    /// start from nothing, before the genesis.
    pub(super) fn copy_at(&self, number: u64) -> Option<(u64, Arc<Totals>)> {
        self.copies.iter().rev().find(|(at, _)| *at <= number).cloned()
    }

    pub(super) fn empty(book: &Book) -> Totals {
        Totals::new(book)
    }
}
