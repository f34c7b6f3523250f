//! Config → parts: the store, one pool and one registry per chain, the bus.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};

use crate::bus;
use crate::config::{Config, Store};
use crate::decode::layout::Layouts;
use crate::decode::registry::Registry;
use crate::rpc::eth::LogFilter;
use crate::rpc::pool::Pool;
use crate::store::embedded::{self, Embedded};
use crate::types::chain::ChainId;
use crate::types::event::ArgReader;

/// Everything that outlives a single task.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) store: Arc<Embedded>,
    pub(crate) bus: Arc<bus::embedded::Embedded>,
    pools: BTreeMap<ChainId, Arc<Pool>>,
    registries: BTreeMap<ChainId, Arc<Registry>>,
}

impl Parts {
    /// Builds the parts; opens the store, which nobody else may hold. Talks to no provider.
    pub(crate) async fn build(config: &Config) -> Result<Self> {
        let (layouts, registries) = registries(config)?;
        let Store::Embedded { path } = &config.store;
        let reader: Arc<dyn ArgReader> = layouts;
        let names = registries.iter().map(|(chain, registry)| (*chain, registry.contract_names()));
        let store = embedded::open(path, reader, names.collect())
            .await
            .with_context(|| format!("[store] path = {:?}", path.display().to_string()))?;
        let pools = config.chains.iter().map(|chain| (chain.id, Pool::new(chain))).collect();
        let bus = Arc::new(bus::embedded::Embedded::default());
        Ok(Self { store: Arc::new(store), bus, pools, registries })
    }

    /// The chain's providers.
    pub(crate) fn pool(&self, chain: ChainId) -> Option<Arc<Pool>> {
        self.pools.get(&chain).cloned()
    }

    /// Every chain's providers.
    pub(crate) fn pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.pools.values()
    }

    /// What the chain's logs are recognised with.
    pub(crate) fn registry(&self, chain: ChainId) -> Option<Arc<Registry>> {
        self.registries.get(&chain).cloned()
    }
}

/// One registry per chain over one table of layouts, so that a layout has the same number everywhere.
pub(crate) fn registries(
    config: &Config,
) -> Result<(Arc<Layouts>, BTreeMap<ChainId, Arc<Registry>>)> {
    let mut layouts = Layouts::default();
    let mut registries = BTreeMap::new();
    for chain in &config.chains {
        let contracts: Vec<_> =
            config.contracts.iter().filter(|contract| contract.chain_id == chain.id).collect();
        let registry = Registry::new(chain, &contracts, &mut layouts)?;
        registries.insert(chain.id, Arc::new(registry));
    }
    Ok((Arc::new(layouts), registries))
}

/// What to ask nodes for so that the registry sees everything of ours.
pub(crate) fn filters(registry: &Registry) -> Vec<LogFilter> {
    registry
        .filters()
        .into_iter()
        .map(|filter| LogFilter { addresses: filter.addresses, topic0: filter.topic0 })
        .collect()
}
