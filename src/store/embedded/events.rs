//! Event lists: filters combined, the best index chosen, pages that new blocks never shift.
//!
//! Chooses between few plans by hand, since the file carries no statistics: transaction, participant,
//! contract, kind of event, or the log itself. Two steps: row ids from the indexes, merged in order,
//! then the rows of one page.

use std::collections::HashMap;

use alloy_primitives::B256;
use rusqlite::{Connection, params_from_iter};

use super::chains::{self, ChainRow};
use super::dictionary::Dictionary;
use super::error::corrupt;
use super::records::{self, Shown};
use super::tokens::page_limit;
use super::{intern, rows};
use crate::pipeline::error::StoreError;
use crate::store::read::{ContractFilter, EventQuery, Order, Page, QueryError};
use crate::types::event::EventRecord;

/// One page of events.
pub(super) fn list(
    connection: &Connection,
    dictionary: &Dictionary,
    query: &EventQuery,
) -> Result<Page<EventRecord>, QueryError> {
    let chains = chains::all(connection)?;
    let (limit, fetch) = page_limit(query.limit);
    let mut bounds = Bounds::parse(query.after.as_deref(), &chains)?;
    let Some(plan) = Plan::choose(connection, dictionary, query)? else {
        return Ok(Page { items: Vec::new(), next_cursor: None });
    };
    let asked: Vec<&ChainRow> =
        chains.iter().filter(|chain| query.chain.is_none_or(|id| id == chain.id)).collect();
    let mut lists = Vec::with_capacity(asked.len());
    for chain in &asked {
        let span = bounds.span(chain.ordinal, query);
        lists.push(plan.rows(connection, span, query.order, fetch)?);
    }
    let merged = merge(connection, lists, query.order, limit + 1)?;
    let more = merged.len() > limit;
    let shown = Shown::new(dictionary, &chains);
    let sql = format!("SELECT {} FROM {} WHERE l.row = ?1", records::COLUMNS, records::TABLES);
    let mut select = connection.prepare_cached(&sql)?;
    let mut items = Vec::with_capacity(limit.min(merged.len()));
    for row in merged.into_iter().take(limit) {
        let mut found = select.query([row])?;
        let stored =
            found.next()?.ok_or_else(|| corrupt("an index names a log that is missing"))?;
        items.push(shown.event(&records::read(connection, dictionary, stored)?)?);
        bounds.passed(row);
    }
    Ok(Page { items, next_cursor: more.then(|| bounds.to_string()) })
}

/// How far each chain has been read: the cursor. One hexadecimal row per chain, joined by dots.
#[derive(Debug, Default)]
struct Bounds(HashMap<u8, i64>);

impl Bounds {
    fn parse(after: Option<&str>, chains: &[ChainRow]) -> Result<Self, QueryError> {
        let Some(text) = after else { return Ok(Self::default()) };
        let mut bounds = Self::default();
        for part in text.split('.') {
            let row = i64::from_str_radix(part, 16)
                .ok()
                .filter(|row| {
                    *row >= 0
                        && chains.iter().any(|chain| chain.ordinal == rows::unpack(*row).chain)
                })
                .ok_or_else(|| QueryError::BadCursor(text.to_owned()))?;
            bounds.passed(row);
        }
        Ok(bounds)
    }

    fn passed(&mut self, row: i64) {
        self.0.insert(rows::unpack(row).chain, row);
    }

    /// The rows of a chain that the query still asks for, both ends included.
    fn span(&self, chain: u8, query: &EventQuery) -> (i64, i64) {
        let low = match query.from_block {
            Some(block) if block > rows::BLOCK_MAX => i64::MAX,
            Some(block) => rows::block_row(chain, block).unwrap_or(i64::MAX),
            None => rows::block_row(chain, 0).unwrap_or(i64::MAX),
        };
        let high = rows::block_end(chain, query.to_block.unwrap_or(u64::MAX));
        match (self.0.get(&chain), query.order) {
            (Some(row), Order::NewestFirst) => (low, high.min(row - 1)),
            (Some(row), Order::OldestFirst) => (low.max(row + 1), high),
            (None, _) => (low, high),
        }
    }
}

impl std::fmt::Display for Bounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut rows: Vec<_> = self.0.values().collect();
        rows.sort_unstable();
        for (index, row) in rows.iter().enumerate() {
            let dot = if index > 0 { "." } else { "" };
            write!(f, "{dot}{row:x}")?;
        }
        Ok(())
    }
}

/// Disjoint streams of rows, each in order by its own index, and what every row must satisfy besides.
#[derive(Debug)]
struct Plan {
    /// `FROM … WHERE …` of each stream, over an alias `l` of the log.
    streams: Vec<(String, Vec<i64>)>,
}

impl Plan {
    /// `None` when nothing can match: a name or an address that no log bears.
    fn choose(
        connection: &Connection,
        dictionary: &Dictionary,
        query: &EventQuery,
    ) -> Result<Option<Self>, QueryError> {
        let kinds = match kinds(dictionary, connection, query)? {
            Some(kinds) if kinds.is_empty() => return Ok(None),
            kinds => kinds,
        };
        let contract = match &query.contract {
            Some(ContractFilter::Address(address)) => match intern::find(connection, address)? {
                Some(id) => Some(id),
                None => return Ok(None),
            },
            _ => None,
        };
        let participant = match &query.participant {
            Some(address) => match intern::find(connection, address)? {
                Some(id) => Some(id),
                None => return Ok(None),
            },
            None => None,
        };
        let filters = Filters { tx: query.tx_hash, participant, contract, kinds };
        Ok(Some(Self { streams: filters.streams() }))
    }

    /// Up to `fetch` rows within `span` (both ends included), in order.
    fn rows(
        &self,
        connection: &Connection,
        (low, high): (i64, i64),
        order: Order,
        fetch: i64,
    ) -> Result<Vec<i64>, StoreError> {
        let mut found = Vec::new();
        if low > high {
            return Ok(found);
        }
        let direction = match order {
            Order::NewestFirst => "DESC",
            Order::OldestFirst => "ASC",
        };
        for (clause, values) in &self.streams {
            let n = values.len();
            let sql = format!(
                "SELECT l.row FROM {clause} AND l.row >= ?{} AND l.row <= ?{}
                 ORDER BY l.row {direction} LIMIT ?{}",
                n + 1,
                n + 2,
                n + 3
            );
            let mut select = connection.prepare_cached(&sql)?;
            let mut rows =
                select.query(params_from_iter(values.iter().chain(&[low, high, fetch])))?;
            while let Some(row) = rows.next()? {
                found.push(row.get(0)?);
            }
        }
        match order {
            Order::NewestFirst => found.sort_unstable_by(|a: &i64, b| b.cmp(a)),
            Order::OldestFirst => found.sort_unstable(),
        }
        Ok(found)
    }
}

/// A query's filters, as ids.
struct Filters {
    tx: Option<B256>,
    participant: Option<i64>,
    contract: Option<i64>,
    kinds: Option<Vec<i64>>,
}

impl Filters {
    /// The most selective filter drives; the unary plus keeps the others away from their indexes.
    fn streams(&self) -> Vec<(String, Vec<i64>)> {
        if let Some(hash) = &self.tx {
            let tail = faster_hex::hex_string(&hash[8..]);
            let rest = self.rest(true, true);
            let clause = format!("log l WHERE l.tx_head = ?1 AND l.tx_tail = x'{tail}'{rest}");
            return vec![(clause, vec![rows::tx_head(hash)])];
        }
        if let Some(id) = self.participant {
            let rest = self.rest(false, true);
            let mut streams: Vec<_> = ["p0", "p1", "p2"]
                .iter()
                .map(|column| (format!("log l WHERE l.{column} = ?1{rest}"), vec![id]))
                .collect();
            // Without further filters the narrow table alone gives the rows.
            let clause = if rest.is_empty() {
                "participant_extra l WHERE l.addr = ?1".to_owned()
            } else {
                format!(
                    "participant_extra e CROSS JOIN log l ON l.row = e.row WHERE e.addr = ?1{rest}"
                )
            };
            streams.push((clause, vec![id]));
            return streams;
        }
        if let Some(id) = self.contract {
            let rest = self.rest(false, false);
            return vec![(format!("log l WHERE l.contract = ?1{rest}"), vec![id])];
        }
        match &self.kinds {
            Some(kinds) => kinds
                .iter()
                .map(|kind| ("log l WHERE l.kind = ?1".to_owned(), vec![*kind]))
                .collect(),
            None => vec![("log l WHERE 1".to_owned(), Vec::new())],
        }
    }

    /// The filters that do not drive. The numbers are ids of ours, so they may stand in the text.
    fn rest(&self, participant: bool, contract: bool) -> String {
        let mut text = String::new();
        if let Some(id) = self.participant.filter(|_| participant) {
            text.push_str(&format!(
                " AND (+l.p0 = {id} OR +l.p1 = {id} OR +l.p2 = {id} OR EXISTS (SELECT 1
                 FROM participant_extra x WHERE x.addr = {id} AND x.row = l.row))"
            ));
        }
        if let Some(id) = self.contract.filter(|_| contract) {
            text.push_str(&format!(" AND +l.contract = {id}"));
        }
        if let Some(kinds) = &self.kinds {
            let list: Vec<String> = kinds.iter().map(i64::to_string).collect();
            text.push_str(&format!(" AND +l.kind IN ({})", list.join(",")));
        }
        text
    }
}

/// The kinds that the name and event filters admit; `None` when neither is set.
fn kinds(
    dictionary: &Dictionary,
    connection: &Connection,
    query: &EventQuery,
) -> Result<Option<Vec<i64>>, StoreError> {
    let name = match &query.contract {
        Some(ContractFilter::Name(name)) => Some(name.as_str()),
        _ => None,
    };
    if name.is_none() && query.event.is_none() {
        return Ok(None);
    }
    dictionary.refresh_if_behind(connection)?;
    let kinds = dictionary.matching(|kind| {
        let event = kind.layout.as_ref().map(|layout| layout.event.as_str());
        name.is_none_or(|name| *kind.contract == *name)
            && query.event.as_deref().is_none_or(|asked| event == Some(asked))
    });
    Ok(Some(kinds.iter().map(|kind| kind.id).collect()))
}

/// Several chains as one list by time. Within a chain the order of its rows holds, whatever its
/// timestamps say; between chains the newer (or older) head goes first.
fn merge(
    connection: &Connection,
    mut lists: Vec<Vec<i64>>,
    order: Order,
    wanted: usize,
) -> Result<Vec<i64>, StoreError> {
    lists.retain(|list| !list.is_empty());
    if lists.len() <= 1 {
        return Ok(lists.pop().unwrap_or_default().into_iter().take(wanted).collect());
    }
    let mut time =
        connection.prepare_cached("SELECT timestamp FROM block WHERE row = ?1 >> 19 << 19")?;
    let mut heads = Vec::with_capacity(lists.len());
    for list in lists {
        let mut rest = list.into_iter();
        if let Some(row) = rest.next() {
            heads.push((time.query_row([row], |found| found.get::<_, i64>(0))?, row, rest));
        }
    }
    let mut merged = Vec::with_capacity(wanted);
    while merged.len() < wanted {
        let next = match order {
            Order::NewestFirst => heads.iter().enumerate().max_by_key(|(_, h)| (h.0, h.1)),
            Order::OldestFirst => heads.iter().enumerate().min_by_key(|(_, h)| (h.0, h.1)),
        };
        let Some((index, _)) = next else { break };
        merged.push(heads[index].1);
        match heads[index].2.next() {
            Some(row) => {
                heads[index].0 = time.query_row([row], |found| found.get(0))?;
                heads[index].1 = row;
            }
            None => {
                heads.swap_remove(index);
            }
        }
    }
    Ok(merged)
}
