//! One immutable picture of the chain. A request works on the picture that it started with, so no
//! answer mixes two forks unless a fault wants it to.

use std::sync::{Arc, OnceLock};

use alloy_consensus::Header;
use alloy_primitives::B256;

use super::index::Base;
use super::recipe::{Recipe, TxOrigin};
use super::render;
use super::seal::{Body, Parts, SentTx};

/// Blocks of one shared piece of the tail.
const PIECE_BLOCKS: usize = 512;

/// One block: everything that cannot be made again from the seed in a moment.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) number: u64,
    pub(super) fork: u32,
    pub(super) hash: B256,
    pub(super) parent: B256,
    pub(super) timestamp: u64,
    pub(super) tx_root: B256,
    pub(super) receipts_root: B256,
    pub(super) origins: Vec<TxOrigin>,
    pub(super) sent: Vec<Arc<SentTx>>,
    pub(super) tx_hashes: Vec<B256>,
    /// When the block became visible, microseconds since the Unix epoch; 0 for starting blocks.
    pub(super) published_us: u64,
    head_json: OnceLock<Vec<u8>>,
}

impl Block {
    /// Makes and seals a block on top of `parent`.
    pub(super) fn seal(
        recipe: &Recipe,
        place: (u64, u32),
        parent: B256,
        origins: Vec<TxOrigin>,
        sent: Vec<Arc<SentTx>>,
    ) -> Self {
        let (number, fork) = place;
        let parts = Parts::new(recipe, number, fork, &Body::new(recipe, &origins, &sent));
        Self {
            number,
            fork,
            hash: parts.header(recipe, parent).hash_slow(),
            parent,
            timestamp: recipe.timestamp(number),
            tx_root: parts.tx_root,
            receipts_root: parts.receipts_root,
            origins,
            sent,
            tx_hashes: parts.tx_hashes,
            published_us: 0,
            head_json: OnceLock::new(),
        }
    }

    pub(super) fn body(&self, recipe: &Recipe) -> Body {
        Body::new(recipe, &self.origins, &self.sent)
    }

    /// The block as `newHeads` shows it; made once, however many subscribers there are.
    pub(super) fn head_json(&self, recipe: &Recipe) -> &[u8] {
        self.head_json.get_or_init(|| {
            let mut out = Vec::with_capacity(2_048);
            let header = self.header(recipe, &self.body(recipe));
            render::open_header(&self.hash, &header, &mut out);
            out.push(b'}');
            out
        })
    }

    /// The header, from the stored roots and the body.
    pub(super) fn header(&self, recipe: &Recipe, body: &Body) -> Header {
        let parts = Parts {
            number: self.number,
            fork: self.fork,
            tx_hashes: Vec::new(),
            tx_root: self.tx_root,
            receipts_root: self.receipts_root,
            bloom: body.bloom(recipe),
            gas_used: body.gas_used(),
        };
        parts.header(recipe, self.parent)
    }
}

/// The canonical chain at one moment: starting blocks up to `tail_start`, then the tail.
#[derive(Debug, Clone)]
pub(super) struct View {
    base: Arc<Base>,
    tail_start: u64,
    tail: Vec<Arc<Vec<Arc<Block>>>>,
    head: u64,
}

impl View {
    pub(super) fn new(base: Arc<Base>) -> Self {
        let head = base.head();
        Self { base, tail_start: head + 1, tail: Vec::new(), head }
    }

    pub(super) fn head(&self) -> u64 {
        self.head
    }

    fn in_tail(&self, number: u64) -> Option<&Arc<Block>> {
        let at = usize::try_from(number.checked_sub(self.tail_start)?).ok()?;
        self.tail.get(at / PIECE_BLOCKS)?.get(at % PIECE_BLOCKS)
    }

    pub(super) fn hash(&self, number: u64) -> Option<B256> {
        match self.in_tail(number) {
            Some(block) => Some(block.hash),
            None if number < self.tail_start => self.base.get(number).map(|block| block.hash),
            None => None,
        }
    }

    pub(super) fn block(&self, recipe: &Recipe, number: u64) -> Option<Arc<Block>> {
        if let Some(block) = self.in_tail(number) {
            return Some(Arc::clone(block));
        }
        (number < self.tail_start).then(|| base_block(&self.base, recipe, number)).flatten()
    }

    /// The block with this hash if it is a starting block, canonical or not.
    pub(super) fn starting_block(&self, recipe: &Recipe, hash: &B256) -> Option<Arc<Block>> {
        base_block(&self.base, recipe, self.base.find_block(hash)?)
    }

    /// Height and index of a transaction among the starting blocks that are still canonical.
    pub(super) fn starting_tx(&self, hash: &B256) -> Option<(u64, usize)> {
        self.base.find_tx(hash).filter(|(number, _)| *number < self.tail_start)
    }

    /// Appends a block that is the head's child.
    pub(super) fn push(&mut self, block: Arc<Block>) {
        debug_assert_eq!(block.number, self.head + 1);
        match self.tail.last_mut() {
            Some(piece) if piece.len() < PIECE_BLOCKS => Arc::make_mut(piece).push(block),
            _ => self.tail.push(Arc::new(vec![block])),
        }
        self.head += 1;
    }

    /// Takes the head off. Callers keep the genesis.
    pub(super) fn pop(&mut self) {
        let empty = self.tail.last_mut().is_none_or(|piece| {
            Arc::make_mut(piece).pop();
            piece.is_empty()
        });
        if empty && self.tail.pop().is_none() {
            self.tail_start -= 1;
        }
        self.head -= 1;
    }
}

fn base_block(base: &Base, recipe: &Recipe, number: u64) -> Option<Arc<Block>> {
    let kept = base.get(number)?;
    Some(Arc::new(Block {
        number,
        fork: 0,
        hash: kept.hash,
        parent: kept.parent,
        timestamp: recipe.timestamp(number),
        tx_root: kept.tx_root,
        receipts_root: kept.receipts_root,
        origins: recipe.origins(0, number),
        sent: Vec::new(),
        tx_hashes: kept.tx_hashes.to_vec(),
        published_us: 0,
        head_json: OnceLock::new(),
    }))
}
