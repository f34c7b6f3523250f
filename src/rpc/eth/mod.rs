//! The calls that indexing needs, typed: heads, headers, logs, receipts, pinned `eth_call`.
//!
//! Gives what a node said in plain structs and proves nothing; `chain` recomputes hashes and roots.

pub mod filter;

pub mod header;

pub mod receipts;

mod receipts_root;

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes as Data};
use bytes::Bytes;
use futures_util::future::join_all;
use serde::de::DeserializeOwned;

pub use self::filter::LogFilter;
pub use self::header::{BlockTag, RpcHeader, Which};
pub use self::receipts::{Receipt, Receipts};
pub use self::receipts_root::receipts_root;
use super::error::{ErrorClass, RpcError};
use super::pool::{Answer, CallOptions, Pool, quantity};
use super::wire::{Call, WireError, logs};
use crate::types::chain::{BlockId, BlockRange, ChainId};
use crate::types::log::LogBuf;

/// Headers asked for at once; a header is about 2 KB.
pub const HEADERS_MAX: u64 = 1_000;

/// Logs and what they weighed on the wire.
#[derive(Debug, Clone)]
pub struct Logs {
    pub logs: LogBuf,
    /// Bytes of the answer's `result`, for adapting the size of the next range.
    pub bytes: usize,
    pub provider: Arc<str>,
}

impl Pool {
    /// The chain id as a provider says it.
    pub async fn eth_chain_id(&self) -> Result<ChainId, RpcError> {
        let answer = self.call("eth_chainId", "[]").await?;
        number(&answer).map(ChainId)
    }

    /// The head as the chosen provider says it.
    pub async fn block_number(&self) -> Result<u64, RpcError> {
        number(&self.call("eth_blockNumber", "[]").await?)
    }

    /// One header with its transaction hashes; `None` when no provider has such a block.
    pub async fn header(
        &self,
        which: Which,
        options: &CallOptions,
    ) -> Result<Option<RpcHeader>, RpcError> {
        let call = which.call();
        let found = self.call_checked(&call, options, |answer| {
            header::read(&answer)?.ok_or_else(|| {
                let text = "the block is not there";
                RpcError::new(ErrorClass::NotYet, &answer.provider, text)
            })
        });
        match found.await {
            Ok(header) => {
                if let (Which::Tag(BlockTag::Latest), Some(endpoint)) =
                    (which, self.endpoint(&header.provider))
                {
                    endpoint.health.note_head_block(header.header.number, header.hash);
                }
                Ok(Some(header))
            }
            // Nobody's words: every provider that was asked said null.
            Err(error) if error.class == ErrorClass::NotYet && error.object.is_none() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The newest block of each provider, asked at once; those that do not answer are left out.
    pub async fn latest_headers(&self, options: &CallOptions) -> Vec<RpcHeader> {
        let members = self.endpoints();
        let asked = members.iter().map(|endpoint| {
            let options = CallOptions { pin: Some(endpoint.name.clone()), ..options.clone() };
            async move { self.header(Which::Tag(BlockTag::Latest), &options).await }
        });
        join_all(asked).await.into_iter().filter_map(|header| header.ok().flatten()).collect()
    }

    /// The headers of a range, in order, from a provider that has the whole range; one that it
    /// fails to give comes from another.
    pub async fn headers(
        &self,
        range: BlockRange,
        options: &CallOptions,
    ) -> Result<Vec<RpcHeader>, RpcError> {
        if range.len() > HEADERS_MAX {
            let text = format!("{} headers at once, at most {HEADERS_MAX}", range.len());
            return Err(RpcError::of_pool(ErrorClass::ResponseTooLarge, text));
        }
        let calls: Vec<_> = (range.from..=range.to).map(|n| Which::Number(n).call()).collect();
        let options = covering(options, range.to);
        self.batch_checked(&calls, &options, |index, answer| {
            let number = range.from + index as u64;
            let header = header::read(&answer)?.ok_or_else(|| {
                self.lacks(&answer.provider, number);
                let text = format!("block {number} is not there");
                RpcError::new(ErrorClass::NotYet, &answer.provider, text)
            })?;
            if header.header.number != number {
                let text = format!("asked for block {number}, got {}", header.header.number);
                return Err(RpcError::new(ErrorClass::BadAnswer, &answer.provider, text));
            }
            Ok(header)
        })
        .await
    }

    /// The logs of a range, from a provider whose head covers it: only then is `[]` an answer.
    pub async fn logs(
        &self,
        filter: &LogFilter,
        range: BlockRange,
        options: &CallOptions,
    ) -> Result<Logs, RpcError> {
        let call = Call::new("eth_getLogs", filter.params_for_range(range));
        self.call_checked(&call, &covering(options, range.to), |answer| read_logs(&answer)).await
    }

    /// The logs of one block. An unknown block is an error, never an empty answer.
    pub async fn logs_by_hash(
        &self,
        filter: &LogFilter,
        hash: B256,
        options: &CallOptions,
    ) -> Result<Logs, RpcError> {
        let call = Call::new("eth_getLogs", filter.params_for_block(hash));
        let checked = self.call_checked(&call, options, |answer| {
            let logs = read_logs(&answer)?;
            let mut hashes = logs.logs.iter().map(|log| log.head.block_hash);
            let other = hashes.find(|other| *other != hash);
            drop(hashes);
            match other {
                Some(other) => {
                    let text = format!("asked for logs of block {hash}, got {other}");
                    Err(RpcError::new(ErrorClass::BadAnswer, &answer.provider, text))
                }
                None => Ok(logs),
            }
        });
        checked.await
    }

    /// Calls a contract at a block, by hash where the node can (EIP-1898), else by number.
    pub async fn eth_call(
        &self,
        to: Address,
        data: &Data,
        block: BlockId,
        options: &CallOptions,
    ) -> Result<Data, RpcError> {
        let target = format!(r#"{{"to":"{to:#x}","data":"{data}"}}"#);
        let by_hash = format!(r#"[{target},{{"blockHash":"{}"}}]"#, block.hash);
        match self.call_with(&Call::new("eth_call", by_hash), options).await {
            Err(error) if error.class == ErrorClass::Invalid => {
                let by_number = format!(r#"[{target},"{:#x}"]"#, block.number);
                let options = covering(options, block.number);
                read(&self.call_with(&Call::new("eth_call", by_number), &options).await?)
            }
            outcome => read(&outcome?),
        }
    }

    /// Calls a contract at the newest block: for facts that may be as of any time.
    pub async fn eth_call_latest(&self, to: Address, data: &Data) -> Result<Data, RpcError> {
        let params = format!(r#"[{{"to":"{to:#x}","data":"{data}"}},"latest"]"#);
        read(&self.call("eth_call", params).await?)
    }

    /// Heads of all providers, asked at once; unreachable ones are left out.
    pub async fn heads(&self) -> Vec<(Arc<str>, u64)> {
        let members = self.endpoints();
        let asked = members.iter().map(|endpoint| async move {
            let options = CallOptions::pinned(endpoint.name.clone());
            let call = Call::new("eth_blockNumber", "[]");
            let answer = self.call_with(&call, &options).await.ok()?;
            Some((endpoint.name.clone(), number(&answer).ok()?))
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// A provider turned out not to have a block that its head covers.
    fn lacks(&self, provider: &str, block: u64) {
        if let Some(endpoint) = self.endpoint(provider) {
            endpoint.health.note_lacks(block);
        }
    }
}

/// The options with the demand that the provider's head covers `block`.
fn covering(options: &CallOptions, block: u64) -> CallOptions {
    let min_head = Some(options.min_head.map_or(block, |head| head.max(block)));
    CallOptions { min_head, ..options.clone() }
}

fn read_logs(answer: &Answer) -> Result<Logs, RpcError> {
    // Some nodes say null for no logs of a known range.
    let json: &Bytes = &answer.result;
    let logs = if json.as_ref() == b"null" { Ok(LogBuf::default()) } else { logs::parse(json) };
    let logs = logs.map_err(|error| bad(&answer.provider, &error))?;
    Ok(Logs { logs, bytes: json.len(), provider: answer.provider.clone() })
}

fn number(answer: &Answer) -> Result<u64, RpcError> {
    quantity(&answer.result)
        .ok_or_else(|| bad(&answer.provider, &WireError::field("result", &answer.result)))
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, RpcError> {
    serde_json::from_slice(&answer.result)
        .map_err(|error| bad(&answer.provider, &WireError::Json(error.to_string())))
}

fn bad(provider: &Arc<str>, error: &WireError) -> RpcError {
    RpcError::new(ErrorClass::BadAnswer, provider, error.to_string())
}

#[cfg(test)]
mod tests;
