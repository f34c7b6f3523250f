//! Stored logs of one contract in their raw form, for whoever must see them again.

use alloy_primitives::Address;
use rusqlite::Connection;

use super::dictionary::Dictionary;
use super::records::{self, COLUMNS, TABLES};
use super::{chains, intern, rows};
use crate::pipeline::error::StoreError;
use crate::types::chain::ChainId;
use crate::types::log::LogBuf;

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
