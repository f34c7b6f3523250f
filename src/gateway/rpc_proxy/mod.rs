//! `POST /rpc/{chain_id}` and the WebSocket on the same path: HTTP around `rpc::proxy`.
//!
//! JSON-RPC errors of nodes travel under status 200, as clients expect; our own refusals have their
//! status and a JSON-RPC body. No rule of JSON-RPC lives here.

mod squeeze;

mod socket;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, StreamBody};

use crate::gateway::server::Drain;
use crate::rpc::proxy::policy::{Ask, Verify};
use crate::rpc::proxy::reply::{Fault, Reply};
use crate::rpc::proxy::{Proxies, Proxy};
use crate::types::chain::ChainId;

/// Of a request: `true` answers every item of a batch at one block.
const ONE_BLOCK: HeaderName = HeaderName::from_static("x-rwahub-one-block");
/// Of a request: `off`, `recent` or `all`, instead of the configuration's word.
const VERIFY: HeaderName = HeaderName::from_static("x-rwahub-verify");
/// Of an answer: where its results come from.
const SOURCE: HeaderName = HeaderName::from_static("x-rwahub-source");
/// Of an answer: the index that gave it is proven up to this block.
const VERIFIED_TO: HeaderName = HeaderName::from_static("x-rwahub-verified-to");
/// Of an answer: number and hash of the one block of a batch.
const BLOCK: HeaderName = HeaderName::from_static("x-rwahub-block");

/// The routes.
pub fn router(proxies: Proxies) -> Router {
    Router::new().route("/rpc/{chain_id}", post(http).get(upgrade)).with_state(proxies)
}

async fn http(
    State(proxies): State<Proxies>,
    Path(chain): Path<String>,
    request: Request,
) -> Response {
    let proxy = match find(&proxies, &chain) {
        Ok(proxy) => proxy,
        Err(refused) => return *refused,
    };
    let ask = match wishes(request.headers()) {
        Ok(ask) => ask,
        Err(fault) => return refuse(StatusCode::BAD_REQUEST, &fault),
    };
    let squeezed = squeeze::is_wanted(request.headers());
    let limit = proxy.limits().body_bytes_max;
    let body = match read(request.into_body(), limit).await {
        Ok(body) => body,
        Err(status) => return refuse(status, &too_large(status, limit)),
    };
    match proxy.answer_as(&body, ask).await {
        Some(reply) => respond(StatusCode::OK, reply, squeezed),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn upgrade(
    State(proxies): State<Proxies>,
    Path(chain): Path<String>,
    drain: Option<Extension<Drain>>,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let proxy = match find(&proxies, &chain) {
        Ok(proxy) => proxy.clone(),
        Err(refused) => return *refused,
    };
    let Ok(socket) = socket else {
        let message = "POST a JSON-RPC request here, or open a WebSocket".into();
        let fault = Fault { id: None, code: -32600, message };
        return refuse(StatusCode::METHOD_NOT_ALLOWED, &fault);
    };
    let limit = proxy.limits().body_bytes_max;
    socket
        .max_message_size(limit)
        .max_frame_size(limit)
        .on_upgrade(move |socket| socket::serve(socket, proxy, drain.map(|drain| drain.0)))
}

/// The door of a chain, or an answer that names the chains there are.
fn find<'a>(proxies: &'a Proxies, chain: &str) -> Result<&'a std::sync::Arc<Proxy>, Box<Response>> {
    let found = chain.parse().ok().and_then(|id| proxies.get(ChainId(id)));
    found.ok_or_else(|| {
        let served: Vec<_> = proxies.chains().map(|id| id.to_string()).collect();
        let shown: String = chain.chars().take(32).collect();
        let message = format!("chain {shown} is not served here; served: {}", served.join(", "));
        Box::new(refuse(StatusCode::NOT_FOUND, &Fault { id: None, code: -32001, message }))
    })
}

/// What the headers ask for. A word that means nothing is refused: whoever asks for proof and gets none
/// must know.
fn wishes(headers: &HeaderMap) -> Result<Ask, Fault> {
    let refused = |name: &HeaderName, known: &str| Fault {
        id: None,
        code: -32600,
        message: format!("header {name} must be {known}"),
    };
    let one_block = match headers.get(ONE_BLOCK).map(HeaderValue::as_bytes) {
        None | Some(b"false") => false,
        Some(b"true") => true,
        Some(_) => return Err(refused(&ONE_BLOCK, "true or false")),
    };
    let verify = match headers.get(VERIFY) {
        None => None,
        Some(word) => {
            let known = Verify::WORDS.iter().find(|(name, _)| word.as_bytes() == name.as_bytes());
            let (_, verify) = known.ok_or_else(|| refused(&VERIFY, "off, recent or all"))?;
            Some(*verify)
        }
    };
    Ok(Ask { one_block, verify })
}

async fn read(body: Body, limit: usize) -> Result<Bytes, StatusCode> {
    let mut body = Limited::new(body, limit);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            if error.is::<LengthLimitError>() {
                StatusCode::PAYLOAD_TOO_LARGE
            } else {
                StatusCode::BAD_REQUEST
            }
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if first.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

fn too_large(status: StatusCode, limit: usize) -> Fault {
    let message = match status {
        StatusCode::PAYLOAD_TOO_LARGE => format!("request body exceeds {limit} bytes"),
        _ => "request body could not be read".into(),
    };
    Fault { id: None, code: -32600, message }
}

fn refuse(status: StatusCode, fault: &Fault) -> Response {
    respond(status, Reply::fault(b"null", fault), false)
}

fn respond(status: StatusCode, reply: Reply, squeezed: bool) -> Response {
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let source = reply.source().as_str();
    if !source.is_empty() {
        headers.insert(SOURCE, HeaderValue::from_static(source));
    }
    if let Some(block) = reply.verified_to() {
        headers.insert(VERIFIED_TO, HeaderValue::from(block));
    }
    if let Some(block) = reply.block()
        && let Ok(shown) = HeaderValue::try_from(format!("{:#x} {}", block.number, block.hash))
    {
        headers.insert(BLOCK, shown);
    }
    let length = reply.len();
    let squeezed = squeezed && length.is_none_or(|length| length >= squeeze::ABOVE_BYTES);
    if squeezed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    let body = match length.filter(|length| *length <= WHOLE_BYTES_MAX) {
        Some(_) => {
            let plain = reply.into_bytes();
            let bytes = if squeezed { squeeze::whole(&plain) } else { plain };
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
            Body::new(Full::new(bytes))
        }
        None => {
            if let Some(length) = length.filter(|_| !squeezed) {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            }
            let pieces = reply.into_stream();
            let pieces = if squeezed { squeeze::stream(pieces).boxed() } else { pieces.boxed() };
            // An error in the middle breaks the connection: no client takes the part for the whole.
            Body::new(StreamBody::new(pieces.map(|piece| piece.map(hyper::body::Frame::data))))
        }
    };
    (status, headers, body).into_response()
}

/// Answers up to this size are sent in one piece.
const WHOLE_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests;
