//! Users, their grants, and API keys.

use axum::extract::{Extension, Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::mutation::Mutation;
use super::query::Params;
use super::sign_in::{page, session_page};
use super::{Api, no_store};
use crate::gateway::auth::api_keys::{ApiKey, NewKey};
use crate::gateway::auth::effect::Effect;
use crate::gateway::auth::roles::{Grant, Permission};
use crate::gateway::auth::users::{NewUser, User, UserChange};
use crate::gateway::auth::{AuthError, Identity};
use crate::gateway::error::Problem;
use crate::store::records::Batch;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::gateway) struct NewKeyBody {
    name: String,
    /// Permissions that the key is limited to; none that its owner does not have.
    #[schema(value_type = Vec<String>)]
    scopes: Vec<Permission>,
    /// Addresses or networks (`203.0.113.0/24`) it works from; none: from everywhere.
    #[serde(default)]
    addresses: Vec<String>,
    /// 1 to 366.
    expires_in_days: u64,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::gateway) struct NewUserBody {
    name: Option<String>,
    /// An address.
    wallet: String,
    #[schema(value_type = Vec<Object>)]
    #[serde(default)]
    grants: Vec<Grant>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::gateway) struct GrantsBody {
    /// All grants from now on: `{"role": "auditor", "scope": "platform"}`, or a scope
    /// `{"issuer": "…"}` or `{"token": "1:0x…"}`.
    #[schema(value_type = Vec<Object>)]
    grants: Vec<Grant>,
    /// For the audit trail.
    why: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::gateway) struct DisabledBody {
    /// True locks the user out at once.
    disabled: bool,
    /// For the audit trail.
    why: String,
}

fn key_json(key: &ApiKey) -> Value {
    json!({
        "id": key.id, "name": key.name, "scopes": key.scopes, "addresses": key.addresses,
        "created_ms": key.created_ms, "expires_ms": key.expires_ms,
        "last_used_ms": key.last_used_ms, "revoked_ms": key.revoked_ms,
    })
}

fn user_json(user: &User) -> Value {
    json!({
        "id": user.id, "name": user.name, "wallets": user.wallets, "grants": user.grants,
        "disabled": user.disabled, "created_ms": user.created_ms,
    })
}

/// One's own API keys.
#[utoipa::path(
    get, path = "/api/v1/keys", operation_id = "listKeys", tag = "people",
    security(("bearer" = [])),
    params(
        ("limit" = Option<u64>, Query, description = "Items of a page", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")
    ),
    responses((status = 200, description = "A page of keys, without their secrets", body = Object))
)]
pub(in crate::gateway) async fn keys(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    uri: Uri,
) -> Result<Response, Problem> {
    let (limit, cursor) = page(&uri)?;
    let found = api.auth.keys_of(&identity.user, limit, cursor).await?;
    let keys: Result<Vec<ApiKey>, _> = found.items.iter().map(|record| record.read()).collect();
    let items: Vec<_> = keys.map_err(AuthError::from)?.iter().map(key_json).collect();
    Ok(no_store(&json!({ "items": items, "next_cursor": found.next })))
}

/// Makes an API key; its text is told this once.
#[utoipa::path(
    post, path = "/api/v1/keys", operation_id = "createKey", tag = "people",
    security(("bearer" = [])), request_body = NewKeyBody,
    responses((status = 201, description = "The key and its secret", body = Object))
)]
pub(in crate::gateway) async fn add_key(
    State(api): State<Api>,
    mutation: Mutation,
) -> Result<Response, Problem> {
    let body: NewKeyBody = mutation.read()?;
    let by = mutation.by(None)?;
    let new = NewKey {
        name: body.name,
        scopes: body.scopes,
        addresses: body.addresses,
        ttl_days: body.expires_in_days,
    };
    let effect = async {
        let mut batch = Batch::default();
        let (key, text) = api.auth.add_key(&mut batch, new, by)?;
        let mut body = key_json(&key);
        body["key"] = text.into();
        Ok(Effect { batch, status: StatusCode::CREATED.as_u16(), body })
    };
    mutation.perform(&api.auth, effect).await
}

/// Ends one of one's own keys.
#[utoipa::path(
    delete, path = "/api/v1/keys/{key}", operation_id = "endKey", tag = "people",
    security(("bearer" = [])),
    params(("key" = String, Path, description = "A key's id")),
    responses((status = 204, description = "The key is over"))
)]
pub(in crate::gateway) async fn end_key(
    State(api): State<Api>,
    Path(id): Path<String>,
    mutation: Mutation,
) -> Result<Response, Problem> {
    let by = mutation.by(None)?;
    let effect = async {
        let mut batch = Batch::default();
        api.auth.end_key(&mut batch, &id, by).await?;
        Ok(Effect { batch, status: StatusCode::NO_CONTENT.as_u16(), body: Value::Null })
    };
    mutation.perform(&api.auth, effect).await
}

/// People.
#[utoipa::path(
    get, path = "/api/v1/users", operation_id = "listUsers", tag = "people",
    security(("bearer" = [])),
    params(
        ("limit" = Option<u64>, Query, description = "Items of a page", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")
    ),
    responses((status = 200, description = "A page of users", body = Object))
)]
pub(in crate::gateway) async fn users(
    State(api): State<Api>,
    uri: Uri,
) -> Result<Response, Problem> {
    let (limit, cursor) = page(&uri)?;
    let found = api.auth.users(limit, cursor).await?;
    let users: Result<Vec<User>, _> = found.items.iter().map(|record| record.read()).collect();
    let items: Vec<_> = users.map_err(AuthError::from)?.iter().map(user_json).collect();
    Ok(no_store(&json!({ "items": items, "next_cursor": found.next })))
}

/// One user.
#[utoipa::path(
    get, path = "/api/v1/users/{user}", operation_id = "getUser", tag = "people",
    security(("bearer" = [])),
    params(("user" = String, Path, description = "A user's id")),
    responses((status = 200, description = "The user", body = Object))
)]
pub(in crate::gateway) async fn user(
    State(api): State<Api>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::of(&uri).finish()?;
    Ok(no_store(&user_json(&api.auth.user(&id).await?.0)))
}

/// A user's sessions.
#[utoipa::path(
    get, path = "/api/v1/users/{user}/sessions", operation_id = "listUserSessions", tag = "people",
    security(("bearer" = [])),
    params(
        ("user" = String, Path, description = "A user's id"),
        ("limit" = Option<u64>, Query, description = "Items of a page", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")
    ),
    responses((status = 200, description = "A page of sessions", body = Object))
)]
pub(in crate::gateway) async fn sessions(
    State(api): State<Api>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let (limit, cursor) = page(&uri)?;
    session_page(api.auth.sessions(&id, limit, cursor).await?)
}

/// Enters a person by their wallet.
#[utoipa::path(
    post, path = "/api/v1/users", operation_id = "createUser", tag = "people",
    security(("bearer" = [])), request_body = NewUserBody,
    responses((status = 201, description = "The user", body = Object))
)]
pub(in crate::gateway) async fn add_user(
    State(api): State<Api>,
    mutation: Mutation,
) -> Result<Response, Problem> {
    let body: NewUserBody = mutation.read()?;
    let actor = mutation.identity()?;
    let effect = async {
        let wallet = body.wallet.parse();
        let wallet =
            wallet.map_err(|_| AuthError::Unprocessable("wallet: not an address".into()))?;
        if !body.grants.is_empty() && !actor.may(Permission::RolesGrant, &super_scope()) {
            return Err(AuthError::Forbidden("grants need the permission roles_grant".into()));
        }
        if api.auth.owner(wallet).await?.is_some() {
            return Err(AuthError::Unprocessable("wallet: belongs to a user already".into()));
        }
        let mut batch = Batch::default();
        let new = NewUser { name: body.name, wallet, grants: body.grants };
        let user = api.auth.add_user(&mut batch, new, actor, Some(&mutation.request_id))?;
        Ok(Effect { batch, status: StatusCode::CREATED.as_u16(), body: user_json(&user) })
    };
    mutation.perform(&api.auth, effect).await
}

fn super_scope() -> crate::gateway::auth::roles::Scope {
    crate::gateway::auth::roles::Scope::Platform
}

/// Replaces a user's grants. Nobody changes their own.
#[utoipa::path(
    put, path = "/api/v1/users/{user}/grants", operation_id = "setGrants", tag = "people",
    security(("bearer" = [])), request_body = GrantsBody,
    params(("user" = String, Path, description = "A user's id")),
    responses((status = 200, description = "The user", body = Object))
)]
pub(in crate::gateway) async fn grant(
    State(api): State<Api>,
    Path(id): Path<String>,
    mutation: Mutation,
) -> Result<Response, Problem> {
    let GrantsBody { grants, why } = mutation.read()?;
    change(&api, &mutation, &id, UserChange::Grants(grants), &why).await
}

/// Locks a user out, or lets them in again.
#[utoipa::path(
    put, path = "/api/v1/users/{user}/disabled", operation_id = "setDisabled", tag = "people",
    security(("bearer" = [])), request_body = DisabledBody,
    params(("user" = String, Path, description = "A user's id")),
    responses((status = 200, description = "The user", body = Object))
)]
pub(in crate::gateway) async fn disable(
    State(api): State<Api>,
    Path(id): Path<String>,
    mutation: Mutation,
) -> Result<Response, Problem> {
    let DisabledBody { disabled, why } = mutation.read()?;
    change(&api, &mutation, &id, UserChange::Disabled(disabled), &why).await
}

async fn change(
    api: &Api,
    mutation: &Mutation,
    id: &str,
    what: UserChange,
    why: &str,
) -> Result<Response, Problem> {
    let by = mutation.by(Some(why))?;
    let effect = async {
        let mut batch = Batch::default();
        let user = api.auth.change_user(&mut batch, id, what, by).await?;
        Ok(Effect { batch, status: StatusCode::OK.as_u16(), body: user_json(&user) })
    };
    mutation.perform(&api.auth, effect).await
}
