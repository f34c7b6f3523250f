//! The JSON-RPC door as a whole program, beside a bare hyper responder, a plain hyper proxy and nginx: CPU
//! time per call, and latency added to a direct call at a fixed rate. All in one run on one machine, since only ratios mean anything.
//!
//! `cargo bench --bench proxy`; RWAHUB_BENCH_CALLS and RWAHUB_BENCH_SECONDS make it longer, RWAHUB_BENCH_PROGRAM
//! measures another build of the daemon.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    reason = "a bench"
)]

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

/// Connections that load comes over.
const CONNECTIONS: usize = 16;
/// Calls per second while latency is measured.
const RATE: u64 = 1_000;
/// Head of the made-up chain.
const HEAD: u64 = 100;

const CACHED: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["0x60",false]}"#;
/// Never kept, so that each one is forwarded.
const FORWARDED: &str = r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x0000000000000000000000000000000000000001","pending"]}"#;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match args.get(1).map(String::as_str) {
        Some("--node") => runtime.block_on(serve(&args[2], Role::Node)),
        Some("--hyper") => runtime.block_on(serve(&args[2], Role::Node)),
        Some("--relay") => runtime.block_on(serve(&args[2], Role::Relay(args[3].clone()))),
        _ => runtime.block_on(measure()),
    }
}

#[derive(Clone)]
enum Role {
    /// Answers by itself.
    Node,
    /// Passes everything on.
    Relay(String),
}

async fn serve(port: &str, role: Role) {
    let address: SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
    let listener = TcpListener::bind(address).await.unwrap();
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (role, client) = (role.clone(), client.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(role.clone(), client.clone(), request));
            let server = hyper::server::conn::http1::Builder::new();
            server.serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

async fn answer(
    role: Role,
    client: Client<HttpConnector, Full<Bytes>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let answer = match role {
        Role::Node => node(&body),
        Role::Relay(to) => {
            let request = Request::post(to)
                .header("content-type", "application/json")
                .body(Full::new(body))
                .unwrap();
            client.request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes()
        }
    };
    let response = Response::builder().header("content-type", "application/json");
    Ok(response.body(Full::new(answer)).unwrap())
}

#[derive(serde::Deserialize)]
struct Call<'a> {
    id: u64,
    method: &'a str,
    #[serde(borrow, default)]
    params: Option<&'a serde_json::value::RawValue>,
}

fn node(body: &[u8]) -> Bytes {
    let Ok(call) = serde_json::from_slice::<Call<'_>>(body) else { return Bytes::new() };
    let first = || -> String {
        let params: Vec<serde_json::Value> =
            serde_json::from_str(call.params.map_or("[]", |p| p.get())).unwrap();
        params.first().and_then(|p| p.as_str()).unwrap_or_default().to_owned()
    };
    let result = match call.method {
        "eth_chainId" => "\"0x1\"".to_owned(),
        "eth_blockNumber" => format!("\"{HEAD:#x}\""),
        "eth_getBalance" => "\"0xde0b6b3a7640000\"".to_owned(),
        "eth_getBlockByNumber" => {
            let text = first();
            let number = text.strip_prefix("0x").and_then(|n| u64::from_str_radix(n, 16).ok());
            block(number.unwrap_or(HEAD))
        }
        "eth_getBlockByHash" => block(u64::from_str_radix(&first()[50..], 16).unwrap()),
        _ => {
            let id = call.id;
            let error = r#"{"code":-32601,"message":"the method does not exist"}"#;
            return format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#).into();
        }
    };
    format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, call.id).into()
}

fn block(number: u64) -> String {
    let (zero, bloom) = (format!("0x{}", "0".repeat(64)), format!("0x{}", "0".repeat(512)));
    let (hash, parent) =
        (format!("0x{number:064x}"), format!("0x{:064x}", number.saturating_sub(1)));
    format!(
        r#"{{"hash":"{hash}","parentHash":"{parent}","sha3Uncles":"{zero}","miner":"0x0000000000000000000000000000000000000000","stateRoot":"{zero}","transactionsRoot":"{zero}","receiptsRoot":"{zero}","logsBloom":"{bloom}","difficulty":"0x0","number":"{number:#x}","gasLimit":"0x1","gasUsed":"0x0","timestamp":"{number:#x}","extraData":"0x","mixHash":"{zero}","nonce":"0x0000000000000000","transactions":[],"uncles":[],"size":"0x1"}}"#
    )
}

/// A server under test, stopped when dropped.
struct Server {
    name: &'static str,
    child: Child,
    /// Processes whose time counts: nginx works in a child of its own.
    ids: Vec<u32>,
    url: String,
    /// Removed with the server.
    _folder: Option<tempfile::TempDir>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM, so that nginx takes its worker along.
        Command::new("kill").arg(self.child.id().to_string()).status().ok();
        self.child.wait().ok();
    }
}

impl Server {
    fn start(name: &'static str, mut command: Command, port: u16, path: &str) -> Self {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
        let deadline = Instant::now() + Duration::from_secs(20);
        while StdStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "{name} does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        let ids = vec![child.id()];
        Self { name, child, ids, url: format!("http://127.0.0.1:{port}{path}"), _folder: None }
    }

    fn own(name: &'static str, role: &[&str]) -> Self {
        let port = free_port();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(role[0]).arg(port.to_string()).args(&role[1..]);
        Self::start(name, command, port, "/")
    }

    fn hub(node: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (port, metrics) = (free_port(), free_port());
        // Nothing to index: only the door is measured.
        let config = format!(
            "[[chain]]\nid = 1\nname = \"bench\"\nstart_block = 1000000\nverify = \"off\"\npoll_interval_ms = 60000\n\
             [[chain.provider]]\nname = \"node\"\nurl = \"{node}\"\n\
             [store]\npath = \"{}\"\n[gateway]\nlisten = \"127.0.0.1:{port}\"\n\
             [telemetry]\nmetrics_listen = \"127.0.0.1:{metrics}\"\nlog_level = \"error\"\n",
            folder.path().join("data").display()
        );
        let file = folder.path().join("config.toml");
        std::fs::write(&file, config).unwrap();
        let built = || env!("CARGO_BIN_EXE_rwahub").to_owned();
        let mut command =
            Command::new(std::env::var("RWAHUB_BENCH_PROGRAM").unwrap_or_else(|_| built()));
        command.args(["run", "--config"]).arg(file);
        let mut server = Self::start("rwahub", command, port, "/rpc/1");
        server._folder = Some(folder);
        server
    }

    fn nginx(program: &Path, node: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let dir = folder.path().display();
        let answer = String::from_utf8(node_answer()).unwrap();
        let config = format!(
            "daemon off; worker_processes 1; pid {dir}/pid; error_log /dev/null;\n\
             events {{ worker_connections 256; }}\n\
             http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {dir}/a; proxy_temp_path {dir}/b;\n\
             fastcgi_temp_path {dir}/c; uwsgi_temp_path {dir}/d; scgi_temp_path {dir}/e; default_type application/json;\n\
             upstream node {{ server {node}; keepalive 64; keepalive_requests 1000000000; }}\n\
             server {{ listen 127.0.0.1:{port};\n\
             location /cached {{ return 200 '{answer}'; }}\n\
             location / {{ proxy_pass http://node; proxy_http_version 1.1; proxy_set_header Connection ''; }} }} }}\n"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(program);
        command.arg("-c").arg(&file).arg("-p").arg(folder.path());
        let mut server = Self::start("nginx", command, port, "/");
        let children = format!("/proc/{0}/task/{0}/children", server.child.id());
        let workers = std::fs::read_to_string(children).unwrap_or_default();
        server.ids.extend(workers.split_whitespace().map(|id| id.parse::<u32>().unwrap()));
        server._folder = Some(folder);
        server
    }

    /// User and system time so far.
    fn cpu(&self) -> Duration {
        let ticks = |id: &u32| -> u64 {
            let text = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
            let fields: Vec<&str> = rest.split_whitespace().collect();
            [11, 12].iter().map(|at| fields.get(*at).map_or(0, |t| t.parse().unwrap_or(0))).sum()
        };
        // Linux counts in hundredths of a second for user space, whatever its clock.
        Duration::from_millis(10 * self.ids.iter().map(ticks).sum::<u64>())
    }
}

fn node_answer() -> Vec<u8> {
    node(CACHED.as_bytes()).to_vec()
}

fn free_port() -> u16 {
    StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(name)).find(|file| file.exists())
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What one server took for one kind of call.
struct Row {
    name: &'static str,
    cpu_us: f64,
    per_second: f64,
    p50_us: u64,
    p99_us: u64,
}

async fn measure() {
    // Asked by `cargo test --benches`, which only wants to know that it runs.
    let quick = std::env::args().any(|arg| arg == "--test");
    let calls = setting("RWAHUB_BENCH_CALLS", if quick { 200 } else { 60_000 });
    let seconds = setting("RWAHUB_BENCH_SECONDS", if quick { 1 } else { 8 });
    let node = Server::own("direct", &["--node"]);
    let hub = Server::hub(&node.url);
    let bare = Server::own("hyper", &["--hyper"]);
    let relay = Server::own("hyper", &["--relay", &node.url]);
    let host = node.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let nginx = tool("nginx").map(|program| Server::nginx(&program, &host));
    if nginx.is_none() {
        println!("nginx: not installed (Debian: apt-get install nginx-light), left out");
    }
    println!(
        "{calls} calls over {CONNECTIONS} connections for CPU, {RATE}/s for {seconds} s for latency\n"
    );
    let mut cached = vec![row(&bare, "", CACHED, calls, seconds).await];
    if let Some(nginx) = &nginx {
        cached.push(row(nginx, "cached", CACHED, calls, seconds).await);
    }
    cached.push(row(&hub, "", CACHED, calls, seconds).await);
    report("cached (hyper and nginx: a fixed answer)", &cached);
    let mut forwarded = vec![row(&node, "", FORWARDED, calls, seconds).await];
    forwarded.push(row(&relay, "", FORWARDED, calls, seconds).await);
    if let Some(nginx) = &nginx {
        forwarded.push(row(nginx, "", FORWARDED, calls, seconds).await);
    }
    forwarded.push(row(&hub, "", FORWARDED, calls, seconds).await);
    report("forwarded (first line: the node itself)", &forwarded);
}

fn report(title: &str, rows: &[Row]) {
    println!(
        "{title}\n{:8} {:>12} {:>10} {:>9} {:>9}",
        "", "CPU us/call", "calls/s", "p50 us", "p99 us"
    );
    let last = rows.last().expect("the hub");
    for row in rows {
        println!(
            "{:8} {:>12.1} {:>10.0} {:>9} {:>9}   rwahub takes {:.2} x its CPU",
            row.name,
            row.cpu_us,
            row.per_second,
            row.p50_us,
            row.p99_us,
            last.cpu_us / row.cpu_us
        );
    }
    println!();
}

async fn row(server: &Server, path: &str, body: &'static str, calls: u64, seconds: u64) -> Row {
    let url = format!("{}{path}", server.url);
    closed(&url, body, calls / 10).await;
    let (before, started) = (server.cpu(), Instant::now());
    closed(&url, body, calls).await;
    let (took, cpu) = (started.elapsed(), server.cpu() - before);
    let mut latencies = open(&url, body, seconds).await;
    latencies.sort_unstable();
    let at =
        |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize].as_micros() as u64;
    Row {
        name: server.name,
        cpu_us: cpu.as_secs_f64() * 1e6 / calls as f64,
        per_second: calls as f64 / took.as_secs_f64(),
        p50_us: at(0.5),
        p99_us: at(0.99),
    }
}

fn client() -> Client<HttpConnector, Full<Bytes>> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

async fn call(client: &Client<HttpConnector, Full<Bytes>>, url: &str, body: &'static str) {
    let request = Request::post(url)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from_static(body.as_bytes())))
        .unwrap();
    let answer = client.request(request).await.expect("an answer");
    let answer = answer.into_body().collect().await.expect("a body").to_bytes();
    assert!(answer.windows(8).any(|w| w == b"\"result\""), "{answer:?}");
}

/// As fast as a fixed number of connections goes.
async fn closed(url: &str, body: &'static str, calls: u64) {
    let client = client();
    let each = calls.div_ceil(CONNECTIONS as u64);
    let one = || async {
        for _ in 0..each {
            call(&client, url, body).await;
        }
    };
    futures_util::future::join_all((0..CONNECTIONS).map(|_| one())).await;
}

/// At a fixed rate, whatever the server does: time from when each call was due.
async fn open(url: &str, body: &'static str, seconds: u64) -> Vec<Duration> {
    let client = client();
    let begun = tokio::time::Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..RATE * seconds {
        let due = begun + Duration::from_micros(1_000_000 / RATE * n);
        tokio::time::sleep_until(due).await;
        let (client, url) = (client.clone(), url.to_owned());
        let sent = Instant::now();
        calls.spawn(async move {
            call(&client, &url, body).await;
            sent.elapsed()
        });
    }
    calls.join_all().await
}
