//! Lists of tokens and of what one address holds.
//!
//! Holders of one token, which can look back in time, are `holders`.

use alloy_primitives::Address;
use rusqlite::{Connection, OptionalExtension, Row};

use super::error::corrupt;
use super::{chains, docs, intern, rows};
use crate::pipeline::error::StoreError;
use crate::store::read::{HolderRecord, Page, QueryError, TokenRecord};
use crate::types::asset::{Identity, TokenMetadata};
use crate::types::chain::ChainId;

/// Most items of any page: keeps an answer to a few megabytes.
pub(super) const PAGE_MAX: usize = 1_000;

/// A page size within bounds, as SQLite wants it, one more than asked to see whether there is more.
pub(super) fn page_limit(limit: usize) -> (usize, i64) {
    let limit = limit.clamp(1, PAGE_MAX);
    (limit, i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1)
}

/// A cursor of one number.
pub(super) fn cursor_number(after: Option<&str>) -> Result<Option<i64>, QueryError> {
    after
        .map(|text| {
            i64::from_str_radix(text, 16).map_err(|_| QueryError::BadCursor(text.to_owned()))
        })
        .transpose()
}

/// Cuts the extra item off and makes the cursor of the next page from the last one kept.
pub(super) fn page<T>(mut items: Vec<(i64, T)>, limit: usize) -> Page<T> {
    let more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = if more { items.last().map(|(at, _)| format!("{at:x}")) } else { None };
    Page { items: items.into_iter().map(|(_, item)| item).collect(), next_cursor }
}

fn select_tokens(filter: &str) -> String {
    format!(
        "SELECT {}, t.name, t.symbol, t.decimals, c.id, a.addr, t.asset
         FROM {} JOIN asset s ON s.id = t.asset JOIN address a ON a.id = s.addr
         JOIN chain c ON c.ordinal = s.chain WHERE {filter}",
        docs::TOKEN_COLUMNS,
        docs::TOKEN_TABLES
    )
}

fn read(row: &Row<'_>) -> Result<(i64, TokenRecord), StoreError> {
    let record = TokenRecord {
        token: docs::read_token(row)?,
        metadata: TokenMetadata { name: row.get(8)?, symbol: row.get(9)?, decimals: row.get(10)? },
        chain: ChainId(rows::uint(row.get(11)?)?),
        address: rows::address(row.get_ref(12)?.as_blob().map_err(corrupt)?)?,
    };
    Ok((row.get(13)?, record))
}

/// Tokens in the order in which they were first seen.
pub(super) fn list(
    connection: &Connection,
    chain: Option<ChainId>,
    limit: usize,
    after: Option<&str>,
) -> Result<Page<TokenRecord>, QueryError> {
    let (limit, fetch) = page_limit(limit);
    let after = cursor_number(after)?.unwrap_or(0);
    let chain = match chain {
        Some(chain) => match chains::find(connection, chain)? {
            Some(row) => Some(i64::from(row.ordinal)),
            None => return Ok(Page { items: Vec::new(), next_cursor: None }),
        },
        None => None,
    };
    let filter = "t.asset > ?1 AND (?2 IS NULL OR s.chain = ?2) ORDER BY t.asset LIMIT ?3";
    let mut select = connection.prepare_cached(&select_tokens(filter))?;
    let mut found = select.query((after, chain, fetch))?;
    let mut items = Vec::new();
    while let Some(row) = found.next()? {
        items.push(read(row)?);
    }
    Ok(page(items, limit))
}

/// One token.
pub(super) fn one(
    connection: &Connection,
    chain: ChainId,
    address: &Address,
) -> Result<Option<TokenRecord>, QueryError> {
    let Some(asset) = find(connection, chain, address)? else { return Ok(None) };
    let mut select = connection.prepare_cached(&select_tokens("t.asset = ?1"))?;
    let mut found = select.query([asset])?;
    Ok(found.next()?.map(read).transpose()?.map(|(_, record)| record))
}

/// The id of a token that was seen.
pub(super) fn find(
    connection: &Connection,
    chain: ChainId,
    address: &Address,
) -> Result<Option<i64>, StoreError> {
    let Some(row) = chains::find(connection, chain)? else { return Ok(None) };
    let Some(address) = intern::find(connection, address)? else { return Ok(None) };
    intern::asset(connection, row.ordinal, address)
}

/// Tokens whose metadata has not been read, oldest first.
pub(super) fn without_metadata(
    connection: &Connection,
    limit: usize,
) -> Result<Vec<(ChainId, Address)>, QueryError> {
    let (limit, _) = page_limit(limit);
    let filter = "t.has_metadata = 0 ORDER BY t.asset LIMIT ?1";
    let mut select = connection.prepare_cached(&select_tokens(filter))?;
    let mut found = select.query([i64::try_from(limit).map_err(corrupt)?])?;
    let mut tokens = Vec::new();
    while let Some(row) = found.next()? {
        let (_, record) = read(row)?;
        tokens.push((record.chain, record.address));
    }
    Ok(tokens)
}

/// Everything one address holds, in the order in which the tokens were first seen.
pub(super) fn holdings(
    connection: &Connection,
    holder: &Address,
    limit: usize,
    after: Option<&str>,
) -> Result<Page<HolderRecord>, QueryError> {
    let (limit, fetch) = page_limit(limit);
    let after = cursor_number(after)?.unwrap_or(-1);
    let Some(id) = intern::find(connection, holder)? else {
        return Ok(Page { items: Vec::new(), next_cursor: None });
    };
    let mut select = connection.prepare_cached(
        "SELECT h.balance, h.frozen, h.account_frozen, h.row, c.id, s.chain, a.addr
         FROM holding h JOIN asset s ON s.id = h.row >> 40
         JOIN chain c ON c.ordinal = s.chain JOIN address a ON a.id = s.addr
         WHERE h.row & 0xFFFFFFFFFF = ?1 AND h.row > ?2 AND h.balance > zeroblob(32)
         ORDER BY h.row LIMIT ?3",
    )?;
    let mut found = select.query((id, after, fetch))?;
    let mut items = Vec::new();
    while let Some(row) = found.next()? {
        let at: i64 = row.get(3)?;
        let chain: u8 = row.get(5)?;
        let record = HolderRecord {
            chain: ChainId(rows::uint(row.get(4)?)?),
            token: rows::address(row.get_ref(6)?.as_blob().map_err(corrupt)?)?,
            holder: *holder,
            holding: docs::read_holding(row, 0)?,
            identity: identity_in(connection, chain, at)?,
        };
        items.push((at, record));
    }
    Ok(page(items, limit))
}

/// The holder's entry in the registry of the token, for the row of a holding. An entry in the storage
/// that the registry uses counts for more than the registry's own.
pub(super) fn identity_in(
    connection: &Connection,
    chain: u8,
    holding: i64,
) -> Result<Option<Identity>, StoreError> {
    let mut select = connection.prepare_cached("SELECT registry FROM token WHERE asset = ?1")?;
    let mut found = select.query([holding >> 40])?;
    let registry: Option<i64> = match found.next()? {
        Some(row) => row.get(0)?,
        None => None,
    };
    let Some(registry) = registry else { return Ok(None) };
    let holder = rows::holder_of(holding);
    let storage = connection
        .prepare_cached("SELECT identity FROM identity WHERE registry = ?1 AND wallet = ?2")?
        .query_row((rows::chain_address(chain, registry)?, registry), |row| row.get(0))
        .optional()?;
    for place in storage.into_iter().chain([registry]) {
        let entry = docs::identity(connection, rows::chain_address(chain, place)?, holder)?;
        if entry.is_some() {
            return Ok(entry);
        }
    }
    Ok(None)
}
