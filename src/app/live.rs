//! The gateway's live facts, answered from the health board.

use crate::gateway::live::{ChainHead, ChainLive, Component, ComponentState as Shown};
use crate::telemetry::health::{ChainState, ComponentState, HealthBoard};

/// The board behind the gateway's port.
#[derive(Debug)]
pub(super) struct Live(HealthBoard);

impl Live {
    pub(super) fn new(board: HealthBoard) -> Self {
        Self(board)
    }
}

impl ChainLive for Live {
    fn heads(&self) -> Vec<ChainHead> {
        let chains = self.0.snapshot().chains;
        chains
            .into_iter()
            .filter_map(|(chain, health)| {
                let head = health.head?;
                let (number, hash) = (head.block.number, head.block.hash);
                Some(ChainHead { chain, number, hash, seen_at: head.seen_at })
            })
            .collect()
    }

    fn components(&self) -> Vec<Component> {
        let snapshot = self.0.snapshot();
        let chains = snapshot.chains.into_iter().map(|(id, chain)| Component {
            name: format!("chain:{id}"),
            state: of_chain(chain.state),
            detail: chain.detail.unwrap_or_else(|| chain.state.as_str().to_owned()),
        });
        let parts = snapshot.components.into_iter().map(|(name, part)| Component {
            name,
            state: of_part(part.state),
            detail: part.detail.unwrap_or_else(|| part.state.as_str().to_owned()),
        });
        chains.chain(parts).collect()
    }
}

/// A backfill serves what it has, so it is no failure; a stall is one that may pass.
fn of_chain(state: ChainState) -> Shown {
    match state {
        ChainState::Starting => Shown::Starting,
        ChainState::Backfilling | ChainState::Live | ChainState::Standby => Shown::Ok,
        ChainState::Stalled => Shown::Degraded,
        ChainState::Failed => Shown::Failed,
    }
}

fn of_part(state: ComponentState) -> Shown {
    match state {
        ComponentState::Up => Shown::Ok,
        ComponentState::Degraded => Shown::Degraded,
        ComponentState::Down => Shown::Failed,
    }
}
