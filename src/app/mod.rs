//! From a checked configuration to running parts. The only room that constructs and spawns.
//!
//! Holds no logic of its own: what a part does is decided in its room.

pub mod build;

pub mod run;

pub mod backfill;

pub mod check;

pub mod status;

pub mod maintain;

pub mod verify;

pub mod control;

pub mod reload;

mod enrich;

mod gauges;

mod late;

mod live;

mod chain_task;

use anyhow::{Context, anyhow};

use crate::chain::error::ChainError;
use crate::config;
use crate::rpc::error::ErrorClass;

/// The one TLS provider, which must be in place before the first connection.
pub fn install_tls() {
    // Fails only when one is in place already, which is just as good.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
}

/// The runtime that everything runs on.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the async runtime")
}

/// A chain's failure with the configuration key that an operator has to look at, where there is one.
fn explain(chain: &config::Chain, error: ChainError) -> anyhow::Error {
    let ChainError::Rpc(rpc) = &error else { return error.into() };
    let remedy = match rpc.class {
        ErrorClass::Unreachable => "is unreachable; check the url and that the node runs",
        ErrorClass::WrongChain { .. } => "serves another chain; correct the url or the chain's id",
        ErrorClass::BadAnswer => "does not answer as a node should; check the url",
        ErrorClass::Denied | ErrorClass::Billing => {
            "refuses us; check the key in the url and the plan"
        }
        _ => return error.into(),
    };
    let Some(provider) = chain.providers.iter().find(|known| known.name == *rpc.endpoint) else {
        return error.into();
    };
    anyhow!(
        "chain {} provider {}: url = {}: {remedy} ({error})",
        chain.id,
        provider.name,
        provider.url.redacted()
    )
}
