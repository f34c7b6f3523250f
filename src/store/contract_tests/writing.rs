//! The write port: atomic units, contiguity, rewinds, undo, finality.

use std::sync::Arc;

use alloy_primitives::B256;

use super::Backend;
use super::world::{CHAIN, Docs, What, World, account, made, transfer};
use crate::pipeline::error::StoreError;
use crate::pipeline::store::Store;
use crate::store::read::{EventQuery, Order, Queries};
use crate::types::asset::DocKey;
use crate::types::chain::{BlockId, ChainId, Proof};
use crate::types::log::LogBuf;

/// Everything the store says, against everything the world knows.
pub(crate) async fn agree(store: &(impl Store + Queries), world: &World, keys: &[DocKey]) {
    let docs = store.load(world.chain, keys).await.expect("loads");
    for (key, doc) in keys.iter().zip(docs) {
        assert_eq!(doc.as_ref(), world.docs.get(key), "{key:?} at {:?}", world.head());
    }
    let chains = store.chains().await.expect("chains");
    let chain = chains.iter().find(|chain| chain.chain == world.chain).expect("our chain");
    assert_eq!(chain.indexed, world.head());
    let logs: Vec<_> = world
        .blocks
        .iter()
        .flat_map(|block| (0..block.logs.len()).map(|index| (block.block.hash, index as u32)))
        .collect();
    let undecoded =
        world.blocks.iter().flat_map(|b| &b.logs).filter(|l| l.what == What::Garbage).count();
    assert_eq!(chain.blocks, world.blocks.len() as u64);
    assert_eq!(chain.logs, logs.len() as u64);
    assert_eq!(chain.undecoded, undecoded as u64);
    assert_eq!(chain.events, (logs.len() - undecoded) as u64);
    let query = EventQuery {
        chain: Some(world.chain),
        order: Order::OldestFirst,
        limit: 1_000,
        ..EventQuery::default()
    };
    let listed = store.events(query).await.expect("events");
    let listed: Vec<_> = listed.items.iter().map(|e| (e.block_hash, e.log_index)).collect();
    assert_eq!(listed, logs[..logs.len().min(1_000)]);
}

pub(crate) fn every_key() -> Vec<DocKey> {
    let tokens = (1..=3).map(|token| account(1_000 + token));
    tokens
        .flat_map(|token| {
            let holdings = (1..=8).map(move |n| DocKey::Holding { token, holder: account(n) });
            holdings.chain([DocKey::Token(token)])
        })
        .collect()
}

pub(crate) async fn a_store_remembers_where_it_stands(backend: &impl Backend) {
    let mut world = World::new(CHAIN);
    let store = backend.open(0).await;
    let fresh = store.open_chain(CHAIN, "test").await.expect("opens");
    assert_eq!((fresh.cursor, fresh.finalized, fresh.window.len()), (None, None, 0));
    let first =
        store.commit(Arc::new(world.extend(vec![vec![transfer(1, 0, 1, 50)], vec![]]))).await;
    let second = store.commit(Arc::new(world.extend(vec![vec![transfer(1, 1, 2, 20)]]))).await;
    assert!(first.expect("commits") < second.expect("commits"), "the feed counts up");
    store.finalize(CHAIN, 1).await.expect("finalizes");
    drop(store);

    let store = backend.open(0).await;
    let state = store.open_chain(CHAIN, "renamed").await.expect("opens");
    assert_eq!(state.cursor, world.head());
    assert_eq!(state.finalized, Some(1));
    let window: Vec<BlockId> = world.blocks[1..].iter().map(|b| BlockId::from(&b.block)).collect();
    assert_eq!(state.window, window);
    agree(&store, &world, &every_key()).await;
    assert_eq!(store.chains().await.expect("chains")[0].name, "renamed");
    store.commit(Arc::new(world.extend(vec![vec![transfer(1, 2, 3, 20)]]))).await.expect("goes on");
    agree(&store, &world, &every_key()).await;
}

pub(crate) async fn a_unit_that_does_not_continue_the_index_is_refused_whole(
    backend: &impl Backend,
) {
    let mut world = World::new(CHAIN);
    let store = backend.open(0).await;
    store.open_chain(CHAIN, "test").await.expect("opens");
    let unit = world.extend(vec![vec![transfer(1, 0, 1, 50)]]);
    store.commit(Arc::new(unit.clone())).await.expect("commits");
    let twice = store.commit(Arc::new(unit)).await;
    assert!(matches!(twice, Err(StoreError::NotContiguous { .. })), "{twice:?}");

    let mut other = World::new(CHAIN);
    other.extend(vec![vec![transfer(1, 0, 2, 1)], vec![]]);
    let foreign = other.extend(vec![vec![transfer(1, 0, 3, 1)]]);
    let mut stranger = foreign.clone();
    stranger.blocks[0].block.number = 2;
    stranger.logs = LogBuf::default();
    stranger.recognised.clear();
    stranger.cursor.number = 2;
    for unit in [stranger, world.clone().reorg(Some(0), vec![vec![]]).without_rewind()] {
        let refused = store.commit(Arc::new(unit)).await;
        assert!(matches!(refused, Err(StoreError::NotContiguous { .. })), "{refused:?}");
    }
    agree(&store, &world, &every_key()).await;
    let unopened = World::new(ChainId(5)).extend(vec![vec![]]);
    assert!(store.commit(Arc::new(unopened)).await.is_err(), "a chain must be opened first");
}

impl crate::pipeline::store::CommitUnit {
    fn without_rewind(mut self) -> Self {
        self.rewind_to = None;
        self
    }
}

pub(crate) async fn a_malformed_unit_is_refused_whole(backend: &impl Backend) {
    let mut world = World::new(CHAIN);
    let store = backend.open(0).await;
    store.open_chain(CHAIN, "test").await.expect("opens");
    store.commit(Arc::new(world.extend(vec![vec![transfer(1, 0, 1, 50)]]))).await.expect("commits");
    let logs = vec![transfer(2, 0, 7, 9), transfer(2, 0, 8, 9)];
    let good = world.clone().extend(vec![logs, vec![]]);
    let mut short = good.clone();
    short.recognised.pop();
    let mut unlinked = good.clone();
    unlinked.blocks[1].block.parent = B256::repeat_byte(1);
    let mut behind = good.clone();
    behind.cursor.number -= 1;
    let mut homeless = good.clone();
    homeless.blocks[0].block.hash = B256::repeat_byte(3);
    homeless.blocks[1].block.parent = B256::repeat_byte(3);
    let mut swapped = good.clone();
    let mut reversed = crate::types::log::LogBuf::default();
    for at in [1, 0] {
        reversed.push_view(good.logs.get(at).expect("two logs")).expect("small");
    }
    swapped.logs = reversed;
    for unit in [short, unlinked, behind, homeless, swapped] {
        assert!(store.commit(Arc::new(unit)).await.is_err());
        agree(&store, &world, &every_key()).await;
    }
    store.commit(Arc::new(good)).await.expect("the good one is still welcome");
}

pub(crate) async fn a_rewind_takes_back_everything_of_its_blocks(backend: &impl Backend) {
    let mut world = World::new(CHAIN);
    let store = backend.open(0).await;
    store.open_chain(CHAIN, "test").await.expect("opens");
    let suite = made(1, 0, What::Suite { parts: [1, 2, 3, 4, 5, 6].map(account) });
    let blocks = vec![
        vec![transfer(1, 0, 1, 50)],
        vec![transfer(1, 1, 2, 5), suite, made(1, 0, What::Garbage)],
        vec![transfer(2, 0, 6, 5)],
    ];
    store.commit(Arc::new(world.extend(blocks))).await.expect("commits");
    let gone = account(6);
    let takes_part = |participant| EventQuery {
        participant: Some(participant),
        limit: 10,
        ..EventQuery::default()
    };
    assert_eq!(store.events(takes_part(gone)).await.expect("events").items.len(), 2);
    store
        .commit(Arc::new(world.reorg(Some(1), vec![vec![], vec![transfer(1, 1, 3, 7)]])))
        .await
        .expect("ok");
    agree(&store, &world, &every_key()).await;
    assert_eq!(store.events(takes_part(gone)).await.expect("events").items.len(), 0);
    assert!(store.tokens(None, 10, None).await.expect("tokens").items.len() == 1);
    // A rewind alone, without a block behind it.
    store.commit(Arc::new(world.reorg(Some(1), vec![]))).await.expect("rewinds");
    agree(&store, &world, &every_key()).await;
    // Below what is final there is no way back.
    store.finalize(CHAIN, 1).await.expect("finalizes");
    let refused = store.commit(Arc::new(world.clone().reorg(Some(0), vec![vec![]]))).await;
    assert!(matches!(refused, Err(StoreError::NotContiguous { .. })), "{refused:?}");
    agree(&store, &world, &every_key()).await;
}

pub(crate) async fn undo_records_restore_and_vanish_with_finality(backend: &impl Backend) {
    let mut world = World::new(CHAIN);
    let store = backend.open(0).await;
    store.open_chain(CHAIN, "test").await.expect("opens");
    let mut seed = 7;
    for _ in 0..6 {
        let blocks = world.random_blocks(&mut seed, 2);
        store.commit(Arc::new(world.extend(blocks))).await.expect("commits");
    }
    for to in (0..12u64).rev() {
        let undo = store.undo_above(CHAIN, to).await.expect("undo");
        assert!(undo.is_sorted_by(|a, b| a.block >= b.block), "newest first");
        let mut docs = world.docs.clone();
        for record in undo {
            match record.before {
                Some(doc) => docs.insert(record.key, doc),
                None => docs.remove(&record.key),
            };
        }
        assert_eq!(docs, world.past.get(&to).cloned().unwrap_or_default(), "as of block {to}");
    }
    store.finalize(CHAIN, 5).await.expect("finalizes");
    let undo = store.undo_above(CHAIN, 0).await.expect("undo");
    assert!(undo.iter().all(|record| record.block > 5));
    assert!(undo.iter().any(|record| record.block > 6), "the others stay");
    let again = store.finalize(CHAIN, 4).await.expect("an older finality says nothing new");
    assert_eq!(again, store.feed_head().await.expect("head"));
}

pub(crate) async fn random_reorgs_leave_what_the_chain_says(backend: &impl Backend) {
    for start in [1u64, 2, 3] {
        let mut seed = start;
        let chain = ChainId(100 + start);
        let mut world = World::new(chain);
        let mut store = backend.open(0).await;
        store.open_chain(chain, "test").await.expect("opens");
        for round in 0..40u64 {
            store.commit(Arc::new(world.step(&mut seed))).await.expect("commits");
            agree(&store, &world, &every_key()).await;
            if round % 10 == 9 {
                drop(store);
                store = backend.open(0).await;
                store.open_chain(chain, "test").await.expect("opens");
                agree(&store, &world, &every_key()).await;
            }
        }
    }
}

pub(crate) async fn proof_is_counted_from_the_first_block_without_gap(backend: &impl Backend) {
    let mut world = World::new(CHAIN);
    let store = backend.open(0).await;
    store.open_chain(CHAIN, "test").await.expect("opens");
    let through = async || store.chains().await.expect("chains")[0].verified_through;
    let mut unit = world.extend(vec![vec![]; 4]);
    unit.blocks[2].proof = Proof::Unverified;
    store.commit(Arc::new(unit)).await.expect("commits");
    assert_eq!(through().await, Some(2), "block 3 has no proof");
    store.commit(Arc::new(world.extend(vec![vec![]; 2]))).await.expect("commits");
    assert_eq!(through().await, Some(2));
    store.commit(Arc::new(world.reorg(Some(2), vec![vec![]; 5]))).await.expect("commits");
    assert_eq!(through().await, Some(7), "the unproven block was replaced");
    store.commit(Arc::new(world.reorg(Some(5), vec![]))).await.expect("commits");
    assert_eq!(through().await, Some(5));
}

pub(crate) async fn layouts_keep_their_meaning_when_a_process_numbers_them_anew(
    backend: &impl Backend,
) {
    let mut world = World::new(CHAIN);
    let store = backend.open(0).await;
    store.open_chain(CHAIN, "test").await.expect("opens");
    let frozen = made(1, 1, What::TokensFrozen { account: account(1), value: 3 });
    store
        .commit(Arc::new(world.extend(vec![vec![transfer(1, 0, 1, 50), frozen]])))
        .await
        .expect("commits");
    drop(store);
    let store = backend.open(7).await;
    store.open_chain(CHAIN, "test").await.expect("opens");
    world.shift = 7;
    store.commit(Arc::new(world.extend(vec![vec![frozen]]))).await.expect("commits");
    let query =
        EventQuery { event: Some("TokensFrozen".into()), limit: 9, ..EventQuery::default() };
    let listed = store.events(query).await.expect("events").items;
    assert_eq!(listed.len(), 2);
    for event in listed {
        assert_eq!(event.contract, "bonds");
        assert_eq!(event.args[1].name, "amount");
        assert_eq!(event.args[1].value, "3");
    }
}

pub(crate) async fn chains_do_not_mix(backend: &impl Backend) {
    let store = backend.open(0).await;
    let mut worlds = [World::new(ChainId(1)), World::new(ChainId(2))];
    let mut seed = 11;
    for world in &worlds {
        store.open_chain(world.chain, "test").await.expect("opens");
    }
    for _ in 0..5 {
        for world in &mut worlds {
            let blocks = world.random_blocks(&mut seed, 2);
            store.commit(Arc::new(world.extend(blocks))).await.expect("commits");
        }
    }
    let keys: Vec<_> = every_key();
    let before: Docs = worlds[1].docs.clone();
    store
        .commit(Arc::new(worlds[0].reorg(Some(3), vec![vec![]])))
        .await
        .expect("rewinds one of them");
    assert_eq!(worlds[1].docs, before);
    for world in &worlds {
        agree(&store, world, &keys).await;
    }
}
