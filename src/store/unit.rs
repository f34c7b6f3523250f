//! What must hold of a unit before any back end writes it, and who takes part in its logs.

use alloy_primitives::{Address, B256};

use crate::pipeline::error::StoreError;
use crate::pipeline::store::CommitUnit;
use crate::types::chain::BlockId;

/// The last indexed block. The hash is unknown after a rewind to a block that was never fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) number: u64,
    pub(super) hash: Option<B256>,
}

impl Cursor {
    /// As the outside knows it; an unknown hash reads as zero.
    pub(super) fn id(self) -> BlockId {
        BlockId { number: self.number, hash: self.hash.unwrap_or(B256::ZERO) }
    }
}

/// What must hold of any unit, whatever is stored.
pub(super) fn check_shape(unit: &CommitUnit) -> Result<(), StoreError> {
    if unit.logs.len() != unit.recognised.len() {
        let text = format!("{} logs with {} recognitions", unit.logs.len(), unit.recognised.len());
        return Err(refuse(unit, &text, "one of each"));
    }
    for pair in unit.blocks.windows(2) {
        let (before, block) = (&pair[0].block, &pair[1].block);
        let linked = block.parent == before.hash || block.number > before.number.saturating_add(1);
        if block.number <= before.number || !(linked || block.parent.is_zero()) {
            let text = format!("block {} after block {}", block.number, before.number);
            return Err(refuse(unit, &text, "ascending, linked blocks"));
        }
    }
    if let Some(last) = unit.blocks.last() {
        let same = unit.cursor.number == last.block.number && unit.cursor.hash == last.block.hash;
        if !same && unit.cursor.number <= last.block.number {
            let text = format!("cursor {} with last block {}", unit.cursor, last.block.number);
            return Err(refuse(unit, &text, "a cursor at or behind the last block"));
        }
    }
    let mut blocks = unit.blocks.iter().peekable();
    let mut before = None;
    for log in unit.logs.iter() {
        let place = (log.head.block_number, log.head.log_index);
        while blocks.next_if(|block| block.block.number < place.0).is_some() {}
        let block = blocks.peek().filter(|block| {
            block.block.number == place.0 && block.block.hash == log.head.block_hash
        });
        if block.is_none() || before.is_some_and(|before| before >= place) {
            let text = format!("log {} of block {} ({})", place.1, place.0, log.head.block_hash);
            return Err(refuse(unit, &text, "logs in order, each of a block of the unit"));
        }
        before = Some(place);
    }
    Ok(())
}

/// The refusal of a unit that does not fit.
pub(super) fn refuse(unit: &CommitUnit, what: &str, expected: &str) -> StoreError {
    StoreError::NotContiguous {
        chain: unit.chain,
        unit: what.to_owned(),
        stored: expected.to_owned(),
    }
}

/// The unit continues what is stored: its first block is a child of the cursor.
pub(super) fn check_contiguous(
    unit: &CommitUnit,
    cursor: Option<Cursor>,
) -> Result<(), StoreError> {
    let Some(cursor) = cursor else { return Ok(()) };
    let stored = format!("block {}", cursor.id());
    if let Some(first) = unit.blocks.first() {
        let block = &first.block;
        let adjacent = block.number == cursor.number.saturating_add(1);
        let linked = match cursor.hash {
            Some(hash) if adjacent => block.parent == hash || block.parent.is_zero(),
            _ => true,
        };
        if block.number <= cursor.number || !linked {
            let text = format!("block {} with parent {}", block.number, block.parent);
            return Err(refuse(unit, &text, &stored));
        }
        return Ok(());
    }
    let stays = unit.cursor.number == cursor.number
        && cursor.hash.is_none_or(|hash| hash == unit.cursor.hash);
    if unit.cursor.number < cursor.number || unit.cursor.number == cursor.number && !stays {
        return Err(refuse(unit, &format!("cursor {}", unit.cursor), &stored));
    }
    Ok(())
}

/// Where the blocks that a unit adds begin, given the cursor after its rewind.
pub(super) fn first_new_block(unit: &CommitUnit, cursor: Option<Cursor>) -> u64 {
    match (cursor, unit.blocks.first()) {
        (Some(cursor), _) => cursor.number.saturating_add(1),
        (None, Some(first)) => first.block.number,
        (None, None) => unit.cursor.number,
    }
}

/// The addresses that take part in each log of a unit, in one list.
#[derive(Debug)]
pub(super) struct TakingPart {
    pub(super) addresses: Vec<Address>,
    pub(super) ends: Vec<usize>,
}

impl TakingPart {
    /// Room for so many logs.
    pub(super) fn with_capacity(logs: usize) -> Self {
        Self { addresses: Vec::with_capacity(logs * 2), ends: Vec::with_capacity(logs) }
    }

    /// The addresses of one log.
    pub(super) fn of(&self, index: usize) -> &[Address] {
        let end = self.ends.get(index).copied().unwrap_or_default();
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before).copied());
        self.addresses.get(start.unwrap_or_default()..end).unwrap_or_default()
    }
}
