//! What a subscriber missed between its cursor and the stream it joins.
//!
//! Exactly what it would have been sent, in the same order; a cursor that can no longer be placed is
//! an error, never a gap.

use std::sync::Arc;

use alloy_primitives::B256;

use super::cursor::Cursor;
use super::follow::{block_logs, known};
use super::window::Known;
use super::{Announced, Joined, LogNews, Shared};
use crate::rpc::error::{ErrorClass, RpcError};
use crate::rpc::eth::Which;
use crate::rpc::pool::CallOptions;

/// Blocks that one resume may bring back; beyond that a client is better served by `eth_getLogs`.
const REPLAY_BLOCKS_MAX: u64 = 10_000;

/// Heads after the cursor. `blocks` are those sent before the stream was joined.
pub(super) async fn heads(
    shared: &Shared,
    cursor: Cursor,
    blocks: Vec<Arc<Known>>,
) -> Result<Vec<Arc<Known>>, RpcError> {
    let (Cursor::Head { number, hash } | Cursor::Logs { number, hash, .. }) = cursor;
    let fork = common_block(shared, number, hash, &blocks).await?;
    let mut missed = older(shared, fork, &blocks).await?;
    missed.extend(blocks.into_iter().filter(|k| k.block.number > fork));
    Ok(missed)
}

/// Logs after the cursor: what is taken back first, then what came.
pub(super) async fn logs(
    shared: &Shared,
    cursor: Cursor,
    joined: Joined,
) -> Result<Vec<LogNews>, RpcError> {
    let (number, hash, held) = match cursor {
        Cursor::Logs { number, hash, held } => (number, hash, held),
        Cursor::Head { number, hash } => (number, hash, u32::MAX),
    };
    let blocks: Vec<_> = joined.announced.iter().map(|a| a.known.clone()).collect();
    let mut news = Vec::new();
    let fork = common_block(shared, number, hash, &blocks).await?;
    let mut at = hash;
    for orphan in joined.orphans.iter().rev() {
        let block = orphan.known.block;
        if block.hash != at || block.number <= fork {
            continue;
        }
        let split = (block.hash == hash).then_some(held);
        news.push(one(shared, orphan, true, split).await?);
        at = block.parent;
    }
    let reached = joined.announced.iter().find(|a| a.known.block.hash == at);
    if fork < number && reached.is_none() {
        return Err(unknown_cursor());
    }
    if let Some(block) = joined.announced.iter().find(|a| a.known.block.hash == hash) {
        news.push(one(shared, block, false, Some(held)).await?);
    } else if fork == number {
        let block = by_number(shared, number).await?;
        let block = Announced { known: Arc::new(block), logs: None };
        news.push(one(shared, &block, false, Some(held)).await?);
    }
    for known in older(shared, fork, &blocks).await? {
        news.push(one(shared, &Announced { known, logs: None }, false, None).await?);
    }
    for block in joined.announced.iter().filter(|a| a.known.block.number > fork) {
        news.push(one(shared, block, false, None).await?);
    }
    Ok(news)
}

async fn one(
    shared: &Shared,
    block: &Announced,
    retracted: bool,
    split: Option<u32>,
) -> Result<LogNews, RpcError> {
    let logs = match &block.logs {
        Some(logs) => logs.clone(),
        None => block_logs(shared, &block.known).await?,
    };
    Ok(LogNews { known: block.known.clone(), logs, retracted, split })
}

/// The number of the last block that the cursor's branch and the canonical chain share.
async fn common_block(
    shared: &Shared,
    number: u64,
    hash: B256,
    blocks: &[Arc<Known>],
) -> Result<u64, RpcError> {
    let (mut number, mut hash) = (number, hash);
    for _ in 0..REPLAY_BLOCKS_MAX {
        if blocks.iter().any(|k| k.block.hash == hash) {
            return Ok(number);
        }
        let first = blocks.first().map_or(0, |k| k.block.number);
        if number < first {
            if first - number > REPLAY_BLOCKS_MAX {
                return Err(unknown_cursor());
            }
            if by_number(shared, number).await?.block.hash == hash {
                return Ok(number);
            }
        }
        // Orphaned: its parent is known to us or to a node, or the cursor is lost.
        hash = parent_of(shared, hash).await?;
        number = number.checked_sub(1).ok_or_else(unknown_cursor)?;
    }
    Err(unknown_cursor())
}

async fn parent_of(shared: &Shared, hash: B256) -> Result<B256, RpcError> {
    let remembered = {
        let state = super::lock(&shared.logs);
        state
            .orphans
            .iter()
            .rev()
            .find(|a| a.known.block.hash == hash)
            .map(|a| a.known.block.parent)
    };
    if let Some(parent) = remembered {
        return Ok(parent);
    }
    let header = shared.pool.header(Which::Hash(hash), &CallOptions::default()).await?;
    header.map(|h| h.header.parent_hash).ok_or_else(unknown_cursor)
}

/// Canonical blocks between the fork and the first block that is still in the window.
async fn older(
    shared: &Shared,
    fork: u64,
    blocks: &[Arc<Known>],
) -> Result<Vec<Arc<Known>>, RpcError> {
    let Some(first) = blocks.first() else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for number in fork + 1..first.block.number {
        found.push(Arc::new(by_number(shared, number).await?));
    }
    let linked = found.last().is_none_or(|k| k.block.hash == first.block.parent);
    if linked { Ok(found) } else { Err(unknown_cursor()) }
}

async fn by_number(shared: &Shared, number: u64) -> Result<Known, RpcError> {
    let options = CallOptions::at_head(number);
    let header = shared.pool.header(Which::Number(number), &options).await?;
    let header = header.ok_or_else(unknown_cursor)?;
    Ok(known(header.block_ref(), &header.raw, &header.provider))
}

fn unknown_cursor() -> RpcError {
    RpcError::of_pool(ErrorClass::Pruned, "the cursor cannot be placed any more")
}
