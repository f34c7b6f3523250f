//! The plugin contract: pure functions from an event and the present documents to effects.
//!
//! Handlers see events in chain order, one chain at a time, and have no clock, no network and no
//! store. The same events over the same documents give the same effects, on every replay.

use std::collections::HashMap;

use crate::decode::event::RwaEvent;
use crate::types::asset::{Doc, DocKey};
use crate::types::chain::{BlockRef, ChainId};
use crate::types::log::LogView;

/// One event, where it happened, and its raw log.
#[derive(Debug, Clone, Copy)]
pub struct EventContext<'a> {
    pub chain: ChainId,
    pub block: &'a BlockRef,
    pub log: LogView<'a>,
    pub event: &'a RwaEvent<'a>,
}

/// What a handler wants done. Applied in order, atomically with the block's commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    Put(DocKey, Doc),
    Delete(DocKey),
}

/// A handler that cannot go on with this event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandlerError {
    /// Asked for a document that `keys` did not name. The runner loads it and calls again.
    #[error("document {0:?} was not loaded")]
    Missing(DocKey),
    /// The event contradicts the documents; the handler is parked and the raw log stays complete.
    #[error("{0}")]
    Rejected(String),
}

/// The documents loaded for an event. `None` inside: known not to exist.
#[derive(Debug, Default)]
pub struct StateView {
    docs: HashMap<DocKey, Option<Doc>>,
}

impl StateView {
    /// The document's present content, `None` if there is none.
    pub fn get(&self, key: DocKey) -> Result<Option<&Doc>, HandlerError> {
        match self.docs.get(&key) {
            Some(doc) => Ok(doc.as_ref()),
            None => Err(HandlerError::Missing(key)),
        }
    }

    /// True when the document has been loaded, whether or not it exists.
    pub fn knows(&self, key: &DocKey) -> bool {
        self.docs.contains_key(key)
    }

    /// Sets a document's content and returns what it was.
    pub fn set(&mut self, key: DocKey, doc: Option<Doc>) -> Option<Doc> {
        self.docs.insert(key, doc).flatten()
    }

    /// How many documents are held.
    pub fn len(&self) -> usize {
        self.docs.len()
    }

    /// True when no document is held.
    pub fn is_empty(&self) -> bool {
        self.docs.is_empty()
    }

    /// Forgets everything, when the cache has grown to its limit.
    pub fn clear(&mut self) {
        self.docs.clear();
    }
}

/// A plugin.
pub trait Handler: std::fmt::Debug + Send + Sync {
    /// Stable name, part of effect ids and of status reports.
    fn name(&self) -> &'static str;

    /// The documents that `handle` will ask for, so that a batch loads them in one call.
    fn keys(&self, context: &EventContext<'_>, keys: &mut Vec<DocKey>);

    /// Decides. Must ask for documents before it pushes effects, so that a repeated call is clean.
    fn handle(
        &self,
        context: &EventContext<'_>,
        view: &StateView,
        effects: &mut Vec<Effect>,
    ) -> Result<(), HandlerError>;
}
