//! Where each chain's index stands, read from the store beside a running daemon.

use anyhow::{Context, Result};

use super::build::Decoding;
use crate::config::{Config, Store};
use crate::store::embedded;
use crate::store::read::{ChainIndex, Queries};
pub use crate::store::read::{Parked, Rebuild};

/// What the store knows.
#[derive(Debug, Clone)]
pub struct StatusReport {
    pub store: String,
    /// Who holds the store, if somebody does.
    pub daemon: Option<String>,
    pub chains: Vec<ChainIndex>,
}

/// Reads the store without taking it from a running daemon.
pub async fn run(config: &Config) -> Result<StatusReport> {
    let Store::Embedded { path } = &config.store;
    let decoding = Decoding::new(config)?;
    let store = embedded::open_read_only(path, &decoding.names, decoding.layouts)
        .with_context(|| format!("[store] path = {:?}", path.display().to_string()))?;
    Ok(StatusReport {
        store: path.display().to_string(),
        daemon: embedded::holder(path),
        chains: store.chains().await?,
    })
}
