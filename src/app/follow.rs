//! Commits of other processes: heard through the shared cache, looked for in the store, told to it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::build::Parts;
use crate::config;
use crate::pipeline::sink::Sink as _;
use crate::rpc::pool::Pool;
use crate::rpc::subscribe::{Heads, Signal};
use crate::store::cache::CENSUS_EVERY;
use crate::telemetry::health::{ChainState, ComponentState};
use crate::types::chain::BlockId;

/// The number of the newest feed entry.
const TOPIC: &str = "feed";
/// Looks at the store this often when nothing rings: a lost ring costs this much.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The same without a shared cache, where nothing ever rings.
const LOOK_EVERY_ALONE: Duration = Duration::from_millis(200);

/// Keeps this process's bus at the newest feed entry that any process has committed.
pub(super) async fn hear(parts: Arc<Parts>, stop: CancellationToken) -> Result<()> {
    let (sender, mut heard) = watch::channel(0);
    let every = if parts.shared.between_processes { LOOK_EVERY } else { LOOK_EVERY_ALONE };
    let look = async {
        loop {
            match timeout(every, heard.changed()).await {
                Ok(Ok(())) => parts.bus.committed(*heard.borrow_and_update()),
                Ok(Err(_)) => std::future::pending().await,
                Err(_) => look(&parts).await,
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = parts.shared.signals.follow(TOPIC, &sender) => {}
        () = look => {}
    }
    Ok(())
}

async fn look(parts: &Parts) {
    match parts.store.feed_head().await {
        Ok(head) => {
            parts.health.component("store", ComponentState::Up, None);
            parts.bus.committed(head);
        }
        Err(error) => {
            parts.health.component("store", ComponentState::Down, Some(error.to_string()));
        }
    }
}

/// Tells other processes of this one's commits.
pub(super) async fn tell(parts: Arc<Parts>, stop: CancellationToken) -> Result<()> {
    let mut feed = parts.bus.subscribe();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            changed = feed.changed() => if changed.is_err() { return Ok(()) },
        }
        let number = *feed.borrow_and_update();
        // Not heard is not lost: who follows also looks.
        if let Err(error) = parts.shared.signals.announce(TOPIC, number).await {
            log::debug!("feed entry {number} was not announced: {error}");
        }
    }
}

/// Says that this process takes part in shared limits, and how the shared cache is.
pub(super) async fn take_part(parts: Arc<Parts>, stop: CancellationToken) -> Result<()> {
    let mut tick = tokio::time::interval(CENSUS_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = tick.tick() => {}
        }
        parts.shared.limiter.join(&parts.node).await;
        if !parts.shared.between_processes {
            continue;
        }
        match parts.shared.values.get("probe").await {
            Ok(_) => parts.health.component("cache", ComponentState::Up, None),
            // Not down: everything goes on, slower and with local limits.
            Err(error) => {
                let why = Some(error.to_string());
                parts.health.component("cache", ComponentState::Degraded, why);
            }
        }
    }
}

/// Learns a chain's head in a process that does not index it.
pub(super) async fn watch_head(
    parts: Arc<Parts>,
    pool: Arc<Pool>,
    chain: config::Chain,
    stop: CancellationToken,
) -> Result<()> {
    parts.health.chain(chain.id, ChainState::Live, Some("indexed elsewhere".to_owned()));
    let mut heads = Heads::start(pool, Vec::new(), chain.poll_interval);
    loop {
        let signal = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            signal = heads.next() => signal,
        };
        match signal {
            Some(Signal::Head(head)) => {
                parts.health.head(chain.id, BlockId { number: head.number, hash: head.hash });
            }
            Some(Signal::Log(_)) => {}
            None => {
                stop.cancelled().await;
                return Ok(());
            }
        }
    }
}
