//! A segment's logs → documents: recognise, let the handlers decide, remember what was before.
//!
//! Synchronous and without I/O. Documents that a handler needs and the view lacks are asked for by
//! returning; the work then goes on where it stopped.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::error::PipelineError;
use super::handler::{Effect, EventContext, Handler, HandlerError, StateView};
use super::store::{ContractTag, Recognised, Undo};
use crate::chain::update::{ProvenBlock, Segment};
use crate::decode::event::{EventKind, RwaEvent};
use crate::decode::registry::{Recognition, Registry};
use crate::types::asset::{Doc, DocKey};
use crate::types::chain::{BlockRef, ChainId};
use crate::types::event::Position;
use crate::types::log::{LogBuf, LogView};

/// A segment on its way through the handlers.
#[derive(Debug)]
pub struct Work {
    pub blocks: Vec<ProvenBlock>,
    /// Only the logs that are ours.
    pub logs: LogBuf,
    /// One entry per log.
    pub recognised: Vec<Recognised>,
    kinds: Vec<Option<EventKind>>,
    /// Blocks above this one get undo records.
    undo_above: u64,
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
    /// Recognises a segment's logs and drops those that are not ours.
    pub fn new(
        registry: &Registry,
        tags: &[ContractTag],
        segment: Segment,
        undo_above: u64,
    ) -> Self {
        let mut logs = segment.logs;
        let mut recognised = Vec::with_capacity(logs.len());
        let mut kinds = Vec::with_capacity(logs.len());
        let mut keep = Vec::with_capacity(logs.len());
        for log in logs.iter() {
            let seen = recognise(registry, tags, log);
            keep.push(seen.is_some());
            if let Some((what, kind)) = seen {
                recognised.push(what);
                kinds.push(kind);
            }
        }
        let mut kept = keep.iter();
        logs.retain(|_| kept.next().copied().unwrap_or(false));
        Self {
            blocks: segment.blocks,
            logs,
            recognised,
            kinds,
            undo_above,
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
                for handler in handlers {
                    keys.clear();
                    handler.keys(context, &mut keys);
                    wanted.extend(keys.iter().filter(|key| !view.knows(key)).copied());
                }
            });
        }
        wanted.into_iter().collect()
    }

    /// Runs the handlers from where the last turn stopped.
    pub fn turn(
        &mut self,
        chain: ChainId,
        handlers: &[Box<dyn Handler>],
        view: &mut StateView,
    ) -> Result<Turn, PipelineError> {
        let mut effects = Vec::new();
        while self.next_log < self.logs.len() {
            while let Some(handler) = handlers.get(self.next_handler) {
                effects.clear();
                let index = self.next_log;
                let outcome = self.with_event(chain, index, |context| {
                    decide(handler.as_ref(), context, view, &mut effects)
                });
                match outcome {
                    None | Some(Ok(())) => {}
                    Some(Err(HandlerError::Missing(key))) => return Ok(Turn::Needs(key)),
                    Some(Err(HandlerError::Rejected(reason))) => {
                        return Err(self.stopped(chain, handler.name(), reason));
                    }
                }
                self.record(index, &mut effects, view);
                self.next_handler += 1;
            }
            self.next_handler = 0;
            self.next_log += 1;
        }
        Ok(Turn::Done)
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
        let block = self.block_of(log)?;
        let event = RwaEvent::read(kind, log).ok()?;
        Some(run(&EventContext { chain, block, log, event: &event }))
    }

    fn block_of(&self, log: LogView<'_>) -> Option<&BlockRef> {
        let number = log.head.block_number;
        let index = self.blocks.partition_point(|proven| proven.block.number < number);
        self.blocks.get(index).map(|proven| &proven.block).filter(|block| block.number == number)
    }

    fn record(&mut self, index: usize, effects: &mut Vec<Effect>, view: &mut StateView) {
        let block = self.logs.get(index).map_or(0, |log| log.head.block_number);
        if block != self.undo_block {
            self.undo_block = block;
            self.undone.clear();
        }
        for effect in effects.drain(..) {
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

    fn stopped(&self, chain: ChainId, handler: &'static str, reason: String) -> PipelineError {
        let at = self
            .logs
            .get(self.next_log)
            .map(|log| Position { block: log.head.block_number, log_index: log.head.log_index });
        let at = at.unwrap_or(Position { block: 0, log_index: 0 });
        PipelineError::Handler { chain, handler, block: at.block, log_index: at.log_index, reason }
    }
}

/// A segment with everything the handlers made of it.
#[derive(Debug)]
pub struct Finished {
    pub blocks: Vec<ProvenBlock>,
    pub logs: LogBuf,
    pub recognised: Vec<Recognised>,
    pub docs: Vec<(DocKey, Option<Doc>)>,
    pub undo: Vec<Undo>,
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
