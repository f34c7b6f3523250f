//! The configuration read again while the daemon runs: on SIGHUP and by the operator's route.
//!
//! What a running daemon can take over is taken over at once, the rest is named. A file with faults
//! changes nothing. No call and no socket is cut: providers finish what they were asked.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use async_trait::async_trait;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::config::diff::{self, Change};
use crate::config::error::ConfigErrors;
use crate::config::load::{self, Override};
use crate::gateway::admin::Reload;
use crate::rpc::pool::Pool;
use crate::rpc::proxy::Proxies;

/// Where the configuration came from, so that it can be read again.
#[derive(Debug, Clone, Default)]
pub struct Source {
    pub file: Option<PathBuf>,
    pub overrides: Vec<Override>,
}

/// Who takes over a new configuration.
#[derive(Debug)]
pub(super) struct Reloader {
    source: Source,
    /// What counts now; one reload at a time.
    current: Mutex<Config>,
    pools: Vec<Arc<Pool>>,
    proxies: Proxies,
}

impl Reloader {
    pub(super) fn new(
        source: Source,
        config: Config,
        pools: Vec<Arc<Pool>>,
        proxies: Proxies,
    ) -> Arc<Self> {
        Arc::new(Self { source, current: Mutex::new(config), pools, proxies })
    }

    fn apply(&self, current: &mut Config, new: &Config) {
        for chain in &new.chains {
            let Some(known) = current.chains.iter_mut().find(|known| known.id == chain.id) else {
                continue;
            };
            known.providers.clone_from(&chain.providers);
            known.head_quorum = chain.head_quorum;
            if let Some(pool) = self.pools.iter().find(|pool| pool.chain_id() == chain.id) {
                pool.replace(chain);
            }
        }
        current.gateway.max_batch_items = new.gateway.max_batch_items;
        for chain in self.proxies.chains() {
            if let Some(proxy) = self.proxies.get(chain) {
                proxy.set_batch_items_max(new.gateway.max_batch_items);
            }
        }
    }
}

#[async_trait]
impl Reload for Reloader {
    async fn reload(&self) -> Result<Vec<Change>, ConfigErrors> {
        let mut current = self.current.lock().await;
        let file = self.source.file.as_deref();
        let loaded = load::load(file, load::environment(), &self.source.overrides);
        let new = match loaded {
            Ok(loaded) => loaded.config,
            Err(errors) => {
                log::error!("configuration not reloaded, the old one stays:\n{errors}");
                return Err(errors);
            }
        };
        let changes = diff::changes(&current, &new);
        self.apply(&mut current, &new);
        for change in &changes {
            log::info!("configuration: {change}");
        }
        log::info!("configuration reloaded, {} changes", changes.len());
        Ok(changes)
    }
}

/// Reloads on SIGHUP until stopped.
pub(super) async fn on_hangup(reloader: Arc<Reloader>, stop: CancellationToken) -> Result<()> {
    let mut hangup = signal(SignalKind::hangup()).context("SIGHUP handler")?;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = hangup.recv() => {}
        }
        // What was wrong has been logged.
        reloader.reload().await.ok();
    }
}
