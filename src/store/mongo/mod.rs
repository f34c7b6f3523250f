//! The MongoDB store: several processes share one database; each chain has one writer at a time.
//!
//! Uses only what MongoDB from version 6 on and FerretDB 1.24 both have: no transactions, no change
//! streams. What holds a unit together is the order of its writes (see `commit`).

mod chains;
mod commit;
mod dictionary;
mod docs;
mod error;
mod events;
mod feed;
#[cfg(test)]
mod gate;
mod history;
mod holders;
mod journal;
mod logs;
mod records;
mod redo;
mod rows;
mod schema;
mod tokens;
mod undo;
mod wire;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Address;
use async_trait::async_trait;
use mongodb::Client;
use mongodb::bson::doc;
use mongodb::options::{ClientOptions, SelectionCriteria};
use tokio::sync::Mutex;

use self::chains::Head;
use self::commit::{Attempt, Owned, Tools};
use self::dictionary::Dictionary;
use self::error::corrupt;
use self::holders::Question;
pub use self::records::{MongoRecords, open_records};
pub use self::schema::{COLLECTIONS, Collection};
use self::wire::{Find, Reader, Wire};
use crate::pipeline::error::StoreError;
use crate::pipeline::store::{ChainState, CommitUnit, Store, Undo};
use crate::store::read::{
    ChainIndex, EventQuery, HolderRecord, HoldersPage, Page, Queries, QueryError, TokenRecord,
};
use crate::types::asset::{Doc, DocKey, TokenMetadata};
use crate::types::chain::{BlockId, ChainId};
use crate::types::event::{ArgReader, EventRecord};
use crate::types::feed::{FeedCursor, FeedItem};
use crate::types::log::LogBuf;

/// The database when the URL names none.
pub const DATABASE: &str = "rwahub";
/// How long a command waits for a server to send it to, unless the URL says otherwise: an election is
/// over by then, and the pipeline tries again.
const SERVER_SELECTION: Duration = Duration::from_secs(5);
/// How long a question waits for a unit that is committed but not yet carried out.
const SETTLE_TRIES: u32 = 50;
const SETTLE_WAIT: Duration = Duration::from_millis(5);
/// Blocks handed out to rebuild the reorg window from, as in the embedded store.
const WINDOW_BLOCKS_MAX: i64 = 65_536;

/// Opens the database that `url` names for writing, creating it if need be. `contracts` are the names
/// that `ContractTag`s index; `args` reads arguments of stored logs.
pub async fn open(
    url: &str,
    contracts: &[String],
    args: Arc<dyn ArgReader>,
) -> Result<Mongo, StoreError> {
    let mongo = connect(url, contracts, args).await?;
    for difference in schema::prepare(&mongo.wire).await? {
        log::warn!("{difference}");
    }
    chains::create(&mongo.wire).await?;
    mongo.dictionary.publish(&mongo.wire).await?;
    let head = mongo.head(Reader::Writer).await?;
    for chain in &head.chains {
        // Whoever left it: what is committed must be carried out, and doing it twice does no harm.
        redo::recover(&mongo.wire, chain).await?;
    }
    Ok(mongo)
}

/// Opens the database for questions alone.
pub async fn open_read_only(
    url: &str,
    contracts: &[String],
    args: Arc<dyn ArgReader>,
) -> Result<Mongo, StoreError> {
    let mut mongo = connect(url, contracts, args).await?;
    mongo.writes = false;
    if chains::read(&mongo.wire, Reader::Writer).await?.is_none() {
        return Err(StoreError::Unavailable(
            "the database is empty; run `rwahub run` or `rwahub backfill` first, or correct [store] url"
                .into(),
        ));
    }
    Ok(mongo)
}

/// Whether the server answers and lets us in.
pub async fn probe(url: &str) -> Result<(), StoreError> {
    let (client, database) = client(url).await?;
    client.database(&database).run_command(doc! { "ping": 1 }).await?;
    Ok(())
}

/// Commands, each with its outcome where it was sent.
pub type Sharding = Vec<(String, Option<Result<(), String>>)>;

/// The commands that distribute the collections over a sharded cluster, as mongosh reads them, and
/// their outcome if `apply` sends them.
pub async fn shard(url: &str, apply: bool) -> Result<Sharding, StoreError> {
    let (client, database) = client(url).await?;
    let mut outcomes = Vec::new();
    for command in COLLECTIONS.iter().filter_map(|one| one.shard_command(&database)) {
        let text = format!("db.adminCommand({command})");
        let outcome = if apply {
            let sent = client.database("admin").run_command(command).await;
            Some(sent.map(drop).map_err(|error| StoreError::from(error).to_string()))
        } else {
            None
        };
        outcomes.push((text, outcome));
    }
    Ok(outcomes)
}

async fn client(url: &str) -> Result<(Client, String), StoreError> {
    // The driver quotes parts of the URL in some complaints, so its text is not passed on.
    let bad = |_| {
        StoreError::Corrupt(
            "the URL cannot be read; write mongodb://[user:password@]host[:port][,host…]/database?options, \
             with special characters in user and password as %XX"
                .into(),
        )
    };
    let mut options = ClientOptions::parse(url).await.map_err(bad)?;
    options.app_name.get_or_insert_with(|| "rwahub".to_owned());
    options.server_selection_timeout.get_or_insert(SERVER_SELECTION);
    options.connect_timeout.get_or_insert(SERVER_SELECTION);
    let database = options.default_database.clone().unwrap_or_else(|| DATABASE.to_owned());
    Ok((Client::with_options(options)?, database))
}

async fn connect(
    url: &str,
    contracts: &[String],
    args: Arc<dyn ArgReader>,
) -> Result<Mongo, StoreError> {
    let (client, name) = client(url).await?;
    let questions: Option<SelectionCriteria> = client.selection_criteria().cloned();
    let database = client.database_with_options(
        &name,
        mongodb::options::DatabaseOptions::builder()
            .selection_criteria(SelectionCriteria::ReadPreference(
                mongodb::options::ReadPreference::Primary,
            ))
            .build(),
    );
    Ok(Mongo {
        wire: Wire::new(database, questions),
        dictionary: Dictionary::new(contracts, args),
        owned: Mutex::default(),
        owner: owner(),
        writes: true,
    })
}

/// Who writes, for the one that is refused.
fn owner() -> String {
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    format!("process {} on {}", std::process::id(), host.trim())
}

/// The store. Share it in an `Arc`.
#[derive(Debug)]
pub struct Mongo {
    wire: Wire,
    dictionary: Dictionary,
    /// Chains that this process has opened for writing.
    owned: Mutex<HashMap<ChainId, Arc<Mutex<Owned>>>>,
    owner: String,
    writes: bool,
}

impl Mongo {
    /// Commands sent and bytes written so far.
    pub fn traffic(&self) -> (u64, u64) {
        self.wire.traffic.read()
    }

    async fn head(&self, reader: Reader) -> Result<Head, StoreError> {
        chains::read(&self.wire, reader).await?.ok_or_else(|| corrupt("the head is missing"))
    }

    /// The head once the documents of `chain` are what its cursor says. A writer that died in between
    /// is not waited for longer than a question may take: its documents are then up to a unit older
    /// than the cursor.
    async fn settled(&self, chain: Option<ChainId>) -> Result<Head, StoreError> {
        let mut head = self.head(Reader::Question).await?;
        for _ in 0..SETTLE_TRIES {
            let concerned = |row: &&chains::ChainRow| chain.is_none_or(|id| id == row.id);
            if head.chains.iter().filter(concerned).all(|row| row.redo.is_none()) {
                break;
            }
            tokio::time::sleep(SETTLE_WAIT).await;
            head = self.head(Reader::Question).await?;
        }
        Ok(head)
    }

    fn tools(&self) -> Tools<'_> {
        Tools { wire: &self.wire, dictionary: &self.dictionary, owner: &self.owner }
    }

    async fn attempt(&self, chain: ChainId, attempt: Attempt) -> Result<u64, StoreError> {
        let owned = self.owned.lock().await.get(&chain).cloned();
        let owned = owned.ok_or_else(|| corrupt(format_args!("chain {chain} was never opened")))?;
        let mut owned = owned.lock().await;
        commit::run(self.tools(), &mut owned, attempt).await
    }
}

#[async_trait]
impl Store for Mongo {
    async fn open_chain(&self, chain: ChainId, name: &str) -> Result<ChainState, StoreError> {
        if !self.writes {
            return Err(StoreError::Unavailable("the store is open for reading only".into()));
        }
        let owned = commit::open(self.tools(), chain, name).await?;
        let row = owned.row.clone();
        self.owned.lock().await.insert(chain, Arc::new(Mutex::new(owned)));
        let mut filter = row.visible()?;
        let above = match row.finalized {
            Some(block) => rows::int(block)?,
            None => -1,
        };
        filter.insert("number", doc! { "$gt": above });
        let find = Find {
            collection: redo::BLOCKS,
            filter,
            sort: Some(doc! { "number": -1 }),
            limit: Some(WINDOW_BLOCKS_MAX),
            reader: Reader::Writer,
        };
        let mut window = Vec::new();
        for block in self.wire.find(find).await?.iter().rev() {
            window.push(BlockId {
                number: rows::need_uint(block, "number")?,
                hash: rows::hash(rows::need_text(block, "hash")?)?,
            });
        }
        Ok(ChainState { cursor: row.cursor_id(), finalized: row.finalized, window })
    }

    async fn load(&self, chain: ChainId, keys: &[DocKey]) -> Result<Vec<Option<Doc>>, StoreError> {
        docs::load(&self.wire, chain, keys, Reader::Writer).await
    }

    async fn undo_above(&self, chain: ChainId, block: u64) -> Result<Vec<Undo>, StoreError> {
        match self.head(Reader::Writer).await?.chain(chain) {
            Some(row) => undo::above(&self.wire, row, block).await,
            None => Ok(Vec::new()),
        }
    }

    async fn logs_by(&self, chain: ChainId, address: Address) -> Result<LogBuf, StoreError> {
        match self.head(Reader::Writer).await?.chain(chain) {
            Some(row) => logs::of(&self.wire, row, address).await,
            None => Ok(LogBuf::default()),
        }
    }

    async fn commit(&self, unit: Arc<CommitUnit>) -> Result<u64, StoreError> {
        self.attempt(unit.chain, Attempt::Unit(unit)).await
    }

    async fn finalize(&self, chain: ChainId, block: u64) -> Result<u64, StoreError> {
        self.attempt(chain, Attempt::Finalize(block)).await
    }

    /// Indexes are kept up to date all along: a collection that others query cannot go without.
    async fn end_bulk(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl Queries for Mongo {
    async fn chains(&self) -> Result<Vec<ChainIndex>, QueryError> {
        let head = self.head(Reader::Question).await?;
        Ok(head
            .chains
            .into_iter()
            .map(|row| ChainIndex {
                chain: row.id,
                indexed: row.cursor_id(),
                finalized: row.finalized,
                verified_through: row.verified_through,
                blocks: row.blocks,
                logs: row.logs,
                events: row.events,
                undecoded: row.undecoded,
                name: row.name,
            })
            .collect())
    }

    async fn events(&self, query: EventQuery) -> Result<Page<EventRecord>, QueryError> {
        let head = self.head(Reader::Question).await?;
        events::list(&self.wire, &self.dictionary, &head, &query).await
    }

    async fn tokens(
        &self,
        chain: Option<ChainId>,
        limit: usize,
        after: Option<String>,
    ) -> Result<Page<TokenRecord>, QueryError> {
        self.settled(chain).await?;
        tokens::list(&self.wire, chain, limit, after.as_deref()).await
    }

    async fn token(
        &self,
        chain: ChainId,
        address: Address,
    ) -> Result<Option<TokenRecord>, QueryError> {
        self.settled(Some(chain)).await?;
        tokens::one(&self.wire, chain, &address).await
    }

    async fn holders(
        &self,
        chain: ChainId,
        token: Address,
        at_block: Option<u64>,
        limit: usize,
        after: Option<String>,
    ) -> Result<Option<HoldersPage>, QueryError> {
        let head = self.settled(Some(chain)).await?;
        let question = Question { chain, token, at_block, limit, after };
        holders::page(&self.wire, &head, &question).await
    }

    async fn holdings(
        &self,
        holder: Address,
        limit: usize,
        after: Option<String>,
    ) -> Result<Page<HolderRecord>, QueryError> {
        let head = self.settled(None).await?;
        tokens::holdings(&self.wire, &head, &holder, limit, after.as_deref()).await
    }

    async fn feed_head(&self) -> Result<u64, QueryError> {
        Ok(self.head(Reader::Question).await?.feed_visible())
    }

    async fn feed(
        &self,
        cursor: FeedCursor,
        limit: usize,
    ) -> Result<Vec<(FeedCursor, FeedItem)>, QueryError> {
        let head = self.head(Reader::Question).await?;
        feed::page(&self.wire, &self.dictionary, &head, cursor, limit).await
    }

    async fn tokens_without_metadata(
        &self,
        limit: usize,
    ) -> Result<Vec<(ChainId, Address)>, QueryError> {
        tokens::without_metadata(&self.wire, limit).await
    }

    async fn put_metadata(
        &self,
        chain: ChainId,
        token: Address,
        metadata: TokenMetadata,
    ) -> Result<(), QueryError> {
        Ok(tokens::put_metadata(&self.wire, chain, token, &metadata).await?)
    }
}

#[cfg(test)]
mod tests;
