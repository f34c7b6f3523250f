//! One network's two tasks and the queue between them: a follower that fetches, a runner that commits.

use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::sync::mpsc;

use super::build::{self, Parts};
use super::late;
use super::maintain::Index;
use crate::chain::fetch::Fetcher;
use crate::chain::follow::{Doorbell, Follower, Settings, Stored};
use crate::chain::node::Node;
use crate::chain::pool_node::PoolNode;
use crate::chain::profile::bloom_rule;
use crate::chain::queue;
use crate::chain::verify::Verifier;
use crate::config;
use crate::pipeline::runner::{self, Progress, Runner};
use crate::rpc::eth::LogFilter;
use crate::rpc::pool::Pool;

/// Fetched but not yet committed data of one chain, in bytes. Two cores decode this in about 50 ms.
pub(super) const QUEUE_BYTES: usize = 32 << 20;

/// A network that is ready to be driven.
#[derive(Debug)]
pub(super) struct ChainTask {
    pub(super) follower: Follower,
    pub(super) runner: Runner,
    pub(super) updates: queue::UpdateReceiver,
    pub(super) progress: Arc<Progress>,
    pub(super) filters: Vec<LogFilter>,
}

impl ChainTask {
    /// Reads where the store stands, completes what is stored, and builds both ends.
    pub(super) async fn open(parts: &Parts, chain: &config::Chain) -> Result<Self> {
        let mut index = Index::open(parts, chain).await?;
        index.make_whole().await?;
        Self::over(parts, chain, index).await
    }

    /// The same over an index whose documents are whole. Asks providers for the history of contracts
    /// that are new, and tries until they answer.
    pub(super) async fn over(
        parts: &Parts,
        chain: &config::Chain,
        mut index: Index,
    ) -> Result<Self> {
        late::catch_up(parts, chain, &mut index).await?;
        let pool = parts.pool(chain.id).context("a pool per configured chain")?;
        let Index { registry, tags, handlers, store, state, .. } = index;
        let filters = build::filters(&registry);
        let (sender, updates) = queue::bounded(QUEUE_BYTES);
        let fetcher = Fetcher {
            node: node(&pool, &filters, chain),
            verifier: Verifier::new(chain.verify, bloom_rule(chain.id), filters.clone()),
        };
        let progress = Arc::new(Progress::default());
        let runner = Runner::new(
            runner::Parts {
                chain: chain.id,
                registry,
                tags,
                handlers,
                store,
                sinks: vec![Arc::clone(&parts.bus) as _],
                progress: Arc::clone(&progress),
                health: parts.health.clone(),
            },
            &state,
        );
        let follower = Follower::new(
            settings(chain),
            fetcher,
            sender,
            parts.health.clone(),
            Stored { cursor: state.cursor, window: state.window, finalized: state.finalized },
        );
        Ok(Self { follower, runner, updates, progress, filters })
    }
}

pub(super) fn node(
    pool: &Arc<Pool>,
    filters: &[LogFilter],
    chain: &config::Chain,
) -> Arc<dyn Node> {
    let cap = chain.providers.iter().filter_map(|provider| provider.max_block_range).min();
    Arc::new(PoolNode::new(Arc::clone(pool), filters.to_vec(), cap))
}

fn settings(chain: &config::Chain) -> Settings {
    Settings {
        chain: chain.id,
        start_block: chain.start_block,
        confirmations: chain.confirmations,
        reorg_window_blocks: chain.reorg_window_blocks,
        poll_interval: chain.poll_interval,
    }
}

/// Rings a bell that may already be ringing: a full bell is as good as another ring.
pub(super) fn ring(bell: &mpsc::Sender<Doorbell>, doorbell: Doorbell) {
    if let Err(mpsc::error::TrySendError::Closed(_)) = bell.try_send(doorbell) {
        log::debug!("nobody follows any more");
    }
}
