//! Who holds what: balances, supply, freezes and identities, from the events of the token contracts.
//!
//! Follows `Transfer` and nothing else for balances, so a token that moves balances without one
//! (rebasing, fees taken silently) is shown as its events tell it. Reads nothing from the chain.

mod rules;
mod state;
#[cfg(test)]
mod tests;

use crate::pipeline::handler::{Effect, EventContext, Handler, HandlerError, StateView};
use crate::types::asset::DocKey;

use rules::Change;
use state::Draft;

/// Keeps `Token`, `Holding` and `Identity` documents.
#[derive(Debug, Clone, Copy, Default)]
pub struct Holdings;

impl Handler for Holdings {
    fn name(&self) -> &'static str {
        "holdings"
    }

    fn keys(&self, context: &EventContext<'_>, keys: &mut Vec<DocKey>) {
        if let Some(change) = Change::of(context.event) {
            change.keys(context.log.head.address, keys);
        }
    }

    fn handle(
        &self,
        context: &EventContext<'_>,
        view: &StateView,
        effects: &mut Vec<Effect>,
    ) -> Result<(), HandlerError> {
        let Some(change) = Change::of(context.event) else { return Ok(()) };
        let mut draft = Draft::new(context.log.head.address, context.block.number, view);
        change.apply(&mut draft)?;
        draft.finish(effects);
        Ok(())
    }
}
