//! The feed expanded: each entry's blocks become the events that a reader behind it must hear of.
//!
//! The rule about retractions is that of the embedded store: a page leaves out an event together with
//! its retraction only where the page passes both, else it shows both.

use std::collections::BTreeMap;

use mongodb::bson::{Document, doc};

use super::chains::{self, ChainRow, Head};
use super::dictionary::Dictionary;
use super::error::corrupt;
use super::logs::{self, EVENTS, ORPHANS, StoredLog};
use super::redo::FEED;
use super::rows::{self, need_uint};
use super::tokens::PAGE_MAX;
use super::wire::{Find, Reader as Asking, Wire};
use crate::pipeline::error::StoreError;
use crate::store::read::QueryError;
use crate::types::chain::{BlockRange, ChainId};
use crate::types::event::{EventRecord, Position};
use crate::types::feed::{FeedCursor, FeedItem, FeedStep};

type Items = Vec<(FeedCursor, FeedItem)>;

/// Entries read at once: a page rarely needs more, since most hold an event or more.
const ENTRIES_MAX: i64 = 256;

/// Up to `limit` items behind `cursor`.
pub(super) async fn page(
    wire: &Wire,
    dictionary: &Dictionary,
    head: &Head,
    cursor: FeedCursor,
    limit: usize,
) -> Result<Items, QueryError> {
    let mut reader = Reader {
        wire,
        dictionary,
        head,
        start: cursor,
        limit: limit.clamp(1, PAGE_MAX),
        replay: false,
        items: Vec::new(),
    };
    reader.read().await?;
    if reader.ends_between().await? {
        reader.replay = true;
        reader.items.clear();
        reader.read().await?;
    }
    Ok(reader.items)
}

struct Entry<'a> {
    seq: u64,
    chain: &'a ChainRow,
    unit: u64,
    step: FeedStep,
}

struct Reader<'a> {
    wire: &'a Wire,
    dictionary: &'a Dictionary,
    head: &'a Head,
    start: FeedCursor,
    limit: usize,
    /// Show events that have been retracted since, and their retractions.
    replay: bool,
    items: Items,
}

impl<'a> Reader<'a> {
    async fn read(&mut self) -> Result<(), StoreError> {
        let mut from = self.start.seq;
        while !self.full() {
            let entries = self.entries(from).await?;
            let Some(last) = entries.last() else { break };
            from = last.seq + 1;
            for entry in &entries {
                if self.full() {
                    break;
                }
                let within = self.start.within.filter(|_| self.start.seq == entry.seq);
                match entry.step {
                    FeedStep::Committed(range) => self.committed(entry, range, within).await?,
                    FeedStep::Retracted(_) => self.retracted(entry, within).await?,
                    FeedStep::Finalized(block) => self.finalized(entry, block, within),
                }
            }
        }
        Ok(())
    }

    async fn entries(&self, from: u64) -> Result<Vec<Entry<'a>>, StoreError> {
        let to = self.head.feed_visible();
        if from > to {
            return Ok(Vec::new());
        }
        let filter = doc! { "_id": { "$gte": rows::int(from)?, "$lte": rows::int(to)? } };
        let find = Find {
            collection: FEED,
            filter,
            sort: Some(doc! { "_id": 1 }),
            limit: Some(ENTRIES_MAX),
            reader: Asking::Question,
        };
        let mut entries = Vec::new();
        for document in self.wire.find(find).await? {
            let chain = ChainId(need_uint(&document, "chain")?);
            entries.push(Entry {
                seq: need_uint(&document, "_id")?,
                chain: self.head.chain(chain).ok_or_else(|| {
                    corrupt(format_args!("a feed entry of unknown chain {chain}"))
                })?,
                unit: need_uint(&document, "unit")?,
                step: chains::read_step(&document)?,
            });
        }
        Ok(entries)
    }

    fn full(&self) -> bool {
        self.items.len() >= self.limit
    }

    fn room(&self) -> i64 {
        i64::try_from(self.limit - self.items.len()).unwrap_or(i64::MAX)
    }

    fn push(&mut self, seq: u64, position: Position, item: FeedItem) {
        if !self.full() {
            self.items.push((FeedCursor { seq, within: Some(position) }, item));
        }
    }

    /// The entry's logs that are still in the index, and in a replay those that are not.
    async fn committed(
        &mut self,
        entry: &Entry<'_>,
        range: BlockRange,
        within: Option<Position>,
    ) -> Result<(), StoreError> {
        let low = match within {
            Some(at) => rows::position(at.block, at.log_index)? + 1,
            None => rows::block_start(range.from),
        };
        let chain = rows::int(entry.chain.id.0)?;
        let pos = doc! { "$gte": low, "$lte": rows::block_end(range.to) };
        // While a rewind is being carried out a log may be in both places.
        let mut events: BTreeMap<Position, EventRecord> = BTreeMap::new();
        let filter = doc! { "chain": chain, "pos": pos.clone(), "unit": rows::int(entry.unit)? };
        for log in self.logs(EVENTS, filter, 1, Some(self.room())).await? {
            events.insert(log.position(), log.event(entry.chain, self.dictionary)?);
        }
        if self.replay {
            let filter = doc! { "chain": chain, "pos": pos, "committed": rows::int(entry.seq)? };
            for log in self.logs(ORPHANS, filter, 1, Some(self.room())).await? {
                events.insert(log.position(), log.event(entry.chain, self.dictionary)?);
            }
        }
        for (position, event) in events {
            self.push(entry.seq, position, FeedItem::Observed(event));
        }
        Ok(())
    }

    /// The entry's retracted logs, newest first: all in a replay, else those the reader may have seen.
    async fn retracted(
        &mut self,
        entry: &Entry<'_>,
        within: Option<Position>,
    ) -> Result<(), StoreError> {
        let high = match within {
            Some(at) => rows::position(at.block, at.log_index)? - 1,
            None => i64::MAX,
        };
        let filter = doc! { "retracted": rows::int(entry.seq)?, "pos": { "$lte": high } };
        for document in self.find(ORPHANS, filter, -1, None).await? {
            let committed = need_uint(&document, "committed")?;
            let log = logs::read(&document)?;
            if self.replay || self.seen(committed, log.position()) {
                let event = log.event(entry.chain, self.dictionary)?;
                self.push(entry.seq, log.position(), FeedItem::Retracted(event));
            }
        }
        Ok(())
    }

    fn finalized(&mut self, entry: &Entry<'_>, block: u64, within: Option<Position>) {
        if within.is_none() {
            // The item has no log; its block alone says that it was delivered.
            let position = Position { block, log_index: 0 };
            self.push(entry.seq, position, FeedItem::Finalized { chain: entry.chain.id, block });
        }
    }

    async fn find(
        &self,
        collection: &'static str,
        filter: Document,
        direction: i32,
        limit: Option<i64>,
    ) -> Result<Vec<mongodb::bson::RawDocumentBuf>, StoreError> {
        let sort = Some(doc! { "pos": direction });
        self.wire.find(Find { collection, filter, sort, limit, reader: Asking::Question }).await
    }

    async fn logs(
        &self,
        collection: &'static str,
        filter: Document,
        direction: i32,
        limit: Option<i64>,
    ) -> Result<Vec<StoredLog>, StoreError> {
        let found = self.find(collection, filter, direction, limit).await?;
        found.iter().map(|document| logs::read(document)).collect()
    }

    /// Whether a log committed under entry `seq` lies at or before the place where this page starts.
    fn seen(&self, seq: u64, position: Position) -> bool {
        FeedCursor { seq, within: Some(position) } <= self.start
    }

    /// True when an event that this page left out is retracted only behind the page's end: the next
    /// page would take it for seen.
    async fn ends_between(&self) -> Result<bool, StoreError> {
        let Some((end, _)) = self.items.last() else { return Ok(false) };
        let seq = rows::int(end.seq)?;
        let filter = doc! {
            "committed": { "$gte": rows::int(self.start.seq)?, "$lte": seq },
            "retracted": { "$gte": seq },
        };
        for document in self.find(ORPHANS, filter, 1, None).await? {
            let (block, log_index) = rows::place(
                rows::get_int(&document, "pos")?
                    .ok_or_else(|| corrupt("an orphan without place"))?,
            );
            let within = Some(Position { block, log_index });
            let at = FeedCursor { seq: need_uint(&document, "committed")?, within };
            if at > self.start && at <= *end {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
