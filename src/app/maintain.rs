//! A chain's stored index outside of following: what has to be finished before, and `reindex`.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};

use super::build::Parts;
use crate::config::{self, Config};
use crate::decode::registry::Registry;
use crate::handlers;
use crate::pipeline::handler::Handler;
use crate::pipeline::rebuild::{Rebuilder, Rebuilt};
use crate::pipeline::sources::{self, Source};
use crate::pipeline::store::{ChainState, ContractTag, Store};
use crate::types::chain::ChainId;

/// One chain's index, open for changes, and everything that makes documents.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) chain: ChainId,
    name: String,
    pub(super) registry: Registry,
    pub(super) tags: Vec<ContractTag>,
    pub(super) handlers: Vec<Box<dyn Handler>>,
    pub(super) store: Arc<dyn Store>,
    pub(super) state: ChainState,
    /// What the configuration asks for.
    pub(super) sources: Vec<Source>,
}

impl Index {
    /// Reads where the store stands. Talks to no provider.
    pub(super) async fn open(parts: &Parts, chain: &config::Chain) -> Result<Self> {
        let (mut registry, tags) =
            parts.take_registry(chain.id).context("a registry per configured chain")?;
        let store: Arc<dyn Store> = Arc::clone(&parts.store) as Arc<dyn Store>;
        let state = store.open_chain(chain.id, &chain.name).await?;
        let sources = sources::of(&registry);
        for factory in registry.factories().collect::<Vec<_>>() {
            registry.learn_from(store.logs_by(chain.id, factory).await?.iter());
        }
        let (chain, name) = (chain.id, chain.name.clone());
        let handlers = handlers::registry::all();
        Ok(Self { chain, name, registry, tags, handlers, store, state, sources })
    }

    /// Finishes what an earlier process began or an amendment made due.
    pub(super) async fn make_whole(&mut self) -> Result<()> {
        if self.state.rebuild.is_none() {
            return Ok(());
        }
        let chain = self.chain.0;
        log::info!(chain, from:? = self.state.rebuild; "the documents are built from the raw logs first");
        let rebuilt = self.rebuild(|_| {}).await?;
        log::info!(chain, logs = rebuilt.logs; "the documents are whole");
        Ok(())
    }

    /// Builds every document again.
    pub(super) async fn rebuild(&mut self, told: impl Fn(u64)) -> Result<Rebuilt> {
        let rebuilder = Rebuilder {
            chain: self.chain,
            registry: &self.registry,
            tags: &self.tags,
            handlers: &self.handlers,
            store: self.store.as_ref(),
        };
        let rebuilt = rebuilder.run(&self.state, told).await?;
        self.refresh().await?;
        Ok(rebuilt)
    }

    /// Reads again where the store stands.
    pub(super) async fn refresh(&mut self) -> Result<()> {
        self.state = self.store.open_chain(self.chain, &self.name).await?;
        Ok(())
    }
}

/// What a reindex of one chain did.
#[derive(Debug, Clone)]
pub struct Reindexed {
    pub chain: ChainId,
    pub to_block: Option<u64>,
    pub rebuilt: Rebuilt,
    pub seconds: f64,
}

/// Builds the documents of one chain, or of all, from the raw logs. `told` hears chain, block and the
/// last block there is, at each step.
pub async fn reindex(
    config: &Config,
    chain: Option<ChainId>,
    told: impl Fn(ChainId, u64, u64),
) -> Result<Vec<Reindexed>> {
    if let Some(chain) = chain {
        super::backfill::settings(config, chain)?;
    }
    let parts = Parts::build(config).await?;
    let mut done = Vec::new();
    for settings in config.chains.iter().filter(|one| chain.is_none_or(|id| one.id == id)) {
        let started = Instant::now();
        let mut index = Index::open(&parts, settings).await?;
        let to_block = index.state.cursor.map(|cursor| cursor.number);
        let last = to_block.unwrap_or(0);
        let rebuilt = index.rebuild(|block| told(settings.id, block, last)).await?;
        let seconds = started.elapsed().as_secs_f64();
        done.push(Reindexed { chain: settings.id, to_block, rebuilt, seconds });
    }
    Ok(done)
}
