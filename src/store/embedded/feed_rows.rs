//! Entries of the feed as rows. Expansion into events is `feed`.

use rusqlite::{Connection, Row};

use super::error::corrupt;
use super::rows::{int, uint};
use crate::pipeline::error::StoreError;
use crate::types::chain::BlockRange;
use crate::types::feed::FeedStep;

const COMMITTED: i64 = 0;
const RETRACTED: i64 = 1;
const FINALIZED: i64 = 2;

/// An entry with its chain's ordinal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) seq: u64,
    pub(super) chain: u8,
    pub(super) step: FeedStep,
}

/// Writes one entry.
pub(super) fn append(connection: &Connection, entry: Entry) -> Result<(), StoreError> {
    let (step, low, high) = match entry.step {
        FeedStep::Committed(range) => (COMMITTED, range.from, range.to),
        FeedStep::Retracted(range) => (RETRACTED, range.from, range.to),
        FeedStep::Finalized(block) => (FINALIZED, block, block),
    };
    connection
        .prepare_cached("INSERT INTO feed(seq, chain, step, low, high) VALUES(?1, ?2, ?3, ?4, ?5)")?
        .execute((int(entry.seq)?, i64::from(entry.chain), step, int(low)?, int(high)?))?;
    Ok(())
}

/// An entry out of the columns `seq, chain, step, low, high`.
pub(super) fn read(row: &Row<'_>) -> Result<Entry, StoreError> {
    let range = BlockRange { from: uint(row.get(3)?)?, to: uint(row.get(4)?)? };
    let step = match row.get::<_, i64>(2)? {
        COMMITTED => FeedStep::Committed(range),
        RETRACTED => FeedStep::Retracted(range),
        FINALIZED => FeedStep::Finalized(range.to),
        step => return Err(corrupt(format_args!("feed entry of step {step}"))),
    };
    Ok(Entry {
        seq: uint(row.get(0)?)?,
        chain: u8::try_from(row.get::<_, i64>(1)?).map_err(corrupt)?,
        step,
    })
}

/// The number of the newest entry, zero before the first.
pub(super) fn head(connection: &Connection) -> Result<u64, StoreError> {
    uint(
        connection
            .prepare_cached("SELECT coalesce(max(seq), 0) FROM feed")?
            .query_row([], |row| row.get(0))?,
    )
}
