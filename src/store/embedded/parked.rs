//! Handlers that wait for a fix, a few rows at most.

use rusqlite::Connection;

use super::rows::{int, uint};
use crate::pipeline::error::StoreError;
use crate::pipeline::store::Parked;
use crate::types::event::Position;

/// Replaces a chain's list.
pub(super) fn write(
    connection: &Connection,
    chain: u8,
    parked: &[Parked],
) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM parked WHERE chain = ?1")?.execute([chain])?;
    for parked in parked {
        connection
            .prepare_cached(
                "INSERT INTO parked(chain, handler, block, log_index, reason)
                 VALUES(?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((
                chain,
                &parked.handler,
                int(parked.at.block)?,
                parked.at.log_index,
                &parked.reason,
            ))?;
    }
    Ok(())
}

/// A chain's list.
pub(super) fn of(connection: &Connection, chain: u8) -> Result<Vec<Parked>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT handler, block, log_index, reason FROM parked WHERE chain = ?1 ORDER BY handler",
    )?;
    let mut found = select.query([chain])?;
    let mut parked = Vec::new();
    while let Some(row) = found.next()? {
        let at = Position { block: uint(row.get(1)?)?, log_index: row.get(2)? };
        parked.push(Parked { handler: row.get(0)?, at, reason: row.get(3)? });
    }
    Ok(parked)
}
