//! Every fault does what its name says, and nothing lies without one.

use std::collections::BTreeSet;

use super::super::{Caps, Fault, FaultRule, Vendor};
use super::follow::{connect, next, send};
use super::*;

/// What a client sees of a fault on `eth_getBlockByNumber(latest)`.
fn strikes_reads(fault: Fault, seen: &std::io::Result<Exchange>) -> bool {
    let Ok(seen) = seen else {
        return matches!(fault, Fault::Refuse | Fault::Reset | Fault::ResetMidBody);
    };
    let json: Option<Value> = serde_json::from_str(&seen.body).ok();
    let field = |name: &str| json.as_ref().map_or(Value::Null, |json| json[name].clone());
    let code = field("error")["code"].as_i64();
    match fault {
        Fault::Refuse | Fault::Reset => seen.status == 0,
        Fault::ResetMidBody => json.is_none(),
        Fault::Status429 => seen.status == 429 && !seen.head.contains("retry-after"),
        Fault::Status429RetryAfter => seen.status == 429 && seen.head.contains("retry-after: 1"),
        Fault::Status402 => seen.status == 402,
        Fault::Status500 => seen.status == 500,
        Fault::Status502 => seen.status == 502,
        Fault::Status503 => seen.status == 503,
        Fault::Html200 => seen.status == 200 && seen.body.starts_with("<!DOCTYPE"),
        Fault::EmptyBody => seen.status == 200 && seen.body.is_empty(),
        Fault::TruncatedJson => seen.status == 200 && !seen.body.is_empty() && json.is_none(),
        Fault::RateLimitError => code == Some(-32005),
        Fault::InternalErrorRpc => code == Some(-32603),
        Fault::HeaderNotFound => code == Some(-32000),
        Fault::WrongId => field("id") != json!(7),
        Fault::NullResult => json.is_some() && field("result").is_null() && code.is_none(),
        Fault::HeadBack => number(&field("result")["number"]) < 24,
        _ => false,
    }
}

#[tokio::test]
async fn read_faults_show_and_are_counted() {
    let sim = start(small()).await;
    let body = json!({"id": 7, "method": "eth_getBlockByNumber", "params": ["latest", false]});
    let faults = [
        Fault::Refuse,
        Fault::Reset,
        Fault::ResetMidBody,
        Fault::Status429,
        Fault::Status429RetryAfter,
        Fault::Status402,
        Fault::Status500,
        Fault::Status502,
        Fault::Status503,
        Fault::Html200,
        Fault::EmptyBody,
        Fault::TruncatedJson,
        Fault::RateLimitError,
        Fault::InternalErrorRpc,
        Fault::HeaderNotFound,
        Fault::WrongId,
        Fault::NullResult,
        Fault::HeadBack,
    ];
    for fault in faults {
        sim.set_faults(0, vec![FaultRule::new(fault, 1.0)]);
        let seen = post(sim.providers[0], "/", &body.to_string()).await;
        assert!(strikes_reads(fault, &seen), "{}: {seen:?}", fault.name());
    }
    let counted: BTreeSet<Fault> = sim.struck(0).into_iter().map(|(fault, _)| fault).collect();
    assert_eq!(counted, faults.into_iter().collect());
    sim.set_faults(0, Vec::new());
    let seen = post(sim.providers[0], "/", &body.to_string()).await.expect("an answer");
    let answer: Value = serde_json::from_str(&seen.body).expect("JSON");
    assert_eq!(answer["result"]["number"], "0x18");
}

#[tokio::test]
async fn slow_hanging_and_huge_answers() {
    let sim = start(small()).await;
    let node = sim.providers[0];
    let body = json!({"id": 7, "method": "eth_blockNumber"}).to_string();
    for fault in [Fault::Hang, Fault::SlowBody] {
        sim.set_faults(0, vec![FaultRule::new(fault, 1.0)]);
        assert!(in_time(post(node, "/", &body)).await.is_none(), "{}", fault.name());
    }
    sim.set_faults(0, vec![FaultRule::new(Fault::HugeBody, 1.0)]);
    let mut stream = TcpStream::connect(node).await.expect("connects");
    let length = body.len();
    let request = format!("POST / HTTP/1.1\r\nhost: sim\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut buffer = vec![0; 1 << 20];
    let mut read = 0;
    while read < 8 << 20 {
        read += stream.read(&mut buffer).await.expect("more of it");
    }
}

#[tokio::test]
async fn log_faults_lie_about_logs_only() {
    let sim = start(small()).await;
    let node = sim.providers[0];
    let params = json!([{"fromBlock": "0x2", "toBlock": "0x15"}]);
    let honest = call(node, "eth_getLogs", params.clone()).await;
    let honest = honest.as_array().expect("logs").clone();
    let lie = |fault, rate| {
        sim.set_faults(0, vec![FaultRule::new(fault, rate)]);
        let params = params.clone();
        async move { call(node, "eth_getLogs", params).await.as_array().expect("logs").clone() }
    };
    assert_eq!(lie(Fault::EmptyLogs, 1.0).await, Vec::<Value>::new());
    let dropped = lie(Fault::DropLog, 1.0).await;
    assert_eq!(dropped.len(), honest.len() - 1);
    assert!(dropped.iter().all(|log| honest.contains(log)));
    let corrupt = lie(Fault::CorruptLogIndex, 1.0).await;
    assert_eq!(corrupt.iter().zip(&honest).filter(|(a, b)| a != b).count(), 1);
    let omitted = lie(Fault::OmitLogs, 0.2).await;
    assert!((20..180).contains(&(honest.len() - omitted.len())), "{} left", omitted.len());
    assert_eq!(lie(Fault::OmitLogs, 0.2).await, omitted, "the same lie every time");
    let receipts = call(node, "eth_getBlockReceipts", json!(["0x5"])).await;
    let in_receipts: usize = receipts
        .as_array()
        .expect("receipts")
        .iter()
        .map(|receipt| receipt["logs"].as_array().map_or(0, Vec::len))
        .sum();
    assert_eq!(in_receipts, 10, "receipts stay true");
}

#[tokio::test]
async fn batch_faults_change_which_items_come() {
    let sim = start(small()).await;
    let batch: Vec<Value> =
        (0..8).map(|id| json!({"id": id, "method": "eth_chainId", "params": []})).collect();
    let body = json!(batch).to_string();
    let mut ids = Vec::new();
    let faults =
        [Fault::BatchMissing, Fault::BatchDuplicate, Fault::BatchShuffled, Fault::BatchSingleError];
    for fault in faults {
        sim.set_faults(0, vec![FaultRule::new(fault, 1.0)]);
        let seen = post(sim.providers[0], "/", &body).await.expect("an answer");
        let answer: Value = serde_json::from_str(&seen.body).expect("JSON");
        let found = answer.as_array().map_or(Vec::new(), |items| {
            items.iter().filter_map(|item| item["id"].as_u64()).collect::<Vec<_>>()
        });
        ids.push(found);
    }
    let distinct = |ids: &[u64]| ids.iter().collect::<BTreeSet<_>>().len();
    assert_eq!((ids[0].len(), distinct(&ids[0])), (7, 7));
    assert_eq!((ids[1].len(), distinct(&ids[1])), (9, 8));
    assert_eq!((ids[2].len(), distinct(&ids[2])), (8, 8));
    assert_ne!(ids[2], (0..8).collect::<Vec<_>>());
    assert!(ids[3].is_empty());
}

#[tokio::test]
async fn heads_that_stand_run_ahead_or_stay_on_the_old_branch() {
    let sim = start(small()).await;
    let node = sim.providers[0];
    let height = || async move { number(&call(node, "eth_blockNumber", json!([])).await) };
    sim.set_faults(0, vec![FaultRule::new(Fault::StuckHead, 1.0)]);
    assert_eq!(height().await, 24);
    sim.mine(5).expect("mines");
    assert_eq!(height().await, 24);
    sim.set_faults(0, vec![FaultRule::new(Fault::HeadAhead, 1.0)]);
    assert_eq!(height().await, 29);
    assert_eq!(call(node, "eth_getBlockByNumber", json!(["0x1d", false])).await, Value::Null);
    assert_eq!(call(node, "eth_getLogs", json!([{"fromBlock": "0x1d"}])).await, json!([]));
    sim.set_faults(0, vec![FaultRule::new(Fault::StaleFork, 1.0)]);
    let old = sim.head_hash();
    sim.fork(2, 3).expect("forks");
    let latest = call(node, "eth_getBlockByNumber", json!(["latest", false])).await;
    assert_eq!(latest["hash"], json!(old));
    sim.set_faults(0, vec![FaultRule::new(Fault::WrongChainId, 1.0)]);
    assert_eq!(call(node, "eth_chainId", json!([])).await, "0x7a6a");
    assert_eq!(call(node, "net_version", json!([])).await, "31338");
}

#[tokio::test]
async fn sockets_that_refuse_stay_silent_repeat_skip_or_break() {
    let sim = start(small()).await;
    let node = sim.providers[0];
    sim.set_faults(0, vec![FaultRule::new(Fault::WsRefuse, 1.0)]);
    assert!(tokio_tungstenite::connect_async(format!("ws://{node}/")).await.is_err());
    let mut seen = Vec::new();
    let faults = [Fault::WsSilent, Fault::WsDuplicateHeads, Fault::WsGappedHeads, Fault::WsClose];
    for fault in faults {
        sim.set_faults(0, vec![FaultRule::new(fault, 1.0)]);
        let mut client = connect(node).await;
        send(&mut client, "eth_subscribe", json!(["newHeads"])).await;
        assert!(next(&mut client).await.expect("confirmed")["result"].is_string());
        sim.mine(1).expect("mines");
        let mut heads = 0;
        while next(&mut client).await.is_some() {
            heads += 1;
        }
        send_quietly(&mut client).await;
        seen.push(heads);
    }
    assert_eq!(seen, [0, 2, 0, 0]);
}

/// The socket may be gone.
async fn send_quietly(client: &mut super::follow::Client) {
    use futures_util::SinkExt;
    let _gone = client.close(None).await;
    let _flushed = client.flush().await;
}

#[tokio::test]
async fn caps_refuse_in_the_words_of_each_vendor() {
    for (vendor, name) in Vendor::ALL {
        assert_eq!(Vendor::find(name), Some(vendor));
        let caps = Caps { vendor, blocks_max: Some(10), results_max: Some(45), batch_max: Some(2) };
        let sim = start(one_provider(ProviderSettings { caps, ..Default::default() })).await;
        let node = sim.providers[0];
        let wide = ask(node, "eth_getLogs", json!([{"fromBlock": "0x2", "toBlock": "0xc"}])).await;
        assert!(wide["error"]["code"].is_i64(), "{name}: {wide}");
        let dense = ask(node, "eth_getLogs", json!([{"fromBlock": "0x2", "toBlock": "0xb"}])).await;
        assert!(dense["error"]["code"].is_i64(), "{name}: {dense}");
        let good = call(node, "eth_getLogs", json!([{"fromBlock": "0x2", "toBlock": "0x5"}])).await;
        assert_eq!(good.as_array().map(Vec::len), Some(40), "{name}");
        if vendor == Vendor::Infura {
            assert_eq!(dense["error"]["data"]["to"], "0x5", "the range it names does work");
        }
    }
}
