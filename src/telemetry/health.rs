//! The health board: rooms report here, whoever answers `/readyz` or `status` reads here, and neither
//! knows the other.
//!
//! Holds the present only; history is for metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use crate::types::chain::{BlockId, ChainId};
use crate::types::clock::Clock;

/// What a chain's index is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainState {
    /// Not yet past its first contact with a provider.
    Starting,
    /// Catching up with history.
    Backfilling,
    /// At the head.
    Live,
    /// Another process is the active one; this one takes over when that ends.
    Standby,
    /// Nothing new for longer than there should be; tries on.
    Stalled,
    /// Stopped; needs an operator.
    Failed,
}

impl ChainState {
    /// The word the outside sees.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Backfilling => "backfilling",
            Self::Live => "live",
            Self::Standby => "standby",
            Self::Stalled => "stalled",
            Self::Failed => "failed",
        }
    }
}

/// How a component (store, provider, bus) is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComponentState {
    Up,
    /// Works with less than it should have.
    Degraded,
    Down,
}

impl ComponentState {
    /// The word the outside sees.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// The newest block that a chain's providers have announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub block: BlockId,
    /// When it was first seen, since the Unix epoch.
    pub seen_at: Duration,
}

/// A chain on the board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainHealth {
    pub state: ChainState,
    /// Why, where that is not plain from the state.
    pub detail: Option<String>,
    /// Since when it is in this state, since the Unix epoch.
    pub since: Duration,
    pub head: Option<Head>,
}

/// A component on the board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentHealth {
    pub state: ComponentState,
    pub detail: Option<String>,
    pub since: Duration,
}

/// Everything on the board at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub chains: BTreeMap<ChainId, ChainHealth>,
    pub components: BTreeMap<String, ComponentHealth>,
}

impl Snapshot {
    /// Why traffic should go elsewhere, one line each; empty when ready. A backfill is no reason:
    /// what is indexed can be served.
    pub fn reasons_not_ready(&self) -> Vec<String> {
        let because = |detail: &Option<String>| {
            detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default()
        };
        let chains = self
            .chains
            .iter()
            .filter(|(_, chain)| {
                use ChainState::{Backfilling, Live, Standby};
                !matches!(chain.state, Backfilling | Live | Standby)
            })
            .map(|(id, chain)| {
                format!("chain {id} is {}{}", chain.state.as_str(), because(&chain.detail))
            });
        let components = self
            .components
            .iter()
            .filter(|(_, component)| component.state == ComponentState::Down)
            .map(|(name, component)| format!("{name} is down{}", because(&component.detail)));
        chains.chain(components).collect()
    }
}

/// The board itself; clones share it.
#[derive(Debug, Clone)]
pub struct HealthBoard {
    board: Arc<RwLock<Snapshot>>,
    clock: Arc<dyn Clock>,
}

impl HealthBoard {
    /// An empty board.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { board: Arc::default(), clock }
    }

    /// Reports what a chain is doing.
    pub fn chain(&self, chain: ChainId, state: ChainState, detail: Option<String>) {
        let now = self.clock.now();
        let mut board = self.write();
        let entry = board.chains.entry(chain).or_insert_with(|| ChainHealth {
            state,
            detail: None,
            since: now,
            head: None,
        });
        if entry.state != state {
            entry.since = now;
        }
        entry.state = state;
        entry.detail = detail;
    }

    /// Reports the newest block announced. The same block again keeps its first time.
    pub fn head(&self, chain: ChainId, block: BlockId) {
        let now = self.clock.now();
        let mut board = self.write();
        let entry = board.chains.entry(chain).or_insert_with(|| ChainHealth {
            state: ChainState::Starting,
            detail: None,
            since: now,
            head: None,
        });
        if entry.head.is_none_or(|head| head.block != block) {
            entry.head = Some(Head { block, seen_at: now });
        }
    }

    /// Reports how a component is.
    pub fn component(&self, name: &str, state: ComponentState, detail: Option<String>) {
        let now = self.clock.now();
        let mut board = self.write();
        let since = board
            .components
            .get(name)
            .filter(|known| known.state == state)
            .map_or(now, |known| known.since);
        board.components.insert(name.to_owned(), ComponentHealth { state, detail, since });
    }

    /// Everything at this moment.
    pub fn snapshot(&self) -> Snapshot {
        self.read().clone()
    }

    // A panic while holding the lock leaves whole values behind: every write is one assignment.
    fn write(&self) -> RwLockWriteGuard<'_, Snapshot> {
        self.board.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, Snapshot> {
        self.board.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use alloy_primitives::B256;

    use super::*;

    #[derive(Debug, Default)]
    struct Ticks(AtomicU64);

    impl Clock for Ticks {
        fn now(&self) -> Duration {
            Duration::from_secs(self.0.fetch_add(1, Ordering::Relaxed))
        }
    }

    #[test]
    fn a_state_keeps_its_beginning_and_a_head_its_first_sight() {
        let board = HealthBoard::new(Arc::new(Ticks::default()));
        let chain = ChainId(1);
        let block = BlockId { number: 7, hash: B256::repeat_byte(7) };
        board.chain(chain, ChainState::Live, None);
        board.head(chain, block);
        board.head(chain, block);
        board.chain(chain, ChainState::Live, Some("one provider of two".to_owned()));
        let seen = board.snapshot().chains[&chain].clone();
        assert_eq!(seen.since, Duration::from_secs(0));
        assert_eq!(seen.head, Some(Head { block, seen_at: Duration::from_secs(1) }));
        board.chain(chain, ChainState::Stalled, None);
        assert_eq!(board.snapshot().chains[&chain].since, Duration::from_secs(4));
    }

    #[test]
    fn readiness_names_what_is_wrong_and_lets_backfills_pass() {
        let board = HealthBoard::new(Arc::new(Ticks::default()));
        board.chain(ChainId(1), ChainState::Backfilling, None);
        board.component("store", ComponentState::Degraded, None);
        assert_eq!(board.snapshot().reasons_not_ready(), Vec::<String>::new());
        board.chain(ChainId(2), ChainState::Failed, Some("broken link".to_owned()));
        board.component("store", ComponentState::Down, None);
        assert_eq!(
            board.snapshot().reasons_not_ready(),
            ["chain 2 is failed: broken link", "store is down"]
        );
    }
}
