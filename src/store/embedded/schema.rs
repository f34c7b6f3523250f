//! The tables, views and indexes of the embedded store, and how an older file becomes a newer one.
//!
//! Numbers rather than names hold the rows together (see `rows`); the views at the end give them back
//! as hex text, so that any SQLite tool can read the file. Foreign keys are not declared: they would
//! cost a lookup per row, and only one writer exists.

use rusqlite::{Connection, TransactionBehavior};

use super::error::corrupt;
use crate::pipeline::error::StoreError;

/// `RWAH`, so that `file` and SQLite tools can tell what they look at.
const APPLICATION_ID: i32 = 0x5257_4148;

/// Step `n` turns version `n` into `n + 1`. Never edit a step that has been released; add one.
const MIGRATIONS: &[&str] = &[V1, V2];

const V1: &str = "
CREATE TABLE setting(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE chain(
  ordinal INTEGER PRIMARY KEY, id INTEGER NOT NULL UNIQUE, name TEXT NOT NULL,
  cursor_number INTEGER, cursor_hash BLOB, finalized INTEGER,
  first_block INTEGER, verified_through INTEGER,
  blocks INTEGER NOT NULL DEFAULT 0, logs INTEGER NOT NULL DEFAULT 0,
  events INTEGER NOT NULL DEFAULT 0, undecoded INTEGER NOT NULL DEFAULT 0);
CREATE TABLE address(id INTEGER PRIMARY KEY, addr BLOB NOT NULL UNIQUE);
CREATE TABLE contract_name(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE layout(
  id INTEGER PRIMARY KEY, signature TEXT NOT NULL UNIQUE, event TEXT NOT NULL, topic0 BLOB);
CREATE TABLE kind(
  id INTEGER PRIMARY KEY, name INTEGER NOT NULL, layout INTEGER, UNIQUE(name, layout));

CREATE TABLE block(
  row INTEGER PRIMARY KEY, hash BLOB NOT NULL, timestamp INTEGER NOT NULL,
  proof INTEGER NOT NULL, seq INTEGER NOT NULL);
CREATE TABLE log(
  row INTEGER PRIMARY KEY, contract INTEGER NOT NULL, kind INTEGER NOT NULL,
  p0 INTEGER, p1 INTEGER, p2 INTEGER,
  tx_index INTEGER NOT NULL, tx_head INTEGER NOT NULL, tx_tail BLOB NOT NULL,
  topics BLOB NOT NULL, data BLOB NOT NULL);
CREATE INDEX log_p2 ON log(p2) WHERE p2 IS NOT NULL;
CREATE TABLE participant_extra(
  addr INTEGER NOT NULL, row INTEGER NOT NULL, PRIMARY KEY(addr, row)) WITHOUT ROWID;
CREATE INDEX participant_extra_row ON participant_extra(row);
CREATE TABLE dead_letter(row INTEGER PRIMARY KEY, reason TEXT NOT NULL);

CREATE TABLE orphan(
  retracted INTEGER NOT NULL, row INTEGER NOT NULL, committed INTEGER NOT NULL,
  block_hash BLOB NOT NULL, timestamp INTEGER NOT NULL,
  contract INTEGER NOT NULL, kind INTEGER NOT NULL,
  tx_index INTEGER NOT NULL, tx_head INTEGER NOT NULL, tx_tail BLOB NOT NULL,
  topics BLOB NOT NULL, data BLOB NOT NULL, PRIMARY KEY(retracted, row)) WITHOUT ROWID;
CREATE INDEX orphan_committed ON orphan(committed, row);
CREATE TABLE feed(
  seq INTEGER PRIMARY KEY, chain INTEGER NOT NULL, step INTEGER NOT NULL,
  low INTEGER NOT NULL, high INTEGER NOT NULL);

CREATE TABLE asset(
  id INTEGER PRIMARY KEY, chain INTEGER NOT NULL, addr INTEGER NOT NULL, UNIQUE(chain, addr));
CREATE TABLE token(
  asset INTEGER PRIMARY KEY, standard INTEGER NOT NULL, first_block INTEGER NOT NULL,
  supply BLOB NOT NULL, holders INTEGER NOT NULL, transfers INTEGER NOT NULL,
  paused INTEGER NOT NULL, registry INTEGER, compliance INTEGER,
  name TEXT, symbol TEXT, decimals INTEGER, has_metadata INTEGER NOT NULL DEFAULT 0);
CREATE INDEX token_without_metadata ON token(asset) WHERE has_metadata = 0;
CREATE TABLE holding(
  row INTEGER PRIMARY KEY, balance BLOB NOT NULL, frozen BLOB,
  account_frozen INTEGER NOT NULL);
CREATE TABLE identity(
  registry INTEGER NOT NULL, wallet INTEGER NOT NULL, identity INTEGER NOT NULL,
  country INTEGER, PRIMARY KEY(registry, wallet)) WITHOUT ROWID;
CREATE TABLE undo(
  block INTEGER NOT NULL, n INTEGER NOT NULL, key BLOB NOT NULL, before BLOB,
  PRIMARY KEY(block, n)) WITHOUT ROWID;

CREATE VIEW v_block AS
SELECT c.id AS chain_id, b.row >> 19 & 0xFFFFFFFFF AS number, '0x' || lower(hex(b.hash)) AS hash,
  b.timestamp, datetime(b.timestamp, 'unixepoch') AS time,
  CASE b.proof WHEN 1 THEN 'bloom' WHEN 2 THEN 'receipts' ELSE 'unverified' END AS proof
FROM block b JOIN chain c ON c.ordinal = b.row >> 55;
CREATE VIEW v_event AS
SELECT c.id AS chain_id, l.row >> 19 & 0xFFFFFFFFF AS block_number,
  '0x' || lower(hex(b.hash)) AS block_hash, b.timestamp, l.row & 0x7FFFF AS log_index,
  '0x' || printf('%016x', l.tx_head) || lower(hex(l.tx_tail)) AS tx_hash, l.tx_index,
  '0x' || lower(hex(a.addr)) AS address, n.name AS contract, y.event, y.signature,
  '0x' || lower(hex(y.topic0)) AS topic0, '0x' || lower(hex(l.topics)) AS topics,
  '0x' || lower(hex(l.data)) AS data, d.reason AS undecoded,
  l.row AS row
FROM log l JOIN chain c ON c.ordinal = l.row >> 55 JOIN block b ON b.row = l.row >> 19 << 19
JOIN address a ON a.id = l.contract JOIN kind k ON k.id = l.kind
JOIN contract_name n ON n.id = k.name LEFT JOIN layout y ON y.id = k.layout
LEFT JOIN dead_letter d ON d.row = l.row;
CREATE VIEW v_token AS
SELECT c.id AS chain_id, '0x' || lower(hex(a.addr)) AS address,
  CASE t.standard WHEN 0 THEN 'erc20' WHEN 1 THEN 'erc721' WHEN 2 THEN 'erc3643' END AS standard,
  t.name, t.symbol, t.decimals, '0x' || lower(hex(t.supply)) AS supply, t.holders, t.transfers,
  t.paused, t.first_block
FROM token t JOIN asset s ON s.id = t.asset JOIN chain c ON c.ordinal = s.chain
JOIN address a ON a.id = s.addr;
CREATE VIEW v_holder AS
SELECT c.id AS chain_id, '0x' || lower(hex(a.addr)) AS token, '0x' || lower(hex(h.addr)) AS holder,
  '0x' || lower(hex(o.balance)) AS balance,
  '0x' || lower(hex(coalesce(o.frozen, zeroblob(32)))) AS frozen, o.account_frozen
FROM holding o JOIN asset s ON s.id = o.row >> 40 JOIN chain c ON c.ordinal = s.chain
JOIN address a ON a.id = s.addr JOIN address h ON h.id = o.row & 0xFFFFFFFFFF;
";

/// Digests, parked handlers, rebuilds. What is indexed already gets its digests by a rebuild.
const V2: &str = "
ALTER TABLE block ADD COLUMN content BLOB;
ALTER TABLE block ADD COLUMN digest BLOB;
ALTER TABLE chain ADD COLUMN digest BLOB;
ALTER TABLE chain ADD COLUMN rebuild INTEGER;
UPDATE chain SET rebuild = -1 WHERE cursor_number IS NOT NULL;
CREATE TABLE parked(
  chain INTEGER NOT NULL, handler TEXT NOT NULL, block INTEGER NOT NULL,
  log_index INTEGER NOT NULL, reason TEXT NOT NULL, PRIMARY KEY(chain, handler)) WITHOUT ROWID;
CREATE TABLE coverage(
  chain INTEGER NOT NULL, source BLOB NOT NULL, through INTEGER,
  PRIMARY KEY(chain, source)) WITHOUT ROWID;
CREATE TABLE token_words(asset INTEGER PRIMARY KEY, name TEXT, symbol TEXT, decimals INTEGER);
";

/// What a bulk load leaves out and [`build_indexes`] makes good. Building them over sorted input at
/// the end costs a third of keeping them up to date row by row.
pub(super) const DEFERRED: &[(&str, &str)] = &[
    ("log_contract", "log(contract)"),
    ("log_kind", "log(kind)"),
    ("log_tx", "log(tx_head)"),
    ("log_p0", "log(p0) WHERE p0 IS NOT NULL"),
    ("log_p1", "log(p1) WHERE p1 IS NOT NULL"),
    ("holding_rank", "holding(row >> 40, balance)"),
    ("holding_holder", "holding(row & 0xFFFFFFFFFF)"),
];

/// Brings the file to this version's schema, or refuses one that a newer version wrote.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let application: i32 = tx.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = tx.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 && application != APPLICATION_ID {
        return Err(corrupt("the file is an SQLite database of another program"));
    }
    let known = MIGRATIONS.len();
    let version = usize::try_from(found).unwrap_or(usize::MAX);
    if version > known {
        return Err(corrupt(format_args!(
            "the file has schema version {found}, written by a newer rwahub; this one knows {known}; \
             upgrade rwahub or restore a backup"
        )));
    }
    for step in MIGRATIONS.iter().skip(version) {
        tx.execute_batch(step)?;
    }
    if version == 0 {
        for (name, on) in DEFERRED {
            tx.execute_batch(&format!("CREATE INDEX {name} ON {on}"))?;
        }
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    tx.pragma_update(None, "user_version", i64::try_from(known).map_err(corrupt)?)?;
    tx.commit()?;
    Ok(())
}

/// Refuses a file of another version, for those who only read.
pub(super) fn require_current(connection: &Connection) -> Result<(), StoreError> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if usize::try_from(found) == Ok(MIGRATIONS.len()) {
        return Ok(());
    }
    Err(corrupt(format_args!(
        "the file has schema version {found}, this rwahub reads {}; run the daemon of this version once",
        MIGRATIONS.len()
    )))
}

/// True when every deferred index exists.
pub(super) fn indexes_present(connection: &Connection) -> Result<bool, StoreError> {
    let mut find = connection
        .prepare("SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND name = ?1")?;
    for (name, _) in DEFERRED {
        if find.query_row([name], |row| row.get::<_, i64>(0))? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Drops what a bulk load is faster without.
pub(super) fn drop_indexes(connection: &mut Connection) -> Result<(), StoreError> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (name, _) in DEFERRED {
        tx.execute_batch(&format!("DROP INDEX IF EXISTS {name}"))?;
    }
    tx.commit()?;
    Ok(())
}

/// Builds the missing indexes, each in its own transaction: a crash in between costs only the rest,
/// and the write-ahead log never holds more than one of them.
pub(super) fn build_indexes(
    connection: &Connection,
    committed: impl Fn(),
) -> Result<(), StoreError> {
    for (name, on) in DEFERRED {
        connection.execute_batch(&format!("CREATE INDEX IF NOT EXISTS {name} ON {on}"))?;
        committed();
    }
    Ok(())
}
