//! Proof that no log of a block is missing: bloom for absence, receipts root for presence.
//!
//! Where receipts are to be proven, logs are taken from them, so that nobody's `eth_getLogs` is needed.
//! What cannot be proven on a chain is marked `Unverified`, never dropped and never a dead end.

use std::collections::BTreeMap;
use std::ops::Range;

use alloy_primitives::{B256, BloomInput};

use super::error::ChainError;
use super::node::{Header, Node};
use super::profile::BloomRule;
use super::update::ProvenBlock;
use crate::config::Verify;
use crate::rpc::eth::LogFilter;
use crate::types::chain::{BlockRange, Proof};
use crate::types::log::{LogBuf, LogHead};

/// Logs after which a segment ends early, in bytes: a span that was learned in a quiet stretch must
/// not hold a crowded one in memory.
const SEGMENT_MAX_BYTES: usize = 8 << 20;

/// Checks logs against headers and proves them as far as asked.
#[derive(Debug, Clone)]
pub struct Verifier {
    policy: Verify,
    bloom: BloomRule,
    filters: Vec<LogFilter>,
}

/// What receipts and blooms say about the first blocks of a range.
#[derive(Debug)]
pub struct Settled {
    pub blocks: Vec<ProvenBlock>,
    /// In chain order; those of `open` blocks are missing.
    pub logs: LogBuf,
    /// Runs of blocks that are not proven: their logs are what `eth_getLogs` tells.
    pub open: Vec<Range<usize>>,
}

impl Verifier {
    /// A verifier for logs fetched with `filters`.
    pub fn new(policy: Verify, bloom: BloomRule, filters: Vec<LogFilter>) -> Self {
        Self { policy, bloom, filters }
    }

    /// Whether blocks are to be proven by their receipts.
    pub fn by_receipts(&self) -> bool {
        self.policy == Verify::Receipts
    }

    /// Proves as many of `headers` (ascending, linked) as fit one segment, at least one.
    pub async fn settle(&self, node: &dyn Node, headers: &[Header]) -> Result<Settled, ChainError> {
        let mut settled = Settled {
            blocks: Vec::with_capacity(headers.len()),
            logs: LogBuf::default(),
            open: Vec::new(),
        };
        let mut suspects = Vec::new();
        for (index, header) in headers.iter().enumerate() {
            let absent = !self.bloom_may_hold(header);
            let proof = if absent { Proof::BloomNegative } else { Proof::Unverified };
            settled
                .blocks
                .push(ProvenBlock { block: header.block, proof: bounded_by_header(header, proof) });
            if !absent {
                suspects.push(index);
            }
        }
        let mut rest = suspects.as_slice();
        while let Some(first) = rest.first() {
            if settled.logs.bytes() > SEGMENT_MAX_BYTES {
                settled.blocks.truncate(*first);
                break;
            }
            let (chunk, after) = rest.split_at(node.receipts_at_once().clamp(1, rest.len()));
            rest = after;
            self.prove_by_receipts(node, headers, chunk, &mut settled).await?;
        }
        Ok(settled)
    }

    async fn prove_by_receipts(
        &self,
        node: &dyn Node,
        headers: &[Header],
        chunk: &[usize],
        settled: &mut Settled,
    ) -> Result<(), ChainError> {
        let asked: Vec<&Header> = chunk.iter().map(|index| &headers[*index]).collect();
        let Some(answers) = node.receipts_of(&asked).await? else {
            chunk.iter().for_each(|index| settled.leave_open(*index));
            return Ok(());
        };
        for ((index, header), receipts) in chunk.iter().zip(asked).zip(answers) {
            if receipts.root != header.receipts_root {
                log::warn!(
                    block = header.block.number, header_root:% = header.receipts_root, recomputed:% = receipts.root;
                    "receipts do not give the header's root; the block stays unverified"
                );
                settled.leave_open(*index);
                continue;
            }
            settled.blocks[*index].proof = bounded_by_header(header, Proof::ReceiptsRoot);
            for log in receipts.logs.iter().filter(|log| self.matches(log.head)) {
                settled.logs.push_view(log)?;
            }
        }
        Ok(())
    }

    /// Judges `logs` as told for `headers` (ascending, linked) without receipts. Sorts them.
    pub fn judge(
        &self,
        headers: &[Header],
        mut logs: LogBuf,
    ) -> Result<(Vec<ProvenBlock>, LogBuf), ChainError> {
        logs.sort();
        let heard = Heard::sort_out(headers, &mut logs);
        heard.refuse(headers)?;
        let mut blocks = Vec::with_capacity(headers.len());
        for (header, count) in headers.iter().zip(&heard.counts) {
            let mut proof = Proof::Unverified;
            if self.policy == Verify::Bloom && !self.bloom_may_hold(header) {
                if *count > 0 {
                    let number = header.block.number;
                    let text = format!("logs of block {number}, whose bloom has none of ours");
                    return Err(inconsistent(headers, text));
                }
                proof = bounded_by_header(header, Proof::BloomNegative);
            }
            blocks.push(ProvenBlock { block: header.block, proof });
        }
        Ok((blocks, logs))
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

    /// An error when something wrong was said of a block.
    fn refuse(&self, headers: &[Header]) -> Result<(), ChainError> {
        match self.wrong.values().next() {
            Some(detail) => Err(inconsistent(headers, detail.clone())),
            None => Ok(()),
        }
    }
}

impl Settled {
    fn leave_open(&mut self, index: usize) {
        match self.open.last_mut() {
            Some(run) if run.end == index => run.end += 1,
            _ => self.open.push(index..index + 1),
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
