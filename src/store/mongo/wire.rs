//! Commands: batches bounded in bytes, several on the way at once, tried again only where a server
//! that changes its mind about being primary explains the failure.
//!
//! Every write here may be sent twice with the effect of once: inserts have deterministic ids, updates
//! a position guard. That is what makes trying again safe without transactions.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use mongodb::Database;
use mongodb::bson::raw::{CStr, cstr};
use mongodb::bson::{Document, RawArrayBuf, RawDocumentBuf, rawdoc};
use mongodb::options::{FindOptions, ReadConcern, SelectionCriteria};

use super::error::{DUPLICATE_KEY, classify, code_is_failover, corrupt, is_failover};
use crate::pipeline::error::StoreError;

/// Bytes of documents in one command. A command is one document, of at most 16 MiB; a quarter keeps
/// the server's share of a unit in memory small and lets it work on one batch while the next arrives.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Statements in one command; servers refuse more than 100,000.
const BATCH_STATEMENTS_MAX: usize = 10_000;
/// Commands of one unit on the way at once.
const IN_FLIGHT_MAX: usize = 4;
/// Tries of one command, with waits that double from the first: 1.6 s in all. An election takes longer
/// than that to start with; the pipeline's own retries carry on from there.
const TRIES_MAX: u32 = 5;
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// How long a majority may take to confirm.
const MAJORITY_TIMEOUT_MS: i32 = 10_000;

/// What was sent, for figures per event.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    commands: AtomicU64,
    bytes: AtomicU64,
}

impl Traffic {
    /// Commands sent, reads included, and bytes of write commands.
    pub(super) fn read(&self) -> (u64, u64) {
        (self.commands.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

/// The way to the database.
#[derive(Debug)]
pub(super) struct Wire {
    database: Database,
    /// Where questions are answered: the URL's read preference.
    questions: Option<SelectionCriteria>,
    pub(super) traffic: Traffic,
    #[cfg(test)]
    pub(super) gate: super::gate::Gate,
}

/// Who asks: the writer must see its own writes, a question may go where the URL says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    Writer,
    Question,
}

/// One `find`.
#[derive(Debug)]
pub(super) struct Find {
    pub(super) collection: &'static str,
    pub(super) filter: Document,
    pub(super) sort: Option<Document>,
    pub(super) limit: Option<i64>,
    pub(super) reader: Reader,
}

impl Wire {
    /// Over one database.
    pub(super) fn new(database: Database, questions: Option<SelectionCriteria>) -> Self {
        Self {
            database,
            questions,
            traffic: Traffic::default(),
            #[cfg(test)]
            gate: super::gate::Gate::default(),
        }
    }

    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    /// Inserts what is not there yet.
    pub(super) async fn insert(
        &self,
        collection: &'static str,
        documents: Vec<RawDocumentBuf>,
    ) -> Result<(), StoreError> {
        self.write(cstr!("insert"), collection, cstr!("documents"), documents).await.map(drop)
    }

    /// Sends update statements; one whose guard says no has no effect.
    pub(super) async fn update(
        &self,
        collection: &'static str,
        statements: Vec<RawDocumentBuf>,
    ) -> Result<u64, StoreError> {
        self.write(cstr!("update"), collection, cstr!("updates"), statements).await
    }

    /// Deletes everything that a filter matches.
    pub(super) async fn delete(
        &self,
        collection: &'static str,
        filter: &Document,
    ) -> Result<(), StoreError> {
        let q = RawDocumentBuf::try_from(filter)?;
        let statement = rawdoc! { "q": q, "limit": 0 };
        self.write(cstr!("delete"), collection, cstr!("deletes"), vec![statement]).await.map(drop)
    }

    async fn write(
        &self,
        command: &'static CStr,
        collection: &'static str,
        key: &'static CStr,
        statements: Vec<RawDocumentBuf>,
    ) -> Result<u64, StoreError> {
        let batches = batches(statements);
        let sent = batches.into_iter().map(|batch| async move {
            let mut message = RawDocumentBuf::new();
            message.append(command, collection);
            message.append(key, batch);
            message.append(cstr!("ordered"), false);
            message.append(
                cstr!("writeConcern"),
                rawdoc! { "w": "majority", "wtimeout": MAJORITY_TIMEOUT_MS },
            );
            self.send(message).await
        });
        stream::iter(sent)
            .buffer_unordered(IN_FLIGHT_MAX)
            .try_fold(0, |sum, n| async move { Ok(sum + n) })
            .await
    }

    /// One write command, tried again on failover; returns how many documents it matched.
    async fn send(&self, message: RawDocumentBuf) -> Result<u64, StoreError> {
        let mut wait = RETRY_FIRST;
        for tries in 1.. {
            #[cfg(test)]
            self.gate.pass().await?;
            self.traffic.commands.fetch_add(1, Ordering::Relaxed);
            self.traffic.bytes.fetch_add(message.as_bytes().len() as u64, Ordering::Relaxed);
            let failed = match self.database.run_raw_command(message.clone()).await {
                Ok(answer) => match judge(&answer) {
                    Ok(n) => return Ok(n),
                    Err(failed) => failed,
                },
                Err(error) => (classify(&error), is_failover(&error)),
            };
            let (error, failover) = failed;
            if !failover || tries >= TRIES_MAX {
                return Err(error);
            }
            log::warn!(tries = tries; "store command failed, trying again: {error}");
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2);
        }
        Err(corrupt("no try was made"))
    }

    /// Documents that match, in raw form. The driver tries reads again by itself.
    pub(super) async fn find(&self, find: Find) -> Result<Vec<RawDocumentBuf>, StoreError> {
        #[cfg(test)]
        self.gate.look()?;
        self.traffic.commands.fetch_add(1, Ordering::Relaxed);
        let mut options = FindOptions::default();
        options.sort = find.sort;
        options.limit = find.limit;
        options.read_concern = Some(ReadConcern::majority());
        options.selection_criteria = match find.reader {
            Reader::Writer => None,
            Reader::Question => self.questions.clone(),
        };
        let collection = self.database.collection::<RawDocumentBuf>(find.collection);
        let mut cursor = collection.find(find.filter).with_options(options).await?;
        let mut found = Vec::new();
        while cursor.advance().await? {
            found.push(cursor.current().to_owned());
        }
        Ok(found)
    }

    /// How many documents match.
    pub(super) async fn count(
        &self,
        collection: &'static str,
        filter: Document,
        most: u64,
    ) -> Result<u64, StoreError> {
        self.traffic.commands.fetch_add(1, Ordering::Relaxed);
        let collection = self.database.collection::<RawDocumentBuf>(collection);
        Ok(collection.count_documents(filter).limit(most).await?)
    }
}

/// Cuts statements into batches by bytes and number.
fn batches(statements: Vec<RawDocumentBuf>) -> Vec<RawArrayBuf> {
    let mut batches = Vec::new();
    let (mut batch, mut bytes, mut count) = (RawArrayBuf::new(), 0, 0);
    for statement in statements {
        let size = statement.as_bytes().len();
        if count > 0 && (bytes + size > BATCH_BYTES_MAX || count >= BATCH_STATEMENTS_MAX) {
            batches.push(std::mem::take(&mut batch));
            (bytes, count) = (0, 0);
        }
        batch.push(statement);
        bytes += size;
        count += 1;
    }
    if count > 0 {
        batches.push(batch);
    }
    batches
}

/// What an answer says of the statements: a duplicate key means done before. Otherwise the error, and
/// whether a failover explains it.
fn judge(answer: &Document) -> Result<u64, (StoreError, bool)> {
    let whole = |document: &Document, key: &str| match document.get(key) {
        Some(mongodb::bson::Bson::Int32(n)) => *n,
        Some(mongodb::bson::Bson::Int64(n)) => i32::try_from(*n).unwrap_or(i32::MAX),
        _ => 0,
    };
    let text = |document: &Document| document.get_str("errmsg").unwrap_or_default().to_owned();
    for error in answer.get_array("writeErrors").into_iter().flatten() {
        let Some(error) = error.as_document() else { continue };
        let code = whole(error, "code");
        if code != DUPLICATE_KEY {
            let text = format!("{} ({code})", text(error));
            let failover = code_is_failover(code);
            let error =
                if failover { StoreError::Unavailable(text) } else { StoreError::Corrupt(text) };
            return Err((error, failover));
        }
    }
    if let Ok(concern) = answer.get_document("writeConcernError") {
        let code = whole(concern, "code");
        let error = StoreError::Unavailable(format!("{} ({code})", text(concern)));
        return Err((error, code_is_failover(code)));
    }
    Ok(u64::try_from(whole(answer, "n")).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;

    use super::*;

    #[test]
    fn batches_are_cut_by_bytes_and_lose_nothing() {
        let big = "x".repeat(BATCH_BYTES_MAX / 3);
        let statements: Vec<_> = (0..10).map(|n| rawdoc! { "n": n, "big": &*big }).collect();
        let batches = batches(statements);
        assert_eq!(batches.len(), 5, "two fit, a third would not");
        assert!(batches.iter().all(|batch| batch.as_bytes().len() <= BATCH_BYTES_MAX + 1024));
        assert_eq!(batches.iter().map(|batch| batch.into_iter().count()).sum::<usize>(), 10);
    }

    #[test]
    fn a_duplicate_is_done_before_and_other_errors_are_told() {
        let duplicate = doc! { "n": 3, "writeErrors": [{ "index": 0, "code": 11_000 }] };
        assert_eq!(judge(&duplicate).expect("done"), 3);
        let not_primary = doc! { "n": 0, "writeErrors": [{ "index": 0, "code": 10_107 }] };
        let (error, failover) = judge(&not_primary).expect_err("failed");
        assert!(error.is_retryable() && failover);
        let invalid = doc! { "n": 0, "writeErrors": [{ "index": 0, "code": 121, "errmsg": "x" }] };
        let (error, failover) = judge(&invalid).expect_err("failed");
        assert!(!error.is_retryable() && !failover, "{error}");
    }
}
