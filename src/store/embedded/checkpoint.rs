//! Moves committed pages from the write-ahead log into the file, on a thread and connection of its own.
//!
//! The writer never checkpoints: left to it, one commit in a thousand pages took 43 ms instead of 7 here.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::writer;
use crate::pipeline::error::StoreError;
use crate::telemetry::metrics::{self, Metric};

/// At most this often, so that live commits share one sync of the file.
const INTERVAL: Duration = Duration::from_millis(500);
/// Above this many pages (64 MiB) the log is begun anew, which holds up the writer for as long as it
/// takes to copy what came since the last pass. Its file is kept: growing it again costs more.
const LOG_PAGES_MAX: i64 = 8_192;
/// How long to wait for readers and the writer before that is left for the next pass.
const PATIENCE: Duration = Duration::from_millis(250);

/// Tells the thread that there is something to move; the thread ends when this is dropped.
#[derive(Debug)]
pub(super) struct Checkpoints {
    dirty: Arc<AtomicBool>,
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    /// Starts the thread.
    pub(super) fn start(path: &Path) -> Result<Self, StoreError> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(PATIENCE)?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let dirty = Arc::new(AtomicBool::new(false));
        let (stop, stopped) = sync_channel(0);
        let seen = Arc::clone(&dirty);
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || run(&connection, &seen, &stopped))
            .map_err(|error| StoreError::Unavailable(format!("no checkpoint thread: {error}")))?;
        Ok(Self { dirty, stop: Some(stop), thread: Some(thread) })
    }

    /// Something was committed. Never waits.
    pub(super) fn committed(&self) {
        self.dirty.store(true, Ordering::Release);
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn run(connection: &Connection, dirty: &AtomicBool, stopped: &Receiver<()>) {
    while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
        if dirty.swap(false, Ordering::AcqRel) {
            pass(connection);
        }
    }
    checkpoint(connection, "TRUNCATE").ok();
}

/// Copies without holding anyone up; begins the log anew only when it has grown large.
fn pass(connection: &Connection) {
    let done = checkpoint(connection, "PASSIVE").and_then(|pages| {
        if pages > LOG_PAGES_MAX { checkpoint(connection, "RESTART") } else { Ok(pages) }
    });
    match done {
        Ok(pages) => {
            let bytes =
                u64::try_from(pages).unwrap_or(0).saturating_mul(writer::PAGE_BYTES.unsigned_abs());
            metrics::gauge(Metric::StoreWal, &[]).set(bytes);
        }
        Err(error) => log::warn!("checkpoint failed and will be tried again: {error}"),
    }
}

/// Returns the pages in the log.
fn checkpoint(connection: &Connection, mode: &str) -> Result<i64, StoreError> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    Ok(connection.prepare_cached(&sql)?.query_row([], |row| row.get(1))?)
}
