//! A token's holdings as of an earlier block, from its logs.
//!
//! Sums need no order, so both ways add up what came in and what went out: back from the present over
//! the later logs, or forward from nothing over the earlier ones.

use std::collections::HashMap;

use alloy_primitives::{Address, U256};
use rusqlite::Connection;

use super::chains::ChainRow;
use super::dictionary::{Dictionary, Kind};
use super::error::corrupt;
use super::{docs, intern, rows};
use crate::pipeline::error::StoreError;
use crate::store::past::{self, Meaning, Sums, Words, add};
use crate::types::asset::Holding;

/// Logs that one question may walk.
const WALK_LOGS_MAX: i64 = past::WALK_LOGS_MAX as i64;

/// Holdings that differ from the present, by row.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) changed: HashMap<i64, Holding>,
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

/// The holdings of `(contract, asset)`, both ids of one token, right after block `at`.
pub(super) fn at(
    connection: &Connection,
    dictionary: &Dictionary,
    chain: &ChainRow,
    (contract, asset): (i64, i64),
    at: u64,
    supply: U256,
) -> Result<Past, StoreError> {
    let low = rows::block_row(chain.ordinal, 0)?;
    let middle = rows::block_end(chain.ordinal, at);
    let high = rows::block_end(chain.ordinal, u64::MAX);
    let later = count(connection, contract, middle + 1, high)?;
    let walk = Walk { connection, dictionary, contract, middle };
    if later <= WALK_LOGS_MAX && later <= count(connection, contract, low, middle)? {
        let sums = walk.sums(middle + 1, high)?;
        return walk.back(asset, &sums, supply);
    }
    if count(connection, contract, low, middle)? > WALK_LOGS_MAX {
        return Err(StoreError::Unavailable(format!(
            "block {at} is more than {WALK_LOGS_MAX} logs of this token away from both ends"
        )));
    }
    let sums = walk.sums(low, middle)?;
    walk.forward(asset, &sums)
}

/// Counts up to one more than the limit.
fn count(connection: &Connection, contract: i64, low: i64, high: i64) -> Result<i64, StoreError> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM log l
               WHERE l.contract = ?1 AND l.row >= ?2 AND l.row <= ?3 LIMIT ?4)";
    Ok(connection
        .prepare_cached(sql)?
        .query_row((contract, low, high, WALK_LOGS_MAX + 1), |row| row.get(0))?)
}

fn meaning(kind: &Kind) -> Option<Meaning> {
    let layout = kind.layout.as_ref()?;
    Meaning::of(&layout.event, layout.topic0.as_ref())
}

struct Walk<'a> {
    connection: &'a Connection,
    dictionary: &'a Dictionary,
    contract: i64,
    /// The last row of the block asked for.
    middle: i64,
}

impl Walk<'_> {
    fn sums(&self, low: i64, high: i64) -> Result<HashMap<Address, Sums>, StoreError> {
        self.dictionary.refresh_if_behind(self.connection)?;
        let meanings: HashMap<i64, Meaning> = self
            .dictionary
            .matching(|kind| meaning(kind).is_some())
            .iter()
            .filter_map(|kind| Some((kind.id, meaning(kind)?)))
            .collect();
        let mut select = self.connection.prepare_cached(
            "SELECT l.kind, l.topics, l.data FROM log l
             WHERE l.contract = ?1 AND l.row >= ?2 AND l.row <= ?3 ORDER BY l.row",
        )?;
        let mut found = select.query((self.contract, low, high))?;
        let mut sums = HashMap::new();
        while let Some(row) = found.next()? {
            let Some(meaning) = meanings.get(&row.get(0)?) else { continue };
            let topics = row.get_ref(1)?.as_blob().map_err(corrupt)?;
            let data = row.get_ref(2)?.as_blob().map_err(corrupt)?;
            add(&mut sums, *meaning, Words { topics, data });
        }
        Ok(sums)
    }

    /// The present with the later logs taken back.
    fn back(
        &self,
        asset: i64,
        sums: &HashMap<Address, Sums>,
        supply: U256,
    ) -> Result<Past, StoreError> {
        let mut changed = HashMap::with_capacity(sums.len());
        for (holder, sums) in sums.iter().filter(|(holder, _)| !holder.is_zero()) {
            let Some(id) = intern::find(self.connection, holder)? else { continue };
            let row = rows::holding_row(asset, id)?;
            let now = docs::holding(self.connection, row)?.unwrap_or_default();
            let mut then = sums.back(&now);
            if sums.account_frozen.is_some() {
                then.account_frozen = self.account_frozen(id, *holder)?;
            }
            changed.insert(row, then);
        }
        let zero = sums.get(&Address::ZERO).copied().unwrap_or_default();
        let supply = supply.saturating_add(zero.received).saturating_sub(zero.sent);
        Ok(Past { changed, complete: false, supply })
    }

    /// Nothing with the earlier logs added.
    fn forward(&self, asset: i64, sums: &HashMap<Address, Sums>) -> Result<Past, StoreError> {
        let mut changed = HashMap::with_capacity(sums.len());
        for (holder, sums) in sums.iter().filter(|(holder, _)| !holder.is_zero()) {
            let Some(id) = intern::find(self.connection, holder)? else { continue };
            changed.insert(rows::holding_row(asset, id)?, sums.forward());
        }
        let zero = sums.get(&Address::ZERO).copied().unwrap_or_default();
        let supply = zero.sent.saturating_sub(zero.received);
        Ok(Past { changed, complete: true, supply })
    }

    /// Whether the account as a whole was frozen: what the last such event up to the block said. The
    /// account is the first address of that event, hence the first participant.
    fn account_frozen(&self, id: i64, holder: Address) -> Result<bool, StoreError> {
        let kinds = self.dictionary.matching(|kind| meaning(kind) == Some(Meaning::AddressFrozen));
        let kinds: Vec<i64> = kinds.iter().map(|kind| kind.id).collect();
        let mut select = self.connection.prepare_cached(
            "SELECT l.kind, l.topics, l.data FROM log l WHERE l.p0 = ?1 AND l.row <= ?2
             AND +l.contract = ?3 ORDER BY l.row DESC",
        )?;
        let mut found = select.query((id, self.middle, self.contract))?;
        while let Some(row) = found.next()? {
            let topics = row.get_ref(1)?.as_blob().map_err(corrupt)?;
            let data = row.get_ref(2)?.as_blob().map_err(corrupt)?;
            let words = Words { topics, data };
            if kinds.contains(&row.get(0)?) && words.address(0) == Some(holder) {
                return Ok(words.get(1).is_some_and(|word| !word.is_zero()));
            }
        }
        Ok(false)
    }
}
