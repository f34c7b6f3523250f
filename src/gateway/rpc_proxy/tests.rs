//! The door over real HTTP, from the client's side.

use std::net::SocketAddr;

use super::*;
use crate::rpc::fake::{FakeNode, Script, chain};
use crate::rpc::pool::Pool;
use crate::rpc::proxy::Limits;
use crate::rpc::proxy::policy::Policy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn serve(node: &FakeNode) -> SocketAddr {
    let pool = Pool::new(&chain(std::slice::from_ref(node)));
    let limits = Limits { body_bytes_max: 4096, ..Limits::default() };
    let proxies = Proxies::new([Proxy::new(pool, Policy::default(), limits)]);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router(proxies)).await });
    address
}

async fn post(address: SocketAddr, path: &str, body: &str) -> String {
    let answer = post_with(address, path, "", body).await;
    String::from_utf8(answer).expect("text")
}

async fn post_with(address: SocketAddr, path: &str, headers: &str, body: &str) -> Vec<u8> {
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("connects");
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("sends");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    answer
}

async fn node() -> FakeNode {
    FakeNode::start(Script::new(|method, _| match method {
        "eth_chainId" => Ok("\"0x1\"".into()),
        "eth_mid" => Ok(format!("\"{}\"", "y".repeat(5_000))),
        "eth_big" => Ok(format!("\"{}\"", "x".repeat(300_000))),
        _ => Err(r#"{"code":3,"message":"execution reverted"}"#.into()),
    }))
    .await
}

#[tokio::test]
async fn statuses_follow_the_rules() {
    let node = node().await;
    let address = serve(&node).await;
    let revert = post(address, "/rpc/1", r#"{"jsonrpc":"2.0","id":1,"method":"eth_call"}"#).await;
    assert!(revert.starts_with("HTTP/1.1 200"), "{revert}");
    assert!(revert.ends_with(r#""error":{"code":3,"message":"execution reverted"}}"#));
    let other = post(address, "/rpc/999", "{}").await;
    assert!(other.starts_with("HTTP/1.1 404"), "{other}");
    assert!(other.contains("chain 999 is not served here; served: 1"));
    let large = post(address, "/rpc/1", &"x".repeat(5000)).await;
    assert!(large.starts_with("HTTP/1.1 413"), "{large}");
    assert!(large.contains("\"jsonrpc\":\"2.0\",\"id\":null"));
    let note = post(address, "/rpc/1", r#"{"jsonrpc":"2.0","method":"eth_call"}"#).await;
    assert!(note.starts_with("HTTP/1.1 204"), "{note}");
    let broken = post(address, "/rpc/1", "{").await;
    assert!(broken.starts_with("HTTP/1.1 200") && broken.contains("-32700"), "{broken}");
}

#[tokio::test]
async fn a_large_answer_has_the_right_length() {
    let node = node().await;
    let address = serve(&node).await;
    let big = post(address, "/rpc/1", r#"{"jsonrpc":"2.0","id":1,"method":"eth_big"}"#).await;
    let (head, body) = big.split_once("\r\n\r\n").expect("a body");
    assert!(head.contains(&format!("content-length: {}", body.len())));
    assert_eq!(body.len(), 300_000 + 2 + r#"{"jsonrpc":"2.0","id":1,"result":}"#.len());
}

#[tokio::test]
async fn answers_say_where_they_come_from_and_wishes_are_understood_or_refused() {
    let node = node().await;
    let address = serve(&node).await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#;
    let known = post(address, "/rpc/1", body).await;
    assert!(known.contains("x-rwahub-source: hub\r\n"), "{known}");
    let asked = r#"{"jsonrpc":"2.0","id":1,"method":"eth_mid"}"#;
    let both = post(address, "/rpc/1", &format!("[{body},{asked}]")).await;
    assert!(both.contains("x-rwahub-source: hub, upstream\r\n"), "{both}");
    for header in ["x-rwahub-verify: maybe", "x-rwahub-one-block: 1"] {
        let refused = post_with(address, "/rpc/1", &format!("{header}\r\n"), body).await;
        let refused = String::from_utf8(refused).expect("text");
        assert!(refused.starts_with("HTTP/1.1 400"), "{refused}");
        assert!(refused.contains("-32600"), "{refused}");
    }
    for header in ["x-rwahub-verify: all", "x-rwahub-one-block: false"] {
        let taken = post_with(address, "/rpc/1", &format!("{header}\r\n"), body).await;
        assert!(taken.starts_with(b"HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn answers_are_squeezed_for_clients_that_take_it() {
    use std::io::Read as _;
    let node = node().await;
    let address = serve(&node).await;
    for (method, length) in [("eth_mid", 5_000), ("eth_big", 300_000)] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
        let answer = post_with(address, "/rpc/1", "accept-encoding: gzip\r\n", &body).await;
        let at = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
        let head = String::from_utf8_lossy(&answer[..at]).into_owned();
        assert!(head.contains("content-encoding: gzip"), "{head}");
        assert!(answer.len() < 3_000, "{method}: {} bytes", answer.len());
        let mut zipped = answer[at..].to_vec();
        if head.contains("transfer-encoding: chunked") {
            zipped = unchunked(&zipped);
        }
        let mut plain = String::new();
        flate2::read::GzDecoder::new(&zipped[..]).read_to_string(&mut plain).expect("gzip");
        assert_eq!(plain.len(), length + 2 + r#"{"jsonrpc":"2.0","id":1,"result":}"#.len());
    }
    let small = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#;
    let answer = post_with(address, "/rpc/1", "accept-encoding: gzip\r\n", small).await;
    assert!(!String::from_utf8_lossy(&answer).contains("content-encoding"));
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let line = body.windows(2).position(|w| w == b"\r\n").expect("a length");
        let length = std::str::from_utf8(&body[..line]).expect("hex");
        let length = usize::from_str_radix(length, 16).expect("hex");
        if length == 0 {
            return out;
        }
        out.extend_from_slice(&body[line + 2..line + 2 + length]);
        body = &body[line + 2 + length + 2..];
    }
}
