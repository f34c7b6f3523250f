//! A hash-linked chain for the tests: blocks with logs, forks on demand, served like a node does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::Script;

/// One block: its number, hash, parent and how many logs it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FakeBlock {
    pub(crate) number: u64,
    pub(crate) hash: String,
    pub(crate) parent: String,
    pub(crate) logs: usize,
}

#[derive(Debug, Default)]
struct Blocks {
    canonical: Vec<FakeBlock>,
    all: HashMap<String, FakeBlock>,
    made: u64,
    /// Orphaned blocks are forgotten, as anvil does.
    forgets_orphans: bool,
}

/// A chain that grows when told.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeChain(Arc<Mutex<Blocks>>);

impl FakeChain {
    /// A chain with its genesis block.
    pub(crate) fn new() -> Self {
        let chain = Self::default();
        chain.mine(0);
        chain
    }

    pub(crate) fn forgetting_orphans(self) -> Self {
        self.0.lock().expect("no panic").forgets_orphans = true;
        self
    }

    /// Adds a block with `logs` logs and returns its header.
    pub(crate) fn mine(&self, logs: usize) -> String {
        let mut blocks = self.0.lock().expect("no panic");
        blocks.made += 1;
        let tip = blocks.canonical.last();
        let block = FakeBlock {
            number: tip.map_or(0, |t| t.number + 1),
            parent: tip.map_or_else(|| word(0), |t| t.hash.clone()),
            hash: word(blocks.made),
            logs,
        };
        let header = header(&block, false);
        blocks.all.insert(block.hash.clone(), block.clone());
        blocks.canonical.push(block);
        header
    }

    /// Takes the newest blocks off.
    pub(crate) fn cut(&self, depth: usize) {
        let mut blocks = self.0.lock().expect("no panic");
        let keep = blocks.canonical.len().saturating_sub(depth).max(1);
        let orphans = blocks.canonical.split_off(keep);
        if blocks.forgets_orphans {
            for orphan in orphans {
                blocks.all.remove(&orphan.hash);
            }
        }
    }

    pub(crate) fn canonical(&self) -> Vec<FakeBlock> {
        self.0.lock().expect("no panic").canonical.clone()
    }

    /// Answers like a node of this chain with id 1.
    pub(crate) fn script(&self) -> Script {
        let chain = self.clone();
        Script::new(move |method, params| chain.answer(method, params))
    }

    pub(crate) fn answer(&self, method: &str, params: &Value) -> Result<String, String> {
        let blocks = self.0.lock().expect("no panic");
        let tip = blocks.canonical.last().expect("genesis");
        let by_number = |text: &str| {
            let number = text.strip_prefix("0x").map(|hex| u64::from_str_radix(hex, 16));
            match number {
                Some(number) => blocks.canonical.get(number.expect("a number") as usize),
                None if text == "earliest" => blocks.canonical.first(),
                None => Some(tip),
            }
        };
        let full = |block: Option<&FakeBlock>| block.map_or("null".into(), |b| header(b, true));
        match method {
            "eth_chainId" => Ok("\"0x1\"".into()),
            "eth_blockNumber" => Ok(format!("\"{:#x}\"", tip.number)),
            "eth_getBlockByNumber" => Ok(full(by_number(params[0].as_str().expect("a tag")))),
            "eth_getBlockByHash" => Ok(full(blocks.all.get(params[0].as_str().expect("a hash")))),
            "eth_getLogs" => match params[0]["blockHash"].as_str() {
                Some(hash) => match blocks.all.get(hash) {
                    Some(block) => Ok(format!("[{}]", logs(block).join(","))),
                    None => Err(r#"{"code":-32000,"message":"unknown block"}"#.into()),
                },
                None => {
                    let number = |key: &str| by_number(params[0][key].as_str().unwrap_or("latest"));
                    let (Some(from), Some(to)) = (number("fromBlock"), number("toBlock")) else {
                        return Err(r#"{"code":-32000,"message":"block range extends beyond current head block"}"#.into());
                    };
                    let range = blocks.canonical[from.number as usize..=to.number as usize].iter();
                    let all: Vec<_> = range.flat_map(logs).collect();
                    Ok(format!("[{}]", all.join(",")))
                }
            },
            _ => {
                Err(r#"{"code":-32601,"message":"the method does not exist/is not available"}"#
                    .into())
            }
        }
    }
}

fn word(seed: u64) -> String {
    format!("{:#066x}", alloy_primitives::keccak256(seed.to_be_bytes()))
}

fn logs(block: &FakeBlock) -> Vec<String> {
    let FakeBlock { number, hash, .. } = block;
    (0..block.logs)
        .map(|index| {
            let topic = word(index as u64 % 3);
            let address = format!("0x{:040x}", index % 2 + 1);
            format!(
                r#"{{"address":"{address}","topics":["{topic}"],"data":"0x","blockHash":"{hash}","blockNumber":"{number:#x}","transactionHash":"{hash}","transactionIndex":"0x0","logIndex":"{index:#x}","removed":false}}"#
            )
        })
        .collect()
}

fn header(block: &FakeBlock, body: bool) -> String {
    let FakeBlock { number, hash, parent, .. } = block;
    let (zero, bloom) = (format!("0x{}", "0".repeat(64)), format!("0x{}", "0".repeat(512)));
    let body = if body { r#","transactions":[],"uncles":[],"size":"0x1""# } else { "" };
    format!(
        r#"{{"hash":"{hash}","parentHash":"{parent}","sha3Uncles":"{zero}","miner":"0x0000000000000000000000000000000000000000","stateRoot":"{zero}","transactionsRoot":"{zero}","receiptsRoot":"{zero}","logsBloom":"{bloom}","difficulty":"0x0","number":"{number:#x}","gasLimit":"0x1","gasUsed":"0x0","timestamp":"{number:#x}","extraData":"0x","mixHash":"{zero}","nonce":"0x0000000000000000"{body}}}"#
    )
}
