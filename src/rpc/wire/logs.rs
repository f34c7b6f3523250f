//! `eth_getLogs` JSON → [`LogBuf`], without building a tree.
//!
//! The first log is read by a hand-written scanner, which takes any key order, whitespace and unknown
//! keys; the others by the `Layout` learned from it, and by the scanner where they differ. Whatever
//! looks unusual (escapes, doubled keys, odd text) goes to `serde_json`, which decides. All read hex
//! through the same strict functions, so they agree. Order and uniqueness of logs are checked by `chain`.

use std::borrow::Cow;

use alloy_primitives::{Address, B256};
use memchr::memchr2;
use serde::Deserialize;
use serde::de::IgnoredAny;

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
    let mut scanner = Scanner::new(json);
    let mut fresh = LogBuf::with_capacity(json.len() / LOG_JSON_BYTES + 1);
    match scanner.array(&mut fresh) {
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

/// The scanner met something that it leaves to `serde_json`.
#[derive(Debug)]
struct Unusual;

struct Scanner<'a> {
    json: &'a [u8],
    at: usize,
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

impl<'a> Scanner<'a> {
    fn new(json: &'a [u8]) -> Self {
        Self { json, at: 0, spans: Vec::with_capacity(10) }
    }

    fn array(&mut self, out: &mut LogBuf) -> Result<(), Unusual> {
        let mut layout: Option<Layout<'a>> = None;
        self.expect(b'[')?;
        if self.peek()? != b']' {
            loop {
                self.skip_space();
                let known = match &layout {
                    Some(layout) => layout.read(self.json, self.at, out).map_err(|_| Unusual)?,
                    None => None,
                };
                match known {
                    Some(end) => self.at = end,
                    None => {
                        // A log that differs is as good a teacher as the first one.
                        let from = self.at;
                        let removed = self.log(out)?;
                        layout = Layout::learn(self.json, from..self.at, &self.spans, removed);
                    }
                }
                match self.next()? {
                    b',' => {}
                    b']' => break,
                    _ => return Err(Unusual),
                }
            }
        } else {
            self.at += 1;
        }
        self.skip_space();
        if self.at == self.json.len() { Ok(()) } else { Err(Unusual) }
    }

    fn log(&mut self, out: &mut LogBuf) -> Result<bool, Unusual> {
        let mut fields = LogFields::default();
        let mut data: &[u8] = &[];
        let mut seen = 0u16;
        self.spans.clear();
        self.expect(b'{')?;
        loop {
            let key = self.string()?;
            self.expect(b':')?;
            let bit = self.value(key, &mut fields, &mut data)?;
            if seen & bit != 0 {
                return Err(Unusual);
            }
            seen |= bit;
            match self.next()? {
                b',' => {}
                b'}' => break,
                _ => return Err(Unusual),
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
        key: &'a [u8],
        fields: &mut LogFields,
        data: &mut &'a [u8],
    ) -> Result<u16, Unusual> {
        self.skip_space();
        let from = self.at;
        let (bit, span) = match key {
            b"address" => {
                fields.address = Address::new(self.fixed()?);
                (field::ADDRESS, Some(Field::Address))
            }
            b"topics" => {
                self.topics(fields)?;
                (field::TOPICS, Some(Field::Topics))
            }
            b"data" => {
                *data = self.string()?;
                (field::DATA, data.starts_with(b"0x").then_some(Field::Data))
            }
            b"blockNumber" => {
                fields.block_number = hex::quantity(self.string()?).ok_or(Unusual)?;
                (field::BLOCK_NUMBER, Some(Field::BlockNumber))
            }
            b"blockHash" => {
                fields.block_hash = B256::new(self.fixed()?);
                (field::BLOCK_HASH, Some(Field::BlockHash))
            }
            b"transactionHash" => {
                fields.tx_hash = B256::new(self.fixed()?);
                (field::TX_HASH, Some(Field::TxHash))
            }
            b"transactionIndex" => {
                fields.tx_index = self.quantity32()?;
                (field::TX_INDEX, Some(Field::TxIndex))
            }
            b"logIndex" => {
                fields.log_index = self.quantity32()?;
                (field::LOG_INDEX, Some(Field::LogIndex))
            }
            b"blockTimestamp" => {
                fields.timestamp = self.timestamp()?;
                (field::TIMESTAMP, fields.timestamp.map(|_| Field::Timestamp))
            }
            b"removed" => {
                fields.removed = self.boolean()?;
                (field::REMOVED, None)
            }
            _ => {
                self.unknown(key)?;
                (0, None)
            }
        };
        if let Some(field) = span {
            let inset = if field == Field::Topics { 1 } else { 3 };
            self.spans.push(Span { field, from: from + inset, to: self.at - 1 });
        }
        Ok(bit)
    }

    fn topics(&mut self, fields: &mut LogFields) -> Result<(), Unusual> {
        self.expect(b'[')?;
        if self.peek()? == b']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            let topic = B256::new(self.fixed()?);
            let slot = fields.topics.get_mut(usize::from(fields.topic_count)).ok_or(Unusual)?;
            *slot = topic;
            fields.topic_count += 1;
            match self.next()? {
                b',' => {}
                b']' => return Ok(()),
                _ => return Err(Unusual),
            }
        }
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Unusual> {
        hex::fixed(self.string()?).ok_or(Unusual)
    }

    fn quantity32(&mut self) -> Result<u32, Unusual> {
        hex::quantity32(self.string()?).ok_or(Unusual)
    }

    fn timestamp(&mut self) -> Result<Option<u64>, Unusual> {
        if self.literal(b"null") {
            return Ok(None);
        }
        hex::quantity(self.string()?).map(Some).ok_or(Unusual)
    }

    fn boolean(&mut self) -> Result<bool, Unusual> {
        if self.literal(b"false") {
            return Ok(false);
        }
        if self.literal(b"true") { Ok(true) } else { Err(Unusual) }
    }

    /// A value under a key that is none of ours, checked and skipped by `serde_json`.
    fn unknown(&mut self, key: &[u8]) -> Result<(), Unusual> {
        if !key.iter().all(|b| (0x20..0x7f).contains(b)) {
            return Err(Unusual);
        }
        let rest = self.json.get(self.at..).ok_or(Unusual)?;
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
        match values.next() {
            Some(Ok(_)) => {
                self.at += values.byte_offset();
                Ok(())
            }
            _ => Err(Unusual),
        }
    }

    /// The inside of a string without escapes.
    fn string(&mut self) -> Result<&'a [u8], Unusual> {
        self.expect(b'"')?;
        let rest = self.json.get(self.at..).ok_or(Unusual)?;
        let end = memchr2(b'"', b'\\', rest).ok_or(Unusual)?;
        if rest.get(end) != Some(&b'"') {
            return Err(Unusual);
        }
        self.at += end + 1;
        rest.get(..end).ok_or(Unusual)
    }

    fn literal(&mut self, word: &[u8]) -> bool {
        self.skip_space();
        let found = self.json.get(self.at..).is_some_and(|rest| rest.starts_with(word));
        if found {
            self.at += word.len();
        }
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), Unusual> {
        if self.next()? == byte { Ok(()) } else { Err(Unusual) }
    }

    fn next(&mut self) -> Result<u8, Unusual> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    fn peek(&mut self) -> Result<u8, Unusual> {
        self.skip_space();
        self.json.get(self.at).copied().ok_or(Unusual)
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.json.get(self.at) {
            self.at += 1;
        }
    }
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
