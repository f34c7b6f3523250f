//! The real node: all providers of a chain through `rpc`, with ranges cut to what they allow.
//!
//! Retries, breakers and choice of provider lie below, in `rpc`; what is canonical is decided above.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use alloy_primitives::B256;
use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt};
use reth_primitives_traits::SealedHeader;

use super::error::ChainError;
use super::node::{Header, Node, Receipts};
use super::ranges::Ranges;
use super::witness;
use crate::rpc::error::{ErrorClass, RpcError};
use crate::rpc::eth::{self, BlockTag, HEADERS_MAX, LogFilter, RpcHeader, Which, receipts_root};
use crate::rpc::pool::{CallOptions, Pool};
use crate::rpc::subscribe::HeadEvent;
use crate::types::chain::{BlockId, BlockRange};
use crate::types::log::LogBuf;

/// Blocks whose receipts are fetched at the same time where they are not asked for together.
const RECEIPTS_IN_FLIGHT: usize = 8;
/// Bytes of receipts that one call should bring: enough to make the call's own cost small, little
/// enough that one in flight per range fits in memory.
const RECEIPTS_TARGET_BYTES: usize = 2 << 20;
/// First guess of a block's receipts in bytes; Ethereum's were 0.3 MB on average in 2026.
const RECEIPTS_FIRST_BYTES: usize = 256 << 10;
/// Most blocks in one call; providers cap batches at 100 and above.
const RECEIPTS_BLOCKS_MAX: usize = 64;
/// Time for asking every provider its head: one that hangs must not hold up a reorg.
const HEADS_TIMEOUT: Duration = Duration::from_secs(3);

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
    /// The receipts of several blocks cannot be asked for in one call.
    one_by_one: AtomicBool,
    /// Bytes of a block's receipts, a running mean.
    receipts_bytes: AtomicUsize,
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
            one_by_one: AtomicBool::new(false),
            receipts_bytes: AtomicUsize::new(RECEIPTS_FIRST_BYTES),
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
        let transactions = header.transactions.unwrap_or_default();
        let receipts = self.pool.receipts(block, &transactions, &self.options).await?;
        let mut logs = LogBuf::default();
        for log in receipts.logs.iter().filter(|log| filter.matches(log.head)) {
            logs.push_view(log)?;
        }
        Ok(logs)
    }

    /// The receipts of several blocks by one call; only proven ones, the others are witnessed one by
    /// one.
    async fn together(&self, headers: &[&Header]) -> Vec<Option<Receipts>> {
        let whole = headers.iter().all(|header| header.transactions.is_some());
        if !whole || headers.len() < 2 || self.one_by_one.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let blocks: Vec<_> = headers
            .iter()
            .map(|header| {
                let transactions = header.transactions.as_deref().unwrap_or_default();
                (BlockId::from(&header.block), transactions)
            })
            .collect();
        let answers = match self.pool.receipts_of_many(&blocks, &self.options).await {
            Ok(answers) => answers,
            Err(error) => {
                log::debug!("receipts of {} blocks at once: {error}", blocks.len());
                self.receipts_weigh(self.receipts_bytes.load(Ordering::Relaxed).saturating_mul(8));
                return Vec::new();
            }
        };
        let unknown = |answer: &Result<_, RpcError>| {
            answer.as_ref().is_err_and(|error| error.class == ErrorClass::Unsupported)
        };
        if answers.iter().all(unknown) {
            self.one_by_one.store(true, Ordering::Relaxed);
        }
        let mut proven = Vec::with_capacity(headers.len());
        for (header, answer) in headers.iter().zip(answers) {
            let receipts = answer.ok().and_then(|receipts| {
                self.receipts_weigh(receipts.bytes);
                let root = receipts_root(&receipts);
                (root == header.receipts_root).then_some(Receipts { root, logs: receipts.logs })
            });
            proven.push(receipts);
        }
        // Hashing a crowded chunk takes milliseconds: others on this thread get their turn.
        tokio::task::yield_now().await;
        proven
    }

    fn receipts_weigh(&self, bytes: usize) {
        let mean = self.receipts_bytes.load(Ordering::Relaxed);
        // Two writers at once lose one sample of a mean, nothing else.
        self.receipts_bytes.store((mean / 8).saturating_mul(7) + bytes / 8 + 1, Ordering::Relaxed);
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

    async fn heads(&self) -> Vec<Header> {
        let options = CallOptions { timeout: HEADS_TIMEOUT, ..self.options.clone() };
        self.pool.latest_headers(&options).await.into_iter().map(header).collect()
    }

    async fn finalized(&self) -> Result<Option<BlockId>, ChainError> {
        if self.no_finality.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match self.header(Which::Tag(BlockTag::Finalized)).await {
            Ok(header) => Ok(header.map(|header| BlockId::from(&header.block))),
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

    fn receipts_at_once(&self) -> usize {
        let mean = self.receipts_bytes.load(Ordering::Relaxed).max(1);
        (RECEIPTS_TARGET_BYTES / mean).clamp(1, RECEIPTS_BLOCKS_MAX)
    }

    async fn receipts_of(&self, headers: &[&Header]) -> Result<Option<Vec<Receipts>>, ChainError> {
        if self.no_receipts.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let mut known = self.together(headers).await;
        known.resize_with(headers.len(), || None);
        let asked: Vec<_> = headers.iter().copied().zip(known).collect();
        let ask = |(header, known): (&Header, Option<Receipts>)| {
            let (pool, header) = (Arc::clone(&self.pool), header.clone());
            // Boxed: hardly ever awaited, and large.
            Box::pin(async move {
                match known {
                    Some(receipts) => Ok(receipts),
                    None if header.transactions.is_none() => of_pushed(&pool, &header).await,
                    None => witness::receipts(&pool, &header).await,
                }
            })
        };
        let asked: Vec<_> = asked.into_iter().map(ask).collect();
        let all: Result<Vec<_>, RpcError> =
            futures_util::stream::iter(asked).buffered(RECEIPTS_IN_FLIGHT).try_collect().await;
        match all {
            Ok(all) => Ok(Some(all)),
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

/// The receipts of a block whose header was pushed without its body: what gives the header's root is
/// taken as it comes, otherwise the body is asked for first.
async fn of_pushed(pool: &Pool, header: &Header) -> Result<Receipts, RpcError> {
    let block = BlockId::from(&header.block);
    let options = CallOptions::default();
    if let Ok(receipts) = pool.receipts_unlisted(block, &options).await {
        let root = receipts_root(&receipts);
        if root == header.receipts_root {
            return Ok(Receipts { root, logs: receipts.logs });
        }
    }
    let whole = pool.header(Which::Hash(block.hash), &options).await?.map(self::header);
    let whole = whole.ok_or_else(|| {
        RpcError::of_pool(ErrorClass::NotYet, format!("block {block} is not there yet"))
    })?;
    witness::receipts(pool, &whole).await
}

/// The header that a provider pushed, if it can be relied on: its fields give its hash.
pub fn pushed(event: &HeadEvent) -> Option<Header> {
    let (from, transactions) = eth::header::pushed(event)?;
    let header = header(from);
    header.hash_proven.then_some(Header { transactions, ..header })
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
    let block = from.block_ref();
    let sealed = SealedHeader::seal_slow(from.header);
    Header {
        block,
        bloom: sealed.logs_bloom,
        receipts_root: sealed.receipts_root,
        hash_proven: sealed.hash() == from.hash,
        transactions: Some(from.transactions),
    }
}
