//! The embedded store alone: bulk load with balances, index build, live commits, queries beside a
//! writer.
//!
//! `cargo bench --bench store -- [million events] [directory]`. Prints one line per measure. Figures
//! depend on the disk and on who else uses it: compare within one run.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a bench"
)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, U256, keccak256};
use rwahub::pipeline::store::{
    BlockDigest, CommitBlock, CommitMode, CommitUnit, ContractTag, Recognised, Store, Undo,
};
use rwahub::store::embedded;
use rwahub::store::read::{ContractFilter, EventQuery, Order, Queries};
use rwahub::types::asset::{Doc, DocKey, Holding, Token, TokenStandard};
use rwahub::types::chain::{BlockId, BlockRef, ChainId, Proof};
use rwahub::types::event::{Arg, ArgReader, LayoutId, LayoutInfo};
use rwahub::types::log::{LogBuf, LogFields, LogView};

const CHAIN: ChainId = ChainId(1);
const TOKENS: u64 = 50;
const ACCOUNTS: u64 = 50_000;
/// Accounts that deal in one token; neighbouring tokens share half of theirs.
const HOLDERS: u64 = 2_000;
const LOGS_PER_BLOCK: usize = 20;
const LOGS_PER_UNIT: usize = 20_000;

#[derive(Debug)]
struct Transfers;

impl ArgReader for Transfers {
    fn args(&self, _: LayoutId, log: LogView<'_>) -> Result<Vec<Arg>, String> {
        let arg = |name: &str, value: String| Arg { name: name.into(), value };
        let [_, from, to] = log.topics() else { return Err("topics".into()) };
        let value = U256::try_from_be_slice(log.data).ok_or("data")?;
        Ok(vec![
            arg("from", Address::from_word(*from).to_string()),
            arg("to", Address::from_word(*to).to_string()),
            arg("value", value.to_string()),
        ])
    }

    fn participants(&self, _: LayoutId, log: LogView<'_>, out: &mut Vec<Address>) {
        out.extend(log.topics().iter().skip(1).map(|topic| Address::from_word(*topic)));
    }

    fn layouts(&self) -> Vec<LayoutInfo> {
        vec![LayoutInfo {
            id: LayoutId(0),
            event: "Transfer".into(),
            signature: "Transfer(address indexed from,address indexed to,uint256 value)".into(),
            topic0: Some(topic0()),
        }]
    }
}

fn topic0() -> B256 {
    keccak256("Transfer(address,address,uint256)")
}

/// Makes the history: transfers between accounts of which few are busy.
struct Maker {
    seed: u64,
    head: BlockId,
    accounts: Vec<Address>,
    tokens: Vec<Address>,
    holdings: HashMap<(usize, usize), U256>,
    transfers: Vec<u64>,
    topic0: B256,
}

impl Maker {
    fn new() -> Self {
        let address = |n: u64| Address::from_word(keccak256(n.to_be_bytes()));
        Self {
            seed: 1,
            head: BlockId { number: 0, hash: B256::repeat_byte(1) },
            accounts: (0..ACCOUNTS).map(address).collect(),
            tokens: (0..TOKENS).map(|n| address(n + (1 << 40))).collect(),
            holdings: HashMap::new(),
            transfers: vec![0; TOKENS as usize],
            topic0: topic0(),
        }
    }

    /// A number below `below`, small ones more often.
    fn skewed(&mut self, below: u64) -> usize {
        let mut next = || {
            self.seed ^= self.seed << 13;
            self.seed ^= self.seed >> 7;
            self.seed ^= self.seed << 17;
            self.seed
        };
        let unit = (next() >> 11) as f64 / (1u64 << 53) as f64;
        ((unit * unit) * below as f64) as usize
    }

    fn unit(&mut self, logs: usize, mode: CommitMode) -> CommitUnit {
        let mut buf = LogBuf::with_capacity(logs);
        let mut blocks = Vec::new();
        let mut touched = HashMap::new();
        let mut undo = Vec::new();
        let mut made = 0;
        while made < logs {
            let block = self.next_block();
            let digest = Some(BlockDigest { content: block.hash, state: block.parent });
            blocks.push(CommitBlock { block, proof: Proof::ReceiptsRoot, digest });
            for index in 0..LOGS_PER_BLOCK.min(logs - made) {
                self.transfer(&mut buf, &block, index, &mut touched);
            }
            made += LOGS_PER_BLOCK;
        }
        let mut docs = Vec::with_capacity(touched.len() + self.tokens.len());
        for ((token, holder), before) in &touched {
            let key =
                DocKey::Holding { token: self.tokens[*token], holder: self.accounts[*holder] };
            let holding = |balance| Doc::Holding(Holding { balance, ..Holding::default() });
            docs.push((key, Some(holding(self.holdings[&(*token, *holder)]))));
            if mode == CommitMode::Live {
                undo.push(Undo { block: self.head.number, key, before: before.map(holding) });
            }
        }
        let mut tokens: Vec<usize> = touched.keys().map(|(token, _)| *token).collect();
        tokens.sort_unstable();
        tokens.dedup();
        docs.extend(tokens.into_iter().map(|token| self.token(token)));
        let event = Recognised::Event { layout: LayoutId(0), contract: ContractTag(0) };
        CommitUnit {
            chain: CHAIN,
            mode,
            rewind_to: None,
            blocks,
            recognised: vec![event; buf.len()],
            logs: buf,
            docs,
            undo,
            cursor: self.head,
            finalized: None,
            parked: Vec::new(),
        }
    }

    fn next_block(&mut self) -> BlockRef {
        let number = self.head.number + 1;
        let block = BlockRef {
            number,
            hash: keccak256(number.to_be_bytes()),
            parent: self.head.hash,
            timestamp: 1_600_000_000 + number * 12,
        };
        self.head = BlockId::from(&block);
        block
    }

    fn transfer(
        &mut self,
        buf: &mut LogBuf,
        block: &BlockRef,
        index: usize,
        touched: &mut HashMap<(usize, usize), Option<U256>>,
    ) {
        let token = self.skewed(TOKENS);
        let first = token * HOLDERS as usize / 2;
        let mut holder = || (first + self.skewed(HOLDERS)) % ACCOUNTS as usize;
        let (from, to) = (holder(), holder());
        let value = U256::from(self.seed >> 8);
        for (holder, received) in [(from, false), (to, true)] {
            let before = self.holdings.get(&(token, holder)).copied();
            touched.entry((token, holder)).or_insert(before);
            let now = before.unwrap_or_default();
            let after = if received { now + value } else { now.saturating_sub(value) };
            self.holdings.insert((token, holder), after);
        }
        self.transfers[token] += 1;
        let fields = LogFields {
            block_number: block.number,
            block_hash: block.hash,
            tx_hash: keccak256([block.number, index as u64 / 2].map(u64::to_be_bytes).concat()),
            tx_index: index as u32 / 2,
            log_index: index as u32,
            address: self.tokens[token],
            topics: [
                self.topic0,
                self.accounts[from].into_word(),
                self.accounts[to].into_word(),
                B256::ZERO,
            ],
            topic_count: 3,
            ..LogFields::default()
        };
        buf.push(&fields, &value.to_be_bytes::<32>()).unwrap();
    }

    fn token(&self, token: usize) -> (DocKey, Option<Doc>) {
        let doc = Token {
            standard: TokenStandard::Erc20,
            first_block: 1,
            supply: U256::from(1),
            holders: 1,
            transfers: self.transfers[token],
            paused: false,
            identity_registry: None,
            compliance: None,
        };
        (DocKey::Token(self.tokens[token]), Some(Doc::Token(doc)))
    }
}

fn quantiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |q: usize| times[(times.len() - 1) * q / 1000].as_secs_f64() * 1e6;
    format!("p50 {:.0} us, p99 {:.0} us, max {:.0} us", at(500), at(990), at(1000))
}

/// CPU seconds of this process so far: user and system.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<f64> =
        after_name.split_whitespace().skip(11).take(2).filter_map(|f| f.parse().ok()).collect();
    fields.iter().sum::<f64>() / 100.0
}

fn peak_rss_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

async fn load(store: &impl Store, maker: &mut Maker, events: usize) {
    let (mut spent, mut cpu) = (Duration::ZERO, 0.0);
    for _ in 0..events / LOGS_PER_UNIT {
        let unit = maker.unit(LOGS_PER_UNIT, CommitMode::Bulk);
        let (start, cpu_start) = (Instant::now(), cpu_seconds());
        store.commit(Arc::new(unit)).await.unwrap();
        spent += start.elapsed();
        cpu += cpu_seconds() - cpu_start;
    }
    let load = spent.as_secs_f64();
    println!(
        "bulk load      {:.0} events/s, {:.2} CPU us an event",
        events as f64 / load,
        cpu / events as f64 * 1e6
    );
    let (start, cpu_start) = (Instant::now(), cpu_seconds());
    store.end_bulk().await.unwrap();
    let build = start.elapsed().as_secs_f64();
    println!(
        "index build    {build:.2} s, {:.2} CPU us an event; with it {:.0} events/s",
        (cpu_seconds() - cpu_start) / events as f64 * 1e6,
        events as f64 / (load + build)
    );
}

async fn live(store: &impl Store, maker: &mut Maker, logs: usize, rounds: usize) -> Vec<Duration> {
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let mut unit = maker.unit(logs, CommitMode::Live);
        unit.finalized = Some(maker.head.number.saturating_sub(64));
        let start = Instant::now();
        store.commit(Arc::new(unit)).await.unwrap();
        times.push(start.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    times
}

/// Each question asked of many accounts and tokens in turn.
async fn ask(store: &impl Queries, maker: &Maker, rounds: usize) {
    let mut times: [Vec<Duration>; 4] = Default::default();
    let newest = || EventQuery { chain: Some(CHAIN), limit: 50, ..EventQuery::default() };
    for round in 0..rounds {
        let account = maker.accounts[round * 7_919 % ACCOUNTS as usize];
        let token = maker.tokens[round % TOKENS as usize];
        let start = Instant::now();
        store.events(EventQuery { participant: Some(account), ..newest() }).await.unwrap();
        times[0].push(start.elapsed());
        let start = Instant::now();
        store.holders(CHAIN, token, None, 50, None).await.unwrap();
        times[1].push(start.elapsed());
        let start = Instant::now();
        let contract = Some(ContractFilter::Address(token));
        let page = store.events(EventQuery { contract, ..newest() }).await.unwrap();
        times[2].push(start.elapsed());
        let tx_hash = Some(page.items[round % page.items.len()].tx_hash);
        let start = Instant::now();
        store.events(EventQuery { tx_hash, order: Order::OldestFirst, ..newest() }).await.unwrap();
        times[3].push(start.elapsed());
    }
    let names = ["50 of a holder", "50 holders", "50 of a token", "a transaction"];
    for (name, times) in names.iter().zip(times) {
        println!("{name:<15}{}", quantiles(times));
    }
}

fn bytes_of(directory: &Path) -> u64 {
    std::fs::read_dir(directory)
        .unwrap()
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|meta| meta.len())
        .sum()
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let millions: f64 = args.first().and_then(|arg| arg.parse().ok()).unwrap_or(1.0);
    let base = args.get(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = base.join(format!("rwahub-bench-store-{}", std::process::id()));
    let events = (millions * 1e6) as usize;
    let store =
        Arc::new(embedded::open(&directory, &["erc20".into()], Arc::new(Transfers)).unwrap());
    store.open_chain(CHAIN, "bench").await.unwrap();
    let mut maker = Maker::new();
    load(&*store, &mut maker, events).await;
    println!("one-event commit {}", quantiles(live(&*store, &mut maker, 1, 500).await));
    println!("50-event commit  {}", quantiles(live(&*store, &mut maker, 50, 300).await));
    println!("alone:");
    ask(&*store, &maker, 500).await;
    println!("beside a writer of 50 events every 2 ms:");
    let asked = Arc::clone(&store);
    let accounts = Maker { accounts: maker.accounts.clone(), ..Maker::new() };
    let asking = tokio::spawn(async move { ask(&*asked, &accounts, 500).await });
    while !asking.is_finished() {
        live(&*store, &mut maker, 50, 10).await;
    }
    drop(store);
    println!(
        "file {} MiB, {} bytes an event; peak memory {} MiB, the maker's included",
        bytes_of(&directory) >> 20,
        bytes_of(&directory) / events.max(1) as u64,
        peak_rss_mib()
    );
    std::fs::remove_dir_all(&directory).unwrap();
}
