//! A node that replays one recorded block over HTTP: the whole way of a real block without a network.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use serde_json::{Value, json};

/// A recorded block with all its receipts, served for ever on a port of its own.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) port: u16,
}

#[derive(Debug)]
struct Recording {
    chain_id: u64,
    block: Value,
    receipts: Value,
}

impl Replay {
    pub(crate) fn start(chain_id: u64, block: Value, receipts: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let recording = Arc::new(Recording { chain_id, block, receipts });
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let recording = Arc::clone(&recording);
                std::thread::spawn(move || recording.serve(stream));
            }
        });
        Self { port }
    }
}

impl Recording {
    fn serve(&self, stream: TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut stream = stream;
        loop {
            let mut length = 0;
            let mut line = String::new();
            loop {
                line.clear();
                if reader.read_line(&mut line).ok()? == 0 {
                    return None;
                }
                if line == "\r\n" {
                    break;
                }
                if let Some((name, value)) = line.split_once(':')
                    && name.eq_ignore_ascii_case("content-length")
                {
                    length = value.trim().parse().ok()?;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            let answer = match serde_json::from_slice(&body).ok()? {
                Value::Array(calls) => calls.iter().map(|call| self.answer(call)).collect(),
                call => self.answer(&call),
            };
            let text = answer.to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                text.len()
            );
            stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(text.as_bytes()))
                .ok()?;
        }
    }

    fn answer(&self, call: &Value) -> Value {
        let params = &call["params"];
        let number = &self.block["number"];
        let result = match call["method"].as_str().unwrap_or_default() {
            "eth_chainId" => json!(format!("{:#x}", self.chain_id)),
            "eth_blockNumber" => number.clone(),
            "eth_getBlockByNumber" => {
                let tags = ["latest", "finalized", "safe"];
                let ours = tags.iter().any(|tag| params[0] == **tag) || params[0] == *number;
                if ours { self.block_with_hashes() } else { Value::Null }
            }
            "eth_getBlockByHash" if params[0] == self.block["hash"] => self.block_with_hashes(),
            "eth_getBlockReceipts" => self.receipts.clone(),
            "eth_getLogs" => self.logs(&params[0]),
            _ => {
                let error = json!({"code": -32601, "message": "the method does not exist"});
                return json!({"jsonrpc": "2.0", "id": call["id"], "error": error});
            }
        };
        json!({"jsonrpc": "2.0", "id": call["id"], "result": result})
    }

    fn block_with_hashes(&self) -> Value {
        let mut block = self.block.clone();
        let transactions = block["transactions"].as_array().cloned().unwrap_or_default();
        let hash = |transaction: &Value| match &transaction["hash"] {
            Value::Null => transaction.clone(),
            hash => hash.clone(),
        };
        block["transactions"] = transactions.iter().map(hash).collect();
        block
    }

    /// Filters as a node does: addresses, and alternatives per topic position.
    fn logs(&self, filter: &Value) -> Value {
        let lower = |value: &Value| value.as_str().unwrap_or_default().to_lowercase();
        let one_of = |wanted: &Value, found: &Value| match wanted {
            Value::Null => true,
            Value::Array(list) => {
                list.is_empty() || list.iter().any(|item| lower(item) == lower(found))
            }
            single => lower(single) == lower(found),
        };
        let receipts = self.receipts.as_array().cloned().unwrap_or_default();
        receipts
            .iter()
            .flat_map(|receipt| receipt["logs"].as_array().cloned().unwrap_or_default())
            .filter(|log| one_of(&filter["address"], &log["address"]))
            .filter(|log| {
                let wanted = filter["topics"].as_array().cloned().unwrap_or_default();
                wanted.iter().enumerate().all(|(at, topic)| {
                    topic.is_null()
                        || (!log["topics"][at].is_null() && one_of(topic, &log["topics"][at]))
                })
            })
            .collect()
    }
}
