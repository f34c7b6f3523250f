//! The port to a message bus: streams of messages with stable ids, read by durable consumers.
//!
//! Delivery is at least once. A message may come again after a crash, so a consumer keeps the ids that it
//! has acted on; no promise of a broker stands in for that. Implementations: tables of the embedded
//! store, NATS JetStream.

use std::fmt;
use std::time::Duration;

use alloy_primitives::keccak256;
use async_trait::async_trait;
use bytes::Bytes;

use super::error::BusError;
use crate::types::chain::{BlockRange, ChainId};

/// Lanes of a stream. Messages with one key share a lane, and a lane has one message under way at a
/// time: that is what keeps the order of a key. More lanes are more consumers on the broker.
pub const LANES: u8 = 8;
/// Largest payload: a NATS server takes 1 MiB with headers.
pub const PAYLOAD_BYTES_MAX: usize = 512 * 1024;
/// Messages of one publish or replay.
pub const BATCH_MAX: usize = 1_000;
/// Where messages go that a consumer could not take.
pub const DEAD_LETTERS: &str = "dead";

/// What is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Stable over retries, restarts and relays: what makes a repeat harmless.
    pub id: String,
    /// Dotted words of ours: `token.transfer.observed`.
    pub kind: String,
    /// Messages with the same key are delivered in the order of their publishing.
    pub key: String,
    /// The block that it speaks of, to replay by.
    pub place: Option<(ChainId, u64)>,
    /// What the publisher wants to find again: its place in the feed, the reason of a dead letter.
    pub note: String,
    pub payload: Bytes,
}

impl Message {
    /// The lane of this message's key.
    pub fn lane(&self) -> u8 {
        keccak256(self.key.as_bytes())[0] % LANES
    }
}

/// A message in its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Counts up in its stream, from 1.
    pub seq: u64,
    /// When it was stored, since the Unix epoch.
    pub at: Duration,
    pub message: Message,
}

/// A message handed to a consumer.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub stored: Stored,
    /// 1 the first time.
    pub attempt: u32,
    /// What the back end needs to settle it.
    pub receipt: String,
}

/// What a consumer says of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Done,
    /// Again after this long; the key waits meanwhile.
    Later(Duration),
    /// Never again: to the dead letters with this reason.
    Dead(String),
}

/// How a consumer is served. Fixed when it is first made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// A delivery without a verdict comes again after this long.
    pub ack_wait: Duration,
    /// Deliveries after which a message goes to the dead letters.
    pub attempts_max: u32,
}

impl Default for Terms {
    fn default() -> Self {
        Self { ack_wait: Duration::from_secs(30), attempts_max: 10 }
    }
}

/// Where a replay starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// This message and all after it.
    Sequence(u64),
    /// Everything stored since, as time since the Unix epoch.
    Time(Duration),
    /// Messages that speak of these blocks, from sequence `after + 1` on.
    Blocks { chain: ChainId, range: BlockRange, after: u64 },
}

/// A bus.
#[async_trait]
pub trait Bus: fmt::Debug + Send + Sync {
    /// Appends in order and gives the last sequence. With `after`, only if the stream ends there:
    /// of two publishers that both think they are the only one, one is refused ([`BusError::Moved`]).
    /// What was appended before a failure stays. An id that was published a moment ago is not stored again.
    async fn publish(
        &self,
        stream: &str,
        messages: &[Message],
        after: Option<u64>,
    ) -> Result<u64, BusError>;

    /// The newest message.
    async fn last(&self, stream: &str) -> Result<Option<Stored>, BusError>;

    /// Makes the consumer if it is new; it begins with the oldest message.
    async fn subscribe(&self, stream: &str, consumer: &str, terms: Terms) -> Result<(), BusError>;

    /// What is due: at most one message per lane. Empty when nothing came within `wait`.
    async fn fetch(
        &self,
        stream: &str,
        consumer: &str,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BusError>;

    /// Settles a delivery. After an error it is not known whether the verdict counts.
    async fn settle(
        &self,
        stream: &str,
        consumer: &str,
        delivery: &Delivery,
        verdict: Verdict,
    ) -> Result<(), BusError>;

    /// Up to `limit` stored messages, oldest first.
    async fn replay(
        &self,
        stream: &str,
        from: Replay,
        limit: usize,
    ) -> Result<Vec<Stored>, BusError>;
}

/// The dead letter of a message: same key, its own id, the reason as note.
pub fn dead_letter(stream: &str, consumer: &str, stored: &Stored, reason: &str) -> Message {
    let message = stored.message.clone();
    Message {
        id: format!("{stream}:{consumer}:{}", message.id),
        kind: format!("dead.{}", message.kind),
        note: format!("{stream} {} for {consumer}: {reason}", stored.seq),
        ..message
    }
}
