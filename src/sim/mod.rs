//! `rwahub sim`: a deterministic EVM chain full of tokens, served by providers that fail on demand.
//!
//! ```text
//! Settings ─▶ World (recipe → seal → index, ledger) ─▶ Provider × n (node, faults) ─▶ HTTP, WebSocket
//!                └──────────────▶ Truth ─▶ control port, tests
//! ```
//! Everything follows from the seed. It executes no code, keeps no state on disk, signs nothing, and
//! knows no other room than `types`. `docs/sim.md` shows how to use it.

mod book;
mod control;
mod error;
mod events;
mod faults;
mod filter;
mod index;
mod ledger;
mod node;
mod recipe;
mod render;
mod rng;
mod seal;
mod settings;
mod truth;
mod view;
mod world;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use tokio_util::sync::CancellationToken;

pub use error::SimError;
pub use events::Kind;
pub use faults::{Caps, Fault, FaultRule, ParseFaultError, Vendor};
pub use settings::{ForkPlan, ProviderSettings, RandomForks, Settings};
pub use truth::{HeadTruth, TokenTruth, Truth};
pub use world::ForkRecord;

use control::Control;
use node::Provider;
use world::World;

/// A running simulation. Dropping it closes every port and connection.
#[derive(Debug)]
pub struct Sim {
    /// Where each provider listens, in the order of the settings.
    pub providers: Vec<SocketAddr>,
    /// Where `/truth` and `/sim` are served.
    pub control: SocketAddr,
    shared: Arc<Control>,
}

impl Sim {
    /// Makes the starting blocks, binds every port and starts to serve (and to mine, when live).
    pub async fn start(settings: Settings) -> Result<Self, SimError> {
        let made = tokio::task::spawn_blocking(move || World::new(settings)).await;
        let world = Arc::new(made.map_err(|_| SimError::Stopped)??);
        let settings = world.settings.clone();
        let stop = CancellationToken::new();
        let mut providers = Vec::new();
        let mut addresses = Vec::new();
        for (index, provider) in settings.providers.iter().enumerate() {
            let provider = Arc::new(Provider::new(Arc::clone(&world), index, provider.clone()));
            provider.start(&stop).await?;
            addresses.push(provider.address().ok_or(SimError::Stopped)?);
            providers.push(provider);
        }
        let wanted = SocketAddr::new(settings.listen, settings.control_port);
        let failed = |source| SimError::Listen { address: wanted, source };
        let listener = node::bind(wanted).await.map_err(failed)?;
        let control = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Control { world: Arc::clone(&world), providers, stop });
        tokio::spawn(control::serve(Arc::clone(&shared), listener));
        if settings.live {
            tokio::spawn(mine_live(world, settings.block_time, shared.stop.clone()));
        }
        Ok(Self { providers: addresses, control, shared })
    }

    /// Serves until `shutdown` resolves; `started` hears the ports first.
    pub async fn run(
        settings: Settings,
        shutdown: impl Future<Output = ()>,
        started: impl FnOnce(&Self),
    ) -> Result<(), SimError> {
        let sim = Self::start(settings).await?;
        started(&sim);
        shutdown.await;
        Ok(())
    }

    /// What is right.
    pub fn truth(&self) -> Truth {
        Truth::new(Arc::clone(&self.shared.world))
    }

    /// Mines blocks; returns the head's height.
    pub fn mine(&self, blocks: u64) -> Result<u64, SimError> {
        self.shared.world.mine(blocks)
    }

    /// Orphans the last `depth` blocks and puts `length` new ones in their place.
    pub fn fork(&self, depth: u64, length: u64) -> Result<ForkRecord, SimError> {
        self.shared.world.fork(depth, length)
    }

    /// Makes an orphaned block the head again, with its whole branch.
    pub fn switch_to(&self, hash: B256) -> Result<ForkRecord, SimError> {
        self.shared.world.switch_to(hash)
    }

    /// Every fork so far.
    pub fn forks(&self) -> Vec<ForkRecord> {
        self.shared.world.forks()
    }

    /// Replaces a provider's faults.
    pub fn set_faults(&self, provider: usize, rules: Vec<FaultRule>) {
        if let Some(provider) = self.shared.providers.get(provider) {
            provider.set_faults(rules);
        }
    }

    /// How often each fault has struck at a provider.
    pub fn struck(&self, provider: usize) -> Vec<(Fault, u64)> {
        self.shared.providers.get(provider).map_or_else(Vec::new, |p| p.plan.struck())
    }

    /// Calls that a provider was asked, by method.
    pub fn calls(&self, provider: usize) -> std::collections::BTreeMap<String, u64> {
        let provider = self.shared.providers.get(provider);
        provider.map_or_else(Default::default, |provider| provider.call_counts())
    }

    /// Closes a provider's port and resets its connections.
    pub fn kill(&self, provider: usize) {
        if let Some(provider) = self.shared.providers.get(provider) {
            provider.kill();
        }
    }

    /// Opens a killed provider's port again.
    pub async fn restore(&self, provider: usize) -> Result<(), SimError> {
        match self.shared.providers.get(provider) {
            Some(provider) => provider.start(&self.shared.stop).await,
            None => Ok(()),
        }
    }

    /// The hash of the head, for quick comparisons.
    pub fn head_hash(&self) -> B256 {
        self.truth().head().hash
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

async fn mine_live(world: Arc<World>, block_time: Duration, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(block_time);
    ticks.tick().await;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let world = Arc::clone(&world);
        let mined = tokio::task::spawn_blocking(move || world.mine(1)).await;
        if let Err(error) = mined.unwrap_or(Err(SimError::Stopped)) {
            log::warn!(error:% = error; "the simulated chain stands still");
            return;
        }
    }
}

#[cfg(test)]
mod tests;
