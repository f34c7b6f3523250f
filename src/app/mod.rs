//! From a checked configuration to running parts. The only room that constructs and spawns.
//!
//! Holds no logic of its own: what a part does is decided in its room.

pub mod build;

pub mod run;

pub mod backfill;

pub mod check;

pub mod status;

mod enrich;

mod live;

mod chain_task;

use anyhow::Context;

/// The one TLS provider, which must be in place before the first connection.
pub fn install_tls() {
    // Fails only when one is in place already, which is just as good.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
}

/// The runtime that everything runs on.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the async runtime")
}
