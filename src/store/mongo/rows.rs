//! How the program's values look in documents: identifiers, hexadecimal text, amounts that sort.
//!
//! Every conversion is checked; nothing here talks to a server.

use alloy_primitives::{Address, B256, U256};
use mongodb::bson::RawDocument;

use super::error::corrupt;
use crate::pipeline::error::StoreError;
use crate::types::asset::DocKey;
use crate::types::chain::ChainId;

/// 2^19 logs in a block, as in the embedded store: a position is `block << 19 | log index`.
const INDEX_BITS: u32 = 19;
const INDEX_MAX: u64 = (1 << INDEX_BITS) - 1;
/// Highest block number that fits a position.
pub(super) const BLOCK_MAX: u64 = (1 << 44) - 1;

/// A log's place in its chain as one number that sorts.
pub(super) fn position(block: u64, log_index: u32) -> Result<i64, StoreError> {
    if block > BLOCK_MAX || u64::from(log_index) > INDEX_MAX {
        return Err(corrupt(format_args!(
            "log {log_index} of block {block} is beyond what a position holds"
        )));
    }
    int(block << INDEX_BITS | u64::from(log_index))
}

/// The first position of a block; one beyond reach counts as beyond all.
pub(super) fn block_start(block: u64) -> i64 {
    if block > BLOCK_MAX { i64::MAX } else { position(block, 0).unwrap_or(i64::MAX) }
}

/// The last position of a block; one beyond reach counts as the last one.
pub(super) fn block_end(block: u64) -> i64 {
    block_start(block.min(BLOCK_MAX)) | ((1 << INDEX_BITS) - 1)
}

/// Block and log index of a position.
pub(super) fn place(position: i64) -> (u64, u32) {
    let position = u64::try_from(position).unwrap_or(0);
    (position >> INDEX_BITS, u32::try_from(position & INDEX_MAX).unwrap_or(0))
}

/// Lower-case text of an address.
pub(super) fn hex_address(address: &Address) -> String {
    hex(&address[..])
}

/// Lower-case text of bytes, with `0x`.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + bytes.len() * 2);
    text.push_str("0x");
    text.push_str(&faster_hex::hex_string(bytes));
    text
}

/// An address out of its text.
pub(super) fn address(text: &str) -> Result<Address, StoreError> {
    text.parse().map_err(|_| corrupt(format_args!("{text:?} where an address should be")))
}

/// A hash out of its text.
pub(super) fn hash(text: &str) -> Result<B256, StoreError> {
    text.parse().map_err(|_| corrupt(format_args!("{text:?} where a hash should be")))
}

/// 78 decimal digits: what the largest amount needs, so that text sorts like the number.
pub(super) fn amount(value: &U256) -> String {
    let digits = value.to_string();
    let mut text = "0".repeat(78_usize.saturating_sub(digits.len()));
    text.push_str(&digits);
    text
}

/// An amount back.
pub(super) fn parse_amount(text: &str) -> Result<U256, StoreError> {
    U256::from_str_radix(text, 10)
        .map_err(|_| corrupt(format_args!("{text:?} where an amount should be")))
}

/// A count, block number or time as a document keeps it.
pub(super) fn int(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| corrupt(format_args!("{value} does not fit 63 bits")))
}

/// A count, block number or time back.
pub(super) fn uint(value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| corrupt(format_args!("{value} where none below zero can be")))
}

/// A whole number of a document that a server may have made narrower.
pub(super) fn get_int(document: &RawDocument, key: &str) -> Result<Option<i64>, StoreError> {
    use mongodb::bson::RawBsonRef::{Double, Int32, Int64, Null};
    match document.get(key).map_err(corrupt)? {
        Some(Int64(value)) => Ok(Some(value)),
        Some(Int32(value)) => Ok(Some(value.into())),
        None | Some(Null) => Ok(None),
        Some(Double(value)) => Err(corrupt(format_args!("{key}: {value} is no whole number"))),
        Some(other) => Err(corrupt(format_args!("{key}: {other:?} is no number"))),
    }
}

/// A count that must be there.
pub(super) fn need_uint(document: &RawDocument, key: &str) -> Result<u64, StoreError> {
    uint(get_int(document, key)?.ok_or_else(|| corrupt(format_args!("no {key}")))?)
}

/// A text that may be absent or null.
pub(super) fn get_text<'a>(
    document: &'a RawDocument,
    key: &str,
) -> Result<Option<&'a str>, StoreError> {
    use mongodb::bson::RawBsonRef::{Null, String};
    match document.get(key).map_err(corrupt)? {
        Some(String(text)) => Ok(Some(text)),
        None | Some(Null) => Ok(None),
        Some(other) => Err(corrupt(format_args!("{key}: {other:?} is no text"))),
    }
}

/// A text that must be there.
pub(super) fn need_text<'a>(document: &'a RawDocument, key: &str) -> Result<&'a str, StoreError> {
    get_text(document, key)?.ok_or_else(|| corrupt(format_args!("no {key}")))
}

/// Bytes that must be there.
pub(super) fn need_bytes<'a>(document: &'a RawDocument, key: &str) -> Result<&'a [u8], StoreError> {
    Ok(document.get_binary(key).map_err(corrupt)?.bytes)
}

/// The `_id` of a document that a [`DocKey`] names.
pub(super) fn doc_id(chain: ChainId, key: &DocKey) -> String {
    let chain = chain.0;
    match key {
        DocKey::Token(token) => format!("{chain}:{token:x}"),
        DocKey::Holding { token, holder } => format!("{chain}:{token:x}:{holder:x}"),
        DocKey::Identity { registry, wallet } => format!("{chain}:{registry:x}:{wallet:x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_amounts_sort_like_what_they_stand_for() {
        let places = [(0, 0), (0, 524_287), (1, 0), (BLOCK_MAX, 524_287)];
        let rows: Vec<i64> = places.iter().map(|&(b, l)| position(b, l).expect("fits")).collect();
        assert!(rows.is_sorted(), "{rows:?}");
        for (row, expected) in rows.iter().zip(places) {
            assert_eq!(place(*row), expected);
        }
        assert!(position(BLOCK_MAX + 1, 0).is_err() && position(0, 524_288).is_err());
        let amounts = [U256::ZERO, U256::from(9), U256::from(10), U256::MAX];
        let texts: Vec<String> = amounts.iter().map(amount).collect();
        assert!(texts.is_sorted() && texts.iter().all(|text| text.len() == 78), "{texts:?}");
        for (text, value) in texts.iter().zip(amounts) {
            assert_eq!(parse_amount(text).expect("own text"), value);
        }
    }
}
