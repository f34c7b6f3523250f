//! Subscriptions against a chain that forks, nodes that vanish and clients that come back.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::session::{Outbox, Outgoing, Session};
use super::*;
use crate::config::Transport;
use crate::rpc::fake::blocks::FakeChain;
use crate::rpc::fake::{FakeNode, chain_of};

/// Longest wait for a message that must come.
const PATIENCE: Duration = Duration::from_secs(10);

fn proxy(urls: Vec<(Transport, String)>, limits: Limits) -> Arc<Proxy> {
    let mut chain = chain_of(1, urls);
    chain.poll_interval = Duration::from_millis(30);
    Arc::new(Proxy::new(Pool::new(&chain), Policy::default(), limits))
}

/// A client that applies what it is sent to a model of the chain, checking every step.
struct Client {
    session: Arc<Session>,
    outbox: Outbox,
    /// Hashes of heads in the order they came.
    heads: Vec<(u64, String, String)>,
    /// Logs held now, as (block, hash, index).
    logs: Vec<(u64, String, u64)>,
    head_cursor: Option<String>,
    log_cursor: Option<String>,
    topics: Vec<(String, &'static str)>,
}

impl Client {
    async fn new(proxy: &Arc<Proxy>) -> Self {
        let (session, outbox) = Session::new(proxy.clone());
        Self {
            session,
            outbox,
            heads: Vec::new(),
            logs: Vec::new(),
            head_cursor: None,
            log_cursor: None,
            topics: Vec::new(),
        }
    }

    /// The same client on a new socket.
    async fn reconnect(&mut self, proxy: &Arc<Proxy>) {
        let (session, outbox) = Session::new(proxy.clone());
        self.session = session;
        self.outbox = outbox;
        self.topics.clear();
    }

    async fn ask(&mut self, method: &str, params: Value) -> Value {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.session.serve(Bytes::from(call.to_string())).await;
        loop {
            let message = self.receive().await.expect("an answer");
            if message.get("id").is_some() {
                return message;
            }
        }
    }

    async fn subscribe(&mut self, topic: &'static str) {
        let cursor = if topic == "logs" { &self.log_cursor } else { &self.head_cursor };
        let params = match cursor {
            Some(cursor) => json!([topic, {"resume": cursor}]),
            None => json!([topic]),
        };
        let answer = self.ask("eth_subscribe", params).await;
        let id = answer["result"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        self.topics.push((id, topic));
    }

    /// The next message, applied; an error is the reason of a close.
    async fn receive(&mut self) -> Result<Value, String> {
        let next = tokio::time::timeout(PATIENCE, self.outbox.next()).await.expect("in time");
        match next {
            Some(Outgoing::Text(text)) => {
                let message: Value = serde_json::from_slice(&text).expect("JSON");
                if message["method"] == "eth_subscription" {
                    self.apply(&message["params"]);
                }
                Ok(message)
            }
            Some(Outgoing::Close(reason)) => Err(reason),
            None => Err("gone".into()),
        }
    }

    fn apply(&mut self, params: &Value) {
        let id = params["subscription"].as_str().expect("an id");
        let topic = self.topics.iter().find(|(known, _)| known == id).expect("confirmed first").1;
        let cursor = params["cursor"].as_str().expect("a cursor").to_owned();
        let result = &params["result"];
        let text = |key: &str| result[key].as_str().expect("text").to_owned();
        let number = |key: &str| u64::from_str_radix(&text(key)[2..], 16).expect("hex");
        if topic == "newHeads" {
            assert!(result.get("transactions").is_none(), "a header, not a block");
            let head = (number("number"), text("hash"), text("parentHash"));
            if let Some(last) = self.heads.last() {
                // A child of the last one, or a sibling branch from a block that was sent earlier.
                let known = self.heads.iter().any(|h| h.1 == head.2);
                assert!(
                    last.1 == head.2 || known || head.0 <= self.heads[0].0,
                    "unlinked {head:?}"
                );
            }
            self.heads.push(head);
            self.head_cursor = Some(cursor);
            return;
        }
        let log = (number("blockNumber"), text("blockHash"), number("logIndex"));
        if result["removed"] == true {
            assert_eq!(self.logs.pop(), Some(log), "removed newest first");
        } else {
            let after = self.logs.last().is_none_or(|last| (last.0, last.2) < (log.0, log.2));
            assert!(after, "{log:?} after {:?}", self.logs.last());
            self.logs.push(log);
        }
        self.log_cursor = Some(cursor);
    }

    /// Reads until the model equals the chain above `base`.
    async fn catch_up(&mut self, chain: &FakeChain, base: u64) -> Result<(), String> {
        let blocks = chain.canonical();
        let tip = blocks.last().expect("genesis").hash.clone();
        let logs: Vec<_> = blocks
            .iter()
            .filter(|b| b.number > base)
            .flat_map(|b| (0..b.logs as u64).map(|i| (b.number, b.hash.clone(), i)))
            .collect();
        let wants = |topic| self.topics.iter().any(|(_, t)| *t == topic);
        let (heads, want_logs) = (wants("newHeads"), wants("logs"));
        loop {
            let heads_done = !heads || self.heads.last().is_some_and(|h| h.1 == tip);
            if heads_done && (!want_logs || self.logs == logs) {
                return Ok(());
            }
            self.receive().await?;
        }
    }
}

#[tokio::test]
async fn heads_and_logs_follow_forks_without_the_nodes_help() {
    for (push, seed) in [(true, 1), (true, 2), (false, 3)] {
        let chain = FakeChain::new().forgetting_orphans();
        let node = FakeNode::start(chain.script()).await;
        let url = if push { node.ws_url() } else { node.http_url() };
        let proxy = proxy(vec![url], Limits::default());
        let mut client = Client::new(&proxy).await;
        client.subscribe("newHeads").await;
        client.subscribe("logs").await;
        let mut rng = StdRng::seed_from_u64(seed);
        for _ in 0..40 {
            // Always higher afterwards, so that the watchdog alone would find it too.
            let depth = if rng.random_bool(0.3) { rng.random_range(0..6) } else { 0 };
            let floor = chain.canonical().len() - 1;
            chain.cut(depth.min(floor));
            for _ in 0..=depth.min(floor) {
                let header = chain.mine(rng.random_range(0..4));
                node.push("newHeads", &header);
            }
            client.catch_up(&chain, 0).await.expect("open");
        }
        assert!(client.heads.len() >= 40);
    }
}

#[tokio::test]
async fn a_client_that_comes_back_gets_exactly_what_it_missed() {
    let chain = FakeChain::new();
    let node = FakeNode::start(chain.script()).await;
    let proxy = proxy(vec![node.ws_url()], Limits::default());
    // Keeps the stream running, as other clients would.
    let mut other = Client::new(&proxy).await;
    other.subscribe("logs").await;
    let mut client = Client::new(&proxy).await;
    client.subscribe("newHeads").await;
    client.subscribe("logs").await;
    node.push("newHeads", &chain.mine(2));
    client.catch_up(&chain, 0).await.expect("open");
    let mut rng = StdRng::seed_from_u64(7);
    let mut moves = |chain: &FakeChain, most: usize| {
        let depth = rng.random_range(0..=most).min(chain.canonical().len() - 1);
        chain.cut(depth);
        for _ in 0..=depth + rng.random_range(0..3) {
            node.push("newHeads", &chain.mine(rng.random_range(0..4)));
        }
    };
    for round in 0..30 {
        moves(&chain, 4);
        if round % 3 == 0 {
            client.catch_up(&chain, 0).await.expect("open");
        }
        other.catch_up(&chain, 0).await.expect("open");
        client.reconnect(&proxy).await;
        moves(&chain, 12);
        other.catch_up(&chain, 0).await.expect("open");
        client.subscribe("newHeads").await;
        client.subscribe("logs").await;
        client.catch_up(&chain, 0).await.expect("open");
    }
}

#[tokio::test]
async fn a_slow_client_is_closed_with_its_cursor_and_resumes() {
    let chain = FakeChain::new();
    let node = FakeNode::start(chain.script()).await;
    let limits = Limits { socket_backlog_max: 8, ..Limits::default() };
    let proxy = proxy(vec![node.ws_url()], limits);
    let mut client = Client::new(&proxy).await;
    client.subscribe("logs").await;
    let mut quick = Client::new(&proxy).await;
    quick.subscribe("logs").await;
    for _ in 0..100 {
        node.push("newHeads", &chain.mine(10));
        quick.catch_up(&chain, 0).await.expect("open");
    }
    let reason = loop {
        match client.receive().await {
            Ok(_) => {}
            Err(reason) => break reason,
        }
    };
    assert!(reason.starts_with("slow consumer; resume l-"), "{reason}");
    // What was still queued is lost with the socket; the client resumes from what it has read.
    client.reconnect(&proxy).await;
    client.subscribe("logs").await;
    client.catch_up(&chain, 0).await.expect("open");
}

#[tokio::test]
async fn a_lost_node_and_lost_sockets_leave_no_gap_and_no_leak() {
    let chain = FakeChain::new();
    let mut nodes = [FakeNode::start(chain.script()).await, FakeNode::start(chain.script()).await];
    let proxy = proxy(vec![nodes[0].ws_url(), nodes[1].ws_url()], Limits::default());
    let mut client = Client::new(&proxy).await;
    client.subscribe("newHeads").await;
    client.subscribe("logs").await;
    for round in 0..20 {
        let header = chain.mine(2);
        nodes.iter().for_each(|n| n.push("newHeads", &header));
        if round % 3 == 1 {
            nodes[round % 2].drop_connections();
        }
        client.catch_up(&chain, 0).await.expect("open");
    }
    nodes[0].stop();
    let header = chain.mine(1);
    nodes[1].push("newHeads", &header);
    client.catch_up(&chain, 0).await.expect("open");
    drop(client);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while nodes[1].subscriptions() > 0 {
        assert!(tokio::time::Instant::now() < deadline, "upstream subscriptions stay open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn ids_are_our_own_and_unsubscribing_twice_is_false() {
    let chain = FakeChain::new();
    let node = FakeNode::start(chain.script()).await;
    let proxy = proxy(vec![node.ws_url()], Limits::default());
    let mut client = Client::new(&proxy).await;
    client.subscribe("newHeads").await;
    client.subscribe("newHeads").await;
    let ids: Vec<_> = client.topics.iter().map(|(id, _)| id.clone()).collect();
    assert_ne!(ids[0], ids[1]);
    assert_eq!(client.ask("eth_unsubscribe", json!([ids[0]])).await["result"], true);
    assert_eq!(client.ask("eth_unsubscribe", json!([ids[0]])).await["result"], false);
    assert_eq!(client.ask("eth_unsubscribe", json!(["0x1"])).await["result"], false);
    let bad = client.ask("eth_subscribe", json!(["newHeads", {"resume": "h-1-00"}])).await;
    assert_eq!(bad["error"]["code"], -32602);
    let hash = "ab".repeat(32);
    let lost = client.ask("eth_subscribe", json!([{"resume": format!("h-0-{hash}")}])).await;
    assert_eq!(lost["error"]["code"], -32001, "{lost}");
}

#[tokio::test]
async fn a_late_subscriber_gets_no_removal_of_what_it_never_saw() {
    let chain = FakeChain::new();
    let node = FakeNode::start(chain.script()).await;
    let proxy = proxy(vec![node.ws_url()], Limits::default());
    let mut early = Client::new(&proxy).await;
    early.subscribe("logs").await;
    node.push("newHeads", &chain.mine(3));
    early.catch_up(&chain, 0).await.expect("open");
    let mut late = Client::new(&proxy).await;
    late.subscribe("logs").await;
    chain.cut(1);
    node.push("newHeads", &chain.mine(1));
    node.push("newHeads", &chain.mine(1));
    early.catch_up(&chain, 0).await.expect("open");
    // Would panic in `apply` on a removal of a log that it does not hold.
    late.catch_up(&chain, 0).await.expect("open");
}
