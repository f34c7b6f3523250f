//! A token's holdings as of an earlier block, from its logs (see `past`).

use std::collections::HashMap;

use alloy_primitives::{Address, U256};
use mongodb::bson::doc;

use super::chains::ChainRow;
use super::docs;
use super::logs::EVENTS;
use super::rows::{self, get_text, need_bytes, need_uint};
use super::wire::{Find, Reader, Wire};
use crate::pipeline::error::StoreError;
use crate::store::past::{Meaning, Sums, WALK_LOGS_MAX, Words, add};
use crate::types::asset::{Doc, DocKey, Holding};

/// Holdings that differ from the present.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) changed: HashMap<Address, Holding>,
    /// `changed` holds every holder of that time; the present ranking says nothing more.
    pub(super) complete: bool,
    pub(super) supply: U256,
}

impl Past {
    /// Nothing differs.
    pub(super) fn present(supply: U256) -> Self {
        Self { changed: HashMap::new(), complete: false, supply }
    }
}

/// The holdings of a token right after block `at`.
pub(super) async fn at(
    wire: &Wire,
    chain: &ChainRow,
    token: Address,
    at: u64,
    supply: U256,
) -> Result<Past, StoreError> {
    let walk = Walk { wire, chain, token, middle: rows::block_end(at) };
    let most = u64::from(WALK_LOGS_MAX);
    let (later, earlier) = (walk.count("$gt").await?, walk.count("$lte").await?);
    if later <= most && later <= earlier {
        let sums = walk.sums("$gt").await?;
        return walk.back(&sums, supply).await;
    }
    if earlier > most {
        return Err(StoreError::Unavailable(format!(
            "block {at} is more than {WALK_LOGS_MAX} logs of this token away from both ends"
        )));
    }
    Ok(forward(&walk.sums("$lte").await?))
}

struct Walk<'a> {
    wire: &'a Wire,
    chain: &'a ChainRow,
    token: Address,
    /// The last position of the block asked for.
    middle: i64,
}

impl Walk<'_> {
    fn filter(&self, side: &str) -> Result<mongodb::bson::Document, StoreError> {
        let mut filter = self.chain.visible_logs()?;
        let mut pos = mongodb::bson::Document::new();
        pos.insert(side, self.middle);
        filter.insert("address", rows::hex_address(&self.token));
        filter.insert("pos", pos);
        Ok(filter)
    }

    /// Counts up to one more than the limit.
    async fn count(&self, side: &str) -> Result<u64, StoreError> {
        self.wire.count(EVENTS, self.filter(side)?, u64::from(WALK_LOGS_MAX) + 1).await
    }

    async fn sums(&self, side: &str) -> Result<HashMap<Address, Sums>, StoreError> {
        let find = Find {
            collection: EVENTS,
            filter: self.filter(side)?,
            sort: Some(doc! { "pos": 1 }),
            limit: None,
            reader: Reader::Question,
        };
        let mut sums = HashMap::new();
        for log in self.wire.find(find).await? {
            let Some((meaning, words)) = meaning(&log)? else { continue };
            add(&mut sums, meaning, words);
        }
        Ok(sums)
    }

    /// The present with the later logs taken back.
    async fn back(&self, sums: &HashMap<Address, Sums>, supply: U256) -> Result<Past, StoreError> {
        let holders: Vec<Address> = sums.keys().copied().filter(|who| !who.is_zero()).collect();
        let keys: Vec<DocKey> = holders
            .iter()
            .map(|holder| DocKey::Holding { token: self.token, holder: *holder })
            .collect();
        let now = docs::load(self.wire, self.chain.id, &keys, Reader::Question).await?;
        let mut changed = HashMap::with_capacity(sums.len());
        for (holder, now) in holders.into_iter().zip(now) {
            let Some(sums) = sums.get(&holder) else { continue };
            let now = match now {
                Some(Doc::Holding(holding)) => holding,
                _ => Holding::default(),
            };
            let mut then = sums.back(&now);
            if sums.account_frozen.is_some() {
                then.account_frozen = self.account_frozen(holder).await?;
            }
            changed.insert(holder, then);
        }
        let zero = sums.get(&Address::ZERO).copied().unwrap_or_default();
        let supply = supply.saturating_add(zero.received).saturating_sub(zero.sent);
        Ok(Past { changed, complete: false, supply })
    }

    /// Whether the account as a whole was frozen: what the last such event up to the block said.
    async fn account_frozen(&self, holder: Address) -> Result<bool, StoreError> {
        let mut filter = self.filter("$lte")?;
        filter.insert("event", "AddressFrozen");
        filter.insert("participants", rows::hex_address(&holder));
        let find = Find {
            collection: EVENTS,
            filter,
            sort: Some(doc! { "pos": -1 }),
            limit: None,
            reader: Reader::Question,
        };
        for log in self.wire.find(find).await? {
            let Some((_, words)) = meaning(&log)? else { continue };
            if words.address(0) == Some(holder) {
                return Ok(words.get(1).is_some_and(|word| !word.is_zero()));
            }
        }
        Ok(false)
    }
}

/// Nothing with the earlier logs added.
fn forward(sums: &HashMap<Address, Sums>) -> Past {
    let holders = sums.iter().filter(|(holder, _)| !holder.is_zero());
    let changed = holders.map(|(holder, sums)| (*holder, sums.forward())).collect();
    let zero = sums.get(&Address::ZERO).copied().unwrap_or_default();
    Past { changed, complete: true, supply: zero.sent.saturating_sub(zero.received) }
}

/// What a stored log says of holdings, with its words behind the first topic.
fn meaning(log: &mongodb::bson::RawDocument) -> Result<Option<(Meaning, Words<'_>)>, StoreError> {
    let Some(event) = get_text(log, "event")? else { return Ok(None) };
    let topics = need_bytes(log, "topics")?;
    let Some((first, rest)) = topics.split_at_checked(32) else {
        log::debug!("log without topics at {}", need_uint(log, "pos")?);
        return Ok(None);
    };
    let first = alloy_primitives::B256::from_slice(first);
    let words = Words { topics: rest, data: need_bytes(log, "data")? };
    Ok(Meaning::of(event, Some(&first)).map(|meaning| (meaning, words)))
}
