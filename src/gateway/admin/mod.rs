//! The operator's routes: providers, their scorecard, reload of the configuration.
//!
//! Served on the control socket in the data directory, which only the daemon's own user can open. Asks
//! nobody who they are: whoever mounts [`router`] elsewhere puts permissions in front of it.

mod socket;

use std::sync::Arc;

use async_trait::async_trait;
use axum::Json;
pub use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

pub use self::socket::serve;
use super::error::{Class, Problem};
use crate::config::diff::Change;
use crate::config::error::ConfigErrors;
use crate::rpc::pool::scorecard::Evidence;
use crate::rpc::pool::{Pool, ProviderProbe, ProviderStatus};
use crate::types::chain::ChainId;

/// Reads the configuration again and takes over what a running daemon can.
#[async_trait]
pub trait Reload: std::fmt::Debug + Send + Sync {
    /// What changed; the old configuration stays when the new one has faults.
    async fn reload(&self) -> Result<Vec<Change>, ConfigErrors>;
}

/// What the routes can reach.
#[derive(Debug, Clone)]
pub struct Admin {
    pub pools: Vec<Arc<Pool>>,
    pub reload: Arc<dyn Reload>,
}

/// The routes, without any permission.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/api/v1/admin/providers", get(list))
        .route("/api/v1/admin/providers/scorecard", get(scorecard))
        .route("/api/v1/admin/providers/test", post(test_all))
        .route("/api/v1/admin/providers/{chain}/{name}/test", post(test_one))
        .route("/api/v1/admin/providers/{chain}/{name}/drain", post(drain))
        .route("/api/v1/admin/providers/{chain}/{name}/enable", post(enable))
        .route("/api/v1/admin/reload", post(reload))
        .with_state(admin)
}

impl Admin {
    fn pool(&self, chain: u64) -> Result<&Arc<Pool>, Problem> {
        let found = self.pools.iter().find(|pool| pool.chain_id() == ChainId(chain));
        found.ok_or_else(|| {
            let text = format!("chain {chain} is not configured here");
            Problem::new(Class::ChainUnknown, text)
        })
    }

    fn set_drained(&self, chain: u64, name: &str, drained: bool) -> Result<Value, Problem> {
        let pool = self.pool(chain)?;
        if !pool.drain(name, drained) {
            return Err(unknown(pool, name));
        }
        log::info!(
            "chain {chain}: provider {name} {}",
            if drained { "drained" } else { "enabled" }
        );
        let found = pool.status().into_iter().find(|status| status.name == name);
        Ok(found.map_or(Value::Null, |status| status_json(ChainId(chain), &status)))
    }
}

fn unknown(pool: &Pool, name: &str) -> Problem {
    let names: Vec<_> = pool.endpoints().iter().map(|e| e.name.to_string()).collect();
    let shown: String = name.chars().take(64).collect();
    let text = format!("no provider {shown} here; there are: {}", names.join(", "));
    Problem::new(Class::RouteUnknown, text)
}

async fn list(State(admin): State<Admin>) -> Json<Value> {
    let of = |pool: &Arc<Pool>| {
        let chain = pool.chain_id();
        pool.status().into_iter().map(move |status| status_json(chain, &status))
    };
    Json(json!({ "items": admin.pools.iter().flat_map(of).collect::<Vec<_>>() }))
}

async fn scorecard(State(admin): State<Admin>) -> Json<Value> {
    let (mut counts, mut evidence) = (Vec::new(), Vec::new());
    for pool in &admin.pools {
        let chain = pool.chain_id().0;
        for (provider, misdeed, count) in pool.scorecard().counts() {
            let provider = provider.to_string();
            let misdeed = misdeed.as_str();
            counts.push(json!({
                "chain_id": chain, "provider": provider, "misdeed": misdeed, "count": count,
            }));
        }
        evidence.extend(pool.scorecard().evidence().iter().map(|e| evidence_json(chain, e)));
    }
    Json(json!({ "counts": counts, "items": evidence }))
}

async fn test_all(State(admin): State<Admin>) -> Json<Value> {
    let mut items = Vec::new();
    for pool in &admin.pools {
        let chain = pool.chain_id();
        items.extend(pool.probe().await.iter().map(|probe| probe_json(chain, probe)));
    }
    Json(json!({ "items": items }))
}

async fn test_one(
    State(admin): State<Admin>,
    Path((chain, name)): Path<(u64, String)>,
) -> Result<Json<Value>, Problem> {
    let pool = admin.pool(chain)?;
    let probe = pool.probe_one(&name).await.ok_or_else(|| unknown(pool, &name))?;
    Ok(Json(json!({ "items": [probe_json(ChainId(chain), &probe)] })))
}

async fn drain(
    State(admin): State<Admin>,
    Path((chain, name)): Path<(u64, String)>,
) -> Result<Json<Value>, Problem> {
    admin.set_drained(chain, &name, true).map(Json)
}

async fn enable(
    State(admin): State<Admin>,
    Path((chain, name)): Path<(u64, String)>,
) -> Result<Json<Value>, Problem> {
    admin.set_drained(chain, &name, false).map(Json)
}

async fn reload(State(admin): State<Admin>) -> Response {
    match admin.reload.reload().await {
        Ok(changes) => Json(reloaded_json(&changes)).into_response(),
        Err(errors) => {
            let faults: Vec<_> = errors.faults.iter().map(ToString::to_string).collect();
            let body = json!({ "reloaded": false, "faults": faults });
            (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
        }
    }
}

fn reloaded_json(changes: &[Change]) -> Value {
    let of = |live: bool| -> Vec<Value> {
        let chosen = changes.iter().filter(|change| change.live == live);
        chosen.map(|c| json!({ "key": c.key, "before": c.before, "after": c.after })).collect()
    };
    json!({ "reloaded": true, "applied": of(true), "needs_restart": of(false) })
}

fn status_json(chain: ChainId, status: &ProviderStatus) -> Value {
    json!({
        "chain_id": chain.0,
        "name": status.name,
        "url": status.url,
        "weight": status.weight,
        "breaker": status.breaker,
        "drained": status.drained,
        "demoted": status.demoted,
        "throttled_ms": status.throttled_for.map(|left| left.as_millis()),
        "head": status.head,
        "latency_ms": (status.latency_ms * 1000.0).round() / 1000.0,
        "in_flight": status.in_flight,
        "calls": status.calls,
        "failures": status.failures,
        "chain_ok": status.chain_ok,
        "last_error": status.last_error,
    })
}

fn probe_json(chain: ChainId, probe: &ProviderProbe) -> Value {
    json!({
        "chain_id": chain.0,
        "name": probe.name,
        "url": probe.url,
        "ok": probe.error.is_none(),
        "head": probe.head,
        "took_ms": probe.took.as_millis(),
        "fault": probe.error,
    })
}

fn evidence_json(chain: u64, evidence: &Evidence) -> Value {
    json!({
        "chain_id": chain,
        "provider": evidence.provider.to_string(),
        "misdeed": evidence.misdeed.as_str(),
        "block": evidence.block,
        "block_hash": evidence.hash.map(|hash| hash.to_string()),
        "at": evidence.at.as_secs(),
        "detail": evidence.detail,
    })
}

#[cfg(test)]
mod tests;
