//! What a SQLite file of ours holds, told apart from how its pages lie: whether it is sound, and a digest
//! of every table's rows.
//!
//! Knows no table by name, so that files of other rooms are read as well.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use sha2::{Digest, Sha256};

use super::backup;
use super::error::corrupt;
use crate::pipeline::error::StoreError;

/// Rows of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDigest {
    pub rows: u64,
    pub sha256: String,
}

/// Reads the whole file; an error when SQLite finds it unsound.
pub fn inspect(path: &Path) -> Result<BTreeMap<String, TableDigest>, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Err(corrupt(format_args!("{}: {found}", path.display())));
    }
    let mut names = connection.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
    )?;
    let names: Vec<String> =
        names.query_map([], |row| row.get(0))?.collect::<Result<_, rusqlite::Error>>()?;
    let mut tables = BTreeMap::new();
    for name in names {
        let found = digest(&connection, &name)?;
        tables.insert(name, found);
    }
    Ok(tables)
}

/// Copies a SQLite file, as it is at one moment, into the new file `to`, beside whoever writes it.
pub fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    backup::copy(from, to)
}

/// Rows in the order of the table's own key.
fn digest(connection: &Connection, table: &str) -> Result<TableDigest, StoreError> {
    let mut select =
        connection.prepare(&format!("SELECT * FROM \"{}\"", table.replace('"', "\"\"")))?;
    let columns = select.column_count();
    let mut rows = select.query([])?;
    let (mut hash, mut count) = (Sha256::new(), 0);
    while let Some(row) = rows.next()? {
        for column in 0..columns {
            add(&mut hash, row.get_ref(column)?);
        }
        count += 1;
    }
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(TableDigest { rows: count, sha256 })
}

/// Kind and length go in front, so that no two rows give the same bytes.
fn add(hash: &mut Sha256, value: ValueRef<'_>) {
    match value {
        ValueRef::Null => hash.update([0]),
        ValueRef::Integer(number) => {
            hash.update([1]);
            hash.update(number.to_le_bytes());
        }
        ValueRef::Real(number) => {
            hash.update([2]);
            hash.update(number.to_le_bytes());
        }
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            hash.update([if matches!(value, ValueRef::Text(_)) { 3 } else { 4 }]);
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_same_digests_and_a_changed_row_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (folder.path().join("a.sqlite"), folder.path().join("b.sqlite"));
        let connection = Connection::open(&from).expect("opens");
        connection
            .execute_batch(
                "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, data BLOB);
                 CREATE TABLE pair (a BLOB, b BLOB);
                 INSERT INTO t VALUES (7, 'x', x'00'), (3, NULL, x'');
                 INSERT INTO pair VALUES ('ab', 'c');",
            )
            .expect("filled");
        copy(&from, &to).expect("copied");
        assert_eq!(inspect(&from).expect("sound"), inspect(&to).expect("sound"));
        let before = inspect(&from).expect("sound");
        assert_eq!(before["t"].rows, 2);
        connection.execute("UPDATE pair SET a = 'a', b = 'bc'", []).expect("changed");
        let after = inspect(&from).expect("sound");
        assert_ne!(before["pair"], after["pair"], "borders between columns count");
        assert_eq!(before["t"], after["t"]);
    }

    #[test]
    fn a_file_with_a_broken_page_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.sqlite");
        let connection = Connection::open(&path).expect("opens");
        connection
            .execute_batch(
                "CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB);
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
                 INSERT INTO t SELECT i, randomblob(100) FROM n;",
            )
            .expect("filled");
        drop(connection);
        let mut bytes = std::fs::read(&path).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle..middle + 600].fill(0xff);
        std::fs::write(&path, bytes).expect("written");
        assert!(inspect(&path).is_err());
    }
}
