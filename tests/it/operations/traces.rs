//! Traces: the caller's trace goes on through us to the provider, and finished spans reach a collector
//! over OTLP.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::{World, wait_until};
use crate::support::http;
use crate::support::hub::Setup;

/// What came in on a port.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl Heard {
    fn has(&self, wanted: &[u8]) -> bool {
        let heard = self.0.lock().expect("alone");
        heard.windows(wanted.len()).any(|part| part == wanted)
    }

    fn add(&self, bytes: &[u8]) {
        self.0.lock().expect("alone").extend_from_slice(bytes);
    }
}

/// A collector that takes everything.
fn collector() -> (u16, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let (port, heard) = (listener.local_addr().expect("bound").port(), Heard::default());
    let store = heard.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let store = store.clone();
            std::thread::spawn(move || take(stream, &store));
        }
    });
    (port, heard)
}

/// Answers every request of a connection with an empty success.
fn take(mut stream: TcpStream, heard: &Heard) {
    let (mut held, mut buffer) = (Vec::new(), [0; 64 * 1024]);
    loop {
        let Ok(count @ 1..) = stream.read(&mut buffer) else { return };
        held.extend_from_slice(&buffer[..count]);
        heard.add(&buffer[..count]);
        let Some(end) = held.windows(4).position(|part| part == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&held[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let whole = end + 4 + length.and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
        if held.len() >= whole {
            held.drain(..whole);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
            if stream.write_all(answer).is_err() {
                return;
            }
        }
    }
}

/// Passes on what comes to `target`, and keeps what went there.
fn relay(target: u16) -> (u16, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let (port, heard) = (listener.local_addr().expect("bound").port(), Heard::default());
    let store = heard.clone();
    std::thread::spawn(move || {
        for mut from in listener.incoming().flatten() {
            let Ok(mut to) = TcpStream::connect(("127.0.0.1", target)) else { continue };
            let (mut back_from, mut back_to) =
                (to.try_clone().expect("cloned"), from.try_clone().expect("cloned"));
            std::thread::spawn(move || std::io::copy(&mut back_from, &mut back_to).ok());
            let store = store.clone();
            std::thread::spawn(move || {
                let mut buffer = [0; 16 * 1024];
                while let Ok(count @ 1..) = from.read(&mut buffer) {
                    store.add(&buffer[..count]);
                    if to.write_all(&buffer[..count]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (port, heard)
}

#[test]
fn a_callers_trace_goes_through_to_the_provider_and_to_the_collector() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let world = World::start();
    let (collector, exported) = collector();
    let (node, asked) = relay(world.sim.providers[0].port());
    let extra = format!("otlp_endpoint = \"http://127.0.0.1:{collector}/v1/traces\"\n");
    let setup = Setup::on_port(31_337, node, 0, &extra);
    let hub = setup.run();
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let headers = [("traceparent", parent.as_str()), ("content-type", "application/json")];

    let missing =
        http::request(hub.port, "GET", "/api/v1/chains/404", &headers, "").expect("answers");
    assert_eq!(missing.json()["trace_id"], TRACE, "problems name the trace: {}", missing.body);

    let mut nonce = 0;
    wait_until("the provider sees the caller's trace", || {
        nonce += 1;
        let call = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_getTransactionCount\",\"params\":[\"0x{nonce:040x}\",\"latest\"]}}"
        );
        http::request(hub.port, "POST", "/rpc/31337", &headers, &call).expect("answers");
        asked.has(format!("traceparent: 00-{TRACE}-").as_bytes())
    });

    let raw: Vec<u8> = (0..16)
        .map(|at| u8::from_str_radix(&TRACE[at * 2..at * 2 + 2], 16).expect("hex"))
        .collect();
    wait_until("spans reach the collector", || {
        exported.has(&raw)
            && exported.has(b"/api/v1/chains/{chain_id}")
            && exported.has(b"service.name")
            && exported.has(b"token metadata")
    });
    world.sim.mine(1).expect("mines");
    wait_until("a block's span reaches it too", || exported.has(b"block"));
    assert_eq!(hub.stop(), Some(0));
}
