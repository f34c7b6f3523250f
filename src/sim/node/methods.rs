//! The `eth_` methods: from parameters to an answer, as this provider sees the chain.
//!
//! Knows nothing of ids, batches or transports.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use serde_json::Value;

use super::calls::Outcome;
use super::lens::Lens;
use super::logs::{LogJob, invalid, server_error};
use super::{Provider, sent};
use crate::sim::faults::{Dice, Fault, Refusal};
use crate::sim::filter::{parse_hex, parse_quantity};
use crate::sim::render;
use crate::sim::seal;
use crate::sim::view::Block;

/// What a call comes to.
#[derive(Debug)]
pub(super) enum Answer {
    /// JSON of `result`.
    Json(Vec<u8>),
    /// Logs, still to be made.
    Logs(Box<LogJob>),
}

type Answered = Result<Answer, Refusal>;
/// A transaction's block and its index there.
type TxPlace = (Arc<Block>, usize);

/// One call under way.
struct Call<'a> {
    provider: &'a Arc<Provider>,
    dice: &'a Dice<'a>,
    method: &'a str,
    params: &'a [Value],
}

/// Answers a call.
pub(super) fn call(
    provider: &Arc<Provider>,
    dice: &Dice<'_>,
    method: &str,
    params: &[Value],
) -> Answered {
    let call = Call { provider, dice, method, params };
    if !dice.is_clean()
        && let Some(refusal) = call.refused()
    {
        return Err(refusal);
    }
    call.dispatch()
}

impl Call<'_> {
    /// Faults that come as JSON-RPC errors.
    fn refused(&self) -> Option<Refusal> {
        let hits = |fault| self.dice.hits(fault, self.method);
        if hits(Fault::RateLimitError) {
            let message = "Too many requests, reason: call rate limit exhausted, retry in 10s";
            return Some(Refusal { code: -32005, ..server_error(message) });
        }
        if hits(Fault::InternalErrorRpc) {
            return Some(Refusal { code: -32603, ..server_error("Internal error") });
        }
        hits(Fault::HeaderNotFound).then(|| server_error("header not found"))
    }

    fn dispatch(&self) -> Answered {
        match self.method {
            "eth_blockNumber" => self.quantity(self.lens().announced),
            "eth_chainId" => self.quantity(self.chain_id()),
            "net_version" => self.json(format!("\"{}\"", self.chain_id())),
            "eth_getBlockByNumber" => self.block(self.block_at()?, true),
            "eth_getBlockByHash" => self.block(self.block_hashed()?, true),
            "eth_getLogs" => {
                let lens = self.lens();
                let filter = self.param(0)?;
                let job = LogJob::new(self.provider, &lens, self.dice, filter)?;
                Ok(Answer::Logs(Box::new(job)))
            }
            "eth_getBlockReceipts" => self.block_receipts(),
            "eth_getTransactionReceipt" => self.receipt(),
            "eth_getTransactionByHash" => self.transaction(),
            "eth_getTransactionByBlockNumberAndIndex" => self.indexed_tx(self.block_at()?),
            "eth_getTransactionByBlockHashAndIndex" => self.indexed_tx(self.block_hashed()?),
            "eth_getBlockTransactionCountByNumber" => self.tx_count(self.block_at()?),
            "eth_getBlockTransactionCountByHash" => self.tx_count(self.block_hashed()?),
            "eth_getUncleCountByBlockNumber" => self.quantity(0),
            "eth_getUncleCountByBlockHash" => self.quantity(0),
            "eth_call" => self.eth_call(),
            "eth_estimateGas" => self.quantity(seal::SENT_GAS),
            "eth_getBalance" => self.json("\"0xde0b6b3a7640000\"".into()),
            "eth_getTransactionCount" => self.quantity(0),
            "eth_getCode" => self.code(),
            "eth_getStorageAt" => self.json(format!("\"{}\"", B256::ZERO)),
            "eth_gasPrice" => self.quantity(seal::BASE_FEE + seal::PRIORITY_FEE),
            "eth_maxPriorityFeePerGas" => self.quantity(seal::PRIORITY_FEE),
            "eth_blobBaseFee" => self.quantity(1),
            "eth_syncing" => self.json("false".into()),
            "eth_accounts" => self.json("[]".into()),
            "eth_sendRawTransaction" => self.send(),
            "web3_clientVersion" => self.json("\"rwahub-sim/1\"".into()),
            "net_listening" => self.json("true".into()),
            "net_peerCount" => self.quantity(25),
            _ => Err(Refusal {
                code: -32601,
                ..server_error(&format!(
                    "the method {} does not exist/is not available",
                    self.method
                ))
            }),
        }
    }

    fn lens(&self) -> Lens {
        Lens::new(self.provider, self.dice, self.method)
    }

    fn json(&self, text: String) -> Answered {
        Ok(Answer::Json(text.into_bytes()))
    }

    fn quantity(&self, value: u64) -> Answered {
        let mut out = Vec::with_capacity(24);
        render::write_quantity(value, &mut out);
        Ok(Answer::Json(out))
    }

    fn chain_id(&self) -> u64 {
        let wrong = !self.dice.is_clean() && self.dice.hits(Fault::WrongChainId, self.method);
        self.provider.world.recipe.chain_id + u64::from(wrong)
    }

    fn param(&self, at: usize) -> Result<&Value, Refusal> {
        self.params
            .get(at)
            .ok_or_else(|| invalid(format!("missing value for required argument {at}")))
    }

    fn block_at(&self) -> Result<Option<Arc<Block>>, Refusal> {
        let lens = self.lens();
        let number = lens.height(self.param(0)?).map_err(invalid)?;
        Ok(lens.block(self.provider, number))
    }

    fn block_hashed(&self) -> Result<Option<Arc<Block>>, Refusal> {
        let hash = parse_hex(self.param(0)?, "block hash").map_err(invalid)?;
        Ok(self.lens().block_by_hash(self.provider, &hash))
    }

    /// `found`, unless this request is struck by a false `null`.
    fn honest<T>(&self, found: Option<T>) -> Option<T> {
        found.filter(|_| self.dice.is_clean() || !self.dice.hits(Fault::NullResult, self.method))
    }

    fn block(&self, block: Option<Arc<Block>>, with_txs: bool) -> Answered {
        let full = with_txs && self.params.get(1).and_then(Value::as_bool).unwrap_or(false);
        self.written(block, 2_048, |block, out| {
            render::write_block(&self.provider.world.recipe, block, full, out);
        })
    }

    /// The block through `write`, or `null`.
    fn written(
        &self,
        block: Option<Arc<Block>>,
        room: usize,
        write: impl FnOnce(&Block, &mut Vec<u8>),
    ) -> Answered {
        let Some(block) = self.honest(block) else { return self.json("null".into()) };
        let mut out = Vec::with_capacity(room);
        write(&block, &mut out);
        Ok(Answer::Json(out))
    }

    fn block_receipts(&self) -> Answered {
        let named = self.lens().named(self.provider, Some(self.param(0)?)).map_err(invalid)?;
        if named.is_some() && !self.dice.is_clean() && self.dice.hits(Fault::EmptyLogs, self.method)
        {
            return self.json("[]".into());
        }
        let world = &self.provider.world;
        self.written(named, 16_384, |block, out| {
            out.push(b'[');
            let timestamps = world.settings.log_timestamps;
            render::write_receipts(&world.recipe, block, timestamps, None, out);
            out.push(b']');
        })
    }

    fn found_tx(&self) -> Result<(B256, Option<TxPlace>), Refusal> {
        let hash = parse_hex(self.param(0)?, "transaction hash").map_err(invalid)?;
        let lens = self.lens();
        let found = self.provider.world.find_tx(&lens.view, &hash);
        Ok((hash, found.filter(|(block, _)| block.number <= lens.head)))
    }

    fn receipt(&self) -> Answered {
        let (_, found) = self.found_tx()?;
        let (block, index) = found.unzip();
        let world = &self.provider.world;
        self.written(block, 2_048, |block, out| {
            let timestamps = world.settings.log_timestamps;
            render::write_receipts(&world.recipe, block, timestamps, index, out);
        })
    }

    fn transaction(&self) -> Answered {
        let (hash, found) = self.found_tx()?;
        if found.is_none()
            && let Some(tx) = self.provider.world.sent_tx(&hash)
        {
            let mut out = Vec::with_capacity(1_024);
            render::write_pending_tx(&tx, &mut out);
            return Ok(Answer::Json(out));
        }
        let (block, index) = found.unzip();
        self.tx_of(block, index.unwrap_or_default())
    }

    fn indexed_tx(&self, block: Option<Arc<Block>>) -> Answered {
        let index = parse_quantity(self.param(1)?);
        let index = index.ok_or_else(|| invalid("invalid argument 1: no index".into()))?;
        self.tx_of(block, usize::try_from(index).unwrap_or(usize::MAX))
    }

    fn tx_of(&self, block: Option<Arc<Block>>, index: usize) -> Answered {
        let recipe = &self.provider.world.recipe;
        self.written(block, 1_024, |block, out| {
            render::write_tx(recipe, block, &block.body(recipe), index, out);
        })
    }

    fn tx_count(&self, block: Option<Arc<Block>>) -> Answered {
        self.written(block, 16, |block, out| {
            render::write_quantity(block.tx_hashes.len() as u64, out);
        })
    }

    fn code(&self) -> Answered {
        let address: Address = parse_hex(self.param(0)?, "address").map_err(invalid)?;
        let book = &self.provider.world.recipe.book;
        let is_contract = book
            .find(&address)
            .is_some_and(|place| (book.token(0)..book.emitters()).contains(&place));
        self.json(if is_contract { "\"0x60806040\"".into() } else { "\"0x\"".into() })
    }

    fn eth_call(&self) -> Answered {
        let request = self.param(0)?;
        let lens = self.lens();
        let block = lens.named(self.provider, self.params.get(1)).map_err(invalid)?;
        let block = block.ok_or_else(|| server_error("header not found"))?;
        let Some(to) = request.get("to").filter(|to| !to.is_null()) else {
            return self.json("\"0x\"".into());
        };
        let to: Address = parse_hex(to, "address").map_err(invalid)?;
        let input = request.get("input").or_else(|| request.get("data"));
        let input: Bytes = match input {
            Some(input) => parse_hex(input, "call data").map_err(invalid)?,
            None => Bytes::new(),
        };
        let world = &self.provider.world;
        match self.provider.calls.call(world, &lens.view, &block, (to, &input)) {
            Outcome::Returned(bytes) => {
                let mut out = Vec::with_capacity(2 * bytes.len() + 4);
                render::write_bytes(&bytes, &mut out);
                Ok(Answer::Json(out))
            }
            Outcome::Reverted => Err(Refusal {
                status: 200,
                code: 3,
                message: "execution reverted".into(),
                data: Some("\"0x\"".into()),
            }),
        }
    }

    fn send(&self) -> Answered {
        let raw: Bytes = parse_hex(self.param(0)?, "transaction").map_err(invalid)?;
        let world = &self.provider.world;
        let tx = sent::decode(raw, world.recipe.chain_id).map_err(|text| server_error(&text))?;
        let (hash, new) = world.submit(tx).map_err(|error| server_error(&error.to_string()))?;
        if !new {
            return Err(server_error("already known"));
        }
        self.json(format!("\"{hash}\""))
    }
}
