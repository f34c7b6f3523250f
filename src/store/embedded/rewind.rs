//! Takes blocks out of the index: their logs move to the orphans, so that readers of the feed can be
//! told of each, and everything derived from rows goes with them.
//!
//! Documents are not restored here: the unit that rewinds carries their restored contents.

use rusqlite::Connection;

use super::chains::{ChainRow, Cursor};
use super::raw_logs;
use super::rows::{self, int, uint};
use crate::pipeline::error::StoreError;
use crate::types::chain::BlockRange;

/// Orphans are kept for this many feed entries after their retraction, for readers that are behind:
/// two weeks of one chain with a block every 12 seconds that commits and finalizes.
const ORPHAN_ENTRIES_MAX: u64 = 200_000;

/// Drops every block above `to` and returns what was dropped, `None` if there was nothing.
pub(super) fn apply(
    connection: &Connection,
    chain: &mut ChainRow,
    to: u64,
    seq: u64,
) -> Result<Option<BlockRange>, StoreError> {
    let Some(cursor) = chain.cursor.filter(|cursor| cursor.number > to) else { return Ok(None) };
    let bounds = (rows::block_end(chain.ordinal, to), rows::block_end(chain.ordinal, u64::MAX));
    connection
        .prepare_cached(
            "INSERT INTO orphan(retracted, row, committed, block_hash, timestamp, contract, kind,
             tx_index, tx_head, tx_tail, topics, data)
             SELECT ?3, l.row, b.seq, b.hash, b.timestamp, l.contract, l.kind,
             l.tx_index, l.tx_head, l.tx_tail, l.topics, l.data
             FROM log l JOIN block b ON b.row = l.row >> 19 << 19
             WHERE l.row > ?1 AND l.row <= ?2",
        )?
        .execute((bounds.0, bounds.1, int(seq)?))?;
    let delete = |table: &str, column: &str| -> Result<u64, StoreError> {
        let sql = format!("DELETE FROM {table} WHERE {column} > ?1 AND {column} <= ?2");
        let gone = connection.prepare_cached(&sql)?.execute(bounds)?;
        uint(i64::try_from(gone).map_err(super::error::corrupt)?)
    };
    delete("participant_extra", "row")?;
    delete("undo", "block")?;
    let undecoded = delete("dead_letter", "row")?;
    let logs = delete("log", "row")?;
    let blocks = delete("block", "row")?;

    chain.blocks = chain.blocks.saturating_sub(blocks);
    chain.logs = chain.logs.saturating_sub(logs);
    chain.undecoded = chain.undecoded.saturating_sub(undecoded);
    chain.events = chain.events.saturating_sub(logs.saturating_sub(undecoded));
    if chain.first_block.is_some_and(|first| first > to) {
        chain.first_block = None;
        chain.verified_through = None;
    }
    chain.verified_through = chain.verified_through.map(|through| through.min(to));
    chain.digest = raw_logs::digest_at(connection, chain.ordinal, to)?;
    chain.cursor = Some(Cursor { number: to, hash: hash_of(connection, chain.ordinal, to)? });
    Ok(Some(BlockRange { from: to.saturating_add(1), to: cursor.number }))
}

fn hash_of(
    connection: &Connection,
    chain: u8,
    block: u64,
) -> Result<Option<alloy_primitives::B256>, StoreError> {
    let mut select = connection.prepare_cached("SELECT hash FROM block WHERE row = ?1")?;
    let mut found = select.query([rows::block_row(chain, block)?])?;
    match found.next()? {
        Some(row) => {
            let bytes = row.get_ref(0)?.as_blob().map_err(super::error::corrupt)?;
            Ok(Some(rows::hash(bytes)?))
        }
        None => Ok(None),
    }
}

/// Drops orphans that no reader within [`ORPHAN_ENTRIES_MAX`] of the newest entry can ask for.
pub(super) fn prune_orphans(connection: &Connection, newest: u64) -> Result<(), StoreError> {
    let Some(oldest_kept) = newest.checked_sub(ORPHAN_ENTRIES_MAX) else { return Ok(()) };
    connection
        .prepare_cached("DELETE FROM orphan WHERE retracted < ?1")?
        .execute([int(oldest_kept)?])?;
    Ok(())
}
