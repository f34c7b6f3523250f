//! What every back end of the records must do, written once: the same tests run against each through a
//! [`Backend`].

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::audit::{Follower, GENESIS};
use super::{
    AuditDraft, Batch, By, Collection, Expect, Order, Records, RecordsError, Select, sortable,
};

const THINGS: Collection = Collection { name: "things", lookups: &["owner", "due"] };
const OTHERS: Collection = Collection { name: "others", lookups: &[] };

/// Makes stores over one set of records, which outlives them.
pub(crate) trait Backend {
    type Store: Records + 'static;
    fn open(&self) -> impl Future<Output = Self::Store>;
    /// Throws the data away.
    fn done(self) -> impl Future<Output = ()>;
}

/// Defines one test per rule for a back end. `$backend` makes a fresh, empty one, or none where the
/// server is missing, which it then has told of.
macro_rules! records_contract_tests {
    ($backend:expr) => {
        $crate::store::records::contract_tests::records_contract_tests!(@each $backend;
            a_document_is_put_read_replaced_and_deleted,
            an_expectation_that_does_not_hold_stops_the_whole_batch,
            of_many_writers_that_expect_the_same_version_one_wins,
            lists_answer_by_key_by_value_and_by_range,
            pages_are_whole_and_ordered_and_foreign_cursors_are_refused,
            random_batches_leave_what_a_map_holds,
            audit_entries_are_chained_and_come_with_their_batch_or_not_at_all,
            everything_is_there_after_opening_again,
            invalid_batches_are_refused,
        );
    };
    (@each $backend:expr; $($name:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(backend) = $backend else { return };
                $crate::store::records::contract_tests::$name(&backend).await;
                $crate::store::records::contract_tests::Backend::done(backend).await;
            }
        )*
    };
}
pub(crate) use records_contract_tests;

async fn put(
    store: &impl Records,
    key: &str,
    expect: Expect,
    body: Value,
) -> Result<u64, RecordsError> {
    let mut batch = Batch::default();
    batch.put(&THINGS, key, expect, &body)?;
    Ok(store.apply(batch).await?.versions[0])
}

fn select(by: By) -> Select {
    Select { collection: &THINGS, by, order: Order::Ascending, limit: 10, after: None }
}

/// All keys of a list, page by page.
async fn keys(store: &impl Records, mut question: Select) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let page = store.list(question.clone()).await.unwrap();
        assert!(page.items.len() <= question.limit);
        found.extend(page.items.into_iter().map(|record| record.key));
        match page.next {
            Some(next) => question.after = Some(next),
            None => return found,
        }
    }
}

pub(crate) async fn a_document_is_put_read_replaced_and_deleted(backend: &impl Backend) {
    let store = backend.open().await;
    assert_eq!(store.get(&THINGS, "a").await.unwrap(), None);
    assert_eq!(put(&store, "a", Expect::Absent, json!({"n": 1})).await.unwrap(), 1);
    assert_eq!(put(&store, "a", Expect::Version(1), json!({"n": 2})).await.unwrap(), 2);
    assert_eq!(put(&store, "a", Expect::Any, json!({"n": 3})).await.unwrap(), 3);
    let found = store.get(&THINGS, "a").await.unwrap().unwrap();
    assert_eq!((found.version, found.body), (3, json!({"n": 3})));
    assert_eq!(store.get(&OTHERS, "a").await.unwrap(), None, "collections do not mix");
    let mut batch = Batch::default();
    batch.delete(&THINGS, "a", Expect::Present);
    store.apply(batch.clone()).await.unwrap();
    assert_eq!(store.get(&THINGS, "a").await.unwrap(), None);
    assert!(matches!(store.apply(batch).await, Err(RecordsError::Conflict { .. })));
}

pub(crate) async fn an_expectation_that_does_not_hold_stops_the_whole_batch(
    backend: &impl Backend,
) {
    let store = backend.open().await;
    put(&store, "guard", Expect::Absent, json!({})).await.unwrap();
    for expect in [Expect::Absent, Expect::Version(2), Expect::Version(0)] {
        let mut batch = Batch::default();
        batch.put(&THINGS, "new", Expect::Absent, &json!({"owner": "x"})).unwrap();
        batch.put(&OTHERS, "new", Expect::Any, &json!({})).unwrap();
        batch.check(&THINGS, "guard", expect);
        batch.audit.push(AuditDraft { at_ms: 1, body: "{}".into() });
        let refused = store.apply(batch).await.unwrap_err();
        let named = matches!(&refused, RecordsError::Conflict { collection: "things", key } if key == "guard");
        assert!(named, "{expect:?}: {refused}");
        assert_eq!(store.get(&THINGS, "new").await.unwrap(), None);
        assert_eq!(store.get(&OTHERS, "new").await.unwrap(), None);
        assert_eq!(store.audit_head().await.unwrap().seq, 0);
        let by = By::Equal { lookup: "owner", value: "x".into() };
        assert!(keys(&store, select(by)).await.is_empty());
    }
    let mut batch = Batch::default();
    batch.check(&THINGS, "guard", Expect::Version(1));
    batch.put(&OTHERS, "new", Expect::Absent, &json!({})).unwrap();
    assert_eq!(store.apply(batch).await.unwrap().versions, [0, 1]);
}

pub(crate) async fn of_many_writers_that_expect_the_same_version_one_wins(backend: &impl Backend) {
    let store = Arc::new(backend.open().await);
    put(&*store, "n", Expect::Absent, json!({"n": 0})).await.unwrap();
    let writers = 8;
    let rounds = 10;
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut lost = 0;
                for _ in 0..rounds {
                    loop {
                        let seen = store.get(&THINGS, "n").await.unwrap().unwrap();
                        let next = json!({"n": seen.body["n"].as_u64().unwrap() + 1});
                        match put(&*store, "n", Expect::Version(seen.version), next).await {
                            Ok(_) => break,
                            Err(RecordsError::Conflict { .. }) => lost += 1,
                            Err(other) => panic!("{other}"),
                        }
                    }
                }
                lost
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let end = store.get(&THINGS, "n").await.unwrap().unwrap();
    assert_eq!((end.body["n"].as_u64(), end.version), (Some(80), 81));
}

pub(crate) async fn lists_answer_by_key_by_value_and_by_range(backend: &impl Backend) {
    let store = backend.open().await;
    for n in 0..25_u64 {
        let owner = if n % 2 == 0 { json!("even") } else { Value::Null };
        let body = json!({"owner": owner, "due": sortable(100 - n)});
        put(&store, &format!("k{n:02}"), Expect::Absent, body).await.unwrap();
    }
    assert_eq!(keys(&store, select(By::Key)).await.len(), 25);
    let by = By::Equal { lookup: "owner", value: "even".into() };
    let even = keys(&store, select(by.clone())).await;
    assert_eq!(even, (0..25).step_by(2).map(|n| format!("k{n:02}")).collect::<Vec<_>>());
    let due = |from, below| By::Range { lookup: "due", from, below };
    let range = due(Some(sortable(80)), Some(sortable(83)));
    assert_eq!(keys(&store, select(range.clone())).await, ["k20", "k19", "k18"]);
    let mut down = select(range);
    (down.order, down.limit) = (Order::Descending, 2);
    assert_eq!(keys(&store, down).await, ["k18", "k19", "k20"]);
    assert_eq!(keys(&store, select(due(None, None))).await.len(), 25);
    // A replaced document is found by its new values alone.
    put(&store, "k00", Expect::Present, json!({"owner": "odd"})).await.unwrap();
    assert_eq!(keys(&store, select(by)).await, even[1..]);
    let odd = By::Equal { lookup: "owner", value: "odd".into() };
    assert_eq!(keys(&store, select(odd)).await, ["k00"]);
}

pub(crate) async fn pages_are_whole_and_ordered_and_foreign_cursors_are_refused(
    backend: &impl Backend,
) {
    let store = backend.open().await;
    for n in 0..9 {
        put(&store, &format!("k{n}"), Expect::Absent, json!({"owner": "o"})).await.unwrap();
    }
    let mut question = select(By::Equal { lookup: "owner", value: "o".into() });
    question.limit = 4;
    let first = store.list(question.clone()).await.unwrap();
    // What happens between two pages does not shift the rest.
    put(&store, "k00", Expect::Absent, json!({"owner": "o"})).await.unwrap();
    let mut batch = Batch::default();
    batch.delete(&THINGS, "k3", Expect::Any);
    store.apply(batch).await.unwrap();
    question.after = first.next.clone();
    assert_eq!(keys(&store, question).await, ["k4", "k5", "k6", "k7", "k8"]);
    for other in [By::Key, By::Equal { lookup: "owner", value: "p".into() }] {
        let mut foreign = select(other);
        foreign.after = first.next.clone();
        assert!(matches!(store.list(foreign).await, Err(RecordsError::BadCursor)));
    }
    let mut garbage = select(By::Key);
    garbage.after = Some("garbage!".into());
    assert!(matches!(store.list(garbage).await, Err(RecordsError::BadCursor)));
    let unknown = select(By::Equal { lookup: "colour", value: "x".into() });
    assert!(matches!(store.list(unknown).await, Err(RecordsError::Invalid(_))));
}

pub(crate) async fn random_batches_leave_what_a_map_holds(backend: &impl Backend) {
    const SEED: u64 = 7;
    println!("seed {SEED}");
    let mut random = StdRng::seed_from_u64(SEED);
    let store = backend.open().await;
    let mut model: BTreeMap<String, (u64, Value)> = BTreeMap::new();
    for round in 0..200_u64 {
        let mut after = model.clone();
        let mut batch = Batch::default();
        let mut holds = true;
        let mut named = Vec::new();
        for _ in 0..random.random_range(1..4) {
            let key = format!("k{}", random.random_range(0..12));
            if named.contains(&key) {
                continue;
            }
            named.push(key.clone());
            let stored = model.get(&key).map(|(version, _)| *version);
            let expect = match random.random_range(0..5) {
                0 => Expect::Absent,
                1 => Expect::Present,
                2 => Expect::Version(stored.unwrap_or(1)),
                _ => Expect::Any,
            };
            holds &= match expect {
                Expect::Any => true,
                Expect::Absent => stored.is_none(),
                Expect::Present => stored.is_some(),
                Expect::Version(version) => stored == Some(version),
            };
            match random.random_range(0..4) {
                0 => {
                    after.remove(&key);
                    batch.delete(&THINGS, key, expect);
                }
                1 => batch.check(&THINGS, key, expect),
                _ => {
                    let body = json!({"owner": format!("o{}", round % 3), "round": round});
                    after.insert(key.clone(), (stored.unwrap_or(0) + 1, body.clone()));
                    batch.put(&THINGS, key, expect, &body).unwrap();
                }
            }
        }
        match store.apply(batch).await {
            Ok(_) => assert!(holds, "round {round}"),
            Err(RecordsError::Conflict { .. }) => assert!(!holds, "round {round}"),
            Err(other) => panic!("{other}"),
        }
        if holds {
            model = after;
        }
    }
    let page = store.list(Select { limit: 100, ..select(By::Key) }).await.unwrap();
    let found: BTreeMap<_, _> =
        page.items.into_iter().map(|record| (record.key, (record.version, record.body))).collect();
    assert_eq!(found, model);
    for owner in ["o0", "o1", "o2"] {
        let by = By::Equal { lookup: "owner", value: owner.into() };
        let expected = model
            .iter()
            .filter(|(_, (_, body))| body["owner"] == owner)
            .map(|(key, _)| key.clone());
        assert_eq!(keys(&store, select(by)).await, expected.collect::<Vec<_>>());
    }
}

pub(crate) async fn audit_entries_are_chained_and_come_with_their_batch_or_not_at_all(
    backend: &impl Backend,
) {
    let store = Arc::new(backend.open().await);
    assert_eq!(store.audit_head().await.unwrap().hash, GENESIS);
    let writers: Vec<_> = (0..4_u64)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for n in 0..10_u64 {
                    let mut batch = Batch::default();
                    batch
                        .put(&THINGS, format!("w{writer}-{n}"), Expect::Absent, &json!({}))
                        .unwrap();
                    for part in 0..2 {
                        let body = format!(r#"{{"writer":{writer},"n":{n},"part":{part}}}"#);
                        batch.audit.push(AuditDraft { at_ms: n, body });
                    }
                    let applied = store.apply(batch).await.unwrap();
                    assert_eq!(applied.audit[0] + 1, applied.audit[1], "a batch's stand together");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let mut follower = Follower::new(0, GENESIS);
    loop {
        let page = store.audit(follower.seq(), 7).await.unwrap();
        assert!(page.len() <= 7);
        if page.is_empty() {
            break;
        }
        page.iter().for_each(|entry| follower.follow(entry).unwrap());
    }
    let head = store.audit_head().await.unwrap();
    assert_eq!((head.seq, head.hash), (80, follower.hash()));
}

pub(crate) async fn everything_is_there_after_opening_again(backend: &impl Backend) {
    let first = backend.open().await;
    let mut batch = Batch::default();
    batch.put(&THINGS, "a", Expect::Absent, &json!({"owner": "x", "text": "ç\u{1F600}"})).unwrap();
    batch.audit.push(AuditDraft { at_ms: 5, body: r#"{"b":1,  "a":2}"#.into() });
    first.apply(batch).await.unwrap();
    let head = first.audit_head().await.unwrap();
    drop(first);
    let second = backend.open().await;
    assert_eq!(second.get(&THINGS, "a").await.unwrap().unwrap().body["text"], "ç\u{1F600}");
    assert_eq!(second.audit_head().await.unwrap(), head);
    let entry = second.audit(0, 10).await.unwrap().remove(0);
    assert_eq!(entry.body, r#"{"b":1,  "a":2}"#, "the text is kept byte for byte");
}

pub(crate) async fn invalid_batches_are_refused(backend: &impl Backend) {
    let store = backend.open().await;
    let mut twice = Batch::default();
    twice.put(&THINGS, "a", Expect::Any, &json!({})).unwrap();
    twice.check(&THINGS, "a", Expect::Any);
    let mut empty_key = Batch::default();
    empty_key.put(&THINGS, "", Expect::Any, &json!({})).unwrap();
    let mut number = Batch::default();
    number.put(&THINGS, "a", Expect::Any, &json!({"owner": 1})).unwrap();
    let mut huge = Batch::default();
    huge.put(&THINGS, "a", Expect::Any, &json!({"x": "y".repeat(super::DOCUMENT_BYTES_MAX)}))
        .unwrap();
    let mut many = Batch::default();
    for n in 0..=super::BATCH_CHANGES_MAX {
        many.check(&THINGS, format!("k{n}"), Expect::Any);
    }
    for batch in [twice, empty_key, number, huge, many] {
        let refused = store.apply(batch).await.unwrap_err();
        assert!(matches!(refused, RecordsError::Invalid(_)), "{refused}");
    }
    assert_eq!(store.get(&THINGS, "a").await.unwrap(), None);
}
