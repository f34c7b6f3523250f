//! WebSocket: calls as over HTTP, and subscriptions that follow the chain block by block.
//!
//! Each connection walks from what it showed last to what the provider sees now, so a fork yields the
//! orphans' logs as `removed`, newest first, and then every block of the new branch.

use std::io;
use std::sync::Arc;

use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};
use tokio_util::sync::CancellationToken;

use super::Provider;
use super::http::{self, Body};
use super::io::LineState;
use super::lens::Lens;
use super::logs::{Scan, Twist, invalid};
use super::rpc::{self, Reply};
use crate::sim::faults::{Fault, Refusal};
use crate::sim::filter::LogFilter;
use crate::sim::render;
use crate::sim::rng::Rng;
use crate::sim::view::{Block, View};
use crate::sim::world::News;

/// Largest message from a client.
const MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Subscriptions of one connection.
const SUBSCRIPTIONS_MAX: usize = 10_000;
/// The method under which fault rules name deliveries.
const DELIVERY: &str = "eth_subscription";

type Socket = WebSocketStream<TokioIo<Upgraded>>;

pub(super) fn is_upgrade(request: &Request<Incoming>) -> bool {
    let upgrade = request.headers().get(UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

/// Answers the handshake and serves the connection on a task of its own.
pub(super) fn accept(
    provider: Arc<Provider>,
    line: Arc<LineState>,
    alive: CancellationToken,
    mut request: Request<Incoming>,
) -> Response<Body> {
    if provider.plan.roll_at(line.number).hits(Fault::WsRefuse, "") {
        return http::text(StatusCode::FORBIDDEN, "WebSocket is not part of your plan");
    }
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
        return http::text(StatusCode::BAD_REQUEST, "no WebSocket key");
    };
    let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) else {
        return http::text(StatusCode::BAD_REQUEST, "bad WebSocket key");
    };
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        let mut config = WebSocketConfig::default();
        config.max_message_size = Some(MESSAGE_BYTES_MAX);
        config.max_frame_size = Some(MESSAGE_BYTES_MAX);
        let io = TokioIo::new(upgraded);
        let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        let session = Session::new(provider, Arc::clone(&line));
        tokio::select! {
            // How a client's connection ends is its own affair.
            _ended = session.run(socket) => {}
            () = alive.cancelled() => line.reset(),
        }
    });
    let mut response = Response::new(http::full(bytes::Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

#[derive(Debug)]
enum Topic {
    Heads,
    Logs(LogFilter),
    Pending { full: bool },
    Syncing,
}

#[derive(Debug)]
struct Subscription {
    id: String,
    topic: Topic,
}

/// One connection.
struct Session {
    provider: Arc<Provider>,
    line: Arc<LineState>,
    subscriptions: Vec<Subscription>,
    given: u64,
    silent: bool,
    /// What the subscriptions have been shown.
    shown: Arc<View>,
    shown_head: u64,
}

struct Out(SplitSink<Socket, Message>);

impl Out {
    async fn feed(&mut self, text: Vec<u8>) -> io::Result<()> {
        let text = String::from_utf8(text).map_err(io::Error::other)?;
        self.0.feed(Message::text(text)).await.map_err(io::Error::other)
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.0.flush().await.map_err(io::Error::other)
    }
}

impl Session {
    fn new(provider: Arc<Provider>, line: Arc<LineState>) -> Self {
        let silent = provider.plan.roll_at(line.number).hits(Fault::WsSilent, DELIVERY);
        let shown = provider.world.view();
        let shown_head = shown.head().saturating_sub(provider.settings.lag_blocks);
        Self { provider, line, subscriptions: Vec::new(), given: 0, silent, shown, shown_head }
    }

    async fn run(mut self, socket: Socket) -> io::Result<()> {
        let (sink, mut messages) = socket.split();
        let mut out = Out(sink);
        let (view, mut news) = self.provider.world.view_and_watch();
        self.shown_head = view.head().saturating_sub(self.provider.settings.lag_blocks);
        self.shown = view;
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        self.request(text.as_bytes(), &mut out).await?;
                    }
                    Some(Ok(Message::Binary(body))) => self.request(&body, &mut out).await?,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
                    Some(Ok(_)) => {}
                },
                heard = news.recv() => match heard {
                    // Whatever was missed is seen by walking from the view shown last.
                    Ok(News::Moved) | Err(RecvError::Lagged(_)) => self.follow(&mut out).await?,
                    Ok(News::Pending(tx)) => self.pending(&tx, &mut out).await?,
                    Err(RecvError::Closed) => return Ok(()),
                },
            }
        }
    }

    async fn request(&mut self, body: &[u8], out: &mut Out) -> io::Result<()> {
        self.provider.delay().await;
        let request = serde_json::from_slice::<rpc::Request<'_>>(body);
        if let Ok(request) = &request
            && matches!(request.method.as_ref(), "eth_subscribe" | "eth_unsubscribe")
        {
            self.provider.count_call(&request.method);
            // Nothing that happened before may come after the confirmation.
            self.follow(out).await?;
            let params = request.params().unwrap_or_default();
            let answer = match request.method.as_ref() {
                "eth_subscribe" => self.subscribe(&params),
                _ => Ok(self.unsubscribe(&params).to_string()),
            };
            let syncing = matches!(self.subscriptions.last(), Some(sub) if matches!(sub.topic, Topic::Syncing));
            let first = syncing && request.method == "eth_subscribe" && answer.is_ok();
            out.feed(match answer {
                Ok(result) => rpc::result_body(request.id(), result.as_bytes()),
                Err(refusal) => rpc::error_body(request.id(), &refusal),
            })
            .await?;
            if let Some(sub) = self.subscriptions.last().filter(|_| first) {
                out.feed(notification(&sub.id, b"false")).await?;
            }
            return out.flush().await;
        }
        let provider = Arc::clone(&self.provider);
        let dice = provider.plan.roll();
        if !dice.is_clean() {
            let method = http::first_method(body);
            let id = request.as_ref().map_or(b"null".as_slice(), |request| request.id());
            if let Some(early) = self.instead(&dice, &method, id)? {
                if !early.is_empty() {
                    out.feed(early).await?;
                }
                return out.flush().await;
            }
        }
        match rpc::answer(&provider, &dice, body, false).await {
            Reply::Whole(_, mut answer) => {
                let truncated =
                    !dice.is_clean() && dice.hits(Fault::TruncatedJson, &http::first_method(body));
                if truncated {
                    answer.truncate(answer.len() / 2);
                }
                out.feed(answer).await?;
                out.flush().await
            }
            Reply::Pieces(_) | Reply::Nothing => Ok(()),
        }
    }

    /// Faults that replace an answer; an empty text is no answer at all.
    fn instead(
        &self,
        dice: &crate::sim::faults::Dice<'_>,
        method: &str,
        id: &[u8],
    ) -> io::Result<Option<Vec<u8>>> {
        let hits = |fault| dice.hits(fault, method);
        if hits(Fault::Reset) || hits(Fault::ResetMidBody) {
            self.line.reset();
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if hits(Fault::Hang) {
            return Ok(Some(Vec::new()));
        }
        let error = |code, message: &str| {
            let refusal = Refusal { code, ..super::logs::server_error(message) };
            Ok(Some(rpc::error_body(id, &refusal)))
        };
        if hits(Fault::Status429) || hits(Fault::Status429RetryAfter) {
            return error(429, "Your app has exceeded its compute units per second capacity");
        }
        if hits(Fault::Status402) {
            return error(-32001, "monthly capacity limit exceeded, upgrade at /billing");
        }
        if hits(Fault::Status500) || hits(Fault::Status502) || hits(Fault::Status503) {
            return error(-32011, "no backend is currently healthy to serve traffic");
        }
        Ok(hits(Fault::Html200).then(|| b"<html>Just a moment...</html>".to_vec()))
    }

    fn subscribe(&mut self, params: &[Value]) -> Result<String, Refusal> {
        if self.subscriptions.len() >= SUBSCRIPTIONS_MAX {
            return Err(super::logs::server_error("too many subscriptions"));
        }
        let topic = match params.first().and_then(Value::as_str) {
            Some("newHeads") => Topic::Heads,
            Some("logs") => {
                let none = Value::Object(serde_json::Map::new());
                let filter = params.get(1).unwrap_or(&none);
                let book = &self.provider.world.recipe.book;
                Topic::Logs(LogFilter::parse(book, filter).map_err(invalid)?)
            }
            Some("newPendingTransactions") => {
                Topic::Pending { full: params.get(1).and_then(Value::as_bool).unwrap_or(false) }
            }
            Some("syncing") => Topic::Syncing,
            _ => return Err(invalid("no such subscription".into())),
        };
        self.given += 1;
        let provider = self.provider.index as u64;
        let words = [self.provider.world.settings.seed, provider, self.line.number, self.given, 7];
        let id: [u8; 16] = Rng::new(&words).bytes();
        let id = format!("{:#034x}", u128::from_be_bytes(id));
        let quoted = format!("\"{id}\"");
        self.subscriptions.push(Subscription { id, topic });
        Ok(quoted)
    }

    fn unsubscribe(&mut self, params: &[Value]) -> bool {
        let before = self.subscriptions.len();
        let id = params.first().and_then(Value::as_str).unwrap_or_default();
        self.subscriptions.retain(|sub| sub.id != id);
        self.subscriptions.len() < before
    }

    /// Shows everything between the last view and the present one.
    async fn follow(&mut self, out: &mut Out) -> io::Result<()> {
        let provider = Arc::clone(&self.provider);
        let place = self.line.number << 40 | (self.shown_head & 0xff_ffff_ffff);
        let dice = provider.plan.roll_at(place);
        let lens = Lens::new(&provider, &dice, DELIVERY);
        let (old, old_head) = (Arc::clone(&self.shown), self.shown_head);
        let mut common = old_head.min(lens.announced);
        while common > 0 && old.hash(common) != lens.view.hash(common) {
            common -= 1;
        }
        if common == lens.announced && common < old_head {
            // The head went back on its own branch: a lie that no node announces.
            return Ok(());
        }
        (self.shown, self.shown_head) = (Arc::clone(&lens.view), lens.announced);
        if self.silent || self.subscriptions.is_empty() {
            return Ok(());
        }
        for number in (common + 1..=old_head).rev() {
            if let Some(block) = old.block(&provider.world.recipe, number) {
                self.retract(&block, out).await?;
            }
        }
        for number in common + 1..=lens.announced {
            if let Some(block) = lens.view.block(&provider.world.recipe, number) {
                self.show(&block, out).await?;
            }
        }
        out.flush().await
    }

    /// The logs of an orphan, newest first.
    async fn retract(&self, block: &Block, out: &mut Out) -> io::Result<()> {
        for sub in &self.subscriptions {
            let Topic::Logs(filter) = &sub.topic else { continue };
            let mut scan = Scan::new(&self.provider, filter.clone(), Twist::default());
            for log in scan.singly(&self.provider, block, true).iter().rev() {
                out.feed(notification(&sub.id, log)).await?;
            }
        }
        Ok(())
    }

    async fn show(&self, block: &Block, out: &mut Out) -> io::Result<()> {
        let provider = &self.provider;
        let dice = provider.plan.roll_at(self.line.number << 40 | block.number);
        let clean = dice.is_clean();
        if !clean && dice.hits(Fault::WsClose, DELIVERY) {
            self.line.reset();
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let gapped = !clean && dice.hits(Fault::WsGappedHeads, DELIVERY);
        let twice = !clean && dice.hits(Fault::WsDuplicateHeads, DELIVERY);
        for sub in &self.subscriptions {
            match &sub.topic {
                Topic::Heads if !gapped => {
                    let head = block.head_json(&provider.world.recipe);
                    out.feed(notification(&sub.id, head)).await?;
                    if twice {
                        out.feed(notification(&sub.id, head)).await?;
                    }
                }
                Topic::Logs(filter) => {
                    let twist = Twist::new(provider, &dice, DELIVERY);
                    let mut scan = Scan::new(provider, filter.clone(), twist);
                    for log in scan.singly(provider, block, false) {
                        out.feed(notification(&sub.id, &log)).await?;
                    }
                }
                Topic::Heads | Topic::Pending { .. } | Topic::Syncing => {}
            }
        }
        Ok(())
    }

    async fn pending(&self, tx: &crate::sim::seal::SentTx, out: &mut Out) -> io::Result<()> {
        if self.silent {
            return Ok(());
        }
        for sub in &self.subscriptions {
            let Topic::Pending { full } = sub.topic else { continue };
            let mut result = Vec::new();
            if full {
                render::write_pending_tx(tx, &mut result);
            } else {
                render::write_bytes(tx.hash.as_slice(), &mut result);
            }
            out.feed(notification(&sub.id, &result)).await?;
        }
        out.flush().await
    }
}

fn notification(id: &str, result: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(result.len() + 128);
    out.extend_from_slice(
        b"{\"jsonrpc\":\"2.0\",\"method\":\"eth_subscription\",\"params\":{\"subscription\":\"",
    );
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(b"\",\"result\":");
    out.extend_from_slice(result);
    out.extend_from_slice(b"}}");
    out
}
