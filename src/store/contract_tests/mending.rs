//! What a store remembers beside events: digests, parked handlers, coverage; raw data read and replaced,
//! documents made anew.

use std::sync::Arc;

use alloy_primitives::B256;

use super::Backend;
use super::world::{CHAIN, What, World, account, made, transfer};
use super::writing::{agree, every_key};
use crate::pipeline::store::{
    AmendUnit, CommitUnit, Coverage, Parked, Rebuild, RebuildUnit, Store,
};
use crate::store::read::Queries;
use crate::types::asset::TokenMetadata;
use crate::types::chain::Proof;
use crate::types::event::Position;

fn parked(block: u64) -> Parked {
    let at = Position { block, log_index: 1 };
    Parked { handler: "some".into(), at, reason: "a reason".into() }
}

pub(crate) async fn parked_handlers_and_digests_are_remembered_and_rewound(backend: &impl Backend) {
    let mut world = World::new(CHAIN);
    let store = backend.open(0).await;
    store.open_chain(CHAIN, "test").await.expect("opens");
    assert_eq!(store.digest_at(CHAIN, 9).await.expect("digest"), B256::ZERO);
    let mut unit = world.extend(vec![vec![transfer(1, 0, 1, 50)], vec![], vec![]]);
    unit.parked = vec![parked(1)];
    store.commit(Arc::new(unit)).await.expect("commits");
    let mut unit = world.extend(vec![vec![transfer(1, 1, 2, 5)]]);
    unit.parked = vec![parked(1)];
    store.commit(Arc::new(unit)).await.expect("commits");
    drop(store);

    let store = backend.open(0).await;
    let state = store.open_chain(CHAIN, "test").await.expect("opens");
    assert_eq!(state.parked, [parked(1)]);
    assert_eq!(state.digest, world.digest_at(4));
    for block in 0..5 {
        let digest = store.digest_at(CHAIN, block).await.expect("digest");
        assert_eq!(digest, world.digest_at(block), "after block {block}");
    }
    let listed = store.chains().await.expect("chains").remove(0);
    assert_eq!(
        (listed.parked, listed.digest, listed.rebuild),
        (vec![parked(1)], state.digest, None)
    );

    store.commit(Arc::new(world.reorg(Some(2), vec![vec![]]))).await.expect("rewinds");
    let state = store.open_chain(CHAIN, "test").await.expect("opens");
    assert_eq!(state.digest, world.digest_at(1), "block 4 has gone");
    assert!(state.parked.is_empty(), "a unit says who is parked after it");
}

pub(crate) async fn raw_pages_hold_whole_blocks_in_order(backend: &impl Backend) {
    let mut world = World::new(CHAIN);
    let store = backend.open(0).await;
    store.open_chain(CHAIN, "test").await.expect("opens");
    let mut seed = 5;
    let mut units: Vec<CommitUnit> = Vec::new();
    for _ in 0..8 {
        let blocks = world.random_blocks(&mut seed, 3);
        units.push(world.extend(blocks));
        store.commit(Arc::new(units[units.len() - 1].clone())).await.expect("commits");
    }
    for logs_max in [0, 1, 3, 1_000] {
        let (mut blocks, mut logs, mut from) = (Vec::new(), Vec::new(), Some(0));
        while let Some(next) = from {
            let page = store.raw(CHAIN, next, logs_max).await.expect("a page");
            assert!(!page.blocks.is_empty());
            let last = page.blocks.last().map(|commit| commit.block.number);
            assert!(page.logs.iter().all(|log| Some(log.head.block_number) <= last));
            blocks.extend(page.blocks);
            logs.extend(page.logs.iter().map(|log| {
                let head = log.head;
                let topics = log.topics().to_vec();
                (head.block_hash, head.log_index, head.tx_hash, topics, log.data.to_vec())
            }));
            from = page.next;
        }
        let mut stored = units.iter().flat_map(|unit| unit.blocks.iter());
        for block in &mut blocks {
            let committed = stored.next().expect("as many");
            if block.block.number == 1 {
                block.block.parent = committed.block.parent;
            }
            assert_eq!(block, committed);
        }
        assert!(stored.next().is_none());
        let committed = units.iter().flat_map(|unit| unit.logs.iter());
        let committed: Vec<_> = committed
            .map(|log| {
                let head = log.head;
                let topics = log.topics().to_vec();
                (head.block_hash, head.log_index, head.tx_hash, topics, log.data.to_vec())
            })
            .collect();
        assert_eq!(logs, committed);
    }
}

pub(crate) async fn a_rebuild_makes_documents_anew_and_survives_a_restart(backend: &impl Backend) {
    let mut world = World::new(CHAIN);
    let store = backend.open(0).await;
    store.open_chain(CHAIN, "test").await.expect("opens");
    let mut unit = world.extend(vec![vec![transfer(1, 0, 1, 50)], vec![transfer(1, 1, 2, 5)]]);
    unit.parked = vec![parked(2)];
    store.commit(Arc::new(unit.clone())).await.expect("commits");
    let words = TokenMetadata { name: Some("A token".into()), ..TokenMetadata::default() };
    store.put_metadata(CHAIN, account(1_001), words.clone()).await.expect("keeps");
    let step = |next: Option<u64>| RebuildUnit {
        chain: CHAIN,
        digests: Vec::new(),
        recognised: Vec::new(),
        docs: Vec::new(),
        undo: Vec::new(),
        parked: Vec::new(),
        next,
    };
    assert!(store.rebuild(Arc::new(step(None))).await.is_err(), "none was begun");

    store.begin_rebuild(CHAIN).await.expect("begins");
    let docs = store.load(CHAIN, &every_key()).await.expect("loads");
    assert!(docs.iter().all(Option::is_none), "the documents are gone");
    assert!(store.undo_above(CHAIN, 0).await.expect("undo").is_empty());
    let refused = store.commit(Arc::new(world.clone().extend(vec![vec![]]))).await;
    assert!(refused.is_err(), "nothing is built on documents that are not whole");
    let first = RebuildUnit { parked: vec![parked(1)], ..step(Some(2)) };
    store.rebuild(Arc::new(first)).await.expect("a step");
    drop(store);

    let store = backend.open(0).await;
    let state = store.open_chain(CHAIN, "test").await.expect("opens");
    assert_eq!((state.rebuild, state.parked), (Some(Rebuild::From(2)), vec![parked(1)]));
    let digests = unit.blocks.iter().map(|commit| (commit.block.number, commit.digest)).collect();
    let last =
        RebuildUnit { digests, docs: unit.docs.clone(), undo: unit.undo.clone(), ..step(None) };
    store.rebuild(Arc::new(last)).await.expect("ends");
    agree(&store, &world, &every_key()).await;
    let state = store.open_chain(CHAIN, "test").await.expect("opens");
    assert_eq!((state.rebuild, state.digest), (None, world.digest_at(2)));
    assert_eq!(store.undo_above(CHAIN, 0).await.expect("undo").len(), unit.undo.len());
    let token = store.token(CHAIN, account(1_001)).await.expect("asks").expect("is there");
    assert_eq!(token.metadata, words, "what the token said of itself is not asked for again");
    store.commit(Arc::new(world.extend(vec![vec![transfer(1, 2, 3, 5)]]))).await.expect("goes on");
    agree(&store, &world, &every_key()).await;
}

pub(crate) async fn amended_blocks_replace_what_was_stored(backend: &impl Backend) {
    let mut world = World::new(CHAIN);
    let store = backend.open(0).await;
    store.open_chain(CHAIN, "test").await.expect("opens");
    let suite = made(1, 0, What::Suite { parts: [1, 2, 3, 4, 5, 6].map(account) });
    let blocks = vec![
        vec![transfer(1, 0, 1, 50)],
        vec![transfer(1, 1, 2, 5), suite, made(1, 0, What::Garbage)],
        vec![transfer(2, 0, 6, 5)],
    ];
    let right = world.extend(blocks);
    let mut wrong = right.clone();
    // Block 2 without its last two logs and without a proof.
    wrong.logs.retain(|head| head.block_number != 2 || head.log_index == 0);
    wrong.recognised.truncate(2);
    wrong.recognised.push(right.recognised[4].clone());
    wrong.blocks[1].proof = Proof::Unverified;
    store.commit(Arc::new(wrong)).await.expect("commits");
    assert_eq!(store.chains().await.expect("chains")[0].verified_through, Some(1));

    let mut amended = AmendUnit {
        chain: CHAIN,
        blocks: vec![right.blocks[1]],
        logs: right.logs.clone(),
        recognised: right.recognised[1..4].to_vec(),
        coverage: vec![Coverage { source: B256::repeat_byte(1), through: Some(2) }],
    };
    amended.logs.retain(|head| head.block_number == 2);
    store.amend(Arc::new(amended.clone())).await.expect("amends");
    let state = store.open_chain(CHAIN, "test").await.expect("opens");
    assert_eq!(state.rebuild, Some(Rebuild::Due));
    assert_eq!(store.coverage(CHAIN).await.expect("coverage"), amended.coverage);
    agree(&store, &world, &[]).await;
    assert_eq!(store.chains().await.expect("chains")[0].verified_through, Some(3));

    let mut above = amended;
    above.blocks[0].block.number = 9;
    above.logs = crate::types::log::LogBuf::default();
    above.recognised.clear();
    assert!(store.amend(Arc::new(above)).await.is_err(), "what is not indexed cannot be amended");
    agree(&store, &world, &[]).await;
}

pub(crate) async fn coverage_is_remembered_by_source(backend: &impl Backend) {
    let store = backend.open(0).await;
    store.open_chain(CHAIN, "test").await.expect("opens");
    let [first, second] = [1, 2].map(B256::repeat_byte);
    let coverage = |source, through| Coverage { source, through };
    store
        .cover(CHAIN, vec![coverage(first, Some(7)), coverage(second, None)])
        .await
        .expect("remembers");
    store.cover(CHAIN, vec![coverage(first, None)]).await.expect("remembers");
    drop(store);
    let store = backend.open(0).await;
    let mut listed = store.coverage(CHAIN).await.expect("coverage");
    listed.sort_by_key(|coverage| coverage.source);
    assert_eq!(listed, [coverage(first, None), coverage(second, None)]);
}
