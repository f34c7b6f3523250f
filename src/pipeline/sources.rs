//! Which logs a configuration asks for, piece by piece, so that a piece that is added later is noticed and
//! its history searched for alone.
//!
//! A piece is an address, a first topic, or both. Its name does not depend on the contract's, so that
//! renaming one searches nothing.

use alloy_primitives::{Address, B256};
use sha2::{Digest, Sha256};

use super::error::StoreError;
use super::store::{ChainState, Coverage, Store};
use crate::decode::registry::Registry;
use crate::types::chain::ChainId;

/// One piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub id: B256,
    /// `None` asks for every address.
    pub address: Option<Address>,
    /// `None` asks for every log.
    pub topic0: Option<B256>,
    pub from_block: u64,
}

/// A piece whose history is not all stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    pub source: Source,
    /// The first block that has not been searched.
    pub from: u64,
}

impl Source {
    fn new(address: Option<Address>, topic0: Option<B256>, from_block: u64) -> Self {
        let mut hash = Sha256::new();
        hash.update([u8::from(address.is_some()), u8::from(topic0.is_some())]);
        hash.update(address.unwrap_or_default());
        hash.update(topic0.unwrap_or_default());
        hash.update(from_block.to_be_bytes());
        Self { id: B256::from_slice(&hash.finalize()), address, topic0, from_block }
    }
}

/// Every piece that a chain's contracts ask for. `registry` must not know children yet: those follow
/// from their factory's piece and the topics that children log.
pub fn of(registry: &Registry) -> Vec<Source> {
    let mut sources = Vec::new();
    for filter in registry.filters() {
        let addresses: Vec<Option<Address>> = match filter.addresses.as_slice() {
            [] => vec![None],
            listed => listed.iter().copied().map(Some).collect(),
        };
        let topics: Vec<Option<B256>> = match filter.topics0.as_slice() {
            [] => vec![None],
            listed => listed.iter().copied().map(Some).collect(),
        };
        for address in &addresses {
            for topic0 in &topics {
                sources.push(Source::new(*address, *topic0, filter.from_block));
            }
        }
    }
    let children = registry.child_topics().into_iter();
    sources.extend(children.map(|topic0| Source::new(None, Some(topic0), 0)));
    sources
}

/// Compares what is asked for with what history was searched for, and remembers the pieces of a fresh
/// index. What is missing is for the caller to fetch before the chain is followed.
pub async fn missing(
    store: &dyn Store,
    chain: ChainId,
    state: &ChainState,
    sources: &[Source],
) -> Result<Vec<Missing>, StoreError> {
    let known = store.coverage(chain).await?;
    // A piece that nobody asks for any more is not followed: it is searched up to here and no further.
    let dropped = known.iter().filter(|coverage| {
        coverage.through.is_none() && sources.iter().all(|source| source.id != coverage.source)
    });
    let cursor = state.cursor.map_or(0, |cursor| cursor.number);
    let through = Some(state.finalized.unwrap_or(0).min(cursor));
    let dropped: Vec<Coverage> =
        dropped.map(|coverage| Coverage { source: coverage.source, through }).collect();
    if !dropped.is_empty() {
        store.cover(chain, dropped).await?;
    }
    // Nothing is indexed yet, or it was before pieces were remembered, with what is configured.
    if state.cursor.is_none() || known.is_empty() {
        cover(store, chain, sources).await?;
        return Ok(Vec::new());
    }
    let missing = sources.iter().filter_map(|source| {
        let from = match known.iter().find(|coverage| coverage.source == source.id) {
            Some(Coverage { through: None, .. }) => return None,
            Some(Coverage { through: Some(through), .. }) => through + 1,
            None => source.from_block,
        };
        Some(Missing { source: source.clone(), from })
    });
    Ok(missing.collect())
}

/// Remembers that everything up to the cursor, and whatever follows, is searched for these.
pub async fn cover(
    store: &dyn Store,
    chain: ChainId,
    sources: &[Source],
) -> Result<(), StoreError> {
    let coverage =
        sources.iter().map(|source| Coverage { source: source.id, through: None }).collect();
    store.cover(chain, coverage).await
}
