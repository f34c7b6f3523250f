//! Feed → bus: every event once, with its retraction and finality, in the order of commits.
//!
//! There is no outbox table to keep in step: the feed is written in the commit's own unit, and the
//! relay's place in it stands in the last message that it published. It appends only where that
//! message is still the last, so of two relays one is refused and looks again (ADR 10).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::pipeline::bus::{Bus, Message, PAYLOAD_BYTES_MAX};
use crate::pipeline::error::{BusError, StoreError};
use crate::telemetry::metrics::{Metric, count, gauge};
use crate::types::event::{EventRecord, Position};
use crate::types::feed::{FeedCursor, FeedItem};

/// The stream that the relay fills; nobody else writes there.
pub const EVENTS: &str = "events";

/// Items of one page: a round trip to the broker for all of them.
const PAGE: usize = 200;
/// Pause after a failure: doubling, first to last.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(5);
/// Looks at the feed even if nobody rings: a lost wake-up costs this much.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where the feed is read from.
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync {
    /// Up to `limit` items behind `cursor`, each with the cursor right behind it.
    async fn page(
        &self,
        cursor: FeedCursor,
        limit: usize,
    ) -> Result<Vec<(FeedCursor, FeedItem)>, StoreError>;
}

/// The relay.
#[derive(Debug)]
pub struct Relay {
    source: Arc<dyn Source>,
    bus: Arc<dyn Bus>,
}

/// Why a round ended.
#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the last message of stream {EVENTS} was not written by a relay: note {0:?}")]
    Foreign(String),
}

impl Relay {
    pub fn new(source: Arc<dyn Source>, bus: Arc<dyn Bus>) -> Self {
        Self { source, bus }
    }

    /// Works until dropped. `feed` rings when there may be more.
    pub async fn run(self, mut feed: watch::Receiver<u64>) {
        let mut wait = RETRY_FIRST;
        loop {
            match self.follow(&mut feed, &mut wait).await {
                RelayError::Bus(BusError::Moved { .. }) => {
                    log::info!("another relay is at work; looking where it stands");
                }
                error => log::warn!(wait:? = wait; "events wait for the bus: {error}"),
            }
            count(Metric::RelayInterruptions, &[], 1);
            sleep(wait).await;
            wait = wait.saturating_mul(2).min(RETRY_LAST);
        }
    }

    /// Publishes from where the stream ends, until something fails.
    async fn follow(&self, feed: &mut watch::Receiver<u64>, wait: &mut Duration) -> RelayError {
        let (mut cursor, mut last) = match self.resume().await {
            Ok(place) => place,
            Err(error) => return error,
        };
        loop {
            feed.mark_unchanged();
            match self.step(cursor, last).await {
                Ok(Some(place)) => (cursor, last) = place,
                // Silence and a lost wake-up look alike: the feed is read again either way.
                Ok(None) => drop(timeout(LOOK_EVERY, feed.changed()).await),
                Err(error) => return error,
            }
            *wait = RETRY_FIRST;
        }
    }

    /// Where the stream ends: the feed's cursor and the message's number.
    async fn resume(&self) -> Result<(FeedCursor, u64), RelayError> {
        let Some(stored) = self.bus.last(EVENTS).await? else {
            return Ok((FeedCursor { seq: 0, within: None }, 0));
        };
        let note = stored.message.note;
        let cursor = parse_cursor(&note).ok_or(RelayError::Foreign(note))?;
        Ok((cursor, stored.seq))
    }

    /// Publishes one page; `None` when there is nothing new.
    async fn step(
        &self,
        cursor: FeedCursor,
        last: u64,
    ) -> Result<Option<(FeedCursor, u64)>, RelayError> {
        let page = self.source.page(cursor, PAGE).await?;
        let Some((end, _)) = page.last() else { return Ok(None) };
        let end = *end;
        let messages: Vec<Message> =
            page.into_iter().map(|(cursor, item)| message(cursor, item)).collect();
        let last = self.bus.publish(EVENTS, &messages, Some(last)).await?;
        count(Metric::RelayPublished, &[], messages.len() as u64);
        gauge(Metric::RelayFeed, &[]).set(end.seq);
        Ok(Some((end, last)))
    }
}

/// What the relay's cursor looks like in a note: feed number, block, log index.
fn write_cursor(cursor: FeedCursor) -> String {
    match cursor.within {
        Some(at) => format!("{}.{}.{}", cursor.seq, at.block, at.log_index),
        None => cursor.seq.to_string(),
    }
}

fn parse_cursor(note: &str) -> Option<FeedCursor> {
    let mut parts = note.split('.');
    let seq = parts.next()?.parse().ok()?;
    let within = match parts.next() {
        None => None,
        Some(block) => {
            Some(Position { block: block.parse().ok()?, log_index: parts.next()?.parse().ok()? })
        }
    };
    parts.next().is_none().then_some(FeedCursor { seq, within })
}

/// An event as the bus carries it; the same words as in `/api/v1/events`.
#[derive(Serialize)]
struct Payload<'a> {
    id: String,
    phase: &'static str,
    chain_id: u64,
    block_number: u64,
    block_hash: String,
    timestamp: u64,
    tx_hash: String,
    log_index: u32,
    address: String,
    contract: &'a str,
    event: Option<&'a str>,
    args: serde_json::Map<String, serde_json::Value>,
    /// Too long for a message; the event list has them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    args_omitted: bool,
}

/// The message of an item. Its id is the event's own, the phase and the feed's number: a block that
/// leaves the chain and comes back is told as three steps, each with its own id.
fn message(cursor: FeedCursor, item: FeedItem) -> Message {
    match item {
        FeedItem::Observed(event) => event_message(cursor, &event, "observed"),
        FeedItem::Retracted(event) => event_message(cursor, &event, "retracted"),
        FeedItem::Finalized { chain, block } => Message {
            id: format!("{chain}:{block}:feed:finalized#{}", cursor.seq),
            kind: "chain.finalized".to_owned(),
            key: chain.to_string(),
            place: Some((chain, block)),
            note: write_cursor(cursor),
            payload: Bytes::from(format!("{{\"chain_id\":{chain},\"block_number\":{block}}}")),
        },
    }
}

fn event_message(cursor: FeedCursor, event: &EventRecord, phase: &'static str) -> Message {
    Message {
        id: format!("{}:feed:{phase}#{}", event.id(), cursor.seq),
        kind: format!("{}.{phase}", subject_of(event)),
        key: format!("{}:{}", event.chain, event.address),
        place: Some((event.chain, event.block_number)),
        note: write_cursor(cursor),
        payload: payload(event, phase),
    }
}

fn subject_of(event: &EventRecord) -> String {
    match event.event.as_deref() {
        Some("Transfer") => "token.transfer".to_owned(),
        Some(name) => {
            let word: String = name.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
            if word.is_empty() { "event.other".to_owned() } else { format!("event.{word}") }
        }
        None => "event.undecoded".to_owned(),
    }
}

fn payload(event: &EventRecord, phase: &'static str) -> Bytes {
    let args = event.args.iter();
    let mut payload = Payload {
        id: event.id(),
        phase,
        chain_id: event.chain.0,
        block_number: event.block_number,
        block_hash: event.block_hash.to_string(),
        timestamp: event.timestamp,
        tx_hash: event.tx_hash.to_string(),
        log_index: event.log_index,
        address: event.address.to_checksum(None),
        contract: &event.contract,
        event: event.event.as_deref(),
        args: args.map(|arg| (arg.name.clone(), arg.value.clone().into())).collect(),
        args_omitted: false,
    };
    // Strings and numbers alone: writing them cannot fail.
    let mut bytes = serde_json::to_vec(&payload).unwrap_or_default();
    if bytes.len() > PAYLOAD_BYTES_MAX {
        payload.args.clear();
        payload.args_omitted = true;
        bytes = serde_json::to_vec(&payload).unwrap_or_default();
    }
    Bytes::from(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_note() {
        for cursor in [
            FeedCursor { seq: 0, within: None },
            FeedCursor { seq: 7, within: Some(Position { block: 9, log_index: 3 }) },
        ] {
            assert_eq!(parse_cursor(&write_cursor(cursor)), Some(cursor));
        }
        for foreign in ["", "x", "1.2", "1.2.3.4", "1.2.x"] {
            assert_eq!(parse_cursor(foreign), None, "{foreign}");
        }
    }
}
