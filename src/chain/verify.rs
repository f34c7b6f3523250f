//! Proof that no log of a block is missing: bloom for absence, receipts root for presence.
//!
//! Judges what others fetched; the only calls it makes are for receipts. What cannot be proven on a
//! chain is marked `Unverified`, never dropped and never a dead end.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{B256, BloomInput};

use super::error::ChainError;
use super::node::{Header, Node, Receipts};
use super::profile::BloomRule;
use super::update::ProvenBlock;
use crate::config::Verify;
use crate::rpc::eth::LogFilter;
use crate::telemetry::metrics::{self, Metric};
use crate::types::chain::{BlockRange, BlockRef, Proof};
use crate::types::log::{LogBuf, LogHead, LogView};

/// Blocks whose receipts are asked for in one go: bounds memory at about 64 × a crowded block.
const RECEIPTS_CHUNK_BLOCKS: usize = 64;

/// Checks logs against headers and proves them as far as asked. Logs that a proof shows to be wrong
/// are replaced by the proven ones.
#[derive(Debug, Clone)]
pub struct Verifier {
    policy: Verify,
    bloom: BloomRule,
    filters: Vec<LogFilter>,
}

impl Verifier {
    /// A verifier for logs fetched with `filters`.
    pub fn new(policy: Verify, bloom: BloomRule, filters: Vec<LogFilter>) -> Self {
        Self { policy, bloom, filters }
    }

    /// Proves `logs` to be those of `headers` (ascending, linked). Sorts and completes them.
    pub async fn prove(
        &self,
        node: &dyn Node,
        headers: &[Header],
        mut logs: LogBuf,
    ) -> Result<(Vec<ProvenBlock>, LogBuf), ChainError> {
        logs.sort();
        let mut blocks: Vec<ProvenBlock> = headers
            .iter()
            .map(|header| ProvenBlock { block: header.block, proof: Proof::Unverified })
            .collect();
        let heard = Heard::sort_out(headers, &mut logs);
        if self.policy != Verify::Receipts {
            heard.refuse(headers, |_| true)?;
        }
        if self.policy == Verify::Off {
            return Ok((blocks, logs));
        }
        let mut suspects = Vec::new();
        for (index, header) in headers.iter().enumerate() {
            let absent = !self.bloom_may_hold(header);
            if absent && heard.counts[index] == 0 {
                blocks[index].proof = bounded_by_header(header, Proof::BloomNegative);
            } else if self.policy == Verify::Receipts {
                suspects.push(index);
            } else if absent {
                return Err(inconsistent(
                    headers,
                    format!("logs of block {}, whose bloom has none of ours", header.block.number),
                ));
            }
        }
        let mut repaired = Repairs::default();
        for chunk in suspects.chunks(RECEIPTS_CHUNK_BLOCKS) {
            self.prove_by_receipts(node, headers, &logs, chunk, &mut blocks, &mut repaired).await?;
        }
        // A block of which nonsense was said needs its receipts, or the bloom's word that it has none.
        heard.refuse(headers, |index| {
            let settled = blocks[index].proof == Proof::BloomNegative
                || repaired.compared.contains(&headers[index].block.number);
            !settled
        })?;
        Ok((blocks, repaired.apply(logs)?))
    }

    async fn prove_by_receipts(
        &self,
        node: &dyn Node,
        headers: &[Header],
        logs: &LogBuf,
        chunk: &[usize],
        blocks: &mut [ProvenBlock],
        repairs: &mut Repairs,
    ) -> Result<(), ChainError> {
        let asked: Vec<&Header> = chunk.iter().map(|index| &headers[*index]).collect();
        let Some(answers) = node.receipts_of(&asked).await? else { return Ok(()) };
        for (index, receipts) in chunk.iter().zip(answers) {
            let header = &headers[*index];
            if receipts.root != header.receipts_root {
                log::warn!(
                    block = header.block.number, header_root:% = header.receipts_root, recomputed:% = receipts.root;
                    "receipts do not give the header's root; the block stays unverified"
                );
                continue;
            }
            blocks[*index].proof = bounded_by_header(header, Proof::ReceiptsRoot);
            self.compare(header, logs, &receipts, repairs)?;
        }
        Ok(())
    }

    /// With the receipts proven, `eth_getLogs` must have said the same.
    fn compare(
        &self,
        header: &Header,
        logs: &LogBuf,
        receipts: &Receipts,
        repairs: &mut Repairs,
    ) -> Result<(), ChainError> {
        let mut proven = LogBuf::default();
        for log in receipts.logs.iter().filter(|log| self.matches(log.head)) {
            proven.push_view(log)?;
        }
        let said: Vec<LogView<'_>> =
            logs.iter().filter(|log| log.head.block_number == header.block.number).collect();
        let same = proven.len() == said.len()
            && proven.iter().zip(&said).all(|(proven, said)| {
                proven.head.log_index == said.head.log_index
                    && proven.head.address == said.head.address
                    && proven.topics() == said.topics()
                    && proven.data == said.data
            });
        repairs.compared.insert(header.block.number);
        if !same {
            log::warn!(
                block = header.block.number, proven = proven.len();
                "a provider's eth_getLogs disagrees with the proven receipts; the receipts are kept"
            );
            metrics::count(Metric::ChainDisagreements, &[], 1);
            repairs.replace(header.block, proven);
        }
        Ok(())
    }

    fn matches(&self, log: &LogHead) -> bool {
        self.filters.iter().any(|filter| filter.matches(log))
    }

    fn bloom_may_hold(&self, header: &Header) -> bool {
        self.bloom == BloomRule::Partial
            || self.filters.iter().any(|filter| {
                let holds = |bytes: &[u8]| header.bloom.contains_input(BloomInput::Raw(bytes));
                let address = filter.addresses.is_empty()
                    || filter.addresses.iter().any(|a| holds(a.as_slice()));
                let topics = filter.topics.iter().all(|alternatives| {
                    alternatives.is_empty()
                        || alternatives.iter().any(|topic| holds(topic.as_slice()))
                });
                address && topics
            })
    }
}

/// A header whose own hash could not be recomputed proves nothing about the chain.
fn bounded_by_header(header: &Header, proof: Proof) -> Proof {
    if header.hash_proven { proof } else { Proof::Unverified }
}

/// What a provider said of each header's block.
#[derive(Debug)]
struct Heard {
    counts: Vec<usize>,
    /// Why a block's logs cannot be true; they are dropped.
    wrong: BTreeMap<usize, String>,
}

impl Heard {
    /// Counts logs per header, and drops those of blocks with a log that cannot be: from another
    /// fork (a range may mix two), or with an index that came already. Logs of no block asked for go too.
    fn sort_out(headers: &[Header], logs: &mut LogBuf) -> Self {
        let place = |head: &LogHead| {
            let index = headers.partition_point(|header| header.block.number < head.block_number);
            headers.get(index).filter(|header| header.block.number == head.block_number)?;
            Some(index)
        };
        let mut heard = Self { counts: vec![0; headers.len()], wrong: BTreeMap::new() };
        let mut last: Option<(u64, u32)> = None;
        for log in logs.iter() {
            let head = log.head;
            let Some(index) = place(head) else {
                log::warn!(block = head.block_number; "a provider sent a log of a block not asked for");
                continue;
            };
            if headers[index].block.hash != head.block_hash {
                let (number, hash) = (head.block_number, head.block_hash);
                let text =
                    format!("a log names block {number} ({hash}), which is not one of the headers");
                heard.wrong.insert(index, text);
            }
            if last == Some((head.block_number, head.log_index)) {
                let (number, at) = (head.block_number, head.log_index);
                heard.wrong.insert(index, format!("log index {at} of block {number} comes twice"));
            }
            last = Some((head.block_number, head.log_index));
            heard.counts[index] += 1;
        }
        logs.retain(|head| place(head).is_some_and(|index| !heard.wrong.contains_key(&index)));
        for index in heard.wrong.keys() {
            heard.counts[*index] = 0;
        }
        heard
    }

    /// An error when a block of which something wrong was said is still `open`.
    fn refuse(&self, headers: &[Header], open: impl Fn(usize) -> bool) -> Result<(), ChainError> {
        match self.wrong.iter().find(|(index, _)| open(**index)) {
            Some((_, detail)) => Err(inconsistent(headers, detail.clone())),
            None => Ok(()),
        }
    }
}

fn inconsistent(headers: &[Header], detail: String) -> ChainError {
    let number = |header: Option<&Header>| header.map_or(0, |header| header.block.number);
    let range = BlockRange { from: number(headers.first()), to: number(headers.last()) };
    ChainError::Inconsistent { what: "logs", range, detail }
}

/// Checks that headers are those of `range` and linked, the first to `parent` when given.
pub fn check_links(
    headers: &[Header],
    range: BlockRange,
    parent: Option<B256>,
) -> Result<(), ChainError> {
    let broken = |detail: String| ChainError::Inconsistent { what: "headers", range, detail };
    if headers.len() as u64 != range.len() {
        return Err(broken(format!("{} headers for {} blocks", headers.len(), range.len())));
    }
    let mut expected = parent;
    for (header, number) in headers.iter().zip(range.from..) {
        if header.block.number != number {
            return Err(broken(format!("header {} in place of {number}", header.block.number)));
        }
        if expected.is_some_and(|hash| hash != header.block.parent) {
            return Err(broken(format!("block {number} does not name its parent's hash")));
        }
        expected = Some(header.block.hash);
    }
    Ok(())
}

/// Blocks whose logs a proof has replaced.
#[derive(Debug, Default)]
struct Repairs {
    blocks: Vec<u64>,
    /// Blocks whose logs were held against proven receipts.
    compared: BTreeSet<u64>,
    logs: LogBuf,
    overflow: bool,
}

impl Repairs {
    fn replace(&mut self, block: BlockRef, proven: LogBuf) {
        self.blocks.push(block.number);
        for log in proven.iter() {
            self.overflow |= self.logs.push_view(log).is_err();
        }
    }

    fn apply(self, mut logs: LogBuf) -> Result<LogBuf, ChainError> {
        if self.overflow {
            return Err(crate::types::log::LogBufFull.into());
        }
        if self.blocks.is_empty() {
            return Ok(logs);
        }
        logs.retain(|head| !self.blocks.contains(&head.block_number));
        for log in self.logs.iter() {
            logs.push_view(log)?;
        }
        logs.sort();
        Ok(logs)
    }
}
