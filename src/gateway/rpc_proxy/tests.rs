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
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("connects");
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("sends");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

async fn node() -> FakeNode {
    FakeNode::start(Script::new(|method, _| match method {
        "eth_chainId" => Ok("\"0x1\"".into()),
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
