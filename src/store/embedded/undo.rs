//! Former contents of documents, kept until their block is final.
//!
//! Stored in the byte form of `codec`: they are written often, read only in a reorg, and never queried.

use rusqlite::Connection;

use super::error::corrupt;
use super::rows;
use crate::pipeline::error::StoreError;
use crate::pipeline::store::Undo;
use crate::store::codec::{decode, decode_key, encode, encode_key};

/// Writes a unit's records, numbered in their block in the order of application.
pub(super) fn write(connection: &Connection, chain: u8, undo: &[Undo]) -> Result<(), StoreError> {
    let mut insert = connection
        .prepare_cached("INSERT INTO undo(block, n, key, before) VALUES(?1, ?2, ?3, ?4)")?;
    let (mut block, mut n) = (None, 0i64);
    for record in undo {
        if block != Some(record.block) {
            (block, n) = (Some(record.block), 0);
        }
        insert.execute((
            rows::block_row(chain, record.block)?,
            n,
            encode_key(&record.key),
            record.before.as_ref().map(encode),
        ))?;
        n += 1;
    }
    Ok(())
}

/// The records of all blocks above `block`, newest first.
pub(super) fn above(
    connection: &Connection,
    chain: u8,
    block: u64,
) -> Result<Vec<Undo>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT block, key, before FROM undo WHERE block > ?1 AND block <= ?2
         ORDER BY block DESC, n DESC",
    )?;
    let bounds = (rows::block_end(chain, block), rows::block_end(chain, u64::MAX));
    let mut found = select.query(bounds)?;
    let mut undo = Vec::new();
    while let Some(row) = found.next()? {
        undo.push(Undo {
            block: rows::unpack(row.get(0)?).block,
            key: decode_key(row.get_ref(1)?.as_blob().map_err(corrupt)?)?,
            before: row.get_ref(2)?.as_blob_or_null().map_err(corrupt)?.map(decode).transpose()?,
        });
    }
    Ok(undo)
}

/// Drops the records of blocks above `above` and up to `through`.
pub(super) fn prune(
    connection: &Connection,
    chain: u8,
    above: Option<u64>,
    through: u64,
) -> Result<(), StoreError> {
    let low = match above {
        Some(block) => rows::block_end(chain, block),
        None => rows::block_row(chain, 0)? - 1,
    };
    connection
        .prepare_cached("DELETE FROM undo WHERE block > ?1 AND block <= ?2")?
        .execute((low, rows::block_end(chain, through)))?;
    Ok(())
}
