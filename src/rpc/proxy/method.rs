//! What a method's answer depends on, which decides whether it may be kept and under which name.
//!
//! A method that is not listed is sent on as it is and never kept.

/// What an answer depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// The head itself.
    Head,
    /// The chain alone, so that the configuration knows the answer.
    Network,
    /// One block named by its hash in the first param.
    BlockHash,
    /// One block named by number or tag in the first param. The same question by hash is `by_hash`;
    /// a method without one is asked by number.
    BlockNumber { by_hash: &'static str },
    /// The state after a block, named by the param at `at`, which may also be an EIP-1898 object.
    State { at: usize },
    /// A transaction by hash: depends on the block that it is in.
    Transaction,
    /// Logs of a range or a block.
    Logs,
    /// Anything else: `pending`, prices, the pool, filters, writes.
    Unknown,
}

impl Subject {
    /// False where a provider that is behind answers as well as any other.
    pub(super) fn is_of_head(self) -> bool {
        !matches!(self, Self::Unknown | Self::Network)
    }
}

/// What `method` depends on.
pub(super) fn subject(method: &str) -> Subject {
    match method {
        "eth_blockNumber" => Subject::Head,
        "net_version" => Subject::Network,
        "eth_getBlockByHash"
        | "eth_getBlockTransactionCountByHash"
        | "eth_getUncleCountByBlockHash"
        | "eth_getTransactionByBlockHashAndIndex"
        | "eth_getUncleByBlockHashAndIndex" => Subject::BlockHash,
        "eth_getBlockByNumber" => Subject::BlockNumber { by_hash: "eth_getBlockByHash" },
        "eth_getBlockTransactionCountByNumber" => {
            Subject::BlockNumber { by_hash: "eth_getBlockTransactionCountByHash" }
        }
        "eth_getUncleCountByBlockNumber" => {
            Subject::BlockNumber { by_hash: "eth_getUncleCountByBlockHash" }
        }
        "eth_getTransactionByBlockNumberAndIndex" => {
            Subject::BlockNumber { by_hash: "eth_getTransactionByBlockHashAndIndex" }
        }
        "eth_getUncleByBlockNumberAndIndex" => {
            Subject::BlockNumber { by_hash: "eth_getUncleByBlockHashAndIndex" }
        }
        "eth_getBlockReceipts" => Subject::BlockNumber { by_hash: "eth_getBlockReceipts" },
        "eth_call" | "eth_getBalance" | "eth_getCode" | "eth_getTransactionCount" => {
            Subject::State { at: 1 }
        }
        "eth_getStorageAt" | "eth_getProof" => Subject::State { at: 2 },
        "eth_getTransactionByHash" | "eth_getTransactionReceipt" => Subject::Transaction,
        "eth_getLogs" => Subject::Logs,
        _ => Subject::Unknown,
    }
}

/// The block param of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockParam {
    Latest,
    Earliest,
    Number(u64),
    Hash(alloy_primitives::B256),
    /// `pending`, `safe`, `finalized`, odd text: nothing that may be touched.
    Other,
}

/// Reads a raw JSON block param.
pub(super) fn block_param(raw: &str) -> BlockParam {
    let Some(text) = raw.strip_prefix('"').and_then(|t| t.strip_suffix('"')) else {
        return by_object(raw);
    };
    match text {
        "latest" => BlockParam::Latest,
        "earliest" => BlockParam::Earliest,
        _ if text.len() == 66 => match crate::rpc::wire::hex::fixed(text.as_bytes()) {
            Some(hash) => BlockParam::Hash(hash.into()),
            None => BlockParam::Other,
        },
        _ => crate::rpc::wire::hex::quantity(text.as_bytes())
            .map_or(BlockParam::Other, BlockParam::Number),
    }
}

/// An EIP-1898 object with nothing but a hash; `requireCanonical` changes the meaning and is left.
fn by_object(raw: &str) -> BlockParam {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct ByHash {
        block_hash: alloy_primitives::B256,
    }
    serde_json::from_str::<ByHash>(raw)
        .map_or(BlockParam::Other, |o| BlockParam::Hash(o.block_hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_certain_is_a_block() {
        assert_eq!(block_param("\"latest\""), BlockParam::Latest);
        assert_eq!(block_param("\"0x1f\""), BlockParam::Number(31));
        let hash = alloy_primitives::B256::repeat_byte(7);
        assert_eq!(block_param(&format!("\"{hash}\"")), BlockParam::Hash(hash));
        assert_eq!(block_param(&format!(r#"{{"blockHash":"{hash}"}}"#)), BlockParam::Hash(hash));
        for other in ["\"pending\"", "\"safe\"", "31", "null", "{}", "\"0xzz\"", "\"Latest\""] {
            assert_eq!(block_param(other), BlockParam::Other, "{other}");
        }
        let canonical = format!(r#"{{"blockHash":"{hash}","requireCanonical":true}}"#);
        assert_eq!(block_param(&canonical), BlockParam::Other);
    }
}
