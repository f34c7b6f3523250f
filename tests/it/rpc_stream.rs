//! Answers larger than memory should hold, through the real daemon: whole, in little memory, at the
//! client's pace, and visibly broken when they break.

use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::free_port;
use crate::support::hub::{Hub, Setup};

/// Blocks of the made-up chain.
const BLOCKS: u64 = 1_000;
/// Logs in each.
const LOGS: u64 = 10;
/// Data bytes of a log: with them all logs take 210 MB.
const DATA_BYTES: usize = 10_400;
/// What the whole answer has at least.
const WHOLE_BYTES_MIN: usize = 200 * 1000 * 1000;
/// Most memory that the daemon may take for it.
const EXTRA_RSS_KIB_MAX: u64 = 64 * 1024;
/// Blocks in one call of the node that has a cap.
const CAP: u64 = 100;

/// A node that serves a chain of large logs and nothing that an indexer could use.
struct Node {
    port: u16,
    /// `eth_getLogs` calls answered with logs.
    queries: Arc<AtomicUsize>,
    /// Bytes of logs written.
    sent: Arc<AtomicU64>,
    /// Breaks off in the middle of the next answer.
    breaks: Arc<AtomicBool>,
}

impl Node {
    fn start(cap: Option<u64>) -> Self {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port");
        let (queries, sent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
        let breaks = Arc::new(AtomicBool::new(false));
        let node = Self { port, queries, sent, breaks };
        let shared = (node.queries.clone(), node.sent.clone(), node.breaks.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = shared.clone();
                std::thread::spawn(move || {
                    // A client that leaves in the middle is what some tests do.
                    serve(client, cap, &shared).ok();
                });
            }
        });
        node
    }
}

type Shared = (Arc<AtomicUsize>, Arc<AtomicU64>, Arc<AtomicBool>);

fn serve(client: TcpStream, cap: Option<u64>, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut writer = BufWriter::with_capacity(256 * 1024, client);
    while let Some(call) = read_call(&mut reader)? {
        let id = call["id"].clone();
        let number = |value: &Value| {
            u64::from_str_radix(value.as_str().unwrap_or("0x0").trim_start_matches("0x"), 16)
        };
        let result = match call["method"].as_str().unwrap_or_default() {
            "eth_chainId" => json!("0x1"),
            "eth_blockNumber" => json!(format!("{:#x}", BLOCKS - 1)),
            "eth_getLogs" => {
                let filter = &call["params"][0];
                let range = (number(&filter["fromBlock"]), number(&filter["toBlock"]));
                let (from, to) = (range.0.expect("hex"), range.1.expect("hex"));
                if cap.is_some_and(|cap| to - from + 1 > cap) {
                    let text = format!("query exceeds max block range {CAP}");
                    let error = json!({"code": -32602, "message": text});
                    whole(&mut writer, json!({"jsonrpc": "2.0", "id": id, "error": error}))?;
                    continue;
                }
                logs(&mut writer, &id, (from, to), shared)?;
                continue;
            }
            _ => {
                let error = json!({"code": -32601, "message": "the method does not exist"});
                whole(&mut writer, json!({"jsonrpc": "2.0", "id": id, "error": error}))?;
                continue;
            }
        };
        whole(&mut writer, json!({"jsonrpc": "2.0", "id": id, "result": result}))?;
    }
    Ok(())
}

fn read_call(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Value>> {
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(serde_json::from_slice(&body).expect("JSON")))
}

fn whole(writer: &mut impl Write, answer: Value) -> std::io::Result<()> {
    let body = answer.to_string();
    let length = body.len();
    write!(writer, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")?;
    writer.flush()
}

/// Sends the logs in chunks, block by block.
fn logs(
    writer: &mut impl Write,
    id: &Value,
    (from, to): (u64, u64),
    (queries, sent, breaks): &Shared,
) -> std::io::Result<()> {
    queries.fetch_add(1, Ordering::SeqCst);
    write!(writer, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
    let chunk = |writer: &mut dyn Write, text: &[u8]| {
        write!(writer, "{:x}\r\n", text.len())?;
        writer.write_all(text)?;
        writer.write_all(b"\r\n")
    };
    chunk(writer, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":["#).as_bytes())?;
    for block in from..=to {
        if block == from + (to - from) / 2 && breaks.swap(false, Ordering::SeqCst) {
            return Err(std::io::Error::other("broken off on purpose"));
        }
        let mut text = block_logs(block);
        if block > from {
            text.insert(0, b',');
        }
        sent.fetch_add(text.len() as u64, Ordering::SeqCst);
        chunk(writer, &text)?;
    }
    chunk(writer, b"]}")?;
    writer.write_all(b"0\r\n\r\n")?;
    writer.flush()
}

/// The logs of a block as JSON objects with commas between them.
fn block_logs(block: u64) -> Vec<u8> {
    let (hash, data) = (format!("0x{block:064x}"), "ab".repeat(DATA_BYTES));
    let one = |index: u64| {
        format!(
            r#"{{"address":"0x{:040x}","topics":["{hash}"],"data":"0x{data}","blockHash":"{hash}","blockNumber":"{block:#x}","transactionHash":"{hash}","transactionIndex":"0x0","logIndex":"{index:#x}","removed":false}}"#,
            7
        )
    };
    (0..LOGS).map(one).collect::<Vec<_>>().join(",").into_bytes()
}

/// The body of an answer while it arrives, out of its chunks.
struct Body {
    reader: BufReader<TcpStream>,
    left: usize,
    head: String,
}

impl Body {
    /// Asks for all logs of the chain.
    fn of_all_logs(hub: &Hub) -> Self {
        let filter = json!([{"fromBlock": "0x0", "toBlock": format!("{:#x}", BLOCKS - 1)}]);
        let call =
            json!({"jsonrpc": "2.0", "id": "big", "method": "eth_getLogs", "params": filter});
        let body = call.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", hub.port)).expect("connects");
        stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a time-out");
        let length = body.len();
        write!(stream, "POST /rpc/1 HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}")
            .expect("sent");
        let mut reader = BufReader::with_capacity(256 * 1024, stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).expect("a head"), 0, "{head}");
        }
        Self { reader, left: 0, head }
    }

    /// More of the body; nothing at its end, an error when the connection broke before.
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(std::io::Error::other("the connection ended before the answer"));
            }
            self.left = usize::from_str_radix(line.trim(), 16).expect("a chunk's length");
            if self.left == 0 {
                return Ok(0);
            }
            self.left += 2;
        }
        let most = into.len().min(self.left.saturating_sub(2));
        let got = if most == 0 { 0 } else { self.reader.read(&mut into[..most])? };
        if most > 0 && got == 0 {
            return Err(std::io::Error::other("the connection ended inside a chunk"));
        }
        self.left -= got;
        if self.left == 2 {
            let mut end = [0; 2];
            self.reader.read_exact(&mut end)?;
            self.left = 0;
        }
        if got == 0 { self.read(into) } else { Ok(got) }
    }

    /// Reads to the end and compares with what the chain says; the length.
    fn expect_all_logs(&mut self) -> usize {
        let mut total = 0;
        let mut buffer = vec![0; 256 * 1024];
        let mut wanted: Vec<u8> = br#"{"jsonrpc":"2.0","id":"big","result":["#.to_vec();
        let (mut at, mut block) = (0, 0);
        loop {
            let got = self.read(&mut buffer).expect("the answer goes on");
            if got == 0 {
                break;
            }
            total += got;
            let mut rest = &buffer[..got];
            while !rest.is_empty() {
                if at == wanted.len() {
                    assert!(block <= BLOCKS, "more than there is");
                    wanted = match block {
                        BLOCKS => b"]}".to_vec(),
                        0 => block_logs(0),
                        _ => [b",".to_vec(), block_logs(block)].concat(),
                    };
                    (at, block) = (0, block + 1);
                }
                let same = rest.len().min(wanted.len() - at);
                let (came, truth) = (&rest[..same], &wanted[at..at + same]);
                assert!(came == truth, "a byte differs in block {}", block.saturating_sub(1));
                (rest, at) = (&rest[same..], at + same);
            }
        }
        assert_eq!((block, at), (BLOCKS + 1, 2), "the answer ends where the chain does");
        total
    }
}

/// A line of `/proc/PID/status`, in KiB.
fn memory(hub: &Hub, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", hub.id())).expect("a process");
    let line = text.lines().find(|line| line.starts_with(name)).expect("a line");
    line.split_whitespace().nth(1).expect("a number").parse().expect("KiB")
}

/// Forgets the highest memory use so far.
fn forget_peak(hub: &Hub) {
    std::fs::write(format!("/proc/{}/clear_refs", hub.id()), "5").expect("Linux");
}

fn large_answer_in_little_memory(cap: Option<u64>) {
    let node = Node::start(cap);
    let setup = Setup::on_port(1, node.port, 0, "");
    let hub = setup.run();
    let before = memory(&hub, "VmRSS");
    forget_peak(&hub);
    let mut body = Body::of_all_logs(&hub);
    assert!(body.head.starts_with("HTTP/1.1 200"), "{}", body.head);
    assert!(body.head.contains("x-rwahub-source: upstream"), "{}", body.head);

    // Nobody reads now: the node must be held up by the daemon, and the daemon must not hold the rest.
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut last = (0, Instant::now());
    while last.1.elapsed() < Duration::from_secs(2) {
        assert!(Instant::now() < deadline, "the node is never held up");
        let sent = node.sent.load(Ordering::SeqCst);
        if sent != last.0 {
            last = (sent, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(last.0 < 100_000_000, "{} bytes were taken from the node for nobody", last.0);

    let total = body.expect_all_logs();
    assert!(total >= WHOLE_BYTES_MIN, "{total} bytes");
    let extra = memory(&hub, "VmHWM").saturating_sub(before);
    eprintln!("{total} bytes with cap {cap:?} in {extra} KiB more than {before} KiB");
    assert!(extra <= EXTRA_RSS_KIB_MAX, "{extra} KiB more for {total} bytes");
}

#[test]
fn a_200_mb_answer_passes_in_little_memory_at_the_clients_pace() {
    large_answer_in_little_memory(None);
}

#[test]
fn a_200_mb_answer_put_together_from_pieces_passes_in_little_memory() {
    large_answer_in_little_memory(Some(CAP));
}

#[test]
fn an_answer_that_breaks_off_breaks_the_connection_and_is_not_asked_for_again() {
    for cap in [None, Some(CAP)] {
        let node = Node::start(cap);
        let setup = Setup::on_port(1, node.port, 0, "");
        let hub = setup.run();
        node.breaks.store(true, Ordering::SeqCst);
        let mut body = Body::of_all_logs(&hub);
        assert!(body.head.starts_with("HTTP/1.1 200"), "it had begun: {}", body.head);
        let (mut buffer, mut total) = (vec![0; 256 * 1024], 0);
        let broken = loop {
            match body.read(&mut buffer) {
                Ok(0) => break false,
                Ok(got) => total += got,
                Err(_) => break true,
            }
        };
        assert!(broken, "{total} bytes look like a whole answer");
        assert!(total < WHOLE_BYTES_MIN, "{total} bytes");
        if cap.is_none() {
            assert_eq!(node.queries.load(Ordering::SeqCst), 1, "asked once");
        }
        // The daemon goes on.
        let answer = crate::support::http::rpc(hub.port, "/rpc/1", "eth_chainId", json!([]));
        assert_eq!(answer, "0x1");
    }
}
