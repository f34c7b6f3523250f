//! `eth_getLogs` and log subscriptions: which logs, in which pieces, with which lies.

use std::sync::Arc;

use serde_json::Value;

use super::Provider;
use super::lens::Lens;
use crate::sim::events::LogSpec;
use crate::sim::faults::{Dice, Fault, Refusal};
use crate::sim::filter::{Bounds, LogFilter};
use crate::sim::render::LogText;
use crate::sim::rng::Rng;
use crate::sim::view::{Block, View};

/// Answers leave in pieces of about this size: large enough for few wake-ups, small enough to stay
/// in a core's cache.
pub(super) const PIECE_BYTES: usize = 128 * 1024;
/// Expected logs from which on an answer is made off the runtime and streamed.
const LARGE_LOGS: u64 = 2_000;
/// The fault strikes among the first so many logs of an answer.
const STRUCK_AMONG: u64 = 4;

/// Which logs an answer lies about.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Twist {
    omit_rate: f64,
    drop_nth: Option<u64>,
    corrupt_nth: Option<u64>,
    seed: u64,
}

impl Twist {
    pub(super) fn new(provider: &Provider, dice: &Dice<'_>, method: &str) -> Self {
        if dice.is_clean() {
            return Self::default();
        }
        let nth = |fault| dice.hits(fault, method).then(|| dice.rng(fault).below(STRUCK_AMONG));
        Self {
            omit_rate: provider.plan.rate(Fault::OmitLogs),
            drop_nth: nth(Fault::DropLog),
            corrupt_nth: nth(Fault::CorruptLogIndex),
            seed: Rng::new(&[provider.world.settings.seed, provider.index as u64, 6]).next(),
        }
    }

    /// True when the log is left out. The same log is omitted every time.
    fn leaves_out(&self, block: &Block, log_index: usize, nth: u64) -> bool {
        if self.drop_nth == Some(nth) {
            return true;
        }
        self.omit_rate > 0.0 && {
            let hash = &block.hash;
            let place = u64::from_be_bytes([
                hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7],
            ]);
            Rng::new(&[self.seed, place, log_index as u64]).chance(self.omit_rate)
        }
    }
}

/// Writes the matching logs of one block after the other.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) filter: LogFilter,
    pub(super) twist: Twist,
    pub(super) timestamps: bool,
    text: LogText,
    scratch: Vec<LogSpec>,
    matched: u64,
    written: u64,
}

impl Scan {
    pub(super) fn new(provider: &Provider, filter: LogFilter, twist: Twist) -> Self {
        Self {
            filter,
            twist,
            timestamps: provider.world.settings.log_timestamps,
            text: LogText::default(),
            scratch: Vec::new(),
            matched: 0,
            written: 0,
        }
    }

    /// Appends the block's logs, with commas between all that this scan has written.
    pub(super) fn block(&mut self, provider: &Provider, block: &Block, out: &mut Vec<u8>) {
        self.each(provider, block, false, |first, scan, log, log_index| {
            if !first {
                out.push(b',');
            }
            scan.text.write(&provider.world.recipe.book, log, log_index, out);
        });
    }

    /// The block's logs, each as its own text.
    pub(super) fn singly(
        &mut self,
        provider: &Provider,
        block: &Block,
        removed: bool,
    ) -> Vec<Vec<u8>> {
        let mut logs = Vec::new();
        self.each(provider, block, removed, |_, scan, log, log_index| {
            let mut out = Vec::with_capacity(800);
            scan.text.write(&provider.world.recipe.book, log, log_index, &mut out);
            logs.push(out);
        });
        logs
    }

    fn each(
        &mut self,
        provider: &Provider,
        block: &Block,
        removed: bool,
        mut write: impl FnMut(bool, &Self, &LogSpec, u64),
    ) {
        let mut logs = std::mem::take(&mut self.scratch);
        self.text.start_block(block, self.timestamps, removed);
        let mut log_index = 0;
        for (tx_index, origin) in block.origins.iter().enumerate() {
            logs.clear();
            provider.world.recipe.logs(origin, &mut logs);
            let mut tx_started = false;
            for log in &logs {
                let index = log_index;
                log_index += 1;
                if !self.filter.matches(log) {
                    continue;
                }
                let nth = self.matched;
                self.matched += 1;
                if self.twist.leaves_out(block, index, nth) {
                    if self.twist.drop_nth != Some(nth) {
                        provider.plan.count(Fault::OmitLogs);
                    }
                    continue;
                }
                if !tx_started {
                    self.text.start_tx(&block.tx_hashes[tx_index], tx_index);
                    tx_started = true;
                }
                let lie = if self.twist.corrupt_nth == Some(nth) { 1_000 } else { 0 };
                write(self.written == 0, self, log, index as u64 + lie);
                self.written += 1;
            }
        }
        self.scratch = logs;
    }
}

/// An `eth_getLogs` that is ready to run, on any thread.
#[derive(Debug)]
pub(super) struct LogJob {
    provider: Arc<Provider>,
    view: Arc<View>,
    scan: Scan,
    one: Option<Arc<Block>>,
    from: u64,
    to: u64,
}

impl LogJob {
    /// Checks the call and the provider's range cap.
    pub(super) fn new(
        provider: &Arc<Provider>,
        lens: &Lens,
        dice: &Dice<'_>,
        filter: &Value,
    ) -> Result<Self, Refusal> {
        let book = &provider.world.recipe.book;
        let bounds = Bounds::parse(filter).map_err(invalid)?;
        let parsed = LogFilter::parse(book, filter).map_err(invalid)?;
        let twist = Twist::new(provider, dice, "eth_getLogs");
        let mut job = Self {
            scan: Scan::new(provider, parsed, twist),
            provider: Arc::clone(provider),
            view: Arc::clone(&lens.view),
            one: None,
            from: 1,
            to: 0,
        };
        let empty = !dice.is_clean() && dice.hits(Fault::EmptyLogs, "eth_getLogs");
        match bounds {
            Bounds::Hash(hash) => {
                let block = lens.block_by_hash(provider, &hash);
                let block = block.ok_or_else(|| server_error("unknown block"))?;
                job.one = (!empty).then_some(block);
            }
            Bounds::Range { from, to } => {
                let height = |bound: Option<Value>| match bound {
                    Some(bound) => lens.height(&bound).map_err(invalid),
                    None => Ok(lens.announced),
                };
                let (from, to) = (height(from)?, height(to)?);
                if from > to {
                    return Err(invalid("invalid block range params".into()));
                }
                let caps = &provider.settings.caps;
                if let Some(cap) = caps.blocks_max
                    && to - from >= cap
                {
                    return Err(caps.vendor.range_refusal(from, to, cap));
                }
                if !empty && from <= lens.head {
                    (job.from, job.to) = (from, to.min(lens.head));
                }
            }
        }
        Ok(job)
    }

    /// True when the answer should not be made on the runtime's own threads.
    pub(super) fn is_large(&self) -> bool {
        let blocks = (self.to + 1).saturating_sub(self.from);
        let per_block = u64::from(self.provider.world.settings.logs_per_block).max(1);
        blocks.saturating_mul(per_block) > LARGE_LOGS
    }

    /// True when the answer's size is limited, so that it cannot be sent before it is complete.
    pub(super) fn is_capped(&self) -> bool {
        self.provider.settings.caps.results_max.is_some()
    }

    /// Makes the answer, an array, at the end of `out`. Whenever a piece is full, `piece` may empty
    /// it and says whether to go on.
    pub(super) fn run(
        mut self,
        out: &mut Vec<u8>,
        mut piece: impl FnMut(&mut Vec<u8>) -> bool,
    ) -> Result<(), Refusal> {
        let provider = Arc::clone(&self.provider);
        out.push(b'[');
        if let Some(block) = self.one.take() {
            self.scan.block(&provider, &block, out);
        }
        let caps = provider.settings.caps;
        for number in self.from..=self.to {
            if let Some(block) = self.view.block(&provider.world.recipe, number) {
                self.scan.block(&provider, &block, out);
            }
            if let Some(cap) = caps.results_max
                && self.scan.matched > cap
            {
                let good_to = number.saturating_sub(1).max(self.from);
                return Err(caps.vendor.results_refusal(self.from, good_to, cap));
            }
            if out.len() >= PIECE_BYTES && !piece(out) {
                return Ok(());
            }
        }
        out.push(b']');
        Ok(())
    }
}

pub(super) fn invalid(message: String) -> Refusal {
    Refusal { status: 200, code: -32602, message, data: None }
}

pub(super) fn server_error(message: &str) -> Refusal {
    Refusal { status: 200, code: -32000, message: message.to_owned(), data: None }
}
