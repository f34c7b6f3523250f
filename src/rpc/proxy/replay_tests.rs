//! The traffic of front ends against a counted node: how much of it reaches the node, and that nothing
//! stale is ever given out.

use serde_json::{Value, json};

use super::*;
use crate::rpc::fake::blocks::FakeChain;
use crate::rpc::fake::{FakeNode, Script, chain_of};

/// Clients that look at the same market.
const CLIENTS: usize = 12;
/// Blocks that the replay lasts.
const BLOCKS: usize = 30;
/// Rounds of polling in one block: wagmi and ethers poll every 4 s, blocks come every 12.
const POLLS: usize = 3;
/// At most this many of a hundred calls may reach the node.
const FORWARDED_PERCENT_MAX: usize = 20;

/// A node whose state is the number of the block that it is asked at, and which counts what it is asked.
async fn node(chain: &FakeChain) -> FakeNode {
    let state = chain.clone();
    FakeNode::start(Script::new(move |method, params| {
        let at = |param: &Value| match param["blockHash"].as_str() {
            Some(hash) => state.canonical().iter().find(|b| b.hash == hash).map(|b| b.number),
            None => match param.as_str().unwrap_or("latest") {
                "latest" => state.canonical().last().map(|b| b.number),
                number => u64::from_str_radix(&number[2..], 16).ok(),
            },
        };
        let state_at = |param: &Value| match at(param) {
            Some(number) => Ok(format!("\"{number:#x}\"")),
            None => Err(r#"{"code":-32000,"message":"header not found"}"#.into()),
        };
        match method {
            "eth_call" | "eth_getBalance" | "eth_getCode" | "eth_getTransactionCount" => {
                state_at(&params[1])
            }
            "eth_gasPrice" | "eth_estimateGas" => state_at(&json!("latest")),
            _ => state.answer(method, params),
        }
    }))
    .await
}

const METHODS: &[&str] = &[
    "eth_chainId",
    "net_version",
    "eth_blockNumber",
    "eth_getBlockByNumber",
    "eth_getBlockByHash",
    "eth_call",
    "eth_getBalance",
    "eth_getCode",
    "eth_getTransactionCount",
    "eth_getLogs",
    "eth_gasPrice",
    "eth_estimateGas",
];

/// What one client asks in one round: common pages of a market and of the client's own wallet.
fn round(client: usize, head: u64) -> Vec<(&'static str, Value)> {
    let wallet = format!("0x{client:040x}");
    let mut calls = vec![
        ("eth_chainId", json!([])),
        ("net_version", json!([])),
        ("eth_blockNumber", json!([])),
        ("eth_getBlockByNumber", json!(["latest", false])),
        ("eth_getBalance", json!([wallet, "latest"])),
        ("eth_getTransactionCount", json!([wallet, "latest"])),
        ("eth_getLogs", json!([{"fromBlock": "latest", "toBlock": "latest"}])),
        (
            "eth_getLogs",
            json!([{"fromBlock": "0x0", "toBlock": format!("{:#x}", head.saturating_sub(1))}]),
        ),
    ];
    for token in 0..6 {
        let token = format!("0x{:040x}", 1_000 + token);
        calls.push(("eth_call", json!([{"to": token, "data": "0x18160ddd"}, "latest"])));
        calls.push(("eth_getCode", json!([token, "0x1"])));
    }
    if client == 0 {
        calls.push(("eth_gasPrice", json!([])));
    }
    calls
}

#[tokio::test]
async fn a_front_ends_traffic_costs_a_fifth_of_the_calls_and_is_never_stale() {
    let chain = FakeChain::new().forgetting_orphans();
    let node = node(&chain).await;
    let mut config = chain_of(1, vec![node.ws_url()]);
    config.poll_interval = Duration::from_millis(20);
    let proxy = Arc::new(Proxy::new(Pool::new(&config), Policy::default(), Limits::default()));
    let mut asked = 0;
    for block in 0..BLOCKS {
        // A reorg now and then: what was kept of the orphans must not come back.
        if block % 10 == 9 {
            chain.cut(2);
            chain.mine(1);
            chain.mine(1);
        }
        node.push("newHeads", &chain.mine(block % 4));
        let tip = chain.canonical().last().expect("a block").clone();
        let deadline = Instant::now() + Duration::from_secs(10);
        while proxy.view.tip().await.is_none_or(|seen| seen.hash.to_string() != tip.hash) {
            assert!(Instant::now() < deadline, "the proxy does not see block {}", tip.number);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        for _ in 0..POLLS {
            let rounds = (0..CLIENTS).map(|client| poll(&proxy, &chain, client, tip.number));
            let answered: Vec<usize> = futures_util::future::join_all(rounds).await;
            asked += answered.iter().sum::<usize>();
        }
    }
    let forwarded: usize = METHODS.iter().map(|method| node.calls(method)).sum();
    let percent = 100 * forwarded / asked;
    assert!(
        percent <= FORWARDED_PERCENT_MAX,
        "{forwarded} of {asked} calls reached the node: {percent} %"
    );
}

/// One client's round as a batch, each answer held against the chain.
async fn poll(proxy: &Arc<Proxy>, chain: &FakeChain, client: usize, head: u64) -> usize {
    let calls = round(client, head);
    let body: Vec<Value> = calls
        .iter()
        .enumerate()
        .map(|(id, (method, params))| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
        .collect();
    let body = Bytes::from(json!(body).to_string());
    let reply = proxy.answer(&body).await.expect("a reply").into_bytes();
    let answers: Vec<Value> = serde_json::from_slice(&reply).expect("an array");
    assert_eq!(answers.len(), calls.len());
    let now = json!(format!("{head:#x}"));
    for ((method, params), answer) in calls.iter().zip(answers) {
        let truth = match *method {
            "eth_chainId" => json!("0x1"),
            "net_version" => json!("1"),
            "eth_getCode" => json!("0x1"),
            "eth_blockNumber"
            | "eth_call"
            | "eth_getBalance"
            | "eth_getTransactionCount"
            | "eth_gasPrice" => now.clone(),
            _ => {
                let truth = chain.answer(method, params).expect("the chain knows");
                serde_json::from_str(&truth).expect("JSON")
            }
        };
        assert_eq!(answer["result"], truth, "{method} {params} at block {head}");
    }
    calls.len()
}
