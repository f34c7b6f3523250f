//! `eth_getLogs` JSON → [`LogBuf`], without building a tree.
//!
//! The first log is read by a hand-written scanner, which takes any key order, whitespace and unknown
//! keys; the others by the `Layout` learned from it, and by the scanner where they differ. Whatever
//! looks unusual (escapes, doubled keys, odd text) goes to `serde_json`, which decides. All read hex
//! through the same strict functions, so they agree. Order and uniqueness of logs are checked by `chain`.

use std::borrow::Cow;

use alloy_primitives::{Address, B256};
use serde::Deserialize;

use super::cursor::{Cursor, Unusual};
use super::layout::{Field, Layout, Span};
use super::{WireError, hex};
use crate::types::log::{LogBuf, LogFields};

/// JSON bytes of one log, about: sizes the buffer before anything is read.
const LOG_JSON_BYTES: usize = 600;

/// Reads an array of logs.
pub fn parse(json: &[u8]) -> Result<LogBuf, WireError> {
    let mut out = LogBuf::with_capacity(json.len() / LOG_JSON_BYTES + 1);
    parse_into(json, &mut out)?;
    Ok(out)
}

/// Reads an array of logs and appends them.
pub fn parse_into(json: &[u8], out: &mut LogBuf) -> Result<(), WireError> {
    let mut text = Cursor::new(json);
    let mut fresh = LogBuf::with_capacity(json.len() / LOG_JSON_BYTES + 1);
    match LogReader::default().array(&mut text, &mut fresh).and_then(|()| text.end()) {
        Ok(()) if out.is_empty() => {
            *out = fresh;
            Ok(())
        }
        Ok(()) => append(out, &fresh),
        Err(Unusual) => append(out, &parse_with_serde(json)?),
    }
}

/// Reads one log object, as a `logs` subscription sends it.
pub fn parse_one(json: &[u8]) -> Result<LogBuf, WireError> {
    let mut array = Vec::with_capacity(json.len() + 2);
    array.push(b'[');
    array.extend_from_slice(json);
    array.push(b']');
    parse(&array)
}

fn append(out: &mut LogBuf, more: &LogBuf) -> Result<(), WireError> {
    for log in more.iter() {
        out.push_view(log)?;
    }
    Ok(())
}

/// Reads arrays of logs one after the other in one text, and keeps what it learned between them.
#[derive(Debug, Default)]
pub(crate) struct LogReader<'a> {
    layout: Option<Layout<'a>>,
    /// Where the fields of the log at hand lie.
    spans: Vec<Span>,
}

/// One bit per field, to notice doubled and missing keys.
mod field {
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const TOPICS: u16 = 1 << 1;
    pub(super) const DATA: u16 = 1 << 2;
    pub(super) const BLOCK_NUMBER: u16 = 1 << 3;
    pub(super) const BLOCK_HASH: u16 = 1 << 4;
    pub(super) const TX_HASH: u16 = 1 << 5;
    pub(super) const TX_INDEX: u16 = 1 << 6;
    pub(super) const LOG_INDEX: u16 = 1 << 7;
    pub(super) const TIMESTAMP: u16 = 1 << 8;
    pub(super) const REMOVED: u16 = 1 << 9;
    /// Everything but the time and the removed mark, which not every node sends.
    pub(super) const REQUIRED: u16 = (1 << 8) - 1;
}

impl<'a> LogReader<'a> {
    /// Reads the array at the cursor.
    pub(crate) fn array(&mut self, text: &mut Cursor<'a>, out: &mut LogBuf) -> Result<(), Unusual> {
        let mut more = text.open(b'[', b']')?;
        while more {
            text.skip_space();
            let known = match &self.layout {
                Some(layout) => layout.read(text.json(), text.at(), out).map_err(|_| Unusual)?,
                None => None,
            };
            match known {
                Some(end) => text.jump(end),
                None => {
                    // A log that differs is as good a teacher as the first one.
                    let from = text.at();
                    let removed = self.log(text, out)?;
                    self.layout = Layout::learn(text.json(), from..text.at(), &self.spans, removed);
                }
            }
            more = text.more(b']')?;
        }
        Ok(())
    }

    fn log(&mut self, text: &mut Cursor<'a>, out: &mut LogBuf) -> Result<bool, Unusual> {
        let mut fields = LogFields::default();
        let mut data: &[u8] = &[];
        let mut seen = 0u16;
        self.spans.clear();
        text.expect(b'{')?;
        loop {
            let key = text.key()?;
            let bit = self.value(text, key, &mut fields, &mut data)?;
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
        push(out, &fields, data).map_err(|_| Unusual)?;
        Ok(fields.removed)
    }

    /// Reads the value of `key` and says which field it was, zero for none of ours.
    fn value(
        &mut self,
        text: &mut Cursor<'a>,
        key: &'a [u8],
        fields: &mut LogFields,
        data: &mut &'a [u8],
    ) -> Result<u16, Unusual> {
        text.skip_space();
        let from = text.at();
        let (bit, span) = match key {
            b"address" => {
                fields.address = Address::new(text.fixed()?);
                (field::ADDRESS, Some(Field::Address))
            }
            b"topics" => {
                topics(text, fields)?;
                (field::TOPICS, Some(Field::Topics))
            }
            b"data" => {
                *data = text.string()?;
                (field::DATA, data.starts_with(b"0x").then_some(Field::Data))
            }
            b"blockNumber" => {
                fields.block_number = text.quantity()?;
                (field::BLOCK_NUMBER, Some(Field::BlockNumber))
            }
            b"blockHash" => {
                fields.block_hash = B256::new(text.fixed()?);
                (field::BLOCK_HASH, Some(Field::BlockHash))
            }
            b"transactionHash" => {
                fields.tx_hash = B256::new(text.fixed()?);
                (field::TX_HASH, Some(Field::TxHash))
            }
            b"transactionIndex" => {
                fields.tx_index = text.quantity32()?;
                (field::TX_INDEX, Some(Field::TxIndex))
            }
            b"logIndex" => {
                fields.log_index = text.quantity32()?;
                (field::LOG_INDEX, Some(Field::LogIndex))
            }
            b"blockTimestamp" => {
                fields.timestamp = text.nullable(Cursor::quantity)?;
                (field::TIMESTAMP, fields.timestamp.map(|_| Field::Timestamp))
            }
            b"removed" => {
                fields.removed = text.boolean()?;
                (field::REMOVED, None)
            }
            _ => {
                text.value()?;
                (0, None)
            }
        };
        if let Some(field) = span {
            let inset = if field == Field::Topics { 1 } else { 3 };
            self.spans.push(Span { field, from: from + inset, to: text.at() - 1 });
        }
        Ok(bit)
    }
}

fn topics(text: &mut Cursor<'_>, fields: &mut LogFields) -> Result<(), Unusual> {
    let mut more = text.open(b'[', b']')?;
    while more {
        let topic = B256::new(text.fixed()?);
        let slot = fields.topics.get_mut(usize::from(fields.topic_count)).ok_or(Unusual)?;
        *slot = topic;
        fields.topic_count += 1;
        more = text.more(b']')?;
    }
    Ok(())
}

/// Appends a log whose payload is still `0x` text.
fn push(out: &mut LogBuf, fields: &LogFields, data: &[u8]) -> Result<(), WireError> {
    let bad = || WireError::field("data", data);
    let len = hex::bytes_len(data).ok_or_else(bad)?;
    // Checked before the push, which cannot be taken back.
    let digits = data.get(2..).unwrap_or_default();
    if !faster_hex::hex_check(digits) {
        return Err(bad());
    }
    out.push_with(fields, len, |room| {
        hex::decode(digits, room);
    })?;
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonLog<'a> {
    #[serde(borrow)]
    address: Cow<'a, str>,
    #[serde(borrow)]
    topics: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    data: Cow<'a, str>,
    #[serde(borrow)]
    block_number: Cow<'a, str>,
    #[serde(borrow)]
    block_hash: Cow<'a, str>,
    #[serde(borrow)]
    transaction_hash: Cow<'a, str>,
    #[serde(borrow)]
    transaction_index: Cow<'a, str>,
    #[serde(borrow)]
    log_index: Cow<'a, str>,
    #[serde(borrow, default)]
    block_timestamp: Option<Cow<'a, str>>,
    #[serde(default)]
    removed: bool,
}

/// The slow, certain way.
fn parse_with_serde(json: &[u8]) -> Result<LogBuf, WireError> {
    let logs: Vec<JsonLog<'_>> =
        serde_json::from_slice(json).map_err(|e| WireError::Json(e.to_string()))?;
    let mut out = LogBuf::with_capacity(logs.len());
    for log in &logs {
        push(&mut out, &log.fields()?, log.data.as_bytes())?;
    }
    Ok(out)
}

impl JsonLog<'_> {
    fn fields(&self) -> Result<LogFields, WireError> {
        if self.topics.len() > 4 {
            return Err(WireError::Topics(self.topics.len()));
        }
        let mut topics = [B256::ZERO; 4];
        for (slot, topic) in topics.iter_mut().zip(&self.topics) {
            *slot = word("topics", topic)?;
        }
        let address = hex::fixed(self.address.as_bytes())
            .ok_or_else(|| WireError::field("address", self.address.as_bytes()))?;
        Ok(LogFields {
            block_number: number("blockNumber", &self.block_number)?,
            block_hash: word("blockHash", &self.block_hash)?,
            timestamp: self
                .block_timestamp
                .as_deref()
                .map(|text| number("blockTimestamp", text))
                .transpose()?,
            tx_hash: word("transactionHash", &self.transaction_hash)?,
            tx_index: number32("transactionIndex", &self.transaction_index)?,
            log_index: number32("logIndex", &self.log_index)?,
            address: Address::new(address),
            topics,
            topic_count: u8::try_from(self.topics.len()).unwrap_or(4),
            removed: self.removed,
        })
    }
}

fn word(field: &'static str, text: &str) -> Result<B256, WireError> {
    let word = hex::fixed(text.as_bytes());
    word.map(B256::new).ok_or_else(|| WireError::field(field, text.as_bytes()))
}

fn number(field: &'static str, text: &str) -> Result<u64, WireError> {
    hex::quantity(text.as_bytes()).ok_or_else(|| WireError::field(field, text.as_bytes()))
}

fn number32(field: &'static str, text: &str) -> Result<u32, WireError> {
    hex::quantity32(text.as_bytes()).ok_or_else(|| WireError::field(field, text.as_bytes()))
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
