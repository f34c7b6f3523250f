//! One simulated chain, its three providers, the proxy over them, and a fourth provider that is never
//! lied to and that the proxy does not know: the witness.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rwahub::config::{Chain, Provider, ProviderUrl, Transport, Verify};
use rwahub::gateway::rpc_proxy;
use rwahub::rpc::pool::Pool;
use rwahub::rpc::proxy::policy::Policy;
use rwahub::rpc::proxy::{Limits, Proxies, Proxy};
use rwahub::sim::{FaultRule, ProviderSettings, Settings, Sim};
use rwahub::types::chain::ChainId;
use serde_json::{Value, json};

/// The chain id of every world.
pub(super) const CHAIN: u64 = 31_337;
/// Providers that the proxy knows; the witness comes after them.
pub(super) const PROVIDERS: usize = 3;
/// Longest wait for one answer, beyond the proxy's own.
const ANSWER_MAX: Duration = Duration::from_secs(40);
/// Time that the proxy gives one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Everything of one cell.
#[derive(Debug)]
pub(super) struct World {
    pub(super) sim: Sim,
    pub(super) proxy: SocketAddr,
    pub(super) pool: Arc<Pool>,
    http: Client<HttpConnector, Full<Bytes>>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A small still chain with three providers and the witness.
pub(super) fn settings(seed: u64) -> Settings {
    Settings {
        seed,
        chain_id: CHAIN,
        blocks: 90,
        logs_per_block: 6,
        contracts: 4,
        holders: 12,
        live: false,
        quiet_every: 7,
        providers: vec![ProviderSettings::default(); PROVIDERS + 1],
        ..Settings::default()
    }
}

impl World {
    /// A world whose providers are reached as `transports` says.
    pub(super) async fn start(settings: Settings, transports: [Transport; PROVIDERS]) -> Self {
        let sim = Sim::start(settings).await.expect("a simulated chain");
        let providers = transports.into_iter().enumerate().map(|(at, transport)| {
            let scheme = if transport == Transport::WebSocket { "ws" } else { "http" };
            Provider {
                name: format!("p{at}"),
                url: ProviderUrl::new(transport, format!("{scheme}://{}/", sim.providers[at])),
                weight: 1,
                rate_limit_rps: None,
                max_block_range: None,
            }
        });
        let chain = Chain {
            id: ChainId(CHAIN),
            name: "chaos".into(),
            confirmations: 12,
            start_block: 0,
            reorg_window_blocks: 64,
            verify: Verify::Receipts,
            poll_interval: Duration::from_millis(200),
            head_quorum: 1,
            providers: providers.collect(),
        };
        let pool = Pool::new(&chain);
        let limits =
            Limits { timeout: REQUEST_TIMEOUT, verify_blocks_max: 64, ..Limits::default() };
        let proxies = Proxies::new([Proxy::new(pool.clone(), Policy::default(), limits)]);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let proxy = listener.local_addr().expect("an address");
        let server = tokio::spawn(async move {
            axum::serve(listener, rpc_proxy::router(proxies)).await.expect("serves");
        });
        let http = Client::builder(TokioExecutor::new()).build_http();
        Self { sim, proxy, pool, http, server }
    }

    /// Lets the first `count` providers lie and fail.
    pub(super) fn strike(&self, rules: &[FaultRule], count: usize) {
        (0..count.min(PROVIDERS)).for_each(|at| self.sim.set_faults(at, rules.to_vec()));
    }

    /// What the proxy answers to a body.
    pub(super) async fn ask(&self, body: &Value) -> Result<Value, String> {
        self.post(&format!("http://{}/rpc/{CHAIN}", self.proxy), body).await
    }

    /// What is right: the answer of the witness.
    pub(super) async fn witness(&self, body: &Value) -> Value {
        let url = format!("http://{}/", self.sim.providers[PROVIDERS]);
        self.post(&url, body).await.expect("the witness answers")
    }

    /// One call's result through the proxy.
    pub(super) async fn call(&self, method: &str, params: Value) -> Result<Value, String> {
        let answer = self.ask(&request(1, method, params)).await?;
        match answer.get("result") {
            Some(result) => Ok(result.clone()),
            None => Err(format!("{method}: {answer}")),
        }
    }

    /// Waits until the proxy's head is the chain's. An error when it never comes, or when the head is
    /// ahead of the chain or goes back although no fork took blocks away.
    pub(super) async fn settle(&self, forked: bool) -> Result<(), String> {
        let until = tokio::time::Instant::now() + Duration::from_secs(10);
        let (mut highest, mut last) = (0, String::new());
        while tokio::time::Instant::now() < until {
            let truth = self.sim.truth().head();
            let block = self.call("eth_getBlockByNumber", json!(["latest", false])).await;
            let number = self.call("eth_blockNumber", json!([])).await;
            let (block, number) = match (block, number) {
                (Ok(block), Ok(number)) => (block, number),
                (block, number) => return Err(format!("no head: {block:?} {number:?}")),
            };
            let height = hex(&number);
            if height > truth.number {
                return Err(format!("head {height} is ahead of the chain, {}", truth.number));
            }
            if height < highest && !forked {
                return Err(format!("head went back from {highest} to {height}"));
            }
            highest = height;
            if height == truth.number && block["hash"] == json!(truth.hash) {
                return Ok(());
            }
            last = format!("{number} {}", block["hash"]);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(format!("the head never came: {last}, truth {:?}", self.sim.truth().head()))
    }

    async fn post(&self, url: &str, body: &Value) -> Result<Value, String> {
        let request = hyper::Request::post(url)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .expect("a request");
        let exchange = async {
            let response =
                self.http.request(request).await.map_err(|e| format!("no answer: {e}"))?;
            let body = response.into_body().collect().await.map_err(|e| format!("cut: {e}"))?;
            let body = body.to_bytes();
            serde_json::from_slice(&body).map_err(|e| format!("not JSON: {e}"))
        };
        tokio::time::timeout(ANSWER_MAX, exchange).await.map_err(|_| "no answer in time")?
    }
}

/// A JSON-RPC request.
pub(super) fn request(id: usize, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// A quantity; what is none counts as zero.
pub(super) fn hex(value: &Value) -> u64 {
    value
        .as_str()
        .and_then(|t| u64::from_str_radix(t.trim_start_matches("0x"), 16).ok())
        .unwrap_or(0)
}

/// Numbers that belong to a seed.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64, name: &str) -> Self {
        let mix = |seed: u64, byte| (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self(name.bytes().fold(seed.wrapping_add(0xcbf2_9ce4_8422_2325), mix))
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % bound.max(1)
    }
}
