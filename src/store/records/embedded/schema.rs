//! The tables of the records file, how an older file becomes a newer one, and how damage is found.

use rusqlite::{Connection, TransactionBehavior};

use crate::pipeline::error::StoreError;

/// `RWAR`, so that this file is not taken for the index.
const APPLICATION_ID: i32 = 0x5257_4152;
/// Step `n` turns version `n` into `n + 1`. Never edit a step that has been released; add one.
const MIGRATIONS: &[&str] = &[V1];

const V1: &str = "
CREATE TABLE record(
  collection TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY(collection, key)) WITHOUT ROWID;
CREATE TABLE lookup(
  collection TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, key TEXT NOT NULL,
  PRIMARY KEY(collection, name, value, key)) WITHOUT ROWID;
CREATE INDEX lookup_of ON lookup(collection, key);
CREATE TABLE audit(
  seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, body TEXT NOT NULL, hash BLOB NOT NULL);
CREATE TRIGGER audit_is_not_edited BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_is_not_shortened BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
";

/// Brings the file to this program's version, step by step, each in one transaction.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let unit = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = unit.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i32 = unit.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if version > 0 && application != APPLICATION_ID {
        return Err(StoreError::Corrupt("this is not a records file of rwahub".into()));
    }
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    let Some(steps) = MIGRATIONS.get(done..) else {
        let text = format!("version {version} was written by a newer rwahub; run that one");
        return Err(StoreError::Corrupt(text));
    };
    for step in steps {
        unit.execute_batch(step)?;
    }
    let newest = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    unit.pragma_update(None, "user_version", newest)?;
    unit.pragma_update(None, "application_id", APPLICATION_ID)?;
    Ok(unit.commit()?)
}

/// Finds a damaged file before anyone relies on it: a second per GiB, and this file is small.
pub(super) fn check(connection: &Connection) -> Result<(), StoreError> {
    let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(StoreError::Corrupt(found)) }
}
