//! What an event is once a log has been recognised: its kind's identity, its place, its arguments.
//!
//! The bytes → arguments step belongs to `decode`; the trait here lets a room that must not import
//! `decode` still show arguments.

use std::fmt;

use alloy_primitives::{Address, B256};

use super::chain::{ChainId, Finality};
use super::log::LogView;

/// A log's place in its chain: the total order of everything indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    pub block: u64,
    /// Index of the log in its block.
    pub log_index: u32,
}

/// One way to read one event: name, signature and which fields are indexed, numbered per process.
///
/// Two layouts may share a signature hash (ERC-20 and ERC-721 `Transfer`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LayoutId(pub u32);

/// What a layout is called, so that a store can keep it across restarts and show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutInfo {
    pub id: LayoutId,
    /// `Transfer`
    pub event: String,
    /// Full signature with indexed marks: `Transfer(address indexed from,address indexed to,uint256 value)`.
    /// Unique per layout and stable across restarts.
    pub signature: String,
    /// `None` for anonymous events.
    pub topic0: Option<B256>,
}

/// One decoded argument, as the outside sees it: integers decimal, addresses EIP-55, bytes hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arg {
    pub name: String,
    pub value: String,
}

/// Reads a stored log's arguments again. Implemented by the decoder, used by stores that answer queries.
pub trait ArgReader: fmt::Debug + Send + Sync {
    /// The arguments in the order of the ABI, or why the payload does not fit the layout.
    fn args(&self, layout: LayoutId, log: LogView<'_>) -> Result<Vec<Arg>, String>;

    /// The addresses that the log's arguments name, each once, appended to `out`: for an index of who
    /// takes part in what. Long arrays are cut; nothing is appended for an unknown layout.
    fn participants(&self, layout: LayoutId, log: LogView<'_>, out: &mut Vec<Address>);

    /// Every layout this process knows.
    fn layouts(&self) -> Vec<LayoutInfo>;
}

/// An event as every outside surface shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRecord {
    pub chain: ChainId,
    pub block_number: u64,
    pub block_hash: B256,
    /// Seconds since the Unix epoch.
    pub timestamp: u64,
    pub tx_hash: B256,
    pub log_index: u32,
    /// The contract that logged it.
    pub address: Address,
    /// The configured name of the contract (`erc20` for the built-in packs).
    pub contract: String,
    /// The event's name, `None` while no ABI can read the log.
    pub event: Option<String>,
    pub args: Vec<Arg>,
    pub status: Finality,
}

impl EventRecord {
    /// Stable identity of the log: chain, block hash, index. Never the transaction hash, which a
    /// reorg can carry into another block.
    pub fn id(&self) -> String {
        format!("{}:{}:{}", self.chain, self.block_hash, self.log_index)
    }
}
