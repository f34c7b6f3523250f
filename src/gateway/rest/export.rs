//! Lists as CSV (RFC 4180), streamed page by page: the client's pace is the query's pace.
//!
//! A failure in the middle breaks the connection off, so that half a file never looks like a whole
//! one. Cells that a spreadsheet would run as a formula are quoted with an apostrophe.

use std::io;

use alloy_primitives::Address;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream};
use tokio::sync::OwnedSemaphorePermit;

use super::query::{LIMIT_MAX, Params, limit};
use super::{Api, dto, stream as live, tokens};
use crate::gateway::error::{Class, Problem};
use crate::gateway::limits::{COST_EXPORT, Caller};
use crate::store::read::EventQuery;
use crate::types::chain::ChainId;

/// Exports at one time: each keeps a page in memory and a reader of the store busy.
pub(super) const EXPORTS_MAX: usize = 8;
/// Rows of one export, so that it ends; a last line says where to go on.
const ROWS_MAX: usize = 1_000_000;

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Csv,
}

/// `format=` when given, else what `Accept` names first.
pub(super) fn format(params: &mut Params, headers: &HeaderMap) -> Format {
    let asked = params.take("format", |text| match text {
        "json" => Ok(Format::Json),
        "csv" => Ok(Format::Csv),
        _ => Err("must be json or csv".into()),
    });
    asked.unwrap_or_else(|| {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let first = accept.and_then(|list| list.split([',', ';']).next()).map(str::trim);
        if first == Some("text/csv") { Format::Csv } else { Format::Json }
    })
}

/// `limit=`: a page's items in JSON, all rows in CSV.
pub(super) fn rows(params: &mut Params, format: Format) -> usize {
    match format {
        Format::Json => params.limit(),
        Format::Csv => params.take("limit", |text| limit(text, ROWS_MAX)).unwrap_or(ROWS_MAX),
    }
}

/// Which holders are exported.
#[derive(Debug)]
pub(super) struct HoldersQuery {
    pub(super) chain: ChainId,
    pub(super) token: Address,
    pub(super) at_block: Option<u64>,
    pub(super) after: Option<String>,
}

/// Events as CSV.
pub(super) async fn events(
    api: &Api,
    caller: Caller,
    query: EventQuery,
    rows: usize,
) -> Result<Response, Problem> {
    api.charge_extra(caller, COST_EXPORT)?;
    respond(api, Source::Events(query), rows, "events.csv").await
}

/// Holders as CSV.
pub(super) async fn holders(
    api: &Api,
    caller: Caller,
    query: HoldersQuery,
    rows: usize,
) -> Result<Response, Problem> {
    api.charge_extra(caller, COST_EXPORT)?;
    respond(api, Source::Holders(query), rows, "holders.csv").await
}

#[derive(Debug)]
enum Source {
    Events(EventQuery),
    Holders(HoldersQuery),
}

impl Source {
    fn columns(&self) -> &'static [&'static str] {
        match self {
            Self::Events(_) => dto::EVENT_COLUMNS,
            Self::Holders(_) => dto::HOLDER_COLUMNS,
        }
    }

    /// Writes up to `limit` rows to `out`; answers how many, and the cursor behind them.
    async fn page(
        &mut self,
        api: &Api,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(usize, Option<String>), Problem> {
        match self {
            Self::Events(query) => {
                query.limit = limit;
                let page = api.queries.events(query.clone()).await?;
                let count = page.items.len();
                page.items.into_iter().for_each(|row| push(out, &dto::Event::from(row).csv_row()));
                query.after.clone_from(&page.next_cursor);
                Ok((count, page.next_cursor))
            }
            Self::Holders(HoldersQuery { chain, token, at_block, after }) => {
                let asked = api.queries.holders(*chain, *token, *at_block, limit, after.clone());
                let page = asked.await?.ok_or_else(tokens::token_unknown)?.holders;
                let count = page.items.len();
                page.items.into_iter().for_each(|row| push(out, &dto::Holder::from(row).csv_row()));
                after.clone_from(&page.next_cursor);
                Ok((count, page.next_cursor))
            }
        }
    }
}

struct Export {
    api: Api,
    source: Source,
    rows_left: usize,
    /// The caller set no smaller limit of its own.
    capped: bool,
    done: bool,
    _permit: OwnedSemaphorePermit,
}

impl Export {
    /// The next chunk, which ends the export when `done` is set.
    async fn chunk(&mut self, out: &mut Vec<u8>) -> Result<(), Problem> {
        let limit = self.rows_left.min(LIMIT_MAX);
        let (count, next) = self.source.page(&self.api, limit, out).await?;
        self.rows_left = self.rows_left.saturating_sub(count);
        self.done = next.is_none() || self.rows_left == 0;
        if let (true, true, Some(cursor)) = (self.done, self.capped, next) {
            let note = format!("# stopped after {ROWS_MAX} rows; go on with cursor={cursor}\r\n");
            out.extend_from_slice(note.as_bytes());
        }
        Ok(())
    }
}

async fn respond(
    api: &Api,
    source: Source,
    rows: usize,
    file: &'static str,
) -> Result<Response, Problem> {
    let permit = api.exports.clone().try_acquire_owned().map_err(|_| {
        Problem::new(Class::Overloaded, "too many exports run at this moment")
            .retry_after(live::FULL_RETRY_AFTER)
    })?;
    let mut first = Vec::new();
    push(&mut first, source.columns());
    let capped = rows == ROWS_MAX;
    let (api, done) = (api.clone(), false);
    let mut export = Export { api, source, rows_left: rows, capped, done, _permit: permit };
    // The first page comes before the answer starts, so that a bad cursor is still a problem.
    export.chunk(&mut first).await?;
    let body = stream::unfold((Some(first), export), |(ready, mut export)| async move {
        if let Some(bytes) = ready {
            return Some((Ok(Bytes::from(bytes)), (None, export)));
        }
        if export.done {
            return None;
        }
        let mut out = Vec::new();
        let result = export.chunk(&mut out).await;
        export.done |= result.is_err();
        let item = match result {
            Ok(()) => Ok(Bytes::from(out)),
            Err(problem) => Err(io::Error::other(problem.detail)),
        };
        Some((item, (None, export)))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{file}\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    // Compression asks once more after the end.
    Ok((headers, Body::from_stream(body.fuse())).into_response())
}

/// One row with its line end.
fn push<T: AsRef<str>>(out: &mut Vec<u8>, cells: &[T]) {
    for (at, cell) in cells.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push_cell(out, cell.as_ref());
    }
    out.extend_from_slice(b"\r\n");
}

fn push_cell(out: &mut Vec<u8>, cell: &str) {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let quoted = formula || cell.contains(['"', ',', '\r', '\n']);
    if !quoted {
        out.extend_from_slice(cell.as_bytes());
        return;
    }
    out.push(b'"');
    if formula {
        out.push(b'\'');
    }
    for byte in cell.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_formulas_disarmed() {
        let mut out = Vec::new();
        push(&mut out, &["a", "b,c", "say \"hi\"", "=1+1", "-5", ""]);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "a,\"b,c\",\"say \"\"hi\"\"\",\"'=1+1\",\"'-5\",\r\n");
    }
}
