//! `eth_getBlockReceipts` JSON → receipts in one pass, their logs by the layout that the first one taught.
//!
//! Takes any key order, white space and unknown keys. What is unusual goes to `serde_json`, which decides.

use alloy_primitives::{B256, Bloom};

use super::receipts::Receipt;
use crate::rpc::wire::cursor::{Cursor, Unusual};
use crate::rpc::wire::logs::LogReader;
use crate::types::log::LogBuf;

/// JSON bytes of a log and its share of the receipt around it, about: sizes the buffer.
const LOG_JSON_BYTES: usize = 900;

/// One bit per field, to notice doubled and missing keys.
mod field {
    pub(super) const TX_HASH: u16 = 1;
    pub(super) const TX_INDEX: u16 = 1 << 1;
    pub(super) const BLOCK_HASH: u16 = 1 << 2;
    pub(super) const BLOCK_NUMBER: u16 = 1 << 3;
    pub(super) const GAS: u16 = 1 << 4;
    pub(super) const BLOOM: u16 = 1 << 5;
    pub(super) const LOGS: u16 = 1 << 6;
    pub(super) const TYPE: u16 = 1 << 7;
    pub(super) const STATUS: u16 = 1 << 8;
    pub(super) const ROOT: u16 = 1 << 9;
    pub(super) const NONCE: u16 = 1 << 10;
    pub(super) const VERSION: u16 = 1 << 11;
    /// What every receipt has.
    pub(super) const REQUIRED: u16 = (1 << 7) - 1;
}

/// Reads an array of receipts. An answer of `null` is unusual.
pub(super) fn scan(json: &[u8]) -> Result<(Vec<Receipt>, LogBuf), Unusual> {
    let mut text = Cursor::new(json);
    let mut reader = LogReader::default();
    let mut list = Vec::new();
    let mut logs = LogBuf::with_capacity(json.len() / LOG_JSON_BYTES + 1);
    let mut more = text.open(b'[', b']')?;
    while more {
        list.push(receipt(&mut text, &mut reader, &mut logs)?);
        more = text.more(b']')?;
    }
    text.end()?;
    Ok((list, logs))
}

fn receipt<'a>(
    text: &mut Cursor<'a>,
    reader: &mut LogReader<'a>,
    logs: &mut LogBuf,
) -> Result<Receipt, Unusual> {
    let mut receipt = Receipt { logs: logs.len()..logs.len(), ..Receipt::default() };
    let mut seen = 0u16;
    text.expect(b'{')?;
    loop {
        let key = text.key()?;
        let bit = value(text, key, &mut receipt, reader, logs)?;
        if seen & bit != 0 {
            return Err(Unusual);
        }
        seen |= bit;
        if !text.more(b'}')? {
            break;
        }
    }
    if seen & field::REQUIRED != field::REQUIRED {
        return Err(Unusual);
    }
    receipt.root = receipt.root.filter(|_| receipt.status.is_none());
    Ok(receipt)
}

/// Reads the value of `key` and says which field it was, zero for none of ours.
fn value<'a>(
    text: &mut Cursor<'a>,
    key: &[u8],
    receipt: &mut Receipt,
    reader: &mut LogReader<'a>,
    logs: &mut LogBuf,
) -> Result<u16, Unusual> {
    let bit = match key {
        b"transactionHash" => {
            receipt.tx_hash = B256::new(text.fixed()?);
            field::TX_HASH
        }
        b"transactionIndex" => {
            receipt.tx_index = text.quantity32()?;
            field::TX_INDEX
        }
        b"blockHash" => {
            receipt.block_hash = B256::new(text.fixed()?);
            field::BLOCK_HASH
        }
        b"blockNumber" => {
            receipt.block_number = text.quantity()?;
            field::BLOCK_NUMBER
        }
        b"cumulativeGasUsed" => {
            receipt.cumulative_gas_used = text.quantity()?;
            field::GAS
        }
        b"logsBloom" => {
            receipt.bloom = Bloom::new(text.fixed()?);
            field::BLOOM
        }
        b"logs" => {
            reader.array(text, logs)?;
            receipt.logs.end = logs.len();
            field::LOGS
        }
        b"type" => {
            let kind = text.nullable(Cursor::quantity)?.unwrap_or(0);
            receipt.tx_type = u8::try_from(kind).map_err(|_| Unusual)?;
            field::TYPE
        }
        b"status" => {
            receipt.status = text.nullable(Cursor::quantity)?.map(|status| status != 0);
            field::STATUS
        }
        b"root" => {
            receipt.root = text.nullable(Cursor::fixed)?.map(B256::new);
            field::ROOT
        }
        b"depositNonce" => {
            receipt.deposit_nonce = text.nullable(Cursor::quantity)?;
            field::NONCE
        }
        b"depositReceiptVersion" => {
            receipt.deposit_receipt_version = text.nullable(Cursor::quantity)?;
            field::VERSION
        }
        _ => {
            text.value()?;
            0
        }
    };
    Ok(bit)
}
