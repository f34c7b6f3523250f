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

/// Lengths first, so that everything is written once, in place.
fn encode(receipts: &Receipts, receipt: &Receipt, out: &mut Vec<u8>) {
    let logs = || receipt.logs.clone().filter_map(|index| receipts.logs.get(index));
    let logs_length: usize = logs().map(|log| list_length(log_payload(log))).sum();
    let deposit = [receipt.deposit_nonce, receipt.deposit_receipt_version];
    let deposit = deposit
        .into_iter()
        .flatten()
        .filter(|_| receipt.tx_type == DEPOSIT_TYPE)
        .collect::<Vec<_>>();
    let first_length = match (receipt.status, receipt.root) {
        (None, Some(root)) => root.length(),
        (status, _) => status.unwrap_or(true).length(),
    };
    let payload_length = first_length
        + receipt.cumulative_gas_used.length()
        + receipt.bloom.length()
        + list_length(logs_length)
        + deposit.iter().map(Encodable::length).sum::<usize>();

    out.reserve(payload_length + 16);
    if receipt.tx_type != 0 {
        out.put_u8(receipt.tx_type);
    }
    Header { list: true, payload_length }.encode(out);
    match (receipt.status, receipt.root) {
        (None, Some(root)) => root.encode(out),
        (status, _) => status.unwrap_or(true).encode(out),
    }
    receipt.cumulative_gas_used.encode(out);
    receipt.bloom.encode(out);
    Header { list: true, payload_length: logs_length }.encode(out);
    for log in logs() {
        encode_log(log, out);
    }
    for field in deposit {
        field.encode(out);
    }
}

fn list_length(payload_length: usize) -> usize {
    payload_length + Header { list: true, payload_length }.length()
}

/// Each topic is a 32-byte string: one length byte before it.
fn topics_length(log: LogView<'_>) -> usize {
    log.topics().len() * 33
}

fn log_payload(log: LogView<'_>) -> usize {
    log.head.address.length() + list_length(topics_length(log)) + log.data.length()
}

fn encode_log(log: LogView<'_>, out: &mut Vec<u8>) {
    Header { list: true, payload_length: log_payload(log) }.encode(out);
    log.head.address.encode(out);
    Header { list: true, payload_length: topics_length(log) }.encode(out);
    for topic in log.topics() {
        topic.encode(out);
    }
    log.data.encode(out);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use alloy_consensus::proofs::calculate_receipt_root;
    use alloy_consensus::{Eip658Value, Receipt as Theirs, ReceiptEnvelope};
    use alloy_primitives::{Address, Bloom, Bytes, Log};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::types::log::{LogBuf, LogFields};

    /// One receipt: type, status or state root, gas, and its logs as (topics, payload bytes).
    type Drawn = (u8, Result<bool, [u8; 32]>, u64, Vec<(usize, Vec<u8>)>);

    fn drawn() -> impl Strategy<Value = Drawn> {
        let status = prop_oneof![
            4 => any::<bool>().prop_map(Ok),
            1 => any::<[u8; 32]>().prop_map(Err),
        ];
        let logs = vec((0usize..=4, vec(any::<u8>(), 0..200)), 0..4);
        (0u8..=4, status, any::<u64>(), logs)
    }

    fn theirs((kind, status, gas, logs): &Drawn) -> ReceiptEnvelope {
        let logs = logs.iter().map(|(topics, data)| {
            let topics = (0..*topics).map(|topic| B256::with_last_byte(topic as u8 + 1)).collect();
            Log::new_unchecked(Address::repeat_byte(7), topics, Bytes::from(data.clone()))
        });
        let status = match status {
            Ok(status) => Eip658Value::Eip658(*status),
            Err(root) => Eip658Value::PostState(B256::new(*root)),
        };
        let logs = logs.collect();
        let receipt = Theirs { status, cumulative_gas_used: *gas, logs }.with_bloom();
        match kind {
            0 => ReceiptEnvelope::Legacy(receipt),
            1 => ReceiptEnvelope::Eip2930(receipt),
            2 => ReceiptEnvelope::Eip1559(receipt),
            3 => ReceiptEnvelope::Eip4844(receipt),
            _ => ReceiptEnvelope::Eip7702(receipt),
        }
    }

    fn ours(all: &[Drawn]) -> Receipts {
        let mut receipts = Receipts {
            list: Vec::new(),
            logs: LogBuf::default(),
            bytes: 0,
            provider: Arc::from("p0"),
        };
        for drawn in all {
            let (kind, status, gas, logs) = drawn;
            let from = receipts.logs.len();
            for (topics, data) in logs {
                let mut fields =
                    LogFields { address: Address::repeat_byte(7), ..LogFields::default() };
                for topic in 0..*topics {
                    fields.topics[topic] = B256::with_last_byte(topic as u8 + 1);
                    fields.topic_count += 1;
                }
                receipts.logs.push(&fields, data).expect("small");
            }
            receipts.list.push(Receipt {
                tx_type: *kind,
                status: status.ok(),
                root: status.err().map(B256::new),
                cumulative_gas_used: *gas,
                bloom: *theirs(drawn).logs_bloom(),
                logs: from..receipts.logs.len(),
                ..Receipt::default()
            });
        }
        receipts
    }

    proptest! {
        #[test]
        fn the_root_is_the_one_alloy_computes(all in vec(drawn(), 0..40)) {
            let expected: Vec<_> = all.iter().map(theirs).collect();
            prop_assert_eq!(receipts_root(&ours(&all)), calculate_receipt_root(&expected));
        }
    }

    #[test]
    fn a_deposit_ends_with_its_nonce_and_since_canyon_its_version() {
        for (nonce, version) in [(None, None), (Some(5u64), None), (Some(5), Some(1u64))] {
            let mut receipts = ours(&[(2, Ok(true), 21_000, Vec::new())]);
            receipts.list[0].tx_type = DEPOSIT_TYPE;
            receipts.list[0].deposit_nonce = nonce;
            receipts.list[0].deposit_receipt_version = version;
            let mut fields = Vec::new();
            true.encode(&mut fields);
            21_000u64.encode(&mut fields);
            Bloom::ZERO.encode(&mut fields);
            // No logs: an empty list.
            fields.push(0xc0);
            for number in [nonce, version].into_iter().flatten() {
                number.encode(&mut fields);
            }
            let expected = ordered_trie_root_with_encoder(&[fields], |fields, out| {
                out.put_u8(0x7e);
                Header { list: true, payload_length: fields.len() }.encode(out);
                out.extend_from_slice(fields);
            });
            assert_eq!(receipts_root(&receipts), expected, "{nonce:?} {version:?}");
        }
    }
}
