//! Lets a request in: who asks, whether they may, whether they have allowance left, whether there is
//! room. In this order, by the row of the route table.

use std::net::IpAddr;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use super::auth::roles::{Permission, Scope};
use super::auth::secret::{Purpose, hex, same};
use super::auth::{Auth, AuthError, How, Identity, api_keys};
use super::error::{Class, Problem};
use super::limits::{Caller, rpc};
use super::rest::{ANSWER_TIMEOUT, Api, stream};
use super::routes::{self, Access};
use super::server::Peer;

/// Where browsers keep the access token; the prefix makes them hold it to this very host and TLS.
pub(in crate::gateway) const ACCESS_COOKIE: &str = "__Host-rwahub_access";
/// What a page must send with every change that its cookie authorises.
pub(in crate::gateway) const CSRF: HeaderName = HeaderName::from_static("x-csrf-token");
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Proxies in a row that are looked through.
const FORWARDED_MAX: usize = 16;

/// Who is at the far end, proxies that we trust looked through.
#[derive(Debug, Clone, Copy)]
pub(in crate::gateway) struct Client(pub(in crate::gateway) Option<IpAddr>);

/// The middleware of every route in the table.
pub(in crate::gateway) async fn admit(
    State(api): State<Api>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let Some(route) = path.and_then(|path| routes::find(request.method(), &path)) else {
        let detail = "the allow header names the methods that are";
        return Problem::new(Class::MethodNotAllowed, detail).into_response();
    };
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0.ip().to_canonical());
    let client = peer.map(|peer| client(peer, request.headers(), &api.trusted_proxies));
    let identity = match identify(&api.auth, request.method(), request.headers(), client).await {
        Ok(identity) => identity,
        Err(error) => {
            // Guessing weighs on the address that guesses.
            let caller = Caller::of(None, client, peer);
            let standing = api.limiter.charge(caller, super::limits::COST_SIGN_IN);
            let refused = standing.and_then(|standing| standing.problem());
            return refused.unwrap_or_else(|| Problem::from(error)).into_response();
        }
    };
    let caller = Caller::of(identity.as_ref(), client, peer);
    if let Err(problem) = judge(route.access, api.public_read, identity.as_ref()) {
        let standing = api.limiter.charge(caller, route.cost);
        let refused = standing.and_then(|standing| standing.problem());
        return refused.unwrap_or(problem).into_response();
    }
    let mut cost = route.cost;
    if route.path == rpc::PATH && *request.method() == Method::POST && caller != Caller::Exempt {
        let (weighed, weight) = match rpc::weigh(request, api.max_body_bytes).await {
            Ok(weighed) => weighed,
            Err(problem) => return problem.into_response(),
        };
        (request, cost) = (weighed, weight);
    }
    request.extensions_mut().insert(Client(client));
    request.extensions_mut().insert(caller);
    if let Some(identity) = identity {
        request.extensions_mut().insert(identity);
    }
    let _counted = api.running_now.enter();
    let standing = if cost == 0 { None } else { api.limiter.charge(caller, cost) };
    let refused = standing.and_then(|standing| standing.problem());
    let mut response = match refused {
        Some(problem) => problem.into_response(),
        // Probes must be answered above all when everything is full; the proxy has its own limits.
        None if cost == 0 || route.path == rpc::PATH => next.run(request).await,
        None => match api.running.try_acquire() {
            Err(_) => Problem::new(Class::Overloaded, "too many requests are being answered")
                .retry_after(stream::FULL_RETRY_AFTER)
                .into_response(),
            Ok(_permit) => match timeout(ANSWER_TIMEOUT, next.run(request)).await {
                Ok(response) => response,
                Err(_) => {
                    Problem::new(Class::AnswerTimeout, "ask for less: a narrower range or page")
                        .into_response()
                }
            },
        },
    };
    if let Some(standing) = standing {
        standing.write(response.headers_mut());
    }
    response
}

/// Whether the row lets this caller in. Pure, so that the matrix of roles and routes tests it.
pub(in crate::gateway) fn judge(
    access: Access,
    public_read: bool,
    identity: Option<&Identity>,
) -> Result<(), Problem> {
    let needed = match access {
        Access::Open => return Ok(()),
        Access::ChainData if public_read && identity.is_none() => return Ok(()),
        Access::ChainData => Permission::ChainRead,
        Access::May(permission) => permission,
    };
    match identity {
        None => Err(Problem::new(
            Class::SignInRequired,
            "sign in (POST /auth/nonce, /auth/verify) or send an API key",
        )),
        Some(identity) if may_somewhere(identity, needed) => Ok(()),
        Some(_) => Err(Problem::new(
            Class::Forbidden,
            format!("this needs the permission {}", needed.word()),
        )),
    }
}

/// Within any scope: which things of a list one sees is the handler's to say.
fn may_somewhere(identity: &Identity, permission: Permission) -> bool {
    identity.may(permission, &Scope::Platform)
        || identity.grants.iter().any(|grant| identity.may(permission, &grant.scope))
}

/// The address behind the proxies we trust: the first one from the right that is not such a proxy.
/// What stands left of it anybody could have written.
fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[String]) -> IpAddr {
    let mut client = peer.to_canonical();
    let lines: Vec<_> = headers.get_all(FORWARDED).iter().filter_map(|v| v.to_str().ok()).collect();
    let hops = lines.iter().rev().flat_map(|line| line.rsplit(',')).take(FORWARDED_MAX);
    for hop in hops {
        if !api_keys::holds(trusted, client) {
            break;
        }
        match hop.trim().parse::<IpAddr>() {
            Ok(address) => client = address.to_canonical(),
            Err(_) => break,
        }
    }
    client
}

/// The caller's credentials, if there are any; wrong ones are refused everywhere.
async fn identify(
    auth: &Auth,
    method: &Method,
    headers: &HeaderMap,
    client: Option<IpAddr>,
) -> Result<Option<Identity>, AuthError> {
    const UNREADABLE: AuthError = AuthError::Unauthorized("send the token as Bearer");
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().map_err(|_| UNREADABLE)?;
        let token = text.strip_prefix("Bearer ").ok_or(UNREADABLE)?.trim();
        let found = if token.starts_with(api_keys::PREFIX) {
            auth.by_key(token, client).await?
        } else {
            auth.by_token(token, client).await?
        };
        return Ok(Some(found));
    }
    if let Some(value) = headers.get(API_KEY) {
        let text = value.to_str().map_err(|_| UNREADABLE)?;
        return Ok(Some(auth.by_key(text, client).await?));
    }
    let Some(token) = cookie(headers, ACCESS_COOKIE) else { return Ok(None) };
    let identity = auth.by_token(token, client).await?;
    let changes = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if changes {
        let sent = headers.get(CSRF).map(|value| value.as_bytes()).unwrap_or_default();
        let wanted = csrf(auth, &identity);
        if !same(sent, wanted.as_bytes()) {
            let text = "a change by cookie needs the x-csrf-token that sign-in gave";
            return Err(AuthError::Forbidden(text.into()));
        }
    }
    Ok(Some(identity))
}

/// The token that a page must send back: another site's page cannot read it.
pub(in crate::gateway) fn csrf(auth: &Auth, identity: &Identity) -> String {
    match &identity.how {
        How::Session(sid) => hex(&auth.parts.secret.mac(Purpose::Csrf, &[sid.as_bytes()])),
        How::ApiKey(_) | How::Command => String::new(),
    }
}

/// A cookie's value.
pub(in crate::gateway) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn forwarded_addresses_are_believed_from_the_right_and_from_trusted_proxies_only() {
        let ask = |peer: &str, forwarded: &str, trusted: &[&str]| {
            let mut headers = HeaderMap::new();
            headers.insert(FORWARDED, HeaderValue::from_str(forwarded).unwrap());
            let trusted: Vec<_> = trusted.iter().map(|text| (*text).to_owned()).collect();
            client(peer.parse().unwrap(), &headers, &trusted).to_string()
        };
        assert_eq!(ask("203.0.113.9", "1.1.1.1", &[]), "203.0.113.9", "nobody is trusted");
        assert_eq!(ask("10.0.0.1", "6.6.6.6, 1.1.1.1", &["10.0.0.0/8"]), "1.1.1.1");
        assert_eq!(ask("10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2", &["10.0.0.0/8"]), "1.1.1.1");
        assert_eq!(ask("10.0.0.1", "1.1.1.1, nonsense", &["10.0.0.0/8"]), "10.0.0.1");
        assert_eq!(ask("::ffff:10.0.0.1", "2001:db8::1", &["10.0.0.1"]), "2001:db8::1");
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers
            .insert(header::COOKIE, HeaderValue::from_static("a=1; __Host-rwahub_access=x.y; b=2"));
        assert_eq!(cookie(&headers, ACCESS_COOKIE), Some("x.y"));
        assert_eq!(cookie(&headers, "rwahub_access"), None);
    }
}
