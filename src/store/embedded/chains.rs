//! One row per chain: where its index stands, how far it is proven, how much it holds.
//!
//! The writer keeps these rows in memory and replaces one only after its transaction has committed.

use alloy_primitives::B256;
use rusqlite::{Connection, Row};

use super::error::corrupt;
use super::rows::{self, int, uint};
use crate::pipeline::error::StoreError;
use crate::pipeline::store::Rebuild;
use crate::types::chain::{BlockId, ChainId};

/// Most chains in one store: the ordinal has eight bits of a row id.
const CHAINS_MAX: usize = 256;

/// A chain's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChainRow {
    pub(super) ordinal: u8,
    pub(super) id: ChainId,
    pub(super) name: String,
    pub(super) cursor: Option<Cursor>,
    pub(super) finalized: Option<u64>,
    pub(super) first_block: Option<u64>,
    pub(super) verified_through: Option<u64>,
    pub(super) blocks: u64,
    pub(super) logs: u64,
    pub(super) events: u64,
    pub(super) undecoded: u64,
    /// The state digest at the cursor; zero before the first log.
    pub(super) digest: B256,
    pub(super) rebuild: Option<Rebuild>,
}

/// The last indexed block. The hash is unknown after a rewind to a block that was never fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) number: u64,
    pub(super) hash: Option<B256>,
}

impl ChainRow {
    /// The cursor as the outside knows it; an unknown hash reads as zero.
    pub(super) fn cursor_id(&self) -> Option<BlockId> {
        self.cursor.map(|cursor| BlockId {
            number: cursor.number,
            hash: cursor.hash.unwrap_or(B256::ZERO),
        })
    }
}

const COLUMNS: &str = "ordinal, id, name, cursor_number, cursor_hash, finalized, first_block, \
                       verified_through, blocks, logs, events, undecoded, digest, rebuild";
/// Stands for [`Rebuild::Due`]; block numbers are not below zero.
const REBUILD_DUE: i64 = -1;

/// Every chain of the store, in the order in which they were first opened.
pub(super) fn all(connection: &Connection) -> Result<Vec<ChainRow>, StoreError> {
    let mut select =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM chain ORDER BY ordinal"))?;
    let mut found = select.query([])?;
    let mut chains = Vec::new();
    while let Some(row) = found.next()? {
        chains.push(read(row)?);
    }
    Ok(chains)
}

/// One chain, if the store has it.
pub(super) fn find(
    connection: &Connection,
    chain: ChainId,
) -> Result<Option<ChainRow>, StoreError> {
    let Ok(id) = i64::try_from(chain.0) else { return Ok(None) };
    let mut select =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM chain WHERE id = ?1"))?;
    let mut found = select.query([id])?;
    found.next()?.map(read).transpose()
}

fn read(row: &Row<'_>) -> Result<ChainRow, StoreError> {
    let optional = |index: usize| -> Result<Option<u64>, StoreError> {
        row.get::<_, Option<i64>>(index)?.map(uint).transpose()
    };
    let count = |index: usize| -> Result<u64, StoreError> { uint(row.get(index)?) };
    let hash = match row.get_ref(4)?.as_blob_or_null().map_err(corrupt)? {
        Some(bytes) => Some(rows::hash(bytes)?),
        None => None,
    };
    Ok(ChainRow {
        ordinal: u8::try_from(row.get::<_, i64>(0)?).map_err(corrupt)?,
        id: ChainId(count(1)?),
        name: row.get(2)?,
        cursor: optional(3)?.map(|number| Cursor { number, hash }),
        finalized: optional(5)?,
        first_block: optional(6)?,
        verified_through: optional(7)?,
        blocks: count(8)?,
        logs: count(9)?,
        events: count(10)?,
        undecoded: count(11)?,
        digest: match row.get_ref(12)?.as_blob_or_null().map_err(corrupt)? {
            Some(bytes) => rows::hash(bytes)?,
            None => B256::ZERO,
        },
        rebuild: match row.get::<_, Option<i64>>(13)? {
            Some(REBUILD_DUE) => Some(Rebuild::Due),
            from => from.map(uint).transpose()?.map(Rebuild::From),
        },
    })
}

/// Adds a chain with the next free ordinal.
pub(super) fn add(
    connection: &Connection,
    chain: ChainId,
    name: &str,
    present: usize,
) -> Result<ChainRow, StoreError> {
    if present >= CHAINS_MAX {
        return Err(corrupt(format_args!("one store holds at most {CHAINS_MAX} chains")));
    }
    let ordinal = u8::try_from(present).map_err(corrupt)?;
    connection.execute(
        "INSERT INTO chain(ordinal, id, name) VALUES(?1, ?2, ?3)",
        (i64::from(ordinal), int(chain.0)?, name),
    )?;
    Ok(ChainRow {
        ordinal,
        id: chain,
        name: name.to_owned(),
        cursor: None,
        finalized: None,
        first_block: None,
        verified_through: None,
        blocks: 0,
        logs: 0,
        events: 0,
        undecoded: 0,
        digest: B256::ZERO,
        rebuild: None,
    })
}

/// Writes a chain's row back.
pub(super) fn save(connection: &Connection, chain: &ChainRow) -> Result<(), StoreError> {
    let optional = |value: Option<u64>| value.map(int).transpose();
    let rebuild = match chain.rebuild {
        Some(Rebuild::Due) => Some(REBUILD_DUE),
        Some(Rebuild::From(block)) => Some(int(block)?),
        None => None,
    };
    connection
        .prepare_cached(
            "UPDATE chain SET name = ?2, cursor_number = ?3, cursor_hash = ?4, finalized = ?5,
             first_block = ?6, verified_through = ?7, blocks = ?8, logs = ?9, events = ?10,
             undecoded = ?11, digest = ?12, rebuild = ?13 WHERE ordinal = ?1",
        )?
        .execute((
            i64::from(chain.ordinal),
            &chain.name,
            optional(chain.cursor.map(|cursor| cursor.number))?,
            chain.cursor.and_then(|cursor| cursor.hash).as_ref().map(|hash| &hash[..]),
            optional(chain.finalized)?,
            optional(chain.first_block)?,
            optional(chain.verified_through)?,
            int(chain.blocks)?,
            int(chain.logs)?,
            int(chain.events)?,
            int(chain.undecoded)?,
            &chain.digest[..],
            rebuild,
        ))?;
    Ok(())
}
