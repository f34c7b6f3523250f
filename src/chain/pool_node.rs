//! The real node: all providers of a chain through `rpc`, with ranges cut to what they allow.
//!
//! Retries, breakers and choice of provider lie below, in `rpc`; what is canonical is decided above.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alloy_primitives::B256;
use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt};

use super::error::ChainError;
use super::node::{Header, Node, Receipts};
use super::ranges::Ranges;
use crate::rpc::error::{ErrorClass, RpcError};
use crate::rpc::eth::receipts_root;
use crate::rpc::eth::{BlockTag, HEADERS_MAX, LogFilter, RpcHeader, Which};
use crate::rpc::pool::{CallOptions, Pool};
use crate::types::chain::{BlockId, BlockRange};
use crate::types::log::LogBuf;

/// Blocks whose receipts are fetched at the same time.
const RECEIPTS_IN_FLIGHT: usize = 8;

/// A chain's providers as one node.
#[derive(Debug)]
pub struct PoolNode {
    pool: Arc<Pool>,
    filters: Vec<LogFilter>,
    ranges: Ranges,
    options: CallOptions,
    /// No provider knows the `finalized` tag, or none serves receipts: asked once, then left alone.
    no_finality: AtomicBool,
    no_receipts: AtomicBool,
}

impl PoolNode {
    /// A node that fetches logs with `filters`; `max_block_range` is the operator's cap.
    pub fn new(pool: Arc<Pool>, filters: Vec<LogFilter>, max_block_range: Option<u64>) -> Self {
        Self {
            pool,
            filters,
            ranges: Ranges::new(max_block_range),
            options: CallOptions::default(),
            no_finality: AtomicBool::new(false),
            no_receipts: AtomicBool::new(false),
        }
    }

    async fn header(&self, which: Which) -> Result<Option<Header>, ChainError> {
        Ok(self.pool.header(which, &self.options).await?.map(header))
    }

    /// One filter's logs of a range, cut into what providers answer.
    async fn filtered(&self, filter: &LogFilter, range: BlockRange) -> Result<LogBuf, ChainError> {
        let mut logs = LogBuf::default();
        let mut todo = vec![range];
        while let Some(next) = todo.pop() {
            let (part, rest) = next.split_first(self.ranges.span());
            todo.extend(rest);
            match self.pool.logs(filter, part, &self.options).await {
                Ok(answer) => {
                    self.ranges.succeeded(part.len(), answer.bytes);
                    append(&mut logs, &answer.logs)?;
                }
                Err(error) if splittable(&error, part) => {
                    let span = self.refused(part, &error);
                    let (first, second) = part.split_first(span);
                    todo.extend(second);
                    todo.push(first);
                }
                Err(error) if error.class.is_too_much() => {
                    append(&mut logs, &self.by_receipts(filter, part.from).await?)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(logs)
    }

    fn refused(&self, part: BlockRange, error: &RpcError) -> u64 {
        match error.class {
            ErrorClass::RangeTooWide { cap, suggested } => {
                self.ranges.refused(part, cap, suggested)
            }
            _ => self.ranges.refused(part, None, None),
        }
    }

    /// A single block with more logs than a provider lists: its receipts hold them all.
    async fn by_receipts(&self, filter: &LogFilter, number: u64) -> Result<LogBuf, ChainError> {
        let header = self.header(Which::Number(number)).await?;
        let header = header.ok_or_else(|| ChainError::NotYet(number.to_string()))?;
        let block = BlockId::from(&header.block);
        let receipts = self.pool.receipts(block, &header.transactions, &self.options).await?;
        let mut logs = LogBuf::default();
        for log in receipts.logs.iter().filter(|log| filter.matches(log.head)) {
            logs.push_view(log)?;
        }
        Ok(logs)
    }

    /// Logs that match several filters come several times; each is kept once.
    fn merged(&self, mut parts: Vec<LogBuf>) -> Result<LogBuf, ChainError> {
        if parts.len() == 1 {
            return Ok(parts.pop().unwrap_or_default());
        }
        let mut all = LogBuf::default();
        for part in &parts {
            append(&mut all, part)?;
        }
        all.sort();
        let mut last = None;
        all.retain(|head| {
            let place = (head.block_number, head.block_hash, head.log_index);
            last.replace(place) != Some(place)
        });
        Ok(all)
    }
}

#[async_trait]
impl Node for PoolNode {
    async fn head(&self) -> Result<Header, ChainError> {
        let head = self.header(Which::Tag(BlockTag::Latest)).await?;
        head.ok_or_else(|| ChainError::NotYet("latest".to_owned()))
    }

    async fn finalized(&self) -> Result<Option<u64>, ChainError> {
        if self.no_finality.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match self.header(Which::Tag(BlockTag::Finalized)).await {
            Ok(header) => Ok(header.map(|header| header.block.number)),
            Err(ChainError::Rpc(error)) if says_no(error.class) => {
                log::info!("no provider knows finality; confirmations count instead: {error}");
                self.no_finality.store(true, Ordering::Relaxed);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn header_at(&self, number: u64) -> Result<Option<Header>, ChainError> {
        self.header(Which::Number(number)).await
    }

    async fn header_of(&self, hash: B256) -> Result<Option<Header>, ChainError> {
        self.header(Which::Hash(hash)).await
    }

    async fn headers(&self, range: BlockRange) -> Result<Vec<Header>, ChainError> {
        let mut headers = Vec::new();
        let mut rest = Some(range).filter(|range| !range.is_empty());
        while let Some(left) = rest {
            let (part, after) = left.split_first(HEADERS_MAX);
            rest = after;
            headers.extend(self.pool.headers(part, &self.options).await?.into_iter().map(header));
        }
        Ok(headers)
    }

    async fn logs(&self, range: BlockRange) -> Result<LogBuf, ChainError> {
        let mut parts = Vec::with_capacity(self.filters.len());
        for filter in &self.filters {
            parts.push(self.filtered(filter, range).await?);
        }
        self.merged(parts)
    }

    async fn logs_of(&self, hash: B256) -> Result<LogBuf, ChainError> {
        let mut parts = Vec::with_capacity(self.filters.len());
        for filter in &self.filters {
            parts.push(self.pool.logs_by_hash(filter, hash, &self.options).await?.logs);
        }
        self.merged(parts)
    }

    async fn receipts_of(&self, headers: &[&Header]) -> Result<Option<Vec<Receipts>>, ChainError> {
        if self.no_receipts.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let asked: Vec<(Arc<Pool>, BlockId, Vec<B256>)> = headers
            .iter()
            .map(|header| {
                let transactions = header.transactions.clone();
                (Arc::clone(&self.pool), BlockId::from(&header.block), transactions)
            })
            .collect();
        let ask = |(pool, block, transactions): (Arc<Pool>, BlockId, Vec<B256>)| async move {
            pool.receipts(block, &transactions, &CallOptions::default()).await
        };
        let all: Result<Vec<_>, RpcError> = futures_util::stream::iter(asked)
            .map(ask)
            .buffered(RECEIPTS_IN_FLIGHT)
            .try_collect()
            .await;
        match all {
            Ok(all) => {
                let proven = |receipts: crate::rpc::eth::Receipts| Receipts {
                    root: receipts_root(&receipts),
                    logs: receipts.logs,
                };
                Ok(Some(all.into_iter().map(proven).collect()))
            }
            Err(error) if says_no(error.class) => {
                log::warn!(
                    "no provider serves receipts; blocks with our logs stay unverified: {error}"
                );
                self.no_receipts.store(true, Ordering::Relaxed);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A refusal that will not change by asking again.
fn says_no(class: ErrorClass) -> bool {
    matches!(class, ErrorClass::Unsupported | ErrorClass::Invalid | ErrorClass::Execution)
}

fn splittable(error: &RpcError, part: BlockRange) -> bool {
    let too_slow = error.class == ErrorClass::Timeout;
    part.len() > 1 && (error.class.is_too_much() || too_slow)
}

fn append(all: &mut LogBuf, part: &LogBuf) -> Result<(), ChainError> {
    for log in part.iter() {
        all.push_view(log)?;
    }
    Ok(())
}

fn header(from: RpcHeader) -> Header {
    Header {
        block: from.block_ref(),
        bloom: from.header.logs_bloom,
        receipts_root: from.header.receipts_root,
        hash_proven: from.hash_is_right(),
        transactions: from.transactions,
    }
}
