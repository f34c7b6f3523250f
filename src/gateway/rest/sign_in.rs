//! `/auth`: signing in with a wallet, and one's own sessions.

use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::mutation::Mutation;
use super::query::Params;
use super::{Api, no_store};
use crate::gateway::access::{ACCESS_COOKIE, Client, cookie, csrf};
use crate::gateway::auth::effect::Effect;
use crate::gateway::auth::keys::ACCESS_TTL;
use crate::gateway::auth::sessions::{Session, Tokens};
use crate::gateway::auth::siwe::MESSAGE_AGE_MAX;
use crate::gateway::auth::{AuthError, How, Identity};
use crate::gateway::error::{Class, Problem};
use crate::store::records::{Batch, RecordPage};

/// Where browsers keep the refresh token.
const REFRESH_COOKIE: &str = "__Host-rwahub_refresh";

/// What a sign-in message needs.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::gateway) struct NonceAnswer {
    nonce: String,
    expires_in: u64,
    /// What the message must name as domain and URI.
    origin: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::gateway) struct SignIn {
    /// The EIP-4361 message, byte for byte as signed.
    message: String,
    /// `0x` and hex: of a key, a contract (ERC-1271), or one not deployed yet (ERC-6492).
    signature: String,
    /// Keep the tokens in cookies instead of the answer.
    #[serde(default)]
    cookie: bool,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::gateway) struct Refresh {
    /// Left out: the one of the cookie.
    refresh_token: Option<String>,
}

/// Tokens of a session.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::gateway) struct TokenAnswer {
    user: String,
    session: String,
    token_type: &'static str,
    expires_in: u64,
    access_token: Option<String>,
    refresh_token: Option<String>,
    /// To be sent as `x-csrf-token` with changes that a cookie authorises.
    csrf_token: Option<String>,
}

/// The keys that access tokens are signed with (RFC 7517).
#[utoipa::path(
    get, path = "/auth/jwks.json", operation_id = "getJwks", tag = "auth",
    responses((status = 200, description = "Next, current and retiring keys", body = Object))
)]
pub(in crate::gateway) async fn jwks(
    State(api): State<Api>,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::of(&uri).finish()?;
    let set = api.auth.jwks().await?;
    Ok(([(header::CACHE_CONTROL, "public, max-age=300")], axum::Json(set)).into_response())
}

/// A nonce for one sign-in.
#[utoipa::path(
    post, path = "/auth/nonce", operation_id = "createNonce", tag = "auth",
    responses((status = 200, description = "Good once, for five minutes", body = NonceAnswer))
)]
pub(in crate::gateway) async fn nonce(
    State(api): State<Api>,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::of(&uri).finish()?;
    Ok(no_store(&NonceAnswer {
        nonce: api.auth.nonce(),
        expires_in: MESSAGE_AGE_MAX.as_secs(),
        origin: api.auth.parts.origin.clone(),
    }))
}

/// Signs in with a message (EIP-4361) and its signature.
#[utoipa::path(
    post, path = "/auth/verify", operation_id = "signIn", tag = "auth",
    request_body = SignIn,
    responses((status = 200, description = "A new session", body = TokenAnswer))
)]
pub(in crate::gateway) async fn verify(
    State(api): State<Api>,
    Extension(client): Extension<Client>,
    mutation: Mutation,
) -> Result<Response, Problem> {
    let SignIn { message, signature, cookie } = mutation.read()?;
    let id = &mutation.request_id;
    let tokens = api.auth.sign_in(&message, &signature, client.0, id).await?;
    Ok(answer(&api, tokens, cookie))
}

/// Exchanges a refresh token, which is good once, for new tokens.
#[utoipa::path(
    post, path = "/auth/refresh", operation_id = "refresh", tag = "auth",
    request_body = Refresh,
    responses((status = 200, description = "The session goes on", body = TokenAnswer))
)]
pub(in crate::gateway) async fn refresh(
    State(api): State<Api>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    mutation: Mutation,
) -> Result<Response, Problem> {
    let Refresh { refresh_token } = mutation.read()?;
    let by_cookie = refresh_token.is_none();
    let kept = || cookie(&headers, REFRESH_COOKIE).map(str::to_owned);
    let token = refresh_token.or_else(kept).ok_or_else(|| {
        Problem::new(Class::InvalidBody, "refresh_token: give one, or send the cookie")
    })?;
    let tokens = api.auth.refresh(&token, client.0, &mutation.request_id).await?;
    Ok(answer(&api, tokens, by_cookie))
}

fn answer(api: &Api, tokens: Tokens, cookie: bool) -> Response {
    let actor = Identity {
        user: tokens.user.clone(),
        how: How::Session(tokens.session.clone()),
        grants: Vec::new(),
        limited_to: None,
        address: None,
    };
    let mut response = no_store(&TokenAnswer {
        user: tokens.user,
        session: tokens.session,
        token_type: "Bearer",
        expires_in: ACCESS_TTL.as_secs(),
        access_token: (!cookie).then(|| tokens.access.clone()),
        refresh_token: (!cookie).then(|| tokens.refresh.clone()),
        csrf_token: cookie.then(|| csrf(&api.auth, &actor)),
    });
    if cookie {
        for (name, value) in [(ACCESS_COOKIE, tokens.access), (REFRESH_COOKIE, tokens.refresh)] {
            let line = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax");
            if let Ok(value) = HeaderValue::try_from(line) {
                response.headers_mut().append(header::SET_COOKIE, value);
            }
        }
    }
    response
}

/// Ends the session of this token.
#[utoipa::path(
    post, path = "/auth/logout", operation_id = "signOut", tag = "auth",
    security(("bearer" = [])),
    responses((status = 204, description = "The session is over"))
)]
pub(in crate::gateway) async fn logout(
    State(api): State<Api>,
    mutation: Mutation,
) -> Result<Response, Problem> {
    let How::Session(sid) = mutation.identity()?.how.clone() else {
        return Err(Problem::new(Class::Unprocessable, "a key has no session; end the key"));
    };
    let mut response = end(&api, &mutation, &sid).await?;
    for name in [ACCESS_COOKIE, REFRESH_COOKIE] {
        let line = format!("{name}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");
        if let Ok(value) = HeaderValue::try_from(line) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }
    Ok(response)
}

/// Ends one of one's own sessions; with the right to, anybody's.
#[utoipa::path(
    delete, path = "/auth/sessions/{session}", operation_id = "endSession", tag = "auth",
    security(("bearer" = [])),
    params(("session" = String, Path, description = "A session's id")),
    responses((status = 204, description = "The session is over"))
)]
pub(in crate::gateway) async fn end_session(
    State(api): State<Api>,
    Path(sid): Path<String>,
    mutation: Mutation,
) -> Result<Response, Problem> {
    end(&api, &mutation, &sid).await
}

async fn end(api: &Api, mutation: &Mutation, sid: &str) -> Result<Response, Problem> {
    let actor = mutation.identity()?;
    let effect = async {
        let mut batch = Batch::default();
        api.auth.end_session(&mut batch, sid, actor, &mutation.request_id).await?;
        Ok(Effect { batch, status: StatusCode::NO_CONTENT.as_u16(), body: Value::Null })
    };
    mutation.perform(&api.auth, effect).await
}

/// Who one is here, and what one may do.
#[utoipa::path(
    get, path = "/auth/me", operation_id = "getMe", tag = "auth",
    security(("bearer" = [])),
    responses((status = 200, description = "The caller", body = Object))
)]
pub(in crate::gateway) async fn me(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::of(&uri).finish()?;
    let (user, _) = api.auth.user(&identity.user).await?;
    let (session, key) = match &identity.how {
        How::Session(id) => (Some(id), None),
        How::ApiKey(id) => (None, Some(id)),
        How::Command => (None, None),
    };
    Ok(no_store(&json!({
        "user": user.id, "name": user.name, "wallets": user.wallets, "grants": user.grants,
        "session": session, "key": key, "limited_to": identity.limited_to,
    })))
}

/// One's own sessions.
#[utoipa::path(
    get, path = "/auth/sessions", operation_id = "listSessions", tag = "auth",
    security(("bearer" = [])),
    params(
        ("limit" = Option<u64>, Query, description = "Items of a page", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")
    ),
    responses((status = 200, description = "A page of sessions", body = Object))
)]
pub(in crate::gateway) async fn sessions(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    uri: Uri,
) -> Result<Response, Problem> {
    let (limit, cursor) = page(&uri)?;
    let found = api.auth.sessions(&identity.user, limit, cursor).await?;
    session_page(found)
}

/// The page that an address asks for.
pub(super) fn page(uri: &Uri) -> Result<(usize, Option<String>), Problem> {
    let mut params = Params::of(uri);
    let (limit, cursor) = (params.limit(), params.cursor());
    params.finish()?;
    Ok((limit, cursor))
}

pub(super) fn session_page(found: RecordPage) -> Result<Response, Problem> {
    let mut items = Vec::new();
    for record in found.items {
        let session: Session = record.read().map_err(AuthError::from)?;
        items.push(json!({
            "id": record.key, "user": session.user, "wallet": session.wallet,
            "chain_id": session.chain_id, "created_ms": session.created_ms,
            "expires_ms": session.expires.parse::<u64>().unwrap_or_default(),
            "ended_ms": session.ended_ms, "ended_why": session.ended_why,
        }));
    }
    Ok(no_store(&json!({ "items": items, "next_cursor": found.next })))
}
