//! The blocks a world starts with: made once on all cores, kept as hashes only.
//!
//! About 110 bytes a block and 40 a transaction stay in memory; bodies are made again when somebody asks.
//! Knows nothing of forks: block 0 to the first head, all of fork 0.

use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use alloy_primitives::B256;

use super::ledger::Ledger;
use super::recipe::Recipe;
use super::seal::{Body, Parts};

/// Blocks that a worker makes before it hands them over.
const CHUNK_BLOCKS: u64 = 32;
/// Chunks that may wait for the thread that links them.
const CHUNKS_WAITING: usize = 16;
/// Most threads that make blocks.
const WORKERS_MAX: usize = 16;

/// Open addressing over the first bytes of hashes; holds places only, the caller compares.
#[derive(Debug)]
struct HashPlaces {
    slots: Vec<u32>,
}

impl HashPlaces {
    const EMPTY: u32 = u32::MAX;

    /// A table over hashes with their places.
    fn new(count: usize, entries: impl Iterator<Item = (B256, u32)>) -> Self {
        let mut slots = vec![Self::EMPTY; (count * 2).next_power_of_two().max(16)];
        for (hash, place) in entries {
            let mut slot = Self::first(&slots, &hash);
            while slots[slot] != Self::EMPTY {
                slot = (slot + 1) % slots.len();
            }
            slots[slot] = place;
        }
        Self { slots }
    }

    fn first(slots: &[u32], hash: &B256) -> usize {
        let prefix = u64::from_be_bytes([
            hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7],
        ]);
        usize::try_from(prefix).unwrap_or(0) % slots.len()
    }

    /// The first place that `is_it` confirms.
    fn find(&self, hash: &B256, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut slot = Self::first(&self.slots, hash);
        loop {
            match self.slots[slot] {
                Self::EMPTY => return None,
                place if is_it(place) => return Some(place),
                _ => slot = (slot + 1) % self.slots.len(),
            }
        }
    }
}

/// Hashes of one starting block.
#[derive(Debug, Clone, Copy)]
struct BaseBlock {
    hash: B256,
    tx_root: B256,
    receipts_root: B256,
    /// Where its transactions end in `Base::tx_hashes`.
    txs_end: u32,
}

/// The starting blocks.
#[derive(Debug)]
pub(super) struct Base {
    blocks: Vec<BaseBlock>,
    tx_hashes: Vec<B256>,
    by_hash: HashPlaces,
    by_tx: HashPlaces,
}

/// What is kept of a starting block.
#[derive(Debug, Clone, Copy)]
pub(super) struct BaseView<'a> {
    pub(super) hash: B256,
    pub(super) parent: B256,
    pub(super) tx_root: B256,
    pub(super) receipts_root: B256,
    pub(super) tx_hashes: &'a [B256],
}

impl Base {
    /// Makes blocks 0 to `head` and brings `ledger` to the head.
    pub(super) fn build(recipe: &Recipe, head: u64, ledger: &mut Ledger) -> Self {
        let workers = thread::available_parallelism().map_or(1, NonZero::get).min(WORKERS_MAX);
        let chunks = head / CHUNK_BLOCKS + 1;
        let mut blocks = Vec::with_capacity(usize::try_from(head).unwrap_or(0) + 1);
        let mut tx_hashes = Vec::new();
        thread::scope(|scope| {
            let receivers: Vec<Receiver<Vec<Parts>>> = (0..workers as u64)
                .map(|worker| {
                    let (sender, receiver) = sync_channel(CHUNKS_WAITING);
                    let mine = (worker..chunks).step_by(workers);
                    scope.spawn(move || make_chunks(recipe, head, mine, &sender));
                    receiver
                })
                .collect();
            let mut parent = B256::ZERO;
            let mut logs = Vec::new();
            for chunk in 0..chunks {
                let slot = usize::try_from(chunk).unwrap_or(0) % workers;
                for parts in receivers[slot].recv().unwrap_or_default() {
                    parent = parts.header(recipe, parent).hash_slow();
                    tx_hashes.extend_from_slice(&parts.tx_hashes);
                    blocks.push(BaseBlock {
                        hash: parent,
                        tx_root: parts.tx_root,
                        receipts_root: parts.receipts_root,
                        txs_end: u32::try_from(tx_hashes.len()).unwrap_or(u32::MAX),
                    });
                    logs.clear();
                    for origin in recipe.origins(0, parts.number) {
                        recipe.logs(&origin, &mut logs);
                    }
                    ledger.apply(&recipe.book, parts.number, &logs);
                }
            }
        });
        let by_hash =
            HashPlaces::new(blocks.len(), blocks.iter().zip(0..).map(|(b, at)| (b.hash, at)));
        let by_tx = HashPlaces::new(tx_hashes.len(), tx_hashes.iter().copied().zip(0..));
        Self { blocks, tx_hashes, by_hash, by_tx }
    }

    pub(super) fn head(&self) -> u64 {
        self.blocks.len() as u64 - 1
    }

    pub(super) fn get(&self, number: u64) -> Option<BaseView<'_>> {
        let at = usize::try_from(number).ok()?;
        let block = self.blocks.get(at)?;
        let before = at.checked_sub(1).and_then(|before| self.blocks.get(before));
        let start = before.map_or(0, |block| block.txs_end as usize);
        Some(BaseView {
            hash: block.hash,
            parent: before.map_or(B256::ZERO, |block| block.hash),
            tx_root: block.tx_root,
            receipts_root: block.receipts_root,
            tx_hashes: &self.tx_hashes[start..block.txs_end as usize],
        })
    }

    pub(super) fn find_block(&self, hash: &B256) -> Option<u64> {
        let is_it = |at: u32| self.blocks.get(at as usize).is_some_and(|block| block.hash == *hash);
        self.by_hash.find(hash, is_it).map(u64::from)
    }

    /// Block number and index of a transaction.
    pub(super) fn find_tx(&self, hash: &B256) -> Option<(u64, usize)> {
        let is_it = |at: u32| self.tx_hashes.get(at as usize) == Some(hash);
        let at = self.by_tx.find(hash, is_it)?;
        let number = self.blocks.partition_point(|block| block.txs_end <= at);
        let start = number.checked_sub(1).map_or(0, |before| self.blocks[before].txs_end);
        Some((number as u64, (at - start) as usize))
    }
}

fn make_chunks(
    recipe: &Recipe,
    head: u64,
    chunks: impl Iterator<Item = u64>,
    sender: &SyncSender<Vec<Parts>>,
) {
    for chunk in chunks {
        let first = chunk * CHUNK_BLOCKS;
        let last = (first + CHUNK_BLOCKS - 1).min(head);
        let made = (first..=last)
            .map(|number| {
                let body = Body::new(recipe, &recipe.origins(0, number), &[]);
                Parts::new(recipe, number, 0, &body)
            })
            .collect();
        if sender.send(made).is_err() {
            return;
        }
    }
}
