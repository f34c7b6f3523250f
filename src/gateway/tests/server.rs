//! The server over real sockets: keep-alive, drain, silent and half-open clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::fake::{ALICE, BOB, Fake, event};
use crate::gateway::server::{Drained, run};
use crate::types::feed::FeedItem;

async fn start(fake: &Arc<Fake>) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<Drained>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let router = fake.router();
    let server = tokio::spawn(run(listener, None, router, async {
        stopped.await.ok();
    }));
    (address, stop, server)
}

async fn read_until(stream: &mut TcpStream, mark: &str) -> String {
    let mut text = String::new();
    let mut chunk = [0; 4_096];
    while !text.contains(mark) {
        let count = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut chunk)).await;
        let count = count.expect("an answer in time").unwrap();
        assert!(count > 0, "closed before {mark:?}: {text}");
        text.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
    }
    text
}

#[tokio::test]
async fn a_drain_ends_idle_connections_and_streams_at_once() {
    let fake = Arc::new(Fake::default());
    let (address, stop, server) = start(&fake).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    read_until(&mut idle, "{\"status\":\"ok\"}").await;
    let mut live = TcpStream::connect(address).await.unwrap();
    live.write_all(b"GET /api/v1/events/stream HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    read_until(&mut live, "retry: ").await;
    fake.publish(vec![FeedItem::Observed(event(500, 0, ALICE, BOB))]);
    read_until(&mut live, "event: observed").await;
    stop.send(()).unwrap();
    let drained = tokio::time::timeout(Duration::from_secs(5), server).await.unwrap().unwrap();
    assert_eq!(drained, Drained::Clean);
    let mut rest = Vec::new();
    live.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "the chunked body ends as it should");
    assert!(TcpStream::connect(address).await.is_err(), "the port is free");
}

#[tokio::test]
async fn one_connection_serves_many_requests_and_speaks_http2_too() {
    let fake = Arc::new(Fake::default());
    let (address, _stop, _server) = start(&fake).await;
    let mut kept = TcpStream::connect(address).await.unwrap();
    for _ in 0..20 {
        kept.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        read_until(&mut kept, "{\"status\":\"ok\"}").await;
    }
    let stream = TcpStream::connect(address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::get(format!("http://{address}/api/v1/tokens"));
    let request = request.body(axum::body::Body::empty()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, hyper::Version::HTTP_2));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_or_half_a_line_is_closed() {
    let fake = Arc::new(Fake::default());
    let (address, _stop, _server) = start(&fake).await;
    for said in [&b""[..], b"PRI", b"GET / HTTP/1.1\r\nhost"] {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(said).await.unwrap();
        let mut rest = Vec::new();
        let end = client.read_to_end(&mut rest);
        tokio::time::timeout(Duration::from_secs(30), end).await.expect("closed in time").ok();
    }
}

#[tokio::test]
async fn too_many_headers_or_too_long_ones_are_refused() {
    let fake = Arc::new(Fake::default());
    let (address, _stop, _server) = start(&fake).await;
    let flood: String = (0..200).map(|at| format!("x-{at}: 1\r\n")).collect();
    for headers in [flood, format!("x: {}\r\n", "y".repeat(100_000))] {
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = format!("GET /livez HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        client.write_all(request.as_bytes()).await.ok();
        let text = read_until(&mut client, "\r\n\r\n").await;
        assert!(text.starts_with("HTTP/1.1 431"), "{text}");
    }
}
