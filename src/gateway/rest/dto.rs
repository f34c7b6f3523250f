//! The shapes of the REST answers, separate from the nouns inside so that neither moves the other.
//!
//! Amounts are decimal strings, addresses EIP-55, hashes lower-case hex. Nothing here asks a store.

use alloy_primitives::{Address, B256};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::gateway::live::{ChainHead, Component};
use crate::store::read::{
    ChainIndex, HolderRecord, HoldersPage, Page, Parked, Rebuild, TokenRecord,
};
use crate::types::event::{Arg, EventRecord};

fn hex(hash: B256) -> String {
    format!("{hash}")
}

fn checksummed(address: Address) -> String {
    address.to_checksum(None)
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::gateway) struct List<T> {
    pub(in crate::gateway) items: Vec<T>,
    /// Pass it as `cursor` for the next page; null at the end.
    #[schema(required)]
    pub(in crate::gateway) next_cursor: Option<String>,
}

impl<T, R: Into<T>> From<Page<R>> for List<T> {
    fn from(page: Page<R>) -> Self {
        Self {
            items: page.items.into_iter().map(Into::into).collect(),
            next_cursor: page.next_cursor,
        }
    }
}

/// An event of a contract.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::gateway) struct Event {
    /// `chain:blockHash:logIndex`; the same for the life of the log.
    id: String,
    chain_id: u64,
    block_number: u64,
    block_hash: String,
    /// Seconds since the Unix epoch.
    timestamp: u64,
    tx_hash: String,
    /// Index of the log in its block.
    log_index: u32,
    /// The contract that logged it, EIP-55.
    address: String,
    /// Configured name of the contract.
    contract: String,
    /// Name in the ABI; null while no ABI can read the log.
    #[schema(required)]
    event: Option<String>,
    /// Arguments by name, in the order of the ABI. Integers are decimal strings.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    args: Args,
    /// `observed`, `safe` or `finalized`.
    status: &'static str,
}

impl From<EventRecord> for Event {
    fn from(record: EventRecord) -> Self {
        Self {
            id: record.id(),
            chain_id: record.chain.0,
            block_number: record.block_number,
            block_hash: hex(record.block_hash),
            timestamp: record.timestamp,
            tx_hash: hex(record.tx_hash),
            log_index: record.log_index,
            address: checksummed(record.address),
            contract: record.contract,
            event: record.event,
            args: Args::from(record.args),
            status: record.status.as_str(),
        }
    }
}

impl Event {
    /// The fields as one row, in the order of [`EVENT_COLUMNS`].
    pub(in crate::gateway) fn csv_row(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            self.chain_id.to_string(),
            self.block_number.to_string(),
            self.block_hash.clone(),
            self.timestamp.to_string(),
            self.tx_hash.clone(),
            self.log_index.to_string(),
            self.address.clone(),
            self.contract.clone(),
            self.event.clone().unwrap_or_default(),
            serde_json::to_string(&self.args).unwrap_or_default(),
            self.status.to_owned(),
        ]
    }
}

/// Columns of the CSV form of [`Event`].
pub(in crate::gateway) const EVENT_COLUMNS: &[&str] = &[
    "id",
    "chain_id",
    "block_number",
    "block_hash",
    "timestamp",
    "tx_hash",
    "log_index",
    "address",
    "contract",
    "event",
    "args",
    "status",
];

/// Named arguments in ABI order: a JSON object whose keys keep their order and are all different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway) struct Args(Vec<(String, String)>);

impl From<Vec<Arg>> for Args {
    /// An unnamed argument becomes `arg<position>`; a name that is taken gets `_<position>`.
    fn from(args: Vec<Arg>) -> Self {
        let mut named: Vec<(String, String)> = Vec::with_capacity(args.len());
        for (position, arg) in args.into_iter().enumerate() {
            let mut name = if arg.name.is_empty() { format!("arg{position}") } else { arg.name };
            while named.iter().any(|(taken, _)| *taken == name) {
                name = format!("{name}_{position}");
            }
            named.push((name, arg.value));
        }
        Self(named)
    }
}

impl Serialize for Args {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// A chain's index beside the chain itself.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::gateway) struct Chain {
    chain_id: u64,
    name: String,
    /// Newest block that the providers show; null while none has answered.
    #[schema(required)]
    head: Option<u64>,
    #[schema(required)]
    head_hash: Option<String>,
    /// When the head was seen first, in seconds since the Unix epoch.
    #[schema(required)]
    head_seen_at: Option<u64>,
    /// Last block in the index; null before the first.
    #[schema(required)]
    indexed: Option<u64>,
    #[schema(required)]
    indexed_hash: Option<String>,
    /// Everything up to here can no longer change.
    #[schema(required)]
    finalized: Option<u64>,
    /// Every block from the first indexed one up to here is proven complete.
    #[schema(required)]
    verified_through: Option<u64>,
    /// Blocks between the head and the index; null while one of them is unknown.
    #[schema(required)]
    lag: Option<u64>,
    blocks: u64,
    logs: u64,
    events: u64,
    /// Logs that no ABI could read; kept, and listed with `event` null.
    undecoded: u64,
    /// Rolling digest of the committed state at `indexed`: equal wherever the same blocks were indexed
    /// with the same contracts.
    digest: String,
    /// Handlers that could not take an event; their documents stand right before it.
    parked: Vec<ParkedHandler>,
    /// The documents are being rebuilt and are complete below this block; null when they are whole.
    #[schema(required)]
    rebuilt_below: Option<u64>,
}

/// A handler that waits for a fix; everything else goes on.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::gateway) struct ParkedHandler {
    handler: String,
    block: u64,
    log_index: u32,
    reason: String,
}

impl From<Parked> for ParkedHandler {
    fn from(parked: Parked) -> Self {
        Self {
            handler: parked.handler,
            block: parked.at.block,
            log_index: parked.at.log_index,
            reason: parked.reason,
        }
    }
}

impl Chain {
    pub(in crate::gateway) fn of(index: ChainIndex, heads: &[ChainHead]) -> Self {
        let head = heads.iter().find(|head| head.chain == index.chain);
        let lag = match (head, index.indexed) {
            (Some(head), Some(indexed)) => Some(head.number.saturating_sub(indexed.number)),
            _ => None,
        };
        Self {
            chain_id: index.chain.0,
            name: index.name,
            head: head.map(|head| head.number),
            head_hash: head.map(|head| hex(head.hash)),
            head_seen_at: head.map(|head| head.seen_at.as_secs()),
            indexed: index.indexed.map(|block| block.number),
            indexed_hash: index.indexed.map(|block| hex(block.hash)),
            finalized: index.finalized,
            verified_through: index.verified_through,
            lag,
            blocks: index.blocks,
            logs: index.logs,
            events: index.events,
            undecoded: index.undecoded,
            digest: hex(index.digest),
            parked: index.parked.into_iter().map(Into::into).collect(),
            rebuilt_below: index.rebuild.map(|rebuild| match rebuild {
                Rebuild::Due => 0,
                Rebuild::From(block) => block,
            }),
        }
    }
}

/// The whole service at a glance.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::gateway) struct Status {
    pub(in crate::gateway) version: String,
    /// `ok`, `starting`, `degraded` or `failed`: the worst of the components.
    pub(in crate::gateway) status: &'static str,
    /// Number of the newest entry of the feed.
    pub(in crate::gateway) feed: u64,
    pub(in crate::gateway) chains: Vec<Chain>,
    pub(in crate::gateway) components: Vec<ComponentState>,
}

/// The process answers.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::gateway) struct Live {
    /// `ok`
    pub(in crate::gateway) status: &'static str,
}

/// Whether the service can do its work.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::gateway) struct Ready {
    /// `ready` or `degraded`
    pub(in crate::gateway) status: &'static str,
    pub(in crate::gateway) dependencies: Vec<ComponentState>,
}

/// A part of the service and how it is.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::gateway) struct ComponentState {
    pub(in crate::gateway) name: String,
    /// `ok`, `starting`, `degraded` or `failed`.
    pub(in crate::gateway) state: &'static str,
    pub(in crate::gateway) detail: String,
}

impl From<Component> for ComponentState {
    fn from(component: Component) -> Self {
        Self { name: component.name, state: component.state.as_str(), detail: component.detail }
    }
}

/// A token contract and its running totals.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::gateway) struct Token {
    chain_id: u64,
    address: String,
    /// `erc20`, `erc721` or `erc3643`.
    standard: &'static str,
    /// What the contract calls itself; null until it has been read.
    #[schema(required)]
    name: Option<String>,
    #[schema(required)]
    symbol: Option<String>,
    #[schema(required)]
    decimals: Option<u8>,
    /// Block of the first event seen.
    first_block: u64,
    /// Minted minus burnt, in the smallest unit.
    supply: String,
    /// Accounts with a balance above zero.
    holders: u64,
    transfers: u64,
    paused: bool,
    #[schema(required)]
    identity_registry: Option<String>,
    #[schema(required)]
    compliance: Option<String>,
}

impl From<TokenRecord> for Token {
    fn from(record: TokenRecord) -> Self {
        let TokenRecord { chain, address, token, metadata } = record;
        Self {
            chain_id: chain.0,
            address: checksummed(address),
            standard: token.standard.as_str(),
            name: metadata.name,
            symbol: metadata.symbol,
            decimals: metadata.decimals,
            first_block: token.first_block,
            supply: token.supply.to_string(),
            holders: token.holders,
            transfers: token.transfers,
            paused: token.paused,
            identity_registry: token.identity_registry.map(checksummed),
            compliance: token.compliance.map(checksummed),
        }
    }
}

/// What one account holds of one token.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::gateway) struct Holder {
    chain_id: u64,
    token: String,
    holder: String,
    /// In the token's smallest unit.
    balance: String,
    /// Part of the balance that an agent froze.
    frozen: String,
    /// The whole account is frozen for this token.
    account_frozen: bool,
    /// Identity contract in the token's registry; null if the wallet has none there.
    #[schema(required)]
    identity: Option<String>,
    /// ISO 3166-1 numeric country of that identity.
    #[schema(required)]
    country: Option<u16>,
}

impl From<HolderRecord> for Holder {
    fn from(record: HolderRecord) -> Self {
        Self {
            chain_id: record.chain.0,
            token: checksummed(record.token),
            holder: checksummed(record.holder),
            balance: record.holding.balance.to_string(),
            frozen: record.holding.frozen.to_string(),
            account_frozen: record.holding.account_frozen,
            identity: record.identity.map(|entry| checksummed(entry.identity)),
            country: record.identity.and_then(|entry| entry.country),
        }
    }
}

impl Holder {
    /// The fields as one row, in the order of [`HOLDER_COLUMNS`].
    pub(in crate::gateway) fn csv_row(&self) -> Vec<String> {
        vec![
            self.chain_id.to_string(),
            self.token.clone(),
            self.holder.clone(),
            self.balance.clone(),
            self.frozen.clone(),
            self.account_frozen.to_string(),
            self.identity.clone().unwrap_or_default(),
            self.country.map(|country| country.to_string()).unwrap_or_default(),
        ]
    }
}

/// Columns of the CSV form of [`Holder`].
pub(in crate::gateway) const HOLDER_COLUMNS: &[&str] =
    &["chain_id", "token", "holder", "balance", "frozen", "account_frozen", "identity", "country"];

/// A page of a token's holders, largest first, and the block that the balances are true at.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::gateway) struct Holders {
    items: Vec<Holder>,
    #[schema(required)]
    next_cursor: Option<String>,
    at_block: u64,
    at_block_hash: String,
    /// Supply at that block, in the smallest unit.
    supply: String,
}

impl From<HoldersPage> for Holders {
    fn from(page: HoldersPage) -> Self {
        let list: List<Holder> = page.holders.into();
        Self {
            items: list.items,
            next_cursor: list.next_cursor,
            at_block: page.at.number,
            at_block_hash: hex(page.at.hash),
            supply: page.supply.to_string(),
        }
    }
}

/// A transaction as the index knows it: the block it is in and the events it left.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::gateway) struct Transaction {
    tx_hash: String,
    chain_id: u64,
    block_number: u64,
    block_hash: String,
    timestamp: u64,
    /// `observed`, `safe` or `finalized`.
    status: &'static str,
    events: Vec<Event>,
    /// Pass it as `cursor` for the events that did not fit; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

impl Transaction {
    /// `None` for a page without events: the index knows nothing of the transaction.
    pub(in crate::gateway) fn of(page: Page<EventRecord>) -> Option<Self> {
        let first = page.items.first()?;
        let (tx_hash, chain_id) = (hex(first.tx_hash), first.chain.0);
        let (block_number, block_hash) = (first.block_number, hex(first.block_hash));
        let (timestamp, status) = (first.timestamp, first.status.as_str());
        let List { items: events, next_cursor } = page.into();
        Some(Self {
            tx_hash,
            chain_id,
            block_number,
            block_hash,
            timestamp,
            status,
            events,
            next_cursor,
        })
    }
}

/// The step of a chain's index that the stream calls `finalized`.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::gateway) struct Finalized {
    pub(in crate::gateway) chain_id: u64,
    /// Everything up to this block can no longer change.
    pub(in crate::gateway) block_number: u64,
}

/// Which way a list runs, for the document only.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "rest::query reads the parameter")]
pub(in crate::gateway) enum OrderWord {
    /// Oldest first
    Asc,
    /// Newest first
    Desc,
}

/// How a list is written, for the document only.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "rest::export reads the parameter")]
pub(in crate::gateway) enum FormatWord {
    Json,
    Csv,
}

/// Problem details (RFC 9457) of every error.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::gateway) struct Problem {
    /// `urn:rwahub:problem:<code>`
    r#type: String,
    /// In the language of `Accept-Language` (English or Brazilian Portuguese).
    title: String,
    status: u16,
    detail: String,
    /// Stable; branch on this.
    code: String,
    /// Also in the `x-request-id` header; quote it when you ask for help.
    request_id: String,
    /// One entry per bad parameter.
    errors: Option<Vec<ParameterFault>>,
}

/// One thing wrong with one parameter.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::gateway) struct ParameterFault {
    parameter: String,
    value: String,
    detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> String {
        let args = names
            .iter()
            .enumerate()
            .map(|(at, name)| Arg { name: (*name).to_owned(), value: at.to_string() });
        serde_json::to_string(&Args::from(args.collect::<Vec<_>>())).unwrap()
    }

    #[test]
    fn arguments_keep_abi_order_and_lose_no_duplicate() {
        assert_eq!(keys(&["to", "from"]), r#"{"to":"0","from":"1"}"#);
        assert_eq!(keys(&["", ""]), r#"{"arg0":"0","arg1":"1"}"#);
        assert_eq!(keys(&["x", "x", "x_1"]), r#"{"x":"0","x_1":"1","x_1_2":"2"}"#);
    }
}
