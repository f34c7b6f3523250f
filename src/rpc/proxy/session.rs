//! One client's socket: its requests, its subscriptions, its backlog.
//!
//! Knows frames of text, not sockets; `gateway` moves them. A client that reads too slowly is told
//! where it stands and let go, never skipped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::{Address, B256};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::feed::cursor::Cursor;
use super::feed::window::Known;
use super::feed::{HeadStream, LogNews, LogStream};
use super::reply::{Fault, Reply};
use super::request::{self, Body, Request};
use super::{Proxy, Refusal};
use crate::rpc::eth::LogFilter;
use crate::telemetry::metrics::{GaugeGuard, Metric, gauge};

/// Messages between the session and the writer of the socket.
const OUTGOING_MAX: usize = 256;

/// What the owner of the socket has to do.
#[derive(Debug)]
pub enum Outgoing {
    Text(Bytes),
    /// Close with this reason, which holds the cursor to resume from.
    Close(String),
}

/// A client's state while its socket is open. Dropping it ends its subscriptions.
#[derive(Debug)]
pub struct Session {
    proxy: Arc<Proxy>,
    out: mpsc::Sender<Outgoing>,
    /// Goes past the queue: a queue that is full is what it reports.
    farewell: Arc<Mutex<Option<oneshot::Sender<String>>>>,
    subscriptions: Mutex<HashMap<String, AbortHandle>>,
    _counted: GaugeGuard,
}

/// The other end of a session, for whoever writes to the socket.
#[derive(Debug)]
pub struct Outbox {
    queue: mpsc::Receiver<Outgoing>,
    farewell: oneshot::Receiver<String>,
}

impl Outbox {
    /// The next thing to write; `None` when the session is gone.
    pub async fn next(&mut self) -> Option<Outgoing> {
        tokio::select! {
            biased;
            reason = &mut self.farewell => Some(Outgoing::Close(reason.unwrap_or_default())),
            message = self.queue.recv() => message,
        }
    }

    /// Resolves when the session wants to end although its queue is not empty.
    pub async fn farewell(&mut self) -> String {
        (&mut self.farewell).await.unwrap_or_default()
    }
}

/// A subscription that is confirmed first and starts afterwards.
struct Opened {
    id: String,
    stream: Stream,
}

enum Stream {
    Heads(HeadStream),
    Logs(LogStream, LogFilter),
    Pending(super::feed::PendingStream),
    /// Confirmed and silent: our view of the chain is never "syncing".
    Silent,
}

impl Session {
    /// A session and what it writes.
    pub fn new(proxy: Arc<Proxy>) -> (Arc<Self>, Outbox) {
        let (out, queue) = mpsc::channel(OUTGOING_MAX);
        let (farewell, parting) = oneshot::channel();
        let session = Self {
            proxy,
            out,
            farewell: Arc::new(Mutex::new(Some(farewell))),
            subscriptions: Mutex::default(),
            _counted: gauge(Metric::GatewayWsClients, &[]).enter(),
        };
        (Arc::new(session), Outbox { queue, farewell: parting })
    }

    /// Serves one message of the client and queues the answer.
    pub async fn serve(&self, message: Bytes) {
        let mut opened = Vec::new();
        let reply = match request::parse(&message, &self.proxy.limits()) {
            Body::Broken(fault) => Some(Reply::fault(b"null", &fault)),
            Body::One(item) => self.item(item, &mut opened).await,
            Body::Batch(items) => self.batch(items, &mut opened).await,
        };
        if let Some(reply) = reply
            && self.out.send(Outgoing::Text(reply.into_bytes())).await.is_err()
        {
            return;
        }
        opened.into_iter().for_each(|subscription| self.start(subscription));
    }

    /// Ends the session with a closing frame, whatever is still queued.
    pub fn leave(&self, reason: &str) {
        let farewell = self.farewell.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(farewell) = farewell {
            // The socket may be gone already.
            drop(farewell.send(reason.to_owned()));
        }
    }

    async fn batch(
        &self,
        items: Vec<Result<Request, Fault>>,
        opened: &mut Vec<Opened>,
    ) -> Option<Reply> {
        let subscribes = items.iter().flatten().any(|r| is_subscription(&r.method));
        if !subscribes {
            return self.proxy.batch(items).await;
        }
        let mut replies = Vec::with_capacity(items.len());
        for item in items {
            replies.extend(self.item(item, opened).await);
        }
        if replies.is_empty() { None } else { Some(Reply::batch(replies)) }
    }

    async fn item(&self, item: Result<Request, Fault>, opened: &mut Vec<Opened>) -> Option<Reply> {
        let Ok(request) = &item else { return self.proxy.item(item, None).await };
        if !is_subscription(&request.method) {
            let tip = self.proxy.tip_for(std::iter::once(request.method.as_str())).await;
            return self.proxy.item(item, tip).await;
        }
        let id = request.id.clone()?;
        let outcome = match request.method.as_str() {
            "eth_unsubscribe" => self.unsubscribe(&request.params),
            _ => self.subscribe(&request.params, opened.len()).await.map(|subscription| {
                let confirmed = Bytes::from(format!("\"{}\"", subscription.id));
                opened.push(subscription);
                confirmed
            }),
        };
        Some(match outcome {
            Ok(result) => Reply::result(&id, result),
            Err(Refusal::Node(error)) => Reply::error(&id, &error),
            Err(Refusal::Ours(fault)) => Reply::fault(&id, &fault),
        })
    }

    fn unsubscribe(&self, params: &[u8]) -> Result<Bytes, Refusal> {
        let [id]: [String; 1] = serde_json::from_slice(params)
            .map_err(|_| Fault::params("expected one subscription id"))?;
        let known = self.subscriptions().remove(&id);
        if let Some(task) = &known {
            task.abort();
        }
        Ok(Bytes::from_static(if known.is_some() { b"true" } else { b"false" }))
    }

    async fn subscribe(&self, params: &[u8], waiting: usize) -> Result<Opened, Refusal> {
        let max = self.proxy.limits.socket_subscriptions_max;
        if self.subscriptions().len() + waiting >= max {
            return Err(Fault::limit(format!("at most {max} subscriptions per socket")).into());
        }
        let wanted = Wanted::read(params)?;
        let feed = &self.proxy.feed;
        let stream = match wanted.topic {
            Topic::NewHeads => Stream::Heads(feed.heads(wanted.resume).await?),
            Topic::Logs => Stream::Logs(feed.logs(wanted.resume).await?, wanted.filter),
            Topic::NewPendingTransactions => Stream::Pending(feed.pending(wanted.full).await?),
            Topic::Syncing => Stream::Silent,
        };
        let id = format!("{:#034x}", rand::random::<u128>());
        Ok(Opened { id, stream })
    }

    fn start(&self, opened: Opened) {
        let line = Line {
            out: self.out.clone(),
            farewell: self.farewell.clone(),
            id: opened.id.clone(),
            _counted: gauge(Metric::GatewaySubscriptions, &[]).enter(),
        };
        let task = match opened.stream {
            Stream::Heads(stream) => tokio::spawn(line.heads(stream)),
            Stream::Logs(stream, filter) => tokio::spawn(line.logs(stream, filter)),
            Stream::Pending(stream) => tokio::spawn(line.pending(stream)),
            Stream::Silent => tokio::spawn(std::future::pending()),
        };
        self.subscriptions().insert(opened.id, task.abort_handle());
    }

    fn subscriptions(&self) -> MutexGuard<'_, HashMap<String, AbortHandle>> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.subscriptions().drain().for_each(|(_, task)| task.abort());
    }
}

fn is_subscription(method: &str) -> bool {
    matches!(method, "eth_subscribe" | "eth_unsubscribe")
}

/// One subscription's way to its client.
struct Line {
    out: mpsc::Sender<Outgoing>,
    farewell: Arc<Mutex<Option<oneshot::Sender<String>>>>,
    id: String,
    _counted: GaugeGuard,
}

impl Line {
    async fn heads(self, mut stream: HeadStream) {
        let mut last = None;
        for known in std::mem::take(&mut stream.missed) {
            if !self.head(&known, &mut last).await {
                return;
            }
        }
        loop {
            match stream.live.recv().await {
                Ok(known) => {
                    if !self.head(&known, &mut last).await {
                        return;
                    }
                }
                Err(error) => return self.part(last, &error),
            }
        }
    }

    async fn head(&self, known: &Known, last: &mut Option<Cursor>) -> bool {
        let cursor = Cursor::Head { number: known.block.number, hash: known.block.hash };
        *last = Some(cursor);
        self.event(&known.header, Some(cursor)).await
    }

    async fn logs(self, mut stream: LogStream, filter: LogFilter) {
        let mut last = None;
        for news in std::mem::take(&mut stream.missed) {
            if !self.block_logs(&news, &filter, &mut last).await {
                return;
            }
        }
        loop {
            match stream.live.recv().await {
                // Logs that this client never saw cannot be taken back from it.
                Ok(news) if news.retracted && news.known.seq <= stream.joined_after => {}
                Ok(news) => {
                    if !self.block_logs(&news, &filter, &mut last).await {
                        return;
                    }
                }
                Err(error) => return self.part(last, &error),
            }
        }
    }

    async fn block_logs(
        &self,
        news: &LogNews,
        filter: &LogFilter,
        last: &mut Option<Cursor>,
    ) -> bool {
        for (raw, cursor) in news.for_client(filter) {
            *last = Some(cursor);
            let sent = match news.retracted {
                true => self.event(&as_removed(raw), Some(cursor)).await,
                false => self.event(raw, Some(cursor)).await,
            };
            if !sent {
                return false;
            }
        }
        true
    }

    async fn pending(self, mut stream: super::feed::PendingStream) {
        loop {
            match stream.live.recv().await {
                Ok(raw) => {
                    if !self.event(&raw, None).await {
                        return;
                    }
                }
                Err(error) => return self.part(None, &error),
            }
        }
    }

    /// Queues one event; false when the client is gone.
    async fn event(&self, result: &[u8], cursor: Option<Cursor>) -> bool {
        let mut text = Vec::with_capacity(result.len() + 256);
        text.extend_from_slice(
            b"{\"jsonrpc\":\"2.0\",\"method\":\"eth_subscription\",\"params\":{\"subscription\":\"",
        );
        text.extend_from_slice(self.id.as_bytes());
        text.extend_from_slice(b"\",\"result\":");
        text.extend_from_slice(result);
        if let Some(cursor) = cursor {
            text.extend_from_slice(format!(",\"cursor\":\"{cursor}\"").as_bytes());
        }
        text.extend_from_slice(b"}}");
        self.out.send(Outgoing::Text(text.into())).await.is_ok()
    }

    /// The stream ended or ran past the client: close the socket with the place to resume from.
    fn part(&self, last: Option<Cursor>, why: &RecvError) {
        let why = match why {
            RecvError::Lagged(_) => "slow consumer",
            RecvError::Closed => "stream restarted",
        };
        let reason = match last {
            Some(cursor) => format!("{why}; resume {cursor}"),
            None => why.to_owned(),
        };
        let farewell = self.farewell.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(farewell) = farewell {
            // The socket may be gone already.
            drop(farewell.send(reason));
        }
    }
}

/// The log with its `removed` mark set, put in if the node left it out.
pub(super) fn as_removed(raw: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(raw.len() + 16);
    let mark = memchr::memmem::find(raw, b"\"removed\"");
    let word = mark.and_then(|at| {
        let found = memchr::memmem::find(raw.get(at..)?, b"false")?;
        Some(at + found)
    });
    match (word, raw.split_last()) {
        (Some(at), _) => {
            text.extend_from_slice(raw.get(..at).unwrap_or_default());
            text.extend_from_slice(b"true");
            text.extend_from_slice(raw.get(at + 5..).unwrap_or_default());
        }
        (None, Some((b'}', inside))) if mark.is_none() => {
            text.extend_from_slice(inside);
            text.extend_from_slice(b",\"removed\":true}");
        }
        _ => text.extend_from_slice(raw),
    }
    text
}

/// The params of `eth_subscribe`, understood.
#[derive(Debug)]
pub(super) struct Wanted {
    topic: Topic,
    filter: LogFilter,
    full: bool,
    resume: Option<Cursor>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Topic {
    NewHeads,
    Logs,
    NewPendingTransactions,
    Syncing,
}

#[derive(Deserialize, Default)]
struct Options {
    #[serde(default)]
    address: Option<OneOrMany<Address>>,
    #[serde(default)]
    topics: Option<Vec<Option<OneOrMany<B256>>>>,
    #[serde(default)]
    resume: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

impl Wanted {
    /// The filter of one object, as `eth_newFilter` takes it.
    pub(super) fn filter(object: &[u8]) -> Result<LogFilter, Fault> {
        let text = std::str::from_utf8(object).map_err(|_| Fault::params("not text"))?;
        let mut wanted =
            Self { topic: Topic::Logs, filter: LogFilter::default(), full: false, resume: None };
        wanted.take(text)?;
        Ok(wanted.filter)
    }

    fn read(params: &[u8]) -> Result<Self, Fault> {
        let wrong = |text: &str| Fault::params(text);
        let parts: Vec<&RawValue> =
            serde_json::from_slice(params).map_err(|_| wrong("expected an array"))?;
        let (first, rest) = parts.split_first().ok_or_else(|| wrong("expected a subscription"))?;
        let named: Result<Topic, _> = serde_json::from_str(first.get());
        let objects = if named.is_ok() { rest } else { &parts[..] };
        let mut wanted =
            Self { topic: Topic::Syncing, filter: LogFilter::default(), full: false, resume: None };
        for object in objects {
            wanted.take(object.get())?;
        }
        wanted.topic = match (named, wanted.resume) {
            (Ok(topic), _) => topic,
            (Err(_), Some(Cursor::Head { .. })) => Topic::NewHeads,
            (Err(_), Some(Cursor::Logs { .. })) => Topic::Logs,
            (Err(_), None) => {
                return Err(wrong("no such subscription"));
            }
        };
        Ok(wanted)
    }

    /// One object after the name: a filter, a cursor, or both. A bare boolean asks for whole
    /// transactions.
    fn take(&mut self, text: &str) -> Result<(), Fault> {
        if let Ok(full) = serde_json::from_str::<bool>(text) {
            self.full = full;
            return Ok(());
        }
        let options: Option<Options> = serde_json::from_str(text)
            .map_err(|error| Fault::params(format!("filter: {error}")))?;
        let Some(options) = options else { return Ok(()) };
        if let Some(text) = options.resume {
            let cursor = Cursor::parse(&text).ok_or_else(|| Fault::params("not a cursor"))?;
            self.resume = Some(cursor);
        }
        if let Some(address) = options.address {
            self.filter.addresses = address.into_vec();
        }
        let topics = options.topics.unwrap_or_default();
        if topics.len() > 4 {
            return Err(Fault::params("more than 4 topics"));
        }
        for (slot, topic) in self.filter.topics.iter_mut().zip(topics) {
            *slot = topic.map(OneOrMany::into_vec).unwrap_or_default();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_is_read_in_all_its_forms() {
        let read = |text: &str| Wanted::read(text.as_bytes());
        assert_eq!(read(r#"["newHeads"]"#).expect("fine").topic, Topic::NewHeads);
        let address = format!("{:#x}", Address::repeat_byte(1));
        let topic = format!("{:#x}", B256::repeat_byte(2));
        let text = format!(r#"["logs",{{"address":"{address}","topics":[null,["{topic}"]]}}]"#);
        let wanted = read(&text).expect("fine");
        assert_eq!(wanted.filter.addresses.len(), 1);
        assert_eq!((wanted.filter.topics[0].len(), wanted.filter.topics[1].len()), (0, 1));
        let cursor = Cursor::Head { number: 3, hash: B256::repeat_byte(3) };
        for text in [
            format!(r#"[{{"resume":"{cursor}"}}]"#),
            format!(r#"["newHeads",{{"resume":"{cursor}"}}]"#),
        ] {
            let wanted = read(&text).expect("fine");
            assert_eq!((wanted.topic, wanted.resume), (Topic::NewHeads, Some(cursor)));
        }
        for bad in [
            r#"["nothing"]"#,
            "[]",
            "{}",
            r#"["logs",{"resume":"x"}]"#,
            r#"["logs",{"address":"0x1"}]"#,
        ] {
            assert_eq!(read(bad).expect_err("refused").code, -32602, "{bad}");
        }
    }

    #[test]
    fn a_retracted_log_says_so() {
        let removed = |raw: &str| {
            let text = as_removed(raw.as_bytes());
            serde_json::from_slice::<serde_json::Value>(&text).expect("JSON")
        };
        assert_eq!(removed(r#"{"a":"0x","removed":false}"#)["removed"], true);
        assert_eq!(removed(r#"{"removed" : false,"a":"0x"}"#)["a"], "0x");
        assert_eq!(removed(r#"{"a":"0x"}"#)["removed"], true);
    }
}
