//! What is right: balances, supplies, logs and counts at any block, straight from the chain.
//!
//! No fault reaches this file. The same answers are served over HTTP by `control`.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Keccak256, U256};

use super::events::{Kind, LogSpec};
use super::ledger::{Ledger, Totals, transfer};
use super::seal::Body;
use super::view::{Block, View};
use super::world::World;
use crate::types::chain::BlockRange;
use crate::types::log::{LogBuf, LogBufFull, LogFields};

/// Orphaned blocks between a block and the canonical chain, at most.
const BRANCH_BLOCKS_MAX: usize = 20_000;

fn logs_of(world: &World, block: &Block) -> Vec<LogSpec> {
    let mut logs = Vec::new();
    block.origins.iter().for_each(|origin| world.recipe.logs(origin, &mut logs));
    logs
}

/// The blocks from the canonical chain up to and including `block`, oldest first; empty when
/// `block` is canonical.
fn branch(world: &World, view: &View, block: &Block) -> Vec<Arc<Block>> {
    let mut out = Vec::new();
    let mut hash = block.hash;
    while out.len() < BRANCH_BLOCKS_MAX {
        let Some(found) = world.block_by_hash(view, &hash) else { break };
        if view.hash(found.number) == Some(found.hash) {
            break;
        }
        hash = found.parent;
        out.push(found);
    }
    out.reverse();
    out
}

/// Totals after `block`, which may be an orphan.
pub(super) fn totals_at(world: &World, view: &View, block: &Block) -> Totals {
    let book = &world.recipe.book;
    let branch = branch(world, view, block);
    let number = branch.first().map_or(block.number, |first| first.number - 1);
    let start = world.with_ledger(|now, ledger| {
        if now.hash(number) == view.hash(number) && ledger_head_is(now, number) {
            return Some((number, ledger.totals().clone()));
        }
        let mut below = number;
        loop {
            let (at, totals) = ledger.copy_at(below)?;
            if now.hash(at) == view.hash(at) {
                return Some((at, totals.as_ref().clone()));
            }
            below = at.checked_sub(1)?;
        }
    });
    let (mut next, mut totals) = match start {
        Some((at, totals)) => (at + 1, totals),
        None => (0, Ledger::empty(book)),
    };
    while next <= number {
        if let Some(block) = view.block(&world.recipe, next) {
            totals.apply(book, &logs_of(world, &block));
        }
        next += 1;
    }
    for block in branch {
        totals.apply(book, &logs_of(world, &block));
    }
    totals
}

fn ledger_head_is(view: &View, number: u64) -> bool {
    view.head() == number
}

/// A holder's balance after `block`, in units of the token.
pub(super) fn balance(world: &World, view: &View, block: &Block, token: u32, holder: u32) -> u128 {
    near_head(
        world,
        block,
        |ledger| ledger.totals().balance(token, holder),
        |logs, value| {
            let book = &world.recipe.book;
            let place = book.holder(holder);
            for (moved, from, to, amount) in logs.iter().filter_map(|log| transfer(book, log)) {
                if moved == token && to == place {
                    *value -= amount;
                }
                if moved == token && from == place {
                    *value += amount;
                }
            }
        },
    )
    .unwrap_or_else(|| totals_at(world, view, block).balance(token, holder))
}

/// A token's supply after `block`, in units of the token.
pub(super) fn supply(world: &World, view: &View, block: &Block, token: u32) -> u128 {
    let of = |totals: &Totals| totals.supplies.get(token as usize).copied().unwrap_or(0);
    near_head(
        world,
        block,
        |ledger| of(ledger.totals()),
        |logs, value| {
            let book = &world.recipe.book;
            for (moved, from, to, amount) in logs.iter().filter_map(|log| transfer(book, log)) {
                if moved == token && book.holder_index(from).is_none() {
                    *value -= amount;
                }
                if moved == token && book.holder_index(to).is_none() {
                    *value += amount;
                }
            }
        },
    )
    .unwrap_or_else(|| of(&totals_at(world, view, block)))
}

/// Goes back from the running totals when the block is canonical and close to the head.
fn near_head<T>(
    world: &World,
    block: &Block,
    at_head: impl FnOnce(&Ledger) -> T,
    mut undo: impl FnMut(&[LogSpec], &mut T),
) -> Option<T> {
    const NEAR_BLOCKS: u64 = 256;
    let (view, mut value) = world.with_ledger(|view, ledger| (Arc::clone(view), at_head(ledger)));
    if view.hash(block.number) != Some(block.hash) || view.head() - block.number > NEAR_BLOCKS {
        return None;
    }
    for number in (block.number + 1..=view.head()).rev() {
        let later = view.block(&world.recipe, number)?;
        undo(&logs_of(world, &later), &mut value);
    }
    Some(value)
}

/// The truth about one world, for tests and benches in the same process.
#[derive(Debug, Clone)]
pub struct Truth {
    world: Arc<World>,
}

/// The canonical head and what is settled below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadTruth {
    pub number: u64,
    pub hash: B256,
    pub safe: u64,
    pub finalized: u64,
}

impl Truth {
    pub(super) fn new(world: Arc<World>) -> Self {
        Self { world }
    }

    pub fn head(&self) -> HeadTruth {
        let (view, settings) = (self.world.view(), &self.world.settings);
        let number = view.head();
        HeadTruth {
            number,
            hash: view.hash(number).unwrap_or_default(),
            safe: number.saturating_sub(settings.safe_depth),
            finalized: number.saturating_sub(settings.finalized_depth),
        }
    }

    /// The canonical hash at a height.
    pub fn hash(&self, number: u64) -> Option<B256> {
        self.world.view().hash(number)
    }

    /// Token contracts, in the order of their deployment.
    pub fn tokens(&self) -> Vec<Address> {
        let book = &self.world.recipe.book;
        (0..book.contracts()).map(|index| book.address(book.token(index))).collect()
    }

    /// Every account that may hold tokens.
    pub fn holders(&self) -> Vec<Address> {
        let book = &self.world.recipe.book;
        (0..book.holders()).map(|index| book.address(book.holder(index))).collect()
    }

    /// All canonical logs of a range, in order.
    pub fn logs(&self, range: BlockRange) -> Result<LogBuf, LogBufFull> {
        let view = self.world.view();
        let mut out = LogBuf::default();
        for number in range.from..=range.to.min(view.head()) {
            if let Some(block) = view.block(&self.world.recipe, number) {
                push_logs(&self.world, &block, false, &mut out)?;
            }
        }
        Ok(out)
    }

    /// Every log that a fork took back so far, in the order of the retractions: newest first
    /// within a fork.
    pub fn retracted(&self) -> Result<LogBuf, LogBufFull> {
        let mut out = LogBuf::default();
        for block in self.world.orphans(0, usize::MAX).0 {
            let mut logs = LogBuf::default();
            push_logs(&self.world, &block, true, &mut logs)?;
            for at in (0..logs.len()).rev() {
                if let Some(log) = logs.get(at) {
                    out.push_view(log)?;
                }
            }
        }
        Ok(out)
    }

    /// Canonical logs of a range by event name.
    pub fn counts(&self, range: BlockRange) -> BTreeMap<&'static str, u64> {
        let view = self.world.view();
        let mut counts = [0u64; Kind::ALL.len()];
        for number in range.from..=range.to.min(view.head()) {
            if let Some(block) = view.block(&self.world.recipe, number) {
                let logs = logs_of(&self.world, &block);
                logs.iter().for_each(|log| counts[log.kind as usize] += 1);
            }
        }
        let named = Kind::ALL.iter().map(|kind| kind.name()).zip(counts);
        named.filter(|(_, count)| *count > 0).collect()
    }

    /// Balances above zero and the supply of every token after a canonical block.
    pub fn holdings(&self, number: u64) -> Option<Vec<TokenTruth>> {
        let view = self.world.view();
        let block = view.block(&self.world.recipe, number)?;
        let totals = totals_at(&self.world, &view, &block);
        let book = &self.world.recipe.book;
        let token_truth = |token: u32| {
            let amount = |value| book.amount(token, value);
            let holders = (0..book.holders()).map(|h| (h, totals.balance(token, h)));
            TokenTruth {
                token: book.address(book.token(token)),
                supply: amount(totals.supplies[token as usize]),
                balances: holders
                    .filter(|(_, value)| *value > 0)
                    .map(|(holder, value)| (book.address(book.holder(holder)), amount(value)))
                    .collect(),
            }
        };
        Some((0..book.contracts()).map(token_truth).collect())
    }

    /// keccak-256 over every canonical log of a range in order: block number (8 bytes, big-endian),
    /// block hash, log index (4 bytes), address, number of topics (1 byte), topics, data.
    pub fn digest(&self, range: BlockRange) -> B256 {
        let (view, recipe) = (self.world.view(), &self.world.recipe);
        let mut hasher = Keccak256::new();
        let mut data = Vec::new();
        for number in range.from..=range.to.min(view.head()) {
            let Some(block) = view.block(recipe, number) else { continue };
            for (log, index) in logs_of(&self.world, &block).iter().zip(0u32..) {
                hasher.update(number.to_be_bytes());
                hasher.update(block.hash);
                hasher.update(index.to_be_bytes());
                hasher.update(recipe.book.address(log.emitter));
                hasher.update([log.topic_count()]);
                if let Some(topic) = recipe.book.topic0(log.kind) {
                    hasher.update(topic);
                }
                for word in log.indexed() {
                    hasher.update(recipe.book.word(*word));
                }
                data.clear();
                recipe.book.write_data(log.data, &mut data);
                hasher.update(&data);
            }
        }
        hasher.finalize()
    }
}

/// One token's holders at a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenTruth {
    pub token: Address,
    pub supply: U256,
    pub balances: Vec<(Address, U256)>,
}

/// Appends a block's logs as the indexer's own type.
fn push_logs(
    world: &World,
    block: &Block,
    removed: bool,
    out: &mut LogBuf,
) -> Result<(), LogBufFull> {
    let recipe = &world.recipe;
    let body = Body::new(recipe, &block.origins, &block.sent);
    let mut data = Vec::new();
    for (tx_index, tx_hash) in block.tx_hashes.iter().enumerate() {
        let (start, logs) = body.logs_of(tx_index);
        for (at, log) in logs.iter().enumerate() {
            data.clear();
            recipe.book.write_data(log.data, &mut data);
            let mut topics = [B256::ZERO; 4];
            let words = log.indexed().iter().map(|word| recipe.book.word(*word));
            let all = recipe.book.topic0(log.kind).copied().into_iter().chain(words);
            topics.iter_mut().zip(all).for_each(|(slot, topic)| *slot = topic);
            let fields = LogFields {
                block_number: block.number,
                block_hash: block.hash,
                timestamp: Some(block.timestamp),
                tx_hash: *tx_hash,
                tx_index: u32::try_from(tx_index).unwrap_or(u32::MAX),
                log_index: u32::try_from(start + at).unwrap_or(u32::MAX),
                address: recipe.book.address(log.emitter),
                topics,
                topic_count: log.topic_count(),
                removed,
            };
            out.push(&fields, &data)?;
        }
    }
    Ok(())
}
