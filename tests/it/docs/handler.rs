//! The handler that CONTRIBUTING.md shows, compiled.

use rwahub::pipeline::handler::{Effect, EventContext, Handler, HandlerError, StateView};
use rwahub::types::asset::{Doc, DocKey};

/// Counts a token's transfers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counter;

impl Handler for Counter {
    fn name(&self) -> &'static str {
        "counter" // stable: part of reports and effect ids
    }

    /// The documents that `handle` will ask for: a segment's are loaded in one call.
    fn keys(&self, context: &EventContext<'_>, keys: &mut Vec<DocKey>) {
        keys.push(DocKey::Token(context.log.head.address));
    }

    /// Pure: ask for documents first, then push effects.
    fn handle(
        &self,
        context: &EventContext<'_>,
        view: &StateView,
        effects: &mut Vec<Effect>,
    ) -> Result<(), HandlerError> {
        let key = DocKey::Token(context.log.head.address);
        let Some(Doc::Token(token)) = view.get(key)? else { return Ok(()) };
        let mut token = token.clone();
        token.transfers += 1;
        effects.push(Effect::Put(key, Doc::Token(token)));
        Ok(())
    }
}
