//! Records in MongoDB: batches one after another through a head of their own, which holds the batch that
//! is being carried out.
//!
//! As with units, swapping the head commits and everything after it may be done twice, late, or by
//! another process. A reader between the two may see a part of a batch that nobody has been told of yet.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, doc, rawdoc};
use serde_json::Value;
use tokio::sync::Mutex;

use super::error::corrupt;
use super::rows::{self, get_int, need_text, need_uint};
use super::wire::{Find, Reader, Wire};
use crate::pipeline::error::StoreError;
use crate::store::records::audit::{AuditEntry, GENESIS, entry_hash};
use crate::store::records::{
    Action, Applied, AuditHead, Batch, By, Change, Collection, DOCUMENT_BYTES_MAX, Expect, Order,
    PAGE_MAX, Record, RecordPage, Records, RecordsError, Select, lookups,
};

const HEAD: &str = "records_head";
const RECORDS: &str = "records";
const AUDIT: &str = "audit";
/// Bytes of one batch: it has to fit into the head, whose limit is 16 MiB.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Tries against batches of other processes; each failure means that another one got through.
const SWAPS_MAX: u32 = 1_000;
/// Marks of deleted documents are kept for this many batches, for a writer that sleeps in between.
const GONE_BATCHES_MAX: u64 = 100_000;

/// Records in the database of a URL.
#[derive(Debug)]
pub struct MongoRecords {
    wire: Wire,
    owner: String,
    batches: AtomicU64,
    /// A committed batch of this process may not have been carried out yet.
    behind: AtomicBool,
    /// One batch of this process at a time.
    turn: Mutex<()>,
}

/// Opens the records in the database that `url` names, creating them if need be.
pub async fn open_records(url: &str) -> Result<MongoRecords, StoreError> {
    let (client, database) = super::client(url).await?;
    let wire = Wire::new(client.database(&database), None);
    let indexes = vec![doc! { "name": "by_key", "key": { "collection": 1, "key": 1 } }];
    wire.database().run_command(doc! { "createIndexes": RECORDS, "indexes": indexes }).await?;
    let genesis = rows::hex(&GENESIS);
    let head = rawdoc! {
        "_id": HEAD, "unit": 0_i64, "by": "", "audit": 0_i64, "audit_hash": genesis,
    };
    wire.insert(HEAD, vec![head]).await?;
    // Unlike a process id, never the same again.
    let owner = format!("{}:{}", super::owner(), mongodb::bson::oid::ObjectId::new());
    let records = MongoRecords {
        wire,
        owner,
        batches: AtomicU64::new(0),
        behind: AtomicBool::new(false),
        turn: Mutex::default(),
    };
    records.settled().await?;
    Ok(records)
}

/// The head of the records.
#[derive(Debug)]
struct Head {
    unit: u64,
    /// Whose batch the last one was.
    by: String,
    audit: AuditHead,
}

/// A batch that is about to be committed.
#[derive(Debug, Default)]
struct Intent {
    records: Vec<Document>,
    audit: Vec<Document>,
    applied: Applied,
}

impl MongoRecords {
    /// Lets a read see everything that this process was told is done.
    async fn catch_up(&self) -> Result<(), StoreError> {
        if self.behind.load(Ordering::Acquire) {
            self.settled().await?;
            self.behind.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// The head with nothing left to be carried out.
    async fn settled(&self) -> Result<Head, StoreError> {
        let find = Find {
            collection: HEAD,
            filter: doc! { "_id": HEAD },
            sort: None,
            limit: Some(1),
            reader: Reader::Writer,
        };
        let head = self.wire.find(find).await?.pop();
        let head = head.ok_or_else(|| corrupt("the head of the records is missing"))?;
        let unit = need_uint(&head, "unit")?;
        if let Some(mongodb::bson::RawBsonRef::Document(intent)) = head.get("intent")? {
            self.carry_out(unit, intent).await?;
        }
        let hash = rows::hash(need_text(&head, "audit_hash")?)?;
        Ok(Head {
            unit,
            by: need_text(&head, "by")?.to_owned(),
            audit: AuditHead { seq: need_uint(&head, "audit")?, hash: hash.0 },
        })
    }

    async fn carry_out(&self, unit: u64, intent: &RawDocument) -> Result<(), StoreError> {
        let number = rows::int(unit)?;
        let mut statements = Vec::new();
        for record in intent.get_array("records")? {
            let record = record?;
            let record =
                record.as_document().ok_or_else(|| corrupt("an intent of another shape"))?;
            let q = rawdoc! { "_id": need_text(record, "_id")?, "unit": { "$lt": number } };
            let mut set = RawDocumentBuf::new();
            for field in record.iter() {
                let (key, value) = field?;
                if key.as_str() != "_id" {
                    set.append(key, value);
                }
            }
            set.append(mongodb::bson::raw::cstr!("unit"), number);
            statements.push(rawdoc! { "q": q, "u": { "$set": set }, "upsert": true });
        }
        let mut entries = Vec::new();
        for entry in intent.get_array("audit")? {
            let entry = entry?;
            let entry = entry.as_document().ok_or_else(|| corrupt("an intent of another shape"))?;
            entries.push(entry.to_owned());
        }
        futures_util::future::try_join(
            self.wire.update(RECORDS, statements),
            self.wire.insert(AUDIT, entries),
        )
        .await?;
        if let Some(old) = unit.checked_sub(GONE_BATCHES_MAX).filter(|old| old % 1_024 == 0) {
            let filter = doc! { "gone": true, "unit": { "$lt": rows::int(old)? } };
            self.wire.delete(RECORDS, &filter).await?;
        }
        let done = rawdoc! {
            "q": { "_id": HEAD, "unit": number }, "u": { "$unset": { "intent": "" } },
        };
        self.wire.update(HEAD, vec![done]).await.map(drop)
    }

    /// What a batch makes of the records, if every expectation holds.
    async fn intent(&self, head: &Head, batch: &Batch) -> Result<Intent, RecordsError> {
        let ids: Vec<String> = batch.changes.iter().map(id).collect();
        let find = Find {
            collection: RECORDS,
            filter: doc! { "_id": { "$in": &ids }, "gone": false },
            sort: None,
            limit: None,
            reader: Reader::Writer,
        };
        let mut stored = std::collections::HashMap::new();
        if !ids.is_empty() {
            for record in self.wire.find(find).await? {
                let version = need_uint(&record, "version")?;
                stored.insert(need_text(&record, "_id")?.to_owned(), version);
            }
        }
        let mut intent = Intent::default();
        for (change, id) in batch.changes.iter().zip(ids) {
            let version = stored.get(&id).copied();
            intent.applied.versions.push(plan(change, id, version, &mut intent.records)?);
        }
        let mut trail = head.audit;
        for draft in &batch.audit {
            let seq = trail.seq + 1;
            let hash = entry_hash(&trail.hash, seq, draft.at_ms, &draft.body);
            intent.audit.push(doc! {
                "_id": rows::int(seq)?,
                "at_ms": rows::int(draft.at_ms)?,
                "body": &draft.body,
                "hash": rows::hex(&hash),
            });
            intent.applied.audit.push(seq);
            trail = AuditHead { seq, hash };
        }
        Ok(intent)
    }

    async fn swap(&self, head: &Head, by: &str, intent: &Intent) -> Result<bool, RecordsError> {
        let mut set = doc! {
            "unit": rows::int(head.unit + 1)?,
            "by": by,
            "intent": { "records": &intent.records, "audit": &intent.audit },
        };
        if let Some(last) = intent.audit.last() {
            set.insert("audit", last.get("_id").cloned().unwrap_or(Bson::Null));
            set.insert("audit_hash", last.get("hash").cloned().unwrap_or(Bson::Null));
        }
        let set = RawDocumentBuf::try_from(&set).map_err(StoreError::from)?;
        if set.as_bytes().len() > BATCH_BYTES_MAX {
            return Err(RecordsError::Invalid(format!(
                "a batch of {} bytes; {BATCH_BYTES_MAX} are the most",
                set.as_bytes().len()
            )));
        }
        let statement = rawdoc! {
            "q": { "_id": HEAD, "unit": rows::int(head.unit)? }, "u": { "$set": set },
        };
        Ok(self.wire.update(HEAD, vec![statement]).await? > 0)
    }
}

fn id(change: &Change) -> String {
    format!("{}/{}", change.collection.name, change.key)
}

/// Checks one change; returns the new version and adds what becomes of the document.
fn plan(
    change: &Change,
    id: String,
    stored: Option<u64>,
    records: &mut Vec<Document>,
) -> Result<u64, RecordsError> {
    let holds = match change.expect {
        Expect::Any => true,
        Expect::Absent => stored.is_none(),
        Expect::Present => stored.is_some(),
        Expect::Version(version) => stored == Some(version),
    };
    let (collection, key) = (change.collection.name, &change.key);
    if !holds {
        return Err(RecordsError::Conflict { collection, key: key.clone() });
    }
    let body = match &change.action {
        Action::Check => return Ok(0),
        Action::Delete if stored.is_none() => return Ok(0),
        Action::Delete => {
            records.push(doc! { "_id": id, "gone": true, "body": "", "by": {} });
            return Ok(0);
        }
        Action::Put(body) => body,
    };
    let text = body.to_string();
    if text.len() > DOCUMENT_BYTES_MAX {
        let size = text.len();
        return Err(RecordsError::Invalid(format!("{collection}/{key} has {size} bytes")));
    }
    let mut by = Document::new();
    for (name, value) in lookups(change.collection, body)? {
        by.insert(name, value);
    }
    let version = stored.unwrap_or(0) + 1;
    records.push(doc! {
        "_id": id,
        "collection": collection,
        "key": key,
        "version": rows::int(version)?,
        "body": text,
        "by": by,
        "gone": false,
    });
    Ok(version)
}

fn record(document: &RawDocument) -> Result<Record, StoreError> {
    let body: Value = serde_json::from_str(need_text(document, "body")?).map_err(corrupt)?;
    let key = need_text(document, "key")?.to_owned();
    Ok(Record { key, version: need_uint(document, "version")?, body })
}

/// A place in a list: what binds it to its question, the looked-up value and the key of the last
/// document given out.
#[derive(serde::Serialize, serde::Deserialize)]
struct Place(String, String, String);

fn mark(select: &Select) -> String {
    format!("{}:{:?}:{:?}", select.collection.name, select.order, select.by)
}

fn place(select: &Select) -> Result<Option<Place>, RecordsError> {
    let Some(text) = &select.after else { return Ok(None) };
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| RecordsError::BadCursor)?;
    let place: Place = serde_json::from_slice(&bytes).map_err(|_| RecordsError::BadCursor)?;
    if place.0 == mark(select) { Ok(Some(place)) } else { Err(RecordsError::BadCursor) }
}

/// Filter and order of a list.
fn question(select: &Select) -> Result<(Document, Document, Option<String>), RecordsError> {
    let (beyond, direction) = match select.order {
        Order::Ascending => ("$gt", 1),
        Order::Descending => ("$lt", -1),
    };
    let name = select.collection.name;
    let mut filter = doc! { "collection": name, "gone": false };
    let field = match &select.by {
        By::Key => None,
        By::Equal { lookup, .. } | By::Range { lookup, .. } => {
            if !select.collection.lookups.contains(lookup) {
                return Err(RecordsError::Invalid(format!("{name} has no lookup {lookup}")));
            }
            Some(format!("by.{lookup}"))
        }
    };
    let mut past = Document::new();
    let place = place(select)?;
    if let Some(Place(_, _, key)) = &place {
        past.insert(beyond, key);
    }
    match (&select.by, &field) {
        (By::Equal { value, .. }, Some(field)) => {
            filter.insert(field, value);
        }
        (By::Range { from, below, .. }, Some(field)) => {
            let mut range = doc! { "$exists": true };
            range.extend(from.iter().map(|from| ("$gte".to_owned(), Bson::from(from))));
            range.extend(below.iter().map(|below| ("$lt".to_owned(), Bson::from(below))));
            filter.insert(field, range);
            if let Some(Place(_, value, _)) = &place {
                let (mut further, mut same) = (Document::new(), Document::new());
                let mut beyond_value = Document::new();
                beyond_value.insert(beyond, value);
                further.insert(field, beyond_value);
                same.insert(field, value);
                same.insert("key", std::mem::take(&mut past));
                filter.insert("$or", vec![further, same]);
            }
            let mut sort = Document::new();
            sort.insert(field, direction);
            sort.insert("key", direction);
            return Ok((filter, sort, Some(field.clone())));
        }
        _ => {}
    }
    if !past.is_empty() {
        filter.insert("key", past);
    }
    Ok((filter, doc! { "key": direction }, field))
}

#[async_trait]
impl Records for MongoRecords {
    async fn get(
        &self,
        collection: &'static Collection,
        key: &str,
    ) -> Result<Option<Record>, RecordsError> {
        self.catch_up().await?;
        let id = format!("{}/{key}", collection.name);
        let find = Find {
            collection: RECORDS,
            filter: doc! { "_id": id, "gone": false },
            sort: None,
            limit: Some(1),
            reader: Reader::Writer,
        };
        Ok(self.wire.find(find).await?.first().map(|found| record(found)).transpose()?)
    }

    async fn list(&self, select: Select) -> Result<RecordPage, RecordsError> {
        self.catch_up().await?;
        let (filter, sort, field) = question(&select)?;
        let limit = select.limit.clamp(1, PAGE_MAX);
        let find = Find {
            collection: RECORDS,
            filter,
            sort: Some(sort),
            limit: i64::try_from(limit).ok(),
            reader: Reader::Writer,
        };
        let (mut items, mut last) = (Vec::new(), None);
        for found in self.wire.find(find).await? {
            let item = record(&found)?;
            let value = match field.as_deref().and_then(|field| field.strip_prefix("by.")) {
                Some(name) => {
                    let by = found.get_document("by").map_err(StoreError::from)?;
                    need_text(by, name)?.to_owned()
                }
                None => String::new(),
            };
            last = Some(Place(mark(&select), value, item.key.clone()));
            items.push(item);
        }
        let full = items.len() == limit;
        let next = match last.filter(|_| full) {
            Some(place) => {
                Some(URL_SAFE_NO_PAD.encode(serde_json::to_vec(&place).map_err(corrupt)?))
            }
            None => None,
        };
        Ok(RecordPage { items, next })
    }

    async fn apply(&self, batch: Batch) -> Result<Applied, RecordsError> {
        batch.validate()?;
        let _turn = self.turn.lock().await;
        let by = format!("{}:{}", self.owner, self.batches.fetch_add(1, Ordering::Relaxed));
        let mut tried: Option<Intent> = None;
        for _ in 0..SWAPS_MAX {
            let head = self.settled().await?;
            if let Some(intent) = tried.take().filter(|_| head.by == by) {
                return Ok(intent.applied);
            }
            let intent = self.intent(&head, &batch).await?;
            match self.swap(&head, &by, &intent).await {
                Ok(true) => {
                    // Committed: a failure from here on is made good before the next read.
                    if let Err(error) = self.settled().await {
                        log::warn!("a batch of records is carried out later: {error}");
                        self.behind.store(true, Ordering::Release);
                    }
                    return Ok(intent.applied);
                }
                Err(error) if !error.is_retryable() => return Err(error),
                // Another batch came first, or this one was done and its answer lost.
                _ => tried = Some(intent),
            }
        }
        Err(StoreError::Unavailable("the records' head moves too fast".into()).into())
    }

    async fn audit(&self, after: u64, limit: usize) -> Result<Vec<AuditEntry>, RecordsError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let find = Find {
            collection: AUDIT,
            filter: doc! { "_id": { "$gt": after } },
            sort: Some(doc! { "_id": 1 }),
            limit: i64::try_from(limit.clamp(1, PAGE_MAX)).ok(),
            reader: Reader::Writer,
        };
        let mut entries = Vec::new();
        for entry in self.wire.find(find).await? {
            let seq = get_int(&entry, "_id")?.ok_or_else(|| corrupt("an entry without number"))?;
            entries.push(AuditEntry {
                seq: rows::uint(seq)?,
                at_ms: need_uint(&entry, "at_ms")?,
                body: need_text(&entry, "body")?.to_owned(),
                hash: rows::hash(need_text(&entry, "hash")?)?.0,
            });
        }
        Ok(entries)
    }

    async fn audit_head(&self) -> Result<AuditHead, RecordsError> {
        Ok(self.settled().await?.audit)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Server;
    use super::{MongoRecords, open_records};
    use crate::store::records::contract_tests::{Backend, records_contract_tests};

    impl Backend for Server {
        type Store = MongoRecords;

        async fn open(&self) -> MongoRecords {
            open_records(&self.url).await.expect("opens")
        }

        async fn done(self) {
            self.drop().await;
        }
    }

    records_contract_tests!(Server::new());
}
