//! Chain data as the JSON that geth writes, appended to a buffer.
//!
//! Hand-written because a simulated node must never be the bottleneck of a benchmark: a log costs a
//! dozen copies. Decides nothing about what to show.

use alloy_consensus::Header;
use alloy_primitives::{B256, Bloom};

use super::book::Book;
use super::events::{Data, LogSpec, Word};
use super::recipe::{Recipe, Tx};
use super::seal::{self, Body, SentTx};
use super::view::Block;

pub(super) fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    let at = out.len();
    out.resize(at + 2 * bytes.len(), b'0');
    // The only error is a short buffer, and it is exactly long enough.
    let written = faster_hex::hex_encode(bytes, &mut out[at..]);
    debug_assert!(written.is_ok());
}

/// `"0x…"` of fixed bytes.
pub(super) fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"0x");
    write_hex(bytes, out);
    out.push(b'"');
}

/// Hex digits of a quantity, without quotes or `0x`.
fn write_digits(value: u64, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let count = (64 - value.leading_zeros()).div_ceil(4).max(1);
    out.extend((0..count).rev().map(|at| DIGITS[(value >> (4 * at) & 15) as usize]));
}

/// `"0x…"` of a quantity.
pub(super) fn write_quantity(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"0x");
    write_digits(value, out);
    out.push(b'"');
}

/// `,"name":` – every object here starts with a field that needs no comma.
fn key(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn quantity(name: &str, value: u64, out: &mut Vec<u8>) {
    key(name, out);
    write_quantity(value, out);
}

fn bytes(name: &str, value: &[u8], out: &mut Vec<u8>) {
    key(name, out);
    write_bytes(value, out);
}

/// Writes the logs of one block, with the parts that they share ready made.
#[derive(Debug, Default)]
pub(super) struct LogText {
    before_tx_hash: Vec<u8>,
    after_tx_index: Vec<u8>,
    tx: Vec<u8>,
    after_log_index: &'static [u8],
}

impl LogText {
    pub(super) fn start_block(&mut self, block: &Block, timestamps: bool, removed: bool) {
        self.before_tx_hash.clear();
        self.before_tx_hash.extend_from_slice(b"\",\"blockNumber\":\"0x");
        write_digits(block.number, &mut self.before_tx_hash);
        self.before_tx_hash.extend_from_slice(b"\",\"transactionHash\":\"0x");
        let after = &mut self.after_tx_index;
        after.clear();
        after.extend_from_slice(b"\",\"blockHash\":\"0x");
        write_hex(block.hash.as_slice(), after);
        if timestamps {
            after.extend_from_slice(b"\",\"blockTimestamp\":\"0x");
            write_digits(block.timestamp, after);
        }
        after.extend_from_slice(b"\",\"logIndex\":\"0x");
        self.after_log_index =
            if removed { b"\",\"removed\":true}" } else { b"\",\"removed\":false}" };
    }

    pub(super) fn start_tx(&mut self, hash: &B256, index: usize) {
        self.tx.clear();
        self.tx.extend_from_slice(&self.before_tx_hash);
        write_hex(hash.as_slice(), &mut self.tx);
        self.tx.extend_from_slice(b"\",\"transactionIndex\":\"0x");
        write_digits(index as u64, &mut self.tx);
        self.tx.extend_from_slice(&self.after_tx_index);
    }

    pub(super) fn write(&self, book: &Book, log: &LogSpec, log_index: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"address\":\"0x");
        out.extend_from_slice(book.hex(log.emitter));
        out.extend_from_slice(b"\",\"topics\":[");
        out.extend_from_slice(book.topic0_json(log.kind));
        for word in log.indexed() {
            match *word {
                Word::Party(place) => out.extend_from_slice(book.topic_json(place)),
                Word::Number(_) => {
                    out.push(b',');
                    write_bytes(book.word(*word).as_slice(), out);
                }
            }
        }
        match log.data {
            Data::Amount { value, wide: false } => {
                // The upper half of the word is zero.
                out.extend_from_slice(b"],\"data\":\"0x00000000000000000000000000000000");
                write_hex(&value.to_be_bytes(), out);
            }
            data => {
                let mut bytes = Vec::with_capacity(32);
                book.write_data(data, &mut bytes);
                out.extend_from_slice(b"],\"data\":\"0x");
                write_hex(&bytes, out);
            }
        }
        out.extend_from_slice(&self.tx);
        write_digits(log_index, out);
        out.extend_from_slice(self.after_log_index);
    }
}

/// A header as `newHeads` and the block methods show it, without the closing brace.
pub(super) fn open_header(hash: &B256, header: &Header, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"hash\":");
    write_bytes(hash.as_slice(), out);
    quantity("number", header.number, out);
    bytes("parentHash", header.parent_hash.as_slice(), out);
    bytes("sha3Uncles", header.ommers_hash.as_slice(), out);
    bytes("miner", header.beneficiary.as_slice(), out);
    bytes("stateRoot", header.state_root.as_slice(), out);
    bytes("transactionsRoot", header.transactions_root.as_slice(), out);
    bytes("receiptsRoot", header.receipts_root.as_slice(), out);
    bytes("logsBloom", header.logs_bloom.as_slice(), out);
    quantity("difficulty", 0, out);
    quantity("gasLimit", header.gas_limit, out);
    quantity("gasUsed", header.gas_used, out);
    quantity("timestamp", header.timestamp, out);
    bytes("extraData", &header.extra_data, out);
    bytes("mixHash", header.mix_hash.as_slice(), out);
    bytes("nonce", header.nonce.as_slice(), out);
    quantity("baseFeePerGas", header.base_fee_per_gas.unwrap_or_default(), out);
    bytes("withdrawalsRoot", header.withdrawals_root.unwrap_or_default().as_slice(), out);
    quantity("blobGasUsed", header.blob_gas_used.unwrap_or_default(), out);
    quantity("excessBlobGas", header.excess_blob_gas.unwrap_or_default(), out);
    let beacon_root = header.parent_beacon_block_root.unwrap_or_default();
    bytes("parentBeaconBlockRoot", beacon_root.as_slice(), out);
}

/// A block with its transactions, whole or as hashes.
pub(super) fn write_block(recipe: &Recipe, block: &Block, full: bool, out: &mut Vec<u8>) {
    let body = block.body(recipe);
    open_header(&block.hash, &block.header(recipe, &body), out);
    quantity("size", 1_000 + 200 * block.tx_hashes.len() as u64, out);
    key("uncles", out);
    out.extend_from_slice(b"[]");
    key("withdrawals", out);
    out.extend_from_slice(b"[]");
    key("transactions", out);
    out.push(b'[');
    for (index, hash) in block.tx_hashes.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if full {
            write_tx(recipe, block, &body, index, out);
        } else {
            write_bytes(hash.as_slice(), out);
        }
    }
    out.extend_from_slice(b"]}");
}

/// The transaction at `index`; `null` when there is none.
pub(super) fn write_tx(
    recipe: &Recipe,
    block: &Block,
    body: &Body,
    index: usize,
    out: &mut Vec<u8>,
) {
    if let Some(tx) = body.txs.get(index) {
        write_made_tx(recipe, tx, out);
    } else if let Some(tx) = index.checked_sub(body.txs.len()).and_then(|at| body.sent.get(at)) {
        write_sent_tx(tx, out);
    } else {
        out.extend_from_slice(b"null");
        return;
    }
    bytes("hash", block.tx_hashes[index].as_slice(), out);
    bytes("blockHash", block.hash.as_slice(), out);
    quantity("blockNumber", block.number, out);
    quantity("transactionIndex", index as u64, out);
    out.push(b'}');
}

/// A sent transaction that waits for its block.
pub(super) fn write_pending_tx(tx: &SentTx, out: &mut Vec<u8>) {
    write_sent_tx(tx, out);
    bytes("hash", tx.hash.as_slice(), out);
    for name in ["blockHash", "blockNumber", "transactionIndex"] {
        key(name, out);
        out.extend_from_slice(b"null");
    }
    out.push(b'}');
}

fn write_made_tx(recipe: &Recipe, tx: &Tx, out: &mut Vec<u8>) {
    let book = &recipe.book;
    out.extend_from_slice(b"{\"type\":\"0x2\"");
    quantity("chainId", recipe.chain_id, out);
    quantity("nonce", tx.nonce, out);
    bytes("from", book.address(tx.from).as_slice(), out);
    write_to(tx.to.map(|place| book.address(place)), "to", out);
    quantity("value", tx.value, out);
    quantity("gas", seal::gas_limit(tx), out);
    quantity("gasPrice", seal::BASE_FEE + seal::PRIORITY_FEE, out);
    quantity("maxFeePerGas", seal::MAX_FEE, out);
    quantity("maxPriorityFeePerGas", seal::PRIORITY_FEE, out);
    bytes("input", &tx.input, out);
    key("accessList", out);
    out.extend_from_slice(b"[]");
    let parity = u64::from(seal::y_parity(tx));
    quantity("yParity", parity, out);
    quantity("v", parity, out);
    for (name, half) in ["r", "s"].iter().zip(&tx.signature) {
        // Quantities have no leading zero.
        key(name, out);
        let mut digits = Vec::with_capacity(64);
        write_hex(half, &mut digits);
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        out.extend_from_slice(b"\"0x");
        out.extend_from_slice(&digits[zeros..]);
        out.push(b'"');
    }
}

fn write_to(to: Option<alloy_primitives::Address>, name: &str, out: &mut Vec<u8>) {
    key(name, out);
    match to {
        Some(address) => write_bytes(address.as_slice(), out),
        None => out.extend_from_slice(b"null"),
    }
}

fn write_sent_tx(tx: &SentTx, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":");
    write_quantity(tx.tx_type.into(), out);
    quantity("nonce", tx.nonce, out);
    bytes("from", tx.from.as_slice(), out);
    write_to(tx.to, "to", out);
    key("value", out);
    out.extend_from_slice(format!("\"{:#x}\"", tx.value).as_bytes());
    quantity("gas", tx.gas_limit, out);
    quantity("gasPrice", seal::BASE_FEE + seal::PRIORITY_FEE, out);
    bytes("input", &tx.input, out);
    out.extend_from_slice(b",\"v\":\"0x0\",\"r\":\"0x1\",\"s\":\"0x1\"");
}

/// All receipts of a block, or the one at `only`.
pub(super) fn write_receipts(
    recipe: &Recipe,
    block: &Block,
    timestamps: bool,
    only: Option<usize>,
    out: &mut Vec<u8>,
) {
    let body = block.body(recipe);
    let mut text = LogText::default();
    text.start_block(block, timestamps, false);
    let mut gas = 0;
    let mut first = true;
    for (index, hash) in block.tx_hashes.iter().enumerate() {
        let gas_used = body.txs.get(index).map_or(seal::SENT_GAS, |tx| tx.gas_used);
        gas += gas_used;
        if only.is_some_and(|only| only != index) {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        text.start_tx(hash, index);
        write_receipt(recipe, block, &body, (index, gas, gas_used), &text, out);
    }
}

fn write_receipt(
    recipe: &Recipe,
    block: &Block,
    body: &Body,
    (index, cumulative_gas, gas_used): (usize, u64, u64),
    text: &LogText,
    out: &mut Vec<u8>,
) {
    let book = &recipe.book;
    let made = body.txs.get(index);
    let sent = index.checked_sub(body.txs.len()).and_then(|at| body.sent.get(at));
    let (from, to) = match (made, sent) {
        (Some(tx), _) => (book.address(tx.from), tx.to.map(|place| book.address(place))),
        (None, Some(tx)) => (tx.from, tx.to),
        (None, None) => Default::default(),
    };
    let deployed = made.filter(|tx| tx.to.is_none());
    let tx_type = sent.map_or(2, |tx| tx.tx_type);
    out.extend_from_slice(b"{\"type\":");
    write_quantity(tx_type.into(), out);
    quantity("status", u64::from(made.is_none_or(seal::succeeded)), out);
    quantity("cumulativeGasUsed", cumulative_gas, out);
    let (start, logs) = body.logs_of(index);
    key("logs", out);
    out.push(b'[');
    let mut bloom = Bloom::ZERO;
    for (at, log) in logs.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        book.accrue(log, &mut bloom);
        text.write(book, log, (start + at) as u64, out);
    }
    out.push(b']');
    bytes("logsBloom", bloom.as_slice(), out);
    bytes("transactionHash", block.tx_hashes[index].as_slice(), out);
    quantity("transactionIndex", index as u64, out);
    bytes("blockHash", block.hash.as_slice(), out);
    quantity("blockNumber", block.number, out);
    quantity("gasUsed", gas_used, out);
    quantity("effectiveGasPrice", seal::BASE_FEE + seal::PRIORITY_FEE, out);
    bytes("from", from.as_slice(), out);
    write_to(to, "to", out);
    let token = deployed.map(|tx| book.address(book.token(tx.origin.index.into())));
    write_to(token, "contractAddress", out);
    out.push(b'}');
}
