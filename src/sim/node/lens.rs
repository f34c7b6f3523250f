//! What one provider sees of the chain during one request: which head it announces, and up to where
//! it has the data.

use std::sync::Arc;

use alloy_primitives::B256;
use serde_json::Value;

use super::Provider;
use crate::sim::faults::{Dice, Fault};
use crate::sim::filter::{parse_hex, parse_quantity};
use crate::sim::view::{Block, View};

/// Blocks by which `head-ahead` runs before its data.
const AHEAD_BLOCKS: u64 = 3;
/// Blocks by which `head-back` falls back at most.
const BACK_BLOCKS_MAX: u64 = 8;

/// A provider's sight.
#[derive(Debug)]
pub(super) struct Lens {
    pub(super) view: Arc<View>,
    /// What `eth_blockNumber` says.
    pub(super) announced: u64,
    /// The last block that can be read.
    pub(super) head: u64,
    pub(super) safe: u64,
    pub(super) finalized: u64,
}

impl Lens {
    pub(super) fn new(provider: &Provider, dice: &Dice<'_>, method: &str) -> Self {
        let world = &provider.world;
        let mut view = world.view();
        if !dice.is_clean() {
            if dice.hits(Fault::StuckHead, method) {
                view = provider.stuck_view();
            } else if dice.hits(Fault::StaleFork, method) {
                view = world.view_before_fork().unwrap_or(view);
            }
        }
        let mut announced = view.head().saturating_sub(provider.settings.lag_blocks);
        let mut head = announced;
        if !dice.is_clean() {
            if dice.hits(Fault::HeadBack, method) {
                let back = 1 + dice.rng(Fault::HeadBack).below(BACK_BLOCKS_MAX);
                announced = announced.saturating_sub(back);
                head = announced;
            }
            if dice.hits(Fault::HeadAhead, method) {
                head = head.saturating_sub(AHEAD_BLOCKS);
            }
        }
        Self {
            announced,
            head,
            safe: announced.saturating_sub(world.settings.safe_depth),
            finalized: announced.saturating_sub(world.settings.finalized_depth),
            view,
        }
    }

    /// The height that a tag or number means; the block may not exist.
    pub(super) fn height(&self, block: &Value) -> Result<u64, String> {
        match block.as_str() {
            Some("latest" | "pending") => Ok(self.announced),
            Some("safe") => Ok(self.safe),
            Some("finalized") => Ok(self.finalized),
            Some("earliest") => Ok(0),
            _ => parse_quantity(block)
                .ok_or_else(|| format!("invalid argument 0: no block number: {block}")),
        }
    }

    /// The block at a height, if this provider has it.
    pub(super) fn block(&self, provider: &Provider, number: u64) -> Option<Arc<Block>> {
        if number > self.head {
            return None;
        }
        self.view.block(&provider.world.recipe, number)
    }

    /// The block with a hash, orphans included, if this provider has it.
    pub(super) fn block_by_hash(&self, provider: &Provider, hash: &B256) -> Option<Arc<Block>> {
        let block = provider.world.block_by_hash(&self.view, hash)?;
        (block.number <= self.head).then_some(block)
    }

    /// The block that a state or receipts parameter names: tag, number, hash or EIP-1898 object.
    pub(super) fn named(
        &self,
        provider: &Provider,
        block: Option<&Value>,
    ) -> Result<Option<Arc<Block>>, String> {
        let latest = Value::from("latest");
        let block = block.filter(|block| !block.is_null()).unwrap_or(&latest);
        if let Some(hash) = block.get("blockHash") {
            return Ok(self.block_by_hash(provider, &parse_hex(hash, "blockHash")?));
        }
        if let Some(number) = block.get("blockNumber") {
            return Ok(self.block(provider, self.height(number)?));
        }
        if block.as_str().is_some_and(|text| text.len() == 66) {
            return Ok(self.block_by_hash(provider, &parse_hex(block, "blockHash")?));
        }
        Ok(self.block(provider, self.height(block)?))
    }
}
