//! The head: one document that says for every chain where its index stands, and for the feed where it
//! ends. Replacing a chain's part of it is what commits a unit.
//!
//! One document for all chains, so that numbers of the feed are given out in the order in which they
//! become visible, and one read is a consistent picture.

use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, doc, rawdoc};

use super::error::corrupt;
use super::rows::{self, get_int, get_text, need_text, need_uint, uint};
use super::wire::{Find, Reader, Wire};
use crate::pipeline::error::StoreError;
use crate::store::unit::Cursor;
use crate::types::chain::{BlockId, BlockRange, ChainId};
use crate::types::feed::FeedStep;

pub(super) const HEAD: &str = "head";
/// Version of the shapes in this database.
pub(super) const FORMAT: i64 = 1;
/// Numbers of units that a displaced writer may have left half written. One is added each time a
/// chain is opened; what the oldest left has been swept many times over.
const DEAD_MAX: usize = 512;

/// The whole head.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    pub(super) seq: u64,
    /// In the order in which they were first opened.
    pub(super) chains: Vec<ChainRow>,
}

/// A chain's part of the head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChainRow {
    pub(super) ordinal: u64,
    pub(super) id: ChainId,
    pub(super) name: String,
    /// Counts openings for writing; a commit must name the present one.
    pub(super) epoch: u64,
    /// Who opened it last, for the one that is refused.
    pub(super) owner: String,
    /// The last unit that is committed or given up. Everything of later units is invisible.
    pub(super) unit: u64,
    pub(super) dead: Vec<Dead>,
    pub(super) cursor: Option<Cursor>,
    pub(super) finalized: Option<u64>,
    pub(super) first_block: Option<u64>,
    pub(super) verified_through: Option<u64>,
    pub(super) blocks: u64,
    pub(super) logs: u64,
    pub(super) events: u64,
    pub(super) undecoded: u64,
    /// What a committed unit still has to do; `None` when documents are what the cursor says.
    pub(super) redo: Option<Redo>,
}

/// A unit that was given up, and the final block when it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dead {
    pub(super) unit: u64,
    pub(super) floor: u64,
}

/// The rest of a committed unit: what its journal says must be done to the documents, and its entries
/// in the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Redo {
    pub(super) unit: u64,
    /// The number of the first of `steps`.
    pub(super) seq: u64,
    pub(super) steps: Vec<FeedStep>,
    /// Everything above this block that is older than the unit goes.
    pub(super) rewind_to: Option<u64>,
}

impl ChainRow {
    pub(super) fn new(chain: ChainId, name: &str, ordinal: u64) -> Self {
        Self {
            ordinal,
            id: chain,
            name: name.to_owned(),
            epoch: 0,
            owner: String::new(),
            unit: 0,
            dead: Vec::new(),
            cursor: None,
            finalized: None,
            first_block: None,
            verified_through: None,
            blocks: 0,
            logs: 0,
            events: 0,
            undecoded: 0,
            redo: None,
        }
    }

    /// The cursor as the outside knows it.
    pub(super) fn cursor_id(&self) -> Option<BlockId> {
        self.cursor.map(Cursor::id)
    }

    /// The same chain in the hands of a new writer: whatever the old one was writing is given up.
    pub(super) fn taken_over(&self, name: &str, owner: &str) -> Self {
        let mut next = self.clone();
        next.name = name.to_owned();
        next.owner = owner.to_owned();
        next.epoch += 1;
        next.unit += 1;
        next.dead.push(Dead { unit: next.unit, floor: self.finalized.unwrap_or(0) });
        let over = next.dead.len().saturating_sub(DEAD_MAX);
        next.dead.drain(..over);
        next
    }

    /// What every visible document of this chain that carries a unit satisfies.
    pub(super) fn visible(&self) -> Result<Document, StoreError> {
        let mut unit = doc! { "$lte": rows::int(self.unit)? };
        if !self.dead.is_empty() {
            let dead: Result<Vec<Bson>, StoreError> =
                self.dead.iter().map(|dead| Ok(Bson::Int64(rows::int(dead.unit)?))).collect();
            unit.insert("$nin", dead?);
        }
        Ok(doc! { "chain": rows::int(self.id.0)?, "unit": unit })
    }

    /// The same for logs, leaving out those that a committed rewind has yet to take away.
    pub(super) fn visible_logs(&self) -> Result<Document, StoreError> {
        let mut filter = self.visible()?;
        if let Some(Redo { unit, rewind_to: Some(to), .. }) = &self.redo {
            filter.insert(
                "$or",
                vec![
                    doc! { "pos": { "$lte": rows::block_end(*to) } },
                    doc! { "unit": rows::int(*unit)? },
                ],
            );
        }
        Ok(filter)
    }

    fn write(&self) -> Result<Document, StoreError> {
        let optional = |value: Option<u64>| -> Result<Bson, StoreError> {
            Ok(value.map(rows::int).transpose()?.map_or(Bson::Null, Bson::Int64))
        };
        let mut dead = Vec::with_capacity(self.dead.len());
        for one in &self.dead {
            dead.push(doc! { "unit": rows::int(one.unit)?, "floor": rows::int(one.floor)? });
        }
        let hash = self.cursor.and_then(|cursor| cursor.hash).map(|hash| rows::hex(&hash[..]));
        Ok(doc! {
            "ordinal": rows::int(self.ordinal)?,
            "id": rows::int(self.id.0)?,
            "name": &self.name,
            "epoch": rows::int(self.epoch)?,
            "owner": &self.owner,
            "unit": rows::int(self.unit)?,
            "dead": dead,
            "cursor": optional(self.cursor.map(|cursor| cursor.number))?,
            "cursor_hash": hash,
            "finalized": optional(self.finalized)?,
            "first_block": optional(self.first_block)?,
            "verified_through": optional(self.verified_through)?,
            "blocks": rows::int(self.blocks)?,
            "logs": rows::int(self.logs)?,
            "events": rows::int(self.events)?,
            "undecoded": rows::int(self.undecoded)?,
            "redo": self.redo.as_ref().map(Redo::write).transpose()?,
        })
    }

    fn read(document: &RawDocument) -> Result<Self, StoreError> {
        let optional = |key: &str| get_int(document, key)?.map(uint).transpose();
        let mut dead = Vec::new();
        for one in document.get_array("dead").map_err(corrupt)? {
            let one = one.map_err(corrupt)?;
            let one = one.as_document().ok_or_else(|| corrupt("a dead unit of another shape"))?;
            dead.push(Dead { unit: need_uint(one, "unit")?, floor: need_uint(one, "floor")? });
        }
        let hash = get_text(document, "cursor_hash")?.map(rows::hash).transpose()?;
        let redo = match document.get("redo").map_err(corrupt)? {
            Some(mongodb::bson::RawBsonRef::Document(redo)) => Some(Redo::read(redo)?),
            _ => None,
        };
        Ok(Self {
            ordinal: need_uint(document, "ordinal")?,
            id: ChainId(need_uint(document, "id")?),
            name: need_text(document, "name")?.to_owned(),
            epoch: need_uint(document, "epoch")?,
            owner: need_text(document, "owner")?.to_owned(),
            unit: need_uint(document, "unit")?,
            dead,
            cursor: optional("cursor")?.map(|number| Cursor { number, hash }),
            finalized: optional("finalized")?,
            first_block: optional("first_block")?,
            verified_through: optional("verified_through")?,
            blocks: need_uint(document, "blocks")?,
            logs: need_uint(document, "logs")?,
            events: need_uint(document, "events")?,
            undecoded: need_uint(document, "undecoded")?,
            redo,
        })
    }
}

/// How a step of the feed looks in a document.
pub(super) fn write_step(step: FeedStep) -> Result<Document, StoreError> {
    let (word, low, high) = match step {
        FeedStep::Committed(range) => ("committed", range.from, range.to),
        FeedStep::Retracted(range) => ("retracted", range.from, range.to),
        FeedStep::Finalized(block) => ("finalized", block, block),
    };
    Ok(doc! { "step": word, "low": rows::int(low)?, "high": rows::int(high)? })
}

/// A step back.
pub(super) fn read_step(document: &RawDocument) -> Result<FeedStep, StoreError> {
    let range = BlockRange { from: need_uint(document, "low")?, to: need_uint(document, "high")? };
    match need_text(document, "step")? {
        "committed" => Ok(FeedStep::Committed(range)),
        "retracted" => Ok(FeedStep::Retracted(range)),
        "finalized" => Ok(FeedStep::Finalized(range.to)),
        other => Err(corrupt(format_args!("feed entry of step {other:?}"))),
    }
}

impl Redo {
    fn write(&self) -> Result<Document, StoreError> {
        let steps: Result<Vec<Document>, StoreError> =
            self.steps.iter().map(|step| write_step(*step)).collect();
        let to = self.rewind_to.map(rows::int).transpose()?;
        Ok(doc! {
            "unit": rows::int(self.unit)?,
            "seq": rows::int(self.seq)?,
            "steps": steps?,
            "rewind_to": to,
        })
    }

    fn read(document: &RawDocument) -> Result<Self, StoreError> {
        let mut steps = Vec::new();
        for step in document.get_array("steps").map_err(corrupt)? {
            let step = step.map_err(corrupt)?;
            let step = step.as_document().ok_or_else(|| corrupt("a step of another shape"))?;
            steps.push(read_step(step)?);
        }
        Ok(Self {
            unit: need_uint(document, "unit")?,
            seq: need_uint(document, "seq")?,
            steps,
            rewind_to: get_int(document, "rewind_to")?.map(uint).transpose()?,
        })
    }
}

impl Head {
    /// The chain's part, if the store has it.
    pub(super) fn chain(&self, chain: ChainId) -> Option<&ChainRow> {
        self.chains.iter().find(|row| row.id == chain)
    }

    /// The newest feed entry that may be read: entries of a unit that is not done yet, and all behind
    /// them, wait.
    pub(super) fn feed_visible(&self) -> u64 {
        let pending = self.chains.iter().filter_map(|row| row.redo.as_ref());
        pending
            .filter(|redo| !redo.steps.is_empty())
            .map(|redo| redo.seq.saturating_sub(1))
            .fold(self.seq, u64::min)
    }
}

/// The key of a chain inside the head.
fn key(chain: ChainId) -> String {
    format!("c{chain}")
}

/// Writes the head of an empty database.
pub(super) async fn create(wire: &Wire) -> Result<(), StoreError> {
    let head = rawdoc! { "_id": HEAD, "format": FORMAT, "seq": 0_i64, "chains": {} };
    wire.insert(HEAD, vec![head]).await
}

/// Reads the head; `None` for a database that was never written.
pub(super) async fn read(wire: &Wire, reader: Reader) -> Result<Option<Head>, StoreError> {
    let find =
        Find { collection: HEAD, filter: doc! { "_id": HEAD }, sort: None, limit: Some(1), reader };
    let Some(document) = wire.find(find).await?.pop() else { return Ok(None) };
    let format = need_uint(&document, "format")?;
    if i64::try_from(format) != Ok(FORMAT) {
        return Err(corrupt(format_args!(
            "the database has format {format}, this rwahub knows {FORMAT}; upgrade rwahub or name \
             another database in [store] url"
        )));
    }
    let mut chains = Vec::new();
    for chain in document.get_document("chains").map_err(corrupt)? {
        let (_, chain) = chain.map_err(corrupt)?;
        let chain = chain.as_document().ok_or_else(|| corrupt("a chain of another shape"))?;
        chains.push(ChainRow::read(chain)?);
    }
    chains.sort_unstable_by_key(|row| row.ordinal);
    Ok(Some(Head { seq: need_uint(&document, "seq")?, chains }))
}

/// What a swap of a chain's part expects to find.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expected<'a> {
    Absent,
    Row(&'a ChainRow),
}

/// Replaces a chain's part if epoch, unit and the feed's end are as expected. False if they are not.
pub(super) async fn swap(
    wire: &Wire,
    expected: Expected<'_>,
    next: &ChainRow,
    seq: (u64, u64),
) -> Result<bool, StoreError> {
    let key = key(next.id);
    let mut filter = doc! { "_id": HEAD, "seq": rows::int(seq.0)? };
    match expected {
        Expected::Absent => {
            filter.insert(format!("chains.{key}"), doc! { "$exists": false });
        }
        Expected::Row(row) => {
            filter.insert(format!("chains.{key}.epoch"), rows::int(row.epoch)?);
            filter.insert(format!("chains.{key}.unit"), rows::int(row.unit)?);
        }
    }
    let mut set = doc! { "seq": rows::int(seq.1)? };
    set.insert(format!("chains.{key}"), next.write()?);
    Ok(wire.update(HEAD, vec![statement(&filter, &doc! { "$set": set })?]).await? > 0)
}

/// Notes that a unit has nothing left to do. Anyone who did the work may say so.
pub(super) async fn clear_redo(wire: &Wire, chain: ChainId, unit: u64) -> Result<(), StoreError> {
    let key = key(chain);
    let mut filter = doc! { "_id": HEAD };
    filter.insert(format!("chains.{key}.redo.unit"), rows::int(unit)?);
    let mut set = Document::new();
    set.insert(format!("chains.{key}.redo"), Bson::Null);
    wire.update(HEAD, vec![statement(&filter, &doc! { "$set": set })?]).await.map(drop)
}

fn statement(q: &Document, u: &Document) -> Result<RawDocumentBuf, StoreError> {
    let (q, u) = (RawDocumentBuf::try_from(q)?, RawDocumentBuf::try_from(u)?);
    Ok(rawdoc! { "q": q, "u": u })
}
