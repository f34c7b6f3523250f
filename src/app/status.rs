//! Where each chain's index stands, read from the store beside a running daemon.

use anyhow::Result;

use super::build::Decoding;
use super::storage::{self, Access};
use crate::config::Config;
use crate::store::read::ChainIndex;

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
    let decoding = Decoding::new(config)?;
    let (names, layouts) = (&decoding.names, decoding.layouts);
    let store = storage::open(&config.store, Access::Read, names, layouts).await?;
    Ok(StatusReport {
        store: storage::shown(&config.store),
        daemon: storage::holder(&config.store),
        chains: store.chains().await?,
    })
}
