//! Many WebSocket clients of the real daemon while providers die and the chain forks: each must have got a
//! complete, ordered stream, every item once.
//!
//! RWAHUB_TEST_STREAMS_CLIENTS, _KILLS, _FORKS, _RESUMES and _SEED set the size; `make chaos` runs the full one.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Address;
use futures_util::{SinkExt, StreamExt};
use rwahub::sim::{ProviderSettings, Settings, Sim};
use rwahub::types::chain::BlockRange;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::support::http;
use crate::support::hub::{Hub, Setup};

const CHAIN: u64 = 31_337;
const PROVIDERS: usize = 3;
/// Blocks before the first fork, so that none reaches below what the clients know.
const HEAD_START: u64 = 14;
/// Deepest fork.
const DEPTH_MAX: u64 = 12;
/// Longest wait for a stream to be complete once the chain stands still.
const COMPLETE_MAX: Duration = Duration::from_secs(120);
/// Quiet that proves that nothing comes twice.
const QUIET: Duration = Duration::from_millis(500);

type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

fn number(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(format!("RWAHUB_TEST_STREAMS_{name}")).unwrap_or_default();
    if text.is_empty() { otherwise } else { text.parse().expect("a number") }
}

fn hex(value: &Value) -> u64 {
    let digits = value.as_str().unwrap_or_default().trim_start_matches("0x");
    u64::from_str_radix(digits, 16).unwrap_or(0)
}

/// Numbers that belong to a seed.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % bound.max(1)
    }
}

/// Providers 0 and 1 push, provider 2 is polled.
async fn world(seed: u64) -> (Sim, Setup) {
    let settings = Settings {
        seed,
        chain_id: CHAIN,
        blocks: 90,
        logs_per_block: 5,
        contracts: 4,
        holders: 12,
        live: false,
        quiet_every: 7,
        providers: vec![ProviderSettings::default(); PROVIDERS],
        ..Settings::default()
    };
    let sim = Sim::start(settings).await.expect("a simulated chain");
    let mut extra = String::new();
    for at in 0..2 {
        let url = format!("ws://{}/", sim.providers[at]);
        extra += &format!("[[chain.provider]]\nname = \"p{at}\"\nurl = \"{url}\"\nweight = 1\n");
    }
    let setup = Setup::on_port(CHAIN, sim.providers[2].port(), 0, &extra);
    (sim, setup)
}

async fn started(setup: &Arc<Setup>) -> Hub {
    let setup = setup.clone();
    tokio::task::spawn_blocking(move || setup.run()).await.expect("starts")
}

/// Waits until the proxy's head is the chain's.
async fn settle(sim: &Sim, port: u16) {
    let until = Instant::now() + Duration::from_secs(30);
    let head = sim.truth().head();
    loop {
        let path = format!("/rpc/{CHAIN}");
        let asked = tokio::task::spawn_blocking(move || {
            http::rpc(port, &path, "eth_getBlockByNumber", json!(["latest", false]))
        });
        let block = asked.await.expect("answers");
        if block["hash"] == json!(head.hash) {
            return;
        }
        assert!(Instant::now() < until, "the head never came: {block}, {head:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What is right in the end.
#[derive(Debug)]
struct Truth {
    heads: Vec<(u64, Value)>,
    logs: Vec<(u64, u64, Value, Address)>,
}

impl Truth {
    fn of(sim: &Sim, start: u64) -> Self {
        let (truth, head) = (sim.truth(), sim.truth().head().number);
        let heads = (start..=head).map(|n| (n, json!(truth.hash(n).expect("a block")))).collect();
        let logs = truth.logs(BlockRange { from: start + 1, to: head }).expect("logs");
        let item = |log: rwahub::types::log::LogView<'_>| {
            let place = (log.head.block_number, u64::from(log.head.log_index));
            (place.0, place.1, json!(log.head.block_hash), log.head.address)
        };
        Self { heads, logs: logs.iter().map(item).collect() }
    }
}

/// A client that believes what it is sent, and checks that it can.
struct Client {
    port: u16,
    token: Address,
    start: u64,
    /// Number and hash of the chain from the start on.
    heads: Vec<(u64, Value)>,
    /// Block, index and block hash of every log that stands.
    logs: Vec<(u64, u64, Value)>,
    cursors: [Option<String>; 2],
    ids: [Value; 2],
    resumes: u64,
    parted: u64,
}

impl Client {
    async fn connect(&mut self) -> Result<Socket, String> {
        let until = Instant::now() + Duration::from_secs(60);
        let url = format!("ws://127.0.0.1:{}/rpc/{CHAIN}", self.port);
        'again: loop {
            if Instant::now() > until {
                return Err("no subscription within a minute".into());
            }
            let Ok((mut socket, _)) = tokio_tungstenite::connect_async(&url).await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            // What is sent before the second confirmation belongs to the first subscription.
            let mut early = Vec::new();
            for at in 0..2 {
                let mut params = if at == 0 {
                    json!(["newHeads"])
                } else {
                    json!(["logs", {"address": self.token}])
                };
                if let (Some(cursor), Some(list)) = (&self.cursors[at], params.as_array_mut()) {
                    match list.get_mut(1).and_then(Value::as_object_mut) {
                        Some(filter) => drop(filter.insert("resume".into(), json!(cursor))),
                        None => list.push(json!({"resume": cursor})),
                    }
                }
                let request = json!({"jsonrpc": "2.0", "id": at, "method": "eth_subscribe", "params": params});
                let sent = socket.send(Message::text(request.to_string())).await;
                sent.map_err(|error| error.to_string())?;
                loop {
                    let message = read(&mut socket, Duration::from_secs(60)).await?;
                    if message["id"] != json!(at) {
                        early.push(message);
                        continue;
                    }
                    if message.get("result").is_none() {
                        // The stream is starting anew, or no provider answers just now.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue 'again;
                    }
                    self.ids[at] = message["result"].clone();
                    break;
                }
            }
            for message in early {
                self.take(&message)?;
            }
            return Ok(socket);
        }
    }

    fn take(&mut self, message: &Value) -> Result<(), String> {
        let (id, item) = (&message["params"]["subscription"], &message["params"]["result"]);
        let at = self.ids.iter().position(|known| known == id);
        let Some(at) = at else { return Err(format!("not subscribed: {message}")) };
        let cursor = message["params"]["cursor"].as_str().ok_or("an item without a cursor")?;
        self.cursors[at] = Some(cursor.to_owned());
        let taken = if at == 0 { self.head(item) } else { self.log(item) };
        taken.map_err(|error| format!("{error}: {item}"))
    }

    fn head(&mut self, head: &Value) -> Result<(), &'static str> {
        let (height, hash) = (hex(&head["number"]), &head["hash"]);
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
        let item = (hex(&log["blockNumber"]), hex(&log["logIndex"]), log["blockHash"].clone());
        if log["address"] != json!(self.token) {
            return Err("a log of another address");
        }
        if log["removed"] == json!(true) {
            return match self.logs.pop() {
                Some(last) if last == item => Ok(()),
                _ => Err("a log was taken back out of order"),
            };
        }
        if self.logs.last().is_some_and(|last| (last.0, last.1) >= (item.0, item.1)) {
            return Err("a log came twice or out of order");
        }
        self.logs.push(item);
        Ok(())
    }

    fn is_complete(&self, truth: &Truth) -> bool {
        let ours = truth.logs.iter().filter(|log| log.3 == self.token);
        self.heads == truth.heads
            && self.logs.iter().map(|l| (l.0, l.1, &l.2)).eq(ours.map(|l| (l.0, l.1, &l.2)))
    }

    fn shown(&self, truth: &Truth) -> String {
        let wanted = truth.logs.iter().filter(|log| log.3 == self.token).count();
        format!(
            "head {:?} of {:?}, {} of {wanted} logs from block {}",
            self.heads.last(),
            truth.heads.last(),
            self.logs.len(),
            self.start
        )
    }

    /// Reads until the truth is out and reached. `orders` counts how often to leave and resume.
    async fn follow(
        mut self,
        mut socket: Socket,
        mut orders: watch::Receiver<u64>,
        mut done: watch::Receiver<Option<Arc<Truth>>>,
    ) -> Result<(u64, u64), String> {
        loop {
            let truth = done.borrow().clone();
            let complete = truth.as_ref().is_some_and(|truth| self.is_complete(truth));
            let patience = if complete { QUIET } else { COMPLETE_MAX };
            tokio::select! {
                message = read(&mut socket, patience) => match message {
                    Ok(message) => self.take(&message)?,
                    Err(_) if complete => return Ok((self.resumes, self.parted)),
                    Err(error) if error == SILENT => {
                        let shown = truth.map_or_else(String::new, |truth| self.shown(&truth));
                        return Err(format!("silent: {shown}"));
                    }
                    Err(_) => {
                        self.parted += 1;
                        socket = self.connect().await?;
                    }
                },
                _ = orders.changed() => {
                    drop(socket);
                    self.resumes += 1;
                    tokio::time::sleep(Duration::from_millis(10 * (self.resumes % 40))).await;
                    socket = self.connect().await?;
                }
                _ = done.changed(), if truth.is_none() => {}
            }
        }
    }
}

const SILENT: &str = "the stream is silent";

async fn read(socket: &mut Socket, patience: Duration) -> Result<Value, String> {
    loop {
        match tokio::time::timeout(patience, socket.next()).await {
            Err(_) => return Err(SILENT.into()),
            Ok(Some(Ok(Message::Text(text)))) => {
                return serde_json::from_str(&text).map_err(|error| error.to_string());
            }
            Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
            Ok(other) => return Err(format!("the socket ended: {other:?}")),
        }
    }
}

/// What happens to the chain and its providers.
async fn moves(sim: &Sim, dice: &mut Dice, orders: &[watch::Sender<u64>]) {
    let (kills, forks) = (number("KILLS", 10), number("FORKS", 8));
    let resumes = number("RESUMES", 30);
    drop(sim.mine(HEAD_START));
    let mut todo: Vec<char> = Vec::new();
    todo.extend(std::iter::repeat_n('k', kills as usize));
    todo.extend(std::iter::repeat_n('f', forks as usize));
    todo.extend(std::iter::repeat_n('r', resumes as usize));
    for at in (1..todo.len()).rev() {
        todo.swap(at, dice.below(at as u64 + 1) as usize);
    }
    let mut dead: Option<usize> = None;
    let mut deepest = false;
    for (at, what) in todo.into_iter().enumerate() {
        match what {
            'k' => {
                if let Some(dead) = dead.take() {
                    sim.restore(dead).await.expect("opens again");
                }
                let victim = dice.below(PROVIDERS as u64) as usize;
                sim.kill(victim);
                dead = Some(victim);
            }
            'f' => {
                let depth = if deepest { 1 + dice.below(DEPTH_MAX) } else { DEPTH_MAX };
                deepest = true;
                drop(sim.fork(depth, depth + dice.below(2)));
            }
            _ => {
                let client = &orders[dice.below(orders.len() as u64) as usize];
                client.send_modify(|count| *count += 1);
            }
        }
        if at % 2 == 0 {
            drop(sim.mine(1 + dice.below(2)));
        }
        tokio::time::sleep(Duration::from_millis(100 + dice.below(200))).await;
    }
    if let Some(dead) = dead {
        sim.restore(dead).await.expect("opens again");
    }
    // A fork to the same height may show itself with the next block only.
    drop(sim.mine(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_gets_each_item_once_and_in_order() {
    let (seed, clients) = (number("SEED", 1), number("CLIENTS", 100) as usize);
    let (sim, setup) = world(seed).await;
    let setup = Arc::new(setup);
    let hub = started(&setup).await;
    settle(&sim, hub.port).await;
    let start = sim.truth().head();
    let tokens = sim.truth().tokens();
    let (truth, done) = watch::channel(None);
    let (mut orders, mut running) = (Vec::new(), tokio::task::JoinSet::new());
    for at in 0..clients {
        let mut client = Client {
            port: hub.port,
            token: tokens[at % tokens.len()],
            start: start.number,
            heads: vec![(start.number, json!(start.hash))],
            logs: Vec::new(),
            cursors: [None, None],
            ids: [Value::Null, Value::Null],
            resumes: 0,
            parted: 0,
        };
        let socket = client.connect().await.expect("connects");
        let (order, heard) = watch::channel(0);
        orders.push(order);
        running.spawn(client.follow(socket, heard, done.clone()));
    }
    let mut dice = Dice(seed);
    moves(&sim, &mut dice, &orders).await;
    truth.send_replace(Some(Arc::new(Truth::of(&sim, start.number))));
    let (mut wrong, mut resumes, mut parted) = (Vec::new(), 0, 0);
    while let Some(ended) = running.join_next().await {
        match ended.expect("no panic") {
            Ok((more, cut)) => (resumes, parted) = (resumes + more, parted + cut),
            Err(error) => wrong.push(error),
        }
    }
    wrong.sort();
    let shown: Vec<_> = wrong.iter().take(5).collect();
    assert!(wrong.is_empty(), "seed {seed}: {} of {clients} clients: {shown:#?}", wrong.len());
    eprintln!(
        "{clients} clients complete; {resumes} resumes asked, {parted} after the daemon parted; {} forks",
        sim.forks().len()
    );
    assert_eq!(hub.stop(), Some(0));
}

fn gauge(port: u16, name: &str) -> f64 {
    let text = http::get(port, "/metrics").body;
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0.0)
}

fn open_files(id: u32) -> usize {
    std::fs::read_dir(format!("/proc/{id}/fd")).map_or(0, Iterator::count)
}

/// Resident memory in KiB.
fn resident(id: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{id}/status")).expect("a process");
    let line = text.lines().find(|line| line.starts_with("VmRSS")).expect("a size");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reconnects_leave_nothing_behind() {
    let (sim, setup) = world(number("SEED", 1)).await;
    let setup = Arc::new(setup);
    let hub = started(&setup).await;
    settle(&sim, hub.port).await;
    let token = sim.truth().tokens()[0];
    let start = sim.truth().head();
    let (port, id) = (hub.port, hub.id());
    let mut before = (0, 0);
    for round in 0..20 {
        let mut open = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let mut client = Client {
                port,
                token,
                start: start.number,
                heads: Vec::new(),
                logs: Vec::new(),
                cursors: [None, None],
                ids: [Value::Null, Value::Null],
                resumes: 0,
                parted: 0,
            };
            open.spawn(async move { client.connect().await.map(drop) });
        }
        while let Some(done) = open.join_next().await {
            done.expect("no panic").expect("subscribes");
        }
        if round == 9 {
            before = (open_files(id), resident(id));
        }
    }
    let until = Instant::now() + Duration::from_secs(20);
    let metrics = setup.metrics_port;
    loop {
        let names = ["rwahub_gateway_websocket_clients", "rwahub_gateway_subscriptions"];
        let left = names.map(|name| gauge(metrics, name));
        let files = open_files(id);
        if left == [0.0, 0.0] && files <= before.0 + 4 {
            break;
        }
        assert!(Instant::now() < until, "left behind: {left:?}, {files} files of {}", before.0);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let grown = resident(id).saturating_sub(before.1);
    assert!(grown < 8 * 1024, "{grown} KiB more after 500 further reconnects");
    drop(hub);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_daemon_tells_its_clients() {
    let (sim, setup) = world(1).await;
    let setup = Arc::new(setup);
    let hub = started(&setup).await;
    settle(&sim, hub.port).await;
    let url = format!("ws://127.0.0.1:{}/rpc/{CHAIN}", hub.port);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("connects");
    let request =
        json!({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]});
    socket.send(Message::text(request.to_string())).await.expect("sends");
    read(&mut socket, Duration::from_secs(20)).await.expect("confirmed");
    let stopping = tokio::task::spawn_blocking(move || hub.stop());
    let ended = loop {
        match tokio::time::timeout(Duration::from_secs(20), socket.next()).await.expect("an end") {
            Some(Ok(Message::Close(frame))) => break frame,
            Some(Ok(_)) => {}
            other => panic!("cut without a word: {other:?}"),
        }
    };
    let reason = ended.expect("a reason").reason.to_string();
    assert!(reason.contains("resume"), "{reason}");
    drop(socket);
    assert_eq!(stopping.await.expect("ends"), Some(0));
}
