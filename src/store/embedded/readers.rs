//! A small pool of read-only connections, each query in one snapshot, off the async threads.
//!
//! Readers never wait for the writer and the writer never for them; a query waits only for a free
//! connection.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags, Transaction};
use tokio::sync::Semaphore;

use super::error::stopped;
use crate::pipeline::error::StoreError;

/// Queries at once. Each holds one thread and one page cache; more than the cores of a small machine
/// so that one slow scan does not hold up the point look-ups.
const READERS_MAX: usize = 4;
/// Page cache per reader in KiB; the operating system caches the file as well.
const READER_CACHE_KIB: i64 = 8 * 1024;
/// Prepared statements kept per connection: the queries have fewer shapes than this.
pub(in crate::store) const STATEMENTS_MAX: usize = 128;

/// The pool. Connections are opened when first needed and kept.
#[derive(Debug, Clone)]
pub(in crate::store) struct Readers {
    path: PathBuf,
    free: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    /// A pool over the database file at `path`.
    pub(in crate::store) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            free: Arc::default(),
            permits: Arc::new(Semaphore::new(READERS_MAX)),
        }
    }

    /// The database file.
    pub(in crate::store) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs a query in one read transaction.
    pub(in crate::store) async fn run<T, E>(
        &self,
        query: impl FnOnce(&Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.map_err(|_| stopped())?;
        let pool = self.clone();
        let answer = tokio::task::spawn_blocking(move || {
            let mut connection = pool.take()?;
            let answer = match connection.transaction().map_err(StoreError::from) {
                Ok(snapshot) => query(&snapshot),
                Err(error) => Err(error.into()),
            };
            pool.free.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            drop(permit);
            answer
        });
        match answer.await {
            Ok(answer) => answer,
            Err(error) => Err(StoreError::Unavailable(format!("query failed: {error}")).into()),
        }
    }

    fn take(&self) -> Result<Connection, StoreError> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match free {
            Some(connection) => Ok(connection),
            None => open(&self.path),
        }
    }
}

/// A read-only connection.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    connection.busy_timeout(super::writer::BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}
