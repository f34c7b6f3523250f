//! A chain made up for tests, with a handler of its own that keeps balances, and an oracle that knows
//! every answer by brute force.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256, U256, keccak256};

use crate::pipeline::store::{
    BlockDigest, CommitBlock, CommitMode, CommitUnit, ContractTag, Recognised, Undo,
};
use crate::types::asset::{Doc, DocKey, Holding, Token, TokenStandard};
use crate::types::chain::{BlockId, BlockRef, ChainId, Proof};
use crate::types::event::{Arg, ArgReader, LayoutId, LayoutInfo};
use crate::types::log::{LogBuf, LogFields, LogView};

/// The names that the tests open stores with.
pub(crate) fn contracts() -> Vec<String> {
    vec!["erc20".into(), "bonds".into()]
}

pub(crate) const CHAIN: ChainId = ChainId(31_337);

/// What a made-up log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Transfer { from: Address, to: Address, value: u64 },
    Piece { from: Address, to: Address, id: u64 },
    TokensFrozen { account: Address, value: u64 },
    AddressFrozen { account: Address, frozen: bool },
    Suite { parts: [Address; 6] },
    Garbage,
}

pub(crate) const SIGNATURES: [(&str, &str); 5] = [
    ("Transfer", "Transfer(address indexed from,address indexed to,uint256 value)"),
    ("Transfer", "Transfer(address indexed from,address indexed to,uint256 indexed tokenId)"),
    ("TokensFrozen", "TokensFrozen(address indexed userAddress,uint256 amount)"),
    (
        "AddressFrozen",
        "AddressFrozen(address indexed userAddress,bool indexed isFrozen,address indexed owner)",
    ),
    (
        "SuiteDeployed",
        "SuiteDeployed(address indexed token,address ir,address irs,address tir,address ctr,address mc)",
    ),
];

/// Reads the made-up layouts. `shift` moves the process numbers, as an ABI added in front would.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) shift: u32,
}

impl Reader {
    pub(crate) fn shared(shift: u32) -> Arc<dyn ArgReader> {
        Arc::new(Self { shift })
    }

    fn which(&self, layout: LayoutId) -> usize {
        (layout.0 - self.shift) as usize
    }
}

fn topic0(signature: &str) -> B256 {
    let (name, arguments) = signature.split_once('(').expect("a signature");
    let types: Vec<&str> = arguments
        .trim_end_matches(')')
        .split(',')
        .map(|argument| argument.split(' ').next().expect("a type"))
        .collect();
    keccak256(format!("{name}({})", types.join(",")))
}

fn words(log: LogView<'_>) -> Vec<B256> {
    let data = log.data.chunks_exact(32).map(B256::from_slice);
    log.topics().iter().skip(1).copied().chain(data).collect()
}

impl ArgReader for Reader {
    fn args(&self, layout: LayoutId, log: LogView<'_>) -> Result<Vec<Arg>, String> {
        let signature = SIGNATURES[self.which(layout)].1;
        let inside = signature.split_once('(').ok_or("signature")?.1.trim_end_matches(')');
        let named = inside.split(',').zip(words(log));
        Ok(named
            .map(|(argument, word)| Arg {
                name: argument.rsplit(' ').next().unwrap_or_default().to_owned(),
                value: if argument.starts_with("address") {
                    Address::from_word(word).to_string()
                } else {
                    U256::from_be_bytes(word.0).to_string()
                },
            })
            .collect())
    }

    fn participants(&self, layout: LayoutId, log: LogView<'_>, out: &mut Vec<Address>) {
        let inside = SIGNATURES[self.which(layout)].1;
        for (argument, word) in inside.split(',').zip(words(log)) {
            if argument.contains("address ") {
                out.push(Address::from_word(word));
            }
        }
    }

    fn layouts(&self) -> Vec<LayoutInfo> {
        SIGNATURES
            .iter()
            .enumerate()
            .map(|(index, (event, signature))| LayoutInfo {
                id: LayoutId(index as u32 + self.shift),
                event: (*event).to_owned(),
                signature: (*signature).to_owned(),
                topic0: Some(topic0(signature)),
            })
            .collect()
    }
}

/// A made-up log in its block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made {
    pub(crate) token: Address,
    pub(crate) tag: u16,
    pub(crate) what: What,
    pub(crate) tx: B256,
}

/// A made-up block.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) block: BlockRef,
    pub(crate) proof: Proof,
    /// Made up: a store keeps it, whatever it is.
    pub(crate) digest: Option<BlockDigest>,
    pub(crate) logs: Vec<Made>,
}

pub(crate) type Docs = BTreeMap<DocKey, Doc>;

/// The chain as it is now, and what a store that follows it must hold.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) chain: ChainId,
    pub(crate) blocks: Vec<Block>,
    pub(crate) docs: Docs,
    /// Documents after each block, for restoring and for questions about the past.
    pub(crate) past: BTreeMap<u64, Docs>,
    pub(crate) mode: CommitMode,
    pub(crate) shift: u32,
    salt: u64,
}

pub(crate) fn account(n: u64) -> Address {
    Address::from_word(keccak256(n.to_be_bytes()))
}

pub(crate) fn transfer(token: u64, from: u64, to: u64, value: u64) -> Made {
    let (from, to) = (party(from), party(to));
    made(token, 0, What::Transfer { from, to, value })
}

/// Account zero is the zero address: mints and burns.
pub(crate) fn party(n: u64) -> Address {
    if n == 0 { Address::ZERO } else { account(n) }
}

pub(crate) fn made(token: u64, tag: u16, what: What) -> Made {
    Made { token: account(1_000 + token), tag, what, tx: B256::ZERO }
}

impl World {
    pub(crate) fn new(chain: ChainId) -> Self {
        Self {
            chain,
            blocks: Vec::new(),
            docs: Docs::new(),
            past: BTreeMap::new(),
            mode: CommitMode::Live,
            shift: 0,
            salt: 0,
        }
    }

    pub(crate) fn head(&self) -> Option<BlockId> {
        self.blocks.last().map(|block| BlockId::from(&block.block))
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.head().map_or(1, |head| head.number + 1)
    }

    /// Extends the chain by one block per list of logs and returns the unit that tells of it.
    pub(crate) fn extend(&mut self, blocks: Vec<Vec<Made>>) -> CommitUnit {
        self.reorg(None, blocks)
    }

    /// Drops the blocks above `to`, then extends.
    pub(crate) fn reorg(&mut self, to: Option<u64>, blocks: Vec<Vec<Made>>) -> CommitUnit {
        let mut touched: BTreeMap<DocKey, ()> = BTreeMap::new();
        if let Some(to) = to {
            let before = self.past.get(&to).cloned().unwrap_or_default();
            let keys = self.docs.keys().chain(before.keys()).copied();
            touched.extend(keys.map(|key| (key, ())));
            self.docs = before;
            self.past.retain(|block, _| *block <= to);
            self.blocks.retain(|block| block.block.number <= to);
        }
        let first = self.blocks.len();
        let mut undo = Vec::new();
        for logs in blocks {
            self.push(logs, &mut undo, &mut touched);
        }
        self.unit(first, to, undo, touched)
    }

    fn push(
        &mut self,
        mut logs: Vec<Made>,
        undo: &mut Vec<Undo>,
        touched: &mut BTreeMap<DocKey, ()>,
    ) {
        let number = self.next_number();
        self.salt += 1;
        let block = BlockRef {
            number,
            hash: keccak256([self.chain.0, number, self.salt].map(u64::to_be_bytes).concat()),
            parent: self.head().map_or(B256::repeat_byte(9), |head| head.hash),
            timestamp: 1_700_000_000 + number * 12,
        };
        for (index, log) in logs.iter_mut().enumerate() {
            // Two logs share a transaction.
            log.tx = keccak256([self.salt, index as u64 / 2].map(u64::to_be_bytes).concat());
        }
        let before = self.docs.clone();
        for log in &logs {
            apply(&mut self.docs, log, number);
        }
        for key in before.keys().chain(self.docs.keys()) {
            let (was, is) = (before.get(key), self.docs.get(key));
            if was != is && !undo.iter().any(|u: &Undo| u.block == number && u.key == *key) {
                undo.push(Undo { block: number, key: *key, before: was.cloned() });
                touched.insert(*key, ());
            }
        }
        let digest = (!logs.is_empty()).then(|| BlockDigest {
            content: keccak256([block.hash.as_slice(), b"content"].concat()),
            state: keccak256([block.hash.as_slice(), b"state"].concat()),
        });
        self.blocks.push(Block { block, proof: Proof::ReceiptsRoot, digest, logs });
        self.past.insert(number, self.docs.clone());
    }

    fn unit(
        &self,
        first: usize,
        rewind_to: Option<u64>,
        undo: Vec<Undo>,
        touched: BTreeMap<DocKey, ()>,
    ) -> CommitUnit {
        let new = &self.blocks[first..];
        let mut logs = LogBuf::default();
        let mut recognised = Vec::new();
        for block in new {
            for (index, log) in block.logs.iter().enumerate() {
                let (fields, data) = raw(block, index, log);
                logs.push(&fields, &data).expect("small");
                recognised.push(self.recognise(log));
            }
        }
        let root = BlockId { number: 0, hash: B256::repeat_byte(9) };
        let cursor = self.head().unwrap_or(root);
        let block = |block: &Block| CommitBlock {
            block: block.block,
            proof: block.proof,
            digest: block.digest,
        };
        CommitUnit {
            chain: self.chain,
            mode: self.mode,
            rewind_to,
            blocks: new.iter().map(block).collect(),
            logs,
            recognised,
            docs: touched.into_keys().map(|key| (key, self.docs.get(&key).cloned())).collect(),
            undo,
            cursor,
            finalized: None,
            parked: Vec::new(),
        }
    }

    /// The state digest that a store must tell at its cursor.
    pub(crate) fn digest_at(&self, number: u64) -> B256 {
        let below = self.blocks.iter().rev().filter(|block| block.block.number <= number);
        below.filter_map(|block| block.digest).map(|digest| digest.state).next().unwrap_or_default()
    }

    fn recognise(&self, log: &Made) -> Recognised {
        let contract = ContractTag(log.tag);
        match layout(&log.what) {
            Some(layout) => {
                Recognised::Event { layout: LayoutId(layout as u32 + self.shift), contract }
            }
            None => Recognised::Undecoded { contract, reason: "payload does not fit" },
        }
    }
}

/// Which of [`SIGNATURES`] a log has.
pub(crate) fn layout(what: &What) -> Option<usize> {
    match what {
        What::Transfer { .. } => Some(0),
        What::Piece { .. } => Some(1),
        What::TokensFrozen { .. } => Some(2),
        What::AddressFrozen { .. } => Some(3),
        What::Suite { .. } => Some(4),
        What::Garbage => None,
    }
}

/// Who takes part in a log.
pub(crate) fn parties(what: &What) -> Vec<Address> {
    match what {
        What::Transfer { from, to, .. } | What::Piece { from, to, .. } => vec![*from, *to],
        What::TokensFrozen { account, .. } => vec![*account],
        What::AddressFrozen { account, .. } => vec![*account, Address::ZERO],
        What::Suite { parts } => parts.to_vec(),
        What::Garbage => Vec::new(),
    }
}

fn raw(block: &Block, index: usize, log: &Made) -> (LogFields, Vec<u8>) {
    let number = |value: u64| B256::from(U256::from(value));
    let (words, indexed): (Vec<B256>, usize) = match log.what {
        What::Transfer { from, to, value } => {
            (vec![from.into_word(), to.into_word(), number(value)], 2)
        }
        What::Piece { from, to, id } => (vec![from.into_word(), to.into_word(), number(id)], 3),
        What::TokensFrozen { account, value } => (vec![account.into_word(), number(value)], 1),
        What::AddressFrozen { account, frozen } => {
            (vec![account.into_word(), number(frozen.into()), B256::ZERO], 3)
        }
        What::Suite { parts } => (parts.iter().map(Address::into_word).collect(), 1),
        What::Garbage => (vec![B256::repeat_byte(7)], 0),
    };
    let first = layout(&log.what).map_or(B256::repeat_byte(5), |which| topic0(SIGNATURES[which].1));
    let mut topics = [B256::ZERO; 4];
    topics[0] = first;
    topics[1..=indexed].copy_from_slice(&words[..indexed]);
    let fields = LogFields {
        block_number: block.block.number,
        block_hash: block.block.hash,
        tx_hash: log.tx,
        tx_index: index as u32 / 2,
        log_index: index as u32,
        address: log.token,
        topics,
        topic_count: 1 + indexed as u8,
        ..LogFields::default()
    };
    let data = words[indexed..].iter().flat_map(|word| word.0).collect();
    (fields, data)
}

/// The test's own handler.
fn apply(docs: &mut Docs, log: &Made, block: u64) {
    let token = log.token;
    match log.what {
        What::Transfer { from, to, value } => moved(docs, token, (from, to), value, block),
        What::Piece { from, to, .. } => moved(docs, token, (from, to), 1, block),
        What::TokensFrozen { account, value } => {
            let mut holding = holding(docs, token, account);
            holding.frozen += U256::from(value);
            docs.insert(DocKey::Holding { token, holder: account }, Doc::Holding(holding));
        }
        What::AddressFrozen { account, frozen } => {
            let mut holding = holding(docs, token, account);
            holding.account_frozen = frozen;
            docs.insert(DocKey::Holding { token, holder: account }, Doc::Holding(holding));
        }
        What::Suite { .. } | What::Garbage => {}
    }
}

fn moved(docs: &mut Docs, token: Address, (from, to): (Address, Address), value: u64, block: u64) {
    let value = U256::from(value);
    let mut doc = match docs.get(&DocKey::Token(token)) {
        Some(Doc::Token(doc)) => doc.clone(),
        _ => Token {
            standard: TokenStandard::Erc20,
            first_block: block,
            supply: U256::ZERO,
            holders: 0,
            transfers: 0,
            paused: false,
            identity_registry: None,
            compliance: None,
        },
    };
    doc.transfers += 1;
    if from.is_zero() {
        doc.supply += value;
    } else {
        let mut holding = holding(docs, token, from);
        holding.balance -= value;
        docs.insert(DocKey::Holding { token, holder: from }, Doc::Holding(holding));
    }
    if to.is_zero() {
        doc.supply -= value;
    } else {
        let mut holding = holding(docs, token, to);
        holding.balance += value;
        docs.insert(DocKey::Holding { token, holder: to }, Doc::Holding(holding));
    }
    docs.insert(DocKey::Token(token), Doc::Token(doc));
}

pub(crate) fn holding(docs: &Docs, token: Address, holder: Address) -> Holding {
    match docs.get(&DocKey::Holding { token, holder }) {
        Some(Doc::Holding(holding)) => *holding,
        _ => Holding::default(),
    }
}

/// A seeded number below `below`; the tests need variety, not quality.
pub(crate) fn roll(seed: &mut u64, below: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % below
}

impl World {
    /// Random blocks that never overdraw an account.
    pub(crate) fn random_blocks(&self, seed: &mut u64, count: usize) -> Vec<Vec<Made>> {
        let mut docs = self.docs.clone();
        (0..count)
            .map(|offset| {
                let number = self.next_number() + offset as u64;
                let logs = roll(seed, 5);
                (0..logs)
                    .map(|_| {
                        let log = random_log(&docs, seed);
                        apply(&mut docs, &log, number);
                        log
                    })
                    .collect()
            })
            .collect()
    }
}

impl World {
    /// One random step: a few blocks, every third time or so in place of the newest ones.
    pub(crate) fn step(&mut self, seed: &mut u64) -> CommitUnit {
        let head = self.head().map_or(0, |head| head.number);
        let back = (roll(seed, 3) == 0 && head > 1).then(|| head - 1 - roll(seed, head.min(6)));
        let mut base = self.clone();
        if let Some(to) = back {
            base.reorg(Some(to), vec![]);
        }
        let count = 1 + roll(seed, 3) as usize;
        let blocks = base.random_blocks(seed, count);
        self.reorg(back, blocks)
    }
}

fn random_log(docs: &Docs, seed: &mut u64) -> Made {
    let token = 1 + roll(seed, 3);
    let tag = u16::from(token == 3);
    let (from, to) = (1 + roll(seed, 6), 1 + roll(seed, 6));
    let has = holding(docs, account(1_000 + token), account(from)).balance.to::<u64>();
    let what = match roll(seed, 10) {
        0 => What::TokensFrozen { account: account(from), value: roll(seed, 5) },
        1 => What::AddressFrozen { account: account(from), frozen: roll(seed, 2) == 0 },
        2 => What::Garbage,
        3 => What::Suite { parts: [1, 2, 3, 4, 5, 6].map(|n| account(n + roll(seed, 3))) },
        4 if token == 3 => What::Piece { from: Address::ZERO, to: account(to), id: roll(seed, 99) },
        4..=6 => What::Transfer { from: Address::ZERO, to: account(to), value: roll(seed, 100) },
        7 => What::Transfer { from: account(from), to: Address::ZERO, value: roll(seed, has + 1) },
        _ => What::Transfer { from: account(from), to: account(to), value: roll(seed, has + 1) },
    };
    made(token, tag, what)
}
