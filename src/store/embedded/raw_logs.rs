//! Stored logs in their raw form, for whoever must see them again or would ask a node for them.

use alloy_primitives::Address;
use rusqlite::{Connection, OptionalExtension as _};

use super::dictionary::Dictionary;
use super::records::{self, COLUMNS, TABLES};
use super::{chains, intern, rows};
use crate::pipeline::error::StoreError;
use crate::store::read::{RawLogQuery, RawLogs};
use crate::types::chain::ChainId;
use crate::types::log::{LogBuf, LogView};

/// Every log of `address`, oldest first.
pub(super) fn of(
    connection: &Connection,
    dictionary: &Dictionary,
    chain: ChainId,
    address: Address,
) -> Result<LogBuf, StoreError> {
    let mut logs = LogBuf::default();
    let Some(chain) = chains::find(connection, chain)? else { return Ok(logs) };
    let Some(contract) = intern::find(connection, &address)? else { return Ok(logs) };
    let sql = format!(
        "SELECT {COLUMNS} FROM {TABLES} WHERE l.contract = ?1 AND l.row >= ?2 AND l.row <= ?3
         ORDER BY l.row"
    );
    let range =
        (contract, rows::block_row(chain.ordinal, 0)?, rows::block_end(chain.ordinal, u64::MAX));
    let mut select = connection.prepare_cached(&sql)?;
    let mut found = select.query(range)?;
    while let Some(row) = found.next()? {
        let stored = records::read(connection, dictionary, row)?;
        for log in stored.raw.iter() {
            logs.push_view(log).map_err(super::error::corrupt)?;
        }
    }
    Ok(logs)
}

/// The logs of a range; nothing when the index does not hold all of its blocks.
pub(super) fn in_range(
    connection: &Connection,
    dictionary: &Dictionary,
    query: &RawLogQuery,
) -> Result<Option<RawLogs>, StoreError> {
    let Some(chain) = chains::find(connection, query.chain)? else { return Ok(None) };
    let (Some(cursor), Some(first)) = (chain.cursor, chain.first_block) else { return Ok(None) };
    let (from, to) = (query.range.from, query.range.to);
    if from < first || to > cursor.number || from > to || query.addresses.is_empty() {
        return Ok(None);
    }
    let (low, high) = (rows::block_row(chain.ordinal, from)?, rows::block_end(chain.ordinal, to));
    let mut places: Vec<i64> = Vec::new();
    let mut select = connection.prepare_cached(
        "SELECT row FROM log WHERE contract = ?1 AND row >= ?2 AND row <= ?3 LIMIT ?4",
    )?;
    for address in &query.addresses {
        let Some(contract) = intern::find(connection, address)? else { continue };
        let left = query.scan_max.saturating_sub(places.len()).saturating_add(1);
        let limit = i64::try_from(left).unwrap_or(i64::MAX);
        let mut found = select.query((contract, low, high, limit))?;
        while let Some(row) = found.next()? {
            places.push(row.get(0)?);
        }
        if places.len() > query.scan_max {
            return Ok(None);
        }
    }
    places.sort_unstable();
    places.dedup();
    let mut logs = LogBuf::default();
    let mut read =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM {TABLES} WHERE l.row = ?1"))?;
    for place in places {
        let mut found = read.query([place])?;
        let row = found.next()?.ok_or_else(|| super::error::corrupt("a log without its block"))?;
        let stored = records::read(connection, dictionary, row)?;
        for log in stored.raw.iter().filter(|log| passes(query, *log)) {
            logs.push_view(log).map_err(super::error::corrupt)?;
        }
    }
    let last = rows::block_row(chain.ordinal, to)?;
    let hash: Option<Vec<u8>> = connection
        .prepare_cached("SELECT hash FROM block WHERE row = ?1")?
        .query_row([last], |row| row.get(0))
        .optional()?;
    let last_hash = hash.as_deref().map(rows::hash).transpose()?;
    Ok(Some(RawLogs { logs, last_hash, verified_through: chain.verified_through }))
}

fn passes(query: &RawLogQuery, log: LogView<'_>) -> bool {
    query.topics.iter().enumerate().all(|(at, wanted)| {
        wanted.is_empty() || log.topics().get(at).is_some_and(|topic| wanted.contains(topic))
    })
}
