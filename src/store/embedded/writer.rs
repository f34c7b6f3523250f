//! The one thread that writes: takes commands from a bounded queue and answers each.
//!
//! Owns the write connection and the directory's lock, and gives both up when the last handle goes.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use alloy_primitives::Address;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::checkpoint::Checkpoints;
use super::commit::{Committer, chain_at};
use super::dictionary::Dictionary;
use super::error::stopped;
use super::intern::{self, Interner};
use super::lock::DirectoryLock;
use super::rows::int;
use super::{chains, feed_rows, readers, schema};
use crate::pipeline::error::StoreError;
use crate::pipeline::store::{AmendUnit, CommitMode, CommitUnit, Coverage, RebuildUnit};
use crate::telemetry::metrics::{self, Metric};
use crate::types::asset::TokenMetadata;
use crate::types::chain::ChainId;

/// Units waiting: one per chain is in flight at most, and a unit may hold tens of megabytes.
const QUEUE_MAX: usize = 4;
/// How long a connection waits for another's lock: checkpoints hold theirs for milliseconds.
pub(in crate::store) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Twice the default: a tenth less CPU in a bulk load for half the system calls, at a live commit that
/// costs the same. 16 KiB saves as much again but makes a block of 50 events write 4 MiB.
pub(super) const PAGE_BYTES: i64 = 8 * 1024;
/// Page cache of the writer in KiB: the inner pages of ten indexes over 10 M events.
const WRITER_CACHE_KIB: i64 = 64 * 1024;
/// The same while indexes are built. SQLite sorts as much at once as its cache holds, by merging linked
/// lists: what stays within the processor's cache took 2.6 µs a log here, 64 MiB at once 4.6.
const SORT_CACHE_KIB: i64 = 2 * 1024;
/// Indexes are dropped for a bulk load only while the store holds no more logs than this: building
/// them again costs about 5 µs a log, so a restart near the head loses half a second at most.
const DEFER_LOGS_MAX: u64 = 100_000;

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the thread can be asked for.
#[derive(Debug)]
pub(super) enum Command {
    OpenChain { chain: ChainId, name: String, reply: Reply<()> },
    Commit { unit: Arc<CommitUnit>, reply: Reply<u64> },
    Finalize { chain: ChainId, block: u64, reply: Reply<u64> },
    BeginRebuild { chain: ChainId, reply: Reply<()> },
    Rebuild { unit: Arc<RebuildUnit>, reply: Reply<()> },
    Amend { unit: Arc<AmendUnit>, reply: Reply<()> },
    Cover { chain: ChainId, coverage: Vec<Coverage>, reply: Reply<()> },
    EndBulk { reply: Reply<()> },
    PutMetadata { chain: ChainId, token: Address, metadata: TokenMetadata, reply: Reply<()> },
}

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread over an already migrated database.
    pub(super) fn start(
        connection: Connection,
        path: &Path,
        lock: DirectoryLock,
        dictionary: Arc<Dictionary>,
    ) -> Result<Self, StoreError> {
        let checkpoints = Checkpoints::start(path)?;
        let mut work = Work {
            committer: Committer {
                chains: chains::all(&connection)?,
                seq: feed_rows::head(&connection)?,
                interner: Interner::default(),
                connection,
            },
            dictionary,
            indexes: Indexes::Present,
            checkpoints,
            _lock: lock,
        };
        if !schema::indexes_present(&work.committer.connection)? {
            work.indexes = Indexes::LeftDeferred;
        }
        let (queue, commands) = mpsc::channel(QUEUE_MAX);
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || work.run(commands))
            .map_err(|error| StoreError::Unavailable(format!("no writer thread: {error}")))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Sends a command and waits for its answer.
    pub(super) async fn ask<T>(
        &self,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(command(reply)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.take();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Opens the write connection with the settings that every part of this folder relies on.
pub(super) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Takes effect only while the file is empty.
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(readers::STATEMENTS_MAX);
    Ok(connection)
}

/// Whether the secondary indexes exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Indexes {
    Present,
    /// A bulk load of this process goes on without them.
    Deferred,
    /// A process that was killed left them out; built by the next live commit or `end_bulk`.
    LeftDeferred,
}

/// The thread's own state. Fields drop in order: the lock last.
struct Work {
    committer: Committer,
    dictionary: Arc<Dictionary>,
    indexes: Indexes,
    checkpoints: Checkpoints,
    _lock: DirectoryLock,
}

impl Work {
    fn run(&mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(command) = commands.blocking_recv() {
            metrics::gauge(Metric::StoreQueue, &[]).set(commands.len() as u64);
            self.answer(command);
            self.checkpoints.committed();
        }
    }

    /// A caller that has gone away does not undo what was done for it.
    fn answer(&mut self, command: Command) {
        match command {
            Command::OpenChain { chain, name, reply } => {
                reply.send(self.open_chain(chain, &name)).ok();
            }
            Command::Commit { unit, reply } => {
                reply.send(self.commit(&unit)).ok();
            }
            Command::Finalize { chain, block, reply } => {
                let done = chain_at(&self.committer.chains, chain)
                    .and_then(|at| self.committer.finalize(at, block));
                reply.send(done).ok();
            }
            Command::BeginRebuild { chain, reply } => {
                let done = chain_at(&self.committer.chains, chain)
                    .and_then(|at| self.committer.begin_rebuild(at));
                reply.send(done).ok();
            }
            Command::Rebuild { unit, reply } => {
                reply.send(self.committer.rebuild(&unit, &self.dictionary)).ok();
            }
            Command::Amend { unit, reply } => {
                reply.send(self.committer.amend(&unit, &self.dictionary)).ok();
            }
            Command::Cover { chain, coverage, reply } => {
                let done = chain_at(&self.committer.chains, chain)
                    .and_then(|at| self.committer.cover(at, &coverage));
                reply.send(done).ok();
            }
            Command::EndBulk { reply } => {
                reply.send(self.end_bulk()).ok();
            }
            Command::PutMetadata { chain, token, metadata, reply } => {
                reply.send(self.put_metadata(chain, &token, &metadata)).ok();
            }
        }
    }

    fn open_chain(&mut self, chain: ChainId, name: &str) -> Result<(), StoreError> {
        let Committer { connection, chains, .. } = &mut self.committer;
        match chains.iter_mut().find(|row| row.id == chain) {
            Some(row) => {
                row.name = name.to_owned();
                chains::save(connection, row)
            }
            None => {
                let row = chains::add(connection, chain, name, chains.len())?;
                chains.push(row);
                Ok(())
            }
        }
    }

    fn commit(&mut self, unit: &CommitUnit) -> Result<u64, StoreError> {
        match (unit.mode, self.indexes) {
            (CommitMode::Bulk, Indexes::Present) if self.holds_little() => {
                schema::drop_indexes(&mut self.committer.connection)?;
                self.indexes = Indexes::Deferred;
            }
            (CommitMode::Bulk, Indexes::LeftDeferred) => self.indexes = Indexes::Deferred,
            (CommitMode::Live, Indexes::LeftDeferred) => self.end_bulk()?,
            _ => {}
        }
        self.committer.commit(unit, &self.dictionary)
    }

    fn holds_little(&self) -> bool {
        self.committer.chains.iter().map(|chain| chain.logs).sum::<u64>() <= DEFER_LOGS_MAX
    }

    fn end_bulk(&mut self) -> Result<(), StoreError> {
        if self.indexes != Indexes::Present {
            let connection = &self.committer.connection;
            connection.pragma_update(None, "cache_size", -SORT_CACHE_KIB)?;
            let built = schema::build_indexes(connection, || self.checkpoints.committed());
            connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
            built?;
            self.indexes = Indexes::Present;
        }
        Ok(())
    }

    fn put_metadata(
        &mut self,
        chain: ChainId,
        token: &Address,
        metadata: &TokenMetadata,
    ) -> Result<(), StoreError> {
        let connection = &self.committer.connection;
        let at = chain_at(&self.committer.chains, chain)?;
        let ordinal = self.committer.chains[at].ordinal;
        let Some(address) = intern::find(connection, token)? else { return Ok(()) };
        let Some(asset) = intern::asset(connection, ordinal, address)? else { return Ok(()) };
        let decimals = metadata.decimals.map(|decimals| int(decimals.into())).transpose()?;
        connection
            .prepare_cached(
                "UPDATE token SET name = ?2, symbol = ?3, decimals = ?4, has_metadata = 1
                 WHERE asset = ?1",
            )?
            .execute((asset, &metadata.name, &metadata.symbol, decimals))?;
        Ok(())
    }
}
