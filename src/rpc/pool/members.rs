//! Who is in the pool: looked at as one list, replaced as one list, drained one by one. And what they are
//! known to have: heads.
//!
//! A provider that is replaced or drained finishes what it was asked; nothing under way is cut.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use alloy_primitives::B256;
use tokio::sync::watch;

use super::Pool;
use crate::config;
use crate::rpc::endpoint::Endpoint;
use crate::rpc::endpoint::breaker::Gate;

/// A provider this many blocks behind the others lags: a block or two is the way of the network.
const LAG_BLOCKS_MAX: u64 = 3;

/// The providers at one moment, in the order of the configuration.
#[derive(Debug, Clone, Default)]
pub struct Endpoints(Arc<[Arc<Endpoint>]>);

impl Deref for Endpoints {
    type Target = [Arc<Endpoint>];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl FromIterator<Arc<Endpoint>> for Endpoints {
    fn from_iter<T: IntoIterator<Item = Arc<Endpoint>>>(all: T) -> Self {
        Self(all.into_iter().collect())
    }
}

impl IntoIterator for Endpoints {
    type Item = Arc<Endpoint>;
    type IntoIter = std::vec::IntoIter<Arc<Endpoint>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.to_vec().into_iter()
    }
}

/// What a new configuration changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Replaced {
    pub added: usize,
    pub kept: usize,
    pub removed: usize,
}

impl Pool {
    /// The providers, in the order of the configuration.
    pub fn endpoints(&self) -> Endpoints {
        self.members.borrow().clone()
    }

    /// Wakes when providers come, go, are drained or enabled.
    pub(in crate::rpc) fn members(&self) -> watch::Receiver<Endpoints> {
        self.members.subscribe()
    }

    /// The provider with this name.
    pub fn endpoint(&self, name: &str) -> Option<Arc<Endpoint>> {
        self.members.borrow().iter().find(|e| &*e.name == name).cloned()
    }

    /// Takes over the providers and the head rule of a new configuration of the same chain. A provider
    /// at the same address keeps its connections and what is known of it.
    pub fn replace(&self, chain: &config::Chain) -> Replaced {
        let before = self.endpoints();
        let mut replaced = Replaced::default();
        let endpoint = |provider: &config::Provider| {
            let known = before.iter().find(|e| *e.name == provider.name);
            if let Some(known) = known.filter(|known| known.adopt(provider)) {
                replaced.kept += 1;
                return known.clone();
            }
            replaced.added += 1;
            let new = Endpoint::new(self.chain, provider, self.genesis.clone());
            new.health.start_slowly();
            Arc::new(new)
        };
        let after: Endpoints = chain.providers.iter().map(endpoint).collect();
        replaced.removed = before.len() - replaced.kept;
        self.genesis.keep_only(&after.iter().map(|e| e.name.clone()).collect::<Vec<_>>());
        self.head_quorum.store(chain.head_quorum, Ordering::Relaxed);
        self.members.send_replace(after);
        replaced
    }

    /// Keeps new calls from a provider, or lets them through again. False if there is none of the name.
    pub fn drain(&self, provider: &str, drained: bool) -> bool {
        let Some(endpoint) = self.endpoint(provider) else { return false };
        endpoint.health.set_drained(drained);
        // Whoever listens to its pushes stops or starts.
        self.members.send_modify(|_| {});
        true
    }

    /// How many providers must have a block before clients are told of it: never more than there are.
    pub fn head_quorum(&self) -> usize {
        let active = self.members.borrow().iter().filter(|e| !e.health.is_drained()).count();
        self.head_quorum.load(Ordering::Relaxed).clamp(1, active.max(1))
    }

    /// The highest height that as many providers reached as the head rule asks for.
    pub fn highest_head(&self) -> u64 {
        self.head_of(self.head_quorum())
    }

    /// Whether as many providers can serve this block as the head rule asks for.
    pub(in crate::rpc) fn is_served(&self, number: u64, hash: &B256) -> bool {
        let members = self.endpoints();
        let have = members.iter().filter(|e| !e.health.is_drained() && e.serves_our_chain());
        have.filter(|e| e.health.has_block(number, hash)).count() >= self.head_quorum()
    }

    /// True when a provider's head is well below what the others have. A single one that is ahead may
    /// be making it up, so it takes two where there are two.
    pub(in crate::rpc) fn lags(&self, endpoint: &Endpoint) -> bool {
        let head = endpoint.health.head();
        head > 0 && head.saturating_add(LAG_BLOCKS_MAX) < self.head_of(2)
    }

    /// The height that `count` providers reached; zero when fewer are known.
    fn head_of(&self, count: usize) -> u64 {
        let members = self.endpoints();
        let mut heads: Vec<_> =
            members.iter().filter(|e| !e.health.is_drained()).map(|e| e.health.head()).collect();
        heads.sort_unstable_by(|a, b| b.cmp(a));
        heads.get(count.clamp(1, heads.len().max(1)) - 1).copied().unwrap_or(0)
    }

    /// True while some provider's stream of heads is open.
    pub fn pushes_heads(&self) -> bool {
        self.members.borrow().iter().any(|e| e.health.pushes_heads())
    }

    /// Up to `count` providers, best first, for a call that goes to several.
    pub fn best(&self, count: usize) -> Vec<Arc<str>> {
        let members = self.endpoints();
        let mut usable: Vec<_> =
            members.iter().filter(|e| !e.health.is_drained() && e.serves_our_chain()).collect();
        usable.sort_by_cached_key(|e| {
            let open = e.health.breaker.gate() != Gate::Closed;
            (open, e.health.throttled_for(), (e.health.cost() / e.weight_now()).to_bits())
        });
        usable.into_iter().take(count).map(|e| e.name.clone()).collect()
    }
}
