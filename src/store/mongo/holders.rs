//! Holders of a token, largest first, now or as of an earlier block. Identities are the present ones.

use std::cmp::Reverse;

use alloy_primitives::{Address, B256, U256};
use mongodb::bson::doc;

use super::chains::{ChainRow, Head};
use super::commit::block_hash;
use super::docs::{self, HOLDINGS};
use super::history::{self, Past};
use super::rows::{self, need_text};
use super::tokens::{add_identities, page_limit};
use super::wire::{Find, Reader, Wire};
use crate::pipeline::error::StoreError;
use crate::store::read::{HolderRecord, HoldersPage, Page, QueryError};
use crate::types::asset::{Doc, DocKey, Holding};
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
pub(super) async fn page(
    wire: &Wire,
    head: &Head,
    question: &Question,
) -> Result<Option<HoldersPage>, QueryError> {
    let Some(chain) = head.chain(question.chain) else { return Ok(None) };
    let key = [DocKey::Token(question.token)];
    let found = docs::load(wire, question.chain, &key, Reader::Question).await?.pop().flatten();
    let Some(Doc::Token(token)) = found else { return Ok(None) };
    let Some(now) = chain.cursor_id() else { return Ok(None) };
    let after = question.after.as_deref().map(After::parse).transpose()?;
    let at = block_asked(question, after, now, chain)?;
    let past = if at == now.number {
        Past::present(token.supply)
    } else {
        history::at(wire, chain, question.token, at, token.supply).await?
    };
    let (limit, _) = page_limit(question.limit);
    let mut ranked = rank(wire, question, &past, after, limit + 1).await?;
    let more = ranked.len() > limit;
    ranked.truncate(limit);
    let next_cursor = ranked
        .last()
        .filter(|_| more)
        .map(|last| After { at, balance: last.holding.balance, holder: last.holder }.to_string());
    let mut items: Vec<HolderRecord> = ranked
        .into_iter()
        .map(|ranked| HolderRecord {
            chain: question.chain,
            token: question.token,
            holder: ranked.holder,
            holding: ranked.holding,
            identity: None,
        })
        .collect();
    add_identities(wire, question.chain, &mut items.iter_mut().collect::<Vec<_>>()).await?;
    Ok(Some(HoldersPage {
        holders: Page { items, next_cursor },
        at: block_id(wire, chain, at, now).await?,
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
async fn block_id(
    wire: &Wire,
    chain: &ChainRow,
    number: u64,
    now: BlockId,
) -> Result<BlockId, StoreError> {
    if number == now.number {
        return Ok(now);
    }
    let hash = block_hash(wire, chain, number, Reader::Question).await?;
    Ok(BlockId { number, hash: hash.unwrap_or(B256::ZERO) })
}

/// A holder's place in the ranking.
#[derive(Debug, Clone, Copy)]
struct Ranked {
    holder: Address,
    holding: Holding,
}

impl Ranked {
    fn key(&self) -> Reverse<(U256, Address)> {
        Reverse((self.holding.balance, self.holder))
    }
}

/// The cursor: the block, and the last holder of the page before.
#[derive(Debug, Clone, Copy)]
struct After {
    at: u64,
    balance: U256,
    holder: Address,
}

impl After {
    fn parse(text: &str) -> Result<Self, QueryError> {
        // An empty part would read as zero.
        let mut parts = text.split('.').filter(|part| !part.is_empty());
        let parsed = (|| {
            let at = u64::from_str_radix(parts.next()?, 16).ok()?;
            let balance = U256::from_str_radix(parts.next()?, 16).ok()?;
            let holder = parts.next()?.parse().ok()?;
            parts.next().is_none().then_some(Self { at, balance, holder })
        })();
        parsed.ok_or_else(|| QueryError::BadCursor(text.to_owned()))
    }
}

impl std::fmt::Display for After {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}.{:x}.{:x}", self.at, self.balance, self.holder)
    }
}

/// The next `wanted` holders: the present ranking with the changed holders put where they were.
async fn rank(
    wire: &Wire,
    question: &Question,
    past: &Past,
    after: Option<After>,
    wanted: usize,
) -> Result<Vec<Ranked>, StoreError> {
    let start = after.map(|at| Reverse((at.balance, at.holder)));
    let mut changed: Vec<Ranked> = past
        .changed
        .iter()
        .map(|(holder, holding)| Ranked { holder: *holder, holding: *holding })
        .filter(|ranked| !ranked.holding.balance.is_zero())
        .filter(|ranked| start.is_none_or(|start| ranked.key() > start))
        .collect();
    changed.sort_unstable_by_key(Ranked::key);
    changed.truncate(wanted);
    if past.complete {
        return Ok(changed);
    }
    // Of the present ones as many as are wanted may have to be passed over.
    let fetch = wanted + past.changed.len();
    let mut changed = changed.into_iter().peekable();
    let mut ranked = Vec::new();
    for present in present(wire, question, after, fetch).await? {
        if past.changed.contains_key(&present.holder) {
            continue;
        }
        while let Some(earlier) = changed.next_if(|changed| changed.key() < present.key()) {
            ranked.push(earlier);
        }
        ranked.push(present);
    }
    ranked.extend(changed);
    ranked.truncate(wanted);
    Ok(ranked)
}

async fn present(
    wire: &Wire,
    question: &Question,
    after: Option<After>,
    fetch: usize,
) -> Result<Vec<Ranked>, StoreError> {
    let zero = rows::amount(&U256::ZERO);
    let mut filter = doc! {
        "chain": rows::int(question.chain.0)?,
        "token": rows::hex_address(&question.token),
        "balance": { "$gt": zero },
        "gone": false,
    };
    if let Some(after) = after {
        let balance = rows::amount(&after.balance);
        let holder = rows::hex_address(&after.holder);
        filter.insert(
            "$or",
            vec![
                doc! { "balance": { "$lt": &balance } },
                doc! { "balance": &balance, "holder": { "$lt": holder } },
            ],
        );
    }
    let found = wire
        .find(Find {
            collection: HOLDINGS,
            filter,
            sort: Some(doc! { "balance": -1, "holder": -1 }),
            limit: Some(i64::try_from(fetch).unwrap_or(i64::MAX)),
            reader: Reader::Question,
        })
        .await?;
    found
        .iter()
        .map(|document| {
            let holder = rows::address(need_text(document, "holder")?)?;
            Ok(Ranked { holder, holding: docs::read_holding(document)? })
        })
        .collect()
}
