//! The port to an index that knows logs without asking a provider, and its logs as a node writes them.
//!
//! Whoever implements it answers only for what it holds completely; this room holds it against the chain
//! that it sees itself.

use alloy_primitives::{Address, B256};
use async_trait::async_trait;

use crate::types::chain::BlockRange;
use crate::types::log::{LogBuf, LogView};

/// A filter with every tag resolved.
#[derive(Debug, Clone)]
pub struct LogQuestion {
    pub range: BlockRange,
    /// Empty: any.
    pub addresses: Vec<Address>,
    /// Alternatives by position; empty: any.
    pub topics: [Vec<B256>; 4],
}

/// All logs that a question asks for.
#[derive(Debug, Clone)]
pub struct IndexedLogs {
    /// In the order of the chain.
    pub logs: LogBuf,
    /// Hash of the last block of the range, where the index keeps it.
    pub last_hash: Option<B256>,
    /// Everything up to here is proven complete.
    pub verified_to: Option<u64>,
}

/// An index of logs.
#[async_trait]
pub trait LogIndex: std::fmt::Debug + Send + Sync {
    /// The logs; nothing unless every log of the question is in the index.
    async fn logs(&self, question: LogQuestion) -> Option<IndexedLogs>;
}

/// A log in JSON without topics and data takes about this much.
const LOG_BYTES: usize = 560;

/// The array that a node would send.
pub(super) fn render(logs: &LogBuf) -> Vec<u8> {
    let mut out = Vec::with_capacity(logs.len() * LOG_BYTES + logs.bytes() * 2 + 2);
    out.push(b'[');
    for (at, log) in logs.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        one(log, &mut out);
    }
    out.push(b']');
    out
}

fn one(log: LogView<'_>, out: &mut Vec<u8>) {
    let head = log.head;
    field("{\"address\":", head.address.as_slice(), out);
    out.extend_from_slice(b",\"topics\":[");
    for (at, topic) in log.topics().iter().enumerate() {
        field(if at > 0 { "," } else { "" }, topic.as_slice(), out);
    }
    field("],\"data\":", log.data, out);
    field(",\"blockHash\":", head.block_hash.as_slice(), out);
    number(",\"blockNumber\":", head.block_number, out);
    if let Some(timestamp) = head.timestamp {
        number(",\"blockTimestamp\":", timestamp, out);
    }
    field(",\"transactionHash\":", head.tx_hash.as_slice(), out);
    number(",\"transactionIndex\":", head.tx_index.into(), out);
    number(",\"logIndex\":", head.log_index.into(), out);
    out.extend_from_slice(b",\"removed\":false}");
}

fn field(name: &str, bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\"0x");
    out.extend_from_slice(faster_hex::hex_string(bytes).as_bytes());
    out.push(b'"');
}

fn number(name: &str, value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{name}\"{value:#x}\"").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::wire::logs;
    use crate::types::log::LogFields;

    #[test]
    fn a_rendered_log_reads_back_as_itself() {
        let mut buffer = LogBuf::default();
        let fields = LogFields {
            block_number: 0x1f,
            block_hash: B256::repeat_byte(1),
            timestamp: Some(0x65),
            tx_hash: B256::repeat_byte(2),
            tx_index: 3,
            log_index: 0,
            address: Address::repeat_byte(0xab),
            topics: [B256::repeat_byte(4), B256::ZERO, B256::ZERO, B256::ZERO],
            topic_count: 2,
            removed: false,
        };
        buffer.push(&fields, &[0xde, 0xad]).expect("room");
        let none = LogFields { topic_count: 0, timestamp: None, log_index: 7, ..fields };
        buffer.push(&none, &[]).expect("room");
        let text = render(&buffer);
        let read = logs::parse(&text).expect("a node's logs");
        assert_eq!(read.len(), 2);
        for (read, made) in read.iter().zip(buffer.iter()) {
            assert_eq!((read.topics(), read.data), (made.topics(), made.data));
            assert_eq!(
                (read.head.block_number, read.head.log_index, read.head.timestamp),
                (made.head.block_number, made.head.log_index, made.head.timestamp)
            );
        }
        let json: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        assert_eq!(json[0]["transactionIndex"], "0x3");
        assert_eq!(json[1]["logIndex"], "0x7");
        assert_eq!(json[0]["address"], format!("0x{}", "ab".repeat(20)));
        assert_eq!(render(&LogBuf::default()), b"[]");
    }
}
