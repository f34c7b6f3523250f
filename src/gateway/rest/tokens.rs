//! Tokens, their holders, and what one address holds.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use super::export::{self, Format, HoldersQuery};
use super::query::{Params, address, number};
use super::{Api, dto, json};
use crate::gateway::error::{Class, Problem};
use crate::gateway::limits::Caller;
use crate::types::chain::ChainId;

/// Tokens that have shown themselves by their events.
#[utoipa::path(
    get,
    path = "/api/v1/tokens",
    operation_id = "listTokens",
    tag = "tokens",
    params(
        ("chain_id" = Option<u64>, Query, description = "Only this chain", maximum = 9007199254740991i64, example = 1),
        ("limit" = Option<u64>, Query, description = "Items of a page, 1 to 1000, default 50", minimum = 1, maximum = 1000, example = 10),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before", min_length = 1, max_length = 512, pattern = r"^[!-~]+$"),
    ),
    responses(
        (status = 200, description = "A page of tokens", body = dto::List<dto::Token>),
        (status = 400, description = "`invalid_parameter` or `invalid_cursor`", body = dto::Problem, content_type = "application/problem+json"),
        (status = 404, description = "`chain_unknown`", body = dto::Problem, content_type = "application/problem+json")
    )
)]
pub(in crate::gateway) async fn list(
    State(api): State<Api>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut params = Params::of(&uri);
    let chain = params.take("chain_id", number).map(ChainId);
    let limit = params.limit();
    let after = params.cursor();
    params.finish()?;
    if let Some(chain) = chain {
        api.require_chain(chain).await?;
    }
    let page: dto::List<dto::Token> = api.queries.tokens(chain, limit, after).await?.into();
    Ok(json(&headers, &page))
}

/// One token.
#[utoipa::path(
    get,
    path = "/api/v1/tokens/{chain_id}/{address}",
    operation_id = "getToken",
    tag = "tokens",
    params(
        ("chain_id" = u64, Path, description = "EIP-155 chain id", maximum = 9007199254740991i64, example = 1),
        ("address" = String, Path, description = "The token contract", pattern = r"^0x[0-9a-fA-F]{40}$", example = "0xaAaAaAaaAaAaAaaAaAAAAAAAAaaaAaAaAaaAaaAa"),
    ),
    responses(
        (status = 200, description = "The token", body = dto::Token),
        (status = 400, description = "`invalid_parameter`", body = dto::Problem, content_type = "application/problem+json"),
        (status = 404, description = "`chain_unknown` or `token_unknown`", body = dto::Problem, content_type = "application/problem+json")
    )
)]
pub(in crate::gateway) async fn one(
    State(api): State<Api>,
    Path((chain_id, token)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut params = Params::of(&uri);
    let key = params.path("chain_id", &chain_id, number).map(ChainId);
    let key = key.zip(params.path("address", &token, address));
    params.finish()?;
    let Some((chain, token)) = key else { return Err(token_unknown()) };
    api.require_chain(chain).await?;
    match api.queries.token(chain, token).await? {
        Some(record) => Ok(json(&headers, &dto::Token::from(record))),
        None => Err(token_unknown()),
    }
}

/// Holders of one token with a balance above zero, largest first.
#[utoipa::path(
    get,
    path = "/api/v1/tokens/{chain_id}/{address}/holders",
    operation_id = "listHolders",
    tag = "tokens",
    params(
        ("chain_id" = u64, Path, description = "EIP-155 chain id", maximum = 9007199254740991i64, example = 1),
        ("address" = String, Path, description = "The token contract", pattern = r"^0x[0-9a-fA-F]{40}$", example = "0xaAaAaAaaAaAaAaaAaAAAAAAAAaaaAaAaAaaAaaAa"),
        ("at_block" = Option<u64>, Query, description = "Balances as they were right after this block", maximum = 9007199254740991i64, example = 110),
        ("limit" = Option<u64>, Query, description = "Items of a page, 1 to 1000, default 50; with CSV the rows in all, up to 1000000", minimum = 1, maximum = 1000000, example = 1),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before", min_length = 1, max_length = 512, pattern = r"^[!-~]+$"),
        ("format" = inline(Option<dto::FormatWord>), Query, description = "`json` (default) or `csv`; `Accept: text/csv` does the same"),
    ),
    responses(
        (status = 200, description = "A page of holders; or all of them as CSV", content(
            (dto::Holders = "application/json"),
            (String = "text/csv"),
        )),
        (status = 400, description = "`invalid_parameter` or `invalid_cursor`", body = dto::Problem, content_type = "application/problem+json"),
        (status = 404, description = "`chain_unknown` or `token_unknown`", body = dto::Problem, content_type = "application/problem+json"),
        (status = 422, description = "`block_not_indexed`", body = dto::Problem, content_type = "application/problem+json")
    )
)]
pub(in crate::gateway) async fn holders(
    State(api): State<Api>,
    caller: Caller,
    Path((chain_id, token)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut params = Params::of(&uri);
    let key = params.path("chain_id", &chain_id, number).map(ChainId);
    let key = key.zip(params.path("address", &token, address));
    let at_block = params.take("at_block", number);
    let format = export::format(&mut params, &headers);
    let rows = export::rows(&mut params, format);
    let after = params.cursor();
    params.finish()?;
    let Some((chain, token)) = key else { return Err(token_unknown()) };
    api.require_chain(chain).await?;
    match format {
        Format::Json => match api.queries.holders(chain, token, at_block, rows, after).await? {
            Some(page) => Ok(json(&headers, &dto::Holders::from(page))),
            None => Err(token_unknown()),
        },
        Format::Csv => {
            export::holders(&api, caller, HoldersQuery { chain, token, at_block, after }, rows)
                .await
        }
    }
}

/// Everything one address holds, over all chains.
#[utoipa::path(
    get,
    path = "/api/v1/holders/{address}",
    operation_id = "listHoldings",
    tag = "tokens",
    params(
        ("address" = String, Path, description = "The holder", pattern = r"^0x[0-9a-fA-F]{40}$", example = "0x1111111111111111111111111111111111111111"),
        ("limit" = Option<u64>, Query, description = "Items of a page, 1 to 1000, default 50", minimum = 1, maximum = 1000, example = 10),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before", min_length = 1, max_length = 512, pattern = r"^[!-~]+$"),
    ),
    responses(
        (status = 200, description = "A page of holdings; empty for an address that holds nothing", body = dto::List<dto::Holder>),
        (status = 400, description = "`invalid_parameter` or `invalid_cursor`", body = dto::Problem, content_type = "application/problem+json")
    )
)]
pub(in crate::gateway) async fn holdings(
    State(api): State<Api>,
    Path(holder): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut params = Params::of(&uri);
    let holder = params.path("address", &holder, address).unwrap_or_default();
    let limit = params.limit();
    let after = params.cursor();
    params.finish()?;
    let page: dto::List<dto::Holder> = api.queries.holdings(holder, limit, after).await?.into();
    Ok(json(&headers, &page))
}

pub(super) fn token_unknown() -> Problem {
    let detail = "no token at this address has shown an event; see /api/v1/tokens for those known";
    Problem::new(Class::TokenUnknown, detail)
}
