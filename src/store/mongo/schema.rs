//! Collections, their indexes, validators and shard keys: one list that creates, compares and prints.
//!
//! Nothing is dropped or changed here: what differs is reported, and an operator decides.

use std::collections::BTreeMap;

use mongodb::bson::{Bson, Document, doc};
use mongodb::error::ErrorKind;

use super::chains::HEAD;
use super::dictionary::LAYOUTS;
use super::docs::{HOLDINGS, IDENTITIES, TOKENS};
use super::journal::JOURNAL;
use super::logs::{EVENTS, ORPHANS};
use super::redo::{BLOCKS, FEED};
use super::undo::UNDO;
use super::wire::Wire;
use crate::pipeline::error::StoreError;

/// "The collection exists": another process was faster.
const EXISTS: i32 = 48;

/// One collection.
#[derive(Debug, Clone, Copy)]
pub struct Collection {
    pub name: &'static str,
    /// Name and keys, in order; 1 up, -1 down.
    pub indexes: &'static [(&'static str, &'static [(&'static str, i32)])],
    /// Field and BSON type of what every document must have.
    pub required: &'static [(&'static str, &'static str)],
    /// `None`: too small, or read as a whole; stays on one shard.
    pub shard_key: Option<&'static [(&'static str, &'static str)]>,
}

const HASHED_ID: Option<&[(&str, &str)]> = Some(&[("_id", "hashed")]);

/// All of them.
pub const COLLECTIONS: &[Collection] = &[
    Collection {
        name: HEAD,
        indexes: &[],
        required: &[("format", "long"), ("seq", "long"), ("chains", "object")],
        shard_key: None,
    },
    Collection {
        name: EVENTS,
        indexes: &[
            ("by_place", &[("chain", 1), ("pos", 1)]),
            ("by_address", &[("chain", 1), ("address", 1), ("pos", 1)]),
            ("by_participant", &[("participants", 1), ("chain", 1), ("pos", 1)]),
            ("by_event", &[("chain", 1), ("event", 1), ("pos", 1)]),
            ("by_contract", &[("chain", 1), ("contract", 1), ("pos", 1)]),
            ("by_tx", &[("tx", 1)]),
        ],
        required: &[
            ("chain", "long"),
            ("pos", "long"),
            ("unit", "long"),
            ("address", "string"),
            ("block_hash", "string"),
            ("tx", "string"),
            ("topics", "binData"),
            ("data", "binData"),
        ],
        shard_key: Some(&[("chain", "1"), ("address", "1"), ("pos", "1")]),
    },
    Collection {
        name: BLOCKS,
        indexes: &[("by_number", &[("chain", 1), ("number", 1)])],
        required: &[("chain", "long"), ("number", "long"), ("unit", "long"), ("hash", "string")],
        shard_key: HASHED_ID,
    },
    Collection {
        name: TOKENS,
        indexes: &[("by_order", &[("order", 1)])],
        required: &[("chain", "long"), ("address", "string"), ("unit", "long"), ("gone", "bool")],
        shard_key: HASHED_ID,
    },
    Collection {
        name: HOLDINGS,
        indexes: &[
            ("by_rank", &[("chain", 1), ("token", 1), ("balance", -1), ("holder", -1)]),
            ("by_holder", &[("holder", 1), ("chain", 1), ("token", 1)]),
        ],
        required: &[
            ("chain", "long"),
            ("token", "string"),
            ("holder", "string"),
            ("unit", "long"),
            ("gone", "bool"),
        ],
        shard_key: Some(&[("chain", "1"), ("token", "1"), ("holder", "1")]),
    },
    Collection {
        name: IDENTITIES,
        indexes: &[],
        required: &[("registry", "string"), ("wallet", "string"), ("unit", "long")],
        shard_key: Some(&[("chain", "1"), ("registry", "1"), ("wallet", "1")]),
    },
    Collection {
        name: FEED,
        indexes: &[("by_unit", &[("chain", 1), ("unit", 1)])],
        required: &[("chain", "long"), ("unit", "long"), ("step", "string")],
        shard_key: None,
    },
    Collection {
        name: ORPHANS,
        indexes: &[
            ("by_retraction", &[("retracted", 1), ("pos", 1)]),
            ("by_commit", &[("committed", 1), ("pos", 1)]),
        ],
        required: &[("retracted", "long"), ("committed", "long"), ("chain", "long")],
        shard_key: HASHED_ID,
    },
    Collection {
        name: UNDO,
        indexes: &[("by_block", &[("chain", 1), ("block", 1)])],
        required: &[("chain", "long"), ("block", "long"), ("unit", "long")],
        shard_key: HASHED_ID,
    },
    Collection {
        name: JOURNAL,
        indexes: &[("by_unit", &[("chain", 1), ("unit", 1)])],
        required: &[("chain", "long"), ("unit", "long"), ("records", "binData")],
        shard_key: HASHED_ID,
    },
    Collection {
        name: LAYOUTS,
        indexes: &[],
        required: &[("event", "string"), ("signature", "string")],
        shard_key: None,
    },
];

impl Collection {
    fn keys(&self, index: usize) -> Document {
        let mut keys = Document::new();
        if let Some((_, fields)) = self.indexes.get(index) {
            for (field, direction) in *fields {
                keys.insert(*field, *direction);
            }
        }
        keys
    }

    /// The JSON schema that the server holds documents to, where it can.
    fn validator(&self) -> Document {
        let names: Vec<&str> = self.required.iter().map(|(field, _)| *field).collect();
        let mut properties = Document::new();
        for (field, kind) in self.required {
            properties.insert(*field, doc! { "bsonType": *kind });
        }
        doc! { "$jsonSchema": { "bsonType": "object", "required": names, "properties": properties } }
    }

    /// The command that distributes this collection, run against `admin` of a router.
    pub fn shard_command(&self, database: &str) -> Option<Document> {
        let mut key = Document::new();
        for (field, how) in self.shard_key? {
            match how.parse::<i32>() {
                Ok(direction) => key.insert(*field, direction),
                Err(_) => key.insert(*field, *how),
            };
        }
        Some(doc! { "shardCollection": format!("{database}.{}", self.name), "key": key })
    }
}

/// Creates what is missing; returns what differs from what it should be, a sentence each.
pub(super) async fn prepare(wire: &Wire) -> Result<Vec<String>, StoreError> {
    let database = wire.database();
    let present = database.list_collection_names().await?;
    let mut validators = true;
    let mut differences = Vec::new();
    for collection in COLLECTIONS {
        let fresh = !present.iter().any(|name| name == collection.name);
        if fresh {
            validators = create(wire, collection, validators).await?;
        }
        differences.extend(indexes(wire, collection, fresh).await?);
    }
    if !validators {
        log::info!("the server takes no JSON schema validators; documents are checked here alone");
    }
    Ok(differences)
}

/// Creates a collection with its validator, or without where the server refuses those.
async fn create(
    wire: &Wire,
    collection: &Collection,
    validators: bool,
) -> Result<bool, StoreError> {
    let bare = doc! { "create": collection.name };
    let mut full = bare.clone();
    full.insert("validator", collection.validator());
    let mut tries = if validators { vec![(full, true)] } else { Vec::new() };
    tries.push((bare, false));
    let mut refused = None;
    for (command, with) in tries {
        match wire.database().run_command(command).await {
            Ok(_) => return Ok(with),
            Err(error) => match &*error.kind {
                ErrorKind::Command(command) if command.code == EXISTS => return Ok(validators),
                ErrorKind::Command(_) => refused = Some(error),
                _ => return Err(error.into()),
            },
        }
    }
    refused.map_or(Ok(false), |error| Err(error.into()))
}

async fn indexes(
    wire: &Wire,
    collection: &Collection,
    fresh: bool,
) -> Result<Vec<String>, StoreError> {
    let mut present: BTreeMap<String, Document> = BTreeMap::new();
    if !fresh {
        present = listed(wire, collection.name).await?;
    }
    let mut differences = Vec::new();
    let mut missing: Vec<Document> = Vec::new();
    for (at, (name, _)) in collection.indexes.iter().enumerate() {
        let keys = collection.keys(at);
        match present.remove(*name) {
            None => missing.push(doc! { "name": *name, "key": keys }),
            Some(found) if same(&found, &keys) => {}
            Some(found) => differences.push(format!(
                "index {name} of {} has the keys {found}, not {keys}; drop it, and the next start \
                 builds it",
                collection.name
            )),
        }
    }
    let foreign = present.keys().filter(|name| *name != "_id_");
    differences.extend(foreign.map(|name| {
        format!("index {name} of {} is not ours; it costs every write", collection.name)
    }));
    if !missing.is_empty() {
        let command = doc! { "createIndexes": collection.name, "indexes": missing };
        wire.database().run_command(command).await?;
    }
    Ok(differences)
}

async fn listed(
    wire: &Wire,
    collection: &'static str,
) -> Result<BTreeMap<String, Document>, StoreError> {
    let mut cursor = wire.database().collection::<Document>(collection).list_indexes().await?;
    let mut found = BTreeMap::new();
    while cursor.advance().await? {
        let index = cursor.deserialize_current()?;
        let name = index.options.and_then(|options| options.name).unwrap_or_default();
        found.insert(name, index.keys);
    }
    Ok(found)
}

/// Servers give directions back as they like: 1, 1.0 or a long.
fn same(found: &Document, wanted: &Document) -> bool {
    let number = |value: &Bson| match value {
        Bson::Int32(n) => Some(i64::from(*n)),
        Bson::Int64(n) => Some(*n),
        Bson::Double(n) if (*n - 1.0).abs() < 0.1 => Some(1),
        Bson::Double(n) if (*n + 1.0).abs() < 0.1 => Some(-1),
        _ => None,
    };
    found.len() == wanted.len()
        && found.iter().zip(wanted).all(|(a, b)| a.0 == b.0 && number(a.1) == number(b.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_key_can_be_filled_from_each_write_and_has_an_index_to_start_with() {
        for collection in COLLECTIONS {
            let Some(key) = collection.shard_key else { continue };
            let hashed = key.iter().any(|(_, how)| *how == "hashed");
            let required = |field| collection.required.iter().any(|(name, _)| *name == field);
            for (field, _) in key {
                assert!(*field == "_id" || required(*field) || *field == "chain", "{field}");
            }
            assert!(!hashed || key.len() == 1, "{}", collection.name);
        }
    }

    #[test]
    fn the_command_names_database_and_key() {
        let events = COLLECTIONS.iter().find(|one| one.name == EVENTS).expect("listed");
        let command = events.shard_command("rwa").expect("sharded");
        let wanted =
            doc! { "shardCollection": "rwa.events", "key": { "chain": 1, "address": 1, "pos": 1 } };
        assert_eq!(command, wanted);
    }
}
