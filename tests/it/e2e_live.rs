//! The head: events seen live over SSE, retractions on a reorg, resume without loss or repetition.

use std::collections::BTreeSet;

use serde_json::json;

use crate::e2e_backfill::contracts;
use crate::support::anvil::Anvil;
use crate::support::http::{self, EventStream};
use crate::support::hub::Setup;
use crate::support::tokens::{Tokens, transfers};

#[test]
fn a_stream_sees_new_events_retractions_and_resumes_from_its_cursor() {
    let Some(node) = Anvil::start(&["--slots-in-an-epoch", "8"]) else { return };
    let Some(tokens) = Tokens::deploy(&node) else { return };
    let setup = Setup::new(&node, &contracts(&node, &tokens));
    let hub = setup.run();
    hub.wait_for_block(&node, node.head());

    let mut stream = EventStream::open(hub.port, "/api/v1/events/stream", None);
    transfers(&node, &tokens.coin, 3);
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let event = stream.next().expect("an event in time");
        if event.event == "observed" {
            assert_eq!(event.data["event"], "Transfer", "{event:?}");
            seen.push(event);
        }
    }
    let middle = seen[1].id.clone();

    // The block of the three transfers goes away; what was observed is taken back, newest first.
    node.call("anvil_reorg", json!([1, []]));
    node.mine(1);
    let mut retracted = Vec::new();
    while retracted.len() < 3 {
        let event = stream.next().expect("a retraction in time");
        if event.event == "retracted" {
            retracted.push(event.data["id"].clone());
        }
    }
    let newest_first: Vec<_> = seen.iter().rev().map(|event| event.data["id"].clone()).collect();
    assert_eq!(retracted, newest_first);

    // A reader that had seen two of the three goes on exactly there: the third, then all taken back.
    let mut resumed = EventStream::open(hub.port, "/api/v1/events/stream", Some(&middle));
    let mut replayed = Vec::new();
    while replayed.len() < 4 {
        let event = resumed.next().expect("a replay in time");
        if event.event != "finalized" {
            replayed.push((event.event, event.data["id"].clone()));
        }
    }
    let mut expected = vec![("observed".to_owned(), newest_first[0].clone())];
    expected.extend(newest_first.into_iter().map(|id| ("retracted".to_owned(), id)));
    assert_eq!(replayed, expected);
}

#[test]
fn the_api_answers_what_its_users_ask_first() {
    let Some(node) = Anvil::start(&["--slots-in-an-epoch", "8"]) else { return };
    let Some(tokens) = Tokens::deploy(&node) else { return };
    tokens.traffic(&node, 31, 60);
    let setup = Setup::new(&node, "");
    let hub = setup.run();
    hub.wait_for_block(&node, node.head());
    let chain = node.chain_id;

    let status = hub.json("/api/v1/status");
    assert!(status.to_string().contains(&format!("\"chain_id\":{chain}")), "{status}");
    let chain_status = hub.json(&format!("/api/v1/chains/{chain}"));
    assert_eq!(chain_status["verified_through"].as_u64(), Some(node.head()), "{chain_status}");

    let found: BTreeSet<String> = hub.json("/api/v1/tokens")["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|token| token["address"].as_str().expect("address").to_lowercase())
        .collect();
    let expected = BTreeSet::from([tokens.coin.to_lowercase(), tokens.security.to_lowercase()]);
    assert_eq!(found, expected, "discovered without an address list");

    let holder = &node.accounts[2];
    let page = hub.json(&format!("/api/v1/events?chain_id={chain}&address={holder}&limit=5"));
    let items = page["items"].as_array().expect("items");
    assert_eq!(items.len(), 5);
    for item in items {
        assert!(item.to_string().to_lowercase().contains(&holder[2..].to_lowercase()), "{item}");
        let log = node.call("eth_getTransactionReceipt", json!([item["tx_hash"]]));
        assert_eq!(log["blockHash"], item["block_hash"], "{item}");
    }
    let hash = items[0]["tx_hash"].as_str().expect("hash");
    let transaction = hub.json(&format!("/api/v1/transactions/{hash}"));
    assert!(transaction.to_string().contains(hash), "{transaction}");
    let holdings = hub.json(&format!("/api/v1/holders/{holder}"));
    assert!(!holdings["items"].as_array().expect("items").is_empty(), "{holdings}");

    let refused = http::get(hub.port, "/api/v1/events?chain=1&limit=none");
    assert_eq!(refused.status, 400, "{}", refused.body);
    let kind = refused.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("application/problem+json"), "{kind}");
    assert!(refused.body.contains("chain") && refused.body.contains("limit"), "{}", refused.body);
    assert_eq!(http::get(hub.port, "/livez").status, 200);
    assert_eq!(http::get(hub.port, "/readyz").status, 200);
    let metrics = http::get(setup.metrics_port, "/metrics");
    assert!(metrics.body.contains("rwahub_"), "{}", metrics.body);
}
