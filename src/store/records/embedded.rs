//! Records in an SQLite file of their own beside the index: what is here cannot be indexed again, so
//! every commit is synced and the whole file is checked at each start.
//!
//! One thread writes and commits what waits together, since a sync costs the same for one batch as for
//! fifty. Other processes (`rwahub users` beside a running daemon) may write too: SQLite's lock orders
//! them, and nothing is kept in memory between two batches.

mod rows;
mod schema;

use std::path::Path;
use std::thread::JoinHandle;

use async_trait::async_trait;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::audit::AuditEntry;
use super::{
    Applied, AuditHead, Batch, Collection, PAGE_MAX, Record, RecordPage, Records, RecordsError,
    Select,
};
use crate::pipeline::error::StoreError;
use crate::store::embedded::{backup, readers};

/// The file's name in the store's directory.
pub const FILE_NAME: &str = "records.sqlite";
/// Batches waiting for the thread. Each is answered within a sync or two; more callers wait.
const QUEUE_MAX: usize = 256;
/// Batches in one commit: bounds how long the first waits for the last.
const GROUP_MAX: usize = 64;
/// Page cache of the writer in KiB; these are small tables.
const WRITER_CACHE_KIB: i64 = 8 * 1024;

/// The store. Share it in an `Arc`; dropping the last handle closes the file.
#[derive(Debug)]
pub struct EmbeddedRecords {
    queue: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
    readers: readers::Readers,
}

#[derive(Debug)]
struct Command {
    batch: Batch,
    reply: oneshot::Sender<Result<Applied, RecordsError>>,
}

/// Opens the records in `directory`, creating or migrating the file if need be.
pub fn open(directory: &Path) -> Result<EmbeddedRecords, StoreError> {
    std::fs::create_dir_all(directory).map_err(|error| {
        let place = directory.display();
        StoreError::Unavailable(format!("directory {place} cannot be created: {error}"))
    })?;
    let path = directory.join(FILE_NAME);
    let mut connection = connect(&path).map_err(|error| named(&path, error))?;
    schema::migrate(&mut connection).map_err(|error| named(&path, error))?;
    schema::check(&connection).map_err(|error| named(&path, error))?;
    let (queue, commands) = mpsc::channel(QUEUE_MAX);
    let thread = std::thread::Builder::new()
        .name("records-writer".into())
        .spawn(move || write(connection, commands))
        .map_err(|error| StoreError::Unavailable(format!("no records thread: {error}")))?;
    let readers = readers::Readers::new(&path);
    Ok(EmbeddedRecords { queue: Some(queue), thread: Some(thread), readers })
}

fn named(path: &Path, error: StoreError) -> StoreError {
    let path = path.display();
    match error {
        StoreError::Corrupt(text) => {
            StoreError::Corrupt(format!("{path}: {text}; restore the newest backup of this file"))
        }
        StoreError::Unavailable(text) => StoreError::Unavailable(format!("{path}: {text}")),
        other => other,
    }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(crate::store::embedded::BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(readers::STATEMENTS_MAX);
    Ok(connection)
}

/// The writing thread: as many waiting batches as there are into each commit.
fn write(mut connection: Connection, mut commands: mpsc::Receiver<Command>) {
    while let Some(first) = commands.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP_MAX {
            match commands.try_recv() {
                Ok(command) => group.push(command),
                Err(_) => break,
            }
        }
        let results = commit(&mut connection, &group);
        for (at, command) in group.into_iter().enumerate() {
            let result = match &results {
                Ok(results) => results.get(at).cloned().unwrap_or_else(|| Err(stopped().into())),
                Err(error) => Err(error.clone().into()),
            };
            // A caller that has gone away does not undo what was done for it.
            command.reply.send(result).ok();
        }
    }
}

/// One synced transaction; a batch that fails is rolled back to its own savepoint.
fn commit(
    connection: &mut Connection,
    group: &[Command],
) -> Result<Vec<Result<Applied, RecordsError>>, StoreError> {
    let mut unit = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut results = Vec::with_capacity(group.len());
    for command in group {
        let part = unit.savepoint()?;
        let result = rows::apply(&part, &command.batch);
        match &result {
            Ok(_) => part.commit()?,
            Err(RecordsError::Store(error)) => return Err(error.clone()),
            // Dropping the savepoint takes its changes back.
            Err(_) => part.finish()?,
        }
        results.push(result);
    }
    unit.commit()?;
    Ok(results)
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the records have been shut down".into())
}

impl EmbeddedRecords {
    /// Copies the records, as they are at one moment, into a new file `to`.
    pub async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let (from, to) = (self.readers.path().to_owned(), to.to_owned());
        let copied = tokio::task::spawn_blocking(move || backup::copy(&from, &to)).await;
        copied.map_err(|error| StoreError::Unavailable(format!("backup failed: {error}")))?
    }
}

impl Drop for EmbeddedRecords {
    fn drop(&mut self) {
        self.queue.take();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

#[async_trait]
impl Records for EmbeddedRecords {
    async fn get(
        &self,
        collection: &'static Collection,
        key: &str,
    ) -> Result<Option<Record>, RecordsError> {
        let key = key.to_owned();
        self.readers.run(move |connection| rows::get(connection, collection, &key)).await
    }

    async fn list(&self, select: Select) -> Result<RecordPage, RecordsError> {
        self.readers.run(move |connection| rows::list(connection, &select)).await
    }

    async fn apply(&self, batch: Batch) -> Result<Applied, RecordsError> {
        batch.validate()?;
        let (reply, answer) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(Command { batch, reply }).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    async fn audit(&self, after: u64, limit: usize) -> Result<Vec<AuditEntry>, RecordsError> {
        let limit = limit.min(PAGE_MAX);
        self.readers.run(move |connection| rows::audit(connection, after, limit)).await
    }

    async fn audit_head(&self) -> Result<AuditHead, RecordsError> {
        self.readers.run(|connection| rows::audit_head(connection)).await
    }
}

#[cfg(test)]
mod tests;
