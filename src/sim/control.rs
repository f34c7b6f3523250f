//! The control port: `GET /truth/...` says what is right, `POST /sim/...` changes the world.
//!
//! Plain JSON over HTTP, no authentication: loopback only unless somebody binds it elsewhere.

use std::convert::Infallible;
use std::sync::Arc;

use alloy_primitives::B256;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::faults::FaultRule;
use super::filter::{LogFilter, parse_hex};
use super::node::Provider;
use super::render::LogText;
use super::truth::Truth;
use super::view::Block;
use super::world::World;
use crate::types::chain::BlockRange;

/// Largest order.
const ORDER_BYTES_MAX: usize = 1024 * 1024;
/// Blocks of one truth answer; ask in parts for more.
const TRUTH_BLOCKS_MAX: u64 = 100_000;
/// Logs of one truth answer.
const TRUTH_LOGS_MAX: usize = 1_000_000;
/// Orphaned blocks of one answer.
const ORPHANS_PER_ANSWER: usize = 1_000;

/// What the control port can reach.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) world: Arc<World>,
    pub(super) providers: Vec<Arc<Provider>>,
    pub(super) stop: CancellationToken,
}

/// A refusal: status and text.
type Refused = (u16, String);

pub(super) async fn serve(control: Arc<Control>, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            () = control.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let (control, stop) = (Arc::clone(&control), control.stop.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| handle(Arc::clone(&control), request));
            let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                // How a client's connection ends is its own affair.
                _ended = serving => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

async fn handle(
    control: Arc<Control>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let body = Limited::new(request.into_body(), ORDER_BYTES_MAX).collect().await;
    let answered = match body {
        Ok(body) => control.answer(&method, &path, &query, &body.to_bytes()).await,
        Err(_) => Err((413, "order too large".to_owned())),
    };
    let (status, body) = match answered {
        Ok(body) => (200, body),
        Err((status, text)) => (status, json!({ "error": text }).to_string().into_bytes()),
    };
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

impl Control {
    async fn answer(
        self: &Arc<Self>,
        method: &Method,
        path: &str,
        query: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, Refused> {
        let asked = match body {
            [] => query_object(query),
            body => serde_json::from_slice(body).map_err(|error| (400, error.to_string()))?,
        };
        if *method == Method::POST && path.starts_with("/sim/") {
            return self.order(path, &asked).await;
        }
        let (control, path) = (Arc::clone(self), path.to_owned());
        let made = tokio::task::spawn_blocking(move || control.truth(&path, &asked)).await;
        made.unwrap_or_else(|_| Err((500, "the simulation was stopped".into())))
    }

    fn truth(&self, path: &str, asked: &Value) -> Result<Vec<u8>, Refused> {
        let truth = Truth::new(Arc::clone(&self.world));
        let answer = match path {
            "/truth/head" => head(&truth),
            "/truth/blocks" => self.blocks(self.range(asked)?),
            "/truth/logs" => return self.logs(asked),
            "/truth/retracted" => return self.retracted(asked),
            "/truth/counts" => json!(truth.counts(self.range(asked)?)),
            "/truth/digest" => json!({ "digest": truth.digest(self.range(asked)?) }),
            "/truth/holdings" => holdings(&truth, number(asked, "block", truth.head().number)?)?,
            "/truth/forks" => self.forks(),
            "/truth/contracts" => self.contracts(),
            "/sim/providers" => self.provider_list(),
            "/sim/settings" => json!(format!("{:?}", self.world.settings)),
            _ => return Err((404, format!("no {path}; see docs/sim.md"))),
        };
        Ok(answer.to_string().into_bytes())
    }

    fn range(&self, asked: &Value) -> Result<BlockRange, Refused> {
        let head = self.world.view().head();
        let range = BlockRange {
            from: number(asked, "from", 0)?,
            to: number(asked, "to", head)?.min(head),
        };
        if range.len() > TRUTH_BLOCKS_MAX {
            return Err((400, format!("at most {TRUTH_BLOCKS_MAX} blocks at once")));
        }
        Ok(range)
    }

    fn blocks(&self, range: BlockRange) -> Value {
        let view = self.world.view();
        let blocks = (range.from..=range.to).filter_map(|n| view.block(&self.world.recipe, n));
        blocks
            .map(|block| {
                json!({
                    "number": block.number,
                    "hash": block.hash,
                    "parent": block.parent,
                    "timestamp": block.timestamp,
                    "fork": block.fork,
                    "transactions": block.tx_hashes.len(),
                    "logs": block.origins.iter().map(|o| u64::from(o.logs)).sum::<u64>(),
                    "published_us": block.published_us,
                })
            })
            .collect()
    }

    fn logs(&self, asked: &Value) -> Result<Vec<u8>, Refused> {
        let range = self.range(asked)?;
        let filter = LogFilter::parse(&self.world.recipe.book, asked).map_err(|e| (400, e))?;
        let view = self.world.view();
        let mut out = b"[".to_vec();
        let mut count = 0;
        for at in range.from..=range.to {
            if let Some(block) = view.block(&self.world.recipe, at) {
                count += self.write_logs(&block, &filter, false, &mut out);
            }
            if count > TRUTH_LOGS_MAX {
                return Err((400, format!("more than {TRUTH_LOGS_MAX} logs; ask in parts")));
            }
        }
        out.push(b']');
        Ok(out)
    }

    /// Appends matching logs with commas between them; newest first when they are removed.
    fn write_logs(
        &self,
        block: &Block,
        filter: &LogFilter,
        removed: bool,
        out: &mut Vec<u8>,
    ) -> usize {
        let recipe = &self.world.recipe;
        let body = block.body(recipe);
        let mut text = LogText::default();
        text.start_block(block, true, removed);
        let mut written = Vec::new();
        for (tx_index, hash) in block.tx_hashes.iter().enumerate() {
            text.start_tx(hash, tx_index);
            let (start, logs) = body.logs_of(tx_index);
            for (at, log) in logs.iter().enumerate().filter(|(_, log)| filter.matches(log)) {
                let mut one = Vec::with_capacity(800);
                text.write(&recipe.book, log, (start + at) as u64, &mut one);
                written.push(one);
            }
        }
        if removed {
            written.reverse();
        }
        for one in &written {
            if out.last() != Some(&b'[') {
                out.push(b',');
            }
            out.extend_from_slice(one);
        }
        written.len()
    }

    fn retracted(&self, asked: &Value) -> Result<Vec<u8>, Refused> {
        let skip = usize::try_from(number(asked, "skip_blocks", 0)?).unwrap_or(usize::MAX);
        let (blocks, total) = self.world.orphans(skip, ORPHANS_PER_ANSWER);
        let next = skip.saturating_add(blocks.len());
        let next = if next < total { json!(next) } else { Value::Null };
        let mut out =
            format!("{{\"orphaned_blocks\":{total},\"next_skip_blocks\":{next},\"logs\":[")
                .into_bytes();
        for block in blocks {
            self.write_logs(&block, &LogFilter::default(), true, &mut out);
        }
        out.extend_from_slice(b"]}");
        Ok(out)
    }

    fn forks(&self) -> Value {
        let forks = self.world.forks();
        forks
            .iter()
            .map(|fork| {
                json!({
                    "fork": fork.fork,
                    "base": fork.base,
                    "old_head": fork.old_head,
                    "old_hash": fork.old_hash,
                    "new_head": fork.new_head,
                    "new_hash": fork.new_hash,
                })
            })
            .collect()
    }

    fn contracts(&self) -> Value {
        let book = &self.world.recipe.book;
        (0..book.contracts())
            .map(|token| {
                json!({
                    "token": book.address(book.token(token)),
                    "identity_registry": book.address(book.registry(token)),
                    "compliance": book.address(book.compliance(token)),
                    "name": book.name(token),
                    "symbol": book.symbol(token),
                    "decimals": book.decimals(token),
                })
            })
            .collect()
    }

    fn provider_list(&self) -> Value {
        let describe = |provider: &Arc<Provider>| {
            let struck = provider.plan.struck();
            let struck: serde_json::Map<_, _> =
                struck.iter().map(|(fault, count)| (fault.name().into(), json!(count))).collect();
            let rules = provider.plan.rules();
            json!({
                "provider": provider.index,
                "address": provider.address(),
                "alive": provider.is_alive(),
                "faults": rules.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "struck": struck,
                "requests": provider.plan.requests(),
                "connections": provider.connection_count(),
                "calls": provider.call_counts(),
            })
        };
        self.providers.iter().map(describe).collect()
    }

    async fn order(&self, path: &str, asked: &Value) -> Result<Vec<u8>, Refused> {
        let done = match path {
            "/sim/mine" => {
                let blocks = number(asked, "blocks", 1)?;
                let world = Arc::clone(&self.world);
                json!({ "head": on_thread(move || world.mine(blocks)).await? })
            }
            "/sim/fork" => {
                let depth = number(asked, "depth", 1)?;
                let length = number(asked, "length", depth + 1)?;
                let world = Arc::clone(&self.world);
                let fork = on_thread(move || world.fork(depth, length)).await?;
                json!({ "fork": fork.fork, "base": fork.base, "head": fork.new_head, "hash": fork.new_hash })
            }
            "/sim/switch" => {
                let hash = parse_hex(&asked["hash"], "hash").map_err(|text| (400, text))?;
                let world = Arc::clone(&self.world);
                let fork = on_thread(move || world.switch_to(hash)).await?;
                json!({ "fork": fork.fork, "base": fork.base, "head": fork.new_head })
            }
            "/sim/faults" => {
                let rules = rules(asked)?;
                for provider in self.chosen(asked)? {
                    provider.set_faults(rules.clone());
                }
                json!({ "faults": rules.iter().map(ToString::to_string).collect::<Vec<_>>() })
            }
            "/sim/kill" => {
                self.chosen(asked)?.iter().for_each(|provider| provider.kill());
                json!({ "killed": true })
            }
            "/sim/restore" => {
                for provider in self.chosen(asked)? {
                    let started = provider.start(&self.stop).await;
                    started.map_err(|error| (500, error.to_string()))?;
                }
                json!({ "restored": true })
            }
            _ => return Err((404, format!("no {path}; see docs/sim.md"))),
        };
        Ok(done.to_string().into_bytes())
    }

    /// The provider that `provider` names by number, or all.
    fn chosen(&self, asked: &Value) -> Result<Vec<&Arc<Provider>>, Refused> {
        match asked.get("provider").filter(|provider| !provider.is_null()) {
            None => Ok(self.providers.iter().collect()),
            Some(_) => {
                let index = usize::try_from(number(asked, "provider", 0)?).unwrap_or(usize::MAX);
                let provider = self.providers.get(index);
                Ok(vec![provider.ok_or_else(|| (404, format!("no provider {index}")))?])
            }
        }
    }
}

async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, super::SimError> + Send + 'static,
) -> Result<T, Refused> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| (409, error.to_string())),
        Err(_) => Err((500, "the simulation was stopped".into())),
    }
}

fn rules(asked: &Value) -> Result<Vec<FaultRule>, Refused> {
    let Some(list) = asked.get("faults").and_then(Value::as_array) else {
        return Err((400, "faults: a list of texts like \"drop-log=0.01\"".into()));
    };
    list.iter()
        .map(|rule| {
            let text = rule.as_str().unwrap_or_default();
            text.parse().map_err(|error| (400, format!("{error}")))
        })
        .collect()
}

fn head(truth: &Truth) -> Value {
    let head = truth.head();
    json!({
        "number": head.number,
        "hash": head.hash,
        "safe": head.safe,
        "finalized": head.finalized,
    })
}

fn holdings(truth: &Truth, block: u64) -> Result<Value, Refused> {
    let tokens = truth.holdings(block).ok_or_else(|| (404, format!("no block {block}")))?;
    let tokens: Vec<Value> = tokens
        .iter()
        .map(|token| {
            let balances: serde_json::Map<_, _> = token
                .balances
                .iter()
                .map(|(holder, value)| (format!("{holder:?}"), json!(value.to_string())))
                .collect();
            json!({
                "token": format!("{:?}", token.token),
                "supply": token.supply.to_string(),
                "holders": balances.len(),
                "balances": balances,
            })
        })
        .collect();
    let hash = truth.hash(block).unwrap_or(B256::ZERO);
    Ok(json!({ "block": block, "hash": hash, "tokens": tokens }))
}

/// A number by name: JSON number, decimal text or `0x` text.
fn number(asked: &Value, name: &str, default: u64) -> Result<u64, Refused> {
    let bad = || (400, format!("{name}: a number"));
    match asked.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(Value::Number(number)) => number.as_u64().ok_or_else(bad),
        Some(Value::String(text)) => match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).map_err(|_| bad()),
            None => text.parse().map_err(|_| bad()),
        },
        Some(_) => Err(bad()),
    }
}

/// `a=1&b=2` as an object; several `address` or one with commas make a list.
fn query_object(query: &str) -> Value {
    let mut object = serde_json::Map::new();
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let value = match name {
            "address" => value.split(',').map(Value::from).collect(),
            "topic0" => {
                let any: Vec<Value> = value.split(',').map(Value::from).collect();
                object.insert("topics".into(), json!([any]));
                continue;
            }
            _ => Value::from(value),
        };
        object.insert(name.to_owned(), value);
    }
    Value::Object(object)
}
