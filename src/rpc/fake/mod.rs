//! Scripted nodes on loopback for the tests of this room: HTTP and WebSocket, one function each.
//!
//! Not a simulator of a chain: a script answers exactly what the test says.

pub(crate) mod blocks;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

use crate::config::{Chain, Provider, ProviderUrl, Transport, Verify};
use crate::types::chain::ChainId;

type Respond = dyn Fn(&str, &Value) -> Result<String, String> + Send + Sync;

/// What a node says: raw result or raw error object per call.
#[derive(Clone)]
pub(crate) struct Script {
    respond: Arc<Respond>,
    shuffled: bool,
    drops_first_batch_item: bool,
    delay: Duration,
}

impl Script {
    pub(crate) fn new(
        respond: impl Fn(&str, &Value) -> Result<String, String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            respond: Arc::new(respond),
            shuffled: false,
            drops_first_batch_item: false,
            delay: Duration::ZERO,
        }
    }

    /// Answers everything but the chain id this late.
    pub(crate) fn delayed(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    pub(crate) fn shuffled(mut self) -> Self {
        self.shuffled = true;
        self
    }

    pub(crate) fn dropping_first_batch_item(mut self) -> Self {
        self.drops_first_batch_item = true;
        self
    }
}

/// A node that runs until dropped.
pub(crate) struct FakeNode {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    script: Script,
    calls: Mutex<HashMap<String, usize>>,
    stopped: AtomicBool,
    connections: Mutex<Vec<JoinHandle<()>>>,
    subscriptions: Mutex<Vec<Subscriber>>,
    next_subscription: AtomicUsize,
}

struct Subscriber {
    topic: String,
    id: String,
    out: mpsc::Sender<Message>,
}

impl FakeNode {
    pub(crate) async fn start(script: Script) -> Self {
        Self::start_on(0, script).await
    }

    pub(crate) async fn start_on(port: u16, script: Script) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            script,
            calls: Mutex::default(),
            stopped: AtomicBool::new(false),
            connections: Mutex::default(),
            subscriptions: Mutex::default(),
            next_subscription: AtomicUsize::new(1),
        });
        let task = tokio::spawn(accept(listener, state.clone()));
        Self { address, state, task }
    }

    pub(crate) fn calls(&self, method: &str) -> usize {
        self.state.calls.lock().expect("no panic").get(method).copied().unwrap_or(0)
    }

    /// Pushes an event to every subscriber of a topic that still listens.
    pub(crate) fn push(&self, topic: &str, result: &str) {
        let mut all = self.state.subscriptions.lock().expect("no panic");
        all.retain(|s| !s.out.is_closed());
        for subscriber in all.iter().filter(|s| s.topic == topic) {
            let id = &subscriber.id;
            let text = format!(
                r#"{{"jsonrpc":"2.0","method":"eth_subscription","params":{{"subscription":"{id}","result":{result}}}}}"#
            );
            subscriber.out.try_send(Message::text(text)).expect("room");
        }
    }

    /// Subscriptions that are open now.
    pub(crate) fn subscriptions(&self) -> usize {
        let mut all = self.state.subscriptions.lock().expect("no panic");
        all.retain(|s| !s.out.is_closed());
        all.len()
    }

    /// Breaks every connection; the port stays open.
    pub(crate) fn drop_connections(&self) {
        self.state.connections.lock().expect("no panic").drain(..).for_each(|c| c.abort());
        self.state.subscriptions.lock().expect("no panic").clear();
    }

    pub(crate) fn ws_url(&self) -> (Transport, String) {
        (Transport::WebSocket, format!("ws://{}/key", self.address))
    }

    pub(crate) fn http_url(&self) -> (Transport, String) {
        (Transport::Http, format!("http://{}/key", self.address))
    }

    /// Closes the port and every connection.
    pub(crate) fn stop(&mut self) -> u16 {
        self.state.stopped.store(true, Ordering::Relaxed);
        self.task.abort();
        self.state.connections.lock().expect("no panic").drain(..).for_each(|c| c.abort());
        self.address.port()
    }
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A chain with id 1 whose providers p0, p1, … are these nodes.
pub(crate) fn chain(nodes: &[FakeNode]) -> Chain {
    let urls = nodes.iter().map(|n| (Transport::Http, format!("http://{}/key", n.address)));
    chain_of(1, urls.collect())
}

pub(crate) fn chain_of(id: u64, urls: Vec<(Transport, String)>) -> Chain {
    Chain {
        id: ChainId(id),
        name: "test".into(),
        confirmations: 12,
        start_block: 0,
        reorg_window_blocks: 64,
        verify: Verify::Receipts,
        head_quorum: 1,
        poll_interval: Duration::from_millis(200),
        providers: urls
            .into_iter()
            .enumerate()
            .map(|(i, (transport, url))| Provider {
                name: format!("p{i}"),
                url: ProviderUrl::new(transport, url),
                weight: 1,
                rate_limit_rps: None,
                max_block_range: None,
            })
            .collect(),
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let task = tokio::spawn(serve(stream, state.clone()));
        state.connections.lock().expect("no panic").push(task);
    }
}

/// HTTP/1.1 with content-length only, which is what our client sends.
async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let mut first = [0u8];
    if stream.peek(&mut first).await.is_ok() && first == *b"G" {
        return serve_socket(stream, state).await;
    }
    let mut buffer = Vec::new();
    while let Some(body) = read_request(&mut stream, &mut buffer).await {
        if memchr::memmem::find(&body, b"eth_chainId").is_none() {
            tokio::time::sleep(state.script.delay).await;
        }
        let answer = state.answer(&body);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
        if stream.write_all(format!("{head}{answer}").as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn serve_socket(stream: TcpStream, state: Arc<State>) {
    let Ok(socket) = tokio_tungstenite::accept_async(stream).await else { return };
    let (mut sink, mut source) = socket.split();
    let (out, mut queue) = mpsc::channel(4096);
    let reading = async {
        while let Some(Ok(message)) = source.next().await {
            let Message::Text(text) = message else { continue };
            let answer = state.answer_on(text.as_bytes(), &out);
            if out.send(Message::text(answer)).await.is_err() {
                return;
            }
        }
    };
    let writing = async {
        while let Some(message) = queue.recv().await {
            if sink.send(message).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
    }
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_lowercase();
            let length = head.split("content-length: ").nth(1)?;
            let length: usize = length.lines().next()?.trim().parse().ok()?;
            if buffer.len() >= end + 4 + length {
                let body = buffer[end + 4..end + 4 + length].to_vec();
                buffer.drain(..end + 4 + length);
                return Some(body);
            }
        }
        let mut chunk = [0u8; 8192];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => buffer.extend_from_slice(&chunk[..n]),
        }
    }
}

impl State {
    fn answer(&self, body: &[u8]) -> String {
        match serde_json::from_slice::<Value>(body).expect("our own JSON") {
            Value::Array(calls) => {
                let mut items: Vec<_> = calls.iter().map(|c| self.one(c)).collect();
                if self.script.drops_first_batch_item {
                    items.remove(0);
                }
                if self.script.shuffled {
                    items.reverse();
                }
                format!("[{}]", items.join(","))
            }
            call => self.one(&call),
        }
    }

    fn answer_on(&self, body: &[u8], out: &mpsc::Sender<Message>) -> String {
        let call: Value = serde_json::from_slice(body).expect("our own JSON");
        match call["method"].as_str() {
            Some("eth_subscribe") => {
                let id = format!("{:#x}", self.next_subscription.fetch_add(1, Ordering::Relaxed));
                let topic = call["params"][0].as_str().expect("a topic").to_owned();
                let subscriber = Subscriber { topic, id: id.clone(), out: out.clone() };
                self.subscriptions.lock().expect("no panic").push(subscriber);
                format!(r#"{{"jsonrpc":"2.0","id":{},"result":"{id}"}}"#, call["id"])
            }
            Some("eth_unsubscribe") => {
                let id = call["params"][0].as_str().expect("an id");
                self.subscriptions.lock().expect("no panic").retain(|s| s.id != id);
                format!(r#"{{"jsonrpc":"2.0","id":{},"result":true}}"#, call["id"])
            }
            _ => self.one(&call),
        }
    }

    fn one(&self, call: &Value) -> String {
        let method = call["method"].as_str().expect("a method");
        *self.calls.lock().expect("no panic").entry(method.to_owned()).or_default() += 1;
        let id = &call["id"];
        match (self.script.respond)(method, &call["params"]) {
            Ok(result) => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#),
            Err(error) => format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#),
        }
    }
}
