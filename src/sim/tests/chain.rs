//! Blocks recomputed from the JSON answers with `alloy-consensus`, and the invariants of forks.

use std::collections::HashSet;

use alloy_consensus::proofs::{calculate_receipt_root, calculate_transaction_root};
use alloy_consensus::{
    EthereumReceipt, Header, ReceiptWithBloom, SignableTransaction, Signed, TxEip1559, TxEnvelope,
    TxType,
};
use alloy_primitives::{Address, B256, Bloom, Bytes, Log, Signature, TxKind, U256};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::world::World;
use super::*;
use crate::types::chain::BlockRange;

fn get<T: std::str::FromStr>(value: &Value, name: &str) -> T {
    let text = value[name].as_str().unwrap_or_else(|| panic!("{name} of {value}"));
    text.parse().unwrap_or_else(|_| panic!("{name}: {text}"))
}

fn quantity(value: &Value, name: &str) -> u64 {
    number(&value[name])
}

fn header(block: &Value) -> Header {
    Header {
        parent_hash: get(block, "parentHash"),
        ommers_hash: get(block, "sha3Uncles"),
        beneficiary: get(block, "miner"),
        state_root: get(block, "stateRoot"),
        transactions_root: get(block, "transactionsRoot"),
        receipts_root: get(block, "receiptsRoot"),
        logs_bloom: get(block, "logsBloom"),
        difficulty: get(block, "difficulty"),
        number: quantity(block, "number"),
        gas_limit: quantity(block, "gasLimit"),
        gas_used: quantity(block, "gasUsed"),
        timestamp: quantity(block, "timestamp"),
        extra_data: get(block, "extraData"),
        mix_hash: get(block, "mixHash"),
        nonce: get(block, "nonce"),
        base_fee_per_gas: Some(quantity(block, "baseFeePerGas")),
        withdrawals_root: Some(get(block, "withdrawalsRoot")),
        blob_gas_used: Some(quantity(block, "blobGasUsed")),
        excess_blob_gas: Some(quantity(block, "excessBlobGas")),
        parent_beacon_block_root: Some(get(block, "parentBeaconBlockRoot")),
        ..Header::default()
    }
}

fn transaction(tx: &Value) -> TxEnvelope {
    let to = tx["to"].as_str().map(|to| to.parse::<Address>().expect("address"));
    let inner = TxEip1559 {
        chain_id: quantity(tx, "chainId"),
        nonce: quantity(tx, "nonce"),
        gas_limit: quantity(tx, "gas"),
        max_fee_per_gas: quantity(tx, "maxFeePerGas").into(),
        max_priority_fee_per_gas: quantity(tx, "maxPriorityFeePerGas").into(),
        to: to.map_or(TxKind::Create, TxKind::Call),
        value: get(tx, "value"),
        access_list: Default::default(),
        input: get(tx, "input"),
    };
    let (r, s): (U256, U256) = (get(tx, "r"), get(tx, "s"));
    let signed: Signed<TxEip1559> =
        inner.into_signed(Signature::new(r, s, quantity(tx, "yParity") == 1));
    TxEnvelope::Eip1559(signed)
}

fn receipt(receipt: &Value) -> ReceiptWithBloom<EthereumReceipt<TxType>> {
    let logs = receipt["logs"].as_array().expect("logs").iter().map(|log| {
        let topics = log["topics"].as_array().expect("topics");
        let topics = topics.iter().map(|topic| topic.as_str().expect("text").parse::<B256>());
        let data: Bytes = get(log, "data");
        let topics = topics.collect::<Result<Vec<_>, _>>().expect("topics");
        Log::new(get(log, "address"), topics, data).expect("at most four topics")
    });
    let made = EthereumReceipt {
        tx_type: TxType::try_from(quantity(receipt, "type")).expect("a type"),
        success: quantity(receipt, "status") == 1,
        cumulative_gas_used: quantity(receipt, "cumulativeGasUsed"),
        logs: logs.collect(),
    };
    ReceiptWithBloom { receipt: made, logs_bloom: get(receipt, "logsBloom") }
}

/// Everything a block answers must hash to what its header says.
async fn check_block(sim: &Sim, number: u64, parent: B256) -> B256 {
    let node = sim.providers[0];
    let block = call(node, "eth_getBlockByNumber", json!([format!("{number:#x}"), true])).await;
    let hash: B256 = get(&block, "hash");
    let header = header(&block);
    assert_eq!(header.hash_slow(), hash, "header of {number}");
    assert_eq!(header.parent_hash, parent, "parent of {number}");
    assert_eq!(sim.truth().hash(number), Some(hash));

    let txs = block["transactions"].as_array().expect("transactions");
    let envelopes: Vec<_> = txs.iter().map(transaction).collect();
    assert_eq!(calculate_transaction_root(&envelopes), header.transactions_root, "{number}");
    for (envelope, tx) in envelopes.iter().zip(txs) {
        assert_eq!(*envelope.tx_hash(), get::<B256>(tx, "hash"));
    }

    let receipts = call(node, "eth_getBlockReceipts", json!([hash])).await;
    let receipts = receipts.as_array().expect("receipts");
    let made: Vec<_> = receipts.iter().map(receipt).collect();
    assert_eq!(calculate_receipt_root(&made), header.receipts_root, "{number}");
    let bloom = made.iter().fold(Bloom::ZERO, |all, one| {
        assert_eq!(alloy_primitives::logs_bloom(&one.receipt.logs), one.logs_bloom);
        all | one.logs_bloom
    });
    assert_eq!(bloom, header.logs_bloom, "{number}");
    assert_eq!(made.last().map_or(0, |last| last.receipt.cumulative_gas_used), header.gas_used);

    let from_receipts: Vec<&Value> =
        receipts.iter().flat_map(|one| one["logs"].as_array().expect("logs")).collect();
    let logs = call(node, "eth_getLogs", json!([{ "blockHash": hash }])).await;
    assert_eq!(logs.as_array().expect("logs").iter().collect::<Vec<_>>(), from_receipts);
    for (index, log) in from_receipts.iter().enumerate() {
        assert_eq!(quantity(log, "logIndex"), index as u64);
        assert_eq!(get::<B256>(log, "blockHash"), hash);
        assert_eq!(quantity(log, "blockTimestamp"), header.timestamp);
    }
    hash
}

#[tokio::test]
async fn every_answer_hashes_to_what_its_header_says() {
    let sim = start(Settings { quiet_every: 7, odd_percent: 15, ..small() }).await;
    let mut parent = B256::ZERO;
    for number in 0..=24 {
        parent = check_block(&sim, number, parent).await;
    }
    sim.fork(5, 7).expect("forks");
    sim.fork(2, 2).expect("forks");
    sim.mine(2).expect("mines");
    let mut parent = sim.truth().hash(18).expect("a block");
    for number in 19..=sim.truth().head().number {
        parent = check_block(&sim, number, parent).await;
    }
}

#[tokio::test]
async fn a_seed_names_one_chain_and_one_history_of_forks() {
    let run = |seed| async move {
        let forks = Some(super::super::RandomForks { every_blocks: 3, depth_max: 6 });
        let sim = start(Settings { seed, random_forks: forks, ..small() }).await;
        sim.mine(40).expect("mines");
        let range = BlockRange { from: 0, to: 200 };
        (sim.truth().digest(range), sim.forks())
    };
    let (first, again, other) = (run(5).await, run(5).await, run(6).await);
    assert_eq!(first, again);
    assert_ne!(first.0, other.0);
    assert!(first.1.len() > 3, "{} forks in 40 blocks", first.1.len());
}

#[tokio::test]
async fn a_block_holds_the_logs_that_the_settings_say() {
    let settings = Settings { blocks: 400, logs_per_block: 30, odd_percent: 10, ..small() };
    let sim = start(settings).await;
    let counts = sim.truth().counts(BlockRange { from: 2, to: 400 });
    let all: u64 = counts.values().sum();
    assert_eq!(all, 399 * 30);
    let share = counts["Transfer"] * 100 / all;
    assert!((64..=70).contains(&share), "{share} % transfers");
    assert!(counts["TokensUnfrozen"] <= counts["TokensFrozen"]);
    assert!(
        ["Transfer (ERC-721)", "Transfer (nothing indexed)", "anonymous"]
            .iter()
            .all(|odd| counts[odd] > 50)
    );
    assert_eq!(sim.truth().counts(BlockRange { from: 1, to: 1 }).values().sum::<u64>(), 11 * 5);
}

#[tokio::test]
async fn a_fork_drops_moves_and_keeps_transactions_and_brings_new_ones() {
    let sim = start(small()).await;
    let txs_of = |sim: &Sim, from, to| {
        let logs = sim.truth().logs(BlockRange { from, to }).expect("small");
        logs.iter().map(|log| (log.head.tx_hash, log.head.block_number)).collect::<HashSet<_>>()
    };
    let before = txs_of(&sim, 15, 24);
    let old: Vec<_> = (15..=24).map(|number| sim.truth().hash(number)).collect();
    let fork = sim.fork(10, 11).expect("forks");
    assert_eq!((fork.base, fork.old_head, fork.new_head), (14, 24, 25));
    let after = txs_of(&sim, 15, 25);
    let moved = |tx: &B256, block: u64| after.iter().any(|(hash, now)| hash == tx && *now > block);
    assert!(before.iter().any(|place| after.contains(place)), "none kept its block");
    assert!(before.iter().any(|(tx, block)| moved(tx, *block)), "none moved");
    let gone = |tx: &B256| after.iter().all(|(hash, _)| hash != tx);
    assert!(before.iter().any(|(tx, _)| gone(tx)), "none was dropped");
    let new = |tx: &B256| before.iter().all(|(hash, _)| hash != tx);
    assert!(after.iter().any(|(tx, _)| new(tx)), "none is new");
    for (number, hash) in (15..=24).zip(old) {
        assert_ne!(sim.truth().hash(number), hash);
    }
    let retracted = sim.truth().retracted().expect("small");
    let heights: Vec<_> =
        retracted.iter().map(|log| (log.head.block_number, log.head.log_index)).collect();
    let mut newest_first = heights.clone();
    newest_first.sort_by(|a, b| b.cmp(a));
    assert_eq!(heights, newest_first);
    assert!(retracted.iter().all(|log| log.head.removed));
}

#[tokio::test]
async fn the_chain_can_go_back_to_an_old_fork_and_on_from_there() {
    let sim = start(small()).await;
    let (old, digest) = (sim.head_hash(), sim.truth().digest(BlockRange { from: 0, to: 24 }));
    sim.fork(4, 6).expect("forks");
    let back = sim.switch_to(old).expect("goes back");
    assert_eq!((back.base, back.old_head, back.new_head), (20, 26, 24));
    assert_eq!(sim.truth().digest(BlockRange { from: 0, to: 24 }), digest);
    sim.mine(3).expect("mines");
    for block in [20, 24, 27] {
        assert_eq!(truth_balances(&sim, block), replay(&sim, block));
    }
    let logs = sim.truth().logs(BlockRange { from: 0, to: 27 }).expect("small");
    let blocks_of = |hash: &B256| {
        let of = logs.iter().filter(|log| log.head.tx_hash == *hash);
        of.map(|log| log.head.block_number).collect::<HashSet<_>>()
    };
    assert!(logs.iter().all(|log| blocks_of(&log.head.tx_hash).len() == 1), "mined twice");
    assert!(sim.switch_to(old).is_err(), "it is canonical");
    assert!(sim.switch_to(B256::repeat_byte(1)).is_err());
}

/// Balances as a client would add them up from the logs.
fn replay(sim: &Sim, to: u64) -> Vec<(Address, Address, U256)> {
    let logs = sim.truth().logs(BlockRange { from: 0, to }).expect("small");
    let mut totals = std::collections::BTreeMap::<(Address, Address), U256>::new();
    let transfer = alloy_primitives::keccak256("Transfer(address,address,uint256)");
    for log in logs.iter().filter(|log| log.topic0() == Some(&transfer) && log.topics().len() == 3)
    {
        let [from, to] = [1, 2].map(|at| Address::from_word(log.head.topics[at]));
        let value = U256::from_be_slice(log.data);
        if !from.is_zero() {
            let slot = totals.entry((log.head.address, from)).or_default();
            *slot = slot.checked_sub(value).expect("no balance goes below zero");
        }
        if !to.is_zero() {
            *totals.entry((log.head.address, to)).or_default() += value;
        }
    }
    let held = totals.into_iter().filter(|(_, value)| !value.is_zero());
    held.map(|((token, holder), value)| (token, holder, value)).collect()
}

fn truth_balances(sim: &Sim, block: u64) -> Vec<(Address, Address, U256)> {
    let tokens = sim.truth().holdings(block).expect("a block");
    let mut all = Vec::new();
    for token in tokens {
        let sum = token.balances.iter().fold(U256::ZERO, |sum, (_, value)| sum + *value);
        assert_eq!(sum, token.supply, "supply of {} at {block}", token.token);
        all.extend(token.balances.iter().map(|(holder, value)| (token.token, *holder, *value)));
    }
    all.sort();
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Whatever the forks: links hold, balances are the replay of the logs, at every height.
    #[test]
    fn forks_keep_links_and_balances(
        seed in any::<u64>(),
        logs_per_block in 0u32..24,
        quiet_every in 0u64..5,
        moves in proptest::collection::vec((0u64..4, 1u64..9, 1u64..12), 1..6),
    ) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let settings = Settings {
                seed, logs_per_block, quiet_every, odd_percent: 9, blocks: 12, contracts: 3, holders: 4, ..small()
            };
            let sim = start(settings).await;
            for (mine, depth, length) in moves {
                sim.mine(mine).expect("mines");
                let deep = depth.min(sim.truth().head().number - 1);
                sim.fork(deep, length.max(deep / 2).max(1)).expect("forks");
            }
            let head = sim.truth().head().number;
            let view = sim.shared.world.view();
            for number in 1..=head {
                let block = view.block(&sim.shared.world.recipe, number).expect("a block");
                prop_assert_eq!(Some(block.parent), view.hash(number - 1));
            }
            for block in [0, 1, head / 2, head.saturating_sub(1), head] {
                prop_assert_eq!(truth_balances(&sim, block), replay(&sim, block));
            }
            Ok(())
        })?;
    }
}

#[test]
fn a_block_made_again_is_the_same_block() {
    let world = World::new(small()).expect("a world");
    let view = world.view();
    for number in 0..=24 {
        let block = view.block(&world.recipe, number).expect("a block");
        let again = super::super::view::Block::seal(
            &world.recipe,
            (number, block.fork),
            block.parent,
            world.recipe.origins(block.fork, number),
            Vec::new(),
        );
        assert_eq!((again.hash, again.tx_hashes), (block.hash, block.tx_hashes.clone()));
    }
}
