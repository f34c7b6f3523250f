//! The contract over SQLite, and what is its own: damage, newer files, a second process.

use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

use super::{EmbeddedRecords, FILE_NAME, open};
use crate::pipeline::error::StoreError;
use crate::store::records::contract_tests::{Backend, records_contract_tests};
use crate::store::records::{AuditDraft, Batch, Collection, Expect, Records};

const THINGS: Collection = Collection { name: "things", lookups: &[] };

struct Sqlite(TempDir);

impl Backend for Sqlite {
    type Store = EmbeddedRecords;

    async fn open(&self) -> EmbeddedRecords {
        open(self.0.path()).unwrap()
    }

    async fn done(self) {}
}

records_contract_tests!(Some(Sqlite(TempDir::new().unwrap())));

fn put(key: &str) -> Batch {
    let mut batch = Batch::default();
    batch.put(&THINGS, key, Expect::Absent, &json!({"n": 1})).unwrap();
    batch.audit.push(AuditDraft { at_ms: 1, body: "{}".into() });
    batch
}

#[tokio::test]
async fn two_processes_may_write_and_share_one_trail() {
    let directory = TempDir::new().unwrap();
    let daemon = open(directory.path()).unwrap();
    let command = open(directory.path()).unwrap();
    assert_eq!(daemon.apply(put("a")).await.unwrap().audit, [1]);
    assert_eq!(command.apply(put("b")).await.unwrap().audit, [2]);
    assert_eq!(daemon.apply(put("c")).await.unwrap().audit, [3]);
    assert!(daemon.get(&THINGS, "b").await.unwrap().is_some());
}

#[tokio::test]
async fn the_trail_cannot_be_edited_through_sql_by_accident() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path()).unwrap();
    store.apply(put("a")).await.unwrap();
    let raw = Connection::open(directory.path().join(FILE_NAME)).unwrap();
    assert!(raw.execute("UPDATE audit SET body = 'x'", []).is_err());
    assert!(raw.execute("DELETE FROM audit", []).is_err());
}

#[tokio::test]
async fn a_damaged_or_newer_file_is_refused_with_what_to_do() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path()).unwrap();
    for n in 0..50 {
        store.apply(put(&format!("key-{n}"))).await.unwrap();
    }
    let copy = directory.path().join("copy").join(FILE_NAME);
    std::fs::create_dir(copy.parent().unwrap()).unwrap();
    store.backup(&copy).await.unwrap();
    drop(store);
    let restored = open(copy.parent().unwrap()).unwrap();
    assert_eq!(restored.audit_head().await.unwrap().seq, 50);
    drop(restored);

    let path = directory.path().join(FILE_NAME);
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 999).unwrap();
    let newer = open(directory.path()).unwrap_err().to_string();
    assert!(newer.contains("newer rwahub"), "{newer}");

    let mut bytes = std::fs::read(&copy).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].iter_mut().take(4_096).for_each(|byte| *byte = 0x5a);
    std::fs::write(&copy, bytes).unwrap();
    let damaged = open(copy.parent().unwrap()).unwrap_err();
    assert!(matches!(&damaged, StoreError::Corrupt(text) if text.contains("backup")), "{damaged}");
}
