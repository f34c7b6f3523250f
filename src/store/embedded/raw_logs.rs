//! Stored blocks and logs in their raw form, for whoever must see them again.

use alloy_primitives::{Address, B256};
use rusqlite::{Connection, OptionalExtension, Row};

use super::dictionary::Dictionary;
use super::error::corrupt;
use super::records::{self, COLUMNS, TABLES};
use super::rows::uint;
use super::{chains, intern, rows};
use crate::pipeline::error::StoreError;
use crate::pipeline::store::{BlockDigest, CommitBlock, RawPage};
use crate::types::chain::{BlockRef, ChainId, Proof};
use crate::types::log::LogBuf;

/// Most blocks of one page: without logs they are small, and a reader wants to hear how far it is.
const PAGE_BLOCKS_MAX: i64 = 16_384;

/// See `Store::raw`.
pub(super) fn page(
    connection: &Connection,
    dictionary: &Dictionary,
    chain: ChainId,
    from: u64,
    logs_max: usize,
) -> Result<RawPage, StoreError> {
    let mut page = RawPage::default();
    let Some(chain) = chains::find(connection, chain)? else { return Ok(page) };
    let ordinal = chain.ordinal;
    let high = rows::block_end(ordinal, u64::MAX);
    let mut parent = hash_below(connection, ordinal, from)?;
    let mut blocks = connection.prepare_cached(
        "SELECT row, hash, timestamp, proof, content, digest FROM block
         WHERE row >= ?1 AND row <= ?2 ORDER BY row LIMIT ?3",
    )?;
    let mut found = blocks.query((rows::block_row(ordinal, from)?, high, PAGE_BLOCKS_MAX + 1))?;
    while let Some(row) = found.next()? {
        let mut commit = block(row)?;
        commit.block.parent = parent
            .filter(|(number, _)| number.checked_add(1) == Some(commit.block.number))
            .map_or(B256::ZERO, |(_, hash)| hash);
        parent = Some((commit.block.number, commit.block.hash));
        page.blocks.push(commit);
    }
    if page.blocks.len() > usize::try_from(PAGE_BLOCKS_MAX).map_err(corrupt)? {
        page.next = page.blocks.pop().map(|commit| commit.block.number);
    }
    let (Some(first), Some(last)) = (page.blocks.first(), page.blocks.last()) else {
        return Ok(page);
    };
    let sql =
        format!("SELECT {COLUMNS} FROM {TABLES} WHERE l.row >= ?1 AND l.row <= ?2 ORDER BY l.row");
    let range = (
        rows::block_row(ordinal, first.block.number)?,
        rows::block_end(ordinal, last.block.number),
    );
    let mut logs = connection.prepare_cached(&sql)?;
    let mut found = logs.query(range)?;
    let mut last_block = None;
    while let Some(row) = found.next()? {
        let number = rows::unpack(row.get(0)?).block;
        if page.logs.len() >= logs_max && last_block.is_some_and(|last| last != number) {
            page.blocks.retain(|commit| commit.block.number < number);
            page.next = Some(number);
            break;
        }
        last_block = Some(number);
        for log in records::read(connection, dictionary, row)?.raw.iter() {
            page.logs.push_view(log).map_err(corrupt)?;
        }
    }
    Ok(page)
}

fn block(row: &Row<'_>) -> Result<CommitBlock, StoreError> {
    let blob = |index: usize| row.get_ref(index)?.as_blob_or_null().map_err(corrupt);
    let digest = match (blob(4)?, blob(5)?) {
        (Some(content), Some(state)) => {
            Some(BlockDigest { content: rows::hash(content)?, state: rows::hash(state)? })
        }
        _ => None,
    };
    Ok(CommitBlock {
        block: BlockRef {
            number: rows::unpack(row.get(0)?).block,
            hash: rows::hash(blob(1)?.unwrap_or_default())?,
            parent: B256::ZERO,
            timestamp: uint(row.get(2)?)?,
        },
        proof: Proof::from_u8(row.get(3)?),
        digest,
    })
}

/// The stored block right below `block`.
fn hash_below(
    connection: &Connection,
    chain: u8,
    block: u64,
) -> Result<Option<(u64, B256)>, StoreError> {
    let Some(below) = block.checked_sub(1) else { return Ok(None) };
    let found: Option<[u8; 32]> = connection
        .prepare_cached("SELECT hash FROM block WHERE row = ?1")?
        .query_row([rows::block_row(chain, below)?], |row| row.get(0))
        .optional()?;
    Ok(found.map(|hash| (below, B256::from(hash))))
}

/// The state digest right after `block`: that of the last block with logs up to it.
pub(super) fn digest_at(
    connection: &Connection,
    chain: u8,
    block: u64,
) -> Result<B256, StoreError> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT max(row) FROM log WHERE row >= ?1 AND row <= ?2")?
        .query_row((rows::block_row(chain, 0)?, rows::block_end(chain, block)), |row| row.get(0))?;
    let Some(last) = last.map(rows::unpack) else { return Ok(B256::ZERO) };
    let digest: Option<Option<[u8; 32]>> = connection
        .prepare_cached("SELECT digest FROM block WHERE row = ?1")?
        .query_row([rows::block_row(chain, last.block)?], |row| row.get(0))
        .optional()?;
    Ok(digest.flatten().map_or(B256::ZERO, B256::from))
}

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
            logs.push_view(log).map_err(corrupt)?;
        }
    }
    Ok(logs)
}
