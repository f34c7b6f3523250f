//! One range of history, or one block at the head: linked, proven, with its logs.
//!
//! Knows no cursor and no order between ranges; `backfill` gives both.

use std::sync::Arc;

use super::error::ChainError;
use super::node::{Header, Node};
use super::update::{Phase, ProvenBlock, Segment};
use super::verify::{Verifier, check_links};
use crate::types::chain::BlockRange;
use crate::types::log::LogBuf;

/// Fetches and proves.
#[derive(Debug, Clone)]
pub struct Fetcher {
    pub node: Arc<dyn Node>,
    pub verifier: Verifier,
}

impl Fetcher {
    /// The range's first blocks as one segment: all of them unless they are too many bytes. The
    /// first block's parent is the caller's to check.
    pub async fn history(&self, range: BlockRange) -> Result<Segment, ChainError> {
        let (blocks, logs) = if self.verifier.by_receipts() {
            let headers = self.node.headers(range).await?;
            check_links(&headers, range, None)?;
            self.settled(&headers).await?
        } else {
            let (headers, logs) =
                tokio::try_join!(self.node.headers(range), self.node.logs(range))?;
            check_links(&headers, range, None)?;
            self.verifier.judge(&headers, logs)?
        };
        Ok(Segment { phase: Phase::History, blocks, logs })
    }

    /// One block at the head, asked for by hash, so that no fork can slip in.
    pub async fn proven(&self, header: &Header) -> Result<Segment, ChainError> {
        let headers = std::slice::from_ref(header);
        let (blocks, logs) = if self.verifier.by_receipts() {
            self.settled(headers).await?
        } else {
            self.verifier.judge(headers, self.node.logs_of(header.block.hash).await?)?
        };
        Ok(Segment { phase: Phase::Head, blocks, logs })
    }

    /// Logs from proven receipts; of blocks that no receipts prove, as told by `eth_getLogs`.
    async fn settled(&self, headers: &[Header]) -> Result<(Vec<ProvenBlock>, LogBuf), ChainError> {
        let mut settled = self.verifier.settle(self.node.as_ref(), headers).await?;
        for run in std::mem::take(&mut settled.open) {
            let headers = headers.get(run).unwrap_or_default();
            let (_, told) = self.verifier.judge(headers, self.told(headers).await?)?;
            for log in told.iter() {
                settled.logs.push_view(log)?;
            }
            settled.logs.sort();
        }
        Ok((settled.blocks, settled.logs))
    }

    async fn told(&self, headers: &[Header]) -> Result<LogBuf, ChainError> {
        match headers {
            [] => Ok(LogBuf::default()),
            [one] => self.node.logs_of(one.block.hash).await,
            [first, .., last] => {
                let range = BlockRange { from: first.block.number, to: last.block.number };
                self.node.logs(range).await
            }
        }
    }
}
