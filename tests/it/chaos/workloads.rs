//! What clients do, and what they may get: every answer is held against the witness or the truth.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B256, Bytes, Signature, TxKind, U256, hex, keccak256};
use futures_util::{SinkExt, StreamExt};
use rwahub::types::chain::BlockRange;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use super::world::{CHAIN, Dice, World, hex as number, request};

/// Longest wait for the end of a stream.
const STREAM_MAX: Duration = Duration::from_secs(40);

/// What the clients of a cell do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Workload {
    Reads,
    GetLogs,
    Batches,
    Subscriptions,
    Writes,
    Mixed,
}

impl Workload {
    pub(super) const ALL: [Self; 6] =
        [Self::Reads, Self::GetLogs, Self::Batches, Self::Subscriptions, Self::Writes, Self::Mixed];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::GetLogs => "getlogs",
            Self::Batches => "batches",
            Self::Subscriptions => "subscriptions",
            Self::Writes => "writes",
            Self::Mixed => "mixed",
        }
    }

    /// Does the work; what went wrong is the error.
    pub(super) async fn run(
        self,
        world: &World,
        dice: &mut Dice,
        size: usize,
    ) -> Result<(), String> {
        world.settle(false).await?;
        match self {
            Self::Reads => rounds(world, dice, size, reads).await,
            Self::GetLogs => rounds(world, dice, size, logs).await,
            Self::Batches => {
                for round in 0..3 {
                    step(world, round).await?;
                    for _ in 0..size.div_ceil(4) {
                        let items = (0..6).map(|_| {
                            if dice.below(3) == 0 { logs(world, dice) } else { reads(world, dice) }
                        });
                        let body = items.collect::<Vec<_>>();
                        batch(world, body).await?;
                    }
                }
                Ok(())
            }
            Self::Subscriptions => subscriptions(world, dice, size).await,
            Self::Writes => writes(world, dice, size.div_ceil(2)).await,
            Self::Mixed => {
                let (mut a, mut b, mut c) = (dice.clone(), dice.clone(), dice.clone());
                for round in 0..2 {
                    step(world, round).await?;
                    let one = several(world, &mut a, size, reads);
                    let two = several(world, &mut b, size.div_ceil(2), logs);
                    let body = (0..5).map(|_| reads(world, &mut c)).collect();
                    let (one, two, three) = tokio::join!(one, two, batch(world, body));
                    one.and(two).and(three)?;
                }
                writes(world, dice, 1).await?;
                subscriptions(world, dice, size.div_ceil(2)).await
            }
        }
    }
}

/// The chain moves between the rounds, the last time by a fork, and stands still within one.
async fn step(world: &World, round: usize) -> Result<(), String> {
    match round {
        0 => {}
        1 => drop(world.sim.mine(2)),
        _ => drop(world.sim.fork(2, 3)),
    }
    world.settle(round > 1).await
}

type Draw = fn(&World, &mut Dice) -> (String, Value);

async fn rounds(world: &World, dice: &mut Dice, size: usize, draw: Draw) -> Result<(), String> {
    for round in 0..3 {
        step(world, round).await?;
        several(world, dice, size, draw).await?;
    }
    Ok(())
}

async fn several(world: &World, dice: &mut Dice, size: usize, draw: Draw) -> Result<(), String> {
    let drawn: Vec<_> = (0..size).map(|_| draw(world, dice)).collect();
    let asked = drawn.into_iter().map(|(method, params)| one(world, method, params));
    for outcome in futures_util::stream::iter(asked).buffered(4).collect::<Vec<_>>().await {
        outcome?;
    }
    Ok(())
}

pub(super) async fn one(world: &World, method: String, params: Value) -> Result<(), String> {
    let body = request(7, &method, params);
    let answer = world.ask(&body).await.map_err(|error| format!("{body}: {error}"))?;
    judge(&body, &answer, &world.witness(&body).await)
}

/// Result for result as the witness has it, and an error only where the witness has one.
fn judge(body: &Value, answer: &Value, truth: &Value) -> Result<(), String> {
    let same = answer["id"] == body["id"]
        && answer.get("result") == truth.get("result")
        && answer["error"]["code"] == truth["error"]["code"];
    if same {
        Ok(())
    } else {
        Err(format!("{body}\n  got   {}\n  truth {}", cut(answer), cut(truth)))
    }
}

fn cut(value: &Value) -> String {
    if let Some(logs) = value["result"].as_array().filter(|logs| logs.len() > 1) {
        let places = logs.iter().map(|log| (number(&log["blockNumber"]), number(&log["logIndex"])));
        return format!("{} items {:?}", logs.len(), places.collect::<Vec<_>>());
    }
    value.to_string().chars().take(400).collect()
}

async fn batch(world: &World, items: Vec<(String, Value)>) -> Result<(), String> {
    let items = items.into_iter().enumerate();
    let body: Vec<_> = items.map(|(id, (method, params))| request(id, &method, params)).collect();
    let body = Value::from(body);
    let answer = world.ask(&body).await?;
    let (Some(asked), Some(got)) = (body.as_array(), answer.as_array()) else {
        return Err(format!("a batch got {answer}"));
    };
    if asked.len() != got.len() {
        return Err(format!("{} answers to {} items", got.len(), asked.len()));
    }
    for (asked, got) in asked.iter().zip(got) {
        judge(asked, got, &world.witness(asked).await)?;
    }
    Ok(())
}

fn reads(world: &World, dice: &mut Dice) -> (String, Value) {
    let truth = world.sim.truth();
    let head = truth.head().number;
    let at = if dice.below(2) == 0 { head - dice.below(4) } else { 1 + dice.below(head) };
    let tag = json!(format!("{at:#x}"));
    let hash = truth.hash(at).unwrap_or_default();
    let block = BlockRange { from: at.saturating_sub(1).max(1), to: at };
    let logs = truth.logs(block).unwrap_or_default();
    let tx = logs.get(0).map_or(B256::ZERO, |log| log.head.tx_hash);
    let token = truth.tokens()[dice.below(4) as usize];
    let holder = truth.holders()[dice.below(12) as usize];
    let data = format!("0x70a08231000000000000000000000000{}", hex::encode(holder));
    let call = json!({"to": token, "data": data});
    let (method, params) = match dice.below(11) {
        0 => ("eth_blockNumber", json!([])),
        1 => ("eth_getBlockByNumber", json!(["latest", false])),
        2 => ("eth_getBlockByNumber", json!([tag, dice.below(2) == 0])),
        3 => ("eth_getBlockByHash", json!([hash, false])),
        4 => ("eth_getTransactionByHash", json!([tx])),
        5 => ("eth_getTransactionReceipt", json!([tx])),
        6 => ("eth_getBlockReceipts", json!([tag])),
        7 => ("eth_call", json!([call, "latest"])),
        8 => ("eth_call", json!([call, tag])),
        9 => ("eth_getBlockTransactionCountByNumber", json!([tag])),
        _ => ("eth_getBlockByNumber", json!([format!("{:#x}", head + 5 + dice.below(9)), false])),
    };
    (method.into(), params)
}

pub(super) fn logs(world: &World, dice: &mut Dice) -> (String, Value) {
    let truth = world.sim.truth();
    let head = truth.head();
    let mut filter = json!({});
    match dice.below(5) {
        0 => {
            let at = 1 + dice.below(head.number);
            filter["blockHash"] = json!(truth.hash(at).unwrap_or_default());
        }
        1 => filter["fromBlock"] = json!(format!("{:#x}", head.number - dice.below(6))),
        _ => {
            let from = 1 + dice.below(head.number);
            let to = (from + dice.below(12)).min(head.number);
            filter["fromBlock"] = json!(format!("{from:#x}"));
            filter["toBlock"] = json!(format!("{to:#x}"));
        }
    }
    let tokens = truth.tokens();
    match dice.below(3) {
        0 => filter["address"] = json!(tokens[dice.below(4) as usize]),
        1 => filter["address"] = json!(tokens[..1 + dice.below(4) as usize]),
        _ => {}
    }
    let transfer = keccak256("Transfer(address,address,uint256)");
    match dice.below(4) {
        0 => filter["topics"] = json!([transfer]),
        1 => {
            let holder = truth.holders()[dice.below(12) as usize];
            filter["topics"] = json!([[transfer], null, [holder.into_word()]]);
        }
        _ => {}
    }
    ("eth_getLogs".into(), json!([filter]))
}

/// Transactions are taken once, whatever the providers say, and are in the chain afterwards.
async fn writes(world: &World, dice: &mut Dice, size: usize) -> Result<(), String> {
    let mut sent = Vec::new();
    for _ in 0..size {
        let transaction = TxEip1559 {
            chain_id: CHAIN,
            nonce: dice.below(1 << 40),
            gas_limit: 21_000,
            max_fee_per_gas: 1 << 40,
            max_priority_fee_per_gas: 1,
            to: TxKind::Call(world.sim.truth().holders()[0]),
            value: U256::from(1),
            ..TxEip1559::default()
        };
        let signature = Signature::new(U256::from(1), U256::from(2), false);
        let raw: Bytes = TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into();
        let hash = keccak256(&raw);
        for _ in 0..2 {
            let got = world.call("eth_sendRawTransaction", json!([raw])).await?;
            if got != json!(hash) {
                return Err(format!("sent {hash}, got {got}"));
            }
        }
        sent.push(hash);
    }
    world.sim.mine(1).map_err(|error| error.to_string())?;
    world.settle(false).await?;
    for hash in sent {
        one(world, "eth_getTransactionByHash".into(), json!([hash])).await?;
        let receipt = world.call("eth_getTransactionReceipt", json!([hash])).await?;
        if receipt["transactionHash"] != json!(hash) {
            return Err(format!("the receipt of {hash} is {receipt}"));
        }
    }
    Ok(())
}

/// Heads and logs of a chain that grows and forks: each client holds exactly the chain at the end.
async fn subscriptions(world: &World, dice: &mut Dice, size: usize) -> Result<(), String> {
    let url = format!("ws://{}/rpc/{CHAIN}", world.proxy);
    let (mut socket, _) =
        tokio_tungstenite::connect_async(url).await.map_err(|error| format!("ws: {error}"))?;
    let mut ids = Vec::new();
    for (id, params) in [(1, json!(["newHeads"])), (2, json!(["logs", {}]))] {
        let text = request(id, "eth_subscribe", params).to_string();
        socket.send(Message::text(text)).await.map_err(|error| error.to_string())?;
        let answer = message(&mut socket, STREAM_MAX).await?;
        ids.push(answer["result"].as_str().ok_or(format!("not subscribed: {answer}"))?.to_owned());
    }
    let start = world.sim.truth().head();
    let mut client = Client { heads: vec![(start.number, json!(start.hash))], logs: Vec::new() };
    let still = AtomicBool::new(false);
    let moves = async {
        for _ in 0..size.max(2) {
            tokio::time::sleep(Duration::from_millis(60 + dice.below(60))).await;
            let depth = 1 + dice.below(3);
            let may_fork = world.sim.truth().head().number > start.number + depth;
            if may_fork && dice.below(3) == 0 {
                drop(world.sim.fork(depth, depth + dice.below(2)));
            } else {
                drop(world.sim.mine(1 + dice.below(2)));
            }
        }
        // A fork to the same height may show itself with the next block only.
        drop(world.sim.mine(1));
        still.store(true, Ordering::Release);
    };
    let reading = follow(world, &mut socket, &ids[0], &mut client, &still, start.number);
    let ((), outcome) = tokio::join!(moves, reading);
    outcome.map_err(|error| format!("{error}\n  {}", client.shown(world, start.number)))
}

/// Reads until the client holds the chain that stands still, and a moment longer.
async fn follow(
    world: &World,
    socket: &mut Socket,
    heads: &str,
    client: &mut Client,
    still: &AtomicBool,
    start: u64,
) -> Result<(), String> {
    let until = Instant::now() + STREAM_MAX;
    let mut complete = false;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        // A little quiet proves that nothing comes twice.
        let patience = if complete { left.min(Duration::from_millis(150)) } else { left };
        let news = match message(socket, patience).await {
            Err(_) if complete => return Ok(()),
            news => news?,
        };
        let (id, item) = (&news["params"]["subscription"], &news["params"]["result"]);
        let height =
            number(item.get("parentHash").map_or(&item["blockNumber"], |_| &item["number"]));
        if height <= start {
            // The stream was behind when it was joined; no fork reaches below the start.
            let hash = item.get("parentHash").map_or(&item["blockHash"], |_| &item["hash"]);
            if *hash == json!(world.sim.truth().hash(height)) && item["removed"] != json!(true) {
                continue;
            }
        }
        let taken = if *id == json!(heads) { client.head(item) } else { client.log(item) };
        taken.map_err(|error| format!("{error}: {}", cut(&news)))?;
        complete = still.load(Ordering::Acquire) && client.is_complete(world, start);
    }
}

type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn message(socket: &mut Socket, patience: Duration) -> Result<Value, String> {
    loop {
        match tokio::time::timeout(patience, socket.next()).await {
            Err(_) => return Err("the stream is silent".into()),
            Ok(Some(Ok(Message::Text(text)))) => {
                return serde_json::from_str(&text).map_err(|error| error.to_string());
            }
            Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
            Ok(other) => return Err(format!("the socket ended: {other:?}")),
        }
    }
}

/// A client that believes what it is sent, and checks that it can.
#[derive(Debug)]
struct Client {
    /// Number and hash of the chain from the start on.
    heads: Vec<(u64, Value)>,
    /// Block, index and block hash of every log that stands.
    logs: Vec<(u64, u64, Value)>,
}

impl Client {
    fn head(&mut self, head: &Value) -> Result<(), &'static str> {
        let (height, hash) = (number(&head["number"]), &head["hash"]);
        if self.heads.iter().any(|(_, known)| known == hash) {
            return Err("a head came twice");
        }
        while self.heads.last().is_some_and(|(_, last)| *last != head["parentHash"]) {
            self.heads.pop();
        }
        match self.heads.last() {
            Some((parent, _)) if parent + 1 == height => {
                self.heads.push((height, hash.clone()));
                Ok(())
            }
            _ => Err("a head without its parent"),
        }
    }

    fn log(&mut self, log: &Value) -> Result<(), &'static str> {
        let place = (number(&log["blockNumber"]), number(&log["logIndex"]));
        let item = (place.0, place.1, log["blockHash"].clone());
        if log["removed"] == json!(true) {
            return match self.logs.pop() {
                Some(last) if last == item => Ok(()),
                _ => Err("a log was taken back out of order"),
            };
        }
        if self.logs.last().is_some_and(|last| (last.0, last.1) >= place) {
            return Err("a log came twice or out of order");
        }
        self.logs.push(item);
        Ok(())
    }

    fn truth(world: &World, start: u64) -> Vec<(u64, u64, Value)> {
        let head = world.sim.truth().head().number;
        let logs = world.sim.truth().logs(BlockRange { from: start + 1, to: head });
        let logs = logs.unwrap_or_default();
        let item = |log: rwahub::types::log::LogView<'_>| {
            (log.head.block_number, u64::from(log.head.log_index), json!(log.head.block_hash))
        };
        logs.iter().map(item).collect()
    }

    fn is_complete(&self, world: &World, start: u64) -> bool {
        let head = world.sim.truth().head();
        self.heads.last() == Some(&(head.number, json!(head.hash)))
            && self.logs == Self::truth(world, start)
    }

    fn shown(&self, world: &World, start: u64) -> String {
        let truth = Self::truth(world, start);
        let odd = |a: &[(u64, u64, Value)], b: &[(u64, u64, Value)]| {
            a.iter().filter(|i| !b.contains(i)).map(|i| (i.0, i.1)).collect::<Vec<_>>()
        };
        let (missing, extra) = (odd(&truth, &self.logs), odd(&self.logs, &truth));
        let head = world.sim.truth().head();
        format!(
            "client at {:?}, chain at {} {}, missing {missing:?}, extra {extra:?}",
            self.heads.last(),
            head.number,
            head.hash
        )
    }
}
