//! A transaction by its hash, as far as the index knows it.
//!
//! No node is asked: a transaction without an event of ours is unknown here.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use super::query::{Params, hash, number};
use super::{Api, dto, json};
use crate::gateway::error::{Class, Problem};
use crate::store::read::{EventQuery, Order};
use crate::types::chain::ChainId;

/// The block, finality and events of one transaction.
#[utoipa::path(
    get,
    path = "/api/v1/transactions/{hash}",
    operation_id = "getTransaction",
    tag = "events",
    params(
        ("hash" = String, Path, description = "The transaction's hash", pattern = r"^0x[0-9a-fA-F]{64}$", example = "0x7474747474747474747474747474747474747474747474747474747474747474"),
        ("chain_id" = Option<u64>, Query, description = "Needed only for a hash that occurs on several chains", maximum = 9007199254740991i64, example = 1),
        ("limit" = Option<u64>, Query, description = "Events of a page, 1 to 1000, default 50", minimum = 1, maximum = 1000, example = 10),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before", min_length = 1, max_length = 512, pattern = r"^[!-~]+$"),
    ),
    responses(
        (status = 200, description = "The transaction as the index knows it", body = dto::Transaction),
        (status = 400, description = "`invalid_parameter` or `invalid_cursor`", body = dto::Problem, content_type = "application/problem+json"),
        (status = 404, description = "`transaction_unknown` or `chain_unknown`", body = dto::Problem, content_type = "application/problem+json")
    )
)]
pub(in crate::gateway) async fn one(
    State(api): State<Api>,
    Path(tx_hash): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut params = Params::of(&uri);
    let tx_hash = params.path("hash", &tx_hash, hash);
    let chain = params.take("chain_id", number).map(ChainId);
    let limit = params.limit();
    let after = params.cursor();
    params.finish()?;
    if let Some(chain) = chain {
        api.require_chain(chain).await?;
    }
    let order = Order::OldestFirst;
    let query = EventQuery { chain, tx_hash, limit, after, order, ..EventQuery::default() };
    let page = api.queries.events(query).await?;
    let first = page.items.first().map(|event| event.chain);
    if let Some(other) = page.items.iter().map(|event| event.chain).find(|id| Some(*id) != first) {
        let first = first.unwrap_or(other);
        let detail = format!("this transaction is on chains {first} and {other}; add chain_id");
        let mut problem = Params::of(&Uri::from_static("/"));
        problem.fault("chain_id", "", detail);
        problem.finish()?;
    }
    match dto::Transaction::of(page) {
        Some(transaction) => Ok(json(&headers, &transaction)),
        None => Err(Problem::new(
            Class::TransactionUnknown,
            "no indexed contract logged an event in it; it may be pending, or not concern us",
        )),
    }
}
