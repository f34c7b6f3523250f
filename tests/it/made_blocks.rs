//! Blocks of kinds that nobody recorded for us, made with an encoder of their own and replayed through the
//! whole daemon: receipts of before Byzantium, crowded blocks, anonymous events, OP-stack deposits,
//! Arbitrum's transaction types, Polygon's state sync.

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bloom, Bytes, Log, U256, b256};
use alloy_rlp::Encodable;
use serde_json::{Value, json};

use crate::support::hub::Setup;
use crate::support::replay::Replay;

const TRANSFER: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");
const NUMBER: u64 = 5_000_000;

/// A receipt as the chain's own client would write it.
#[derive(Debug, Clone)]
struct Made {
    kind: u8,
    /// Success, or the state root in its place.
    status: Result<bool, B256>,
    logs: Vec<Log>,
    /// Nonce and version of an OP-stack deposit.
    deposit: Option<(u64, u64)>,
    /// Whether the header's root covers it; Polygon's state sync is left out.
    in_root: bool,
}

fn made(kind: u8, logs: Vec<Log>) -> Made {
    Made { kind, status: Ok(true), logs, deposit: None, in_root: true }
}

fn transfer(value: u64) -> Log {
    let topics = vec![TRANSFER, B256::with_last_byte(1), B256::with_last_byte(2)];
    let data = U256::from(value).to_be_bytes::<32>();
    Log::new_unchecked(Address::repeat_byte(0x55), topics, Bytes::copy_from_slice(&data))
}

impl Made {
    fn bloom(&self) -> Bloom {
        let mut bloom = Bloom::ZERO;
        self.logs.iter().for_each(|log| bloom.accrue_log(log));
        bloom
    }

    fn encoded(&self, gas: u64) -> Vec<u8> {
        let mut fields = Vec::new();
        match self.status {
            Ok(status) => status.encode(&mut fields),
            Err(root) => root.encode(&mut fields),
        }
        gas.encode(&mut fields);
        self.bloom().encode(&mut fields);
        self.logs.encode(&mut fields);
        if let Some((nonce, version)) = self.deposit {
            nonce.encode(&mut fields);
            version.encode(&mut fields);
        }
        let mut out = Vec::new();
        if self.kind > 0 {
            out.push(self.kind);
        }
        alloy_rlp::Header { list: true, payload_length: fields.len() }.encode(&mut out);
        out.extend_from_slice(&fields);
        out
    }

    fn json(&self, index: usize, block: B256, first_log: usize) -> Value {
        let tx = hash_of(index);
        let place = |log: usize| {
            json!({
                "blockHash": block, "blockNumber": quantity(NUMBER), "transactionHash": tx,
                "transactionIndex": quantity(index as u64), "logIndex": quantity(log as u64), "removed": false,
            })
        };
        let logs = self.logs.iter().enumerate().map(|(at, log)| {
            let mut value = place(first_log + at);
            value["address"] = json!(log.address);
            value["topics"] = json!(log.topics());
            value["data"] = json!(log.data.data);
            value
        });
        let mut value = json!({
            "type": quantity(self.kind.into()), "transactionHash": tx, "transactionIndex": quantity(index as u64),
            "blockHash": block, "blockNumber": quantity(NUMBER), "cumulativeGasUsed": quantity(gas(index)),
            "gasUsed": "0x5208", "contractAddress": null, "logsBloom": self.bloom(), "logs": logs.collect::<Vec<_>>(),
        });
        match self.status {
            Ok(status) => value["status"] = json!(quantity(status.into())),
            Err(root) => value["root"] = json!(root),
        }
        if let Some((nonce, version)) = self.deposit {
            value["depositNonce"] = json!(quantity(nonce));
            value["depositReceiptVersion"] = json!(quantity(version));
        }
        value
    }
}

fn quantity(number: u64) -> String {
    format!("{number:#x}")
}

fn hash_of(index: usize) -> B256 {
    B256::from(U256::from(0x1000 + index))
}

fn gas(index: usize) -> u64 {
    21_000 * (index as u64 + 1)
}

/// Replays a block of these receipts to the daemon and gives its report.
fn index(chain_id: u64, receipts: &[Made]) -> Value {
    let covered: Vec<Vec<u8>> = receipts
        .iter()
        .enumerate()
        .filter(|(_, made)| made.in_root)
        .map(|(index, made)| made.encoded(gas(index)))
        .collect();
    let receipts_root = alloy_trie::root::ordered_trie_root_with_encoder(&covered, |bytes, out| {
        out.extend_from_slice(bytes);
    });
    let mut logs_bloom = Bloom::ZERO;
    for made in receipts.iter().filter(|made| made.in_root) {
        logs_bloom |= made.bloom();
    }
    let header = Header {
        number: NUMBER,
        timestamp: 1_600_000_000,
        receipts_root,
        logs_bloom,
        ..Header::default()
    };
    let hash = header.hash_slow();
    let mut block = serde_json::to_value(&header).expect("a header");
    block["hash"] = json!(hash);
    block["size"] = json!("0x400");
    block["uncles"] = json!([]);
    block["transactions"] = (0..receipts.len()).map(|index| json!(hash_of(index))).collect();
    let mut first_log = 0;
    let mut list = Vec::new();
    for (index, made) in receipts.iter().enumerate() {
        list.push(made.json(index, hash, first_log));
        first_log += made.logs.len();
    }
    let replay = Replay::start(chain_id, block, Value::from(list));
    Setup::on_port(chain_id, replay.port, NUMBER, "").backfill(chain_id, NUMBER)
}

fn assert_proven(report: &Value, events: u64) {
    assert_eq!(report["verified_through"].as_u64(), Some(NUMBER), "{report}");
    assert_eq!(report["events"].as_u64(), Some(events), "{report}");
    assert_eq!(report["rpc_calls"].get("eth_getLogs"), None, "{report}");
}

#[test]
fn receipts_with_a_state_root_in_place_of_a_status_are_proven() {
    let receipts: Vec<Made> = (0..3u8)
        .map(|index| Made {
            status: Err(B256::repeat_byte(index + 1)),
            ..made(0, vec![transfer(index.into())])
        })
        .collect();
    assert_proven(&index(1, &receipts), 3);
}

#[test]
fn a_crowded_block_is_proven_and_whole() {
    let receipts: Vec<Made> = (0..400u64)
        .map(|tx| made((tx % 5) as u8, (0..10).map(|log| transfer(tx * 10 + log)).collect()))
        .collect();
    assert_proven(&index(1, &receipts), 4_000);
}

#[test]
fn anonymous_events_and_logs_without_topics_are_nobodys_and_spoil_nothing() {
    let strange = |topics: usize, data: usize| {
        let topics = (0..topics).map(|topic| B256::repeat_byte(topic as u8 + 0x70)).collect();
        Log::new_unchecked(Address::repeat_byte(0x66), topics, Bytes::from(vec![3; data]))
    };
    let logs = vec![strange(0, 0), transfer(1), strange(4, 77), strange(1, 32), transfer(2)];
    assert_proven(&index(1, &[made(2, logs), made(2, vec![strange(0, 200)])]), 2);
}

#[test]
fn deposits_of_an_op_stack_chain_are_proven() {
    let deposit = Made { deposit: Some((7, 1)), ..made(0x7e, vec![transfer(1)]) };
    assert_proven(&index(10, &[deposit, made(2, vec![transfer(2)]), made(0, Vec::new())]), 2);
}

#[test]
fn the_transaction_types_of_arbitrum_are_proven() {
    let kinds = [0x6a, 0x64, 0x68, 0x69, 0x78, 0, 2];
    let receipts: Vec<Made> = kinds.iter().map(|kind| made(*kind, vec![transfer(1)])).collect();
    assert_proven(&index(42_161, &receipts), 7);
}

#[test]
fn the_state_sync_of_polygon_is_indexed_and_leaves_its_block_unverified() {
    let sync = Made { in_root: false, ..made(0, vec![transfer(3)]) };
    let report = index(137, &[made(2, vec![transfer(1), transfer(2)]), sync]);
    assert_eq!(report["verified_through"], Value::Null, "{report}");
    assert_eq!(report["events"].as_u64(), Some(3), "{report}");
}

#[test]
fn a_log_left_out_of_a_receipt_is_never_called_proven() {
    let whole = made(2, vec![transfer(1), transfer(2)]);
    let header_covers = index(1, std::slice::from_ref(&whole));
    assert_proven(&header_covers, 2);
    // The same receipt, but the root is of another one: what the node says cannot be proven.
    let other = Made { in_root: false, ..whole };
    let report = index(1, &[other, made(2, vec![transfer(1)])]);
    assert_eq!(report["verified_through"], Value::Null, "{report}");
}
