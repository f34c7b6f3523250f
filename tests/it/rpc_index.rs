//! `eth_getLogs` from the daemon's own index: the node's very bytes, without asking the node.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::anvil::Anvil;
use crate::support::http;
use crate::support::hub::{Hub, Setup};
use crate::support::tokens::{Tokens, transfers};

/// Longest wait until the index is proven up to a block.
const PROVEN: Duration = Duration::from_secs(30);
const TRANSFER: &str = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

/// The raw result and what the headers say.
fn ask(hub: &Hub, node: &Anvil, filter: &Value, headers: &[(&str, &str)]) -> (String, String) {
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [filter]});
    let path = format!("/rpc/{}", node.chain_id);
    let answer = http::request(hub.port, "POST", &path, headers, &call.to_string()).expect("sent");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let source = answer.header("x-rwahub-source").unwrap_or_default().to_owned();
    if source == "index" {
        let verified = answer.header("x-rwahub-verified-to").expect("told");
        let to = filter["toBlock"].as_str().expect("a number").trim_start_matches("0x");
        let to = u64::from_str_radix(to, 16).expect("hex");
        assert!(verified.parse::<u64>().expect("a number") >= to, "proven to {verified} for {to}");
    }
    (result(&answer.body), source)
}

fn result(body: &str) -> String {
    let body: std::collections::BTreeMap<String, Box<serde_json::value::RawValue>> =
        serde_json::from_str(body).expect("an answer");
    body.get("result").unwrap_or_else(|| panic!("{body:?}")).get().to_owned()
}

fn truth(node: &Anvil, filter: &Value) -> String {
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [filter]});
    let headers = [("content-type", "application/json")];
    let answer = http::request(node.port, "POST", "/", &headers, &call.to_string());
    result(&answer.expect("sent").body)
}

fn wait_until_proven(hub: &Hub, node: &Anvil, block: u64) {
    hub.wait_for_block(node, block);
    let deadline = Instant::now() + PROVEN;
    loop {
        let chain = hub.json(&format!("/api/v1/chains/{}", node.chain_id));
        if chain["verified_through"].as_u64().is_some_and(|through| through >= block) {
            return;
        }
        assert!(Instant::now() < deadline, "not proven up to {block}: {chain}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn logs_of_indexed_contracts_come_from_the_index_as_the_node_writes_them() {
    let Some(node) = Anvil::start(&[]) else { return };
    let Some(tokens) = Tokens::deploy(&node) else { return };
    tokens.traffic(&node, 11, 60);
    let contract = format!(
        "[[contract]]\nname = \"coin\"\nchain_id = {}\nabi = \"erc20\"\naddress = [\"{}\"]\n\
         [[contract]]\nname = \"transfers\"\nchain_id = {}\nabi = \"erc20\"\naddress = \"any\"\nevents = [\"Transfer\"]\n",
        node.chain_id, tokens.coin, node.chain_id
    );
    let setup = Setup::new(&node, &contract);
    let hub = setup.run();
    wait_until_proven(&hub, &node, node.head());
    let head = format!("{:#x}", node.head());
    let held = [
        json!({"fromBlock": "0x0", "toBlock": head, "address": tokens.coin}),
        json!({"fromBlock": "0x3", "toBlock": "0x9", "address": [tokens.coin]}),
        json!({"fromBlock": "0x0", "toBlock": head, "address": tokens.security, "topics": [TRANSFER]}),
        json!({"fromBlock": "0x0", "toBlock": head, "address": [tokens.coin, tokens.security], "topics": [[TRANSFER]]}),
    ];
    for filter in &held {
        let (ours, source) = ask(&hub, &node, filter, &[]);
        assert_eq!(source, "index", "{filter}");
        assert_eq!(ours, truth(&node, filter), "{filter}");
        assert!(ours.len() > 1_000, "{filter}: {ours}");
    }
    let not_held = [
        // Events of a contract that only its transfers are indexed of.
        json!({"fromBlock": "0x0", "toBlock": head, "address": tokens.security}),
        json!({"fromBlock": "0x0", "toBlock": head, "address": tokens.registry}),
        json!({"fromBlock": "0x0", "toBlock": head, "topics": [TRANSFER]}),
    ];
    for filter in &not_held {
        let (ours, source) = ask(&hub, &node, filter, &[]);
        assert_eq!(source, "upstream", "{filter}");
        assert_eq!(ours, truth(&node, filter), "{filter}");
    }

    // The index follows: new blocks, and a fork of them.
    let fork = node.call("evm_snapshot", json!([]));
    transfers(&node, &tokens.coin, 4);
    let at = node.head();
    wait_until_proven(&hub, &node, at);
    let newest = json!({"fromBlock": format!("{at:#x}"), "toBlock": format!("{at:#x}"), "address": tokens.coin});
    let (before, _) = ask(&hub, &node, &newest, &[]);
    assert_eq!(before, truth(&node, &newest));
    node.call("evm_revert", json!([fork]));
    transfers(&node, &tokens.coin, 2);
    node.mine(1);
    wait_until_proven(&hub, &node, node.head());
    let (after, source) = ask(&hub, &node, &newest, &[("x-rwahub-verify", "all")]);
    assert_eq!(after, truth(&node, &newest), "from {source}");
    assert_ne!(before, after, "the orphaned logs are gone");
}
