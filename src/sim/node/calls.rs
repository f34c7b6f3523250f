//! `eth_call` against the tokens: answers what the logs up to that block add up to.

use std::collections::HashMap;

use alloy_primitives::{Address, U256, keccak256};

use crate::sim::book::{Book, write_string};
use crate::sim::truth;
use crate::sim::view::{Block, View};
use crate::sim::world::World;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    BalanceOf,
    TotalSupply,
    Name,
    Symbol,
    Decimals,
    IdentityRegistry,
    Compliance,
}

/// The functions that simulated tokens have, by selector.
#[derive(Debug)]
pub(in crate::sim) struct Selectors(HashMap<[u8; 4], Function>);

/// What a call comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Returned(Vec<u8>),
    /// The token has no such function.
    Reverted,
}

impl Selectors {
    pub(super) fn new() -> Self {
        let functions = [
            ("balanceOf(address)", Function::BalanceOf),
            ("totalSupply()", Function::TotalSupply),
            ("name()", Function::Name),
            ("symbol()", Function::Symbol),
            ("decimals()", Function::Decimals),
            ("identityRegistry()", Function::IdentityRegistry),
            ("compliance()", Function::Compliance),
        ];
        let selector = |text: &str| {
            let hash = keccak256(text);
            [hash[0], hash[1], hash[2], hash[3]]
        };
        Self(functions.iter().map(|(text, function)| (selector(text), *function)).collect())
    }

    /// Calls `to` with `input` as of `block`. Accounts without code return nothing.
    pub(super) fn call(
        &self,
        world: &World,
        view: &View,
        block: &Block,
        (to, input): (Address, &[u8]),
    ) -> Outcome {
        let book = &world.recipe.book;
        let Some(token) = book.find(&to).and_then(|place| book.token_index(place)) else {
            return Outcome::Returned(Vec::new());
        };
        let selector = input.get(..4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        let Some(function) = selector.and_then(|selector| self.0.get(&selector)) else {
            return Outcome::Reverted;
        };
        let word = |value: U256| value.to_be_bytes::<32>().to_vec();
        Outcome::Returned(match function {
            Function::BalanceOf => {
                let Some(argument) = input.get(4..36) else { return Outcome::Reverted };
                let holder = book.find(&Address::from_slice(&argument[12..]));
                let holder = holder.and_then(|place| book.holder_index(place));
                let value = holder.map(|holder| truth::balance(world, view, block, token, holder));
                word(book.amount(token, value.unwrap_or(0)))
            }
            Function::TotalSupply => {
                word(book.amount(token, truth::supply(world, view, block, token)))
            }
            Function::Name => string(&book.name(token)),
            Function::Symbol => string(&book.symbol(token)),
            Function::Decimals => word(U256::from(book.decimals(token))),
            Function::IdentityRegistry => contract(book, book.registry(token)),
            Function::Compliance => contract(book, book.compliance(token)),
        })
    }
}

fn contract(book: &Book, place: u32) -> Vec<u8> {
    book.address(place).into_word().to_vec()
}

fn string(text: &str) -> Vec<u8> {
    let mut out = U256::from(32).to_be_bytes::<32>().to_vec();
    write_string(text, &mut out);
    out
}
