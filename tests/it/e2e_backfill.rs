//! History: what `backfill` stores is what the node has, to the unit, before and after a reorg.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::anvil::Anvil;
use crate::support::hub::{Hub, Setup};
use crate::support::tokens::Tokens;

/// Enough for the mixed traffic that the first issue asks for.
const TRANSACTIONS: usize = 500;

/// Contracts by address, so that every log of theirs counts, decodable or not.
pub(crate) fn contracts(node: &Anvil, tokens: &Tokens) -> String {
    let list = |addresses: &[&str]| {
        addresses.iter().map(|address| format!("{address:?}")).collect::<Vec<_>>().join(", ")
    };
    format!(
        r#"
[[contract]]
name = "coin"
chain_id = {id}
abi = "erc20"
address = [{coin}]

[[contract]]
name = "suite"
chain_id = {id}
abi = "erc3643"
address = [{suite}]
"#,
        id = node.chain_id,
        coin = list(&[&tokens.coin]),
        suite = list(&[&tokens.security, &tokens.registry, &tokens.compliance]),
    )
}

/// Holders of a token as the hub's API lists them, all pages.
pub(crate) fn holders(hub: &Hub, chain: u64, token: &str) -> BTreeSet<(String, String)> {
    let mut holders = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let page = hub.json(&format!("/api/v1/tokens/{chain}/{token}/holders?limit=4{cursor}"));
        for item in page["items"].as_array().expect("items") {
            let holder = item["holder"].as_str().expect("holder").to_lowercase();
            let balance = item["balance"].as_str().expect("balance").to_owned();
            assert!(holders.insert((holder, balance)), "listed twice: {item}");
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return holders,
        }
    }
}

/// Every event as the hub's API lists them, oldest first: (block hash, log index).
pub(crate) fn events(hub: &Hub, chain: u64) -> Vec<(String, u64)> {
    let mut events = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/events?chain_id={chain}&order=asc&limit=100{cursor}");
        let page = hub.json(&path);
        for item in page["items"].as_array().expect("items") {
            let hash = item["block_hash"].as_str().expect("hash").to_owned();
            events.push((hash, item["log_index"].as_u64().expect("index")));
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return events,
        }
    }
}

/// The same from the node.
pub(crate) fn logs(node: &Anvil, tokens: &Tokens) -> Vec<(String, u64)> {
    node.logs(&tokens.addresses(), 0, node.head())
        .iter()
        .map(|log| {
            let hash = log["blockHash"].as_str().expect("hash").to_owned();
            (hash, crate::support::anvil::number(&log["logIndex"]))
        })
        .collect()
}

/// Events, holders and supplies of the hub against the node's own answers.
pub(crate) fn assert_same_state(hub: &Hub, node: &Anvil, tokens: &Tokens) {
    assert_eq!(events(hub, node.chain_id), logs(node, tokens), "events");
    for token in [&tokens.coin, &tokens.security] {
        let expected = tokens.balances(node, token);
        assert_eq!(holders(hub, node.chain_id, token), expected, "holders of {token}");
        let record = hub.json(&format!("/api/v1/tokens/{}/{token}", node.chain_id));
        assert_eq!(record["holders"].as_u64(), Some(expected.len() as u64), "{record}");
    }
}

fn assert_report(report: &Value, node: &Anvil, tokens: &Tokens) {
    let stored = logs(node, tokens);
    assert_eq!(report["logs"].as_u64(), Some(stored.len() as u64), "{report}");
    let events = report["events"].as_u64().expect("events");
    let undecoded = report["undecoded"].as_u64().expect("undecoded");
    assert_eq!(events + undecoded, stored.len() as u64, "{report}");
    assert_eq!(undecoded, 0, "every event of the set is in the packs: {report}");
    assert_eq!(report["blocks"].as_u64(), Some(node.head() + 1), "{report}");
    assert_eq!(report["to_block"].as_u64(), Some(node.head()), "{report}");
    assert_eq!(report["verified_through"].as_u64(), Some(node.head()), "{report}");
    // Logs come from the receipts that prove them; only what they do not prove is asked for.
    assert!(report["rpc_calls"]["eth_getBlockReceipts"].as_u64() > Some(0), "{report}");
    assert!(report["rpc_calls"]["eth_getLogs"].is_null(), "{report}");
}

#[test]
fn backfill_equals_the_node_before_and_after_a_reorg() {
    let Some(node) = Anvil::start(&["--slots-in-an-epoch", "8"]) else { return };
    let Some(tokens) = Tokens::deploy(&node) else { return };
    tokens.traffic(&node, 7, TRANSACTIONS);
    let setup = Setup::new(&node, &contracts(&node, &tokens));

    let report = setup.backfill(node.chain_id, node.head());
    assert_report(&report, &node, &tokens);
    let hub = setup.run();
    assert_same_state(&hub, &node, &tokens);

    node.call("anvil_reorg", json!([5, []]));
    hub.wait_for_block(&node, node.head());
    assert_same_state(&hub, &node, &tokens);
    tokens.traffic(&node, 8, 20);
    hub.wait_for_block(&node, node.head());
    assert_same_state(&hub, &node, &tokens);
    assert_eq!(hub.stop(), Some(0), "SIGTERM drains");
}

#[test]
fn a_reorg_while_the_hub_is_down_is_found_at_the_next_backfill() {
    let Some(node) = Anvil::start(&["--slots-in-an-epoch", "8"]) else { return };
    let Some(tokens) = Tokens::deploy(&node) else { return };
    tokens.traffic(&node, 9, 60);
    let setup = Setup::new(&node, &contracts(&node, &tokens));
    setup.backfill(node.chain_id, node.head());
    node.call("anvil_reorg", json!([5, []]));
    node.mine(1);
    setup.backfill(node.chain_id, node.head());
    let hub = setup.run();
    assert_same_state(&hub, &node, &tokens);
}

#[test]
fn holders_at_a_past_block_are_what_the_node_said_then() {
    let Some(node) = Anvil::start(&["--slots-in-an-epoch", "8"]) else { return };
    let Some(tokens) = Tokens::deploy(&node) else { return };
    tokens.traffic(&node, 11, 40);
    let past = node.head();
    let then = tokens.balances(&node, &tokens.security);
    tokens.traffic(&node, 12, 40);
    let setup = Setup::new(&node, &contracts(&node, &tokens));
    setup.backfill(node.chain_id, node.head());
    let hub = setup.run();
    let (chain, token) = (node.chain_id, &tokens.security);
    let path = format!("/api/v1/tokens/{chain}/{token}/holders?at_block={past}&limit=100");
    let page = hub.json(&path);
    let listed: BTreeSet<(String, String)> = page["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| {
            let text = |key: &str| item[key].as_str().expect("text").to_lowercase();
            (text("holder"), text("balance"))
        })
        .collect();
    assert_eq!(listed, then);
}
