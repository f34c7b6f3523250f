//! The bus over NATS JetStream: one stream per name, one durable consumer per lane.
//!
//! The broker is trusted with order in a lane and with keeping what it acknowledged, with nothing else:
//! who publishes says where the stream must end, who consumes knows ids. Works on a server of 2.9 and later.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::context::{Context, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, stream};
use async_nats::{Client, ConnectOptions};
use async_trait::async_trait;
use bytes::Bytes;
use dashmap::DashMap;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::nats_wire::{self as wire, subject};
use crate::pipeline::bus::{
    BATCH_MAX, Bus, DEAD_LETTERS, Delivery, LANES, Message, PAYLOAD_BYTES_MAX, Replay, Stored,
    Terms, Verdict, dead_letter,
};
use crate::pipeline::error::BusError;

/// Longest wait for one call: a broker that fails over takes seconds, and the caller tries again.
const CALL_MAX: Duration = Duration::from_secs(5);
/// Between looks of a consumer that waits: eight small requests each.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The server's own memory of ids; what comes later is caught by the expected sequence and by consumers.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
/// A replay's consumer, which nobody deletes if we die.
const REPLAY_TTL: Duration = Duration::from_secs(30);

/// A connection to the broker; it connects again by itself.
#[derive(Debug)]
pub struct Nats {
    client: Client,
    context: Context,
    prefix: String,
    /// Streams that exist, and consumers with their terms.
    streams: DashMap<String, stream::Stream>,
    consumers: DashMap<(String, String), (Terms, Vec<PullConsumer>)>,
}

impl Nats {
    /// Connects in the background; calls fail until the broker answers.
    pub async fn open(url: &str, prefix: &str) -> Result<Self, BusError> {
        let address: async_nats::ServerAddr =
            url.parse().map_err(|_| BusError::BadUrl("not an address of NATS".to_owned()))?;
        let client = ConnectOptions::new()
            .name("rwahub")
            .retry_on_initial_connect()
            .connection_timeout(CALL_MAX)
            .request_timeout(Some(CALL_MAX))
            .connect(address)
            .await
            .map_err(|error| BusError::BadUrl(error.kind().to_string()))?;
        let mut context = jetstream::new(client.clone());
        context.set_timeout(CALL_MAX);
        let (streams, consumers) = (DashMap::new(), DashMap::new());
        Ok(Self { client, context, prefix: prefix.to_owned(), streams, consumers })
    }

    /// Whether the broker answers and has JetStream.
    pub async fn probe(&self) -> Result<(), BusError> {
        bounded(self.context.query_account()).await.map(drop)
    }

    /// The stream's handle; made with its subjects if it is new.
    async fn stream(&self, name: &str) -> Result<stream::Stream, BusError> {
        if let Some(known) = self.streams.get(name) {
            return Ok(known.clone());
        }
        let config = stream::Config {
            name: format!("{}_{name}", self.prefix),
            subjects: vec![format!("{}.{name}.>", self.prefix)],
            duplicate_window: DUPLICATE_WINDOW,
            ..Default::default()
        };
        let stream = bounded(self.context.get_or_create_stream(config)).await?;
        self.streams.insert(name.to_owned(), stream.clone());
        Ok(stream)
    }

    /// What was known may be gone with the broker's data: look again next time.
    fn forget(&self, name: &str) {
        self.streams.remove(name);
        self.consumers.retain(|(stream, _), _| stream != name);
    }

    /// The consumer's lanes, as made by `subscribe` in this process or before.
    async fn lanes(
        &self,
        stream: &str,
        consumer: &str,
    ) -> Result<(Terms, Vec<PullConsumer>), BusError> {
        let key = (stream.to_owned(), consumer.to_owned());
        if let Some(known) = self.consumers.get(&key) {
            return Ok(known.clone());
        }
        Err(BusError::Unavailable(format!("consumer {consumer} of {stream} is not subscribed")))
    }

    async fn make_lanes(
        &self,
        stream: &str,
        consumer: &str,
        terms: Terms,
    ) -> Result<Vec<PullConsumer>, BusError> {
        let handle = self.stream(stream).await?;
        let mut lanes = Vec::with_capacity(usize::from(LANES));
        for lane in 0..LANES {
            let name = format!("{consumer}-{lane}");
            let config = pull::Config {
                durable_name: Some(name.clone()),
                ack_policy: AckPolicy::Explicit,
                ack_wait: terms.ack_wait,
                // One under way: the next message of a key waits for this one's verdict.
                max_ack_pending: 1,
                // The count is ours to judge: the broker would skip the message without a trace.
                max_deliver: -1,
                filter_subject: format!("{}.{stream}.{lane}.>", self.prefix),
                ..Default::default()
            };
            lanes.push(bounded(handle.get_or_create_consumer(&name, config)).await?);
        }
        Ok(lanes)
    }

    /// One lane's message, if one is due. Buries what was delivered too often.
    async fn take(
        &self,
        stream: &str,
        consumer: &str,
        terms: Terms,
        lane: &PullConsumer,
    ) -> Result<Option<Delivery>, BusError> {
        let mut batch = bounded(lane.fetch().max_messages(1).messages()).await?;
        let next = timeout(CALL_MAX, batch.next()).await;
        let Some(message) = next.map_err(|_| late())? else { return Ok(None) };
        let message = message.map_err(unavailable)?;
        let info = message.info().map_err(|error| unavailable(error.to_string()))?;
        let attempt = u32::try_from(info.delivered).unwrap_or(u32::MAX);
        let stored = wire::stored(
            info.stream_sequence,
            info.published.unix_timestamp_nanos(),
            message.headers.as_ref(),
            message.payload.clone(),
        );
        let receipt = message.reply.as_ref().map(ToString::to_string).unwrap_or_default();
        let delivery = Delivery { stored, attempt, receipt };
        if attempt <= terms.attempts_max {
            return Ok(Some(delivery));
        }
        let reason = format!("{} deliveries failed", terms.attempts_max);
        self.settle(stream, consumer, &delivery, Verdict::Dead(reason)).await?;
        Ok(None)
    }

    /// Tells the broker and waits until it has heard.
    async fn answer(&self, delivery: &Delivery, words: String) -> Result<(), BusError> {
        let receipt = delivery.receipt.clone();
        bounded(self.client.request(receipt, Bytes::from(words))).await.map(drop)
    }

    async fn newest(&self, stream: &str) -> Result<Option<Stored>, BusError> {
        let handle = self.stream(stream).await?;
        let info = bounded(handle.get_info()).await?;
        if info.state.messages == 0 {
            return Ok(None);
        }
        let raw = bounded(handle.get_raw_message(info.state.last_sequence)).await?;
        let at = raw.time.unix_timestamp_nanos();
        Ok(Some(wire::stored(raw.sequence, at, Some(&raw.headers), raw.payload)))
    }

    async fn last_seq(&self, stream: &str) -> Result<u64, BusError> {
        let handle = self.stream(stream).await?;
        Ok(bounded(handle.get_info()).await?.state.last_sequence)
    }

    async fn append(
        &self,
        stream: &str,
        messages: &[Message],
        after: Option<u64>,
    ) -> Result<u64, BusError> {
        self.stream(stream).await?;
        let mut last = after;
        let mut acks = Vec::with_capacity(messages.len());
        // All are on their way before the first is waited for: a round trip per batch, not per message.
        for message in messages {
            let subject = subject(&self.prefix, stream, message);
            acks.push(bounded(self.context.send_publish(subject, outbound(message, last))).await?);
            last = last.map(|seq| seq + 1);
        }
        let mut seq = after.unwrap_or_default();
        for ack in acks {
            let ack = timeout(CALL_MAX, ack.into_future()).await.map_err(|_| late())?;
            let ack = ack.map_err(|error| match (error.kind(), after) {
                (PublishErrorKind::WrongLastSequence, Some(expected)) => {
                    BusError::Moved { stream: stream.to_owned(), expected }
                }
                _ => unavailable(error),
            })?;
            seq = seq.max(ack.sequence);
        }
        if messages.is_empty() { self.last_seq(stream).await } else { Ok(seq) }
    }
}

#[async_trait]
impl Bus for Nats {
    async fn publish(
        &self,
        stream: &str,
        messages: &[Message],
        after: Option<u64>,
    ) -> Result<u64, BusError> {
        check(messages)?;
        let done = self.append(stream, messages, after).await;
        if matches!(done, Err(BusError::Unavailable(_))) {
            self.forget(stream);
        }
        done
    }

    async fn last(&self, stream: &str) -> Result<Option<Stored>, BusError> {
        let found = self.newest(stream).await;
        if found.is_err() {
            self.forget(stream);
        }
        found
    }

    async fn subscribe(&self, stream: &str, consumer: &str, terms: Terms) -> Result<(), BusError> {
        let lanes = self.make_lanes(stream, consumer, terms).await;
        if lanes.is_err() {
            self.forget(stream);
        }
        self.consumers.insert((stream.to_owned(), consumer.to_owned()), (terms, lanes?));
        Ok(())
    }

    async fn fetch(
        &self,
        stream: &str,
        consumer: &str,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BusError> {
        let until = Instant::now() + wait;
        let (terms, lanes) = self.lanes(stream, consumer).await?;
        loop {
            let looks = lanes.iter().map(|lane| self.take(stream, consumer, terms, lane));
            let mut due = Vec::new();
            for found in join_all(looks).await {
                due.extend(found?);
            }
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
        match verdict {
            Verdict::Done => self.answer(delivery, "+ACK".to_owned()).await,
            Verdict::Later(delay) => {
                let words = format!("-NAK {{\"delay\": {}}}", delay.as_nanos());
                self.answer(delivery, words).await
            }
            Verdict::Dead(reason) => {
                // First the copy, then the end of the original: a crash between repeats the copy's id.
                let letter = dead_letter(stream, consumer, &delivery.stored, &reason);
                self.publish(DEAD_LETTERS, &[letter], None).await?;
                self.answer(delivery, "+TERM".to_owned()).await
            }
        }
    }

    async fn replay(
        &self,
        stream: &str,
        from: Replay,
        limit: usize,
    ) -> Result<Vec<Stored>, BusError> {
        let handle = self.stream(stream).await?;
        let (deliver_policy, filter) = self.replay_start(stream, from)?;
        let config = pull::Config {
            deliver_policy,
            ack_policy: AckPolicy::None,
            filter_subject: filter,
            inactive_threshold: REPLAY_TTL,
            ..Default::default()
        };
        let consumer = bounded(handle.create_consumer(config)).await?;
        let limit = limit.min(BATCH_MAX);
        let mut found = Vec::new();
        while found.len() < limit {
            let page = self.page(&consumer).await?;
            if page.is_empty() {
                break;
            }
            found.extend(page.into_iter().filter(|stored| wanted(from, stored)));
        }
        found.truncate(limit);
        Ok(found)
    }
}

impl Nats {
    fn replay_start(
        &self,
        stream: &str,
        from: Replay,
    ) -> Result<(DeliverPolicy, String), BusError> {
        let all = format!("{}.{stream}.>", self.prefix);
        let at = |seq: u64| DeliverPolicy::ByStartSequence { start_sequence: seq.max(1) };
        Ok(match from {
            Replay::Sequence(seq) => (at(seq), all),
            Replay::Time(since) => {
                let nanos = i128::try_from(since.as_nanos()).unwrap_or(i128::MAX);
                let start_time = async_nats::datetime::from_nanos(nanos)
                    .map_err(|error| BusError::Refused(error.to_string()))?;
                (DeliverPolicy::ByStartTime { start_time }, all)
            }
            // The chain is a word of the subject; blocks are not, so its messages are looked through.
            Replay::Blocks { chain, after, .. } => {
                (at(after + 1), format!("{}.{stream}.*.{chain}.>", self.prefix))
            }
        })
    }

    /// What a replay's consumer has ready.
    async fn page(&self, consumer: &PullConsumer) -> Result<Vec<Stored>, BusError> {
        let mut batch = bounded(consumer.fetch().max_messages(BATCH_MAX).messages()).await?;
        let mut found = Vec::new();
        while let Some(message) = timeout(CALL_MAX, batch.next()).await.map_err(|_| late())? {
            let message = message.map_err(unavailable)?;
            let info = message.info().map_err(|error| unavailable(error.to_string()))?;
            found.push(wire::stored(
                info.stream_sequence,
                info.published.unix_timestamp_nanos(),
                message.headers.as_ref(),
                message.payload.clone(),
            ));
        }
        Ok(found)
    }
}

fn outbound(message: &Message, after: Option<u64>) -> PublishMessage {
    let outbound = PublishMessage::build()
        .payload(message.payload.clone())
        .headers(wire::headers(message))
        .message_id(&message.id);
    match after {
        Some(after) => outbound.expected_last_sequence(after),
        None => outbound,
    }
}

fn wanted(from: Replay, stored: &Stored) -> bool {
    match from {
        Replay::Sequence(_) | Replay::Time(_) => true,
        Replay::Blocks { chain, range, .. } => stored
            .message
            .place
            .is_some_and(|(c, block)| c == chain && range.from <= block && block <= range.to),
    }
}

/// A call with an end, its failure in our words.
async fn bounded<T, E: std::fmt::Display>(
    call: impl IntoFuture<Output = Result<T, E>>,
) -> Result<T, BusError> {
    match timeout(CALL_MAX, call).await {
        Ok(done) => done.map_err(unavailable),
        Err(_) => Err(late()),
    }
}

fn late() -> BusError {
    BusError::Unavailable(format!("no answer within {CALL_MAX:?}"))
}

fn unavailable(error: impl std::fmt::Display) -> BusError {
    BusError::Unavailable(error.to_string())
}

/// Refuses before anything is sent what cannot be kept.
fn check(messages: &[Message]) -> Result<(), BusError> {
    if messages.len() > BATCH_MAX {
        return Err(BusError::Refused(format!("{} messages at once", messages.len())));
    }
    for message in messages {
        if message.payload.len() > PAYLOAD_BYTES_MAX {
            return Err(BusError::Refused(format!(
                "{} has {} bytes, {PAYLOAD_BYTES_MAX} are the most",
                message.id,
                message.payload.len()
            )));
        }
        wire::check(message)?;
    }
    Ok(())
}
