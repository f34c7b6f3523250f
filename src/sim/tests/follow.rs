//! Subscriptions: a client that applies what it hears ends where the truth is.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::*;
use crate::types::chain::BlockRange;

pub(super) type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(super) async fn connect(address: SocketAddr) -> Client {
    connect_async(format!("ws://{address}/")).await.expect("a WebSocket").0
}

pub(super) async fn send(client: &mut Client, method: &str, params: Value) {
    let text = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).to_string();
    client.send(Message::text(text)).await.expect("sent");
}

/// The next message, if one comes.
pub(super) async fn next(client: &mut Client) -> Option<Value> {
    let message = in_time(client.next()).await??.ok()?;
    serde_json::from_str(message.to_text().ok()?).ok()
}

#[tokio::test]
async fn heads_link_up_and_logs_with_removals_end_at_the_truth() {
    let sim = start(small()).await;
    let mut client = connect(sim.providers[0]).await;
    send(&mut client, "eth_subscribe", json!(["newHeads"])).await;
    let heads = next(&mut client).await.expect("an answer")["result"].clone();
    send(&mut client, "eth_subscribe", json!(["logs", {}])).await;
    let logs = next(&mut client).await.expect("an answer")["result"].clone();
    assert_ne!(heads, logs);
    for step in [(2, 1, 2), (1, 4, 4), (3, 2, 1), (0, 7, 9)] {
        sim.mine(step.0).expect("mines");
        tokio::time::sleep(Duration::from_millis(20)).await;
        sim.fork(step.1, step.2).expect("forks");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut held = BTreeMap::<(u64, u64), Value>::new();
    let mut shown = BTreeMap::<B256, Value>::new();
    let mut removed = 0;
    while let Some(message) = next(&mut client).await {
        let (id, item) = (&message["params"]["subscription"], &message["params"]["result"]);
        if *id == heads {
            shown.insert(
                item["hash"].as_str().and_then(|h| h.parse().ok()).expect("hash"),
                item.clone(),
            );
            continue;
        }
        let key = (number(&item["blockNumber"]), number(&item["logIndex"]));
        if item["removed"] == json!(true) {
            removed += 1;
            if let Some(old) = held.remove(&key) {
                assert_eq!(old["blockHash"], item["blockHash"], "another log was removed");
            }
        } else {
            assert!(held.insert(key, item.clone()).is_none(), "{key:?} twice");
        }
    }
    assert!(removed > 20);
    let head = sim.truth().head().number;
    let from = held.keys().next().expect("logs").0;
    let right = sim.truth().logs(BlockRange { from, to: head }).expect("small");
    let right: Vec<_> = right
        .iter()
        .map(|log| (log.head.block_number, u64::from(log.head.log_index), log.head.block_hash))
        .collect();
    let ours: Vec<_> = held
        .iter()
        .map(|((block, index), log)| {
            (*block, *index, log["blockHash"].as_str().and_then(|h| h.parse().ok()).expect("hash"))
        })
        .collect();
    assert_eq!(ours, right);
    for number in from..=head {
        assert!(shown.contains_key(&sim.truth().hash(number).expect("a block")), "head {number}");
    }
}

#[tokio::test]
async fn subscriptions_end_and_unknown_ones_are_refused() {
    let sim = start(small()).await;
    let mut client = connect(sim.providers[0]).await;
    send(&mut client, "eth_subscribe", json!(["newHeads"])).await;
    let id = next(&mut client).await.expect("an answer")["result"].clone();
    send(&mut client, "eth_unsubscribe", json!([id])).await;
    assert_eq!(next(&mut client).await.expect("an answer")["result"], json!(true));
    send(&mut client, "eth_unsubscribe", json!([id])).await;
    assert_eq!(next(&mut client).await.expect("an answer")["result"], json!(false));
    sim.mine(1).expect("mines");
    send(&mut client, "eth_subscribe", json!(["nothing"])).await;
    assert_eq!(next(&mut client).await.expect("an answer")["error"]["code"], -32602);
    send(&mut client, "eth_blockNumber", json!([])).await;
    assert_eq!(next(&mut client).await.expect("an answer")["result"], "0x19");
    assert_eq!(next(&mut client).await, None);
}

#[tokio::test]
async fn a_lagging_provider_shows_each_block_later() {
    let sim = start(one_provider(ProviderSettings { lag_blocks: 3, ..Default::default() })).await;
    let node = sim.providers[0];
    let mut client = connect(node).await;
    send(&mut client, "eth_subscribe", json!(["newHeads"])).await;
    next(&mut client).await.expect("an answer");
    sim.mine(2).expect("mines");
    let heads = [next(&mut client).await, next(&mut client).await];
    let heights: Vec<_> = heads
        .iter()
        .map(|head| number(&head.as_ref().expect("a head")["params"]["result"]["number"]))
        .collect();
    assert_eq!(heights, [22, 23]);
    assert_eq!(call(node, "eth_blockNumber", json!([])).await, "0x17");
    assert_eq!(call(node, "eth_getBlockByNumber", json!(["0x18", false])).await, Value::Null);
}

#[tokio::test]
async fn a_killed_provider_takes_its_sockets_with_it() {
    let sim = start(small()).await;
    let mut client = connect(sim.providers[0]).await;
    send(&mut client, "eth_subscribe", json!(["newHeads"])).await;
    next(&mut client).await.expect("an answer");
    sim.kill(0);
    let ended = in_time(client.next()).await.expect("in time");
    assert!(matches!(ended, None | Some(Err(_))), "{ended:?}");
    sim.restore(0).await.expect("restored");
    let mut client = connect(sim.providers[0]).await;
    send(&mut client, "eth_chainId", json!([])).await;
    assert_eq!(next(&mut client).await.expect("an answer")["result"], "0x7a69");
}
