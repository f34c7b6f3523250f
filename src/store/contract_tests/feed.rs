//! The feed: ordered, exactly once, whatever the pace of the reader and the reorgs in between.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Backend;
use super::world::{CHAIN, World, roll, transfer};
use crate::pipeline::store::Store;
use crate::store::read::Queries;
use crate::types::feed::{FeedCursor, FeedItem};

const START: FeedCursor = FeedCursor { seq: 0, within: None };

/// A client that believes only what it is told.
#[derive(Debug)]
pub(crate) struct Client {
    cursor: FeedCursor,
    limit: usize,
    /// How often it asks: every `pace` rounds.
    pace: u64,
    present: BTreeSet<(u64, u32, String)>,
    finalized: Vec<u64>,
    retractions: usize,
}

impl Client {
    pub(crate) fn new(limit: usize, pace: u64) -> Self {
        Self {
            cursor: START,
            limit,
            pace,
            present: BTreeSet::new(),
            finalized: Vec::new(),
            retractions: 0,
        }
    }

    async fn page(&mut self, store: &impl Queries) -> usize {
        let items = store.feed(self.cursor, self.limit).await.expect("feed");
        assert!(items.len() <= self.limit);
        let mut last = self.cursor;
        for (cursor, item) in &items {
            assert!(cursor.seq >= last.seq, "entries in order");
            last = *cursor;
            match item {
                FeedItem::Observed(e) => {
                    let place = (e.block_number, e.log_index, e.id());
                    assert!(self.present.insert(place), "told twice: {e:?}");
                }
                FeedItem::Retracted(e) => {
                    self.retractions += 1;
                    let place = (e.block_number, e.log_index, e.id());
                    assert_eq!(self.present.last(), Some(&place), "known, newest first");
                    self.present.remove(&place);
                }
                FeedItem::Finalized { block, .. } => self.finalized.push(*block),
            }
        }
        self.cursor = last;
        items.len()
    }

    pub(crate) async fn drain(&mut self, store: &impl Queries) {
        while self.page(store).await > 0 {}
    }

    /// What it was told is what the chain says.
    pub(crate) fn believes(&self, world: &World) {
        assert_eq!(self.present, known(world));
    }
}

fn known(world: &World) -> BTreeSet<(u64, u32, String)> {
    let mut places = BTreeSet::new();
    for block in &world.blocks {
        for index in 0..block.logs.len() as u32 {
            let id = format!("{}:{}:{index}", world.chain, block.block.hash);
            places.insert((block.block.number, index, id));
        }
    }
    places
}

pub(crate) async fn a_reader_at_any_pace_ends_with_the_chain(backend: &impl Backend) {
    let store = backend.open(0).await;
    store.open_chain(CHAIN, "test").await.expect("opens");
    let mut world = World::new(CHAIN);
    let mut seed = 99;
    let mut clients: Vec<Client> = [(1, 1), (1, 3), (2, 2), (3, 5), (7, 4), (100, 1), (100, 9)]
        .map(|(limit, pace)| Client::new(limit, pace))
        .into();
    for round in 0..120u64 {
        store.commit(Arc::new(world.step(&mut seed))).await.expect("commits");
        for client in &mut clients {
            if round % client.pace == 0 {
                client.page(&store).await;
            }
        }
        if round % 20 == 10 {
            // Joins late.
            clients.push(Client::new(1 + roll(&mut seed, 4) as usize, 1));
        }
    }
    for client in &mut clients {
        client.drain(&store).await;
        assert_eq!(client.present, known(&world), "limit {} pace {}", client.limit, client.pace);
    }
}

pub(crate) async fn a_late_reader_hears_nothing_of_what_was_retracted_before(
    backend: &impl Backend,
) {
    let store = backend.open(0).await;
    store.open_chain(CHAIN, "test").await.expect("opens");
    let mut world = World::new(CHAIN);
    store.commit(Arc::new(world.extend(vec![vec![transfer(1, 0, 1, 5)]]))).await.expect("commits");
    let mut early = Client::new(10, 1);
    store.commit(Arc::new(world.extend(vec![vec![transfer(1, 0, 2, 5)]]))).await.expect("commits");
    early.drain(&store).await;
    let replacement = vec![vec![transfer(1, 0, 3, 5)]];
    store.commit(Arc::new(world.reorg(Some(1), replacement))).await.expect("commits");
    early.drain(&store).await;
    assert_eq!((early.present, early.retractions), (known(&world), 1));
    let mut late = Client::new(10, 1);
    late.drain(&store).await;
    assert_eq!((late.present, late.retractions), (known(&world), 0));
}

pub(crate) async fn finality_is_told_once(backend: &impl Backend) {
    let store = backend.open(0).await;
    store.open_chain(CHAIN, "test").await.expect("opens");
    let mut world = World::new(CHAIN);
    let mut client = Client::new(2, 1);
    for number in 1..=6u64 {
        let mut unit = world.extend(vec![vec![transfer(1, 0, number, 5)]]);
        unit.finalized = Some(number / 2);
        store.commit(Arc::new(unit)).await.expect("commits");
    }
    let head = store.finalize(CHAIN, 5).await.expect("finalizes");
    assert_eq!(store.feed_head().await.expect("head"), head);
    client.drain(&store).await;
    assert_eq!(client.finalized, [0, 1, 2, 3, 5]);
    assert_eq!(client.present.len(), 6);
    let fresh = FeedCursor { seq: head + 1, within: None };
    assert!(store.feed(fresh, 5).await.expect("feed").is_empty(), "nothing behind the head");
}
