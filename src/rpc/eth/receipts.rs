//! All receipts of a block, with everything that goes into the receipts root.
//!
//! `eth_getBlockReceipts` where the provider has it, one `eth_getTransactionReceipt` per transaction
//! where not. The root itself is recomputed by `chain`.

use std::ops::Range;
use std::sync::Arc;

use alloy_primitives::{B256, Bloom, U64};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{bad, covering, receipts_scan};
use crate::rpc::error::{ErrorClass, RpcError};
use crate::rpc::pool::{Answer, CallOptions, Pool};
use crate::rpc::wire::cursor::Unusual;
use crate::rpc::wire::{Call, WireError, logs};
use crate::types::chain::BlockId;
use crate::types::log::LogBuf;

/// One receipt. Its logs lie in the [`Receipts`] that hold it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    pub tx_hash: B256,
    pub tx_index: u32,
    pub block_hash: B256,
    pub block_number: u64,
    /// EIP-2718 type, 0 for a legacy transaction.
    pub tx_type: u8,
    /// Success since Byzantium; `None` where `root` stands instead.
    pub status: Option<bool>,
    /// State root of a receipt before Byzantium.
    pub root: Option<B256>,
    pub cumulative_gas_used: u64,
    pub bloom: Bloom,
    /// Which logs of the buffer are this receipt's.
    pub logs: Range<usize>,
    /// Nonce of an OP-stack deposit, part of its receipt's encoding since Regolith.
    pub deposit_nonce: Option<u64>,
    /// Version of an OP-stack deposit receipt, part of its encoding since Canyon.
    pub deposit_receipt_version: Option<u64>,
}

/// The receipts of one block in order, their logs in one buffer.
#[derive(Debug, Clone)]
pub struct Receipts {
    pub list: Vec<Receipt>,
    pub logs: LogBuf,
    /// Bytes on the wire.
    pub bytes: usize,
    pub provider: Arc<str>,
}

impl Pool {
    /// All receipts of a block. `transactions` are its transaction hashes, needed only for providers
    /// without `eth_getBlockReceipts`. An answer with others, fewer or none is the provider's failure.
    pub async fn receipts(
        &self,
        block: BlockId,
        transactions: &[B256],
        options: &CallOptions,
    ) -> Result<Receipts, RpcError> {
        if transactions.is_empty() {
            return Ok(Receipts::none());
        }
        let call = whole(block);
        let asked = self.call_checked(&call, options, |answer| {
            let receipts = Receipts::read_block(&answer)?;
            receipts.check(block, transactions)?;
            Ok(receipts)
        });
        match asked.await {
            Err(error) if matches!(error.class, ErrorClass::Unsupported | ErrorClass::Invalid) => {
                let receipts = self.receipts_one_by_one(transactions, options).await?;
                receipts.check(block, transactions)?;
                Ok(receipts)
            }
            outcome => outcome,
        }
    }

    /// All receipts of several blocks, asked together. A block whose answer nobody could give fails
    /// alone.
    pub async fn receipts_of_many(
        &self,
        blocks: &[(BlockId, &[B256])],
        options: &CallOptions,
    ) -> Result<Vec<Result<Receipts, RpcError>>, RpcError> {
        let calls: Vec<_> = blocks.iter().map(|(block, _)| whole(*block)).collect();
        let newest = blocks.iter().map(|(block, _)| block.number).max().unwrap_or(0);
        let answers = self.batch_with(&calls, &covering(options, newest)).await?;
        let read = |((block, transactions), answer): (&(BlockId, &[B256]), Result<Answer, _>)| {
            let receipts = Receipts::read_block(&answer?)?;
            receipts.check(*block, transactions)?;
            Ok(receipts)
        };
        Ok(blocks.iter().zip(answers).map(read).collect())
    }

    /// All receipts of a block whose transactions are not known: whole only if they give the root.
    pub async fn receipts_unlisted(
        &self,
        block: BlockId,
        options: &CallOptions,
    ) -> Result<Receipts, RpcError> {
        let call = whole(block);
        let asked = self.call_checked(&call, options, |answer| {
            let receipts = Receipts::read_block(&answer)?;
            let hashes: Vec<B256> = receipts.list.iter().map(|receipt| receipt.tx_hash).collect();
            receipts.check(block, &hashes)?;
            Ok(receipts)
        });
        asked.await
    }

    async fn receipts_one_by_one(
        &self,
        transactions: &[B256],
        options: &CallOptions,
    ) -> Result<Receipts, RpcError> {
        let calls: Vec<_> = transactions
            .iter()
            .map(|hash| Call::new("eth_getTransactionReceipt", format!(r#"["{hash}"]"#)))
            .collect();
        let mut receipts = Receipts::none();
        let read = |_, answer: Answer| {
            Receipts::none().push(&answer.provider, &answer.result)?;
            Ok(answer)
        };
        for answer in self.batch_checked(&calls, options, read).await? {
            receipts.provider = answer.provider.clone();
            receipts.bytes += answer.result.len();
            receipts.push(&answer.provider, &answer.result)?;
        }
        Ok(receipts)
    }
}

fn whole(block: BlockId) -> Call {
    Call::new("eth_getBlockReceipts", format!(r#"["{}"]"#, block.hash))
}

impl Receipts {
    /// The receipts of a block without transactions.
    fn none() -> Self {
        let provider = Arc::from("pool");
        Self { list: Vec::new(), logs: LogBuf::default(), bytes: 0, provider }
    }

    pub(crate) fn read_block(answer: &Answer) -> Result<Self, RpcError> {
        match receipts_scan::scan(&answer.result) {
            Ok((list, logs)) => {
                let (bytes, provider) = (answer.result.len(), answer.provider.clone());
                Ok(Self { list, logs, bytes, provider })
            }
            Err(Unusual) => Self::read_with_serde(answer),
        }
    }

    /// The slow, certain way.
    fn read_with_serde(answer: &Answer) -> Result<Self, RpcError> {
        let provider = &answer.provider;
        let list: Option<Vec<&RawValue>> = serde_json::from_slice(&answer.result)
            .map_err(|error| bad(provider, &WireError::Json(format!("receipts: {error}"))))?;
        let Some(list) = list else {
            let text = "the block's receipts are not there";
            return Err(RpcError::new(ErrorClass::NotYet, provider, text));
        };
        let mut receipts =
            Self { bytes: answer.result.len(), provider: provider.clone(), ..Self::none() };
        for raw in list {
            receipts.push(provider, raw.get().as_bytes())?;
        }
        Ok(receipts)
    }

    fn push(&mut self, provider: &Arc<str>, json: &[u8]) -> Result<(), RpcError> {
        let wrong = |error: &dyn std::fmt::Display| {
            bad(provider, &WireError::Json(format!("receipt: {error}")))
        };
        let raw: Option<JsonReceipt<'_>> = serde_json::from_slice(json).map_err(|e| wrong(&e))?;
        let Some(raw) = raw else {
            let text = "a transaction's receipt is not there";
            return Err(RpcError::new(ErrorClass::NotYet, provider, text));
        };
        let from = self.logs.len();
        logs::parse_into(raw.logs.get().as_bytes(), &mut self.logs).map_err(|e| wrong(&e))?;
        self.list.push(Receipt {
            tx_hash: raw.transaction_hash,
            tx_index: u32::try_from(raw.transaction_index.to::<u64>()).map_err(|e| wrong(&e))?,
            block_hash: raw.block_hash,
            block_number: raw.block_number.to(),
            tx_type: raw
                .tx_type
                .map_or(Ok(0), |t| u8::try_from(t.to::<u64>()))
                .map_err(|e| wrong(&e))?,
            status: raw.status.map(|status| !status.is_zero()),
            root: raw.root.filter(|_| raw.status.is_none()),
            cumulative_gas_used: raw.cumulative_gas_used.to(),
            bloom: raw.logs_bloom,
            logs: from..self.logs.len(),
            deposit_nonce: raw.deposit_nonce.map(|n| n.to()),
            deposit_receipt_version: raw.deposit_receipt_version.map(|n| n.to()),
        });
        Ok(())
    }

    /// One receipt per transaction, of this block, in order.
    pub(crate) fn check(&self, block: BlockId, transactions: &[B256]) -> Result<(), RpcError> {
        let same = self.list.len() == transactions.len()
            && self.list.iter().zip(transactions).zip(0u32..).all(|((receipt, hash), index)| {
                receipt.tx_hash == *hash
                    && receipt.tx_index == index
                    && receipt.block_hash == block.hash
            });
        if same {
            return Ok(());
        }
        let text = format!(
            "receipts of block {block}: {} for {} transactions, or of another block or order",
            self.list.len(),
            transactions.len()
        );
        Err(RpcError::new(ErrorClass::BadAnswer, &self.provider, text))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonReceipt<'a> {
    transaction_hash: B256,
    transaction_index: U64,
    block_hash: B256,
    block_number: U64,
    #[serde(rename = "type", default)]
    tx_type: Option<U64>,
    #[serde(default)]
    status: Option<U64>,
    #[serde(default)]
    root: Option<B256>,
    cumulative_gas_used: U64,
    logs_bloom: Bloom,
    #[serde(borrow)]
    logs: &'a RawValue,
    #[serde(default)]
    deposit_nonce: Option<U64>,
    #[serde(default)]
    deposit_receipt_version: Option<U64>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn receipt(index: u32, extra: &str, data: &str) -> String {
        let word = format!("0x{}", "ab".repeat(32));
        let log = format!(
            r#"{{"address":"0x{}","topics":["{word}"],"data":"{data}","blockHash":"{word}","blockNumber":"0x10","transactionHash":"{word}","transactionIndex":"{index:#x}","logIndex":"{index:#x}","removed":false}}"#,
            "cd".repeat(20)
        );
        format!(
            r#"{{{extra}"transactionHash":"{word}","transactionIndex":"{index:#x}","blockHash":"{word}","blockNumber":"0x10","cumulativeGasUsed":"0x5208","effectiveGasPrice":"0x1","logsBloom":"0x{}","logs":[{log},{log}],"contractAddress":null}}"#,
            "0f".repeat(256)
        )
    }

    fn agree(json: Vec<u8>) -> bool {
        let Ok((list, logs)) = receipts_scan::scan(&json) else { return false };
        let answer = Answer { result: json.into(), provider: Arc::from("p0") };
        let slow = Receipts::read_with_serde(&answer).expect("the scanner took it");
        assert_eq!((list, logs), (slow.list, slow.logs));
        true
    }

    #[test]
    fn the_scanner_reads_what_serde_reads() {
        let root = format!("\"root\":\"0x{}\",", "12".repeat(32));
        let extras = [
            "",
            "\"status\":\"0x0\",\"type\":\"0x2\",",
            "\"type\":\"0x7e\",\"status\":\"0x1\",\"depositNonce\":\"0x5\",\"depositReceiptVersion\":\"0x1\",",
            "\"status\":null,\"l1Fee\":{\"a\":[1.5]},",
            &root,
        ];
        for extra in extras {
            let json = format!("[{},{}]", receipt(0, extra, "0x"), receipt(1, extra, "0x01ff"));
            assert!(agree(json.into_bytes()), "{extra}");
        }
        assert!(agree(b"[]".to_vec()));
        assert!(!agree(b"null".to_vec()));
        let doubled = "\"transactionIndex\":\"0x0\",";
        assert!(!agree(format!("[{}]", receipt(0, doubled, "0x")).into_bytes()));
    }

    proptest! {
        #[test]
        fn a_changed_answer_never_divides_scanner_and_serde(at in 0usize..4000, byte in any::<u8>()) {
            let extra = "\"status\":\"0x1\",";
            let json = format!("[{},{}]", receipt(0, extra, "0x"), receipt(1, extra, "0x01"));
            let mut json = json.into_bytes();
            let at = at % json.len();
            json[at] = byte;
            agree(json);
        }
    }
}
