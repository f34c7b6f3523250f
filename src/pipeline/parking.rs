//! Tells operators which handlers are parked: log, health board, metric. Decides nothing.

use super::meters::Meters;
use super::store::Parked;
use crate::telemetry::health::{ComponentState, HealthBoard};
use crate::types::chain::ChainId;

/// One chain's parked handlers, and who is told of them.
#[derive(Debug)]
pub(super) struct Parking {
    chain: ChainId,
    health: HealthBoard,
    meters: Meters,
    parked: Vec<Parked>,
}

impl Parking {
    /// Starts from what the store remembers.
    pub(super) fn new(
        chain: ChainId,
        health: HealthBoard,
        meters: Meters,
        parked: Vec<Parked>,
    ) -> Self {
        let mut parking = Self { chain, health, meters, parked: Vec::new() };
        parking.set(parked);
        parking
    }

    /// Who is parked now.
    pub(super) fn parked(&self) -> &[Parked] {
        &self.parked
    }

    /// Replaces the list and tells what is new in it and what has gone.
    pub(super) fn set(&mut self, parked: Vec<Parked>) {
        let chain = self.chain.0;
        for gone in self.parked.iter().filter(|known| !parked.contains(known)) {
            log::info!(chain, handler = gone.handler.as_str(); "the handler goes on");
            self.meters.parked(&gone.handler, false);
            self.health.component(&self.name(&gone.handler), ComponentState::Up, None);
        }
        for new in parked.iter().filter(|parked| !self.parked.contains(parked)) {
            let told = format!(
                "parked at block {} log {}: {}; the raw log and the other handlers go on; with a \
                 corrected handler run `rwahub reindex --chain {chain}`",
                new.at.block, new.at.log_index, new.reason
            );
            log::error!(chain, handler = new.handler.as_str(); "{told}");
            self.meters.parked(&new.handler, true);
            self.health.component(&self.name(&new.handler), ComponentState::Degraded, Some(told));
        }
        self.parked = parked;
    }

    fn name(&self, handler: &str) -> String {
        format!("chain:{}:handler:{handler}", self.chain)
    }
}
