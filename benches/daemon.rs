//! The whole program against a simulated node: rates of indexing, latency at the head, a deep reorg.
//!
//! Prints a table and judges nothing. The simulator runs in this process, so that the CPU time shown is
//! the daemon's alone. `RWAHUB_BENCH_EVENTS=10000000` runs only the long load.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a bench that cannot go on panics")]

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use rwahub::sim::{Settings, Sim};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, Lines};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

const CHAIN: u64 = 31_337;
/// Blocks timed per row.
const LIVE_BLOCKS: usize = 300;
const REORG_DEPTH: u64 = 64;
const REORGS: usize = 20;
/// A clock tick of `/proc/PID/stat`.
const TICK_SECONDS: f64 = 0.01;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if let Ok(events) = std::env::var("RWAHUB_BENCH_EVENTS") {
        let events: u64 = events.parse().expect("a number");
        runtime.block_on(long(events));
        return;
    }
    println!("| chain | verify | events | events/s | CPU s per million | peak RSS MiB |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for (blocks, logs) in [(20_000, 10), (2_000, 500)] {
        for verify in ["off", "receipts"] {
            runtime.block_on(ingest(blocks, logs, verify));
        }
    }
    println!("\n| head | samples | p50 ms | p90 ms | p99 ms | max ms |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for logs in [1, 10, 100, 1_000] {
        runtime.block_on(live(logs));
    }
    runtime.block_on(reorg());
}

async fn node(blocks: u64, logs: u32, finalized_depth: u64) -> Sim {
    let settings = Settings {
        chain_id: CHAIN,
        blocks,
        logs_per_block: logs,
        live: false,
        finalized_depth,
        ..Settings::default()
    };
    Sim::start(settings).await.expect("the simulator starts")
}

/// Writes a configuration into `dir` and gives the program with it.
fn program(dir: &Path, url: &str, verify: &str, command: &[&str]) -> Command {
    let config = dir.join("config.toml");
    let text = format!(
        "[[chain]]\nid = {CHAIN}\nname = \"sim\"\nstart_block = 0\nverify = \"{verify}\"\n\
         [[chain.provider]]\nname = \"p0\"\nurl = \"{url}\"\n\
         [store]\nkind = \"embedded\"\npath = \"{}\"\n[gateway]\nlisten = \"127.0.0.1:0\"\n\
         [telemetry]\nmetrics_listen = \"127.0.0.1:0\"\n",
        dir.join("data").display()
    );
    std::fs::write(&config, text).expect("a configuration");
    let mut program = Command::new(env!("CARGO_BIN_EXE_rwahub"));
    program.args(command).arg("--config").arg(config);
    program
}

/// What a process has used so far: CPU seconds and most memory in MiB.
fn usage(pid: u32) -> Option<(f64, f64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = peak.split_whitespace().next()?.parse().ok()?;
    Some((ticks * TICK_SECONDS, kib / 1024.0))
}

/// A load from start to end, watched from outside.
struct Load {
    report: serde_json::Value,
    cpu_seconds: f64,
    peak_mib: f64,
    /// Seconds since the start and events so far, from the progress lines.
    progress: Vec<(f64, f64)>,
}

fn load(url: &str, blocks: u64, verify: &str) -> Load {
    let dir = tempfile::tempdir().expect("a directory");
    let (chain, to) = (CHAIN.to_string(), blocks.to_string());
    let mut child =
        program(dir.path(), url, verify, &["backfill", "--chain", &chain, "--to", &to, "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("rwahub starts");
    let started = Instant::now();
    let lines = BufReader::new(child.stderr.take().expect("piped"));
    let progress = std::thread::spawn(move || {
        let lines = lines.lines().map_while(Result::ok);
        lines
            .filter_map(|line| Some((started.elapsed().as_secs_f64(), number(&line, "events")?)))
            .collect::<Vec<_>>()
    });
    let (mut cpu_seconds, mut peak_mib) = (0.0, 0.0);
    while child.try_wait().expect("a child").is_none() {
        if let Some(used) = usage(child.id()) {
            (cpu_seconds, peak_mib) = used;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().expect("output");
    let report = serde_json::from_slice(&output.stdout).expect("a report");
    let progress = progress.join().expect("lines");
    Load { report, cpu_seconds, peak_mib, progress }
}

/// The number behind `name=` or `"name":`.
fn number(line: &str, name: &str) -> Option<f64> {
    let at = [format!("{name}="), format!("\"{name}\":")]
        .iter()
        .find_map(|key| line.find(key.as_str()).map(|at| at + key.len()))?;
    let digits: String = line.get(at..)?.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

async fn ingest(blocks: u64, logs: u32, verify: &'static str) {
    let sim = node(blocks, logs, 1).await;
    let url = format!("http://{}", sim.providers[0]);
    let load = tokio::task::spawn_blocking(move || load(&url, blocks, verify));
    let load = load.await.expect("a load");
    let events = load.report["events"].as_f64().expect("events");
    let seconds = load.report["seconds"].as_f64().expect("seconds");
    println!(
        "| {blocks} blocks of {logs} logs | {verify} | {events} | {:.0} | {:.1} | {:.0} |",
        events / seconds,
        load.cpu_seconds / events * 1e6,
        load.peak_mib
    );
}

/// One long load: is the end as fast as the beginning?
async fn long(events: u64) {
    let blocks = events / 500;
    let sim = node(blocks, 500, 1).await;
    let url = format!("http://{}", sim.providers[0]);
    let load = tokio::task::spawn_blocking(move || load(&url, blocks, "receipts"));
    let load = load.await.expect("a load");
    println!("{}", load.report);
    println!("CPU s {:.1}, peak RSS {:.0} MiB", load.cpu_seconds, load.peak_mib);
    println!("| s | events | events/s since the line before |");
    println!("| --- | --- | --- |");
    let mut last = (0.0, 0.0);
    for (second, events) in load.progress {
        println!("| {second:.0} | {events} | {:.0} |", (events - last.1) / (second - last.0));
        last = (second, events);
    }
}

/// The daemon at the head of a chain, and two views on it.
struct Head {
    sim: Sim,
    daemon: Child,
    /// When a client of the node hears of a block.
    published: mpsc::Receiver<(u64, Instant)>,
    stream: Lines<tokio::io::BufReader<TcpStream>>,
    _dir: tempfile::TempDir,
}

impl Drop for Head {
    fn drop(&mut self) {
        // It may have ended by itself; the bench is over either way.
        self.daemon.kill().ok();
        self.daemon.wait().ok();
    }
}

impl Head {
    async fn open(logs: u32) -> Self {
        let sim = node(200, logs, 150).await;
        let dir = tempfile::tempdir().expect("a directory");
        let url = format!("ws://{}", sim.providers[0]);
        let mut daemon = program(dir.path(), &url, "receipts", &["run"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("rwahub starts");
        let lines = BufReader::new(daemon.stderr.take().expect("piped"));
        let (sender, door) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("listening on http://") {
                    // Nobody waits for a second one.
                    sender.send(address.trim().to_owned()).ok();
                }
            }
        });
        let door = door.recv_timeout(Duration::from_secs(60)).expect("the daemon serves");
        let stream = events(door.parse().expect("an address")).await;
        let published = heads(sim.providers[0]).await;
        let mut head = Self { sim, daemon, published, stream, _dir: dir };
        // The first blocks find connections, statements and caches cold.
        for _ in 0..10 {
            head.block().await;
        }
        head
    }

    /// Mines a block; the time from its publication until its first event is read from the stream.
    async fn block(&mut self) -> Duration {
        let number = self.sim.mine(1).expect("mined");
        let published = self.published(number).await;
        let seen = self.seen(number).await;
        seen.saturating_duration_since(published)
    }

    async fn published(&mut self, number: u64) -> Instant {
        loop {
            let (block, at) = self.published.recv().await.expect("heads");
            if block == number {
                return at;
            }
        }
    }

    /// When the first event of the block came; a block that has none never ends this.
    async fn seen(&mut self, block: u64) -> Instant {
        let wanted = format!("\"block_number\":{block},");
        let mut observed = false;
        loop {
            let line = self.stream.next_line().await.expect("a stream").expect("an open stream");
            if let Some(event) = line.strip_prefix("event:") {
                observed = event.trim() == "observed";
            }
            if observed && line.starts_with("data:") && line.contains(&wanted) {
                return Instant::now();
            }
        }
    }
}

async fn events(door: SocketAddr) -> Lines<tokio::io::BufReader<TcpStream>> {
    let mut stream = TcpStream::connect(door).await.expect("the daemon accepts");
    stream.set_nodelay(true).expect("an open socket");
    let request = "GET /api/v1/events/stream HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("sent");
    tokio::io::BufReader::new(stream).lines()
}

/// Heads as any subscriber of the node hears them.
async fn heads(node: SocketAddr) -> mpsc::Receiver<(u64, Instant)> {
    let (mut socket, _) =
        tokio_tungstenite::connect_async(format!("ws://{node}")).await.expect("a socket");
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}"#;
    socket.send(Message::text(call)).await.expect("sent");
    // The answer: from here on every block is heard.
    socket.next().await.expect("an answer").expect("an answer");
    let (sender, receiver) = mpsc::channel(4096);
    tokio::spawn(async move {
        while let Some(Ok(message)) = socket.next().await {
            let at = Instant::now();
            let Ok(head) = serde_json::from_slice::<serde_json::Value>(&message.into_data()) else {
                continue;
            };
            let number = head["params"]["result"]["number"].as_str().unwrap_or_default();
            let number = u64::from_str_radix(number.trim_start_matches("0x"), 16);
            if let Ok(number) = number
                && sender.send((number, at)).await.is_err()
            {
                return;
            }
        }
    });
    receiver
}

async fn live(logs: u32) {
    let mut head = Head::open(logs).await;
    let mut times = Vec::with_capacity(LIVE_BLOCKS);
    for _ in 0..LIVE_BLOCKS {
        times.push(head.block().await);
    }
    row(&format!("block of {logs} logs published → first event at a client"), times);
}

async fn reorg() {
    let mut head = Head::open(10).await;
    let mut times = Vec::with_capacity(REORGS);
    for _ in 0..REORGS {
        for _ in 0..REORG_DEPTH {
            head.block().await;
        }
        let new_head = head.sim.fork(REORG_DEPTH, REORG_DEPTH + 1).expect("a fork");
        let number = new_head.new_head;
        let published = head.published(number).await;
        times.push(head.seen(number).await.saturating_duration_since(published));
    }
    row("reorg of depth 64 → last new block's event at a client", times);
}

fn row(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| {
        let index = (times.len() * percent / 100).min(times.len() - 1);
        times[index].as_secs_f64() * 1e3
    };
    let samples = times.len();
    println!(
        "| {what} | {samples} | {:.2} | {:.2} | {:.2} | {:.2} |",
        at(50),
        at(90),
        at(99),
        at(100)
    );
}
