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
use crate::rpc::error::RpcError;
use crate::rpc::pool::Answer;
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
    hash: Option<B256>,
    #[serde(borrow, default)]
    transactions: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Transaction {
    Hash(B256),
    Full { hash: B256 },
}

/// A block object into a header. Two passes, since serde's `flatten` would build a tree.
pub(crate) fn read(answer: &Answer) -> Result<Option<RpcHeader>, RpcError> {
    let json = &answer.result;
    if json.as_ref() == b"null" {
        return Ok(None);
    }
    let wrong = |error: serde_json::Error| {
        bad(&answer.provider, &WireError::Json(format!("block: {error}")))
    };
    let header: Header = serde_json::from_slice(json).map_err(wrong)?;
    let around: Around<'_> = serde_json::from_slice(json).map_err(wrong)?;
    let hash = around.hash.ok_or_else(|| bad(&answer.provider, &WireError::Missing("hash")))?;
    let transactions = match around.transactions {
        Some(list) => transaction_hashes(list.get()).map_err(wrong)?,
        None => Vec::new(),
    };
    let provider = answer.provider.clone();
    Ok(Some(RpcHeader { header, hash, transactions, raw: json.clone(), provider }))
}

fn transaction_hashes(list: &str) -> Result<Vec<B256>, serde_json::Error> {
    if let Ok(hashes) = serde_json::from_str::<Vec<B256>>(list) {
        return Ok(hashes);
    }
    let list: Vec<Transaction> = serde_json::from_str(list)?;
    Ok(list
        .into_iter()
        .map(|tx| match tx {
            Transaction::Hash(hash) | Transaction::Full { hash } => hash,
        })
        .collect())
}
