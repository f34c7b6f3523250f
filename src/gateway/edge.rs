//! What every answer gets, whichever route made it: request id, problem details in the caller's
//! language, security headers; and what every request must keep to: the body's size and pace.
//!
//! One middleware, because each layer costs every call an allocation. Cross-origin rules are
//! `tower-http`'s; routes are not known here.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use fastrace::future::FutureExt as _;
use futures_util::FutureExt as _;
use http_body_util::Limited;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::error::{Class, Language, Problem};
use super::measure::{Measures, UNMATCHED};
use crate::telemetry::trace;

/// Header that names a request in answers, logs and problems.
pub(in crate::gateway) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest request id taken over from a caller: a UUID has 36, a trace id 32.
const REQUEST_ID_CHARS_MAX: usize = 64;
/// For a request body to arrive in all.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a browser may keep a preflight's answer.
const PREFLIGHT_AGE: Duration = Duration::from_secs(600);

/// The caller's place in a trace that began elsewhere (W3C Trace Context).
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The id of a request, for handlers that log or forward it.
#[derive(Debug, Clone)]
pub struct RequestId(pub HeaderValue);

/// What the middleware needs to know.
#[derive(Debug, Clone)]
pub(in crate::gateway) struct Edge {
    pub(in crate::gateway) max_body_bytes: usize,
    pub(in crate::gateway) measures: Measures,
}

/// The middleware.
pub(in crate::gateway) async fn edge(
    State(edge): State<Edge>,
    mut request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let id = request_id(request.headers());
    let accept_language = request.headers().get(header::ACCEPT_LANGUAGE).cloned();
    request.extensions_mut().insert(RequestId(id.clone()));
    let pattern = route.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    let parent = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok());
    let span = trace::request(pattern, parent);
    let trace_id = trace::id(&span);
    let mut response = match guarded(request, edge.max_body_bytes) {
        Ok(request) => match AssertUnwindSafe(next.run(request).in_span(span)).catch_unwind().await
        {
            Ok(response) => response,
            Err(_) => {
                log::error!(target: "rwahub::gateway", "a handler panicked, request {id:?}");
                Problem::new(Class::Internal, "the log of the service has the cause")
                    .into_response()
            }
        },
        Err(problem) => problem.into_response(),
    };
    if response.status().is_client_error() || response.status().is_server_error() {
        let ids = (id.to_str().ok(), trace_id);
        explain(&mut response, accept_language.as_ref(), ids);
    }
    protect(response.headers_mut());
    response.headers_mut().insert(REQUEST_ID, id);
    edge.measures.done(pattern, response.status(), begun.elapsed());
    response
}

/// The caller's id if it is harmless in a log, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    if let Some(given) = headers.get(REQUEST_ID) {
        let bytes = given.as_bytes();
        if (1..=REQUEST_ID_CHARS_MAX).contains(&bytes.len()) && bytes.iter().all(harmless) {
            return given.clone();
        }
    }
    let text = format!("{:032x}", rand::random::<u128>());
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

/// Writes a problem for the caller at hand, and turns the bare errors of the framework into problems.
fn explain(
    response: &mut Response,
    accept_language: Option<&HeaderValue>,
    (id, trace_id): (Option<&str>, Option<String>),
) {
    let known = response.extensions_mut().remove::<Arc<Problem>>();
    let problem = match known {
        Some(mut problem) => {
            if let Some(trace_id) = trace_id {
                Arc::make_mut(&mut problem).members.insert("trace_id".into(), trace_id.into());
            }
            problem
        }
        None if is_bare(response) => match of_status(response.status()) {
            Some(problem) => Arc::new(problem),
            None => return,
        },
        None => return,
    };
    let language = Language::of(accept_language);
    let (parts, body) = problem.render(language, id).into_parts();
    *response.body_mut() = body;
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::CONTENT_ENCODING);
    for (name, value) in &parts.headers {
        headers.insert(name, value.clone());
    }
}

/// True for an error without a body of its own kind: plain text or nothing.
fn is_bare(response: &Response) -> bool {
    match response.headers().get(header::CONTENT_TYPE) {
        None => true,
        Some(kind) => kind.as_bytes().starts_with(b"text/plain"),
    }
}

/// The problem of a status that the framework gave by itself.
fn of_status(status: StatusCode) -> Option<Problem> {
    let (class, detail) = match status {
        StatusCode::NOT_FOUND => {
            (Class::RouteUnknown, "see /api/v1/openapi.json for all addresses")
        }
        StatusCode::METHOD_NOT_ALLOWED => (Class::MethodNotAllowed, "the allow header names those"),
        StatusCode::PAYLOAD_TOO_LARGE => (Class::BodyTooLarge, "send less in one request"),
        StatusCode::REQUEST_TIMEOUT => (Class::RequestTimeout, "send the body without pauses"),
        StatusCode::BAD_REQUEST => (Class::BadRequest, "the address or its encoding is not valid"),
        StatusCode::INTERNAL_SERVER_ERROR => {
            (Class::Internal, "the log of the service has the cause")
        }
        _ => return None,
    };
    Some(Problem::new(class, detail))
}

/// Headers that keep a browser from being used against its user. A page sets its own policy first.
fn protect(headers: &mut HeaderMap) {
    const FIXED: [(HeaderName, &str); 5] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in FIXED {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
}

/// Answers to the exact origins of the configuration, without credentials.
pub(in crate::gateway) fn cors(origins: &[String]) -> CorsLayer {
    let valid = origins.iter().filter_map(|origin| match HeaderValue::try_from(origin) {
        Ok(value) => Some(value),
        Err(_) => {
            log::warn!(target: "rwahub::gateway", "cors origin {origin:?} is not a header value");
            None
        }
    });
    let exposed = [
        "x-request-id",
        "etag",
        "retry-after",
        "ratelimit-limit",
        "ratelimit-remaining",
        "ratelimit-reset",
    ];
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(valid))
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::OPTIONS])
        .allow_headers([
            header::CONTENT_TYPE,
            header::ACCEPT,
            header::ACCEPT_LANGUAGE,
            header::IF_NONE_MATCH,
            HeaderName::from_static("last-event-id"),
            REQUEST_ID,
        ])
        .expose_headers(exposed.map(HeaderName::from_static))
        .max_age(PREFLIGHT_AGE)
}

/// The request with a body that cannot exceed `max` bytes or dribble in; refused at once when its
/// length already says too much.
fn guarded(request: Request, max: usize) -> Result<Request, Problem> {
    let hint = request.body().size_hint();
    let max_bytes = u64::try_from(max).unwrap_or(u64::MAX);
    if hint.lower() > max_bytes {
        let detail = format!("the body has {} bytes; at most {max} are read", hint.lower());
        return Err(Problem::new(Class::BodyTooLarge, detail));
    }
    if hint.exact() == Some(0) {
        return Ok(request);
    }
    Ok(request
        .map(|inner| Body::new(GuardedBody { inner: Limited::new(inner, max), deadline: None })))
}

/// A body that did not arrive in time.
#[derive(Debug, thiserror::Error)]
#[error("the body took longer than {} s to arrive", BODY_TIMEOUT.as_secs())]
pub struct BodyTooSlow;

struct GuardedBody {
    /// Its error is the one that extractors know as "too large".
    inner: Limited<Body>,
    /// Made when the body first makes us wait: most are there with the head.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for GuardedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            return Poll::Ready(frame);
        }
        let deadline =
            self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(BODY_TIMEOUT)));
        deadline.as_mut().poll(context).map(|()| Some(Err(BodyTooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
