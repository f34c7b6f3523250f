//! What logs are called: layouts and contract names of this process matched with those of the file.
//!
//! A process numbers its layouts afresh at every start; the file numbers them once, by signature. A
//! stored log names a *kind*, the pair of contract name and layout, so that one column and one index
//! serve both filters. Shared by the writer, which adds kinds, and the readers.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use alloy_primitives::B256;
use rusqlite::{Connection, OptionalExtension};

use super::error::corrupt;
use super::rows;
use crate::pipeline::error::StoreError;
use crate::pipeline::store::{ContractTag, Recognised};
use crate::types::event::{ArgReader, LayoutId};

/// A layout as the file knows it.
#[derive(Debug, Clone)]
pub(super) struct StoredLayout {
    pub(super) event: String,
    pub(super) topic0: Option<B256>,
    /// Its number in this process, `None` when no ABI of this process describes it.
    pub(super) local: Option<LayoutId>,
}

/// What a stored log is.
#[derive(Debug, Clone)]
pub(super) struct Kind {
    pub(super) id: i64,
    pub(super) contract: Arc<str>,
    /// `None` for a log that could not be decoded.
    pub(super) layout: Option<Arc<StoredLayout>>,
}

/// All of it, in memory. Small: layouts × contract names that have occurred together.
#[derive(Debug)]
pub(super) struct Dictionary {
    /// By `ContractTag`: the name's id in the file.
    names: Vec<i64>,
    /// By `LayoutId`: the layout's id in the file.
    layouts: HashMap<LayoutId, i64>,
    args: Arc<dyn ArgReader>,
    kinds: RwLock<Kinds>,
}

#[derive(Debug, Default)]
struct Kinds {
    by_id: HashMap<i64, Kind>,
    by_parts: HashMap<(i64, Option<i64>), Kind>,
}

impl Dictionary {
    /// Registers this process's layouts and names, then reads everything back.
    pub(super) fn register(
        connection: &mut Connection,
        contracts: &[String],
        args: Arc<dyn ArgReader>,
    ) -> Result<Self, StoreError> {
        let tx = connection.transaction()?;
        for info in args.layouts() {
            tx.execute(
                "INSERT INTO layout(signature, event, topic0) VALUES(?1, ?2, ?3)
                 ON CONFLICT DO NOTHING",
                (&info.signature, &info.event, info.topic0.as_ref().map(|hash| &hash[..])),
            )?;
        }
        for name in contracts {
            tx.execute(
                "INSERT INTO contract_name(name) VALUES(?1) ON CONFLICT DO NOTHING",
                [name],
            )?;
        }
        tx.commit()?;
        Self::load(connection, contracts, args)
    }

    /// Reads the file's dictionary without changing it.
    pub(super) fn load(
        connection: &Connection,
        contracts: &[String],
        args: Arc<dyn ArgReader>,
    ) -> Result<Self, StoreError> {
        let mut layouts = HashMap::new();
        for info in args.layouts() {
            let id = connection
                .query_row("SELECT id FROM layout WHERE signature = ?1", [&info.signature], |row| {
                    row.get(0)
                })
                .optional()?;
            if let Some(id) = id {
                layouts.insert(info.id, id);
            }
        }
        let mut names = Vec::with_capacity(contracts.len());
        for name in contracts {
            let id = connection
                .query_row("SELECT id FROM contract_name WHERE name = ?1", [name], |row| row.get(0))
                .optional()?;
            names.push(id.unwrap_or(-1));
        }
        let dictionary = Self { names, layouts, args, kinds: RwLock::default() };
        dictionary.refresh(connection)?;
        Ok(dictionary)
    }

    /// Reads the kinds again, when a row names one that is not known yet.
    pub(super) fn refresh(&self, connection: &Connection) -> Result<(), StoreError> {
        let local: HashMap<i64, LayoutId> =
            self.layouts.iter().map(|(local, stored)| (*stored, *local)).collect();
        let mut select = connection.prepare(
            "SELECT k.id, k.name, k.layout, n.name, y.event, y.topic0
             FROM kind k JOIN contract_name n ON n.id = k.name LEFT JOIN layout y ON y.id = k.layout",
        )?;
        let mut rows = select.query([])?;
        let mut fresh = Kinds::default();
        while let Some(row) = rows.next()? {
            let layout: Option<i64> = row.get(2)?;
            let kind = Kind {
                id: row.get(0)?,
                contract: Arc::from(row.get::<_, String>(3)?),
                layout: match layout {
                    None => None,
                    Some(id) => Some(Arc::new(StoredLayout {
                        event: row.get(4)?,
                        topic0: row
                            .get_ref(5)?
                            .as_blob_or_null()
                            .map_err(corrupt)?
                            .map(rows::hash)
                            .transpose()?,
                        local: local.get(&id).copied(),
                    })),
                },
            };
            fresh.by_id.insert(kind.id, kind.clone());
            fresh.by_parts.insert((row.get(1)?, layout), kind);
        }
        *self.kinds.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// Reads the kinds again if the file has more of them: its writer may be another process.
    pub(super) fn refresh_if_behind(&self, connection: &Connection) -> Result<(), StoreError> {
        let stored: i64 = connection
            .prepare_cached("SELECT count(*) FROM kind")?
            .query_row([], |row| row.get(0))?;
        let known = self.kinds.read().unwrap_or_else(PoisonError::into_inner).by_id.len();
        if usize::try_from(stored) == Ok(known) { Ok(()) } else { self.refresh(connection) }
    }

    /// What a stored kind id means.
    pub(super) fn kind(&self, connection: &Connection, id: i64) -> Result<Kind, StoreError> {
        if let Some(kind) = self.known(id) {
            return Ok(kind);
        }
        self.refresh(connection)?;
        self.known(id)
            .ok_or_else(|| corrupt(format_args!("a log of kind {id}, which is not listed")))
    }

    fn known(&self, id: i64) -> Option<Kind> {
        self.kinds.read().unwrap_or_else(PoisonError::into_inner).by_id.get(&id).cloned()
    }

    /// The kinds that a filter admits.
    pub(super) fn matching(&self, admits: impl Fn(&Kind) -> bool) -> Vec<Kind> {
        let kinds = self.kinds.read().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<Kind> =
            kinds.by_id.values().filter(|kind| admits(kind)).cloned().collect();
        found.sort_by_key(|kind| kind.id);
        found
    }

    /// The kind of a recognised log. New kinds are written at once, outside the unit's transaction:
    /// a kind without logs harms nobody, a rolled-back kind in the shared memory would.
    pub(super) fn kind_of(
        &self,
        connection: &Connection,
        recognised: &Recognised,
    ) -> Result<Kind, StoreError> {
        let (tag, layout) = match recognised {
            Recognised::Event { layout, contract } => (contract, Some(self.stored(*layout)?)),
            Recognised::Undecoded { contract, .. } => (contract, None),
        };
        let parts = (self.name(*tag)?, layout);
        if let Some(kind) = self.of_parts(parts) {
            return Ok(kind);
        }
        connection.execute("INSERT INTO kind(name, layout) VALUES(?1, ?2)", parts)?;
        self.refresh(connection)?;
        self.of_parts(parts).ok_or_else(|| corrupt("a kind that vanished after it was written"))
    }

    fn of_parts(&self, parts: (i64, Option<i64>)) -> Option<Kind> {
        self.kinds.read().unwrap_or_else(PoisonError::into_inner).by_parts.get(&parts).cloned()
    }

    fn stored(&self, layout: LayoutId) -> Result<i64, StoreError> {
        self.layouts.get(&layout).copied().ok_or_else(|| {
            corrupt(format_args!("layout {} is none that the store was opened with", layout.0))
        })
    }

    fn name(&self, tag: ContractTag) -> Result<i64, StoreError> {
        self.names.get(usize::from(tag.0)).copied().ok_or_else(|| {
            corrupt(format_args!("contract {} is none that the store was opened with", tag.0))
        })
    }

    /// Reads arguments.
    pub(super) fn args(&self) -> &dyn ArgReader {
        &*self.args
    }
}
