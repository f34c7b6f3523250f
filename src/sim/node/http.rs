//! HTTP: one request to one answer, and the faults that live below JSON-RPC.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::io::LineState;
use super::rpc::{self, Reply};
use super::{Provider, ws};
use crate::sim::faults::{Dice, Fault};

/// Largest request body.
const REQUEST_BYTES_MAX: usize = 32 * 1024 * 1024;
/// A hanging request ends after this, if the client is still there.
const HANG_MAX: Duration = Duration::from_secs(600);
/// A slow body comes in so many parts, with such pauses.
const SLOW_PARTS: usize = 40;
const SLOW_PAUSE: Duration = Duration::from_millis(250);
/// Zeros of a huge body.
const HUGE_BYTES: usize = 256 * 1024 * 1024;
const HUGE_PART: &[u8] = &[b'0'; 64 * 1024];

const HTML: &str = "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body><h1>Checking your browser</h1></body></html>";

pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Serves one request. An error closes the connection without an answer.
pub(super) async fn handle(
    provider: Arc<Provider>,
    line: Arc<LineState>,
    alive: CancellationToken,
    request: Request<Incoming>,
) -> Result<Response<Body>, io::Error> {
    if ws::is_upgrade(&request) {
        return Ok(ws::accept(provider, line, alive, request));
    }
    if request.method() != Method::POST {
        return Ok(text(StatusCode::METHOD_NOT_ALLOWED, "POST JSON-RPC here"));
    }
    let Ok(body) = Limited::new(request.into_body(), REQUEST_BYTES_MAX).collect().await else {
        return Ok(text(StatusCode::PAYLOAD_TOO_LARGE, "request body too large"));
    };
    let body = body.to_bytes();
    provider.delay().await;
    let dice = provider.plan.roll();
    if dice.is_clean() {
        return Ok(respond(rpc::answer(&provider, &dice, &body, true).await));
    }
    let method = first_method(&body);
    if let Some(early) = instead(&dice, &method, &line).await? {
        return Ok(early);
    }
    let reply = rpc::answer(&provider, &dice, &body, true).await;
    Ok(spoil(&dice, &method, &line, reply).await)
}

impl Provider {
    /// Waits as long as this provider takes to think.
    pub(super) async fn delay(&self) {
        let mut delay = self.settings.latency;
        if !self.settings.jitter.is_zero() {
            let mut rng = self.plan.roll_at(self.plan.requests()).rng(Fault::SlowBody);
            let most = u64::try_from(self.settings.jitter.as_micros()).unwrap_or(u64::MAX);
            delay += Duration::from_micros(rng.below(most));
        }
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }
}

/// The method of a call, or of the first item of a batch, for rules that name methods.
pub(super) fn first_method(body: &[u8]) -> String {
    let single = |body: &[u8]| {
        serde_json::from_slice::<rpc::Request<'_>>(body).map(|request| request.method.into_owned())
    };
    single(body)
        .or_else(|_| {
            let items: Vec<&RawValue> = serde_json::from_slice(body)?;
            items.first().map_or(Ok(String::new()), |first| single(first.get().as_bytes()))
        })
        .unwrap_or_default()
}

/// Faults that replace the answer.
async fn instead(
    dice: &Dice<'_>,
    method: &str,
    line: &LineState,
) -> Result<Option<Response<Body>>, io::Error> {
    let hits = |fault| dice.hits(fault, method);
    if hits(Fault::Hang) {
        tokio::time::sleep(HANG_MAX).await;
        return Err(io::ErrorKind::TimedOut.into());
    }
    if hits(Fault::Reset) {
        line.reset();
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    let limited = "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":429,\"message\":\"Your app has exceeded its compute units per second capacity\"}}";
    if hits(Fault::Status429) {
        return Ok(Some(json(StatusCode::TOO_MANY_REQUESTS, limited)));
    }
    if hits(Fault::Status429RetryAfter) {
        let mut response = json(StatusCode::TOO_MANY_REQUESTS, limited);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        return Ok(Some(response));
    }
    if hits(Fault::Status402) {
        let body = "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32001,\"message\":\"monthly capacity limit exceeded, upgrade at /billing\"}}";
        return Ok(Some(json(StatusCode::PAYMENT_REQUIRED, body)));
    }
    if hits(Fault::Status500) {
        return Ok(Some(text(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")));
    }
    if hits(Fault::Status502) {
        return Ok(Some(html(StatusCode::BAD_GATEWAY)));
    }
    if hits(Fault::Status503) {
        let body = "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32011,\"message\":\"no backend is currently healthy to serve traffic\"}}";
        return Ok(Some(json(StatusCode::SERVICE_UNAVAILABLE, body)));
    }
    if hits(Fault::Html200) {
        return Ok(Some(html(StatusCode::OK)));
    }
    if hits(Fault::EmptyBody) {
        return Ok(Some(json(StatusCode::OK, "")));
    }
    Ok(hits(Fault::HugeBody).then(huge))
}

/// Faults that damage a good answer on its way.
async fn spoil(
    dice: &Dice<'_>,
    method: &str,
    line: &Arc<LineState>,
    reply: Reply,
) -> Response<Body> {
    let faults = [Fault::TruncatedJson, Fault::ResetMidBody, Fault::SlowBody];
    let Some(fault) = faults.into_iter().find(|fault| dice.hits(*fault, method)) else {
        return respond(reply);
    };
    let (status, whole) = match reply {
        Reply::Whole(status, body) => (status, Bytes::from(body)),
        Reply::Nothing => return respond(reply),
        Reply::Pieces(mut pieces) => {
            let mut out = Vec::new();
            while let Some(piece) = pieces.recv().await {
                out.extend_from_slice(&piece);
            }
            (200, Bytes::from(out))
        }
    };
    let half = whole.len() / 2;
    let (stated, body) = match fault {
        Fault::TruncatedJson => (half, full(whole.slice(..half))),
        Fault::ResetMidBody => {
            line.reset();
            let parts = [Ok(whole.slice(..half)), Err(io::ErrorKind::ConnectionReset.into())];
            (whole.len(), streamed(stream::iter(parts)))
        }
        _ => (whole.len(), streamed(trickle(whole))),
    };
    let mut response = with_body(StatusCode::from_u16(status).unwrap_or_default(), body);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(stated));
    response
}

fn trickle(whole: Bytes) -> impl Stream<Item = Result<Bytes, io::Error>> {
    let part = (whole.len() / SLOW_PARTS).max(1);
    stream::unfold(whole, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(SLOW_PAUSE).await;
        let next = rest.split_to(part.min(rest.len()));
        Some((Ok(next), rest))
    })
}

/// A well-formed answer whose result is one endless hex string.
fn huge() -> Response<Body> {
    let open = Bytes::from_static(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"0x");
    let zeros = stream::repeat_with(|| Ok(Bytes::from_static(HUGE_PART)));
    let parts = stream::once(async { Ok(open) })
        .chain(zeros.take(HUGE_BYTES / HUGE_PART.len()))
        .chain(stream::once(async { Ok(Bytes::from_static(b"\"}")) }));
    with_body(StatusCode::OK, streamed(parts))
}

fn respond(reply: Reply) -> Response<Body> {
    match reply {
        Reply::Whole(status, body) => {
            with_body(StatusCode::from_u16(status).unwrap_or_default(), full(body.into()))
        }
        Reply::Pieces(pieces) => {
            let parts = stream::unfold(pieces, |mut pieces| async move {
                pieces.recv().await.map(|piece| (Ok(piece), pieces))
            });
            with_body(StatusCode::OK, streamed(parts))
        }
        Reply::Nothing => with_body(StatusCode::OK, full(Bytes::new())),
    }
}

fn with_body(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

fn json(status: StatusCode, body: &'static str) -> Response<Body> {
    with_body(status, full(Bytes::from_static(body.as_bytes())))
}

pub(super) fn text(status: StatusCode, body: &'static str) -> Response<Body> {
    let mut response = json(status, body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

fn html(status: StatusCode) -> Response<Body> {
    let mut response = json(status, HTML);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}

pub(super) fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never: Infallible| match never {}).boxed_unsync()
}

fn streamed(parts: impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static) -> Body {
    BodyExt::boxed_unsync(StreamBody::new(parts.map(|part| part.map(Frame::data))))
}
