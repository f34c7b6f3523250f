//! Event lists: filters combined, pages that new blocks never shift. Which index serves a filter is the
//! server's choice; every filter has one that also gives the order (`schema`).

use std::collections::HashMap;

use mongodb::bson::doc;

use super::chains::{ChainRow, Head};
use super::dictionary::Dictionary;
use super::logs::{self, EVENTS, StoredLog};
use super::rows;
use super::tokens::{empty, page_limit};
use super::wire::{Find, Reader, Wire};
use crate::pipeline::error::StoreError;
use crate::store::read::{ContractFilter, EventQuery, Order, Page, QueryError};
use crate::types::chain::ChainId;
use crate::types::event::EventRecord;

/// One page of events.
pub(super) async fn list(
    wire: &Wire,
    dictionary: &Dictionary,
    head: &Head,
    query: &EventQuery,
) -> Result<Page<EventRecord>, QueryError> {
    let mut bounds = Bounds::parse(query.after.as_deref(), head)?;
    let (limit, fetch) = page_limit(query.limit);
    let asked = head.chains.iter().filter(|row| query.chain.is_none_or(|id| id == row.id));
    let finds = asked.map(|row| one_chain(wire, row, query, bounds.span(row.id, query), fetch));
    let lists = futures_util::future::try_join_all(finds).await?;
    let mut merged = merge(lists, query.order, limit + 1);
    let more = merged.len() > limit;
    merged.truncate(limit);
    if merged.is_empty() {
        return Ok(empty());
    }
    let mut items = Vec::with_capacity(merged.len());
    for (row, log) in merged {
        bounds.0.insert(row.id, log.pos);
        items.push(log.event(row, dictionary)?);
    }
    Ok(Page { items, next_cursor: more.then(|| bounds.to_string()) })
}

async fn one_chain<'a>(
    wire: &Wire,
    row: &'a ChainRow,
    query: &EventQuery,
    (low, high): (i64, i64),
    fetch: i64,
) -> Result<Vec<(&'a ChainRow, StoredLog)>, StoreError> {
    if low > high {
        return Ok(Vec::new());
    }
    let mut filter = row.visible_logs()?;
    filter.insert("pos", doc! { "$gte": low, "$lte": high });
    match &query.contract {
        Some(ContractFilter::Address(address)) => {
            filter.insert("address", rows::hex_address(address));
        }
        Some(ContractFilter::Name(name)) => {
            filter.insert("contract", name);
        }
        None => {}
    }
    if let Some(event) = &query.event {
        filter.insert("event", event);
    }
    if let Some(who) = &query.participant {
        filter.insert("participants", rows::hex_address(who));
    }
    if let Some(tx) = &query.tx_hash {
        filter.insert("tx", rows::hex(&tx[..]));
    }
    let direction = match query.order {
        Order::NewestFirst => -1,
        Order::OldestFirst => 1,
    };
    let found = wire
        .find(Find {
            collection: EVENTS,
            filter,
            sort: Some(doc! { "pos": direction }),
            limit: Some(fetch),
            reader: Reader::Question,
        })
        .await?;
    found.iter().map(|document| Ok((row, logs::read(document)?))).collect()
}

/// Where each chain's list goes on: the last position given out.
#[derive(Debug, Default)]
struct Bounds(HashMap<ChainId, i64>);

impl Bounds {
    fn parse(after: Option<&str>, head: &Head) -> Result<Self, QueryError> {
        let Some(text) = after else { return Ok(Self::default()) };
        let mut bounds = Self::default();
        for part in text.split('.') {
            let parsed = part.split_once('-').and_then(|(chain, pos)| {
                let chain = ChainId(u64::from_str_radix(chain, 16).ok()?);
                let pos = i64::from_str_radix(pos, 16).ok().filter(|pos| *pos >= 0)?;
                head.chain(chain).map(|_| (chain, pos))
            });
            let (chain, pos) = parsed.ok_or_else(|| QueryError::BadCursor(text.to_owned()))?;
            bounds.0.insert(chain, pos);
        }
        Ok(bounds)
    }

    /// The positions of a chain that the query still asks for, both ends included.
    fn span(&self, chain: ChainId, query: &EventQuery) -> (i64, i64) {
        let low = query.from_block.map_or(0, rows::block_start);
        let high = rows::block_end(query.to_block.unwrap_or(u64::MAX));
        match (self.0.get(&chain), query.order) {
            (Some(pos), Order::NewestFirst) => (low, high.min(pos - 1)),
            (Some(pos), Order::OldestFirst) => (low.max(pos + 1), high),
            (None, _) => (low, high),
        }
    }
}

impl std::fmt::Display for Bounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_unstable();
        for (index, (chain, pos)) in all.into_iter().enumerate() {
            let dot = if index > 0 { "." } else { "" };
            write!(f, "{dot}{:x}-{pos:x}", chain.0)?;
        }
        Ok(())
    }
}

type Listed<'a> = (&'a ChainRow, StoredLog);

/// Several chains as one list by time. Within a chain the order of its logs holds, whatever its
/// timestamps say; between chains the newer (or older) head goes first.
fn merge(lists: Vec<Vec<Listed<'_>>>, order: Order, wanted: usize) -> Vec<Listed<'_>> {
    let mut lists: Vec<_> = lists.into_iter().map(|list| list.into_iter().peekable()).collect();
    let mut merged = Vec::with_capacity(wanted);
    while merged.len() < wanted {
        let heads = lists.iter_mut().enumerate().filter_map(|(index, list)| {
            list.peek().map(|(row, log)| ((log.time, row.ordinal), index))
        });
        let next = match order {
            Order::NewestFirst => heads.max(),
            Order::OldestFirst => heads.min(),
        };
        let Some((_, index)) = next else { break };
        merged.extend(lists.get_mut(index).and_then(Iterator::next));
    }
    merged
}
