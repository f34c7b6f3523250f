//! Logs and receipts held against what a provider cannot make up: a header hashes to its name, its
//! bloom says which blocks hold no such log, its receipts root says which logs the others hold.
//!
//! Proves what a block holds. That the block is canonical is known for recent blocks only; an older
//! one is believed when its header links to its neighbours in the range.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{B256, Bloom};
use alloy_trie::EMPTY_ROOT_HASH;
use futures_util::{StreamExt, TryStreamExt};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::feed::window::Known;
use crate::rpc::error::{ErrorClass, RpcError};
use crate::rpc::eth::{LogFilter, Receipts, Which, header, receipts_root};
use crate::rpc::pool::{Answer, CallOptions, Pool};
use crate::types::chain::BlockId;
use crate::types::log::{LogBuf, LogView};

/// Headers kept; one is about 400 bytes.
const HEADERS_KEPT: usize = 8_192;
/// Logs kept, in bytes.
const LOGS_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Headers or receipts asked for at once.
const IN_FLIGHT_MAX: usize = 8;
/// Time for one header or the receipts of one block.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A header whose fields hash to its name.
#[derive(Debug)]
struct Proven {
    block: BlockId,
    parent: B256,
    bloom: Bloom,
    receipts_root: B256,
    transactions: Vec<B256>,
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<B256, Arc<LogBuf>> for ByBytes {
    fn weight(&self, _: &B256, logs: &Arc<LogBuf>) -> u64 {
        (logs.bytes() + 64) as u64
    }
}

/// Proofs, kept while there is room.
#[derive(Debug)]
pub(super) struct Proofs {
    pool: Arc<Pool>,
    headers: Cache<B256, Arc<Proven>>,
    logs: Cache<B256, Arc<LogBuf>, ByBytes>,
}

impl Proofs {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        let logs = Cache::with_weighter(1_024, LOGS_BYTES_MAX, ByBytes);
        Self { pool, headers: Cache::new(HEADERS_KEPT), logs }
    }

    /// True when these are all logs of the blocks that pass the filter, and no others.
    pub(super) async fn logs_hold(
        &self,
        filter: &LogFilter,
        blocks: Vec<Which>,
        answer: &LogBuf,
    ) -> Result<bool, RpcError> {
        let headers: Vec<_> = futures_util::stream::iter(blocks)
            .map(|which| self.header(which))
            .buffered(IN_FLIGHT_MAX)
            .try_collect()
            .await?;
        if headers.windows(2).any(|pair| matches!(pair, [a, b] if b.parent != a.block.hash)) {
            let text = "the blocks of the range are not of one chain";
            return Err(RpcError::of_pool(ErrorClass::NotYet, text));
        }
        let with_logs = headers.into_iter().filter(|header| filter.may_match(&header.bloom));
        let truth: Vec<_> = futures_util::stream::iter(with_logs)
            .map(|header| async move { Ok((header.block, self.logs(&header).await?)) })
            .buffered(IN_FLIGHT_MAX)
            .try_collect::<Vec<(BlockId, Arc<LogBuf>)>>()
            .await?;
        let mut said = answer.iter();
        for (block, logs) in &truth {
            for (log, index) in logs.iter().zip(0u32..) {
                if filter.matches(log.head)
                    && !said.next().is_some_and(|said| is_same(said, log, *block, index))
                {
                    return Ok(false);
                }
            }
        }
        Ok(said.next().is_none())
    }

    /// True when these are all logs of an announced block.
    pub(super) async fn block_holds(&self, known: &Known, logs: &LogBuf) -> Result<bool, RpcError> {
        self.logs_hold(&LogFilter::default(), vec![Which::Hash(known.block.hash)], logs).await
    }

    /// True when these are the receipts of the block.
    pub(super) async fn receipts_hold(
        &self,
        which: Which,
        answer: &Answer,
    ) -> Result<bool, RpcError> {
        let header = self.header(which).await?;
        let Ok(receipts) = Receipts::read_block(answer) else { return Ok(false) };
        Ok(receipts.check(header.block, &header.transactions).is_ok()
            && receipts_root(&receipts) == header.receipts_root)
    }

    async fn header(&self, which: Which) -> Result<Arc<Proven>, RpcError> {
        if let Which::Hash(hash) = which
            && let Some(kept) = self.headers.get(&hash)
        {
            return Ok(kept);
        }
        let min_head = if let Which::Number(number) = which { Some(number) } else { None };
        let mut options =
            CallOptions { timeout: TIMEOUT, min_head, hedge: true, ..CallOptions::default() };
        for _ in self.pool.endpoints() {
            let answer = self.pool.call_with(&which.call(), &options).await?;
            let fits = |found: &header::RpcHeader| {
                found.hash_is_right()
                    && match which {
                        Which::Hash(hash) => found.hash == hash,
                        Which::Number(number) => found.header.number == number,
                        Which::Tag(_) => true,
                    }
            };
            let Some(found) = header::read(&answer).ok().flatten().filter(fits) else {
                options.exclude.push(answer.provider);
                continue;
            };
            let proven = Arc::new(Proven {
                block: BlockId { number: found.header.number, hash: found.hash },
                parent: found.header.parent_hash,
                bloom: found.header.logs_bloom,
                receipts_root: found.header.receipts_root,
                transactions: found.transactions,
            });
            self.headers.insert(found.hash, proven.clone());
            return Ok(proven);
        }
        Err(unproven("no provider has the header"))
    }

    /// All logs of a block, as its receipts root proves them.
    async fn logs(&self, header: &Proven) -> Result<Arc<LogBuf>, RpcError> {
        if header.receipts_root == EMPTY_ROOT_HASH {
            return Ok(Arc::default());
        }
        if let Some(kept) = self.logs.get(&header.block.hash) {
            return Ok(kept);
        }
        let mut options = CallOptions { timeout: TIMEOUT, ..CallOptions::default() };
        let mut last = unproven("no provider has the receipts");
        for _ in self.pool.endpoints() {
            let found = self.pool.receipts(header.block, &header.transactions, &options).await;
            match found {
                Ok(receipts) if receipts_root(&receipts) == header.receipts_root => {
                    let logs = Arc::new(receipts.logs);
                    self.logs.insert(header.block.hash, logs.clone());
                    return Ok(logs);
                }
                Ok(receipts) => options.exclude.push(receipts.provider),
                Err(error) => {
                    options.exclude.push(error.endpoint.clone());
                    last = error;
                }
            }
        }
        Err(last)
    }
}

fn unproven(text: &str) -> RpcError {
    RpcError::of_pool(ErrorClass::NotYet, text)
}

/// The place of a log is its place among the block's logs: no root speaks of it otherwise.
fn is_same(said: LogView<'_>, truth: LogView<'_>, block: BlockId, index: u32) -> bool {
    said.head.block_number == block.number
        && said.head.block_hash == block.hash
        && said.head.log_index == index
        && said.head.tx_hash == truth.head.tx_hash
        && said.head.address == truth.head.address
        && said.topics() == truth.topics()
        && said.data == truth.data
        && !said.head.removed
}
