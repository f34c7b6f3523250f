//! Recorded blocks of real chains through the whole daemon: hashes, blooms and roots recomputed where
//! the chain keeps Ethereum's rules, and no dead end where it does not.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::hub::Setup;
use crate::support::replay::Replay;
use crate::support::{root, skip};

const TRANSFER: &str = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

/// A recorded block, or a counted skip where the recordings are not beside the repository.
fn recorded(name: &str) -> Option<(Value, Value)> {
    let folder: PathBuf = root().join("../shared/data/chains").join(name);
    let read = |file: &str| -> Option<Value> {
        let text = std::fs::read_to_string(folder.join(file)).ok()?;
        Some(serde_json::from_str(&text).expect("recorded JSON"))
    };
    let both = read("block.json").zip(read("receipts.json"));
    if both.is_none() {
        skip("real blocks", &format!("no recording of {name} beside the repository"));
    }
    both
}

fn number(value: &Value) -> u64 {
    crate::support::anvil::number(value)
}

/// Indexes the one recorded block and returns the report and the hub's setup.
fn index(chain_id: u64, block: &Value, receipts: &Value) -> (Value, Setup) {
    let replay = Replay::start(chain_id, block.clone(), receipts.clone());
    let height = number(&block["number"]);
    let setup = Setup::on_port(chain_id, replay.port, height, "");
    let report = setup.backfill(chain_id, height);
    (report, setup)
}

fn logs(receipts: &Value) -> Vec<Value> {
    let receipts = receipts.as_array().expect("receipts");
    receipts.iter().flat_map(|receipt| receipt["logs"].as_array().expect("logs").clone()).collect()
}

fn transfers(receipts: &Value) -> usize {
    logs(receipts).iter().filter(|log| log["topics"][0] == TRANSFER).count()
}

/// Transfers that the hub lists for the block.
fn listed_transfers(setup: &Setup, chain_id: u64) -> Vec<Value> {
    let hub = setup.run();
    let mut items = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/events?chain_id={chain_id}&event=Transfer&limit=100{cursor}");
        let page = hub.json(&path);
        items.extend(page["items"].as_array().expect("items").clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

#[test]
fn ethereum_18000000_is_proven_and_every_transfer_is_decoded() {
    let Some((block, receipts)) = recorded("ethereum/18000000") else { return };
    let (report, setup) = index(1, &block, &receipts);
    assert_eq!(report["verified_through"].as_u64(), Some(18_000_000), "{report}");
    let listed = listed_transfers(&setup, 1);
    assert_eq!(listed.len(), transfers(&receipts));
    for event in &listed {
        let args = event["args"].as_object().expect("args");
        assert!(args.contains_key("from") && args.contains_key("to"), "{event}");
        assert!(args.contains_key("value") || args.contains_key("tokenId"), "{event}");
        let log = logs(&receipts)
            .into_iter()
            .find(|log| number(&log["logIndex"]) == event["log_index"].as_u64().expect("index"))
            .expect("the log");
        let word = log["topics"][1].as_str().expect("topic");
        let from = args["from"].as_str().expect("from").to_lowercase();
        assert_eq!(from.trim_start_matches("0x"), &word[26..], "{event}");
    }
}

#[test]
fn ethereum_1000000_has_receipts_of_before_byzantium_and_is_proven() {
    let Some((block, receipts)) = recorded("ethereum/1000000") else { return };
    assert!(receipts[0]["root"].is_string(), "a state root in place of a status");
    let (report, _) = index(1, &block, &receipts);
    assert_eq!(report["verified_through"].as_u64(), Some(1_000_000), "{report}");
}

#[test]
fn a_receipt_changed_by_one_bit_is_not_proven() {
    let Some((block, mut receipts)) = recorded("ethereum/18000000") else { return };
    receipts[5]["cumulativeGasUsed"] = Value::from("0x1");
    let (report, _) = index(1, &block, &receipts);
    assert_eq!(report["verified_through"], Value::Null, "{report}");
}

#[test]
fn cronos_whose_roots_are_not_of_its_receipts_is_indexed_and_marked_unverified() {
    let Some((block, receipts)) = recorded("cronos/11446765") else { return };
    let (report, setup) = index(25, &block, &receipts);
    assert_eq!(report["verified_through"], Value::Null, "{report}");
    assert_eq!(report["blocks"].as_u64(), Some(1), "{report}");
    assert_eq!(listed_transfers(&setup, 25).len(), transfers(&receipts));
}

#[test]
fn hyperliquid_is_indexed_and_its_bloom_proves_nothing() {
    let Some((block, receipts)) = recorded("hyperliquid/50000") else { return };
    let (report, _) = index(999, &block, &receipts);
    assert_eq!(report["blocks"].as_u64(), Some(1), "{report}");
    // System transactions log past the bloom: only the receipts could prove that nothing is missing.
    assert!(report["rpc_calls"]["eth_getBlockReceipts"].as_u64() > Some(0), "{report}");
}
