//! One unit, committed by replacing the chain's part of the head.
//!
//! 1. Written first, invisible: logs, blocks, undo records, journal, all under the unit's number.
//! 2. The head is swapped if epoch, unit and feed end are still what this writer saw: committed.
//! 3. Carried out after: what a rewind retracts, documents, entries of the feed (`redo`).
//!
//! Killed before 2, nothing has happened: the next writer gives the number up. Killed after it, the
//! next writer finishes step 3 from the journal. See docs/adr/0009.

use std::sync::Arc;

use mongodb::bson::raw::cstr;
use mongodb::bson::{RawDocumentBuf, doc};

use super::chains::{self, ChainRow, Expected, Head, Redo};
use super::dictionary::Dictionary;
use super::error::corrupt;
use super::logs::EVENTS;
use super::redo::{self, BLOCKS};
use super::undo::UNDO;
use super::wire::{Find, Reader, Wire};
use super::{journal, logs, rows, undo};
use crate::pipeline::error::StoreError;
use crate::pipeline::store::CommitUnit;
use crate::store::unit::{self, Cursor, check_shape, refuse};
use crate::types::chain::{BlockRange, ChainId, Proof};
use crate::types::feed::FeedStep;

/// Tries of the swap against commits of other chains, which move the feed's end. Each failure means
/// that another chain got through.
const SWAPS_MAX: u32 = 1_000;

/// What a writer wants of a chain.
#[derive(Debug, Clone)]
pub(super) enum Attempt {
    Unit(Arc<CommitUnit>),
    Finalize(u64),
}

impl Attempt {
    /// Whether a second call asks for the same thing again.
    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unit(a), Self::Unit(b)) => Arc::ptr_eq(a, b),
            (Self::Finalize(a), Self::Finalize(b)) => a == b,
            _ => false,
        }
    }
}

/// A chain that this process has opened for writing.
#[derive(Debug)]
pub(super) struct Owned {
    pub(super) row: ChainRow,
    /// An attempt whose outcome is not known: the connection broke on the way.
    pub(super) in_doubt: Option<Attempt>,
    /// Of the last unit, to be cleaned up beside the next one.
    pub(super) leftover: Leftover,
}

/// What nobody needs any more.
#[derive(Debug, Default, Clone)]
pub(super) struct Leftover {
    pub(super) journal: Option<u64>,
    pub(super) undo_through: Option<u64>,
}

/// What a rewind takes away.
#[derive(Debug, Default)]
struct Gone {
    blocks: u64,
    logs: u64,
    undecoded: u64,
    hash: Option<alloy_primitives::B256>,
}

/// Everything a commit needs besides the chain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tools<'a> {
    pub(super) wire: &'a Wire,
    pub(super) dictionary: &'a Dictionary,
    pub(super) owner: &'a str,
}

/// Applies an attempt whole or not at all; returns the number of the last feed entry.
pub(super) async fn run(
    tools: Tools<'_>,
    owned: &mut Owned,
    attempt: Attempt,
) -> Result<u64, StoreError> {
    if let Some(before) = owned.in_doubt.take()
        && let Some(seq) = resolve(tools, owned, &before, &attempt).await?
    {
        return Ok(seq);
    }
    let outcome = step(tools, owned, &attempt).await;
    if outcome.as_ref().is_err_and(StoreError::is_retryable) {
        owned.in_doubt = Some(attempt);
    }
    outcome
}

/// Finds out what became of an attempt that broke off. `Some`: it was this very attempt, and it is done.
async fn resolve(
    tools: Tools<'_>,
    owned: &mut Owned,
    before: &Attempt,
    now: &Attempt,
) -> Result<Option<u64>, StoreError> {
    let settled = async {
        let head = read(tools.wire).await?;
        let row = ours(&head, &owned.row)?;
        let committed = row.unit == owned.row.unit + 1;
        redo::recover(tools.wire, row).await?;
        let seq = row.redo.as_ref().map_or(head.seq, last_seq);
        Ok::<_, StoreError>((committed, row.clone(), seq))
    };
    match settled.await {
        Ok((true, mut row, seq)) => {
            owned.leftover.journal = Some(row.unit);
            row.redo = None;
            owned.row = row;
            Ok(now.same(before).then_some(seq))
        }
        Ok((false, row, _)) => {
            owned.row = row;
            if !now.same(before) {
                // Something of the old attempt may lie about under the number that is next.
                take_over(tools, owned).await?;
            }
            Ok(None)
        }
        Err(error) => {
            if error.is_retryable() {
                owned.in_doubt = Some(before.clone());
            }
            Err(error)
        }
    }
}

fn last_seq(redo: &Redo) -> u64 {
    (redo.seq + redo.steps.len() as u64).saturating_sub(1)
}

/// The chain's part of the head, unless another writer has it.
fn ours<'a>(head: &'a Head, known: &ChainRow) -> Result<&'a ChainRow, StoreError> {
    let row = head.chain(known.id).ok_or_else(|| corrupt("the chain has left the head"))?;
    if row.epoch == known.epoch {
        return Ok(row);
    }
    Err(StoreError::Fenced {
        what: format!("chain {} (epoch {} of the store)", known.id, row.epoch),
        holder: row.owner.clone(),
    })
}

async fn read(wire: &Wire) -> Result<Head, StoreError> {
    chains::read(wire, Reader::Writer).await?.ok_or_else(|| corrupt("the head is missing"))
}

/// Opens a chain for writing: a new epoch, after which no earlier writer can commit.
pub(super) async fn open(
    tools: Tools<'_>,
    chain: ChainId,
    name: &str,
) -> Result<Owned, StoreError> {
    for _ in 0..SWAPS_MAX {
        let head = read(tools.wire).await?;
        let fresh = ChainRow::new(chain, name, head.chains.len() as u64);
        let (expected, before) = match head.chain(chain) {
            Some(row) => (Expected::Row(row), row),
            None => (Expected::Absent, &fresh),
        };
        let next = before.taken_over(name, tools.owner);
        if chains::swap(tools.wire, expected, &next, (head.seq, head.seq)).await? {
            redo::recover(tools.wire, &next).await?;
            redo::sweep(tools.wire, &next).await?;
            let leftover =
                Leftover { journal: next.redo.as_ref().map(|redo| redo.unit), undo_through: None };
            let row = ChainRow { redo: None, ..next };
            return Ok(Owned { row, in_doubt: None, leftover });
        }
    }
    Err(StoreError::Unavailable(format!("chain {chain}: the head moves too fast to be opened")))
}

/// A new epoch for the same writer.
async fn take_over(tools: Tools<'_>, owned: &mut Owned) -> Result<(), StoreError> {
    let head = read(tools.wire).await?;
    ours(&head, &owned.row)?;
    *owned = open(tools, owned.row.id, &owned.row.name.clone()).await?;
    Ok(())
}

async fn step(tools: Tools<'_>, owned: &mut Owned, attempt: &Attempt) -> Result<u64, StoreError> {
    let mut next = owned.row.clone();
    next.unit += 1;
    let mut steps = Vec::new();
    let mut rewind_to = None;
    if let Attempt::Unit(unit) = attempt {
        check_shape(unit)?;
        if let Some(to) = unit.rewind_to {
            rewind_to = rewind(tools.wire, &mut next, unit, to, &mut steps).await?;
        }
        plan(&mut next, unit, &mut steps)?;
    }
    let block = match attempt {
        Attempt::Unit(unit) => unit.finalized,
        Attempt::Finalize(block) => Some(*block),
    };
    if let Some(block) = block.filter(|block| next.finalized.is_none_or(|known| known < *block)) {
        next.finalized = Some(block);
        steps.push(FeedStep::Finalized(block));
    } else if matches!(attempt, Attempt::Finalize(_)) {
        return Ok(read(tools.wire).await?.feed_visible());
    }
    stage(tools, owned, attempt, next.unit).await?;
    let redo = Redo { unit: next.unit, seq: 0, steps, rewind_to };
    let redo = swap(tools, owned, &mut next, redo).await?;
    let records = match attempt {
        Attempt::Unit(unit) => &unit.docs[..],
        Attempt::Finalize(_) => &[],
    };
    // From here on the unit is committed; a failure is finished by whoever comes next.
    redo::finish(tools.wire, next.id, &redo, records).await?;
    owned.leftover = Leftover {
        journal: (!records.is_empty()).then_some(next.unit),
        undo_through: block.and(next.finalized),
    };
    owned.row = ChainRow { redo: None, ..next };
    Ok(last_seq(&redo))
}

/// Step 1, and beside it the last unit's leftovers.
async fn stage(
    tools: Tools<'_>,
    owned: &Owned,
    attempt: &Attempt,
    number: u64,
) -> Result<(), StoreError> {
    let Tools { wire, dictionary, .. } = tools;
    let clean = clean(wire, owned.row.id, &owned.leftover);
    let Attempt::Unit(unit) = attempt else { return clean.await };
    let events = logs::write(unit, number, dictionary)?;
    let blocks = blocks(unit, number)?;
    // Records of final blocks are of no use, and a unit may have brought some.
    let undo = undo::write(unit, number)?;
    let journal = journal::write(unit.chain, number, &unit.docs)?;
    let writes = futures_util::future::try_join4(
        wire.insert(EVENTS, events),
        wire.insert(BLOCKS, blocks),
        wire.insert(UNDO, undo),
        wire.insert(journal::JOURNAL, journal),
    );
    futures_util::future::try_join(writes, clean).await.map(drop)
}

async fn clean(wire: &Wire, chain: ChainId, leftover: &Leftover) -> Result<(), StoreError> {
    let id = rows::int(chain.0)?;
    if let Some(unit) = leftover.journal {
        wire.delete(journal::JOURNAL, &doc! { "chain": id, "unit": rows::int(unit)? }).await?;
    }
    if let Some(block) = leftover.undo_through {
        wire.delete(UNDO, &doc! { "chain": id, "block": { "$lte": rows::int(block)? } }).await?;
    }
    Ok(())
}

fn blocks(unit: &CommitUnit, number: u64) -> Result<Vec<RawDocumentBuf>, StoreError> {
    let mut documents = Vec::with_capacity(unit.blocks.len());
    for commit in &unit.blocks {
        let block = &commit.block;
        let mut document = RawDocumentBuf::new();
        document.append(cstr!("_id"), format!("{}:{}:{number:x}", unit.chain.0, block.number));
        document.append(cstr!("chain"), rows::int(unit.chain.0)?);
        document.append(cstr!("number"), rows::int(block.number)?);
        document.append(cstr!("unit"), rows::int(number)?);
        document.append(cstr!("hash"), rows::hex(&block.hash[..]));
        document.append(cstr!("time"), rows::int(block.timestamp)?);
        document.append(cstr!("proof"), commit.proof.as_str());
        documents.push(document);
    }
    Ok(documents)
}

/// Step 2. The numbers of the unit's feed entries are known only now.
async fn swap(
    tools: Tools<'_>,
    owned: &Owned,
    next: &mut ChainRow,
    mut redo: Redo,
) -> Result<Redo, StoreError> {
    for _ in 0..SWAPS_MAX {
        let head = read(tools.wire).await?;
        let row = ours(&head, &owned.row)?;
        if row.unit != owned.row.unit {
            // An answer was lost, and the swap had been done.
            return match &row.redo {
                Some(done) if row.unit == next.unit => Ok(done.clone()),
                _ => Err(corrupt(format_args!("chain {} was moved from outside", row.id))),
            };
        }
        redo.seq = head.seq + 1;
        next.redo = Some(redo.clone());
        let end = head.seq + redo.steps.len() as u64;
        if chains::swap(tools.wire, Expected::Row(&owned.row), next, (head.seq, end)).await? {
            return Ok(redo);
        }
    }
    Err(StoreError::Unavailable(format!("chain {}: the feed moves too fast", next.id)))
}

/// The chain's row after a rewind to `to`; `None` if nothing lies above it.
async fn rewind(
    wire: &Wire,
    next: &mut ChainRow,
    unit: &CommitUnit,
    to: u64,
    steps: &mut Vec<FeedStep>,
) -> Result<Option<u64>, StoreError> {
    if let Some(finalized) = next.finalized.filter(|finalized| to < *finalized) {
        let text = format!("a rewind to block {to}");
        return Err(refuse(unit, &text, &format!("block {finalized}, which is final")));
    }
    let Some(cursor) = next.cursor.filter(|cursor| cursor.number > to) else { return Ok(None) };
    let gone = gone(wire, next, to).await?;
    next.blocks = next.blocks.saturating_sub(gone.blocks);
    next.logs = next.logs.saturating_sub(gone.logs);
    next.undecoded = next.undecoded.saturating_sub(gone.undecoded);
    next.events = next.events.saturating_sub(gone.logs.saturating_sub(gone.undecoded));
    if next.first_block.is_some_and(|first| first > to) {
        next.first_block = None;
        next.verified_through = None;
    }
    next.verified_through = next.verified_through.map(|through| through.min(to));
    next.cursor = Some(Cursor { number: to, hash: gone.hash });
    steps.push(FeedStep::Retracted(BlockRange { from: to.saturating_add(1), to: cursor.number }));
    Ok(Some(to))
}

async fn gone(wire: &Wire, row: &ChainRow, to: u64) -> Result<Gone, StoreError> {
    // The unit in the making is not visible, and the one before it is done.
    let mut visible = row.clone();
    visible.unit -= 1;
    let mut logs = visible.visible()?;
    logs.insert("pos", doc! { "$gt": rows::block_end(to) });
    let mut undecoded = logs.clone();
    undecoded.insert("undecoded", doc! { "$exists": true });
    let mut blocks = visible.visible()?;
    blocks.insert("number", doc! { "$gt": rows::int(to)? });
    let (blocks, logs, undecoded) = futures_util::future::try_join3(
        wire.count(BLOCKS, blocks, u64::from(u32::MAX)),
        wire.count(EVENTS, logs, u64::from(u32::MAX)),
        wire.count(EVENTS, undecoded, u64::from(u32::MAX)),
    )
    .await?;
    let hash = block_hash(wire, &visible, to, Reader::Writer).await?;
    Ok(Gone { blocks, logs, undecoded, hash })
}

/// The hash of a visible block, if it is stored.
pub(super) async fn block_hash(
    wire: &Wire,
    row: &ChainRow,
    number: u64,
    reader: Reader,
) -> Result<Option<alloy_primitives::B256>, StoreError> {
    let mut filter = row.visible()?;
    filter.insert("number", rows::int(number.min(rows::BLOCK_MAX))?);
    // Between the commit of a rewind and its end a replaced block may still be there.
    let sort = Some(doc! { "unit": -1 });
    let find = Find { collection: BLOCKS, filter, sort, limit: Some(1), reader };
    match wire.find(find).await?.pop() {
        Some(block) => Ok(Some(rows::hash(rows::need_text(&block, "hash")?)?)),
        None => Ok(None),
    }
}

/// The chain's row after the blocks and logs of a unit.
fn plan(
    next: &mut ChainRow,
    unit: &CommitUnit,
    steps: &mut Vec<FeedStep>,
) -> Result<(), StoreError> {
    unit::check_contiguous(unit, next.cursor)?;
    let low = unit::first_new_block(unit, next.cursor);
    for commit in &unit.blocks {
        let number = commit.block.number;
        let first = *next.first_block.get_or_insert(number);
        let wanted = next.verified_through.map_or(first, |through| through + 1);
        if commit.proof != Proof::Unverified && number == wanted {
            next.verified_through = Some(number);
        }
        next.blocks += 1;
    }
    let undecoded = unit
        .recognised
        .iter()
        .filter(|one| matches!(one, crate::pipeline::store::Recognised::Undecoded { .. }))
        .count() as u64;
    let logs = unit.logs.len() as u64;
    next.logs += logs;
    next.undecoded += undecoded;
    next.events += logs - undecoded;
    next.cursor = Some(Cursor { number: unit.cursor.number, hash: Some(unit.cursor.hash) });
    if low <= unit.cursor.number {
        steps.push(FeedStep::Committed(BlockRange { from: low, to: unit.cursor.number }));
    }
    Ok(())
}
