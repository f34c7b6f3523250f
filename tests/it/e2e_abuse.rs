//! Clients that mean harm: slow heads, slow bodies, idle connections, huge bodies, deep JSON, floods of
//! headers. Everybody else is answered in time meanwhile, and memory stays where it was.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::anvil::Anvil;
use crate::support::http;
use crate::support::hub::Setup;

/// Connections that never say anything. The full 10,000 are in `docs/reliability.md`; here as many as
/// leave room for the other tests' files.
const IDLE: usize = 3_000;
const SLOW_HEADS: usize = 200;
const SLOW_BODIES: usize = 100;
/// Requests of somebody who means no harm, while all that goes on.
const ASKED: usize = 400;
/// What `others` may wait. The goal is 50 ms on a quiet machine; tests share theirs with a build.
const WAIT_P99: Duration = Duration::from_millis(500);
/// 16 kB an idle connection, as measured, and slack for what is being read.
const GROWTH_KIB_MAX: u64 = 160 * 1024;

/// An attack that goes on until told to stop.
fn attack(stop: &Arc<AtomicBool>, once: impl Fn() + Send + 'static) -> JoinHandle<()> {
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            once();
            // Goes on and on, but leaves the machine's processors to be measured with.
            std::thread::sleep(Duration::from_millis(20));
        }
    })
}

fn connect(port: u16) -> Option<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_write_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    Some(stream)
}

/// Sends all of it, as far as the other side takes it, and reads how the answer begins.
fn send(port: u16, head: &str, body_bytes: usize) -> String {
    let Some(mut stream) = connect(port) else { return String::new() };
    if stream.write_all(head.as_bytes()).is_ok() {
        let chunk = vec![b'['; 64 * 1024];
        let mut left = body_bytes;
        while left > 0 && stream.write_all(&chunk[..left.min(chunk.len())]).is_ok() {
            left = left.saturating_sub(chunk.len());
        }
    }
    let mut start = [0; 12];
    match stream.read(&mut start) {
        Ok(count) => String::from_utf8_lossy(&start[..count]).into_owned(),
        Err(_) => String::new(),
    }
}

#[test]
fn clients_that_mean_harm_do_not_make_others_wait_nor_memory_grow() {
    let Some(node) = Anvil::start(&[]) else { return };
    node.mine(5);
    let setup = Setup::new(&node, "");
    let hub = setup.run();
    let port = hub.port;
    for _ in 0..50 {
        assert_eq!(http::get(port, "/api/v1/status").status, 200);
    }
    let before = hub.resident_kib();
    let stop = Arc::new(AtomicBool::new(false));
    let idle: Vec<_> = (0..IDLE).filter_map(|_| connect(port)).collect();
    let mut slow = Vec::new();
    for at in 0..SLOW_HEADS + SLOW_BODIES {
        let Some(mut stream) = connect(port) else { continue };
        let start = if at < SLOW_HEADS {
            "GET /api/v1/status HTTP/1.1\r\nhost: x\r\nx-slow: "
        } else {
            "POST /auth/verify HTTP/1.1\r\nhost: x\r\ncontent-length: 50000\r\n\r\n{"
        };
        stream.write_all(start.as_bytes()).expect("a head");
        slow.push(stream);
    }
    let dribble = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                slow.retain_mut(|stream| stream.write_all(b" ").is_ok());
                std::thread::sleep(Duration::from_millis(200));
            }
        })
    };
    let json = "POST /auth/verify HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let huge = format!("{json}content-length: 104857600\r\n\r\n");
    let deep = format!("{json}content-length: 200000\r\n\r\n");
    let chunked = format!("{json}transfer-encoding: chunked\r\n\r\nfffffff\r\n");
    let many: String = (0..500).map(|at| format!("x-{at}: {at}\r\n")).collect();
    let flood = format!("GET /livez HTTP/1.1\r\nhost: x\r\n{many}\r\n");
    let attacks = [
        attack(&stop, move || assert!(!send(port, &huge, 104_857_600).contains(" 200"))),
        attack(&stop, move || assert!(!send(port, &deep, 200_000).contains(" 200"))),
        attack(&stop, move || assert!(!send(port, &chunked, 100_000_000).contains(" 200"))),
        attack(&stop, move || assert!(!send(port, &flood, 0).contains(" 200"))),
    ];
    let mut waited = Vec::with_capacity(ASKED);
    let mut most = 0;
    for at in 0..ASKED {
        let begun = Instant::now();
        let path = if at % 2 == 0 { "/livez" } else { "/api/v1/status" };
        assert_eq!(http::get(port, path).status, 200, "request {at}");
        waited.push(begun.elapsed());
        most = most.max(hub.resident_kib());
    }
    stop.store(true, Ordering::Relaxed);
    for attack in attacks {
        attack.join().expect("an attacker");
    }
    dribble.join().expect("the slow ones");
    waited.sort_unstable();
    let (p50, p99) = (waited[ASKED / 2], waited[ASKED * 99 / 100]);
    let grown = most.saturating_sub(before);
    eprintln!("{} idle, p50 {p50:?}, p99 {p99:?}, memory {before} + {grown} KiB", idle.len());
    assert!(idle.len() >= IDLE * 9 / 10, "only {} idle connections", idle.len());
    assert!(p99 < WAIT_P99, "others waited: p50 {p50:?}, p99 {p99:?}");
    assert!(grown < GROWTH_KIB_MAX, "memory grew by {grown} KiB");
    drop(idle);
    assert_eq!(hub.stop(), Some(0));
}
