//! `eth_newFilter` and its family, served from our own stream.
//!
//! A filter is a subscription that is read by polling. It lives here and not in a node, so it survives
//! any provider; after a gap it goes on from its cursor.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::time::Instant;

use super::feed::cursor::Cursor;
use super::feed::{Feed, HeadStream, LogNews, LogStream, PendingStream};
use super::payload::Found;
use super::reply::Fault;
use super::request::Request;
use super::session::{Wanted, as_removed};
use super::{Proxy, Refusal};
use crate::rpc::error::RpcError;
use crate::rpc::eth::LogFilter;

/// Filters of all clients of a chain: they are made without sign-in.
const FILTERS_MAX: usize = 1_000;
/// A filter that nobody polls for this long is gone, as with nodes.
const IDLE_MAX: Duration = Duration::from_secs(300);

/// The filters of one chain.
#[derive(Debug, Default)]
pub(super) struct Filters {
    by_id: Mutex<HashMap<String, Entry>>,
}

#[derive(Debug)]
struct Entry {
    /// One poll at a time; two would share the changes between them.
    filter: Arc<tokio::sync::Mutex<Filter>>,
    used: Instant,
}

#[derive(Debug)]
enum Filter {
    Logs { stream: LogStream, wanted: LogFilter, object: Bytes, at: Option<Cursor> },
    Blocks { stream: HeadStream, at: Option<Cursor> },
    Pending { stream: PendingStream },
}

/// Which of the family is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FilterCall {
    NewLogs,
    NewBlocks,
    NewPending,
    Changes,
    Logs,
    Uninstall,
}

impl FilterCall {
    pub(super) fn of(method: &str) -> Option<Self> {
        Some(match method {
            "eth_newFilter" => Self::NewLogs,
            "eth_newBlockFilter" => Self::NewBlocks,
            "eth_newPendingTransactionFilter" => Self::NewPending,
            "eth_getFilterChanges" => Self::Changes,
            "eth_getFilterLogs" => Self::Logs,
            "eth_uninstallFilter" => Self::Uninstall,
            _ => return None,
        })
    }
}

impl Proxy {
    /// Serves one call of the family.
    pub(super) async fn filter_call(
        self: &Arc<Self>,
        call: FilterCall,
        request: Request,
    ) -> Result<Found, Refusal> {
        match call {
            FilterCall::NewLogs => {
                let object = first_param(&request.params)?;
                let wanted = Wanted::filter(&object)?;
                let stream = self.feed.logs(None).await?;
                self.filters.add(Filter::Logs { stream, wanted, object, at: None }).map(Found::hub)
            }
            FilterCall::NewBlocks => {
                let stream = self.feed.heads(None).await?;
                self.filters.add(Filter::Blocks { stream, at: None }).map(Found::hub)
            }
            FilterCall::NewPending => {
                let stream = self.feed.pending(false).await?;
                self.filters.add(Filter::Pending { stream }).map(Found::hub)
            }
            FilterCall::Changes => {
                let filter = self.filters.get(&filter_id(&request.params)?)?;
                let mut filter = filter.lock().await;
                Ok(Found::hub(filter.changes(&self.feed).await?))
            }
            FilterCall::Logs => {
                let filter = self.filters.get(&filter_id(&request.params)?)?;
                let Filter::Logs { object, .. } = &*filter.lock().await else {
                    return Err(not_found().into());
                };
                let params = Bytes::from([b"[", object.as_ref(), b"]"].concat());
                let request = Request { method: "eth_getLogs".into(), params, ..request };
                let tip = self.view.tip().await;
                Box::pin(self.read(request, tip.into())).await
            }
            FilterCall::Uninstall => {
                let removed = self.filters.remove(&filter_id(&request.params)?);
                Ok(Found::hub(if removed { "true" } else { "false" }))
            }
        }
    }
}

impl Filters {
    fn add(&self, filter: Filter) -> Result<Bytes, Refusal> {
        let mut all = self.lock();
        all.retain(|_, entry| entry.used.elapsed() < IDLE_MAX);
        if all.len() >= FILTERS_MAX {
            return Err(Fault::limit("too many filters, use a subscription").into());
        }
        let id = format!("{:#034x}", rand::random::<u128>());
        let answer = Bytes::from(format!("\"{id}\""));
        let filter = Arc::new(tokio::sync::Mutex::new(filter));
        all.insert(id, Entry { filter, used: Instant::now() });
        Ok(answer)
    }

    fn get(&self, id: &str) -> Result<Arc<tokio::sync::Mutex<Filter>>, Refusal> {
        let mut all = self.lock();
        let entry = all.get_mut(id).filter(|entry| entry.used.elapsed() < IDLE_MAX);
        let entry = entry.ok_or_else(not_found)?;
        entry.used = Instant::now();
        Ok(entry.filter.clone())
    }

    fn remove(&self, id: &str) -> bool {
        self.lock().remove(id).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Filter {
    /// What came since the last poll, as a JSON array.
    async fn changes(&mut self, feed: &Feed) -> Result<Bytes, RpcError> {
        let mut items = Items::default();
        match self {
            Self::Blocks { stream, at } => loop {
                for known in std::mem::take(&mut stream.missed) {
                    *at = Some(Cursor::Head { number: known.block.number, hash: known.block.hash });
                    items.push(format!("\"{}\"", known.block.hash).as_bytes());
                }
                match stream.live.try_recv() {
                    Ok(known) => stream.missed.push(known),
                    Err(TryRecvError::Empty) => break,
                    // Fell behind, or the stream broke off: go on from where it stood.
                    Err(_) => *stream = feed.heads(*at).await?,
                }
            },
            Self::Logs { stream, wanted, at, .. } => loop {
                for news in std::mem::take(&mut stream.missed) {
                    items.logs(&news, wanted, at);
                }
                match stream.live.try_recv() {
                    Ok(news) if news.retracted && news.known.seq <= stream.joined_after => {}
                    Ok(news) => items.logs(&news, wanted, at),
                    Err(TryRecvError::Empty) => break,
                    Err(_) => *stream = feed.logs(*at).await?,
                }
            },
            Self::Pending { stream } => loop {
                match stream.live.try_recv() {
                    Ok(hash) => items.push(&hash),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Lagged(_)) => {}
                    Err(TryRecvError::Closed) => *stream = feed.pending(false).await?,
                }
            },
        }
        Ok(items.finish())
    }
}

/// A JSON array under construction.
#[derive(Debug, Default)]
struct Items(Vec<u8>);

impl Items {
    fn push(&mut self, raw: &[u8]) {
        self.0.push(if self.0.is_empty() { b'[' } else { b',' });
        self.0.extend_from_slice(raw);
    }

    fn logs(&mut self, news: &LogNews, wanted: &LogFilter, at: &mut Option<Cursor>) {
        for (raw, cursor) in news.for_client(wanted) {
            *at = Some(cursor);
            if news.retracted { self.push(&as_removed(raw)) } else { self.push(raw) }
        }
    }

    fn finish(mut self) -> Bytes {
        if self.0.is_empty() {
            return Bytes::from_static(b"[]");
        }
        self.0.push(b']');
        self.0.into()
    }
}

fn first_param(params: &Bytes) -> Result<Bytes, Fault> {
    let list: Vec<&serde_json::value::RawValue> =
        serde_json::from_slice(params).map_err(|_| Fault::params("expected a filter"))?;
    match list.as_slice() {
        [only] => Ok(params.slice_ref(only.get().as_bytes())),
        _ => Err(Fault::params("expected one filter")),
    }
}

fn filter_id(params: &[u8]) -> Result<String, Fault> {
    let [id]: [String; 1] =
        serde_json::from_slice(params).map_err(|_| Fault::params("expected one filter id"))?;
    Ok(id)
}

fn not_found() -> Fault {
    Fault { id: None, code: -32000, message: "filter not found".into() }
}
