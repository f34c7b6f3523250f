//! `[store]` → a back end, for writing or for questions, with what an operator needs to hear when it
//! cannot be had: the key, its value without secrets, and what to do.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};

use crate::config::Store;
use crate::pipeline::error::StoreError;
use crate::store::{DataStore, embedded, mongo};
use crate::types::event::ArgReader;

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Write,
    Read,
}

/// Opens the configured back end. `names` are those that contract tags index.
pub(crate) async fn open(
    store: &Store,
    access: Access,
    names: &[String],
    reader: Arc<dyn ArgReader>,
) -> Result<Arc<dyn DataStore>> {
    match store {
        Store::Embedded { path } => {
            let open = match access {
                Access::Write => embedded::open,
                Access::Read => embedded::open_read_only,
            };
            let opened = open(path, names, reader).with_context(|| key(store))?;
            Ok(Arc::new(opened))
        }
        Store::MongoDb { url } => {
            let opened = match access {
                Access::Write => mongo::open(url.expose(), names, reader).await,
                Access::Read => mongo::open_read_only(url.expose(), names, reader).await,
            };
            Ok(Arc::new(opened.map_err(|error| refused(store, &error))?))
        }
    }
}

/// Whether the back end could be opened, without changing anything.
pub(crate) async fn probe(store: &Store) -> Result<()> {
    match store {
        Store::Embedded { path } => Ok(embedded::probe(path)?),
        Store::MongoDb { url } => {
            mongo::probe(url.expose()).await.map_err(|error| refused(store, &error))
        }
    }
}

/// The process that has the store to itself, where there can be such a one.
pub(crate) fn holder(store: &Store) -> Option<String> {
    match store {
        Store::Embedded { path } => embedded::holder(path),
        Store::MongoDb { .. } => None,
    }
}

/// The store as reports name it.
pub(crate) fn shown(store: &Store) -> String {
    match store {
        Store::Embedded { path } => path.display().to_string(),
        Store::MongoDb { url } => url.redacted(),
    }
}

/// The commands that distribute the store over a sharded cluster, and their outcome if `apply`.
pub async fn shard(store: &Store, apply: bool) -> Result<mongo::Sharding> {
    match store {
        Store::Embedded { .. } => Err(anyhow!(
            "[store] kind = \"embedded\" lives in one file; only \"mongodb\" can be sharded"
        )),
        Store::MongoDb { url } => {
            mongo::shard(url.expose(), apply).await.map_err(|error| refused(store, &error))
        }
    }
}

fn key(store: &Store) -> String {
    match store {
        Store::Embedded { .. } => format!("[store] path = {:?}", shown(store)),
        Store::MongoDb { .. } => format!("[store] url = {:?}", shown(store)),
    }
}

fn refused(store: &Store, error: &StoreError) -> anyhow::Error {
    let key = key(store);
    match error {
        StoreError::Unavailable(_) => anyhow!(
            "{key}: {error}; check that the server runs and is reached from here, and user, password \
             and TLS options of the url"
        ),
        _ => anyhow!("{key}: {error}"),
    }
}
