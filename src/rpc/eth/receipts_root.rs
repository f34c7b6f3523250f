//! The receipts root, recomputed from all receipts of a block (yellow paper §4.4.1, EIP-2718).
//!
//! Pure. Encodes legacy, typed, pre-Byzantium and OP-stack deposit receipts; a chain with another
//! encoding gives another root, and its blocks stay unverified.

use alloy_primitives::B256;
use alloy_rlp::{BufMut, Encodable, Header};
use alloy_trie::root::ordered_trie_root_with_encoder;

use super::receipts::{Receipt, Receipts};
use crate::types::log::LogView;

/// EIP-2718 type of an OP-stack deposit, whose receipt has two more fields.
const DEPOSIT_TYPE: u8 = 0x7e;

/// The root of the trie of all receipts, keyed by transaction index.
pub fn receipts_root(receipts: &Receipts) -> B256 {
    ordered_trie_root_with_encoder(&receipts.list, |receipt, out| encode(receipts, receipt, out))
}

fn encode(receipts: &Receipts, receipt: &Receipt, out: &mut Vec<u8>) {
    if receipt.tx_type != 0 {
        out.put_u8(receipt.tx_type);
    }
    let mut payload = Vec::with_capacity(512);
    match (receipt.status, receipt.root) {
        (None, Some(root)) => root.encode(&mut payload),
        (status, _) => status.unwrap_or(true).encode(&mut payload),
    }
    receipt.cumulative_gas_used.encode(&mut payload);
    receipt.bloom.encode(&mut payload);
    encode_logs(receipts, receipt, &mut payload);
    if receipt.tx_type == DEPOSIT_TYPE {
        for field in [receipt.deposit_nonce, receipt.deposit_receipt_version].into_iter().flatten()
        {
            field.encode(&mut payload);
        }
    }
    Header { list: true, payload_length: payload.len() }.encode(out);
    out.extend_from_slice(&payload);
}

fn encode_logs(receipts: &Receipts, receipt: &Receipt, out: &mut Vec<u8>) {
    let mut list = Vec::new();
    for index in receipt.logs.clone() {
        if let Some(log) = receipts.logs.get(index) {
            encode_log(log, &mut list);
        }
    }
    Header { list: true, payload_length: list.len() }.encode(out);
    out.extend_from_slice(&list);
}

fn encode_log(log: LogView<'_>, out: &mut Vec<u8>) {
    // Each topic is a 32-byte string: one length byte before it.
    let topics_length = log.topics().len() * 33;
    let topics = Header { list: true, payload_length: topics_length };
    let payload_length =
        log.head.address.length() + topics.length() + topics_length + log.data.length();
    Header { list: true, payload_length }.encode(out);
    log.head.address.encode(out);
    topics.encode(out);
    for topic in log.topics() {
        topic.encode(out);
    }
    log.data.encode(out);
}
