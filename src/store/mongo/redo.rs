//! What a committed unit still has to do: take away what its rewind retracted, change documents, write
//! its entries of the feed. Everything here may be done twice, by anyone, at any later time.

use std::collections::HashMap;

use mongodb::bson::raw::cstr;
use mongodb::bson::{Bson, RawDocumentBuf, doc, rawdoc};

use super::chains::{self, ChainRow, HEAD, Redo};
use super::journal::{self, Records};
use super::logs::{EVENTS, ORPHANS};
use super::undo::UNDO;
use super::wire::{Find, Reader, Wire};
use super::{docs, rows};
use crate::pipeline::error::StoreError;
use crate::types::chain::ChainId;
use crate::types::feed::FeedStep;

pub(super) const FEED: &str = "feed";
pub(super) const BLOCKS: &str = "blocks";
/// Orphans are kept for this many feed entries after their retraction, for readers that are behind.
const ORPHAN_ENTRIES_MAX: u64 = 200_000;

/// Finishes a unit whose documents are at hand.
pub(super) async fn finish(
    wire: &Wire,
    chain: ChainId,
    redo: &Redo,
    records: &[(crate::types::asset::DocKey, Option<crate::types::asset::Doc>)],
) -> Result<(), StoreError> {
    if let Some(to) = redo.rewind_to {
        retract(wire, chain, redo, to).await?;
    }
    let mut statements: HashMap<&'static str, Vec<RawDocumentBuf>> = HashMap::new();
    for (key, doc) in records {
        let statement = docs::statement(chain, redo.unit, key, doc.as_ref())?;
        statements.entry(docs::collection(key)).or_default().push(statement);
    }
    let updates = statements.into_iter().map(|(name, all)| wire.update(name, all));
    let updates = futures_util::future::try_join_all(updates);
    let entries = wire.insert(FEED, entries(chain, redo)?);
    futures_util::future::try_join(updates, entries).await?;
    chains::clear_redo(wire, chain, redo.unit).await
}

/// Finishes what a writer left behind, if it did.
pub(super) async fn recover(wire: &Wire, chain: &ChainRow) -> Result<(), StoreError> {
    let Some(redo) = &chain.redo else { return Ok(()) };
    let records: Records = journal::read(wire, chain.id, redo.unit).await?;
    finish(wire, chain.id, redo, &records).await
}

fn entries(chain: ChainId, redo: &Redo) -> Result<Vec<RawDocumentBuf>, StoreError> {
    let mut documents = Vec::with_capacity(redo.steps.len());
    for (step, seq) in redo.steps.iter().zip(redo.seq..) {
        let mut entry = rawdoc! {
            "_id": rows::int(seq)?,
            "chain": rows::int(chain.0)?,
            "unit": rows::int(redo.unit)?,
        };
        for (key, value) in chains::write_step(*step)? {
            let key: &mongodb::bson::raw::CStr = (&*key).try_into()?;
            match value {
                Bson::String(text) => entry.append(key, text),
                Bson::Int64(number) => entry.append(key, number),
                _ => {}
            }
        }
        documents.push(entry);
    }
    Ok(documents)
}

/// Moves the logs above `to` to the orphans, then drops everything derived from those blocks.
async fn retract(wire: &Wire, chain: ChainId, redo: &Redo, to: u64) -> Result<(), StoreError> {
    let older = doc! { "$lt": rows::int(redo.unit)? };
    let id = rows::int(chain.0)?;
    let above = doc! { "$gt": rows::block_end(to) };
    let filter = doc! { "chain": id, "pos": above, "unit": older.clone() };
    let find = Find {
        collection: EVENTS,
        filter: filter.clone(),
        sort: None,
        limit: None,
        reader: Reader::Writer,
    };
    let gone = wire.find(find).await?;
    let retracted = redo.steps.iter().zip(redo.seq..).find_map(|(step, seq)| match step {
        FeedStep::Retracted(_) => Some(seq),
        _ => None,
    });
    if let Some(retracted) = retracted.filter(|_| !gone.is_empty()) {
        let committed = committed(wire, chain, &gone).await?;
        let mut orphans = Vec::with_capacity(gone.len());
        for log in &gone {
            // A log of a unit that was given up has no entry, and nobody has heard of it.
            let Some(committed) = committed.get(&rows::need_uint(log, "unit")?) else { continue };
            let mut orphan = RawDocumentBuf::new();
            let place = rows::need_text(log, "_id")?;
            orphan.append(cstr!("_id"), format!("{place}:{retracted}"));
            orphan.append(cstr!("retracted"), rows::int(retracted)?);
            orphan.append(cstr!("committed"), rows::int(*committed)?);
            for element in log.iter() {
                let (key, value) = element?;
                if !matches!(key.as_str(), "_id" | "participants") {
                    orphan.append(key, value);
                }
            }
            orphans.push(orphan);
        }
        wire.insert(ORPHANS, orphans).await?;
        if let Some(oldest) = retracted.checked_sub(ORPHAN_ENTRIES_MAX) {
            wire.delete(ORPHANS, &doc! { "retracted": { "$lt": rows::int(oldest)? } }).await?;
        }
    }
    let of_blocks = |field: &str| -> Result<mongodb::bson::Document, StoreError> {
        let mut filter = doc! { "chain": id, "unit": older.clone() };
        filter.insert(field, doc! { "$gt": rows::int(to)? });
        Ok(filter)
    };
    let (blocks, undo) = (of_blocks("number")?, of_blocks("block")?);
    futures_util::future::try_join3(
        wire.delete(EVENTS, &filter),
        wire.delete(BLOCKS, &blocks),
        wire.delete(UNDO, &undo),
    )
    .await
    .map(drop)
}

/// Under which feed entry each unit of these logs was told.
async fn committed(
    wire: &Wire,
    chain: ChainId,
    logs: &[RawDocumentBuf],
) -> Result<HashMap<u64, u64>, StoreError> {
    let mut units: Vec<i64> = Vec::new();
    for log in logs {
        units.push(rows::int(rows::need_uint(log, "unit")?)?);
    }
    units.sort_unstable();
    units.dedup();
    let filter =
        doc! { "chain": rows::int(chain.0)?, "unit": { "$in": units }, "step": "committed" };
    let find = Find { collection: FEED, filter, sort: None, limit: None, reader: Reader::Writer };
    let mut committed = HashMap::new();
    for entry in wire.find(find).await? {
        committed.insert(rows::need_uint(&entry, "unit")?, rows::need_uint(&entry, "_id")?);
    }
    Ok(committed)
}

/// Deletes what displaced writers have left half written: invisible, but in the way of nobody's disk.
pub(super) async fn sweep(wire: &Wire, chain: &ChainRow) -> Result<(), StoreError> {
    /// The one that was displaced just now, and the one before, whose writer may have woken since.
    const RECENT: usize = 2;
    let recent = &chain.dead[chain.dead.len().saturating_sub(RECENT)..];
    let Some(floor) = recent.iter().map(|dead| dead.floor).min() else { return Ok(()) };
    let mut units = Vec::with_capacity(recent.len());
    for dead in recent {
        units.push(rows::int(dead.unit)?);
    }
    let id = rows::int(chain.id.0)?;
    let unit = doc! { "$in": units };
    let above = doc! { "$gt": rows::int(floor)? };
    let logs = doc! { "chain": id, "pos": { "$gt": rows::block_end(floor) }, "unit": unit.clone() };
    let blocks = doc! { "chain": id, "number": above.clone(), "unit": unit.clone() };
    let undo = doc! { "chain": id, "block": above, "unit": unit.clone() };
    let journal = doc! { "chain": id, "unit": unit };
    futures_util::future::try_join4(
        wire.delete(EVENTS, &logs),
        wire.delete(BLOCKS, &blocks),
        wire.delete(UNDO, &undo),
        wire.delete(journal::JOURNAL, &journal),
    )
    .await?;
    log::debug!(chain = chain.id.0; "{HEAD}: swept units {recent:?}");
    Ok(())
}
