//! Holders of a token, largest first, now or as of an earlier block.
//!
//! The present ranking is an index. The past is the present with the token's later transfers and
//! freezes taken back, or the sum of its earlier ones, whichever are fewer (`history`). Identities are
//! always the present ones.

use std::cmp::Reverse;

use alloy_primitives::{Address, B256, U256};
use rusqlite::Connection;

use super::chains::{self, ChainRow};
use super::dictionary::Dictionary;
use super::error::corrupt;
use super::history::{self, Past};
use super::tokens::{identity_in, page_limit};
use super::{docs, intern, rows};
use crate::pipeline::error::StoreError;
use crate::store::read::{HolderRecord, HoldersPage, Page, QueryError};
use crate::types::asset::Holding;
use crate::types::chain::{BlockId, ChainId};

/// What is asked.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) chain: ChainId,
    pub(super) token: Address,
    pub(super) at_block: Option<u64>,
    pub(super) limit: usize,
    pub(super) after: Option<String>,
}

/// One page of holders, `None` for a token that is not indexed.
pub(super) fn page(
    connection: &Connection,
    dictionary: &Dictionary,
    question: &Question,
) -> Result<Option<HoldersPage>, QueryError> {
    let Some(chain) = chains::find(connection, question.chain)? else { return Ok(None) };
    let Some(contract) = intern::find(connection, &question.token)? else { return Ok(None) };
    let Some(asset) = intern::asset(connection, chain.ordinal, contract)? else { return Ok(None) };
    let Some(token) = docs::token(connection, asset)? else { return Ok(None) };
    let Some(now) = chain.cursor_id() else { return Ok(None) };
    let after = question.after.as_deref().map(After::parse).transpose()?;
    let at = block_asked(question, after, now, &chain)?;
    let past = if at == now.number {
        Past::present(token.supply)
    } else {
        history::at(connection, dictionary, &chain, (contract, asset), at, token.supply)?
    };
    let (limit, _) = page_limit(question.limit);
    let mut ranked = rank(connection, asset, &past, after, limit + 1)?;
    let more = ranked.len() > limit;
    ranked.truncate(limit);
    let next_cursor = ranked
        .last()
        .filter(|_| more)
        .map(|last| After { at, balance: last.holding.balance, row: last.row }.to_string());
    let mut items = Vec::with_capacity(ranked.len());
    for ranked in ranked {
        items.push(HolderRecord {
            chain: question.chain,
            token: question.token,
            holder: intern::address(connection, rows::holder_of(ranked.row))?,
            holding: ranked.holding,
            identity: identity_in(connection, chain.ordinal, ranked.row)?,
        });
    }
    Ok(Some(HoldersPage {
        holders: Page { items, next_cursor },
        at: block_id(connection, &chain, at, now)?,
        supply: past.supply,
    }))
}

/// A later page answers for the block of the first one, so that new blocks do not shift it.
fn block_asked(
    question: &Question,
    after: Option<After>,
    now: BlockId,
    chain: &ChainRow,
) -> Result<u64, QueryError> {
    let asked = match (question.at_block, after) {
        (Some(block), Some(after)) if after.at != block => {
            return Err(QueryError::BadCursor(question.after.clone().unwrap_or_default()));
        }
        (Some(block), _) => block,
        (None, Some(after)) => after.at,
        (None, None) => now.number,
    };
    let from = chain.first_block.unwrap_or(now.number);
    if asked != now.number && !(from..=now.number).contains(&asked) {
        return Err(QueryError::OutOfRange { asked, from, to: now.number });
    }
    Ok(asked)
}

/// The block's identity. Its hash is zero where the chain was indexed without headers and the block
/// held nothing of ours.
fn block_id(
    connection: &Connection,
    chain: &ChainRow,
    number: u64,
    now: BlockId,
) -> Result<BlockId, StoreError> {
    if number == now.number {
        return Ok(now);
    }
    let mut select = connection.prepare_cached("SELECT hash FROM block WHERE row = ?1")?;
    let mut found = select.query([rows::block_row(chain.ordinal, number)?])?;
    let hash = match found.next()? {
        Some(row) => rows::hash(row.get_ref(0)?.as_blob().map_err(corrupt)?)?,
        None => B256::ZERO,
    };
    Ok(BlockId { number, hash })
}

/// A holder's place in the ranking.
#[derive(Debug, Clone, Copy)]
struct Ranked {
    row: i64,
    holding: Holding,
}

impl Ranked {
    fn key(&self) -> Reverse<(U256, i64)> {
        Reverse((self.holding.balance, self.row))
    }
}

/// The cursor: the block, and the last holder of the page before.
#[derive(Debug, Clone, Copy)]
struct After {
    at: u64,
    balance: U256,
    row: i64,
}

impl After {
    fn parse(text: &str) -> Result<Self, QueryError> {
        // An empty part would read as zero.
        let mut parts = text.split('.').filter(|part| !part.is_empty());
        let parsed = (|| {
            let at = u64::from_str_radix(parts.next()?, 16).ok()?;
            let balance = U256::from_str_radix(parts.next()?, 16).ok()?;
            let row = i64::from_str_radix(parts.next()?, 16).ok()?;
            parts.next().is_none().then_some(Self { at, balance, row })
        })();
        parsed.ok_or_else(|| QueryError::BadCursor(text.to_owned()))
    }
}

impl std::fmt::Display for After {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}.{:x}.{:x}", self.at, self.balance, self.row)
    }
}

/// The next `wanted` holders: the present ranking with the changed holders put where they were.
fn rank(
    connection: &Connection,
    asset: i64,
    past: &Past,
    after: Option<After>,
    wanted: usize,
) -> Result<Vec<Ranked>, StoreError> {
    let start = after.map_or(Reverse((U256::MAX, i64::MAX)), |at| Reverse((at.balance, at.row)));
    let mut changed: Vec<Ranked> = past
        .changed
        .iter()
        .map(|(row, holding)| Ranked { row: *row, holding: *holding })
        .filter(|ranked| !ranked.holding.balance.is_zero())
        .filter(|ranked| ranked.key() > start)
        .collect();
    changed.sort_unstable_by_key(Ranked::key);
    changed.truncate(wanted);
    if past.complete {
        return Ok(changed);
    }
    let mut select = connection.prepare_cached(
        "SELECT balance, frozen, account_frozen, row FROM holding
         WHERE row >> 40 = ?1 AND (balance, row) < (?2, ?3) AND balance > zeroblob(32)
         ORDER BY balance DESC, row DESC",
    )?;
    let Reverse((balance, row)) = start;
    let mut found = select.query((asset, balance.to_be_bytes::<32>(), row))?;
    let mut changed = changed.into_iter().peekable();
    let mut ranked = Vec::new();
    while ranked.len() < wanted {
        let Some(stored) = found.next()? else { break };
        let row = stored.get(3)?;
        if past.changed.contains_key(&row) {
            continue;
        }
        let present = Ranked { row, holding: docs::read_holding(stored, 0)? };
        while let Some(earlier) = changed.next_if(|changed| changed.key() < present.key()) {
            ranked.push(earlier);
        }
        ranked.push(present);
    }
    ranked.extend(changed);
    ranked.truncate(wanted);
    Ok(ranked)
}
