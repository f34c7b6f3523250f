//! From transactions and logs to what a chain commits to: RLP, transaction and receipt roots, bloom,
//! header hash.
//!
//! Written against the yellow paper and EIP-2718/1559, not through `alloy-consensus` types, for speed;
//! tests recompute everything with those. Signatures are made up: hashes are right, senders cannot
//! be recovered.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256, keccak256};
use alloy_rlp::{Encodable, Header as RlpHeader};
use alloy_trie::EMPTY_ROOT_HASH;
use alloy_trie::root::ordered_trie_root_encoded;

use super::events::LogSpec;
use super::recipe::{Recipe, Tx, TxKind, TxOrigin};
use super::rng::Rng;

/// Gas limit of every block: room for the largest block the settings allow.
pub(super) const GAS_LIMIT: u64 = 2_000_000_000;
pub(super) const BASE_FEE: u64 = 1_000_000_000;
pub(super) const PRIORITY_FEE: u64 = 100_000_000;
pub(super) const MAX_FEE: u64 = 2_000_000_000;
/// Gas that a transaction sent by a user takes.
pub(super) const SENT_GAS: u64 = 21_000;
/// Transaction type of all generated transactions.
const EIP1559: u8 = 2;

/// A transaction that a user sent in.
#[derive(Debug, Clone)]
pub(super) struct SentTx {
    pub(super) hash: B256,
    pub(super) raw: Bytes,
    /// EIP-2718 type, 0 for legacy.
    pub(super) tx_type: u8,
    pub(super) nonce: u64,
    pub(super) from: Address,
    pub(super) to: Option<Address>,
    pub(super) value: U256,
    pub(super) input: Bytes,
    pub(super) gas_limit: u64,
}

/// A block's transactions and logs, made for one use.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) txs: Vec<Tx>,
    /// Logs of all transactions in order; `log_ends[i]` is where those of transaction `i` end.
    pub(super) logs: Vec<LogSpec>,
    pub(super) log_ends: Vec<usize>,
    pub(super) sent: Vec<Arc<SentTx>>,
}

impl Body {
    pub(super) fn new(recipe: &Recipe, origins: &[TxOrigin], sent: &[Arc<SentTx>]) -> Self {
        let mut body = Self {
            txs: Vec::with_capacity(origins.len()),
            logs: Vec::new(),
            log_ends: Vec::with_capacity(origins.len()),
            sent: sent.to_vec(),
        };
        for origin in origins {
            let start = body.logs.len();
            recipe.logs(origin, &mut body.logs);
            body.txs.push(recipe.tx(*origin, &body.logs[start..]));
            body.log_ends.push(body.logs.len());
        }
        body
    }

    /// The logs of transaction `index` and the index of the first in the block.
    pub(super) fn logs_of(&self, index: usize) -> (usize, &[LogSpec]) {
        let start = index.checked_sub(1).and_then(|before| self.log_ends.get(before)).copied();
        let start = start.unwrap_or(0);
        match self.log_ends.get(index) {
            Some(end) => (start, &self.logs[start..*end]),
            None => (self.logs.len(), &[]),
        }
    }

    pub(super) fn gas_used(&self) -> u64 {
        self.txs.iter().map(|tx| tx.gas_used).sum::<u64>() + SENT_GAS * self.sent.len() as u64
    }

    pub(super) fn bloom(&self, recipe: &Recipe) -> Bloom {
        let mut bloom = Bloom::ZERO;
        self.logs.iter().for_each(|log| recipe.book.accrue(log, &mut bloom));
        bloom
    }
}

/// What a block's body commits to; needs no parent, so it can be made on any thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) number: u64,
    pub(super) fork: u32,
    pub(super) tx_hashes: Vec<B256>,
    pub(super) tx_root: B256,
    pub(super) receipts_root: B256,
    pub(super) bloom: Bloom,
    pub(super) gas_used: u64,
}

impl Parts {
    pub(super) fn new(recipe: &Recipe, number: u64, fork: u32, body: &Body) -> Self {
        let encoded: Vec<Vec<u8>> = (body.txs.iter().map(|tx| encode_tx(recipe, tx)))
            .chain(body.sent.iter().map(|tx| tx.raw.to_vec()))
            .collect();
        Self {
            number,
            fork,
            tx_hashes: encoded.iter().map(keccak256).collect(),
            tx_root: ordered_trie_root_encoded(&encoded),
            receipts_root: ordered_trie_root_encoded(&encode_receipts(recipe, body)),
            bloom: body.bloom(recipe),
            gas_used: body.gas_used(),
        }
    }

    /// The header on top of `parent`.
    pub(super) fn header(&self, recipe: &Recipe, parent: B256) -> Header {
        header(recipe, self.number, self.fork, parent, self)
    }
}

fn header(recipe: &Recipe, number: u64, fork: u32, parent: B256, parts: &Parts) -> Header {
    let mut rng = Rng::new(&[recipe.seed, number, fork.into(), 3]);
    Header {
        parent_hash: parent,
        beneficiary: Address::new(rng.bytes()),
        state_root: B256::new(rng.bytes()),
        transactions_root: parts.tx_root,
        receipts_root: parts.receipts_root,
        logs_bloom: parts.bloom,
        number,
        gas_limit: GAS_LIMIT,
        gas_used: parts.gas_used,
        timestamp: recipe.timestamp(number),
        extra_data: Bytes::from_static(b"rwahub sim"),
        mix_hash: B256::new(rng.bytes()),
        nonce: B64::ZERO,
        base_fee_per_gas: Some(BASE_FEE),
        withdrawals_root: Some(EMPTY_ROOT_HASH),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::new(rng.bytes())),
        ..Header::default()
    }
}

fn encode_tx(recipe: &Recipe, tx: &Tx) -> Vec<u8> {
    let [r, s] = tx.signature.map(U256::from_be_bytes);
    let to = tx.to.map(|place| recipe.book.address(place));
    let to_bytes: &[u8] = to.as_ref().map_or(&[], |address| address.as_slice());
    let mut fields = Vec::with_capacity(256);
    recipe.chain_id.encode(&mut fields);
    tx.nonce.encode(&mut fields);
    PRIORITY_FEE.encode(&mut fields);
    MAX_FEE.encode(&mut fields);
    gas_limit(tx).encode(&mut fields);
    to_bytes.encode(&mut fields);
    tx.value.encode(&mut fields);
    tx.input.as_slice().encode(&mut fields);
    fields.push(alloy_rlp::EMPTY_LIST_CODE);
    y_parity(tx).encode(&mut fields);
    r.encode(&mut fields);
    s.encode(&mut fields);
    let mut out = Vec::with_capacity(fields.len() + 8);
    out.push(EIP1559);
    RlpHeader { list: true, payload_length: fields.len() }.encode(&mut out);
    out.extend_from_slice(&fields);
    out
}

pub(super) fn y_parity(tx: &Tx) -> bool {
    tx.signature[0][31] & 1 == 1
}

pub(super) fn gas_limit(tx: &Tx) -> u64 {
    tx.gas_used + 10_000
}

pub(super) fn succeeded(tx: &Tx) -> bool {
    tx.kind != TxKind::Failed
}

fn encode_receipts(recipe: &Recipe, body: &Body) -> Vec<Vec<u8>> {
    let mut gas = 0;
    let mut out = Vec::with_capacity(body.txs.len() + body.sent.len());
    for (index, tx) in body.txs.iter().enumerate() {
        gas += tx.gas_used;
        let (_, logs) = body.logs_of(index);
        out.push(encode_receipt(recipe, EIP1559, succeeded(tx), gas, logs));
    }
    for tx in &body.sent {
        gas += SENT_GAS;
        out.push(encode_receipt(recipe, tx.tx_type, true, gas, &[]));
    }
    out
}

fn encode_receipt(
    recipe: &Recipe,
    tx_type: u8,
    status: bool,
    cumulative_gas: u64,
    logs: &[LogSpec],
) -> Vec<u8> {
    let mut encoded_logs = Vec::with_capacity(logs.len() * 192);
    let mut data = Vec::new();
    let mut bloom = Bloom::ZERO;
    for log in logs {
        recipe.book.accrue(log, &mut bloom);
        data.clear();
        recipe.book.write_data(log.data, &mut data);
        encode_log(recipe, log, &data, &mut encoded_logs);
    }
    let logs_header = RlpHeader { list: true, payload_length: encoded_logs.len() };
    let payload_length = status.length()
        + cumulative_gas.length()
        + bloom.length()
        + logs_header.length()
        + encoded_logs.len();
    let mut out = Vec::with_capacity(payload_length + 8);
    if tx_type != 0 {
        out.push(tx_type);
    }
    RlpHeader { list: true, payload_length }.encode(&mut out);
    status.encode(&mut out);
    cumulative_gas.encode(&mut out);
    bloom.encode(&mut out);
    logs_header.encode(&mut out);
    out.extend_from_slice(&encoded_logs);
    out
}

/// RLP of `[address, [topics], data]`. Every topic takes 33 bytes.
fn encode_log(recipe: &Recipe, log: &LogSpec, data: &[u8], out: &mut Vec<u8>) {
    let book = &recipe.book;
    let topics = RlpHeader { list: true, payload_length: 33 * usize::from(log.topic_count()) };
    let payload_length = 21 + topics.length() + topics.payload_length + data.length();
    RlpHeader { list: true, payload_length }.encode(out);
    book.address(log.emitter).encode(out);
    topics.encode(out);
    if let Some(topic) = book.topic0(log.kind) {
        topic.encode(out);
    }
    for word in log.indexed() {
        book.word(*word).encode(out);
    }
    data.encode(out);
}

#[cfg(test)]
mod tests {
    use alloy_eips::eip4895::Withdrawals;

    use super::*;

    #[test]
    fn no_withdrawals_have_the_empty_root() {
        let none = Withdrawals::default();
        assert_eq!(alloy_consensus::proofs::calculate_withdrawals_root(&none), EMPTY_ROOT_HASH);
    }
}
