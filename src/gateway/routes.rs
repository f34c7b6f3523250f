//! The one table of routes: method, path, who may, what it costs, and which function answers.
//!
//! The router is made from it and every request is judged by it, so a route that is not here does not
//! exist, and none is open by being forgotten.

use axum::Router;
use axum::http::Method;
use axum::routing::{MethodRouter, delete, get, post, put};

use super::auth::roles::Permission;
use super::limits::{COST_READ, COST_SIGN_IN};
use super::openapi;
use super::rest::{Api, events, people, sign_in, status, stream, tokens, trail, transactions};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Access {
    /// Everybody, also when the data is not public.
    Open,
    /// Everybody while `[gateway] public_read` is on, else whoever may read chain data.
    ChainData,
    /// Whoever has the permission.
    May(Permission),
}

/// The methods in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::gateway) enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

impl Verb {
    /// The verb that answers a method; a HEAD is a GET without its body.
    pub(in crate::gateway) fn of(method: &Method) -> Option<Self> {
        match *method {
            Method::GET | Method::HEAD => Some(Self::Get),
            Method::POST => Some(Self::Post),
            Method::PUT => Some(Self::Put),
            Method::DELETE => Some(Self::Delete),
            _ => None,
        }
    }

    /// The name in the API's description.
    #[cfg(test)]
    pub(in crate::gateway) fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Put => "put",
            Self::Delete => "delete",
        }
    }
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub(in crate::gateway) struct Route {
    pub(in crate::gateway) verb: Verb,
    pub(in crate::gateway) path: &'static str,
    pub(in crate::gateway) access: Access,
    /// Units of the caller's allowance.
    pub(in crate::gateway) cost: u32,
    /// `None`: another part answers and only the rest of the row counts.
    answer: Option<fn() -> MethodRouter<Api>>,
}

const fn row(
    verb: Verb,
    path: &'static str,
    access: Access,
    cost: u32,
    answer: fn() -> MethodRouter<Api>,
) -> Route {
    Route { verb, path, access, cost, answer: Some(answer) }
}

const fn elsewhere(verb: Verb, path: &'static str, access: Access, cost: u32) -> Route {
    Route { verb, path, access, cost, answer: None }
}

use Access::{ChainData, May, Open};
use Permission as P;
use Verb::{Delete, Get, Post, Put};

/// Every route but the landing page, which is one fixed text.
#[rustfmt::skip]
pub(in crate::gateway) const ROUTES: &[Route] = &[
    row(Get, "/livez", Open, 0, || get(status::livez)),
    row(Get, "/readyz", Open, 0, || get(status::readyz)),
    row(Get, "/startupz", Open, 0, || get(status::startupz)),
    row(Get, "/api/v1/openapi.json", Open, COST_READ, || get(openapi::serve)),
    row(Get, "/api/v1/status", ChainData, COST_READ, || get(status::status)),
    row(Get, "/api/v1/chains/{chain_id}", ChainData, COST_READ, || get(status::chain)),
    row(Get, "/api/v1/events", ChainData, COST_READ, || get(events::list)),
    row(Get, "/api/v1/events/stream", ChainData, COST_READ, || get(stream::stream)),
    row(Get, "/api/v1/tokens", ChainData, COST_READ, || get(tokens::list)),
    row(Get, "/api/v1/tokens/{chain_id}/{address}", ChainData, COST_READ, || get(tokens::one)),
    row(Get, "/api/v1/tokens/{chain_id}/{address}/holders", ChainData, COST_READ, || get(tokens::holders)),
    row(Get, "/api/v1/holders/{address}", ChainData, COST_READ, || get(tokens::holdings)),
    row(Get, "/api/v1/transactions/{hash}", ChainData, COST_READ, || get(transactions::one)),
    elsewhere(Post, "/rpc/{chain_id}", ChainData, COST_READ),
    elsewhere(Get, "/rpc/{chain_id}", ChainData, COST_READ),

    row(Get, "/auth/jwks.json", Open, COST_READ, || get(sign_in::jwks)),
    row(Post, "/auth/nonce", Open, COST_READ, || post(sign_in::nonce)),
    row(Post, "/auth/verify", Open, COST_SIGN_IN, || post(sign_in::verify)),
    row(Post, "/auth/refresh", Open, COST_READ, || post(sign_in::refresh)),
    row(Post, "/auth/logout", May(P::ProfileRead), COST_READ, || post(sign_in::logout)),
    row(Get, "/auth/me", May(P::ProfileRead), COST_READ, || get(sign_in::me)),
    row(Get, "/auth/sessions", May(P::ProfileRead), COST_READ, || get(sign_in::sessions)),
    row(Delete, "/auth/sessions/{session}", May(P::ProfileRead), COST_READ, || delete(sign_in::end_session)),
    row(Get, "/api/v1/keys", May(P::KeysOwn), COST_READ, || get(people::keys)),
    row(Post, "/api/v1/keys", May(P::KeysOwn), COST_READ, || post(people::add_key)),
    row(Delete, "/api/v1/keys/{key}", May(P::KeysOwn), COST_READ, || delete(people::end_key)),
    row(Get, "/api/v1/users", May(P::UsersRead), COST_READ, || get(people::users)),
    row(Post, "/api/v1/users", May(P::UsersWrite), COST_READ, || post(people::add_user)),
    row(Get, "/api/v1/users/{user}", May(P::UsersRead), COST_READ, || get(people::user)),
    row(Put, "/api/v1/users/{user}/grants", May(P::RolesGrant), COST_READ, || put(people::grant)),
    row(Put, "/api/v1/users/{user}/disabled", May(P::UsersWrite), COST_READ, || put(people::disable)),
    row(Get, "/api/v1/users/{user}/sessions", May(P::SessionsRevoke), COST_READ, || get(people::sessions)),
    row(Get, "/api/v1/audit", May(P::AuditRead), COST_READ, || get(trail::entries)),
    row(Get, "/api/v1/audit/checkpoint", May(P::AuditRead), COST_READ, || get(trail::checkpoint)),
];

/// The row that judges a request of this method at this matched path.
pub(in crate::gateway) fn find(method: &Method, path: &str) -> Option<&'static Route> {
    let verb = Verb::of(method)?;
    ROUTES.iter().find(|route| route.verb == verb && route.path == path)
}

/// All rows that are answered here.
pub(in crate::gateway) fn router() -> Router<Api> {
    of(|_| true)
}

/// The rows that cost nothing: probes, and all that a process without clients answers.
pub(in crate::gateway) fn probes() -> Router<Api> {
    of(|route| route.cost == 0)
}

fn of(chosen: impl Fn(&Route) -> bool) -> Router<Api> {
    ROUTES.iter().filter(|route| chosen(route)).fold(Router::new(), |router, route| {
        match route.answer {
            Some(answer) => router.route(route.path, answer()),
            None => router,
        }
    })
}
