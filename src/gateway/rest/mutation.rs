//! A request that changes something: its body read strictly, its Idempotency-Key, and the one way
//! from a decided effect to an answer.

use std::future::Future;

use axum::body::Bytes;
use axum::extract::{FromRequest, MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

use crate::gateway::auth::effect::{Answer, Effect, Once};
use crate::gateway::auth::users::Change;
use crate::gateway::auth::{Auth, AuthError, Identity};
use crate::gateway::edge::RequestId;
use crate::gateway::error::{Class, Fault, Problem};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// A key that a client makes: a UUID has 36 characters.
const KEY_CHARS_MAX: usize = 128;

/// The request, read.
#[derive(Debug)]
pub(in crate::gateway) struct Mutation {
    pub(in crate::gateway) request_id: String,
    /// Who asks; `None` on open routes.
    identity: Option<Identity>,
    /// Method and route pattern.
    route: String,
    /// The address as it was called.
    address: String,
    key: Option<String>,
    body: Bytes,
}

impl<S: Send + Sync> FromRequest<S> for Mutation {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let extensions = request.extensions();
        let path = extensions.get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
        let route = format!("{} {path}", request.method());
        let address = request.uri().to_string();
        let id = extensions.get::<RequestId>().and_then(|id| id.0.to_str().ok());
        let request_id = id.unwrap_or_default().to_owned();
        let identity = extensions.get::<Identity>().cloned();
        let key = key(request.headers().get(KEY))?;
        let body = Bytes::from_request(request, state).await.map_err(|rejected| match rejected
            .into_response()
            .status()
        {
            StatusCode::PAYLOAD_TOO_LARGE => {
                Problem::new(Class::BodyTooLarge, "send less in one request")
            }
            _ => Problem::new(Class::InvalidBody, "the body did not arrive whole"),
        })?;
        Ok(Self { request_id, identity, route, address, key, body })
    }
}

fn key(value: Option<&HeaderValue>) -> Result<Option<String>, Problem> {
    let Some(value) = value else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let valid =
        (1..=KEY_CHARS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if valid {
        return Ok(Some(text.to_owned()));
    }
    let detail = format!("must be 1 to {KEY_CHARS_MAX} visible ASCII characters");
    Err(Problem::of_faults(vec![Fault::new("idempotency-key", text, detail)]))
}

impl Mutation {
    /// Who asks, on a route that only lets in those who have said so.
    pub(in crate::gateway) fn identity(&self) -> Result<&Identity, Problem> {
        self.identity.as_ref().ok_or_else(|| Problem::new(Class::SignInRequired, "sign in first"))
    }

    /// Who changes something here, for the trail.
    pub(in crate::gateway) fn by<'a>(
        &'a self,
        why: Option<&'a str>,
    ) -> Result<Change<'a>, Problem> {
        Ok(Change { actor: self.identity()?, request_id: &self.request_id, why })
    }

    /// The body, without fields that nobody knows.
    pub(in crate::gateway) fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Problem::new(Class::InvalidBody, format!("as JSON: {error}")))
    }

    /// Does the effect, once per Idempotency-Key, and answers.
    pub(in crate::gateway) async fn perform<F>(
        &self,
        auth: &Auth,
        effect: F,
    ) -> Result<Response, Problem>
    where
        F: Future<Output = Result<Effect, AuthError>>,
    {
        let content = [self.address.as_bytes(), b"\n", &self.body].concat();
        let subject = self.identity()?.subject();
        let once = self.key.as_ref().map(|key| Once::new(&subject, &self.route, key, &content));
        let Answer { status, body, replayed } = auth.perform(once.as_ref(), effect).await?;
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
        let mut response = if status == StatusCode::NO_CONTENT {
            status.into_response()
        } else {
            (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if replayed {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        Ok(response)
    }
}
