//! The proxy's rules against a scripted node.

use super::*;
use crate::rpc::fake::{FakeNode, Script, chain};

async fn door() -> (Arc<Proxy>, FakeNode) {
    let node = FakeNode::start(Script::new(|method, params| match method {
        "eth_chainId" => Ok("\"0x1\"".into()),
        "eth_echo" => Ok(params.to_string()),
        "eth_raw" => Ok("{ \"b\":1,\"a\":[ 2.0,\"\\u00e9\" ] }".into()),
        "eth_null" => Ok("null".into()),
        "eth_revert" => {
            Err(r#"{"code":3,"message":"execution reverted: x","data":"0x08c379a0"}"#.into())
        }
        _ => Err(r#"{"code":-32601,"message":"node says no"}"#.into()),
    }))
    .await;
    let pool = Pool::new(&chain(std::slice::from_ref(&node)));
    (Arc::new(Proxy::new(pool, Policy::default(), Limits::default())), node)
}

async fn ask(proxy: &Arc<Proxy>, body: &str) -> String {
    let reply = proxy.answer(&Bytes::copy_from_slice(body.as_bytes())).await;
    reply.map(|r| String::from_utf8(r.into_bytes().to_vec()).expect("text")).unwrap_or_default()
}

fn call(id: &str, method: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":[]}}"#)
}

#[tokio::test]
async fn results_and_errors_pass_untouched() {
    let (proxy, _node) = door().await;
    assert_eq!(
        ask(&proxy, &call("\"a\"", "eth_raw")).await,
        "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{ \"b\":1,\"a\":[ 2.0,\"\\u00e9\" ] }}"
    );
    assert_eq!(
        ask(&proxy, &call("-5", "eth_revert")).await,
        r#"{"jsonrpc":"2.0","id":-5,"error":{"code":3,"message":"execution reverted: x","data":"0x08c379a0"}}"#
    );
    assert_eq!(
        ask(&proxy, &call("null", "eth_null")).await,
        r#"{"jsonrpc":"2.0","id":null,"result":null}"#
    );
    assert_eq!(
        ask(&proxy, &call("7", "eth_unknown")).await,
        r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":"node says no"}}"#
    );
}

#[tokio::test]
async fn a_batch_keeps_order_and_isolates_failures() {
    let (proxy, _node) = door().await;
    let body = format!(
        "[{},1,{},{},{}]",
        call("1", "eth_null"),
        call("1", "eth_revert"),
        r#"{"jsonrpc":"2.0","method":"eth_null"}"#,
        call("18446744073709551615", "admin_peers"),
    );
    let answer: Vec<serde_json::Value> =
        serde_json::from_str(&ask(&proxy, &body).await).expect("array");
    assert_eq!(answer.len(), 4, "the notification gets no answer");
    assert!(answer[0]["result"].is_null() && answer[0]["id"] == 1);
    assert_eq!(
        (answer[1]["error"]["code"].clone(), answer[1]["id"].clone()),
        ((-32600).into(), serde_json::Value::Null)
    );
    assert_eq!(answer[2]["error"]["data"], "0x08c379a0");
    assert_eq!(answer[3]["error"]["code"], -32601);
    assert_eq!(answer[3]["id"], u64::MAX);
}

#[tokio::test]
async fn notifications_say_nothing_and_reach_no_node() {
    let (proxy, node) = door().await;
    let note = r#"{"jsonrpc":"2.0","method":"eth_raw"}"#;
    assert_eq!(ask(&proxy, note).await, "");
    assert_eq!(ask(&proxy, &format!("[{note},{note}]")).await, "");
    assert_eq!(node.calls("eth_raw"), 0);
}

#[tokio::test]
async fn the_chain_id_needs_no_node() {
    let (proxy, node) = door().await;
    assert!(ask(&proxy, &call("1", "eth_chainId")).await.contains("\"result\":\"0x1\""));
    assert!(ask(&proxy, &call("1", "net_version")).await.contains("\"result\":\"1\""));
    assert_eq!((node.calls("eth_chainId"), node.calls("net_version")), (0, 0));
}

#[tokio::test]
async fn denied_methods_reach_no_node() {
    let (proxy, node) = door().await;
    for method in ["debug_traceCall", "anvil_reset", "personal_sign"] {
        assert!(ask(&proxy, &call("1", method)).await.contains("-32601"), "{method}");
        assert_eq!(node.calls(method), 0);
    }
}
