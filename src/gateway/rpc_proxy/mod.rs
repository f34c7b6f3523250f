//! `POST /rpc/{chain_id}` and the WebSocket on the same path: HTTP around `rpc::proxy`.
//!
//! JSON-RPC errors of nodes travel under status 200, as clients expect; our own refusals have their
//! status and a JSON-RPC body. No rule of JSON-RPC lives here.

mod socket;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, StreamBody};

use crate::gateway::server::Drain;
use crate::rpc::proxy::reply::{Fault, Reply};
use crate::rpc::proxy::{Proxies, Proxy};
use crate::types::chain::ChainId;

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
    let limit = proxy.limits().body_bytes_max;
    let body = match read(request.into_body(), limit).await {
        Ok(body) => body,
        Err(status) => return refuse(status, &too_large(status, limit)),
    };
    match proxy.answer(&body).await {
        Some(reply) => respond(StatusCode::OK, reply),
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
    respond(status, Reply::fault(b"null", fault))
}

fn respond(status: StatusCode, reply: Reply) -> Response {
    let length = reply.len();
    let mut pieces = reply.into_pieces();
    let body = match pieces.len() {
        1 => Body::new(Full::new(pieces.pop().unwrap_or_default())),
        _ => {
            let frames = pieces
                .into_iter()
                .map(|piece| Ok::<_, std::convert::Infallible>(hyper::body::Frame::data(piece)));
            Body::new(StreamBody::new(futures_util::stream::iter(frames)))
        }
    };
    let mut headers = HeaderMap::with_capacity(2);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    (status, headers, body).into_response()
}

#[cfg(test)]
mod tests;
