//! Statements over the records file: a batch within its transaction, and the questions.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};

use crate::pipeline::error::StoreError;
use crate::store::records::audit::{AuditEntry, GENESIS, entry_hash};
use crate::store::records::{
    Action, Applied, AuditDraft, AuditHead, Batch, By, Change, Collection, DOCUMENT_BYTES_MAX,
    Expect, Order, PAGE_MAX, Record, RecordPage, RecordsError, Select, lookups,
};

impl From<rusqlite::Error> for RecordsError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

fn corrupt(what: impl std::fmt::Display) -> RecordsError {
    RecordsError::Store(StoreError::Corrupt(what.to_string()))
}

/// SQLite has signed integers only.
fn int(number: u64) -> Result<i64, RecordsError> {
    i64::try_from(number).map_err(|_| RecordsError::Invalid(format!("{number} is too large")))
}

fn unsigned(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(at)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(at, number))
}

/// Applies a batch inside the caller's transaction; on an error the caller takes back what was done.
pub(super) fn apply(connection: &Connection, batch: &Batch) -> Result<Applied, RecordsError> {
    let mut applied = Applied::default();
    for change in &batch.changes {
        applied.versions.push(apply_one(connection, change)?);
    }
    if !batch.audit.is_empty() {
        let mut head = audit_head(connection)?;
        for draft in &batch.audit {
            head = append(connection, head, draft)?;
            applied.audit.push(head.seq);
        }
    }
    Ok(applied)
}

fn apply_one(connection: &Connection, change: &Change) -> Result<u64, RecordsError> {
    let (collection, key) = (change.collection.name, change.key.as_str());
    let stored: Option<u64> = connection
        .prepare_cached("SELECT version FROM record WHERE collection = ?1 AND key = ?2")?
        .query_row((collection, key), |row| unsigned(row, 0))
        .optional()?;
    let holds = match change.expect {
        Expect::Any => true,
        Expect::Absent => stored.is_none(),
        Expect::Present => stored.is_some(),
        Expect::Version(version) => stored == Some(version),
    };
    if !holds {
        return Err(RecordsError::Conflict { collection, key: key.to_owned() });
    }
    let body = match &change.action {
        Action::Check => return Ok(0),
        Action::Delete => None,
        Action::Put(body) => Some(body),
    };
    if stored.is_some() {
        connection
            .prepare_cached("DELETE FROM lookup WHERE collection = ?1 AND key = ?2")?
            .execute((collection, key))?;
    }
    let Some(body) = body else {
        connection
            .prepare_cached("DELETE FROM record WHERE collection = ?1 AND key = ?2")?
            .execute((collection, key))?;
        return Ok(0);
    };
    let text = body.to_string();
    if text.len() > DOCUMENT_BYTES_MAX {
        let size = text.len();
        return Err(RecordsError::Invalid(format!("{collection}/{key} has {size} bytes")));
    }
    let version = stored.unwrap_or(0) + 1;
    connection
        .prepare_cached(
            "INSERT INTO record(collection, key, version, body) VALUES(?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET version = excluded.version, body = excluded.body",
        )?
        .execute((collection, key, int(version)?, text))?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO lookup(collection, name, value, key) VALUES(?1, ?2, ?3, ?4)",
    )?;
    for (name, value) in lookups(change.collection, body)? {
        insert.execute((collection, name, value, key))?;
    }
    Ok(version)
}

fn append(
    connection: &Connection,
    head: AuditHead,
    draft: &AuditDraft,
) -> Result<AuditHead, RecordsError> {
    let seq = head.seq + 1;
    let hash = entry_hash(&head.hash, seq, draft.at_ms, &draft.body);
    connection
        .prepare_cached("INSERT INTO audit(seq, at_ms, body, hash) VALUES(?1, ?2, ?3, ?4)")?
        .execute((int(seq)?, int(draft.at_ms)?, &draft.body, &hash[..]))?;
    Ok(AuditHead { seq, hash })
}

pub(super) fn get(
    connection: &Connection,
    collection: &Collection,
    key: &str,
) -> Result<Option<Record>, RecordsError> {
    let found: Option<(u64, String)> = connection
        .prepare_cached("SELECT version, body FROM record WHERE collection = ?1 AND key = ?2")?
        .query_row((collection.name, key), |row| Ok((unsigned(row, 0)?, row.get(1)?)))
        .optional()?;
    found.map(|(version, body)| record(key.to_owned(), version, &body)).transpose()
}

fn record(key: String, version: u64, body: &str) -> Result<Record, RecordsError> {
    let body = serde_json::from_str(body).map_err(corrupt)?;
    Ok(Record { key, version, body })
}

/// A place in a list: the looked-up value and the key of the last document given out.
#[derive(serde::Serialize, serde::Deserialize)]
struct Place(String, String, String);

/// What binds a cursor to its question.
fn mark(select: &Select) -> String {
    format!("{}:{:?}:{:?}", select.collection.name, select.order, select.by)
}

fn place(select: &Select) -> Result<Option<Place>, RecordsError> {
    let Some(text) = &select.after else { return Ok(None) };
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| RecordsError::BadCursor)?;
    let place: Place = serde_json::from_slice(&bytes).map_err(|_| RecordsError::BadCursor)?;
    if place.0 == mark(select) { Ok(Some(place)) } else { Err(RecordsError::BadCursor) }
}

fn text_of(place: &Place) -> Result<String, RecordsError> {
    let bytes = serde_json::to_vec(place).map_err(corrupt)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

pub(super) fn list(connection: &Connection, select: &Select) -> Result<RecordPage, RecordsError> {
    let place = place(select)?;
    let limit = select.limit.clamp(1, PAGE_MAX);
    let (beyond, order) = match select.order {
        Order::Ascending => (">", "ASC"),
        Order::Descending => ("<", "DESC"),
    };
    let mut values = vec![Sql::from(select.collection.name.to_owned())];
    let mut bind = |value: &str| {
        values.push(Sql::from(value.to_owned()));
        format!("?{}", values.len())
    };
    let mut sql = match &select.by {
        By::Key => "SELECT '', key, version, body FROM record r WHERE collection = ?1".to_owned(),
        By::Equal { lookup, .. } | By::Range { lookup, .. } => {
            if !select.collection.lookups.contains(lookup) {
                let name = select.collection.name;
                return Err(RecordsError::Invalid(format!("{name} has no lookup {lookup}")));
            }
            format!(
                "SELECT r.value, r.key, d.version, d.body FROM lookup r
                 JOIN record d ON d.collection = r.collection AND d.key = r.key
                 WHERE r.collection = ?1 AND r.name = {}",
                bind(lookup)
            )
        }
    };
    match &select.by {
        By::Key => {}
        By::Equal { value, .. } => sql += &format!(" AND r.value = {}", bind(value)),
        By::Range { from, below, .. } => {
            if let Some(from) = from {
                sql += &format!(" AND r.value >= {}", bind(from));
            }
            if let Some(below) = below {
                sql += &format!(" AND r.value < {}", bind(below));
            }
        }
    }
    if let Some(Place(_, value, key)) = &place {
        sql += &match &select.by {
            By::Range { .. } => {
                format!(" AND (r.value, r.key) {beyond} ({}, {})", bind(value), bind(key))
            }
            _ => format!(" AND r.key {beyond} {}", bind(key)),
        };
    }
    sql += &match &select.by {
        By::Range { .. } => format!(" ORDER BY r.value {order}, r.key {order} LIMIT {limit}"),
        _ => format!(" ORDER BY r.key {order} LIMIT {limit}"),
    };
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let (mut items, mut last) = (Vec::new(), None);
    while let Some(row) = rows.next()? {
        let (value, key, body): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(3)?);
        last = Some(Place(mark(select), value, key.clone()));
        items.push(record(key, unsigned(row, 2)?, &body)?);
    }
    let next = last.filter(|_| items.len() == limit).map(|place| text_of(&place)).transpose()?;
    Ok(RecordPage { items, next })
}

pub(super) fn audit(
    connection: &Connection,
    after: u64,
    limit: usize,
) -> Result<Vec<AuditEntry>, RecordsError> {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(
        "SELECT seq, at_ms, body, hash FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    )?;
    let mut rows = statement.query((after, i64::try_from(limit).unwrap_or(i64::MAX)))?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let (seq, at_ms) = (unsigned(row, 0)?, unsigned(row, 1)?);
        entries.push(AuditEntry { seq, at_ms, body: row.get(2)?, hash: row.get(3)? });
    }
    Ok(entries)
}

pub(super) fn audit_head(connection: &Connection) -> Result<AuditHead, RecordsError> {
    let found = connection
        .prepare_cached("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| Ok(AuditHead { seq: unsigned(row, 0)?, hash: row.get(1)? }))
        .optional()?;
    Ok(found.unwrap_or(AuditHead { seq: 0, hash: GENESIS }))
}
