//! Answers of an index, batches at one block, filters too wide for a provider, and flows.

use std::sync::Mutex;

use alloy_primitives::B256;
use async_trait::async_trait;
use serde_json::{Value, json};

use super::index::{IndexedLogs, LogIndex, LogQuestion};
use super::payload::Source;
use super::policy::Ask;
use super::*;
use crate::rpc::fake::blocks::FakeChain;
use crate::rpc::fake::{FakeNode, Script, chain_of};
use crate::rpc::wire::logs;

/// An index of a chain that holds everything up to a block.
#[derive(Debug)]
struct Indexed {
    chain: FakeChain,
    up_to: u64,
    /// Says that the last block of a range is this one.
    last_hash: Mutex<Option<B256>>,
    verified_to: Option<u64>,
}

#[async_trait]
impl LogIndex for Indexed {
    async fn logs(&self, question: LogQuestion) -> Option<IndexedLogs> {
        let (from, to) = (question.range.from, question.range.to);
        if to > self.up_to {
            return None;
        }
        let filter = json!([{"fromBlock": format!("{from:#x}"), "toBlock": format!("{to:#x}")}]);
        let array = self.chain.answer("eth_getLogs", &filter).expect("logs");
        let truth = self.chain.canonical()[to as usize].hash.parse().expect("a hash");
        let last_hash = self.last_hash.lock().expect("no panic").or(Some(truth));
        let logs = logs::parse(array.as_bytes()).expect("logs");
        Some(IndexedLogs { logs, last_hash, verified_to: self.verified_to })
    }
}

async fn seen(proxy: &Proxy, number: u64) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while proxy.view.tip().await.is_none_or(|tip| tip.number != number) {
        assert!(Instant::now() < deadline, "the proxy does not see block {number}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn source(proxy: &Arc<Proxy>, params: Value, wish: Ask) -> (Value, Source, Option<u64>) {
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": params});
    let reply = proxy.answer_as(&Bytes::from(call.to_string()), wish).await.expect("a reply");
    let (source, verified_to) = (reply.source(), reply.verified_to());
    (serde_json::from_slice(&reply.into_bytes()).expect("JSON"), source, verified_to)
}

#[tokio::test]
async fn the_index_answers_for_what_it_holds_on_our_chain_and_nothing_else() {
    let chain = FakeChain::new();
    (0..20).for_each(|n| drop(chain.mine(n % 4)));
    let node = FakeNode::start(chain.script()).await;
    let index = Arc::new(Indexed {
        chain: chain.clone(),
        up_to: 15,
        last_hash: Mutex::default(),
        verified_to: Some(15),
    });
    let pool = Pool::new(&chain_of(1, vec![node.ws_url()]));
    let proxy = Proxy::new(pool, Policy::default(), Limits::default()).with_index(index.clone());
    let proxy = Arc::new(proxy);
    seen(&proxy, 20).await;
    let range = |from: u64, to: u64| json!([{"fromBlock": format!("{from:#x}"), "toBlock": format!("{to:#x}")}]);
    let truth = |params: &Value| -> Value {
        serde_json::from_str(&chain.answer("eth_getLogs", params).expect("logs")).expect("JSON")
    };
    let calls = node.calls("eth_getLogs");
    let held = range(3, 15);
    let (answer, from, verified_to) = source(&proxy, held.clone(), Ask::default()).await;
    assert_eq!((answer["result"].clone(), from), (truth(&held), Source::INDEX));
    assert_eq!((verified_to, node.calls("eth_getLogs")), (Some(15), calls));

    let beyond = range(3, 16);
    let (answer, from, _) = source(&proxy, beyond.clone(), Ask::default()).await;
    assert_eq!((answer["result"].clone(), from), (truth(&beyond), Source::UPSTREAM));
    let (_, from, _) = source(&proxy, beyond, Ask::default()).await;
    assert_eq!(from, Source::CACHE);

    *index.last_hash.lock().expect("no panic") = Some(B256::repeat_byte(9));
    let other = range(4, 15);
    let (answer, from, _) = source(&proxy, other.clone(), Ask::default()).await;
    assert_eq!(
        (answer["result"].clone(), from),
        (truth(&other), Source::UPSTREAM),
        "another chain"
    );
}

#[tokio::test]
async fn an_index_that_is_not_proven_answers_only_where_no_proof_is_wanted() {
    let chain = FakeChain::new();
    (0..20).for_each(|n| drop(chain.mine(n % 4)));
    let node = FakeNode::start(chain.script()).await;
    let index = Indexed {
        chain: chain.clone(),
        up_to: 20,
        last_hash: Mutex::default(),
        verified_to: Some(4),
    };
    let pool = Pool::new(&chain_of(1, vec![node.ws_url()]));
    let proxy = Proxy::new(pool, Policy::default(), Limits::default());
    let proxy = Arc::new(proxy.with_index(Arc::new(index)));
    seen(&proxy, 20).await;
    let params = json!([{"fromBlock": "0x1", "toBlock": "0x9"}]);
    let off = Ask { verify: Some(Verify::Off), ..Ask::default() };
    assert_eq!(source(&proxy, params.clone(), off).await.1, Source::INDEX);
    assert_eq!(source(&proxy, params, Ask::default()).await.1, Source::UPSTREAM);
}

#[tokio::test]
async fn a_batch_is_answered_at_one_block_whatever_comes_meanwhile() {
    let chain = FakeChain::new();
    chain.mine(1);
    let state = chain.clone();
    let script = Script::new(move |method, params| {
        let tip = || state.canonical().last().expect("a block").number;
        match method {
            // The chain goes on with every question.
            "eth_getBalance" | "eth_estimateGas" => {
                let at = match (params[1]["blockHash"].as_str(), params[1].as_str()) {
                    (Some(hash), _) => {
                        state.canonical().iter().find(|b| b.hash == hash).map_or(0, |b| b.number)
                    }
                    (None, Some(number)) if number.starts_with("0x") => {
                        u64::from_str_radix(&number[2..], 16).expect("hex")
                    }
                    _ => tip(),
                };
                state.mine(0);
                Ok(format!("\"{at:#x}\""))
            }
            _ => state.answer(method, params),
        }
    });
    let node = FakeNode::start(script).await;
    let pool = Pool::new(&chain_of(1, vec![node.ws_url()]));
    let proxy = Arc::new(Proxy::new(pool, Policy::default(), Limits::default()));
    seen(&proxy, 1).await;
    let one = |id: u64, method: &str, params: Value| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    let mut calls: Vec<Value> = (0..20)
        .map(|id| one(id, "eth_getBalance", json!([format!("{id:#x}"), "latest"])))
        .collect();
    calls.push(one(20, "eth_getBalance", json!(["0xff"])));
    calls.push(one(21, "eth_estimateGas", json!([{}])));
    calls.push(one(22, "eth_blockNumber", json!([])));
    let body = Bytes::from(json!(calls).to_string());
    let wish = Ask { one_block: true, ..Ask::default() };
    let reply = proxy.answer_as(&body, wish).await.expect("a reply");
    let block = reply.block().expect("the block is told");
    let answers: Vec<Value> = serde_json::from_slice(&reply.into_bytes()).expect("an array");
    assert_eq!(answers.len(), 23);
    let at = format!("{:#x}", block.number);
    assert!(answers.iter().all(|answer| answer["result"] == at.as_str()), "{answers:?}");
}

#[tokio::test]
async fn a_filter_that_is_too_wide_for_a_provider_is_asked_in_parts() {
    let chain = FakeChain::new();
    (0..3).for_each(|_| drop(chain.mine(6)));
    let state = chain.clone();
    let node = FakeNode::start(Script::new(move |method, params| {
        let size = |value: &Value| value.as_array().map_or(1, Vec::len);
        if method == "eth_getLogs" {
            let (addresses, topics) = (&params[0]["address"], &params[0]["topics"][0]);
            if size(addresses) * size(topics) > 1 {
                return Err(r#"{"code":-32602,"message":"exceed max addresses or topics per search position"}"#.into());
            }
            let all = state.answer(method, params)?;
            let one = |value: &Value| value.get(0).unwrap_or(value).clone();
            let mut logs: Vec<Value> = serde_json::from_str(&all).expect("logs");
            logs.retain(|log| log["address"] == one(addresses) && log["topics"][0] == one(topics));
            return Ok(json!(logs).to_string());
        }
        state.answer(method, params)
    }))
    .await;
    let pool = Pool::new(&chain_of(1, vec![node.ws_url()]));
    let proxy = Arc::new(Proxy::new(pool, Policy::default(), Limits::default()));
    seen(&proxy, 3).await;
    let truth = chain.answer("eth_getLogs", &json!([{"fromBlock": "0x0"}])).expect("logs");
    let truth: Vec<Value> = serde_json::from_str(&truth).expect("JSON");
    let addresses = json!([format!("0x{:040x}", 1), format!("0x{:040x}", 2)]);
    let topics: Vec<Value> = truth.iter().take(3).map(|log| log["topics"][0].clone()).collect();
    let filter = json!([{"fromBlock": "0x0", "address": addresses, "topics": [topics]}]);
    let (answer, ..) = source(&proxy, filter, Ask::default()).await;
    assert_eq!(answer["result"], json!(truth), "complete, in order, once each");
}
