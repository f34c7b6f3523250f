//! The live feed as server-sent events: every event once, in commit order, from where the client
//! left off.
//!
//! A reader pulls from the store at the pace of its socket; nothing is queued for it, so a slow
//! client costs one page of memory. What a reorg takes back comes as `retracted`.

use std::fmt::Write as _;
use std::time::Duration;

use alloy_primitives::Address;
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::query::{Params, address, contract, cursor, name, number};
use super::{Api, dto};
use crate::gateway::cursor as feed_cursor;
use crate::gateway::error::{Class, Language, Problem};
use crate::gateway::limits::{COST_STREAM, Caller};
use crate::gateway::server::Drain;
use crate::store::read::ContractFilter;
use crate::telemetry::metrics::{self, GaugeGuard, Metric};
use crate::types::chain::ChainId;
use crate::types::event::EventRecord;
use crate::types::feed::{FeedCursor, FeedItem};

/// Open streams in all: each holds a socket and, while it writes, one page.
pub(super) const STREAMS_MAX: usize = 2_048;
/// When a full service is worth asking again.
pub(in crate::gateway) const FULL_RETRY_AFTER: Duration = Duration::from_secs(5);
/// Silence after which a comment goes out: half of the shortest idle timeout of common proxies.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a client waits before it connects again, in milliseconds.
const RETRY_MS: u64 = 2_000;

/// Events as they are observed, retracted by a reorg, and finalized.
#[utoipa::path(
    get,
    path = "/api/v1/events/stream",
    operation_id = "streamEvents",
    tag = "events",
    params(
        ("chain_id" = Option<u64>, Query, description = "Only this chain", maximum = 9007199254740991i64, example = 1),
        ("contract" = Option<String>, Query, description = "Address or configured name of the contract", min_length = 1, max_length = 128),
        ("event" = Option<String>, Query, description = "Event name as in the ABI", min_length = 1, max_length = 128),
        ("address" = Option<String>, Query, description = "An address that takes part: any address argument", pattern = r"^0x[0-9a-fA-F]{40}$"),
        ("cursor" = Option<String>, Query, description = "`id` of the last event handled; without it the stream starts at the newest", min_length = 1, max_length = 512, pattern = r"^[!-~]+$", example = "AQAAAAAAAAAA"),
        ("Last-Event-ID" = Option<String>, Header, description = "The same; wins over `cursor`, as a browser sends it when it connects again"),
    ),
    responses(
        (status = 200, description = "Server-sent events named `observed` and `retracted` (data: an event) and `finalized` (data: chain and block); `id` is the cursor behind each. `problem` (data: problem details) ends a stream that cannot go on.", body = String, content_type = "text/event-stream"),
        (status = 400, description = "`invalid_parameter` or `invalid_cursor`", body = dto::Problem, content_type = "application/problem+json"),
        (status = 404, description = "`chain_unknown`", body = dto::Problem, content_type = "application/problem+json"),
        (status = 503, description = "`overloaded`: too many open streams", body = dto::Problem, content_type = "application/problem+json")
    )
)]
pub(in crate::gateway) async fn stream(
    State(api): State<Api>,
    caller: Caller,
    drain: Option<Extension<Drain>>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut params = Params::of(&uri);
    let filter = Filter {
        chain: params.take("chain_id", number).map(ChainId),
        contract: params.take("contract", contract),
        event: params.take("event", name),
        participant: params.take("address", address),
    };
    let asked = params.cursor();
    let resumed = headers.get("last-event-id").filter(|value| !value.is_empty());
    let asked = match resumed.map(|value| value.to_str().unwrap_or_default()) {
        Some(text) => params.path("Last-Event-ID", text, cursor),
        None => asked,
    };
    params.finish()?;
    api.charge_extra(caller, COST_STREAM)?;
    if let Some(chain) = filter.chain {
        api.require_chain(chain).await?;
    }
    let cursor = start(api.queries.feed_head().await?, asked.as_deref())?;
    let permit = api.streams.clone().try_acquire_owned().map_err(|_| {
        Problem::new(Class::Overloaded, "too many event streams are open")
            .retry_after(FULL_RETRY_AFTER)
    })?;
    let reader = Reader {
        feed: api.feed.clone(),
        drain: drain.map(|Extension(drain)| drain).unwrap_or_default(),
        language: Language::of(headers.get(header::ACCEPT_LANGUAGE)),
        api,
        filter,
        cursor,
        greeted: false,
        failed: false,
        last_sent: Instant::now(),
        _permit: permit,
        _counted: metrics::gauge(Metric::GatewaySseClients, &[]).enter(),
    };
    let body = stream::unfold(reader, |mut reader| async move {
        let bytes = reader.next().await?;
        reader.last_sent = Instant::now();
        Some((Ok::<_, std::convert::Infallible>(bytes), reader))
    });
    let head = [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("cache-control", "no-store"),
        // nginx would hold events back until its buffer is full.
        ("x-accel-buffering", "no"),
    ];
    // Some writers ask once more after the end.
    Ok((head, Body::from_stream(body.fuse())).into_response())
}

/// Where a reader begins: behind the newest entry, or where it left off.
fn start(head: u64, asked: Option<&str>) -> Result<FeedCursor, Problem> {
    let newest = FeedCursor { seq: head.saturating_add(1), within: None };
    let Some(text) = asked else { return Ok(newest) };
    let Some(cursor) = feed_cursor::decode(text) else {
        let detail = "this is no cursor of the stream; pass the id of the last event unchanged";
        return Err(Problem::new(Class::InvalidCursor, detail));
    };
    if cursor > newest {
        let detail = format!(
            "the cursor lies ahead of the feed, which stands at entry {head}: it belongs to another \
             or an older index; read /api/v1/events again and start without a cursor"
        );
        return Err(Problem::new(Class::InvalidCursor, detail));
    }
    Ok(cursor)
}

/// What one client wants to see.
#[derive(Debug)]
struct Filter {
    chain: Option<ChainId>,
    contract: Option<ContractFilter>,
    event: Option<String>,
    participant: Option<Address>,
}

impl Filter {
    fn wants(&self, item: &FeedItem) -> bool {
        match item {
            FeedItem::Observed(event) | FeedItem::Retracted(event) => self.wants_event(event),
            FeedItem::Finalized { chain, .. } => self.chain.is_none_or(|wanted| wanted == *chain),
        }
    }

    fn wants_event(&self, event: &EventRecord) -> bool {
        let contract = match &self.contract {
            None => true,
            Some(ContractFilter::Address(address)) => event.address == *address,
            Some(ContractFilter::Name(name)) => event.contract == *name,
        };
        contract
            && self.chain.is_none_or(|chain| chain == event.chain)
            && self.event.as_ref().is_none_or(|name| event.event.as_ref() == Some(name))
            && self.participant.is_none_or(|who| takes_part(event, who))
    }
}

/// An address argument is shown in EIP-55, so its text is compared.
fn takes_part(event: &EventRecord, who: Address) -> bool {
    let text = who.to_checksum(None);
    event.args.iter().any(|arg| arg.value == text)
}

/// One client's place in the feed.
struct Reader {
    api: Api,
    feed: watch::Receiver<u64>,
    drain: Drain,
    language: Language,
    filter: Filter,
    cursor: FeedCursor,
    greeted: bool,
    failed: bool,
    last_sent: Instant,
    _permit: OwnedSemaphorePermit,
    _counted: GaugeGuard,
}

impl Reader {
    /// The next bytes for the socket; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        if self.failed {
            return None;
        }
        if !self.greeted {
            self.greeted = true;
            return Some(self.mark(&format!("retry: {RETRY_MS}\n")));
        }
        loop {
            if self.drain.has_started() {
                return None;
            }
            let published = *self.feed.borrow_and_update();
            let stretch = match self.api.tail.read(self.cursor, published).await {
                Ok(stretch) => stretch,
                Err(error) => return Some(self.fail(error.into())),
            };
            let text = self.frames(&stretch.items);
            self.cursor = stretch.next;
            if !text.is_empty() {
                return Some(text.into());
            }
            if self.last_sent.elapsed() >= HEARTBEAT {
                return Some(self.mark(": \n"));
            }
            if stretch.items.is_empty()
                && let Some(bytes) = self.wait().await?
            {
                return Some(bytes);
            }
        }
    }

    /// Until the feed grows (`Some(None)`), a heartbeat is due, or the stream ends (`None`).
    async fn wait(&mut self) -> Option<Option<Bytes>> {
        let due = self.last_sent + HEARTBEAT;
        tokio::select! {
            changed = self.feed.changed() => changed.ok().map(|()| None),
            () = tokio::time::sleep_until(due) => Some(Some(self.mark(": \n"))),
            () = self.drain.started() => None,
        }
    }

    /// A frame without data: the client raises no event but keeps the cursor, so that a filter that
    /// matches seldom does not make it read the same stretch again.
    fn mark(&self, first: &str) -> Bytes {
        format!("{first}id: {}\n\n", feed_cursor::encode(self.cursor)).into()
    }

    /// What the client wants of `items`, as text.
    fn frames(&self, items: &[(FeedCursor, FeedItem)]) -> String {
        let mut out = String::new();
        for (cursor, item) in items.iter().filter(|(_, item)| self.filter.wants(item)) {
            match item {
                FeedItem::Observed(event) => {
                    frame(&mut out, "observed", *cursor, &dto::Event::from(event.clone()));
                }
                FeedItem::Retracted(event) => {
                    frame(&mut out, "retracted", *cursor, &dto::Event::from(event.clone()));
                }
                FeedItem::Finalized { chain, block } => {
                    let data = dto::Finalized { chain_id: chain.0, block_number: *block };
                    frame(&mut out, "finalized", *cursor, &data);
                }
            }
        }
        out
    }

    fn fail(&mut self, problem: Problem) -> Bytes {
        self.failed = true;
        format!("event: problem\ndata: {}\n\n", problem.to_json(self.language, None)).into()
    }
}

fn frame(out: &mut String, event: &str, cursor: FeedCursor, data: &impl Serialize) {
    // JSON text holds no line break, so one data line is enough. Neither write can fail.
    if let Ok(json) = serde_json::to_string(data) {
        let id = feed_cursor::encode(cursor);
        let written = write!(out, "event: {event}\nid: {id}\ndata: {json}\n\n");
        debug_assert!(written.is_ok(), "writing to a string does not fail");
    }
}
