//! The list of events, filtered and paged, as JSON or as a CSV export.
//!
//! The filters are the store's; nothing is filtered again here.

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use super::export::{self, Format};
use super::query::{Params, address, contract, hash, name, number, order};
use super::{Api, dto, json};
use crate::gateway::error::Problem;
use crate::gateway::limits::Caller;
use crate::store::read::EventQuery;
use crate::types::chain::ChainId;

/// Events, newest first unless asked otherwise.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    operation_id = "listEvents",
    tag = "events",
    params(
        ("chain_id" = Option<u64>, Query, description = "Only this chain", maximum = 9007199254740991i64, example = 1),
        ("contract" = Option<String>, Query, description = "Address or configured name of the contract", min_length = 1, max_length = 128, example = "bond"),
        ("event" = Option<String>, Query, description = "Event name as in the ABI", min_length = 1, max_length = 128, example = "Transfer"),
        ("address" = Option<String>, Query, description = "An address that takes part: any address argument", pattern = r"^0x[0-9a-fA-F]{40}$", example = "0x1111111111111111111111111111111111111111"),
        ("tx_hash" = Option<String>, Query, description = "Only this transaction", pattern = r"^0x[0-9a-fA-F]{64}$"),
        ("from_block" = Option<u64>, Query, description = "First block, included", maximum = 9007199254740991i64, example = 100),
        ("to_block" = Option<u64>, Query, description = "Last block, included", maximum = 9007199254740991i64, example = 200),
        ("order" = inline(Option<dto::OrderWord>), Query, description = "`desc` (default) or `asc`", example = "asc"),
        ("limit" = Option<u64>, Query, description = "Items of a page, 1 to 1000, default 50; with CSV the rows in all, up to 1000000", minimum = 1, maximum = 1000000, example = 2),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before", min_length = 1, max_length = 512, pattern = r"^[!-~]+$"),
        ("format" = inline(Option<dto::FormatWord>), Query, description = "`json` (default) or `csv`; `Accept: text/csv` does the same"),
    ),
    responses(
        (status = 200, description = "A page of events; or all of them as CSV", content(
            (dto::List<dto::Event> = "application/json"),
            (String = "text/csv"),
        )),
        (status = 400, description = "`invalid_parameter` or `invalid_cursor`", body = dto::Problem, content_type = "application/problem+json"),
        (status = 404, description = "`chain_unknown`", body = dto::Problem, content_type = "application/problem+json")
    )
)]
pub(in crate::gateway) async fn list(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut params = Params::of(&uri);
    let chain = params.take("chain_id", number).map(ChainId);
    let mut query = EventQuery {
        chain,
        contract: params.take("contract", contract),
        event: params.take("event", name),
        participant: params.take("address", address),
        tx_hash: params.take("tx_hash", hash),
        from_block: params.take("from_block", number),
        to_block: params.take("to_block", number),
        order: params.take("order", order).unwrap_or_default(),
        ..EventQuery::default()
    };
    if let (Some(from), Some(to)) = (query.from_block, query.to_block)
        && from > to
    {
        let detail = format!("must be at least from_block ({from})");
        params.fault("to_block", &to.to_string(), detail);
    }
    let format = export::format(&mut params, &headers);
    let rows = export::rows(&mut params, format);
    query.after = params.cursor();
    params.finish()?;
    if let Some(chain) = chain {
        api.require_chain(chain).await?;
    }
    match format {
        Format::Json => {
            query.limit = rows;
            let page: dto::List<dto::Event> = api.queries.events(query).await?.into();
            Ok(json(&headers, &page))
        }
        Format::Csv => export::events(&api, caller, query, rows).await,
    }
}
