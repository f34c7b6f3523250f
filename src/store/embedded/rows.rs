//! Row ids: a log's place packed into one integer that sorts like the chain, and the other
//! conversions between the program's types and SQLite's.
//!
//! Every conversion is checked; nothing here reads or writes a database.

use alloy_primitives::{Address, B256, U256};

use super::error::corrupt;
use crate::pipeline::error::StoreError;

/// 2^19 logs in a block: a block of 196 M gas holds no more, since the cheapest log costs 375.
const INDEX_BITS: u32 = 19;
/// 2^36 blocks: 2,000 years at one block a second, 20 at 100 a second.
const BLOCK_BITS: u32 = 36;
/// The chain's ordinal in this store fills the rest of a positive 64-bit integer.
const CHAIN_SHIFT: u32 = INDEX_BITS + BLOCK_BITS;
const INDEX_MASK: i64 = (1 << INDEX_BITS) - 1;
const BLOCK_MASK: i64 = (1 << BLOCK_BITS) - 1;
/// Highest block number that fits.
pub(super) const BLOCK_MAX: u64 = (1 << BLOCK_BITS) - 1;
/// Address ids take the low 40 bits where they share an integer with a chain or a token.
const ADDRESS_BITS: u32 = 40;
pub(super) const ADDRESS_MASK: i64 = (1 << ADDRESS_BITS) - 1;
/// Tokens per store: what is left of a positive integer above an address id.
const ASSET_MAX: i64 = (1 << (63 - ADDRESS_BITS)) - 1;

/// A log's place, unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) chain: u8,
    pub(super) block: u64,
    pub(super) log_index: u32,
}

/// The row of a log.
pub(super) fn pack(chain: u8, block: u64, log_index: u32) -> Result<i64, StoreError> {
    if block > BLOCK_MAX || i64::from(log_index) > INDEX_MASK {
        return Err(corrupt(format_args!(
            "log {log_index} of block {block} is beyond what a row id holds"
        )));
    }
    let block = i64::try_from(block).map_err(corrupt)?;
    Ok(i64::from(chain) << CHAIN_SHIFT | block << INDEX_BITS | i64::from(log_index))
}

/// The row of a block: that of its first log.
pub(super) fn block_row(chain: u8, block: u64) -> Result<i64, StoreError> {
    pack(chain, block, 0)
}

/// The highest row of a block; a block beyond the reach of row ids counts as the last one.
pub(super) fn block_end(chain: u8, block: u64) -> i64 {
    let block = i64::try_from(block.min(BLOCK_MAX)).unwrap_or(BLOCK_MASK);
    i64::from(chain) << CHAIN_SHIFT | block << INDEX_BITS | INDEX_MASK
}

/// The place of a row.
pub(super) fn unpack(row: i64) -> Place {
    let row = row.max(0);
    Place {
        chain: u8::try_from(row >> CHAIN_SHIFT).unwrap_or(u8::MAX),
        block: u64::try_from(row >> INDEX_BITS & BLOCK_MASK).unwrap_or(0),
        log_index: u32::try_from(row & INDEX_MASK).unwrap_or(0),
    }
}

/// The row of a holding: token and holder in one integer.
pub(super) fn holding_row(asset: i64, holder: i64) -> Result<i64, StoreError> {
    if !(0..=ASSET_MAX).contains(&asset) || !(0..=ADDRESS_MASK).contains(&holder) {
        return Err(corrupt(format_args!(
            "holding {asset}/{holder} is beyond what a row id holds"
        )));
    }
    Ok(asset << ADDRESS_BITS | holder)
}

/// The holder's address id in a holding's row.
pub(super) fn holder_of(row: i64) -> i64 {
    row & ADDRESS_MASK
}

/// An address id tied to a chain, for keys of documents that are not tokens.
pub(super) fn chain_address(chain: u8, address: i64) -> Result<i64, StoreError> {
    if !(0..=ADDRESS_MASK).contains(&address) {
        return Err(corrupt(format_args!("address id {address} is beyond 40 bits")));
    }
    Ok(i64::from(chain) << ADDRESS_BITS | address)
}

/// A count, block number or time as SQLite keeps it.
pub(super) fn int(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| corrupt(format_args!("{value} does not fit 63 bits")))
}

/// A count, block number or time back.
pub(super) fn uint(value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| corrupt(format_args!("{value} where none below zero can be")))
}

/// The first eight bytes of a transaction hash, by which transactions are looked up.
pub(super) fn tx_head(hash: &B256) -> i64 {
    let mut head = [0; 8];
    head.copy_from_slice(&hash[..8]);
    i64::from_be_bytes(head)
}

/// A transaction hash put together again.
pub(super) fn tx_hash(head: i64, tail: &[u8]) -> Result<B256, StoreError> {
    let tail: [u8; 24] =
        tail.try_into().map_err(|_| corrupt("transaction hash of wrong length"))?;
    let mut hash = B256::ZERO;
    hash[..8].copy_from_slice(&head.to_be_bytes());
    hash[8..].copy_from_slice(&tail);
    Ok(hash)
}

/// A 32-byte hash out of a blob.
pub(super) fn hash(bytes: &[u8]) -> Result<B256, StoreError> {
    B256::try_from(bytes).map_err(|_| corrupt("hash that is not 32 bytes long"))
}

/// An address out of a blob.
pub(super) fn address(bytes: &[u8]) -> Result<Address, StoreError> {
    Address::try_from(bytes).map_err(|_| corrupt("address that is not 20 bytes long"))
}

/// An amount out of its 32 big-endian bytes.
pub(super) fn amount(bytes: &[u8]) -> Result<U256, StoreError> {
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| corrupt("amount that is not 32 bytes"))?;
    Ok(U256::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_sort_like_chain_then_block_then_log_and_come_back() {
        let places = [(0, 0, 0), (0, 0, 524_287), (0, 1, 0), (0, BLOCK_MAX, 524_287), (1, 0, 0)];
        let rows: Vec<i64> = places.iter().map(|&(c, b, l)| pack(c, b, l).expect("fits")).collect();
        assert!(rows.is_sorted(), "{rows:?}");
        for (row, (chain, block, log_index)) in rows.iter().zip(places) {
            assert_eq!(unpack(*row), Place { chain, block, log_index });
        }
        assert!(pack(255, BLOCK_MAX, 524_287).expect("fits") > 0);
        assert!(pack(0, BLOCK_MAX + 1, 0).is_err());
        assert!(pack(0, 0, 524_288).is_err());
        assert!(holding_row(ASSET_MAX, ADDRESS_MASK).expect("fits") > 0);
        assert!(holding_row(ASSET_MAX + 1, 0).is_err());
    }

    #[test]
    fn a_transaction_hash_survives_its_split() {
        let whole = B256::repeat_byte(0xfe);
        assert_eq!(tx_hash(tx_head(&whole), &whole[8..]).expect("24 bytes"), whole);
    }
}
