//! The contract tests against a real server, and what only this back end promises: that a writer may
//! die or be put to sleep before any one of its commands.
//!
//! The server is that of RWAHUB_TEST_MONGODB_URL (`scripts/services up`); without one every test here
//! says so and passes, except under CI, where it fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mongodb::bson::doc;

use super::{Mongo, open, open_read_only, probe, schema};
use crate::pipeline::error::StoreError;
use crate::pipeline::store::Store;
use crate::store::contract_tests::world::{CHAIN, Reader, World, contracts, transfer};
use crate::store::contract_tests::writing::{agree, every_key};
use crate::store::contract_tests::{Backend, contract_tests};
use crate::store::read::Queries;

/// A database of its own on the test server, dropped at the end.
pub(super) struct Server {
    pub(super) url: String,
    database: String,
}

impl Server {
    pub(super) fn new() -> Option<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let Ok(url) = std::env::var("RWAHUB_TEST_MONGODB_URL") else {
            assert!(std::env::var("CI").is_err(), "RWAHUB_TEST_MONGODB_URL is not set");
            eprintln!("SKIP mongodb: no server; `make test` starts one");
            return None;
        };
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let database = format!("rwahub_t{}_{n}", std::process::id());
        Some(Self { url: format!("{}/{database}", url.trim_end_matches('/')), database })
    }

    async fn database(&self) -> mongodb::Database {
        mongodb::Client::with_uri_str(&self.url).await.expect("url").database(&self.database)
    }

    pub(super) async fn drop(self) {
        self.database().await.drop().await.expect("drops");
    }
}

impl Backend for Server {
    type Store = Mongo;
    // FerretDB on SQLite reads a collection from end to end for every question. 7 shares no factor
    // with the filters' numbers of choices, so each choice still meets each other.
    const FILTER_STRIDE: usize = 7;

    async fn open(&self, shift: u32) -> Mongo {
        open(&self.url, &contracts(), Reader::shared(shift)).await.expect("opens")
    }

    async fn done(self) {
        self.drop().await;
    }
}

contract_tests!(Server::new());

/// Everything in the database that a killed or paused writer may have left: nothing may carry a unit
/// that the head does not admit once the chain has been opened anew.
async fn no_trace_of_dead_units(server: &Server) {
    let database = server.database().await;
    let head = database
        .collection::<mongodb::bson::Document>("head")
        .find_one(doc! { "_id": "head" })
        .await
        .expect("reads")
        .expect("a head");
    for (_, chain) in head.get_document("chains").expect("chains") {
        let chain = chain.as_document().expect("a chain");
        let dead: Vec<i64> = chain
            .get_array("dead")
            .expect("dead")
            .iter()
            .map(|one| one.as_document().expect("one").get_i64("unit").expect("unit"))
            .collect();
        for name in ["events", "blocks", "undo", "journal", "feed", "holdings", "tokens"] {
            let filter =
                doc! { "chain": chain.get_i64("id").expect("id"), "unit": { "$in": &dead } };
            let left = database
                .collection::<mongodb::bson::Document>(name)
                .count_documents(filter)
                .await
                .expect("counts");
            assert_eq!(left, 0, "{name} of dead units {dead:?}");
        }
    }
}

/// A world, its store, and a unit with a reorg in it.
async fn on_the_way(
    server: &Server,
    seed: u64,
) -> (Mongo, World, crate::pipeline::store::CommitUnit, World) {
    let store = server.open(0).await;
    store.open_chain(CHAIN, "test").await.expect("opens");
    let mut world = World::new(CHAIN);
    let mut seed = seed;
    for _ in 0..4 {
        let blocks = world.random_blocks(&mut seed, 2);
        store.commit(Arc::new(world.extend(blocks))).await.expect("commits");
    }
    let before = world.clone();
    let blocks = {
        let mut base = world.clone();
        base.reorg(Some(5), vec![]);
        let mut blocks = base.random_blocks(&mut seed, 3);
        blocks[0].push(transfer(1, 0, 1, 7));
        blocks
    };
    let mut unit = world.reorg(Some(5), blocks);
    unit.finalized = Some(4);
    (store, world, unit, before)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_killed_before_any_command_leaves_the_unit_whole_or_undone() {
    let (mut whole, mut undone) = (0, 0);
    for commands in 0.. {
        let Some(server) = Server::new() else { return };
        let (store, world, unit, before) = on_the_way(&server, 5).await;
        store.wire.gate.die_after(commands);
        let outcome = store.commit(Arc::new(unit.clone())).await;
        let died = store.wire.gate.stopped();
        assert_eq!(outcome.is_err(), died, "{outcome:?}");
        drop(store);

        let store = server.open(0).await;
        let state = store.open_chain(CHAIN, "test").await.expect("opens");
        no_trace_of_dead_units(&server).await;
        if state.cursor == world.head() {
            whole += 1;
        } else {
            undone += 1;
            agree(&store, &before, &every_key()).await;
            store.commit(Arc::new(unit)).await.expect("the same again");
        }
        agree(&store, &world, &every_key()).await;
        let mut client = crate::store::contract_tests::feed::Client::new(3, 1);
        client.drain(&store).await;
        client.believes(&world);
        server.drop().await;
        if !died {
            break;
        }
    }
    assert!(whole > 3 && undone > 3, "killed {undone} times before and {whole} after the commit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_slept_through_a_takeover_changes_nothing_when_it_wakes() {
    for commands in 0.. {
        let Some(server) = Server::new() else { return };
        let (old, world, unit, before) = on_the_way(&server, 6).await;
        let old = Arc::new(old);
        old.wire.gate.pause_after(commands);
        let sleeper = {
            let (old, unit) = (Arc::clone(&old), Arc::new(unit.clone()));
            tokio::spawn(async move { old.commit(unit).await })
        };
        tokio::select! {
            () = old.wire.gate.reached.notified() => {}
            () = async { while !sleeper.is_finished() { tokio::task::yield_now().await } } => {}
        }
        let slept = !sleeper.is_finished();

        let new = server.open(0).await;
        let state = new.open_chain(CHAIN, "test").await.expect("takes over");
        // The new writer goes another way than the old one was about to.
        let mut truth = if state.cursor == world.head() { world.clone() } else { before };
        for n in 1..=3 {
            let blocks = vec![vec![transfer(2, 0, n, 11)]];
            new.commit(Arc::new(truth.extend(blocks))).await.expect("commits");
        }
        old.wire.gate.go_on();
        let outcome = sleeper.await.expect("no panic");
        if truth.blocks.len() > 3 && state.cursor != world.head() {
            assert!(matches!(outcome, Err(StoreError::Fenced { .. })), "{outcome:?}");
        }
        agree(&new, &truth, &every_key()).await;
        new.commit(Arc::new(truth.extend(vec![vec![transfer(2, 0, 1, 1)]])))
            .await
            .expect("commits");
        agree(&new, &truth, &every_key()).await;
        let mut client = crate::store::contract_tests::feed::Client::new(2, 1);
        client.drain(&new).await;
        client.believes(&truth);
        // What the sleeper wrote on waking is invisible, and gone after the next opening.
        new.open_chain(CHAIN, "test").await.expect("opens");
        new.open_chain(CHAIN, "test").await.expect("opens");
        drop((new, old));
        server.drop().await;
        if !slept {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_broke_off_is_finished_or_given_up_by_the_same_writer() {
    for commands in 0.. {
        let Some(server) = Server::new() else { return };
        let (store, world, unit, before) = on_the_way(&server, 8).await;
        let unit = Arc::new(unit);
        store.wire.gate.die_after(commands);
        let died = store.commit(Arc::clone(&unit)).await.is_err();
        store.wire.gate.go_on();
        if commands % 2 == 0 {
            store.commit(unit).await.ok();
            agree(&store, &world, &every_key()).await;
        } else {
            // The chain has changed its mind meanwhile: another unit comes instead.
            let mut truth = if store.chains().await.expect("chains")[0].indexed == world.head() {
                world
            } else {
                before
            };
            let other = truth.extend(vec![vec![transfer(3, 0, 2, 5)]]);
            store.commit(Arc::new(other)).await.expect("commits");
            agree(&store, &truth, &every_key()).await;
        }
        drop(store);
        server.drop().await;
        if !died {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_differs_is_reported_and_a_missing_one_is_built() {
    let Some(server) = Server::new() else { return };
    let store = server.open(0).await;
    assert_eq!(schema::prepare(&store.wire).await.expect("prepares"), Vec::<String>::new());
    let database = server.database().await;
    let events = database.collection::<mongodb::bson::Document>("events");
    events.drop_index("by_tx").await.expect("drops");
    events.drop_index("by_event").await.expect("drops");
    for (name, keys) in [("by_tx", doc! { "tx": 1, "pos": 1 }), ("mine", doc! { "time": 1 })] {
        let indexes = vec![doc! { "name": name, "key": keys }];
        let command = doc! { "createIndexes": "events", "indexes": indexes };
        database.run_command(command).await.expect("creates");
    }
    let told = schema::prepare(&store.wire).await.expect("prepares");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("by_tx") && told[1].contains("mine"), "{told:?}");
    let names = events.list_index_names().await.expect("lists");
    assert!(names.contains(&"by_event".to_owned()), "{names:?}");
    server.drop().await;
}

#[tokio::test]
async fn faults_name_a_remedy_and_no_secret() {
    let secret = "hunter2";
    for url in [
        format!("mongodb://user:{secret}@127.0.0.1:1/?serverSelectionTimeoutMS=300"),
        format!("mongodb://user:{secret}@[bad/?x=y"),
        format!("mongodb://us er:{secret}@h/?tls=maybe&password={secret}"),
    ] {
        let error = probe(&url).await.expect_err("nobody listens").to_string();
        assert!(!error.contains(secret), "{error}");
    }
    let Some(server) = Server::new() else { return };
    let refused = open_read_only(&server.url, &contracts(), Reader::shared(0)).await;
    let text = refused.expect_err("empty").to_string();
    assert!(text.contains("rwahub run"), "{text}");
}
