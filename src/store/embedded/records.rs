//! Stored logs back into the events that the outside sees.
//!
//! Arguments are read through the decoder's reader; this file knows where the bytes lie, not what
//! they mean.

use std::collections::HashMap;

use alloy_primitives::B256;
use rusqlite::{Connection, Row};

use super::chains::ChainRow;
use super::dictionary::{Dictionary, Kind};
use super::error::corrupt;
use super::rows::{self, uint};
use crate::pipeline::error::StoreError;
use crate::types::chain::{ChainId, Finality};
use crate::types::event::EventRecord;
use crate::types::log::{LogBuf, LogFields};

/// Columns of a log in the index, its block and its contract, as [`read`] wants them.
pub(super) const COLUMNS: &str = "l.row, l.kind, l.tx_index, l.tx_head, l.tx_tail, l.topics, \
     l.data, b.hash, b.timestamp, a.addr";
/// The tables behind [`COLUMNS`].
pub(super) const TABLES: &str =
    "log l JOIN block b ON b.row = l.row >> 19 << 19 JOIN address a ON a.id = l.contract";
/// The same columns of a retracted log.
pub(super) const ORPHAN_COLUMNS: &str = "o.row, o.kind, o.tx_index, o.tx_head, o.tx_tail, \
     o.topics, o.data, o.block_hash, o.timestamp, a.addr";
/// The tables behind [`ORPHAN_COLUMNS`].
pub(super) const ORPHAN_TABLES: &str = "orphan o JOIN address a ON a.id = o.contract";

/// A stored log, with everything needed to show it.
#[derive(Debug)]
pub(super) struct StoredLog {
    pub(super) row: i64,
    pub(super) kind: Kind,
    pub(super) block_hash: B256,
    pub(super) timestamp: u64,
    /// One log: the raw form again.
    pub(super) raw: LogBuf,
}

/// Reads a row of [`COLUMNS`] or [`ORPHAN_COLUMNS`].
pub(super) fn read(
    connection: &Connection,
    dictionary: &Dictionary,
    row: &Row<'_>,
) -> Result<StoredLog, StoreError> {
    let blob = |index: usize| row.get_ref(index)?.as_blob().map_err(corrupt);
    let place = rows::unpack(row.get(0)?);
    let kind = dictionary.kind(connection, row.get(1)?)?;
    let block_hash = rows::hash(blob(7)?)?;
    let timestamp = uint(row.get(8)?)?;
    let mut fields = LogFields {
        block_number: place.block,
        block_hash,
        timestamp: Some(timestamp),
        tx_hash: rows::tx_hash(row.get(3)?, blob(4)?)?,
        tx_index: row.get(2)?,
        log_index: place.log_index,
        address: rows::address(blob(9)?)?,
        ..LogFields::default()
    };
    let told = kind.layout.as_ref().and_then(|layout| layout.topic0);
    let stored = blob(5)?.chunks_exact(32).map(B256::from_slice);
    for (room, topic) in fields.topics.iter_mut().zip(told.into_iter().chain(stored)) {
        *room = topic;
        fields.topic_count += 1;
    }
    let mut raw = LogBuf::default();
    raw.push(&fields, blob(6)?).map_err(corrupt)?;
    Ok(StoredLog { row: row.get(0)?, kind, block_hash, timestamp, raw })
}

/// Chains by ordinal, for the fields of an event that are the chain's.
#[derive(Debug)]
pub(super) struct Shown<'a> {
    pub(super) dictionary: &'a Dictionary,
    chains: HashMap<u8, (ChainId, Option<u64>)>,
}

impl<'a> Shown<'a> {
    /// What an event's chain says of it, as of one read transaction.
    pub(super) fn new(dictionary: &'a Dictionary, chains: &[ChainRow]) -> Self {
        let chains =
            chains.iter().map(|chain| (chain.ordinal, (chain.id, chain.finalized))).collect();
        Self { dictionary, chains }
    }

    /// The chain id of an ordinal.
    pub(super) fn chain(&self, ordinal: u8) -> Result<(ChainId, Option<u64>), StoreError> {
        self.chains
            .get(&ordinal)
            .copied()
            .ok_or_else(|| corrupt(format_args!("a row of chain {ordinal}, which is not listed")))
    }

    /// The event as every outside surface shows it.
    pub(super) fn event(&self, log: &StoredLog) -> Result<EventRecord, StoreError> {
        let view = log.raw.get(0).ok_or_else(|| corrupt("a log without its raw form"))?;
        let (chain, finalized) = self.chain(rows::unpack(log.row).chain)?;
        let (event, args) = match log
            .kind
            .layout
            .as_ref()
            .and_then(|layout| layout.local.map(|local| (layout.event.clone(), local)))
        {
            // An ABI that was changed under the same signature shows the event without arguments
            // rather than no event at all.
            Some((event, local)) => {
                (Some(event), self.dictionary.args().args(local, view).unwrap_or_default())
            }
            None => (None, Vec::new()),
        };
        let final_ = finalized.is_some_and(|finalized| view.head.block_number <= finalized);
        Ok(EventRecord {
            chain,
            block_number: view.head.block_number,
            block_hash: log.block_hash,
            timestamp: log.timestamp,
            tx_hash: view.head.tx_hash,
            log_index: view.head.log_index,
            address: view.head.address,
            contract: log.kind.contract.to_string(),
            event,
            args,
            status: if final_ { Finality::Finalized } else { Finality::Observed },
        })
    }
}
