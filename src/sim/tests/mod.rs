//! The simulator held against independent code and against its own truth.

mod chain;
mod faults;
mod follow;
mod serve;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{ProviderSettings, Settings, Sim};

/// A small chain that only moves when told.
fn small() -> Settings {
    Settings { blocks: 24, contracts: 11, holders: 12, live: false, ..Settings::default() }
}

async fn start(settings: Settings) -> Sim {
    Sim::start(settings).await.expect("the simulation starts")
}

/// What a raw HTTP exchange came to.
#[derive(Debug)]
struct Exchange {
    status: u16,
    head: String,
    body: String,
}

/// Posts a body on a connection of its own and reads to the end.
async fn post(address: SocketAddr, path: &str, body: &str) -> std::io::Result<Exchange> {
    let mut stream = TcpStream::connect(address).await?;
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: sim\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let chunked = head.contains("transfer-encoding: chunked");
    let body = if chunked { unchunk(body) } else { body.to_owned() };
    Ok(Exchange { status, head: head.to_owned(), body })
}

fn unchunk(mut rest: &str) -> String {
    let mut out = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        let Some(chunk) = after.get(..size).filter(|_| size > 0) else { break };
        out.push_str(chunk);
        rest = after.get(size + 2..).unwrap_or("");
    }
    out
}

/// One JSON-RPC call; the whole answer.
async fn ask(address: SocketAddr, method: &str, params: Value) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).to_string();
    let exchange = post(address, "/", &body).await.expect("an answer");
    serde_json::from_str(&exchange.body).expect("JSON")
}

/// The result of a call that must succeed.
async fn call(address: SocketAddr, method: &str, params: Value) -> Value {
    let mut answer = ask(address, method, params.clone()).await;
    assert!(answer.get("error").is_none(), "{method} {params}: {answer}");
    assert_eq!(answer["id"], 7);
    answer["result"].take()
}

fn number(value: &Value) -> u64 {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x")).expect("a quantity");
    u64::from_str_radix(digits, 16).expect("hex")
}

/// An answer, or `None` if there is none in time.
async fn in_time<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_millis(700), work).await.ok()
}

fn one_provider(provider: ProviderSettings) -> Settings {
    Settings { providers: vec![provider], ..small() }
}
