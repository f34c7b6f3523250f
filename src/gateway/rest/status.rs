//! Where each chain stands, and the probes of service managers.
//!
//! Reports what others measured; a probe never starts work of its own beyond one bounded query.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};

use super::query::{Params, number};
use super::{Api, chain_unknown, dto, no_store};
use crate::gateway::error::{Class, Problem};
use crate::gateway::live::{ChainHead, Component, ComponentState};
use crate::store::read::ChainIndex;
use crate::types::chain::ChainId;

/// How long a probe waits for the store: half of the shortest probe timeout in common use (5 s).
const PROBE_TIMEOUT: Duration = Duration::from_millis(2_500);
/// When an unready service is worth asking again.
const READY_RETRY_AFTER: Duration = Duration::from_secs(2);

/// Version, chains and components of the service.
#[utoipa::path(
    get,
    path = "/api/v1/status",
    operation_id = "getStatus",
    tag = "status",
    responses((status = 200, description = "How the service is", body = dto::Status))
)]
pub(in crate::gateway) async fn status(
    State(api): State<Api>,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::of(&uri).finish()?;
    let heads = api.live.heads();
    let components = api.live.components();
    let worst = components.iter().map(|component| component.state).max();
    let chains = api.queries.chains().await?;
    let feed = api.queries.feed_head().await?;
    Ok(no_store(&dto::Status {
        version: api.version.clone(),
        status: worst.unwrap_or(ComponentState::Ok).as_str(),
        feed,
        chains: chains.into_iter().map(|index| dto::Chain::of(index, &heads)).collect(),
        components: components.into_iter().map(Into::into).collect(),
    }))
}

/// One chain: head, index, finality, proof and lag.
#[utoipa::path(
    get,
    path = "/api/v1/chains/{chain_id}",
    operation_id = "getChain",
    tag = "status",
    params(("chain_id" = u64, Path, description = "EIP-155 chain id", maximum = 9007199254740991i64, example = 1)),
    responses(
        (status = 200, description = "Where the chain stands", body = dto::Chain),
        (status = 404, description = "`chain_unknown`", body = dto::Problem, content_type = "application/problem+json")
    )
)]
pub(in crate::gateway) async fn chain(
    State(api): State<Api>,
    Path(chain_id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut params = Params::of(&uri);
    let chain = params.path("chain_id", &chain_id, number).map(ChainId);
    params.finish()?;
    let Some(chain) = chain else {
        return Err(Problem::new(Class::ChainUnknown, "no chain id was given"));
    };
    let chains = api.queries.chains().await?;
    let known: Vec<_> = chains.iter().map(|index| index.chain).collect();
    match chains.into_iter().find(|index| index.chain == chain) {
        Some(index) => Ok(no_store(&dto::Chain::of(index, &api.live.heads()))),
        None => Err(chain_unknown(chain, &known)),
    }
}

/// The process runs and answers.
#[utoipa::path(
    get,
    path = "/livez",
    operation_id = "getLive",
    tag = "status",
    responses((status = 200, description = "The process answers", body = dto::Live))
)]
pub(in crate::gateway) async fn livez() -> Response {
    no_store(&dto::Live { status: "ok" })
}

/// Whether the start is over: every chain has met a provider, or has an index to serve.
#[utoipa::path(
    get,
    path = "/startupz",
    operation_id = "getStartup",
    tag = "status",
    responses(
        (status = 200, description = "The start is over", body = dto::Live),
        (status = 503, description = "`not_ready`: some chain is still starting", body = dto::Problem, content_type = "application/problem+json")
    )
)]
pub(in crate::gateway) async fn startupz(State(api): State<Api>) -> Response {
    let heads = api.live.heads();
    let starts = match tokio::time::timeout(PROBE_TIMEOUT, api.queries.chains()).await {
        Ok(Ok(chains)) => chains
            .iter()
            .any(|index| chain_dependency(index, &heads).state == ComponentState::Starting),
        _ => true,
    };
    if starts {
        let problem = Problem::new(Class::NotReady, "still starting; see /readyz");
        return problem.retry_after(READY_RETRY_AFTER).into_response();
    }
    no_store(&dto::Live { status: "ok" })
}

/// Whether the service can answer for each chain. A chain whose providers are all away but whose
/// index exists is degraded, not unready: readers are still served.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "getReady",
    tag = "status",
    responses(
        (status = 200, description = "`ready` or `degraded`, and each dependency", body = dto::Ready),
        (status = 503, description = "`not_ready`, and each dependency", body = dto::Problem, content_type = "application/problem+json")
    )
)]
pub(in crate::gateway) async fn readyz(State(api): State<Api>) -> Response {
    let heads = api.live.heads();
    let chains = tokio::time::timeout(PROBE_TIMEOUT, api.queries.chains()).await;
    let mut dependencies = Vec::new();
    match chains {
        Ok(Ok(chains)) => {
            dependencies.push(dependency("store", ComponentState::Ok, "answers"));
            dependencies.extend(chains.iter().map(|index| chain_dependency(index, &heads)));
        }
        Ok(Err(_)) => dependencies.push(dependency("store", ComponentState::Failed, "fails")),
        Err(_) => dependencies.push(dependency("store", ComponentState::Failed, "does not answer")),
    }
    let unready = dependencies
        .iter()
        .any(|one| matches!(one.state, ComponentState::Failed | ComponentState::Starting));
    for component in api.live.components() {
        // A component reports its own trouble; it does not take the whole service out of rotation.
        let state = component.state.min(ComponentState::Degraded);
        dependencies.push(Component { state, ..component });
    }
    let degraded = dependencies.iter().any(|one| one.state != ComponentState::Ok);
    let dependencies: Vec<dto::ComponentState> = dependencies.into_iter().map(Into::into).collect();
    if unready {
        let mut problem =
            Problem::new(Class::NotReady, "a dependency is missing; see dependencies")
                .retry_after(READY_RETRY_AFTER);
        let listed = serde_json::to_value(dependencies).unwrap_or_default();
        problem.members.insert("dependencies".into(), listed);
        return problem.into_response();
    }
    let status = if degraded { "degraded" } else { "ready" };
    no_store(&dto::Ready { status, dependencies })
}

fn dependency(name: &str, state: ComponentState, detail: &str) -> Component {
    Component { name: name.to_owned(), state, detail: detail.to_owned() }
}

fn chain_dependency(index: &ChainIndex, heads: &[ChainHead]) -> Component {
    let name = format!("chain {}", index.chain);
    let head = heads.iter().find(|head| head.chain == index.chain);
    match (head, index.indexed) {
        (Some(head), Some(indexed)) => {
            let lag = head.number.saturating_sub(indexed.number);
            dependency(&name, ComponentState::Ok, &format!("{lag} blocks behind the head"))
        }
        (Some(_), None) => dependency(&name, ComponentState::Ok, "no block indexed yet"),
        (None, Some(indexed)) => {
            let detail = format!("no provider has shown a head; index at {}", indexed.number);
            dependency(&name, ComponentState::Degraded, &detail)
        }
        (None, None) => {
            dependency(&name, ComponentState::Starting, "no provider has shown a head yet")
        }
    }
}
