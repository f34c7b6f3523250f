//! The contract tests against this back end, and what only it promises.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::{Embedded, FILE_NAME, open, open_read_only, schema};
use crate::pipeline::error::StoreError;
use crate::pipeline::store::{CommitMode, Store};
use crate::store::contract_tests::world::roll;
use crate::store::contract_tests::world::{CHAIN, Reader, World, contracts};
use crate::store::contract_tests::writing::{agree, every_key};
use crate::store::contract_tests::{Backend, contract_tests, mending_tests};
use crate::store::read::{EventQuery, Queries};

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn try_open(&self) -> Result<Embedded, StoreError> {
        open(self.path(), &contracts(), Reader::shared(0))
    }
}

impl Backend for Files {
    type Store = Embedded;

    async fn open(&self, shift: u32) -> Embedded {
        open(self.path(), &contracts(), Reader::shared(shift)).expect("opens")
    }
}

contract_tests!(Files::new());
mending_tests!(Files::new());

#[test]
fn a_second_writer_is_told_who_holds_the_store() {
    let files = Files::new();
    let held = files.try_open().expect("opens");
    let refused = files.try_open().expect_err("the store is held").to_string();
    assert!(refused.contains(&std::process::id().to_string()), "{refused}");
    assert!(refused.contains(&files.path().display().to_string()), "{refused}");
    drop(held);
    files.try_open().expect("the lock went with its holder");
}

#[test]
fn a_directory_that_cannot_be_written_is_named_with_a_remedy() {
    let files = Files::new();
    let inside_a_file = files.path().join("file");
    std::fs::write(&inside_a_file, "x").expect("writes");
    let refused = open(&inside_a_file.join("data"), &contracts(), Reader::shared(0));
    let text = refused.expect_err("a file is no directory").to_string();
    assert!(text.contains("data") && text.contains("[store] path"), "{text}");
}

#[test]
fn a_damaged_a_foreign_and_a_newer_file_are_refused() {
    let files = Files::new();
    drop(files.try_open().expect("opens"));
    let path = files.path().join(FILE_NAME);
    let newer = rusqlite::Connection::open(&path).expect("opens");
    newer.pragma_update(None, "user_version", 99).expect("sets");
    drop(newer);
    let text = files.try_open().expect_err("newer").to_string();
    assert!(text.contains("version 99") && text.contains("upgrade"), "{text}");

    std::fs::write(&path, vec![7u8; 8192]).expect("writes");
    let text = files.try_open().expect_err("not a database").to_string();
    assert!(text.contains(FILE_NAME), "{text}");

    std::fs::remove_file(&path).expect("removes");
    let foreign = rusqlite::Connection::open(&path).expect("opens");
    foreign.execute_batch("CREATE TABLE notes(text)").expect("creates");
    drop(foreign);
    let text = files.try_open().expect_err("foreign").to_string();
    assert!(text.contains("another program"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn indexes_left_out_by_a_killed_load_come_back_with_the_first_live_block() {
    let files = Files::new();
    let mut world = World::new(CHAIN);
    let store = files.try_open().expect("opens");
    store.open_chain(CHAIN, "test").await.expect("opens");
    world.mode = CommitMode::Bulk;
    let blocks = world.random_blocks(&mut 1, 20);
    store.commit(Arc::new(world.extend(blocks))).await.expect("commits");
    drop(store);
    let path = files.path().join(FILE_NAME);
    let present = || {
        let file = rusqlite::Connection::open(&path).expect("opens");
        schema::indexes_present(&file).expect("reads")
    };
    assert!(!present(), "the load was never ended");
    let store = files.try_open().expect("opens");
    store.open_chain(CHAIN, "test").await.expect("opens");
    world.mode = CommitMode::Live;
    let blocks = world.random_blocks(&mut 2, 1);
    store.commit(Arc::new(world.extend(blocks))).await.expect("commits");
    drop(store);
    assert!(present());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_beside_the_writer_sees_commits_and_cannot_write() {
    let files = Files::new();
    assert!(open_read_only(files.path(), &contracts(), Reader::shared(0)).is_err());
    let store = files.try_open().expect("opens");
    store.open_chain(CHAIN, "test").await.expect("opens");
    let reader = open_read_only(files.path(), &contracts(), Reader::shared(3)).expect("opens");
    let mut world = World::new(CHAIN);
    let blocks = world.random_blocks(&mut 1, 20);
    let logs: usize = blocks.iter().map(Vec::len).sum();
    store.commit(Arc::new(world.extend(blocks))).await.expect("commits");
    let query = EventQuery { limit: 500, ..EventQuery::default() };
    let page = reader.events(query).await.expect("events");
    assert_eq!(page.items.len(), logs);
    assert!(page.items.iter().any(|event| event.args.len() > 1), "its layouts were matched");
    assert!(reader.commit(Arc::new(world.extend(vec![vec![]]))).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_tool_can_read_the_views() {
    let files = Files::new();
    let store = files.try_open().expect("opens");
    store.open_chain(CHAIN, "test").await.expect("opens");
    let mut world = World::new(CHAIN);
    let blocks = world.random_blocks(&mut 1, 30);
    store.commit(Arc::new(world.extend(blocks))).await.expect("commits");
    let file = rusqlite::Connection::open(files.path().join(FILE_NAME)).expect("opens");
    let count = |view: &str| -> i64 {
        file.query_row(&format!("SELECT count(*) FROM {view}"), [], |row| row.get(0))
            .expect("counts")
    };
    let logs: usize = world.blocks.iter().map(|block| block.logs.len()).sum();
    assert_eq!(count("v_event"), logs as i64);
    assert_eq!(count("v_block"), 30);
    assert!(count("v_holder") > 0 && count("v_token") > 0);
    let (hash, number): (String, i64) = file
        .query_row("SELECT hash, number FROM v_block ORDER BY number DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .expect("reads");
    let head = world.head().expect("blocks");
    assert_eq!((hash, number), (head.hash.to_string(), 30));
    let tx: String = file
        .query_row("SELECT tx_hash FROM v_event ORDER BY row LIMIT 1", [], |row| row.get(0))
        .expect("reads");
    let first = world.blocks.iter().flat_map(|block| &block.logs).next().expect("a log");
    assert_eq!(tx, first.tx.to_string());
}

/// Names the directory for [`child_that_gets_killed`]; without it that test is not a child.
const CHILD_DIRECTORY: &str = "RWAHUB_TEST_CHILD_DIRECTORY";
/// Steps of the script that run as a bulk load; the indexes are built right after.
const BULK_STEPS: usize = 60;
/// Long enough that no child reaches the end within its life.
const STEPS_MAX: usize = 3_000;

/// Follows the script from its beginning to where the store stands, `None` if it never stood there.
fn replay(cursor: Option<crate::types::chain::BlockId>) -> Option<(World, u64, usize)> {
    let (mut world, mut seed) = (World::new(CHAIN), 5);
    for step in 0..STEPS_MAX {
        if world.head() == cursor {
            return Some((world, seed, step));
        }
        world.step(&mut seed);
    }
    None
}

/// Runs the script until it is killed. Only a child process of the test below has anything to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_gets_killed() {
    let Ok(directory) = std::env::var(CHILD_DIRECTORY) else { return };
    let store = open(Path::new(&directory), &contracts(), Reader::shared(0)).expect("opens");
    let state = store.open_chain(CHAIN, "test").await.expect("opens");
    let (mut world, mut seed, start) = replay(state.cursor).expect("a place in the script");
    for step in start..STEPS_MAX {
        world.mode = if step < BULK_STEPS { CommitMode::Bulk } else { CommitMode::Live };
        store.commit(Arc::new(world.step(&mut seed))).await.expect("commits");
        if step == BULK_STEPS {
            store.end_bulk().await.expect("builds");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_killed_at_any_moment_leaves_whole_units_only() {
    let files = Files::new();
    let program = std::env::current_exe().expect("this test");
    let (mut seed, mut reached) = (1, 0);
    for kill in 0..12 {
        let mut child = Command::new(&program)
            .args(["--exact", "store::embedded::tests::child_that_gets_killed"])
            .env(CHILD_DIRECTORY, files.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("spawns");
        tokio::time::sleep(Duration::from_millis(60 + roll(&mut seed, 250))).await;
        child.kill().expect("kills");
        child.wait().expect("ends");
        let store = files.try_open().expect("opens after a kill");
        let state = store.open_chain(CHAIN, "test").await.expect("opens");
        let (world, _, step) = replay(state.cursor).expect("the end of some unit");
        assert!(step >= reached, "kill {kill}: step {step} after {reached}");
        reached = step;
        if world.head().is_some() {
            agree(&store, &world, &every_key()).await;
        }
    }
    assert!(reached > 0, "the children got nowhere");
}

/// Each list's driving filter must be found by its index and not by walking the log: the file has no
/// statistics that could talk SQLite out of it.
#[test]
fn every_filter_drives_its_own_index() {
    let files = Files::new();
    drop(files.try_open().expect("opens"));
    let file = rusqlite::Connection::open(files.path().join(FILE_NAME)).expect("opens");
    let plan = |sql: &str| -> String {
        let mut explain = file.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("prepares");
        let lines = explain.query_map([], |row| row.get::<_, String>(3)).expect("runs");
        lines.map(|line| line.expect("a line")).collect::<Vec<_>>().join("; ")
    };
    let span = "AND l.row >= 5 AND l.row <= 9 ORDER BY l.row DESC LIMIT 5";
    let rest = "AND +l.contract = 3 AND +l.kind IN (1,2)";
    for (clause, index) in [
        ("l.tx_head = 1 AND l.tx_tail = x'00'", "log_tx"),
        ("l.p0 = 1", "log_p0"),
        ("l.p1 = 1", "log_p1"),
        ("l.p2 = 1", "log_p2"),
        ("l.contract = 1", "log_contract"),
        ("l.kind = 1", "log_kind"),
    ] {
        for rest in ["", rest] {
            let plan = plan(&format!("SELECT l.row FROM log l WHERE {clause} {rest} {span}"));
            assert!(plan.contains(index), "{clause}: {plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{clause}: {plan}");
        }
    }
    for (sql, index) in [
        (
            "SELECT balance FROM holding WHERE row >> 40 = 1 AND (balance, row) < (x'01', 5)
             AND balance > zeroblob(32) ORDER BY balance DESC, row DESC",
            "holding_rank",
        ),
        (
            "SELECT balance FROM holding WHERE row & 0xFFFFFFFFFF = 1 AND row > 5 ORDER BY row",
            "holding_holder",
        ),
    ] {
        let plan = plan(sql);
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{plan}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_a_store_of_its_own() {
    let files = Files::new();
    let store = files.try_open().expect("opens");
    store.open_chain(CHAIN, "test").await.expect("opens");
    let (mut world, mut seed) = (World::new(CHAIN), 3);
    for _ in 0..10 {
        store.commit(Arc::new(world.step(&mut seed))).await.expect("commits");
    }
    let copy = Files::new();
    let to = copy.path().join(FILE_NAME);
    store.backup(&to).await.expect("copies");
    let again = store.backup(&to).await.expect_err("never over a file").to_string();
    assert!(again.contains("exists already"), "{again}");
    let then = world.clone();
    store.commit(Arc::new(world.step(&mut seed))).await.expect("the original goes on");
    let restored = copy.try_open().expect("opens");
    agree(&restored, &then, &every_key()).await;
}

/// Each chain has one unit in flight, and the writer takes them as they come: a chain that floods the
/// store with large units makes another wait for the one that is being written, and for no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_that_floods_leaves_the_others_their_share_of_the_writer() {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::types::chain::ChainId;

    const UNITS: usize = 30;
    let files = Files::new();
    let store = Arc::new(files.try_open().expect("opens"));
    let (mut flood, mut calm) = (World::new(ChainId(1)), World::new(ChainId(2)));
    for world in [&flood, &calm] {
        store.open_chain(world.chain, "test").await.expect("opens");
    }
    let mut seed = 3;
    let large: Vec<_> = (0..UNITS * 2)
        .map(|_| {
            let blocks = flood.random_blocks(&mut seed, 8);
            Arc::new(flood.extend(blocks))
        })
        .collect();
    let small: Vec<_> = (0..UNITS).map(|_| Arc::new(calm.extend(vec![vec![]]))).collect();
    let (flooded, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let flooding = {
        let (store, flooded) = (Arc::clone(&store), Arc::clone(&flooded));
        let done = Arc::clone(&done);
        tokio::spawn(async move {
            for unit in large {
                if done.load(Ordering::SeqCst) == UNITS {
                    break;
                }
                store.commit(unit).await.expect("commits");
                flooded.fetch_add(1, Ordering::SeqCst);
            }
        })
    };
    let mut most = 0;
    for unit in small {
        let before = flooded.load(Ordering::SeqCst);
        store.commit(unit).await.expect("commits");
        done.fetch_add(1, Ordering::SeqCst);
        most = most.max(flooded.load(Ordering::SeqCst) - before);
    }
    flooding.await.expect("no panic");
    // The unit being written, the one that was queued before ours, and the one whose end is counted
    // while ours is on its way back.
    assert!(most <= 3, "a unit waited for {most} of the other chain");
}
