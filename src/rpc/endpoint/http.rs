//! JSON-RPC over HTTP/1.1 with kept-alive connections.
//!
//! HTTP/2 is left out on purpose: one flow-control window for all answers makes a large `eth_getLogs`
//! block the small calls behind it.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use hyper::{Method, Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use super::{ANSWER_BYTES_MAX, CALL_TIMEOUT, CONNECT_TIMEOUT, tls};
use crate::rpc::error::{ErrorClass, RpcError};
use crate::rpc::wire::Call;
use crate::rpc::wire::response::{self, Message, Outcome};
use crate::telemetry::trace;

/// Idle connections kept per provider.
const IDLE_CONNECTIONS_MAX: usize = 64;
/// Load balancers drop idle connections after a minute or more; ours go first.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// A client for one URL.
#[derive(Debug)]
pub(super) struct HttpLink {
    name: Arc<str>,
    url: String,
    /// A node on this machine is faster without compression (measured 7 times the scan's cost).
    gzip: bool,
    client: Option<Client<HttpsConnector<HttpConnector>, Full<Bytes>>>,
}

impl HttpLink {
    pub(super) fn new(name: Arc<str>, url: String) -> Self {
        let gzip = !is_local(&url);
        Self { name, url, gzip, client: client() }
    }

    pub(super) async fn call(
        &self,
        id: u64,
        call: &Call,
        deadline: Instant,
    ) -> Result<Outcome, RpcError> {
        let mut body = Vec::with_capacity(call.size_hint());
        call.write(id, &mut body);
        let answer = self.post(body.into(), deadline).await?;
        match response::parse(&answer.body) {
            Ok(Message::Reply { id: got, outcome })
                if got == Some(id) || (got.is_none() && outcome.is_err()) =>
            {
                Ok(answer.judge(&self.name, outcome)?)
            }
            Ok(_) => Err(self.bad("the answer carries another id")),
            Err(_) if answer.status != 200 => Err(answer.into_error(&self.name)),
            Err(error) => Err(self.unreadable(&answer, &error.to_string())),
        }
    }

    pub(super) async fn batch(
        &self,
        first_id: u64,
        calls: &[Call],
        deadline: Instant,
    ) -> Result<Vec<Option<Outcome>>, RpcError> {
        let mut body = Vec::with_capacity(calls.iter().map(|c| c.size_hint() + 1).sum());
        for (id, call) in (first_id..).zip(calls) {
            body.push(if body.is_empty() { b'[' } else { b',' });
            call.write(id, &mut body);
        }
        body.push(b']');
        let answer = self.post(body.into(), deadline).await?;
        let messages = match response::parse_many(&answer.body) {
            Ok(messages) => messages,
            Err(_) if answer.status != 200 => return Err(answer.into_error(&self.name)),
            Err(error) => return Err(self.unreadable(&answer, &error.to_string())),
        };
        let mut items: Vec<Option<Outcome>> = vec![None; calls.len()];
        for message in messages {
            match message {
                Message::Reply { id: Some(id), outcome } => {
                    let index = id.checked_sub(first_id).and_then(|i| usize::try_from(i).ok());
                    if let Some(slot) = index.and_then(|i| items.get_mut(i)) {
                        // The first answer to an id counts; a second one is noise.
                        slot.get_or_insert(outcome);
                    }
                }
                // The node refused the batch as a whole.
                Message::Reply { id: None, outcome: Err(object) } => {
                    return Err(RpcError::from_object_with_status(
                        &self.name,
                        object,
                        Some((answer.status, answer.after)),
                    ));
                }
                _ => {}
            }
        }
        Ok(items)
    }

    async fn post(&self, body: Bytes, deadline: Instant) -> Result<Answer, RpcError> {
        let until = deadline.min(Instant::now() + CALL_TIMEOUT);
        match tokio::time::timeout_at(until, self.exchange(body)).await {
            Ok(answer) => answer,
            Err(_) => Err(RpcError::new(ErrorClass::Timeout, &self.name, "no answer in time")),
        }
    }

    async fn exchange(&self, body: Bytes) -> Result<Answer, RpcError> {
        let unreachable = |text: String| RpcError::new(ErrorClass::Unreachable, &self.name, text);
        let client = self.client.as_ref().ok_or_else(|| unreachable("TLS is not usable".into()))?;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&self.url)
            .header(CONTENT_TYPE, "application/json");
        if self.gzip {
            request = request.header(ACCEPT_ENCODING, "gzip");
        }
        if let Some(trace) = trace::traceparent() {
            request = request.header("traceparent", trace);
        }
        let request = request
            .body(Full::new(body))
            .map_err(|_| unreachable("the url is not usable".into()))?;
        let answer = client.request(request).await.map_err(|error| unreachable(reason(&error)))?;
        let status = answer.status().as_u16();
        let after = retry_after(answer.headers());
        let zipped = answer.headers().get(CONTENT_ENCODING).is_some_and(|v| v == "gzip");
        let mut body = self.collect(answer).await?;
        if zipped {
            body = self.unzip(&body)?;
        }
        Ok(Answer { status, after, body })
    }

    async fn collect(&self, answer: Response<Incoming>) -> Result<Bytes, RpcError> {
        let mut body = answer.into_body();
        let mut first: Option<Bytes> = None;
        let mut rest = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                let text = format!("connection lost in the middle of an answer: {error}");
                RpcError::new(ErrorClass::Unreachable, &self.name, text)
            })?;
            let Ok(data) = frame.into_data() else { continue };
            match &first {
                None => first = Some(data),
                Some(head) => {
                    if rest.is_empty() {
                        rest.extend_from_slice(head);
                    }
                    rest.extend_from_slice(&data);
                }
            }
            if rest.len() > ANSWER_BYTES_MAX {
                return Err(self.too_large());
            }
        }
        Ok(if rest.is_empty() { first.unwrap_or_default() } else { rest.freeze() })
    }

    fn unzip(&self, zipped: &[u8]) -> Result<Bytes, RpcError> {
        let mut plain = Vec::with_capacity(zipped.len().saturating_mul(4).min(ANSWER_BYTES_MAX));
        let limit = ANSWER_BYTES_MAX as u64 + 1;
        MultiGzDecoder::new(zipped)
            .take(limit)
            .read_to_end(&mut plain)
            .map_err(|error| self.bad(&format!("gzip body cannot be read: {error}")))?;
        if plain.len() > ANSWER_BYTES_MAX { Err(self.too_large()) } else { Ok(plain.into()) }
    }

    fn too_large(&self) -> RpcError {
        let text = format!("answer exceeds {ANSWER_BYTES_MAX} bytes");
        RpcError::new(ErrorClass::ResponseTooLarge, &self.name, text)
    }

    fn bad(&self, text: &str) -> RpcError {
        RpcError::new(ErrorClass::BadAnswer, &self.name, text)
    }

    fn unreadable(&self, answer: &Answer, why: &str) -> RpcError {
        let start = answer.body.iter().find(|b| !b.is_ascii_whitespace());
        match start {
            Some(b'{' | b'[') => self.bad(&format!("answer is cut off or malformed: {why}")),
            _ => RpcError::from_http(&self.name, answer.status, answer.after, &answer.body),
        }
    }
}

/// A body with what the status line said.
#[derive(Debug)]
struct Answer {
    status: u16,
    after: Option<Duration>,
    body: Bytes,
}

impl Answer {
    /// A JSON-RPC error under a status such as 429 is classified with that status.
    fn judge(&self, name: &Arc<str>, outcome: Outcome) -> Result<Outcome, RpcError> {
        match outcome {
            Err(object) if self.status >= 400 => {
                let status = Some((self.status, self.after));
                Err(RpcError::from_object_with_status(name, object, status))
            }
            outcome => Ok(outcome),
        }
    }

    fn into_error(self, name: &Arc<str>) -> RpcError {
        RpcError::from_http(name, self.status, self.after, &self.body)
    }
}

fn client() -> Option<Client<HttpsConnector<HttpConnector>, Full<Bytes>>> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_keepalive(Some(Duration::from_secs(30)));
    connector.enforce_http(false);
    let tls = tls::client_config()?;
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls.as_ref().clone())
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .build(connector);
    Some(client)
}

fn is_local(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    ["localhost", "127.", "[::1]"].iter().any(|local| host.starts_with(local))
}

/// Seconds only: no provider was seen to send a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// The innermost cause: the outer text is always "client error (Connect)".
fn reason(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    format!("cannot connect: {cause}")
}
