//! Which provider takes the next attempt: weighted power of two choices among the healthy ones.
//!
//! A breaker that is open is probed in the background, so recovery does not need a client's call.
//! When nobody is healthy the least bad one is asked: the pool never fails closed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::{CallOptions, Pool, quantity};
use crate::rpc::endpoint::Endpoint;
use crate::rpc::endpoint::breaker::Gate;
use crate::rpc::error::{ErrorClass, RpcError};
use crate::rpc::wire::Call;

/// Time for asking a provider its head or whether it lives.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// What the attempt needs.
#[derive(Debug)]
pub(super) struct Want<'a> {
    pub method: &'a str,
    pub options: &'a CallOptions,
    pub tried: &'a [Arc<str>],
    pub untried_only: bool,
}

/// The provider for the next attempt.
pub(super) async fn choose(
    pool: &Pool,
    want: &Want<'_>,
    deadline: Instant,
) -> Result<Arc<Endpoint>, RpcError> {
    probe_open_breakers(pool);
    let members = pool.endpoints();
    let allowed = allowed(&members, want)?;
    let Some(min_head) = want.options.min_head else {
        return Ok(best(pool, &allowed, want).clone());
    };
    let has_head = |endpoints: &[&Arc<Endpoint>]| {
        endpoints
            .iter()
            .copied()
            .filter(|e| e.health.head() >= min_head)
            .cloned()
            .collect::<Vec<_>>()
    };
    let mut ready = has_head(&allowed);
    if ready.is_empty() {
        let until = deadline.min(Instant::now() + PROBE_TIMEOUT);
        join_all(allowed.iter().map(|e| ask_head(e, until, false))).await;
        ready = has_head(&allowed);
    }
    let ready: Vec<_> = ready.iter().collect();
    if ready.is_empty() {
        let highest = allowed.iter().map(|e| e.health.head()).max().unwrap_or(0);
        let text = format!("no provider has block {min_head} yet, the highest head is {highest}");
        return Err(RpcError::of_pool(ErrorClass::NotYet, text));
    }
    Ok(best(pool, &ready, want).clone())
}

/// The providers that may be asked at all.
fn allowed<'a>(
    members: &'a [Arc<Endpoint>],
    want: &Want<'_>,
) -> Result<Vec<&'a Arc<Endpoint>>, RpcError> {
    let options = want.options;
    let named: Vec<_> = members
        .iter()
        .filter(|e| options.pin.as_ref().is_none_or(|pin| *pin == e.name))
        .filter(|e| !options.exclude.contains(&e.name))
        .filter(|e| options.pin.is_some() || !e.health.is_drained())
        .filter(|e| !want.untried_only || !want.tried.contains(&e.name))
        .collect();
    if named.is_empty() {
        let text = "no provider is left to ask";
        return Err(RpcError::of_pool(ErrorClass::Unreachable, text));
    }
    let ours: Vec<_> = named.iter().copied().filter(|e| e.serves_our_chain()).collect();
    // All of another chain: asking one gives the error that names it.
    Ok(if ours.is_empty() { named } else { ours })
}

/// The best of `endpoints`, which holds at least one.
fn best<'a>(pool: &Pool, endpoints: &[&'a Arc<Endpoint>], want: &Want<'_>) -> &'a Arc<Endpoint> {
    let untried = |e: &&Arc<Endpoint>| !want.tried.contains(&e.name);
    let fit = |e: &&Arc<Endpoint>| {
        e.health.breaker.gate() == Gate::Closed
            && e.health.throttled_for().is_none()
            && !e.health.lacks_method(want.method)
    };
    let repeated = !want.tried.is_empty();
    let sound = |e: &&Arc<Endpoint>| {
        let health = &e.health;
        let may = !repeated || health.allows_retry();
        may && !health.is_troubled() && !health.is_demoted() && !pool.lags(e)
    };
    let tier = |wanted: &dyn Fn(&&Arc<Endpoint>) -> bool| -> Vec<&Arc<Endpoint>> {
        endpoints.iter().copied().filter(wanted).collect()
    };
    let tiers = [
        tier(&|e| untried(e) && fit(e) && e.has_budget() && sound(e)),
        tier(&|e| untried(e) && fit(e) && e.has_budget() && !e.health.is_demoted()),
        tier(&|e| untried(e) && fit(e) && e.has_budget()),
        tier(&|e| untried(e) && fit(e)),
        tier(&|e| fit(e)),
    ];
    for tier in tiers {
        if let Some(endpoint) = two_choices(&tier) {
            return endpoint;
        }
    }
    least_bad(endpoints, want)
}

/// Draws two different ones by weight and takes the one with less expected wait per weight.
fn two_choices<'a>(endpoints: &[&'a Arc<Endpoint>]) -> Option<&'a Arc<Endpoint>> {
    let first = draw(endpoints, None)?;
    let Some(second) = draw(endpoints, Some(first)) else { return Some(first) };
    let cost = |e: &Arc<Endpoint>| e.health.cost() / e.weight_now();
    Some(if cost(second) < cost(first) { second } else { first })
}

fn draw<'a>(
    endpoints: &[&'a Arc<Endpoint>],
    but: Option<&Arc<Endpoint>>,
) -> Option<&'a Arc<Endpoint>> {
    let others = || endpoints.iter().filter(|e| but.is_none_or(|but| !Arc::ptr_eq(but, e)));
    let total: f64 = others().map(|e| e.weight_now()).sum();
    let mut ticket = rand::random_range(0.0..1.0) * total;
    let mut last = None;
    for endpoint in others() {
        ticket -= endpoint.weight_now();
        last = Some(*endpoint);
        if ticket < 0.0 {
            break;
        }
    }
    last
}

/// Nobody is fit: untried before tried, then the shortest throttle, then the lowest cost.
fn least_bad<'a>(endpoints: &[&'a Arc<Endpoint>], want: &Want<'_>) -> &'a Arc<Endpoint> {
    let key = |e: &Arc<Endpoint>| {
        let tried = want.tried.iter().filter(|name| **name == e.name).count();
        let lacks = e.health.lacks_method(want.method);
        (lacks, tried, e.health.throttled_for().unwrap_or_default())
    };
    let mut best = endpoints[0];
    for endpoint in endpoints {
        if key(endpoint) < key(best) {
            best = endpoint;
        }
    }
    best
}

fn probe_open_breakers(pool: &Pool) {
    for endpoint in pool.endpoints() {
        if endpoint.health.breaker.try_probe() {
            tokio::spawn(async move {
                ask_head(&endpoint, Instant::now() + PROBE_TIMEOUT, true).await;
            });
        }
    }
}

/// Asks for the head, which also tells whether the provider lives.
pub(super) async fn ask_head(endpoint: &Endpoint, until: Instant, probe: bool) -> Option<RpcError> {
    let flight = endpoint.health.start(probe);
    let outcome = endpoint.call(&Call::new("eth_blockNumber", &b"[]"[..]), until).await;
    flight.finish("eth_blockNumber", &outcome);
    match outcome {
        Ok(result) => {
            if let Some(head) = quantity(&result) {
                endpoint.health.note_head(head);
            }
            None
        }
        Err(error) => Some(error),
    }
}
