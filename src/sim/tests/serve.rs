//! The methods over HTTP: ids, batches, filters, calls, and the control port.

use alloy_consensus::{SignableTransaction, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Signature, U256, hex};

use super::*;
use crate::types::chain::BlockRange;

#[tokio::test]
async fn ids_come_back_byte_for_byte_and_batches_keep_their_order() {
    let sim = start(small()).await;
    let node = sim.providers[0];
    for id in ["1", "\"a\\u0062\"", "-7", "18446744073709551616", "1.50", "null"] {
        let body = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"eth_chainId\"}}");
        let exchange = post(node, "/", &body).await.expect("an answer");
        let start = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},");
        assert!(exchange.body.starts_with(&start) || id == "null", "{}", exchange.body);
    }
    let cases = [
        ("[]", json!(-32600)),
        ("{", json!(-32700)),
        ("[1", json!(-32700)),
        ("{\"id\":1}", json!(-32600)),
    ];
    for (body, code) in cases {
        let exchange = post(node, "/", body).await.expect("an answer");
        let answer: Value = serde_json::from_str(&exchange.body).expect("JSON");
        assert_eq!(answer["error"]["code"], code, "{body}");
    }
    let batch = json!([
        {"id": 1, "method": "eth_blockNumber", "params": []},
        {"method": "eth_blockNumber"},
        5,
        {"id": "x", "method": "eth_nothing"},
    ]);
    let exchange = post(node, "/", &batch.to_string()).await.expect("an answer");
    let answers: Vec<Value> = serde_json::from_str(&exchange.body).expect("an array");
    assert_eq!(answers.len(), 3, "{answers:?}");
    assert_eq!(answers[0]["result"], "0x18");
    assert_eq!(answers[1]["error"]["code"], -32600);
    assert_eq!(answers[2]["error"]["code"], -32601);
}

#[tokio::test]
async fn filters_and_ranges_give_exactly_the_matching_logs() {
    let sim = start(Settings { blocks: 300, ..small() }).await;
    let node = sim.providers[0];
    let tokens = sim.truth().tokens();
    let transfer = alloy_primitives::keccak256("Transfer(address,address,uint256)");
    let holder = sim.truth().holders()[3];
    let filter = json!({
        "fromBlock": "0x2", "toBlock": "latest", "address": [tokens[1], tokens[4]],
        "topics": [transfer, null, [holder.into_word()]],
    });
    let logs = call(node, "eth_getLogs", json!([filter])).await;
    let seen: Vec<(u64, u64)> = logs
        .as_array()
        .expect("logs")
        .iter()
        .map(|log| (number(&log["blockNumber"]), number(&log["logIndex"])))
        .collect();
    let all = sim.truth().logs(BlockRange { from: 2, to: 300 }).expect("small");
    let right: Vec<(u64, u64)> = all
        .iter()
        .filter(|log| {
            [tokens[1], tokens[4]].contains(&log.head.address)
                && log.topic0() == Some(&transfer)
                && log.topics().get(2) == Some(&holder.into_word())
        })
        .map(|log| (log.head.block_number, log.head.log_index.into()))
        .collect();
    assert_eq!(seen, right);
    assert!(right.len() > 3, "{} matches", right.len());
    // Large enough to be streamed in pieces.
    let everything =
        call(node, "eth_getLogs", json!([{"fromBlock": "0x0", "toBlock": "0x12c"}])).await;
    assert_eq!(everything.as_array().map(Vec::len), Some(299 * 10 + 11 * 5));
    let open_ended = call(node, "eth_getLogs", json!([{"fromBlock": "0x0"}])).await;
    assert_eq!(open_ended, everything, "without toBlock the range ends at the head");
    let head = call(node, "eth_getLogs", json!([{}])).await;
    assert_eq!(head.as_array().map(Vec::len), Some(10), "without bounds it is the head alone");
    for (params, code) in [
        (json!([{"fromBlock": "0x5", "toBlock": "0x4"}]), -32602),
        (json!([{"blockHash": transfer}]), -32000),
        (json!([{"blockHash": transfer, "fromBlock": "0x1"}]), -32602),
        (json!([]), -32602),
    ] {
        let answer = ask(node, "eth_getLogs", params).await;
        assert_eq!(answer["error"]["code"], code, "{answer}");
    }
    let beyond = call(node, "eth_getLogs", json!([{"fromBlock": "0xffff", "toBlock": "0xfffff"}]));
    assert_eq!(beyond.await, json!([]));
}

#[tokio::test]
async fn calls_answer_what_the_logs_add_up_to_at_any_block_and_on_orphans() {
    let sim = start(Settings { blocks: 400, ..small() }).await;
    let node = sim.providers[0];
    let (token, holder) = (sim.truth().tokens()[9], sim.truth().holders()[0]);
    let balance_data = format!("0x70a08231{}", hex::encode(holder.into_word()));
    let right = |sim: &Sim, block: u64| {
        let tokens = sim.truth().holdings(block).expect("a block");
        let held = tokens[9].balances.iter().find(|(who, _)| *who == holder);
        held.map_or(U256::ZERO, |(_, value)| *value)
    };
    let balance = |at: Value| {
        let data = balance_data.clone();
        async move {
            let word = call(node, "eth_call", json!([{"to": token, "data": data}, at])).await;
            word.as_str().and_then(|word| word.parse::<U256>().ok()).expect("a word")
        }
    };
    for block in [0u64, 1, 40, 100, 399, 400] {
        let at = json!(format!("{block:#x}"));
        assert_eq!(balance(at).await, right(&sim, block), "at {block}");
    }
    assert!(right(&sim, 400) > U256::from(u128::MAX), "token 9 counts past 128 bits");
    let (orphan, before) = (sim.head_hash(), right(&sim, 400));
    sim.fork(3, 4).expect("forks");
    assert_eq!(balance(json!({ "blockHash": orphan })).await, before);
    assert_eq!(balance(json!("latest")).await, right(&sim, 401));
    let supply = call(node, "eth_call", json!([{"to": token, "data": "0x18160ddd"}, "latest"]));
    let supply: U256 = supply.await.as_str().and_then(|w| w.parse().ok()).expect("a word");
    assert_eq!(supply, sim.truth().holdings(401).expect("a block")[9].supply);
    let reverted = ask(node, "eth_call", json!([{"to": token, "data": "0xdeadbeef"}])).await;
    assert_eq!(
        reverted["error"],
        json!({"code": 3, "message": "execution reverted", "data": "0x"})
    );
    let symbol = call(node, "eth_call", json!([{"to": token, "input": "0x95d89b41"}])).await;
    assert!(symbol.as_str().is_some_and(|text| text.contains(&hex::encode("SIM9"))));
}

#[tokio::test]
async fn a_sent_transaction_is_mined_and_survives_a_fork() {
    let sim = start(small()).await;
    let node = sim.providers[0];
    let tx = TxLegacy { chain_id: Some(31_337), gas_limit: 21_000, ..Default::default() };
    let signed = tx.into_signed(Signature::new(U256::from(5), U256::from(6), false));
    let raw = format!("0x{}", hex::encode(TxEnvelope::Legacy(signed.clone()).encoded_2718()));
    let hash = call(node, "eth_sendRawTransaction", json!([raw])).await;
    assert_eq!(hash, json!(signed.hash()));
    let again = ask(node, "eth_sendRawTransaction", json!([raw])).await;
    assert_eq!(again["error"]["message"], "already known");
    assert_eq!(call(node, "eth_getTransactionReceipt", json!([hash])).await, Value::Null);
    let waiting = call(node, "eth_getTransactionByHash", json!([hash])).await;
    assert_eq!(waiting["blockNumber"], Value::Null);
    sim.mine(1).expect("mines");
    let receipt = call(node, "eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!((&receipt["blockNumber"], &receipt["status"]), (&json!("0x19"), &json!("0x1")));
    sim.fork(3, 5).expect("forks");
    let moved = call(node, "eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!(moved["blockNumber"], "0x1b");
    let bad = ask(node, "eth_sendRawTransaction", json!(["0x1234"])).await;
    assert_eq!(bad["error"]["code"], -32000);
}

#[tokio::test]
async fn the_control_port_mines_forks_kills_and_tells_the_truth() {
    let sim = start(Settings { providers: vec![ProviderSettings::default(); 2], ..small() }).await;
    let control = sim.control;
    let order = |path: &'static str, body: Value| async move {
        let exchange = post(control, path, &body.to_string()).await.expect("an answer");
        (exchange.status, serde_json::from_str::<Value>(&exchange.body).expect("JSON"))
    };
    assert_eq!(order("/sim/mine", json!({"blocks": 6})).await.1, json!({"head": 30}));
    let (status, fork) = order("/sim/fork", json!({"depth": 2, "length": 3})).await;
    assert_eq!((status, &fork["head"], &fork["base"]), (200, &json!(31), &json!(28)));
    assert_eq!(order("/sim/fork", json!({"depth": 0})).await.0, 409);
    assert_eq!(order("/sim/none", json!({})).await.0, 404);
    assert_eq!(order("/sim/faults", json!({"faults": ["hung"]})).await.0, 400);
    assert_eq!(order("/sim/kill", json!({"provider": 0})).await.0, 200);
    assert!(TcpStream::connect(sim.providers[0]).await.is_err(), "the port is closed");
    assert_eq!(call(sim.providers[1], "eth_blockNumber", json!([])).await, "0x1f");
    assert_eq!(order("/sim/restore", json!({"provider": 0})).await.0, 200);
    assert_eq!(call(sim.providers[0], "eth_blockNumber", json!([])).await, "0x1f");
    let head = order("/truth/head", json!({})).await.1;
    assert_eq!(head["hash"], json!(sim.head_hash()));
    let retracted = order("/truth/retracted", json!({})).await.1;
    assert_eq!(retracted["orphaned_blocks"], 2);
    assert_eq!(retracted["logs"].as_array().map(Vec::len), Some(20));
    let counts = order("/truth/counts", json!({"from": 2, "to": 3})).await.1;
    assert_eq!(
        counts.as_object().expect("counts").values().filter_map(Value::as_u64).sum::<u64>(),
        20
    );
    let logs = order("/truth/logs", json!({"from": 2, "to": 3})).await.1;
    assert_eq!(logs.as_array().map(Vec::len), Some(20));
}
