//! The checked configuration: the only form the rest of the program sees.
//!
//! `raw` is what a file may say, `validate` turns it into these types and reports every fault at
//! once. Nothing here is read again after start.

pub mod diff;
pub mod error;
pub mod keys;
pub mod load;
pub mod render;

mod abi;
mod contract;
mod provider;
mod raw;
mod reader;
mod validate;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use alloy_primitives::{Address, B256};

use crate::types::chain::ChainId;

/// Everything one process needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    pub chains: Vec<Chain>,
    pub contracts: Vec<Contract>,
    pub store: Store,
    pub cache: Cache,
    pub bus: Bus,
    pub gateway: Gateway,
    pub telemetry: Telemetry,
}

/// One network to index and to proxy.
#[derive(Debug, Clone)]
pub struct Chain {
    pub id: ChainId,
    pub name: String,
    /// Blocks behind the head after which a block counts as final when the node does not serve the
    /// `finalized` tag.
    pub confirmations: u64,
    pub start_block: u64,
    /// How far a reorg may reach back before indexing stops for an operator, in blocks. Down to the
    /// finalized block by default.
    pub reorg_window_blocks: u64,
    /// What is proven before a block is believed.
    pub verify: Verify,
    /// How often the head is asked for when no subscription speaks, and how often a silent
    /// subscription is checked against the head.
    pub poll_interval: Duration,
    /// Providers that must have a block before clients of the JSON-RPC proxy are told of it.
    pub head_quorum: usize,
    pub providers: Vec<Provider>,
}

/// How much of a block is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// Parent link, bloom for absence, receipts root for presence.
    Receipts,
    /// Parent link and bloom for absence; presence on the provider's word.
    Bloom,
    /// The provider's word for everything but the parent link.
    Off,
}

/// One upstream node.
#[derive(Debug, Clone)]
pub struct Provider {
    pub name: String,
    pub url: ProviderUrl,
    pub weight: u32,
    /// Requests per second we allow ourselves; `None` is no limit of ours.
    pub rate_limit_rps: Option<u32>,
    /// Blocks in one `eth_getLogs`; `None` is learned from the provider's answers.
    pub max_block_range: Option<u64>,
}

/// How a provider is reached. The URL may hold a key, so it never prints whole.
#[derive(Clone)]
pub struct ProviderUrl {
    /// Whether requests and subscriptions go over one socket or each request over HTTP.
    pub transport: Transport,
    url: String,
}

/// The two ways to speak JSON-RPC to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    Http,
    WebSocket,
}

impl ProviderUrl {
    /// A URL whose scheme was already found to be that of `transport`.
    pub fn new(transport: Transport, url: String) -> Self {
        Self { transport, url }
    }

    /// The whole URL, for the connection alone.
    pub fn expose(&self) -> &str {
        &self.url
    }

    /// Scheme, host and port: what logs and reports may show.
    pub fn redacted(&self) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("", &self.url));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        format!("{scheme}://{host}")
    }
}

impl std::fmt::Debug for ProviderUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.redacted())
    }
}

/// Contracts to index under one name.
#[derive(Debug, Clone)]
pub struct Contract {
    pub name: String,
    pub chain_id: ChainId,
    pub abi: Abi,
    pub addresses: Addresses,
    /// First block to index for this contract; the chain's `start_block` when not given.
    pub start_block: Option<u64>,
    /// Event names to keep; empty keeps every event of the ABI.
    pub events: Vec<String>,
}

/// Where a contract's events are described.
#[derive(Debug, Clone)]
pub enum Abi {
    BuiltIn(BuiltInAbi),
    /// The text of a JSON ABI file, already read and parsed once.
    Custom {
        path: PathBuf,
        json: String,
    },
}

/// Event packs that ship with the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BuiltInAbi {
    Erc20,
    Erc721,
    /// Every event of an ERC-3643 (T-REX) suite, proxies and ownership included.
    Erc3643,
    /// Every event of our own suite (`contracts/`), its timelock and Safe included.
    Rwahub,
}

/// Which addresses a contract entry covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addresses {
    /// Every address that logs a matching event.
    Any,
    Listed(Vec<Address>),
    /// Addresses that a factory's event names, from that event on.
    Factory {
        factory: Address,
        topic0: B256,
        /// The event as Solidity writes it, for whoever must find the parameter in a log:
        /// `event Deployed(address indexed token)`.
        event: String,
        /// Name of an address parameter of the event.
        parameter: String,
    },
}

/// Where data is kept.
#[derive(Debug, Clone)]
pub enum Store {
    /// One SQLite file in this directory.
    Embedded { path: PathBuf },
}

/// Where answers and counters live that may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// In this process.
    Memory,
}

/// How rooms hear of new data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    /// Tables of the embedded store.
    Embedded,
}

/// The HTTP door.
#[derive(Debug, Clone)]
pub struct Gateway {
    pub listen: SocketAddr,
    /// Public chain data may be read without sign-in.
    pub public_read: bool,
    /// Largest request body in bytes.
    pub max_body_bytes: usize,
    /// Most items of one JSON-RPC batch.
    pub max_batch_items: usize,
    /// Exact origins that browsers may call from; empty allows none but the same origin.
    pub cors_origins: Vec<String>,
}

/// What the operator sees.
#[derive(Debug, Clone)]
pub struct Telemetry {
    pub metrics_listen: SocketAddr,
    pub log_format: LogFormat,
    /// `error`, `warn`, `info`, `debug` or `trace`, or a filter per module as `env_logger` reads it.
    pub log_level: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}
