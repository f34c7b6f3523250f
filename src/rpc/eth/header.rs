//! A block header as a node sends it, complete enough to recompute its hash.
//!
//! The hash is what the node says; nobody may rely on it before it was recomputed.

use alloy_consensus::Header;
use alloy_primitives::B256;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;

use super::bad;
use super::header_scan::{self, Block, Transactions};
use crate::rpc::error::RpcError;
use crate::rpc::pool::Answer;
use crate::rpc::subscribe::HeadEvent;
use crate::rpc::wire::cursor::Unusual;
use crate::rpc::wire::{Call, WireError};
use crate::types::chain::BlockRef;

/// A block named by the node's own markers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockTag {
    Latest,
    Safe,
    Finalized,
    Earliest,
    Pending,
}

impl BlockTag {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Latest => "latest",
            Self::Safe => "safe",
            Self::Finalized => "finalized",
            Self::Earliest => "earliest",
            Self::Pending => "pending",
        }
    }
}

/// Which block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Tag(BlockTag),
    Number(u64),
    Hash(B256),
}

impl Which {
    /// The call that asks for this block with its transaction hashes.
    pub fn call(self) -> Call {
        match self {
            Self::Tag(tag) => {
                Call::new("eth_getBlockByNumber", format!(r#"["{}",false]"#, tag.as_str()))
            }
            Self::Number(n) => Call::new("eth_getBlockByNumber", format!(r#"["{n:#x}",false]"#)),
            Self::Hash(hash) => Call::new("eth_getBlockByHash", format!(r#"["{hash}",false]"#)),
        }
    }
}

/// A header with what the node says around it.
#[derive(Debug, Clone)]
pub struct RpcHeader {
    /// All fields that go into the hash: `header.hash_slow()` must equal `hash`.
    pub header: Header,
    /// The hash that the node advertises.
    pub hash: B256,
    /// Hashes of the block's transactions; empty when the header came without a body.
    pub transactions: Vec<B256>,
    /// The whole block object as the node wrote it.
    pub raw: Bytes,
    pub provider: Arc<str>,
}

impl RpcHeader {
    /// True when the fields hash to what the node says.
    pub fn hash_is_right(&self) -> bool {
        self.header.hash_slow() == self.hash
    }

    /// The block as a link of the chain.
    pub fn block_ref(&self) -> BlockRef {
        BlockRef {
            number: self.header.number,
            hash: self.hash,
            parent: self.header.parent_hash,
            timestamp: self.header.timestamp,
        }
    }
}

/// What a `newHeads` message or a block must at least say.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Link {
    #[serde(deserialize_with = "hex_number")]
    pub(crate) number: u64,
    pub(crate) hash: B256,
    pub(crate) parent_hash: B256,
    #[serde(deserialize_with = "hex_number")]
    pub(crate) timestamp: u64,
}

impl From<Link> for BlockRef {
    fn from(link: Link) -> Self {
        Self {
            number: link.number,
            hash: link.hash,
            parent: link.parent_hash,
            timestamp: link.timestamp,
        }
    }
}

fn hex_number<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    alloy_primitives::U64::deserialize(from).map(|n| n.to())
}

#[derive(Deserialize)]
struct Around<'a> {
    hash: B256,
    #[serde(borrow, default)]
    transactions: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Transaction {
    Hash(B256),
    Full { hash: B256 },
}

/// A block object into a header.
pub(crate) fn read(answer: &Answer) -> Result<Option<RpcHeader>, RpcError> {
    let json = &answer.result;
    if json.as_ref() == b"null" {
        return Ok(None);
    }
    let wrong = |error: serde_json::Error| {
        bad(&answer.provider, &WireError::Json(format!("block: {error}")))
    };
    let (header, hash, transactions) = match header_scan::scan(json) {
        Ok(Block { header, hash, transactions: Transactions::Hashes(hashes) }) => {
            (header, hash, hashes)
        }
        Ok(Block { header, hash, transactions: Transactions::Absent }) => {
            (header, hash, Vec::new())
        }
        Ok(Block { header, hash, transactions: Transactions::Whole(list) }) => {
            (header, hash, transaction_hashes(list).map_err(wrong)?)
        }
        Err(Unusual) => read_with_serde(json).map_err(wrong)?,
    };
    let provider = answer.provider.clone();
    Ok(Some(RpcHeader { header, hash, transactions, raw: json.clone(), provider }))
}

/// A pushed header, and the hashes of its transactions if it came with them. `None`: it is not
/// written in the way that is read without `serde_json`, and to be asked for.
pub fn pushed(event: &HeadEvent) -> Option<(RpcHeader, Option<Vec<B256>>)> {
    let block = header_scan::scan(&event.raw).ok()?;
    let transactions = match block.transactions {
        Transactions::Hashes(hashes) => Some(hashes),
        Transactions::Absent => None,
        Transactions::Whole(_) => return None,
    };
    let header = RpcHeader {
        header: block.header,
        hash: block.hash,
        transactions: Vec::new(),
        raw: event.raw.clone(),
        provider: event.provider.clone(),
    };
    Some((header, transactions))
}

/// The slow, certain way: two passes, since serde's `flatten` would build a tree.
fn read_with_serde(json: &[u8]) -> Result<(Header, B256, Vec<B256>), serde_json::Error> {
    let header: Header = serde_json::from_slice(json)?;
    let around: Around<'_> = serde_json::from_slice(json)?;
    let transactions = match around.transactions {
        Some(list) => transaction_hashes(list.get().as_bytes())?,
        None => Vec::new(),
    };
    Ok((header, around.hash, transactions))
}

fn transaction_hashes(list: &[u8]) -> Result<Vec<B256>, serde_json::Error> {
    if let Ok(hashes) = serde_json::from_slice::<Vec<B256>>(list) {
        return Ok(hashes);
    }
    let list: Vec<Transaction> = serde_json::from_slice(list)?;
    Ok(list
        .into_iter()
        .map(|tx| match tx {
            Transaction::Hash(hash) | Transaction::Full { hash } => hash,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A block object with the given optional members.
    fn block(extra: &str, transactions: &str) -> String {
        let word = format!("0x{}", "ab".repeat(32));
        let bloom = format!("0x{}", "0f".repeat(256));
        format!(
            r#"{{"hash":"{word}","parentHash":"{word}","sha3Uncles":"{word}","stateRoot":"{word}","transactionsRoot":"{word}","receiptsRoot":"{word}","mixHash":"{word}","number":"0x10","gasLimit":"0x1c9c380","gasUsed":"0x5208","timestamp":"0x64f0b1c7","miner":"0x{}","logsBloom":"{bloom}","difficulty":"0x0","extraData":"0xbeef","nonce":"0x0000000000000000","size":"0x220",{extra}"uncles":[],"transactions":{transactions}}}"#,
            "cd".repeat(20)
        )
    }

    fn agree(json: &[u8]) {
        let Ok(scanned) = header_scan::scan(json) else { return };
        let (header, hash, hashes) = read_with_serde(json).expect("the scanner took it");
        assert_eq!((scanned.header, scanned.hash), (header, hash));
        let scanned = match scanned.transactions {
            Transactions::Hashes(hashes) => hashes,
            Transactions::Whole(list) => transaction_hashes(list).expect("hashes"),
            Transactions::Absent => Vec::new(),
        };
        assert_eq!(scanned, hashes);
    }

    #[test]
    fn the_scanner_reads_what_serde_reads() {
        let word = format!("\"0x{}\"", "12".repeat(32));
        let whole = format!("[{{\"hash\":{word},\"to\":null}}]");
        let hashes = format!("[{word}, {word}]");
        for extra in ["", "\"baseFeePerGas\":\"0x7\",", "\"baseFeePerGas\":null,\"odd\":[1],"] {
            for transactions in ["[]", &hashes, &whole] {
                let json = block(extra, transactions);
                assert!(header_scan::scan(json.as_bytes()).is_ok(), "{json}");
                agree(json.as_bytes());
            }
        }
        let lacks_a_field = block("", "[]").replace("\"nonce\":\"0x0000000000000000\",", "");
        assert!(header_scan::scan(lacks_a_field.as_bytes()).is_err());
        let doubled = block("\"number\":\"0x11\",", "[]");
        assert!(header_scan::scan(doubled.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn a_changed_block_never_divides_scanner_and_serde(at in 0usize..1900, byte in any::<u8>()) {
            let mut json = block("\"withdrawalsRoot\":null,", "[]").into_bytes();
            let at = at % json.len();
            json[at] = byte;
            agree(&json);
        }
    }
}
