//! The tools people really use, through `/rpc/{chain_id}`: cast, viem, and a bare WebSocket.

use std::process::Command;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::anvil::{Anvil, number};
use crate::support::hub::Setup;
use crate::support::tokens::{Tokens, transfers};
use crate::support::{http, root, skip, tool};

/// Longest wait for one message of a subscription.
const MESSAGE: Duration = Duration::from_secs(10);

#[test]
fn cast_reads_and_sends_through_the_proxy() {
    let Some(node) = Anvil::start(&[]) else { return };
    let Some(tokens) = Tokens::deploy(&node) else { return };
    let Some(cast) = tool("cast") else { return skip("cast", "not installed") };
    let setup = Setup::new(&node, "");
    let hub = setup.run();
    let url = format!("http://127.0.0.1:{}/rpc/{}", hub.port, node.chain_id);
    let run = |args: &[&str]| {
        let output =
            Command::new(&cast).args(args).args(["--rpc-url", &url]).output().expect("cast");
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (output.status.success(), text, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (ok, text, complaint) = run(&["block-number"]);
    assert!(ok, "{complaint}");
    assert_eq!(text, node.head().to_string());
    let (ok, text, complaint) = run(&["chain-id"]);
    assert_eq!((ok, text), (true, node.chain_id.to_string()), "{complaint}");
    let holder = &node.accounts[3];
    let (ok, text, complaint) = run(&["call", &tokens.coin, "balanceOf(address)(uint256)", holder]);
    assert!(ok && text.starts_with("1000000"), "{text} {complaint}");
    let (ok, _, complaint) =
        run(&["call", &tokens.coin, "transfer(address,uint256)", holder, "999999999999"]);
    assert!(!ok && complaint.contains("revert"), "a revert stays a revert: {complaint}");
}

#[test]
fn viem_reads_writes_and_watches_through_the_proxy() {
    let Some(node) = Anvil::start(&[]) else { return };
    let Some(tokens) = Tokens::deploy(&node) else { return };
    node.call("evm_setAutomine", json!([true]));
    let modules = root().join(".toolchain/node_modules");
    if !modules.join("viem").exists() {
        return skip("viem", "not installed; scripts/toolchain installs it");
    }
    let setup = Setup::new(&node, "");
    let hub = setup.run();
    let path = format!("127.0.0.1:{}/rpc/{}", hub.port, node.chain_id);
    // Modules resolve from the script's own folder upwards, so the script runs beside them.
    let script = modules.parent().expect("a folder").join("viem-client-test.mjs");
    std::fs::copy(root().join("tests/it/js/viem.mjs"), &script).expect("copied");
    let output = Command::new("node")
        .arg(&script)
        .args([format!("http://{path}"), format!("ws://{path}")])
        .args([&tokens.coin, &node.accounts[1], &node.accounts[2]])
        .output()
        .expect("node runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "viem failed: {complaint}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(report["chainId"].as_u64(), Some(node.chain_id), "{report}");
    assert_eq!(report["status"], "success", "{report}");
    assert_eq!(report["moved"], "123", "{report}");
    assert!(report["logs"].as_u64() >= Some(10), "{report}");
    assert_ne!(report["reverted"], "no error", "a block that does not exist is an error: {report}");
    assert_eq!(report["sawBlock"], true, "{report}");
    assert_eq!(report["sawTransfer"], true, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_websocket_subscribes_to_heads_and_logs() {
    let Some(node) = Anvil::start(&[]) else { return };
    let Some(tokens) = Tokens::deploy(&node) else { return };
    let setup = Setup::new(&node, "");
    let hub = setup.run();
    let url = format!("ws://127.0.0.1:{}/rpc/{}", hub.port, node.chain_id);
    let (mut socket, _) = tokio_tungstenite::connect_async(&url).await.expect("connects");
    let call = |id: u64, method: &str, params: Value| {
        Message::text(
            json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string(),
        )
    };
    socket.send(call(1, "eth_subscribe", json!(["newHeads"]))).await.expect("sent");
    let heads = next(&mut socket).await;
    assert_eq!(heads["id"], 1, "{heads}");
    socket
        .send(call(2, "eth_subscribe", json!(["logs", {"address": tokens.coin}])))
        .await
        .expect("sent");
    let logs = next(&mut socket).await;
    assert_eq!(logs["id"], 2, "{logs}");
    assert_ne!(heads["result"], logs["result"], "ids of their own");

    tokio::task::block_in_place(|| transfers(&node, &tokens.coin, 3));
    let (mut head, mut indexes) = (None, Vec::new());
    while head.is_none() || indexes.len() < 3 {
        let message = next(&mut socket).await;
        let params = &message["params"];
        assert!(params["cursor"].is_string(), "{message}");
        if params["subscription"] == heads["result"] {
            head = Some(number(&params["result"]["number"]));
        } else {
            assert_eq!(params["subscription"], logs["result"], "{message}");
            indexes.push(number(&params["result"]["logIndex"]));
        }
    }
    assert_eq!(head, Some(tokio::task::block_in_place(|| node.head())));
    assert_eq!(indexes, [0, 1, 2]);

    socket.send(call(3, "eth_unsubscribe", json!([heads["result"]]))).await.expect("sent");
    assert_eq!(next(&mut socket).await["result"], true);
    socket.send(call(4, "eth_unsubscribe", json!(["0xdead"]))).await.expect("sent");
    assert_eq!(next(&mut socket).await["result"], false, "an unknown subscription");
    let batch = json!([
        {"jsonrpc": "2.0", "id": "a", "method": "eth_chainId"},
        {"jsonrpc": "2.0", "id": "b", "method": "eth_blockNumber", "params": []},
    ]);
    socket.send(Message::text(batch.to_string())).await.expect("sent");
    let answers = next(&mut socket).await;
    assert_eq!((answers[0]["id"].as_str(), answers[1]["id"].as_str()), (Some("a"), Some("b")));
}

#[test]
fn json_rpc_over_http_is_exact() {
    let Some(node) = Anvil::start(&[]) else { return };
    let setup = Setup::new(&node, "");
    let hub = setup.run();
    let path = format!("/rpc/{}", node.chain_id);
    let post = |body: &str| {
        http::request(hub.port, "POST", &path, &[("content-type", "application/json")], body)
            .expect("an answer")
    };
    let echoed =
        post(r#"{"jsonrpc":"2.0","id":18446744073709551615,"method":"eth_chainId","params":[]}"#);
    assert!(echoed.body.contains("\"id\":18446744073709551615"), "{}", echoed.body);
    assert_eq!(post("{nonsense").json()["error"]["code"], -32700);
    assert_eq!(post("[]").json()["error"]["code"], -32600);
    let refused = post(r#"{"jsonrpc":"2.0","id":1,"method":"admin_peers","params":[]}"#).json();
    assert_eq!(refused["error"]["code"], -32601, "{refused}");
    let batch = post(
        r#"[{"jsonrpc":"2.0","id":"x","method":"eth_blockNumber"},7,{"jsonrpc":"2.0","method":"eth_chainId"},{"jsonrpc":"2.0","id":null,"method":"eth_chainId"}]"#,
    );
    let items = batch.json();
    assert_eq!(items[0]["id"], "x", "{items}");
    assert_eq!(items[1]["error"]["code"], -32600, "{items}");
    let unknown = http::request(hub.port, "POST", "/rpc/999", &[], "{}").expect("an answer");
    assert_eq!(unknown.status, 404, "{}", unknown.body);
    let direct = node.call("eth_getBlockByNumber", json!(["0x0", true]));
    assert_eq!(http::rpc(hub.port, &path, "eth_getBlockByNumber", json!(["0x0", true])), direct);
}

async fn next<S>(socket: &mut S) -> Value
where
    S: StreamExt<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin,
{
    loop {
        let message =
            tokio::time::timeout(MESSAGE, socket.next()).await.expect("a message in time");
        match message.expect("open").expect("no error") {
            Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("unexpected {other:?}"),
        }
    }
}
