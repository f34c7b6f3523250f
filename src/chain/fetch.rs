//! One range of history: headers and logs together, linked and proven.
//!
//! Knows no cursor and no order between ranges; `backfill` gives both.

use std::sync::Arc;

use super::error::ChainError;
use super::node::{Header, Node};
use super::update::{Phase, Segment};
use super::verify::{Verifier, check_links};
use crate::types::chain::BlockRange;

/// Fetches and proves.
#[derive(Debug, Clone)]
pub struct Fetcher {
    pub node: Arc<dyn Node>,
    pub verifier: Verifier,
}

impl Fetcher {
    /// The range as one segment. Its first block's parent is the caller's to check.
    pub async fn history(&self, range: BlockRange) -> Result<Segment, ChainError> {
        let (headers, logs) = tokio::try_join!(self.node.headers(range), self.node.logs(range))?;
        check_links(&headers, range, None)?;
        let (blocks, logs) = self.verifier.prove(self.node.as_ref(), &headers, logs).await?;
        Ok(Segment { phase: Phase::History, blocks, logs })
    }

    /// One block at the head: its logs asked for by hash, so that no fork can slip in.
    pub async fn proven(&self, header: &Header) -> Result<Segment, ChainError> {
        let logs = self.node.logs_of(header.block.hash).await?;
        let headers = std::slice::from_ref(header);
        let (blocks, logs) = self.verifier.prove(self.node.as_ref(), headers, logs).await?;
        Ok(Segment { phase: Phase::Head, blocks, logs })
    }
}
