//! What the outside may ask of a store, whichever back end it is.
//!
//! Read only; every list is paged by an opaque cursor tied to positions, so that new blocks never
//! shift a page. The write port is `pipeline::store::Store`.

use async_trait::async_trait;

use alloy_primitives::{Address, B256, U256};

use crate::pipeline::error::StoreError;
pub use crate::pipeline::store::{Parked, Rebuild};
use crate::types::asset::{Holding, Identity, Token, TokenMetadata};
use crate::types::chain::{BlockId, ChainId};
use crate::types::event::EventRecord;
use crate::types::feed::{FeedCursor, FeedItem};

/// Which way a list runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    #[default]
    NewestFirst,
    OldestFirst,
}

/// Filters of an event list; `None` does not filter.
#[derive(Debug, Clone, Default)]
pub struct EventQuery {
    pub chain: Option<ChainId>,
    /// The contract that logged the event: its address or its configured name.
    pub contract: Option<ContractFilter>,
    /// Event name, as in the ABI.
    pub event: Option<String>,
    /// An address that takes part: any indexed or plain address argument.
    pub participant: Option<Address>,
    pub tx_hash: Option<B256>,
    pub from_block: Option<u64>,
    pub to_block: Option<u64>,
    pub order: Order,
    pub limit: usize,
    /// The cursor of the page before.
    pub after: Option<String>,
}

/// A contract by address or by configured name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContractFilter {
    Address(Address),
    Name(String),
}

/// One page and the cursor of the next, `None` at the end.
#[derive(Debug, Clone)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next_cursor: Option<String>,
}

/// A chain's index as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainIndex {
    pub chain: ChainId,
    pub name: String,
    pub indexed: Option<BlockId>,
    pub finalized: Option<u64>,
    /// Every block from the first indexed one up to here has a proof; `None`: not even the first.
    pub verified_through: Option<u64>,
    pub blocks: u64,
    pub logs: u64,
    pub events: u64,
    pub undecoded: u64,
    /// The rolling digest of the committed state, equal wherever the same blocks were indexed with the
    /// same contracts; zero before the first log.
    pub digest: B256,
    /// Handlers that wait for a fix.
    pub parked: Vec<Parked>,
    /// The documents are being rebuilt from the raw logs, and this is how far.
    pub rebuild: Option<Rebuild>,
}

/// A token with everything known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    pub chain: ChainId,
    pub address: Address,
    pub token: Token,
    pub metadata: TokenMetadata,
}

/// A holder of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolderRecord {
    pub chain: ChainId,
    pub token: Address,
    pub holder: Address,
    pub holding: Holding,
    /// The wallet's entry in the token's identity registry, if it has one.
    pub identity: Option<Identity>,
}

/// A page of holders, and the block that the balances are true at.
#[derive(Debug, Clone)]
pub struct HoldersPage {
    pub holders: Page<HolderRecord>,
    pub at: BlockId,
    pub supply: U256,
}

/// A query's failure.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueryError {
    /// The caller's cursor is not one we gave out.
    #[error("cursor {0:?} is not one of this list; start again without it")]
    BadCursor(String),
    /// The index does not reach the block asked for.
    #[error("block {asked} is not indexed; this chain reaches from {from} to {to}")]
    OutOfRange { asked: u64, from: u64, to: u64 },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The questions.
#[async_trait]
pub trait Queries: std::fmt::Debug + Send + Sync {
    async fn chains(&self) -> Result<Vec<ChainIndex>, QueryError>;
    async fn events(&self, query: EventQuery) -> Result<Page<EventRecord>, QueryError>;
    async fn tokens(
        &self,
        chain: Option<ChainId>,
        limit: usize,
        after: Option<String>,
    ) -> Result<Page<TokenRecord>, QueryError>;
    async fn token(
        &self,
        chain: ChainId,
        address: Address,
    ) -> Result<Option<TokenRecord>, QueryError>;
    /// Holders with a balance above zero, largest first. `at_block` walks the transfers back.
    async fn holders(
        &self,
        chain: ChainId,
        token: Address,
        at_block: Option<u64>,
        limit: usize,
        after: Option<String>,
    ) -> Result<Option<HoldersPage>, QueryError>;
    /// Everything one address holds, over all chains.
    async fn holdings(
        &self,
        holder: Address,
        limit: usize,
        after: Option<String>,
    ) -> Result<Page<HolderRecord>, QueryError>;
    /// The number of the newest feed entry.
    async fn feed_head(&self) -> Result<u64, QueryError>;
    /// Up to `limit` items behind `cursor`, each with the cursor right behind it. A reader that
    /// never saw an event (it was retracted before the reader came by) gets no retraction of it.
    async fn feed(
        &self,
        cursor: FeedCursor,
        limit: usize,
    ) -> Result<Vec<(FeedCursor, FeedItem)>, QueryError>;
    /// Tokens whose metadata has not been read yet, oldest first.
    async fn tokens_without_metadata(
        &self,
        limit: usize,
    ) -> Result<Vec<(ChainId, Address)>, QueryError>;
    /// Keeps what a token said of itself.
    async fn put_metadata(
        &self,
        chain: ChainId,
        token: Address,
        metadata: TokenMetadata,
    ) -> Result<(), QueryError>;
}
