//! A segment's logs → documents: recognise, let the handlers decide, remember what was before.
//!
//! Synchronous and without I/O. Documents that a handler needs and the view lacks are asked for by
//! returning; the work then goes on where it stopped.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use alloy_primitives::B256;

use super::digest::Rolling;
use super::handler::{Effect, EventContext, Handler, HandlerError, StateView};
use super::store::{BlockDigest, CommitBlock, ContractTag, Parked, Recognised, Undo};
use crate::chain::update::{ProvenBlock, Segment};
use crate::decode::event::{EventKind, RwaEvent};
use crate::decode::registry::{Recognition, Registry};
use crate::types::asset::{Doc, DocKey};
use crate::types::chain::ChainId;
use crate::types::event::Position;
use crate::types::log::{LogBuf, LogView};

/// What a segment's work starts from.
#[derive(Debug, Clone)]
pub struct Start {
    /// Blocks above this one get undo records.
    pub undo_above: u64,
    /// The state digest of the block before.
    pub digest: B256,
    pub parked: Vec<Parked>,
    pub foreign: Foreign,
}

/// What becomes of logs that no contract of ours claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    Drop,
    /// They were stored under an earlier configuration: no handler sees them, but they stay.
    Keep,
}

/// A segment on its way through the handlers.
#[derive(Debug)]
pub struct Work {
    pub blocks: Vec<CommitBlock>,
    pub logs: LogBuf,
    /// One entry per log; `None` for a foreign one that is kept.
    pub recognised: Vec<Option<Recognised>>,
    kinds: Vec<Option<EventKind>>,
    undo_above: u64,
    parked: Vec<Parked>,
    rolling: Rolling,
    /// Logs that have entered the digest.
    hashed: usize,
    next_log: usize,
    next_handler: usize,
    touched: HashSet<DocKey>,
    undo: Vec<Undo>,
    /// Keys with an undo record in `undo_block`: only the first change of a block counts.
    undone: HashSet<DocKey>,
    undo_block: u64,
}

/// What came of a turn at the work.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    Done,
    /// Load this document into the view, then take another turn.
    Needs(DocKey),
}

impl Work {
    /// Recognises a segment's logs.
    pub fn new(registry: &Registry, tags: &[ContractTag], segment: Segment, start: Start) -> Self {
        let mut logs = segment.logs;
        let mut recognised = Vec::with_capacity(logs.len());
        let mut kinds = Vec::with_capacity(logs.len());
        let mut keep = Vec::with_capacity(logs.len());
        for log in logs.iter() {
            let seen = recognise(registry, tags, log);
            let kept = seen.is_some() || start.foreign == Foreign::Keep;
            keep.push(kept);
            if kept {
                let (what, kind) = seen.map_or((None, None), |(what, kind)| (Some(what), kind));
                recognised.push(what);
                kinds.push(kind);
            }
        }
        let mut kept = keep.iter();
        logs.retain(|_| kept.next().copied().unwrap_or(false));
        let block = |proven: &ProvenBlock| CommitBlock {
            block: proven.block,
            proof: proven.proof,
            digest: None,
        };
        Self {
            blocks: segment.blocks.iter().map(block).collect(),
            logs,
            recognised,
            kinds,
            undo_above: start.undo_above,
            parked: start.parked,
            rolling: Rolling::from(start.digest),
            hashed: 0,
            next_log: 0,
            next_handler: 0,
            touched: HashSet::new(),
            undo: Vec::new(),
            undone: HashSet::new(),
            undo_block: 0,
        }
    }

    /// The documents that the handlers say they will read and the view does not hold yet.
    pub fn missing(
        &self,
        chain: ChainId,
        handlers: &[Box<dyn Handler>],
        view: &StateView,
    ) -> Vec<DocKey> {
        let mut keys = Vec::new();
        let mut wanted = HashSet::new();
        for index in 0..self.logs.len() {
            self.with_event(chain, index, |context| {
                for handler in handlers.iter().filter(|handler| !self.is_parked(handler.name())) {
                    keys.clear();
                    // A handler that panics here is asked again with the event, where it is parked.
                    let named = AssertUnwindSafe(|| handler.keys(context, &mut keys));
                    if catch_unwind(named).is_ok() {
                        wanted.extend(keys.iter().filter(|key| !view.knows(key)).copied());
                    }
                }
            });
        }
        wanted.into_iter().collect()
    }

    /// Runs the handlers from where the last turn stopped. One that cannot take an event is parked
    /// there; the others go on.
    pub fn turn(
        &mut self,
        chain: ChainId,
        handlers: &[Box<dyn Handler>],
        view: &mut StateView,
    ) -> Turn {
        let mut effects = Vec::new();
        while self.next_log < self.logs.len() {
            let index = self.next_log;
            self.hash(index);
            while let Some(handler) = handlers.get(self.next_handler) {
                effects.clear();
                if !self.is_parked(handler.name()) {
                    let outcome = self.with_event(chain, index, |context| {
                        decide(handler.as_ref(), context, view, &mut effects)
                    });
                    match outcome {
                        None | Some(Ok(())) => self.record(index, &mut effects, view),
                        Some(Err(HandlerError::Missing(key))) => return Turn::Needs(key),
                        Some(Err(HandlerError::Rejected(reason))) => {
                            self.park(index, handler.name(), reason);
                        }
                    }
                }
                self.next_handler += 1;
            }
            self.next_handler = 0;
            self.next_log += 1;
        }
        let closed = self.rolling.close();
        self.keep_digest(closed);
        Turn::Done
    }

    /// Marks documents as changed before the first turn (restored by a rewind).
    pub fn touch(&mut self, keys: impl IntoIterator<Item = DocKey>) {
        self.touched.extend(keys);
    }

    /// Final contents of everything touched, and the undo records in order of application.
    pub fn finish(self, view: &StateView) -> Finished {
        let mut docs: Vec<(DocKey, Option<Doc>)> = self
            .touched
            .into_iter()
            .map(|key| (key, view.get(key).ok().flatten().cloned()))
            .collect();
        docs.sort_unstable_by_key(|(key, _)| *key);
        Finished {
            blocks: self.blocks,
            logs: self.logs,
            recognised: self.recognised,
            docs,
            undo: self.undo,
            parked: self.parked,
            digest: self.rolling.state(),
        }
    }

    fn is_parked(&self, handler: &str) -> bool {
        self.parked.iter().any(|parked| parked.handler == handler)
    }

    /// Lets a log into the digest once, however many turns its handlers take.
    fn hash(&mut self, index: usize) {
        if index < self.hashed {
            return;
        }
        self.hashed = index + 1;
        let Some(log) = self.logs.get(index) else { return };
        let Some(at) = place(&self.blocks, log.head.block_number) else { return };
        let closed = self.rolling.log(&self.blocks[at].block, log);
        self.keep_digest(closed);
    }

    fn keep_digest(&mut self, closed: Option<(u64, BlockDigest)>) {
        if let Some((number, digest)) = closed
            && let Some(at) = place(&self.blocks, number)
        {
            self.blocks[at].digest = Some(digest);
        }
    }

    fn with_event<T>(
        &self,
        chain: ChainId,
        index: usize,
        run: impl FnOnce(&EventContext<'_>) -> T,
    ) -> Option<T> {
        let kind = self.kinds.get(index).copied().flatten()?;
        let log = self.logs.get(index)?;
        let block = &self.blocks.get(place(&self.blocks, log.head.block_number)?)?.block;
        let event = RwaEvent::read(kind, log).ok()?;
        Some(run(&EventContext { chain, block, log, event: &event }))
    }

    fn record(&mut self, index: usize, effects: &mut Vec<Effect>, view: &mut StateView) {
        let block = self.logs.get(index).map_or(0, |log| log.head.block_number);
        if block != self.undo_block {
            self.undo_block = block;
            self.undone.clear();
        }
        for effect in effects.drain(..) {
            self.rolling.effect(&effect);
            let (key, doc) = match effect {
                Effect::Put(key, doc) => (key, Some(doc)),
                Effect::Delete(key) => (key, None),
            };
            let before = view.set(key, doc);
            self.touched.insert(key);
            if block > self.undo_above && self.undone.insert(key) {
                self.undo.push(Undo { block, key, before });
            }
        }
    }

    fn park(&mut self, index: usize, handler: &'static str, reason: String) {
        let Some(log) = self.logs.get(index) else { return };
        let at = Position { block: log.head.block_number, log_index: log.head.log_index };
        self.parked.push(Parked { handler: handler.to_owned(), at, reason });
    }
}

/// Where the block of this number stands.
fn place(blocks: &[CommitBlock], number: u64) -> Option<usize> {
    let at = blocks.partition_point(|commit| commit.block.number < number);
    blocks.get(at).filter(|commit| commit.block.number == number)?;
    Some(at)
}

/// A segment with everything the handlers made of it.
#[derive(Debug)]
pub struct Finished {
    pub blocks: Vec<CommitBlock>,
    pub logs: LogBuf,
    /// One entry per log; `None` for a foreign one that is kept.
    pub recognised: Vec<Option<Recognised>>,
    pub docs: Vec<(DocKey, Option<Doc>)>,
    pub undo: Vec<Undo>,
    pub parked: Vec<Parked>,
    /// The state digest after the segment.
    pub digest: B256,
}

/// Logs without the foreign ones, and what each is.
pub(super) fn recognised(
    registry: &Registry,
    tags: &[ContractTag],
    mut logs: LogBuf,
) -> (Vec<Recognised>, LogBuf) {
    let what: Vec<Option<Recognised>> =
        logs.iter().map(|log| recognise(registry, tags, log).map(|(what, _)| what)).collect();
    let mut kept = what.iter();
    logs.retain(|_| kept.next().is_some_and(Option::is_some));
    (what.into_iter().flatten().collect(), logs)
}

/// `None`: not one of our contracts.
fn recognise(
    registry: &Registry,
    tags: &[ContractTag],
    log: LogView<'_>,
) -> Option<(Recognised, Option<EventKind>)> {
    let tag = |contract: u16| tags.get(usize::from(contract)).copied();
    match registry.recognise(log) {
        Recognition::Foreign => None,
        Recognition::Undecoded { contract, reason } => {
            Some((Recognised::Undecoded { contract: tag(contract)?, reason }, None))
        }
        Recognition::Event { layout, contract, kind, .. } => {
            Some((Recognised::Event { layout, contract: tag(contract)? }, Some(kind)))
        }
    }
}

/// Calls a handler; its panic is its own rejection of the event and nobody else's.
fn decide(
    handler: &dyn Handler,
    context: &EventContext<'_>,
    view: &StateView,
    effects: &mut Vec<Effect>,
) -> Result<(), HandlerError> {
    let call = AssertUnwindSafe(|| handler.handle(context, view, effects));
    catch_unwind(call).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
            .unwrap_or_default();
        Err(HandlerError::Rejected(format!("panicked: {text}")))
    })
}
