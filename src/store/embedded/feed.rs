//! The feed expanded: each entry's blocks become the events that a reader behind it must hear of.
//!
//! A cursor does not tell whether its owner has seen an event that a reorg has taken back since. So a
//! page leaves out an event together with its retraction only where the page passes both. Where it
//! would end between the two, it shows both, for the next page could not know. Either way each reader
//! hears of a retraction exactly when it has heard of the event.

use rusqlite::Connection;

use super::chains;
use super::dictionary::Dictionary;
use super::feed_rows::{self, Entry};
use super::records::{self, Shown};
use super::rows::{self, int, uint};
use super::tokens::PAGE_MAX;
use crate::pipeline::error::StoreError;
use crate::store::read::QueryError;
use crate::types::chain::BlockRange;
use crate::types::event::{EventRecord, Position};
use crate::types::feed::{FeedCursor, FeedItem, FeedStep};

type Items = Vec<(FeedCursor, FeedItem)>;

/// Up to `limit` items behind `cursor`.
pub(super) fn page(
    connection: &Connection,
    dictionary: &Dictionary,
    cursor: FeedCursor,
    limit: usize,
) -> Result<Items, QueryError> {
    let chains = chains::all(connection)?;
    let mut reader = Reader {
        connection,
        shown: Shown::new(dictionary, &chains),
        start: cursor,
        limit: limit.clamp(1, PAGE_MAX),
        replay: false,
        items: Vec::new(),
    };
    reader.read()?;
    if reader.ends_between()? {
        reader.replay = true;
        reader.items.clear();
        reader.read()?;
    }
    Ok(reader.items)
}

struct Reader<'a> {
    connection: &'a Connection,
    shown: Shown<'a>,
    start: FeedCursor,
    limit: usize,
    /// Show events that have been retracted since, and their retractions.
    replay: bool,
    items: Items,
}

impl Reader<'_> {
    fn read(&mut self) -> Result<(), StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT seq, chain, step, low, high FROM feed WHERE seq >= ?1 ORDER BY seq",
        )?;
        let mut found = select.query([int(self.start.seq)?])?;
        while let Some(row) = found.next()? {
            if self.full() {
                break;
            }
            let entry = feed_rows::read(row)?;
            let within = self.start.within.filter(|_| self.start.seq == entry.seq);
            match entry.step {
                FeedStep::Committed(range) => self.committed(entry, range, within)?,
                FeedStep::Retracted(_) => self.retracted(entry, within)?,
                FeedStep::Finalized(block) => self.finalized(entry, block, within)?,
            }
        }
        Ok(())
    }

    fn full(&self) -> bool {
        self.items.len() >= self.limit
    }

    fn room(&self) -> Result<i64, StoreError> {
        i64::try_from(self.limit - self.items.len()).map_err(super::error::corrupt)
    }

    fn push(&mut self, entry: Entry, position: Position, item: FeedItem) {
        if !self.full() {
            self.items.push((FeedCursor { seq: entry.seq, within: Some(position) }, item));
        }
    }

    /// The entry's logs that are still in the index, and in a replay those that are not.
    fn committed(
        &mut self,
        entry: Entry,
        range: BlockRange,
        within: Option<Position>,
    ) -> Result<(), StoreError> {
        let low = match within {
            Some(at) => rows::pack(entry.chain, at.block, at.log_index)? + 1,
            None => rows::block_row(entry.chain, range.from)?,
        };
        let bounds = (low, rows::block_end(entry.chain, range.to), int(entry.seq)?, self.room()?);
        let live = format!(
            "SELECT {} FROM {} WHERE l.row >= ?1 AND l.row <= ?2 AND +b.seq = ?3
             ORDER BY l.row LIMIT ?4",
            records::COLUMNS,
            records::TABLES
        );
        let mut events = self.events(&live, bounds)?;
        if self.replay {
            let orphaned = format!(
                "SELECT {} FROM {} WHERE o.row >= ?1 AND o.row <= ?2 AND o.committed = ?3
                 ORDER BY o.row LIMIT ?4",
                records::ORPHAN_COLUMNS,
                records::ORPHAN_TABLES
            );
            events.extend(self.events(&orphaned, bounds)?);
            events.sort_by_key(|(position, _)| *position);
        }
        for (position, event) in events {
            self.push(entry, position, FeedItem::Observed(event));
        }
        Ok(())
    }

    /// The entry's retracted logs, newest first: all in a replay, else those the reader may have seen.
    fn retracted(&mut self, entry: Entry, within: Option<Position>) -> Result<(), StoreError> {
        let high = match within {
            Some(at) => rows::pack(entry.chain, at.block, at.log_index)? - 1,
            None => i64::MAX,
        };
        let all = format!(
            "SELECT {}, o.committed FROM {} WHERE o.retracted = ?1 AND o.row <= ?2
             ORDER BY o.row DESC",
            records::ORPHAN_COLUMNS,
            records::ORPHAN_TABLES
        );
        let mut select = self.connection.prepare_cached(&all)?;
        let mut found = select.query((int(entry.seq)?, high))?;
        while let Some(row) = found.next()? {
            if self.full() {
                break;
            }
            let log = records::read(self.connection, self.shown.dictionary, row)?;
            let position = position(log.row);
            if self.replay || self.seen(uint(row.get(10)?)?, position) {
                let event = self.shown.event(&log)?;
                self.push(entry, position, FeedItem::Retracted(event));
            }
        }
        Ok(())
    }

    fn finalized(
        &mut self,
        entry: Entry,
        block: u64,
        within: Option<Position>,
    ) -> Result<(), StoreError> {
        if within.is_none() {
            let (chain, _) = self.shown.chain(entry.chain)?;
            // The item has no log; its block alone says that it was delivered.
            let position = Position { block, log_index: 0 };
            self.push(entry, position, FeedItem::Finalized { chain, block });
        }
        Ok(())
    }

    fn events(
        &self,
        sql: &str,
        bounds: (i64, i64, i64, i64),
    ) -> Result<Vec<(Position, EventRecord)>, StoreError> {
        let mut select = self.connection.prepare_cached(sql)?;
        let mut found = select.query(bounds)?;
        let mut events = Vec::new();
        while let Some(row) = found.next()? {
            let log = records::read(self.connection, self.shown.dictionary, row)?;
            events.push((position(log.row), self.shown.event(&log)?));
        }
        Ok(events)
    }

    /// Whether a log committed under entry `seq` lies at or before the place where this page starts.
    fn seen(&self, seq: u64, position: Position) -> bool {
        FeedCursor { seq, within: Some(position) } <= self.start
    }

    /// True when an event that this page left out is retracted only behind the page's end: the next
    /// page would take it for seen.
    fn ends_between(&self) -> Result<bool, StoreError> {
        let Some((end, _)) = self.items.last() else { return Ok(false) };
        let mut select = self.connection.prepare_cached(
            "SELECT row, committed FROM orphan
             WHERE committed >= ?1 AND committed <= ?2 AND retracted >= ?2",
        )?;
        let mut found = select.query((int(self.start.seq)?, int(end.seq)?))?;
        while let Some(row) = found.next()? {
            let position = position(row.get(0)?);
            let at = FeedCursor { seq: uint(row.get(1)?)?, within: Some(position) };
            if at > self.start && at <= *end {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn position(row: i64) -> Position {
    let place = rows::unpack(row);
    Position { block: place.block, log_index: place.log_index }
}
