//! The bus as tables of the store's file: messages in numbered streams, and per consumer and lane how
//! far it has come.
//!
//! A lane has one message under way, so a consumer's state is one row a lane: no row per delivery.
//! Written by the store's one writer, so a backup holds both as of one moment.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};
use tokio::time::{Instant, sleep};

use super::Embedded;
use super::rows::{int, uint};
use crate::pipeline::bus::{
    BATCH_MAX, Bus, DEAD_LETTERS, Delivery, LANES, Message, PAYLOAD_BYTES_MAX, Replay, Stored,
    Terms, Verdict, dead_letter,
};
use crate::pipeline::error::{BusError, StoreError};
use crate::types::chain::ChainId;
use crate::types::clock::{Clock as _, SystemClock};

/// The bus's tables.
pub(super) const SCHEMA: &str = "
CREATE TABLE bus_message(
  stream TEXT NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, lane INTEGER NOT NULL,
  id TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, chain INTEGER, block INTEGER,
  note TEXT NOT NULL, payload BLOB NOT NULL, PRIMARY KEY(stream, seq)) WITHOUT ROWID;
CREATE UNIQUE INDEX bus_message_id ON bus_message(stream, id);
CREATE INDEX bus_message_lane ON bus_message(stream, lane, seq);
CREATE INDEX bus_message_block ON bus_message(stream, chain, block) WHERE chain IS NOT NULL;
CREATE INDEX bus_message_at ON bus_message(stream, at);
CREATE TABLE bus_lane(
  stream TEXT NOT NULL, consumer TEXT NOT NULL, lane INTEGER NOT NULL,
  done INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
  due INTEGER NOT NULL DEFAULT 0, ack_wait INTEGER NOT NULL, attempts_max INTEGER NOT NULL,
  PRIMARY KEY(stream, consumer, lane)) WITHOUT ROWID;
";

/// Between looks of a consumer that waits; the writer is asked each time.
const LOOK_EVERY: Duration = Duration::from_millis(25);

const COLUMNS: &str = "seq, at, id, kind, key, chain, block, note, payload";

impl From<StoreError> for BusError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<rusqlite::Error> for BusError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

#[async_trait]
impl Bus for Embedded {
    async fn publish(
        &self,
        stream: &str,
        messages: &[Message],
        after: Option<u64>,
    ) -> Result<u64, BusError> {
        check(messages)?;
        let (stream, messages) = (stream.to_owned(), messages.to_vec());
        self.on_writer(move |connection| {
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut last = last_seq(&tx, &stream)?;
            if let Some(expected) = after.filter(|expected| *expected != last) {
                return Err(BusError::Moved { stream, expected });
            }
            for message in &messages {
                last += u64::from(append(&tx, &stream, last + 1, message)?);
            }
            tx.commit()?;
            Ok(last)
        })
        .await
    }

    async fn last(&self, stream: &str) -> Result<Option<Stored>, BusError> {
        let stream = stream.to_owned();
        self.on_reader(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM bus_message WHERE stream = ?1 ORDER BY seq DESC LIMIT 1"
            );
            Ok(connection.prepare_cached(&sql)?.query_row([stream], read).optional()?)
        })
        .await
    }

    async fn subscribe(&self, stream: &str, consumer: &str, terms: Terms) -> Result<(), BusError> {
        let (stream, consumer) = (stream.to_owned(), consumer.to_owned());
        self.on_writer(move |connection| {
            for lane in 0..LANES {
                connection
                    .prepare_cached(
                        "INSERT OR IGNORE INTO bus_lane(stream, consumer, lane, ack_wait, attempts_max)
                         VALUES(?1, ?2, ?3, ?4, ?5)",
                    )?
                    .execute(params![
                        stream,
                        consumer,
                        lane,
                        int(millis(terms.ack_wait))?,
                        terms.attempts_max
                    ])?;
            }
            Ok(())
        })
        .await
    }

    async fn fetch(
        &self,
        stream: &str,
        consumer: &str,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BusError> {
        let until = Instant::now() + wait;
        loop {
            let (s, c) = (stream.to_owned(), consumer.to_owned());
            let due = self.on_writer(move |connection| take_due(connection, &s, &c)).await?;
            if !due.is_empty() || Instant::now() >= until {
                return Ok(due);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn settle(
        &self,
        stream: &str,
        consumer: &str,
        delivery: &Delivery,
        verdict: Verdict,
    ) -> Result<(), BusError> {
        let (stream, consumer) = (stream.to_owned(), consumer.to_owned());
        let delivery = delivery.clone();
        self.on_writer(move |connection| {
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let lane =
                Lane { stream: &stream, consumer: &consumer, lane: delivery.stored.message.lane() };
            match verdict {
                Verdict::Done => lane.pass(&tx, delivery.stored.seq)?,
                Verdict::Later(delay) => lane.wait(&tx, delivery.stored.seq, delay)?,
                Verdict::Dead(reason) => lane.bury(&tx, &delivery.stored, &reason)?,
            }
            tx.commit()?;
            Ok(())
        })
        .await
    }

    async fn replay(
        &self,
        stream: &str,
        from: Replay,
        limit: usize,
    ) -> Result<Vec<Stored>, BusError> {
        let stream = stream.to_owned();
        let limit = int(limit.min(BATCH_MAX) as u64)?;
        self.on_reader(move |connection| {
            // Numbers of ours, so that they may stand in the text.
            let filter = match from {
                Replay::Sequence(seq) => format!("seq >= {}", int(seq)?),
                Replay::Time(since) => format!("at >= {}", int(millis(since))?),
                Replay::Blocks { chain, range, after } => format!(
                    "chain = {} AND block BETWEEN {} AND {} AND seq > {}",
                    int(chain.0)?,
                    int(range.from)?,
                    int(range.to)?,
                    int(after)?
                ),
            };
            let sql = format!(
                "SELECT {COLUMNS} FROM bus_message WHERE stream = ?1 AND {filter}
                 ORDER BY seq LIMIT ?2"
            );
            let mut select = connection.prepare(&sql)?;
            let found = select.query_map(params![stream, limit], read)?;
            Ok(found.collect::<Result<_, _>>()?)
        })
        .await
    }
}

impl Embedded {
    async fn on_reader<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, BusError> + Send + 'static,
    ) -> Result<T, BusError> {
        let answer: Result<_, StoreError> =
            self.readers.run(move |connection| Ok(query(connection))).await;
        answer?
    }

    async fn on_writer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, BusError> + Send + 'static,
    ) -> Result<T, BusError> {
        self.writer()?.with(work).await?
    }
}

/// Refuses before anything is written what the other back end could not hold.
fn check(messages: &[Message]) -> Result<(), BusError> {
    if messages.len() > BATCH_MAX {
        return Err(BusError::Refused(format!("{} messages at once", messages.len())));
    }
    match messages.iter().find(|message| message.payload.len() > PAYLOAD_BYTES_MAX) {
        Some(large) => Err(BusError::Refused(format!(
            "{} has {} bytes, {PAYLOAD_BYTES_MAX} are the most",
            large.id,
            large.payload.len()
        ))),
        None => Ok(()),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn now() -> Result<i64, StoreError> {
    int(millis(SystemClock.now()))
}

fn last_seq(connection: &Connection, stream: &str) -> Result<u64, BusError> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT max(seq) FROM bus_message WHERE stream = ?1")?
        .query_row([stream], |row| row.get(0))?;
    Ok(uint(last.unwrap_or_default())?)
}

/// Appends unless the id is there; whether it did.
fn append(
    connection: &Connection,
    stream: &str,
    seq: u64,
    message: &Message,
) -> Result<bool, BusError> {
    let place = message.place;
    let done = connection
        .prepare_cached(
            "INSERT OR IGNORE INTO bus_message(stream, seq, at, lane, id, kind, key, chain, block, note, payload)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            stream,
            int(seq)?,
            now()?,
            message.lane(),
            message.id,
            message.kind,
            message.key,
            place.map(|(chain, _)| int(chain.0)).transpose()?,
            place.map(|(_, block)| int(block)).transpose()?,
            message.note,
            message.payload.as_ref(),
        ])?;
    Ok(done > 0)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let number = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
    let chain: Option<i64> = row.get(5)?;
    let block: Option<i64> = row.get(6)?;
    Ok(Stored {
        seq: number(0)?,
        at: Duration::from_millis(number(1)?),
        message: Message {
            id: row.get(2)?,
            kind: row.get(3)?,
            key: row.get(4)?,
            place: chain
                .zip(block)
                .map(|(chain, block)| (ChainId(chain.cast_unsigned()), block.cast_unsigned())),
            note: row.get(7)?,
            payload: Bytes::from(row.get::<_, Vec<u8>>(8)?),
        },
    })
}

/// One lane of one consumer.
struct Lane<'a> {
    stream: &'a str,
    consumer: &'a str,
    lane: u8,
}

impl Lane<'_> {
    /// Moves on behind `seq`, unless it already has.
    fn pass(&self, connection: &Connection, seq: u64) -> Result<(), BusError> {
        connection
            .prepare_cached(
                "UPDATE bus_lane SET done = ?4, attempts = 0, due = 0
                 WHERE stream = ?1 AND consumer = ?2 AND lane = ?3 AND done < ?4",
            )?
            .execute(params![self.stream, self.consumer, self.lane, int(seq)?])?;
        Ok(())
    }

    fn wait(&self, connection: &Connection, seq: u64, delay: Duration) -> Result<(), BusError> {
        let due = now()?.saturating_add(int(millis(delay))?);
        connection
            .prepare_cached(
                "UPDATE bus_lane SET due = ?5
                 WHERE stream = ?1 AND consumer = ?2 AND lane = ?3 AND done < ?4",
            )?
            .execute(params![self.stream, self.consumer, self.lane, int(seq)?, due])?;
        Ok(())
    }

    fn bury(&self, connection: &Connection, stored: &Stored, reason: &str) -> Result<(), BusError> {
        let letter = dead_letter(self.stream, self.consumer, stored, reason);
        append(connection, DEAD_LETTERS, last_seq(connection, DEAD_LETTERS)? + 1, &letter)?;
        self.pass(connection, stored.seq)
    }

    fn next(&self, connection: &Connection, done: i64) -> Result<Option<Stored>, BusError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM bus_message WHERE stream = ?1 AND lane = ?2 AND seq > ?3
             ORDER BY seq LIMIT 1"
        );
        let mut select = connection.prepare_cached(&sql)?;
        Ok(select.query_row(params![self.stream, self.lane, done], read).optional()?)
    }
}

/// A consumer's lane as stored.
struct Standing {
    lane: u8,
    done: i64,
    attempts: u32,
    due: i64,
    ack_wait: i64,
    attempts_max: u32,
}

/// Hands out what is due in each lane, and buries what was handed out too often.
fn take_due(
    connection: &mut Connection,
    stream: &str,
    consumer: &str,
) -> Result<Vec<Delivery>, BusError> {
    let now = now()?;
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut taken = Vec::new();
    for standing in standings(&tx, stream, consumer)? {
        if standing.due > now {
            continue;
        }
        let lane = Lane { stream, consumer, lane: standing.lane };
        let Some(stored) = lane.next(&tx, standing.done)? else { continue };
        if standing.attempts >= standing.attempts_max {
            lane.bury(&tx, &stored, &format!("{} deliveries failed", standing.attempts))?;
            continue;
        }
        let attempt = standing.attempts + 1;
        tx.prepare_cached(
            "UPDATE bus_lane SET attempts = ?4, due = ?5
             WHERE stream = ?1 AND consumer = ?2 AND lane = ?3",
        )?
        .execute(params![
            stream,
            consumer,
            lane.lane,
            attempt,
            now + standing.ack_wait
        ])?;
        taken.push(Delivery { receipt: stored.seq.to_string(), stored, attempt });
    }
    tx.commit()?;
    Ok(taken)
}

fn standings(
    connection: &Connection,
    stream: &str,
    consumer: &str,
) -> Result<Vec<Standing>, BusError> {
    let mut select = connection.prepare_cached(
        "SELECT lane, done, attempts, due, ack_wait, attempts_max FROM bus_lane
         WHERE stream = ?1 AND consumer = ?2 ORDER BY lane",
    )?;
    let found = select.query_map([stream, consumer], |row| {
        Ok(Standing {
            lane: row.get(0)?,
            done: row.get(1)?,
            attempts: row.get(2)?,
            due: row.get(3)?,
            ack_wait: row.get(4)?,
            attempts_max: row.get(5)?,
        })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}
