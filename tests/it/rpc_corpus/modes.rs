//! The ways in which the corpus is asked.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::Message;

use super::Verdict;
use super::exchange::{Exchange, essence};
use super::scene::{Door, Scene, id};
use crate::support::free_port;
use crate::support::http;
use crate::support::hub::Setup;

/// Equal questions under way at once.
const AT_ONCE: usize = 6;
/// Calls that earn the hub the right to hedge a group of questions: it hedges 5 of 100.
const EARNING_CALLS: usize = 300;
/// Questions of such a group.
const GROUP: usize = 12;
/// How late the slow provider is while a group is asked.
const SLOW: Duration = Duration::from_millis(400);

/// The same question from several clients at once; each answer with the client's number.
pub(super) fn at_once(door: &Door<'_>, exchange: &Exchange) -> Vec<(String, usize)> {
    if exchange.drop {
        // Sending twice is sending two transactions: only questions can be shared.
        return vec![(door.ask(exchange), 0)];
    }
    std::thread::scope(|scope| {
        let asked: Vec<_> =
            (0..AT_ONCE).map(|n| scope.spawn(move || (door.ask_as(exchange, n), n))).collect();
        asked.into_iter().map(|client| client.join().expect("a client")).collect()
    })
}

/// All questions in one batch; what sends goes in batches of its own.
pub(super) fn batched(
    scene: &Scene,
    door: &Door<'_>,
    corpus: &[(Exchange, String)],
    verdict: &mut Verdict,
) {
    let (sending, asking): (Vec<_>, Vec<_>) = corpus.iter().partition(|(e, _)| e.drop);
    let batches = std::iter::once(asking).chain(sending.into_iter().map(|one| vec![one]));
    for batch in batches {
        let bodies: Vec<_> = batch.iter().map(|(e, _)| e.body(id(e, 0))).collect();
        let answers = door.post(&format!("[{}]", bodies.join(",")));
        let answers: Vec<&RawValue> = serde_json::from_str(&answers).expect("an array");
        assert_eq!(answers.len(), batch.len());
        for ((exchange, node), answer) in batch.iter().zip(answers) {
            let (came, ours) = essence(answer.get());
            assert_eq!(came, id(exchange, 0), "the order of a batch");
            verdict.judge("batch", exchange, node, &ours);
            scene.settle(exchange, &ours);
        }
    }
}

/// One question after the other over a WebSocket.
pub(super) fn websocket(
    scene: &Scene,
    door: &Door<'_>,
    corpus: &[(Exchange, String)],
    verdict: &mut Verdict,
) {
    let url = format!("ws://127.0.0.1:{}{}", door.port, door.path);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let (mut socket, _) =
        runtime.block_on(tokio_tungstenite::connect_async(&url)).expect("a socket");
    for (exchange, node) in corpus {
        let answer = runtime.block_on(async {
            socket.send(Message::text(exchange.body(id(exchange, 0)))).await.expect("sent");
            loop {
                let answer = tokio::time::timeout(Duration::from_secs(60), socket.next());
                match answer.await.expect("in time").expect("open").expect("a message") {
                    Message::Text(text) => return text.to_string(),
                    _ => continue,
                }
            }
        });
        let (came, ours) = essence(&answer);
        assert_eq!(came, id(exchange, 0), "the id of {exchange}");
        verdict.judge("websocket", exchange, node, &ours);
        scene.settle(exchange, &ours);
    }
}

/// Asks while the preferred provider is slow, so that a second one is asked. How many were.
pub(super) fn hedged(scene: &Scene, corpus: &[(Exchange, String)], verdict: &mut Verdict) -> usize {
    let slow = Relay::start(scene.node.port);
    let quick = Relay::start(scene.node.port);
    // The weight makes the slow one the first choice whatever it costs.
    let second = format!(
        "[[chain.provider]]\nname = \"slow\"\nurl = \"http://127.0.0.1:{}\"\nweight = 1000\n",
        slow.port
    );
    let setup = Setup::on_port(scene.node.chain_id, quick.port, 0, &second);
    let hub = setup.run();
    let door = scene.door(hub.port);
    let mut hedged = 0;
    for group in corpus.chunks(GROUP) {
        earn(&door);
        slow.delay(SLOW);
        for (exchange, node) in group {
            let before = quick.answers();
            verdict.judge("hedged", exchange, node, &door.ask(exchange));
            hedged += usize::from(quick.answers() > before);
        }
        slow.delay(Duration::ZERO);
    }
    hedged
}

fn earn(door: &Door<'_>) {
    let call = |n: usize| format!(r#"{{"jsonrpc":"2.0","id":{n},"method":"eth_gasPrice"}}"#);
    let calls: Vec<_> = (0..EARNING_CALLS).map(call).collect();
    let answer =
        http::request(door.port, "POST", &door.path, &[], &format!("[{}]", calls.join(",")));
    assert_eq!(answer.expect("an answer").status, 200);
}

/// A TCP relay to the node that can be made slow, and counts the answers that it passed.
struct Relay {
    port: u16,
    delay_ms: Arc<AtomicU64>,
    answers: Arc<AtomicUsize>,
}

impl Relay {
    fn start(node: u16) -> Self {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port");
        let (delay_ms, answers) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
        let (delay, count) = (delay_ms.clone(), answers.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(upstream) = TcpStream::connect(("127.0.0.1", node)) else { return };
                let (from, to) = (client.try_clone().expect("a socket"), upstream);
                let (back, forth) = (to.try_clone().expect("a socket"), client);
                std::thread::spawn(move || pump(from, to, || {}));
                let (delay, count) = (delay.clone(), count.clone());
                std::thread::spawn(move || {
                    pump(back, forth, || {
                        std::thread::sleep(Duration::from_millis(delay.load(Ordering::SeqCst)));
                        count.fetch_add(1, Ordering::SeqCst);
                    });
                });
            }
        });
        Self { port, delay_ms, answers }
    }

    fn delay(&self, delay: Duration) {
        self.delay_ms.store(delay.as_millis() as u64, Ordering::SeqCst);
    }

    fn answers(&self) -> usize {
        self.answers.load(Ordering::SeqCst)
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, before: impl Fn()) {
    let mut buffer = vec![0; 256 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        before();
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // The other end hears that this one is done.
    to.shutdown(Shutdown::Write).ok();
}
