//! Config → parts: the store, one pool and one registry per chain, the bus.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow};

use super::log_index::{Coverage, StoredLogs};
use super::role::Role;
use super::storage::{self, Access};
use crate::bus;
use crate::bus::nats::Nats;
use crate::config::{self, BuiltInAbi, Config};
use crate::decode::event::Pack;
use crate::decode::filter::FetchFilter;
use crate::decode::layout::Layouts;
use crate::decode::registry::{Registry, Source, SourceAbi, SourceAddresses};
use crate::gateway::auth::chain_calls::PoolCalls;
use crate::gateway::auth::secret::Secret;
use crate::gateway::auth::{self, Auth};
use crate::pipeline::bus::Bus;
use crate::pipeline::store::ContractTag;
use crate::rpc::eth::LogFilter;
use crate::rpc::pool::Pool;
use crate::store::read::Queries;
use crate::store::{DataStore, cache, records};
use crate::telemetry::health::HealthBoard;
use crate::types::chain::ChainId;
use crate::types::clock::{Clock as _, SystemClock};
use crate::types::event::ArgReader;

/// The installation's secret in the store's folder, when the configuration names no other place.
const SECRET_FILE: &str = "auth.secret";

/// Where records are kept while the index is on a server.
const RECORDS_FOLDER: &str = "data";

/// Everything that outlives a single task.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) store: Arc<dyn DataStore>,
    pub(crate) bus: Arc<bus::embedded::Embedded>,
    pub(crate) health: HealthBoard,
    pub(crate) auth: Auth,
    /// What processes share: limits, leases, kept answers, wake-ups.
    pub(crate) shared: cache::Shared,
    /// The broker that events are carried to, if one is configured.
    pub(crate) messages: Option<Arc<dyn Bus>>,
    /// This process among others, until it ends.
    pub(crate) node: String,
    pools: BTreeMap<ChainId, Arc<Pool>>,
    decoding: Mutex<Decoding>,
    coverage: Mutex<BTreeMap<ChainId, Coverage>>,
    config: Config,
}

impl Parts {
    /// Builds the parts; opens the store, which nobody else may hold. Talks to no provider.
    pub(crate) async fn build(config: &Config) -> Result<Self> {
        Self::build_for(config, Role::All).await
    }

    /// The parts of one role: who does not index opens the store for reading.
    pub(crate) async fn build_for(config: &Config, role: Role) -> Result<Self> {
        let decoding = Decoding::new(config)?;
        let reader = Arc::clone(&decoding.layouts) as Arc<dyn ArgReader>;
        let access = if role.indexes() { Access::Write } else { Access::Read };
        let store = storage::open(&config.store, access, &decoding.names, reader).await?;
        let pools: BTreeMap<_, _> =
            config.chains.iter().map(|chain| (chain.id, Pool::new(chain))).collect();
        let bus = Arc::new(bus::embedded::Embedded::new(store.feed_head().await?));
        let health = HealthBoard::new(Arc::new(SystemClock));
        Ok(Self {
            store,
            bus,
            health,
            auth: auth(config, pools.values().cloned())?,
            shared: cache::open(&config.cache).context("[cache]")?,
            messages: messages(config).await?,
            node: node_name(),
            pools,
            decoding: Mutex::new(decoding),
            coverage: Mutex::default(),
            config: config.clone(),
        })
    }

    /// The chain's providers.
    pub(crate) fn pool(&self, chain: ChainId) -> Option<Arc<Pool>> {
        self.pools.get(&chain).cloned()
    }

    /// Every chain's providers.
    pub(crate) fn pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.pools.values()
    }

    /// Notes what the index of a chain is made with, before anything more is added to it.
    pub(crate) async fn note_coverage(
        &self,
        chain: ChainId,
        filters: Vec<FetchFilter>,
    ) -> Result<()> {
        let print = alloy_primitives::keccak256(format!("{filters:?}")).to_string();
        if let Some(since) = self.store.covered_since(chain, &print).await? {
            let mut coverage = self.coverage.lock().unwrap_or_else(PoisonError::into_inner);
            coverage.insert(chain, Coverage { filters, since });
        }
        Ok(())
    }

    /// The chain's index as the proxy asks it; nothing when it is not known what it holds.
    pub(super) fn log_index(&self, chain: ChainId) -> Option<StoredLogs> {
        let coverage = self.coverage.lock().unwrap_or_else(PoisonError::into_inner);
        let coverage = coverage.get(&chain)?.clone();
        Some(StoredLogs { queries: Arc::clone(&self.store) as Arc<dyn Queries>, chain, coverage })
    }

    /// What the chain's logs are recognised with. A chain's task takes it; one that is opened again,
    /// after its lease was lost, gets a fresh one without what the last one had learnt.
    pub(crate) fn take_registry(&self, chain: ChainId) -> Option<(Registry, Vec<ContractTag>)> {
        let mut decoding = self.decoding.lock().unwrap_or_else(PoisonError::into_inner);
        let registry = match decoding.registries.remove(&chain) {
            Some(registry) => registry,
            // The same configuration gives the same layouts under the same numbers.
            None => registries(&self.config).ok()?.1.remove(&chain)?,
        };
        let tags = decoding.tags(&registry);
        Some((registry, tags))
    }
}

/// Sign-in over the durable records beside the index. Commands open it beside a running daemon.
pub(crate) fn auth(config: &Config, pools: impl IntoIterator<Item = Arc<Pool>>) -> Result<Auth> {
    let path = match &config.store {
        config::Store::Embedded { path } => path.as_path(),
        // Records have no back end there yet: they stay with this process.
        config::Store::MongoDb { .. } => Path::new(RECORDS_FOLDER),
    };
    let records = records::embedded::open(path)
        .with_context(|| format!("[store] path = {:?}", path.display().to_string()))?;
    let secret = config.gateway.secret_file.clone().unwrap_or_else(|| path.join(SECRET_FILE));
    let secret = Secret::load(&secret).context("[gateway] secret_file")?;
    Ok(Auth::new(auth::Parts {
        records: Arc::new(records),
        clock: Arc::new(SystemClock),
        secret,
        origin: config.gateway.own_origin(),
        open_registration: config.gateway.open_registration,
        calls: Arc::new(PoolCalls::new(pools)),
    }))
}

/// The broker of the configuration; without one nothing is carried anywhere.
async fn messages(config: &Config) -> Result<Option<Arc<dyn Bus>>> {
    match &config.bus {
        config::Bus::Embedded => Ok(None),
        config::Bus::Nats { url, prefix } => {
            let nats = Nats::open(url.expose(), prefix).await;
            let nats = nats.with_context(|| format!("[bus] url = {:?}", url.redacted()))?;
            Ok(Some(Arc::new(nats)))
        }
    }
}

/// A name that no other process has, nor this one after a restart.
fn node_name() -> String {
    format!("{}-{:x}", std::process::id(), SystemClock.now().as_nanos())
}

/// Everything that turns logs into events.
#[derive(Debug)]
pub(crate) struct Decoding {
    pub(crate) layouts: Arc<Layouts>,
    pub(crate) registries: BTreeMap<ChainId, Registry>,
    /// Names of contract entries over all chains, each once.
    pub(crate) names: Vec<String>,
}

impl Decoding {
    /// Compiles every chain's contracts.
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let (layouts, registries) = registries(config)?;
        let mut names: Vec<String> = Vec::new();
        for name in registries.values().flat_map(Registry::contract_names) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(Self { layouts, registries, names })
    }

    /// A registry's contract indexes as tags into `names`.
    fn tags(&self, registry: &Registry) -> Vec<ContractTag> {
        let place = |name: &String| self.names.iter().position(|known| known == name);
        registry
            .contract_names()
            .iter()
            .filter_map(|name| u16::try_from(place(name)?).ok().map(ContractTag))
            .collect()
    }
}

/// One registry per chain over one table of layouts, so that a layout has the same number everywhere.
fn registries(config: &Config) -> Result<(Arc<Layouts>, BTreeMap<ChainId, Registry>)> {
    let mut layouts = Layouts::new()?;
    let mut registries = BTreeMap::new();
    for chain in &config.chains {
        let sources: Vec<Source> = config
            .contracts
            .iter()
            .filter(|contract| contract.chain_id == chain.id)
            .map(|contract| source(contract, chain.start_block))
            .collect();
        let registry = Registry::new(&mut layouts, &sources).map_err(|faults| {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            anyhow!("{}", faults.join("\n"))
        })?;
        registries.insert(chain.id, registry);
    }
    Ok((Arc::new(layouts), registries))
}

fn source(contract: &config::Contract, chain_start: u64) -> Source {
    Source {
        name: contract.name.clone(),
        abi: match &contract.abi {
            config::Abi::BuiltIn(BuiltInAbi::Erc20) => SourceAbi::BuiltIn(Pack::Erc20),
            config::Abi::BuiltIn(BuiltInAbi::Erc721) => SourceAbi::BuiltIn(Pack::Erc721),
            config::Abi::BuiltIn(BuiltInAbi::Erc3643) => SourceAbi::BuiltIn(Pack::Erc3643),
            config::Abi::BuiltIn(BuiltInAbi::Rwahub) => SourceAbi::BuiltIn(Pack::Rwahub),
            config::Abi::Custom { path, json } => {
                SourceAbi::Json { file: path.display().to_string(), text: json.clone() }
            }
        },
        addresses: match &contract.addresses {
            config::Addresses::Any => SourceAddresses::Any,
            config::Addresses::Listed(addresses) => SourceAddresses::Listed(addresses.clone()),
            config::Addresses::Factory { factory, topic0, event, parameter } => {
                SourceAddresses::Factory {
                    factory: *factory,
                    topic0: *topic0,
                    event: event.clone(),
                    parameter: parameter.clone(),
                }
            }
        },
        start_block: contract.start_block.unwrap_or(chain_start),
        events: contract.events.clone(),
    }
}

/// What to ask nodes for so that the registry sees everything of ours. A factory's children are
/// asked for by their events at any address: a child may log in the very block that creates it.
pub(crate) fn filters(registry: &Registry) -> Vec<LogFilter> {
    let mut filters: Vec<LogFilter> = registry
        .filters()
        .into_iter()
        .map(|filter| LogFilter::by_topic0(filter.addresses, filter.topics0))
        .collect();
    let children = registry.child_topics();
    if !children.is_empty() {
        filters.push(LogFilter::by_topic0(Vec::new(), children));
    }
    filters
}
