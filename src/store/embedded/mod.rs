//! The embedded store: one SQLite file, one writer, many readers, nothing to install.
//!
//! Serves one process. What several machines share is another back end's business.

pub(in crate::store) mod backup;
mod chains;
mod checkpoint;
mod commit;
mod dictionary;
mod docs;
mod error;
mod events;
mod feed;
mod feed_rows;
mod history;
mod holders;
mod intern;
mod lock;
mod parked;
mod raw_logs;
pub(in crate::store) mod readers;
mod rebuild;
mod records;
mod rewind;
mod rows;
mod schema;
mod tokens;
mod undo;
mod writer;

use std::path::Path;
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use async_trait::async_trait;
use rusqlite::Connection;

use self::chains::ChainRow;
use self::dictionary::Dictionary;
use self::error::corrupt;
use self::holders::Question;
use self::lock::DirectoryLock;
use self::readers::Readers;
pub(in crate::store) use self::writer::BUSY_TIMEOUT;
use self::writer::{Command, Writer};
use crate::pipeline::error::StoreError;
use crate::pipeline::store::{
    AmendUnit, ChainState, CommitUnit, Coverage, RawPage, RebuildUnit, Store, Undo,
};
use crate::store::read::{
    ChainIndex, EventQuery, HolderRecord, HoldersPage, Page, Queries, QueryError, TokenRecord,
};
use crate::types::asset::{Doc, DocKey, TokenMetadata};
use crate::types::chain::{BlockId, ChainId};
use crate::types::event::ArgReader;
use crate::types::feed::{FeedCursor, FeedItem};
use crate::types::log::LogBuf;

/// The database's name in the configured directory.
pub const FILE_NAME: &str = "rwahub.sqlite";
/// Up to this size the whole file is checked at every start (a second per GiB when cached, many
/// seconds from a slow disk); above it only that the index's end is where the cursor says.
const FULL_CHECK_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Blocks handed out to rebuild the reorg window from: days of any chain that does not finalize.
const WINDOW_BLOCKS_MAX: i64 = 65_536;

/// Opens the store in `directory` for writing, creating it if need be. `contracts` are the names that
/// `ContractTag`s index; `args` reads arguments of stored logs.
pub fn open(
    directory: &Path,
    contracts: &[String],
    args: Arc<dyn ArgReader>,
) -> Result<Embedded, StoreError> {
    let lock = DirectoryLock::acquire(directory)?;
    let path = directory.join(FILE_NAME);
    let dictionary;
    let connection;
    {
        let mut opened = writer::connect(&path).map_err(|error| named(&path, error))?;
        schema::migrate(&mut opened).map_err(|error| named(&path, error))?;
        check(&opened, &path)?;
        dictionary = Arc::new(Dictionary::register(&mut opened, contracts, args)?);
        connection = opened;
    }
    let writer = Writer::start(connection, &path, lock, Arc::clone(&dictionary))?;
    Ok(Embedded { writer: Some(writer), readers: Readers::new(&path), dictionary })
}

/// Whether `directory` can be opened for writing, without opening it: that it is free, and that it or
/// the nearest directory above it that exists may be written.
pub fn probe(directory: &Path) -> Result<(), StoreError> {
    if directory.exists() {
        return DirectoryLock::acquire(directory).map(drop);
    }
    lock::can_be_created(directory)
}

/// The process that has the store in `directory` open for writing, if one has.
pub fn holder(directory: &Path) -> Option<String> {
    match lock::look(directory) {
        Err(StoreError::Fenced { holder, .. }) => Some(holder),
        _ => None,
    }
}

/// Opens an existing store for queries alone, beside the process that writes it or without one.
pub fn open_read_only(
    directory: &Path,
    contracts: &[String],
    args: Arc<dyn ArgReader>,
) -> Result<Embedded, StoreError> {
    let path = directory.join(FILE_NAME);
    if !path.exists() {
        return Err(StoreError::Unavailable(format!(
            "{} does not exist; run `rwahub run` or `rwahub backfill` first, or correct [store] path",
            path.display()
        )));
    }
    let connection = readers::open(&path).map_err(|error| named(&path, error))?;
    schema::require_current(&connection).map_err(|error| named(&path, error))?;
    let dictionary = Arc::new(Dictionary::load(&connection, contracts, args)?);
    Ok(Embedded { writer: None, readers: Readers::new(&path), dictionary })
}

fn named(path: &Path, error: StoreError) -> StoreError {
    let path = path.display();
    match error {
        StoreError::Corrupt(text) => StoreError::Corrupt(format!("{path}: {text}")),
        StoreError::Unavailable(text) => StoreError::Unavailable(format!("{path}: {text}")),
        other => other,
    }
}

/// Finds a damaged file before anything is built on it.
fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let size = std::fs::metadata(path).map(|meta| meta.len()).unwrap_or_default();
    if size <= FULL_CHECK_BYTES_MAX {
        let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if found != "ok" {
            return Err(damaged(path, &found));
        }
    }
    for chain in chains::all(connection)? {
        let Some(cursor) = chain.cursor else { continue };
        let mut select = connection.prepare("SELECT max(row) FROM block WHERE row <= ?1")?;
        let last: Option<i64> =
            select.query_row([rows::block_end(chain.ordinal, u64::MAX)], |row| row.get(0))?;
        let last = last.map(rows::unpack).filter(|last| last.chain == chain.ordinal);
        if last.is_some_and(|last| last.block > cursor.number) {
            return Err(damaged(path, &format!("chain {} has blocks above its cursor", chain.id)));
        }
    }
    Ok(())
}

fn damaged(path: &Path, found: &str) -> StoreError {
    corrupt(format_args!(
        "{}: {found}; restore a backup or move the file away and index again",
        path.display()
    ))
}

/// The store. Share it in an `Arc`; dropping the last handle closes the file.
#[derive(Debug)]
pub struct Embedded {
    writer: Option<Writer>,
    readers: Readers,
    dictionary: Arc<Dictionary>,
}

impl Embedded {
    /// Copies the store, as it is at one moment, into a new file `to`, while everything else goes on.
    pub async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let (from, to) = (self.readers.path().to_owned(), to.to_owned());
        let copied = tokio::task::spawn_blocking(move || backup::copy(&from, &to)).await;
        copied.map_err(|error| StoreError::Unavailable(format!("backup failed: {error}")))?
    }

    fn writer(&self) -> Result<&Writer, StoreError> {
        self.writer
            .as_ref()
            .ok_or_else(|| StoreError::Unavailable("the store is open for reading only".into()))
    }
}

#[async_trait]
impl Store for Embedded {
    async fn open_chain(&self, chain: ChainId, name: &str) -> Result<ChainState, StoreError> {
        let name = name.to_owned();
        self.writer()?.ask(|reply| Command::OpenChain { chain, name, reply }).await?;
        self.readers.run(move |connection| chain_state(connection, chain)).await
    }

    async fn load(&self, chain: ChainId, keys: &[DocKey]) -> Result<Vec<Option<Doc>>, StoreError> {
        let keys = keys.to_vec();
        self.readers
            .run(move |connection| match chains::find(connection, chain)? {
                Some(row) => docs::load(connection, row.ordinal, &keys),
                None => Ok(vec![None; keys.len()]),
            })
            .await
    }

    async fn undo_above(&self, chain: ChainId, block: u64) -> Result<Vec<Undo>, StoreError> {
        self.readers
            .run(move |connection| match chains::find(connection, chain)? {
                Some(row) => undo::above(connection, row.ordinal, block),
                None => Ok(Vec::new()),
            })
            .await
    }

    async fn logs_by(&self, chain: ChainId, address: Address) -> Result<LogBuf, StoreError> {
        let dictionary = Arc::clone(&self.dictionary);
        self.readers
            .run(move |connection| raw_logs::of(connection, &dictionary, chain, address))
            .await
    }

    async fn commit(&self, unit: Arc<CommitUnit>) -> Result<u64, StoreError> {
        self.writer()?.ask(|reply| Command::Commit { unit, reply }).await
    }

    async fn finalize(&self, chain: ChainId, block: u64) -> Result<u64, StoreError> {
        self.writer()?.ask(|reply| Command::Finalize { chain, block, reply }).await
    }

    async fn digest_at(&self, chain: ChainId, block: u64) -> Result<B256, StoreError> {
        self.readers
            .run(move |connection| match chains::find(connection, chain)? {
                Some(row) => raw_logs::digest_at(connection, row.ordinal, block),
                None => Ok(B256::ZERO),
            })
            .await
    }

    async fn raw(&self, chain: ChainId, from: u64, logs_max: usize) -> Result<RawPage, StoreError> {
        let dictionary = Arc::clone(&self.dictionary);
        self.readers
            .run(move |connection| raw_logs::page(connection, &dictionary, chain, from, logs_max))
            .await
    }

    async fn begin_rebuild(&self, chain: ChainId) -> Result<(), StoreError> {
        self.writer()?.ask(|reply| Command::BeginRebuild { chain, reply }).await
    }

    async fn rebuild(&self, unit: Arc<RebuildUnit>) -> Result<(), StoreError> {
        self.writer()?.ask(|reply| Command::Rebuild { unit, reply }).await
    }

    async fn amend(&self, unit: Arc<AmendUnit>) -> Result<(), StoreError> {
        self.writer()?.ask(|reply| Command::Amend { unit, reply }).await
    }

    async fn coverage(&self, chain: ChainId) -> Result<Vec<Coverage>, StoreError> {
        self.readers
            .run(move |connection| match chains::find(connection, chain)? {
                Some(row) => rebuild::coverage(connection, row.ordinal),
                None => Ok(Vec::new()),
            })
            .await
    }

    async fn cover(&self, chain: ChainId, coverage: Vec<Coverage>) -> Result<(), StoreError> {
        self.writer()?.ask(|reply| Command::Cover { chain, coverage, reply }).await
    }

    async fn end_bulk(&self) -> Result<(), StoreError> {
        self.writer()?.ask(|reply| Command::EndBulk { reply }).await
    }
}

fn chain_state(connection: &Connection, chain: ChainId) -> Result<ChainState, StoreError> {
    let Some(row) = chains::find(connection, chain)? else { return Ok(ChainState::default()) };
    let low = match row.finalized {
        Some(block) => rows::block_end(row.ordinal, block),
        None => rows::block_row(row.ordinal, 0)? - 1,
    };
    let mut select = connection.prepare_cached(
        "SELECT row, hash FROM block WHERE row > ?1 AND row <= ?2 ORDER BY row DESC LIMIT ?3",
    )?;
    let high = rows::block_end(row.ordinal, u64::MAX);
    let mut found = select.query((low, high, WINDOW_BLOCKS_MAX))?;
    let mut window = Vec::new();
    while let Some(block) = found.next()? {
        let number = rows::unpack(block.get(0)?).block;
        let hash = rows::hash(block.get_ref(1)?.as_blob().map_err(corrupt)?)?;
        window.push(BlockId { number, hash });
    }
    window.reverse();
    Ok(ChainState {
        cursor: row.cursor_id(),
        finalized: row.finalized,
        window,
        digest: row.digest,
        parked: parked::of(connection, row.ordinal)?,
        rebuild: row.rebuild,
    })
}

fn chain_index(connection: &Connection, row: ChainRow) -> Result<ChainIndex, QueryError> {
    Ok(ChainIndex {
        chain: row.id,
        indexed: row.cursor_id(),
        finalized: row.finalized,
        verified_through: row.verified_through,
        blocks: row.blocks,
        logs: row.logs,
        events: row.events,
        undecoded: row.undecoded,
        digest: row.digest,
        parked: parked::of(connection, row.ordinal)?,
        rebuild: row.rebuild,
        name: row.name,
    })
}

#[async_trait]
impl Queries for Embedded {
    async fn chains(&self) -> Result<Vec<ChainIndex>, QueryError> {
        self.readers
            .run(|connection| {
                let chains = chains::all(connection)?;
                chains.into_iter().map(|row| chain_index(connection, row)).collect()
            })
            .await
    }

    async fn events(
        &self,
        query: EventQuery,
    ) -> Result<Page<crate::types::event::EventRecord>, QueryError> {
        let dictionary = Arc::clone(&self.dictionary);
        self.readers.run(move |connection| events::list(connection, &dictionary, &query)).await
    }

    async fn tokens(
        &self,
        chain: Option<ChainId>,
        limit: usize,
        after: Option<String>,
    ) -> Result<Page<TokenRecord>, QueryError> {
        self.readers
            .run(move |connection| tokens::list(connection, chain, limit, after.as_deref()))
            .await
    }

    async fn token(
        &self,
        chain: ChainId,
        address: Address,
    ) -> Result<Option<TokenRecord>, QueryError> {
        self.readers.run(move |connection| tokens::one(connection, chain, &address)).await
    }

    async fn holders(
        &self,
        chain: ChainId,
        token: Address,
        at_block: Option<u64>,
        limit: usize,
        after: Option<String>,
    ) -> Result<Option<HoldersPage>, QueryError> {
        let dictionary = Arc::clone(&self.dictionary);
        let question = Question { chain, token, at_block, limit, after };
        self.readers.run(move |connection| holders::page(connection, &dictionary, &question)).await
    }

    async fn holdings(
        &self,
        holder: Address,
        limit: usize,
        after: Option<String>,
    ) -> Result<Page<HolderRecord>, QueryError> {
        self.readers
            .run(move |connection| tokens::holdings(connection, &holder, limit, after.as_deref()))
            .await
    }

    async fn feed_head(&self) -> Result<u64, QueryError> {
        self.readers.run(|connection| Ok(feed_rows::head(connection)?)).await
    }

    async fn feed(
        &self,
        cursor: FeedCursor,
        limit: usize,
    ) -> Result<Vec<(FeedCursor, FeedItem)>, QueryError> {
        let dictionary = Arc::clone(&self.dictionary);
        self.readers.run(move |connection| feed::page(connection, &dictionary, cursor, limit)).await
    }

    async fn tokens_without_metadata(
        &self,
        limit: usize,
    ) -> Result<Vec<(ChainId, Address)>, QueryError> {
        self.readers.run(move |connection| tokens::without_metadata(connection, limit)).await
    }

    async fn put_metadata(
        &self,
        chain: ChainId,
        token: Address,
        metadata: TokenMetadata,
    ) -> Result<(), QueryError> {
        let command = |reply| Command::PutMetadata { chain, token, metadata, reply };
        Ok(self.writer()?.ask(command).await?)
    }
}

#[cfg(test)]
mod tests;
