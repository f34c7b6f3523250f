//! Reads against a chain that forks: what is kept, what is not, and what the client must never see.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::*;
use crate::rpc::fake::blocks::FakeChain;
use crate::rpc::fake::{FakeNode, Script, chain_of};

struct Setup {
    chain: FakeChain,
    node: FakeNode,
    proxy: Arc<Proxy>,
}

/// A node whose balances are the number of the block they are asked at.
async fn setup(push: bool) -> Setup {
    let chain = FakeChain::new().forgetting_orphans();
    let state = chain.clone();
    let script = Script::new(move |method, params| {
        let at = |param: &Value| match param["blockHash"].as_str() {
            Some(hash) => state.canonical().iter().find(|b| b.hash == hash).map(|b| b.number),
            None => match param.as_str().expect("a tag") {
                "latest" | "pending" => state.canonical().last().map(|b| b.number),
                number => u64::from_str_radix(&number[2..], 16).ok(),
            },
        };
        match method {
            "eth_getBalance" => match at(&params[1]) {
                Some(number) => Ok(format!("\"{number:#x}\"")),
                None => Err(r#"{"code":-32000,"message":"header not found"}"#.into()),
            },
            "eth_call" => Err(r#"{"code":3,"message":"execution reverted","data":"0xab"}"#.into()),
            "eth_getTransactionReceipt" => {
                let tip = state.canonical().last().expect("genesis").clone();
                Ok(format!(r#"{{"blockNumber":"{:#x}","blockHash":"{}"}}"#, tip.number, tip.hash))
            }
            _ => state.answer(method, params),
        }
    });
    let node = FakeNode::start(script).await;
    let url = if push { node.ws_url() } else { node.http_url() };
    let mut config = chain_of(1, vec![url]);
    config.poll_interval = Duration::from_millis(20);
    let proxy = Arc::new(Proxy::new(Pool::new(&config), Policy::default(), Limits::default()));
    Setup { chain, node, proxy }
}

impl Setup {
    async fn ask(&self, method: &str, params: Value) -> Value {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let reply = self.proxy.answer(&Bytes::from(call.to_string())).await.expect("a reply");
        serde_json::from_slice(&reply.into_bytes()).expect("JSON")
    }

    /// Mines and waits until the proxy sees it.
    async fn mine(&self, logs: usize) {
        let header = self.chain.mine(logs);
        self.node.push("newHeads", &header);
        let tip = self.chain.canonical().last().expect("a block").number;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        while self.proxy.view.tip().await.is_none_or(|t| t.number != tip) {
            assert!(tokio::time::Instant::now() < deadline, "the proxy does not see block {tip}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_repeated_question_costs_one_call_and_a_new_head_asks_again() {
    for push in [true, false] {
        let setup = setup(push).await;
        setup.mine(0).await;
        for _ in 0..10 {
            assert_eq!(
                setup.ask("eth_getBalance", json!(["0xAA", "latest"])).await["result"],
                "0x1"
            );
            assert_eq!(setup.ask("eth_getBalance", json!(["0xaa", "0x1"])).await["result"], "0x1");
        }
        assert_eq!(setup.node.calls("eth_getBalance"), 1, "pushed: {push}");
        setup.mine(0).await;
        assert_eq!(setup.ask("eth_getBalance", json!(["0xaa", "latest"])).await["result"], "0x2");
        assert_eq!(setup.ask("eth_blockNumber", json!([])).await["result"], "0x2");
    }
}

#[tokio::test]
async fn equal_questions_at_once_cost_one_call() {
    let setup = setup(true).await;
    setup.mine(0).await;
    let asked = (0..50).map(|_| setup.ask("eth_getBalance", json!(["0xaa", "latest"])));
    let answers = futures_util::future::join_all(asked).await;
    assert!(answers.iter().all(|a| a["result"] == "0x1"));
    assert_eq!(setup.node.calls("eth_getBalance"), 1);
}

#[tokio::test]
async fn a_reorg_re_points_the_same_number() {
    let setup = setup(true).await;
    setup.mine(1).await;
    let before = setup.ask("eth_getBlockByNumber", json!(["0x1", false])).await;
    let receipt = setup.ask("eth_getTransactionReceipt", json!(["0x1"])).await;
    assert_eq!(before["result"]["hash"], receipt["result"]["blockHash"]);
    setup.chain.cut(1);
    setup.chain.mine(0);
    setup.mine(0).await;
    let after = setup.ask("eth_getBlockByNumber", json!(["0x1", false])).await;
    assert_ne!(before["result"]["hash"], after["result"]["hash"]);
    let gone = setup.ask("eth_getBlockByHash", json!([before["result"]["hash"], false])).await;
    assert!(gone["result"].is_null(), "{gone}");
    let receipt = setup.ask("eth_getTransactionReceipt", json!(["0x1"])).await;
    assert_eq!(receipt["result"]["blockNumber"], "0x2", "not the orphaned one");
}

#[tokio::test]
async fn reverts_at_a_fixed_block_are_kept_and_untouched() {
    let setup = setup(true).await;
    setup.mine(0).await;
    for _ in 0..3 {
        let answer = setup.ask("eth_call", json!([{"to": "0xaa"}, "latest"])).await;
        assert_eq!(
            answer["error"],
            json!({"code": 3, "message": "execution reverted", "data": "0xab"})
        );
    }
    assert_eq!(setup.node.calls("eth_call"), 1);
}

#[tokio::test]
async fn pending_and_unknown_methods_are_never_kept() {
    let setup = setup(true).await;
    setup.mine(0).await;
    for _ in 0..3 {
        setup.ask("eth_getBalance", json!(["0xaa", "pending"])).await;
        setup.ask("eth_gasPrice", json!([])).await;
        setup.ask("eth_getBalance", json!(["0xaa", "0xff"])).await;
    }
    assert_eq!(setup.node.calls("eth_getBalance"), 6);
    assert!(setup.node.calls("eth_gasPrice") >= 1);
}

#[tokio::test]
async fn a_client_that_was_told_of_a_block_never_sees_an_older_head() {
    let setup = setup(true).await;
    setup.mine(0).await;
    // The node has a block that it has not pushed yet.
    setup.chain.mine(0);
    let receipt = setup.ask("eth_getTransactionReceipt", json!(["0x1"])).await;
    assert_eq!(receipt["result"]["blockNumber"], "0x2");
    assert_eq!(setup.ask("eth_blockNumber", json!([])).await["result"], "0x2");
    assert_eq!(setup.ask("eth_getBalance", json!(["0xaa", "latest"])).await["result"], "0x2");
}

#[tokio::test]
async fn logs_are_complete_across_caps_of_the_provider() {
    let chain = FakeChain::new();
    (0..50).for_each(|n| drop(chain.mine(n % 5)));
    let state = chain.clone();
    let asked = Arc::new(Mutex::new(0usize));
    let counter = asked.clone();
    let script = Script::new(move |method, params| {
        if method == "eth_getLogs" && params[0]["blockHash"].is_null() {
            *counter.lock().expect("no panic") += 1;
            let number = |key: &str| {
                let text = params[0][key].as_str().expect("resolved");
                u64::from_str_radix(&text[2..], 16).expect("hex")
            };
            let (from, to) = (number("fromBlock"), number("toBlock"));
            if to - from + 1 > 20 {
                return Err(
                    r#"{"code":-32602,"message":"query exceeds max block range 20"}"#.into()
                );
            }
            let count: usize =
                state.canonical()[from as usize..=to as usize].iter().map(|b| b.logs).sum();
            if count > 10 && to > from {
                return Err(
                    r#"{"code":-32005,"message":"query returned more than 10 results"}"#.into()
                );
            }
        }
        state.answer(method, params)
    });
    let node = FakeNode::start(script).await;
    let config = chain_of(1, vec![node.http_url()]);
    let proxy = Arc::new(Proxy::new(Pool::new(&config), Policy::default(), Limits::default()));
    let setup = Setup { chain, node, proxy };
    let filter = json!([{"fromBlock": "earliest", "toBlock": "latest"}]);
    let answer = setup.ask("eth_getLogs", filter.clone()).await;
    let truth = setup.chain.answer("eth_getLogs", &json!([{"fromBlock": "0x0"}])).expect("logs");
    assert_eq!(answer["result"], serde_json::from_str::<Value>(&truth).expect("JSON"));
    let calls = *asked.lock().expect("no panic");
    assert_eq!(setup.ask("eth_getLogs", filter).await, answer);
    assert_eq!(*asked.lock().expect("no panic"), calls, "kept");
}

#[tokio::test]
async fn tags_of_a_batch_mean_one_block() {
    let setup = setup(true).await;
    setup.mine(0).await;
    let one = |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "eth_getBalance", "params": [format!("{id:#x}"), "latest"]});
    let body = json!((0..40).map(one).collect::<Vec<_>>()).to_string();
    let mining = async {
        for _ in 0..5 {
            tokio::task::yield_now().await;
            setup.node.push("newHeads", &setup.chain.mine(0));
        }
    };
    let body = Bytes::from(body);
    let (reply, ()) = tokio::join!(setup.proxy.answer(&body), mining);
    let answers: Vec<Value> =
        serde_json::from_slice(&reply.expect("a reply").into_bytes()).expect("JSON");
    assert!(answers.iter().all(|a| a["result"] == answers[0]["result"]), "{answers:?}");
}

#[tokio::test]
async fn filters_are_ours_and_survive_the_node() {
    let setup = setup(true).await;
    setup.mine(0).await;
    let blocks = setup.ask("eth_newBlockFilter", json!([])).await["result"].clone();
    let address = format!("0x{:040x}", 1);
    let logs = setup.ask("eth_newFilter", json!([{"address": address}])).await["result"].clone();
    setup.mine(4).await;
    let hashes = setup.ask("eth_getFilterChanges", json!([blocks])).await;
    let tip = setup.chain.canonical().last().expect("a block").hash.clone();
    assert_eq!(hashes["result"], json!([tip]));
    setup.node.drop_connections();
    setup.mine(2).await;
    let mut seen = Vec::new();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while seen.len() < 3 {
        assert!(tokio::time::Instant::now() < deadline, "{seen:?}");
        let changes = setup.ask("eth_getFilterChanges", json!([logs])).await;
        let changes = changes["result"].as_array().unwrap_or_else(|| panic!("{changes}")).clone();
        seen.extend(changes.iter().map(|l| (l["blockNumber"].clone(), l["logIndex"].clone())));
    }
    let expected: Vec<(Value, Value)> = [("0x2", "0x0"), ("0x2", "0x2"), ("0x3", "0x0")]
        .iter()
        .map(|(b, i)| (json!(b), json!(i)))
        .collect();
    assert_eq!(seen, expected);
    assert_eq!(setup.ask("eth_uninstallFilter", json!([logs])).await["result"], true);
    assert_eq!(setup.ask("eth_uninstallFilter", json!([logs])).await["result"], false);
    let gone = setup.ask("eth_getFilterChanges", json!([logs])).await;
    assert_eq!(gone["error"]["message"], "filter not found");
}

/// A block or transaction cannot be asked for in pieces, so one provider's "too large" is no answer.
#[tokio::test]
async fn what_one_provider_finds_too_large_is_asked_of_the_others() {
    let hash = format!("0x{}", "ab".repeat(32));
    for order in [[true, false], [false, true]] {
        let chain = FakeChain::new();
        let mut nodes = Vec::new();
        for too_large in order {
            let state = chain.clone();
            let script = Script::new(move |method, params| match method {
                "eth_getTransactionByHash" if too_large => {
                    Err(r#"{"code":-32008,"message":"Response is too big"}"#.into())
                }
                "eth_getTransactionByHash" => Ok("null".into()),
                _ => state.answer(method, params),
            });
            nodes.push(FakeNode::start(script).await);
        }
        let config = chain_of(1, nodes.iter().map(FakeNode::http_url).collect());
        let proxy = Arc::new(Proxy::new(Pool::new(&config), Policy::default(), Limits::default()));
        for id in 0..10 {
            let call = json!({
                "jsonrpc": "2.0", "id": id, "method": "eth_getTransactionByHash", "params": [hash],
            });
            let reply = proxy.answer(&Bytes::from(call.to_string())).await.expect("a reply");
            let answer: Value = serde_json::from_slice(&reply.into_bytes()).expect("JSON");
            assert!(answer["result"].is_null() && answer["error"].is_null(), "{order:?}: {answer}");
        }
    }
}
