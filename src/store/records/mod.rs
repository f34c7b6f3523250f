//! The port for what no chain can give back: users, sessions, keys, roles, approvals, orders, webhooks
//! and the audit trail.
//!
//! Small on purpose: named collections of JSON documents by key, each with a version to compare and
//! set; declared lookups to list by; and one atomic batch that may append to the audit trail. Knows
//! nothing of what the documents mean. Uniqueness is a document of its own whose key is the unique
//! value, put with [`Expect::Absent`]: a back end without unique indexes can keep that too.
//!
//! A batch names every document at most once and has no precondition but on the documents it names,
//! so that a back end without multi-document transactions can write it down as an intent first, mark
//! each document with it, and finish or undo it after a crash.

pub mod audit;
pub mod embedded;

use std::fmt;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::audit::AuditEntry;
use crate::pipeline::error::StoreError;

/// Documents and preconditions in one batch: a flow changes a handful of documents; more is a loop.
pub const BATCH_CHANGES_MAX: usize = 64;
/// Audit entries in one batch.
pub const BATCH_AUDIT_MAX: usize = 16;
/// One document as JSON text: a stored answer for a repeated request is the largest.
pub const DOCUMENT_BYTES_MAX: usize = 512 * 1024;
/// Keys and looked-up values: an address, a hash or a sortable number with a prefix.
pub const KEY_BYTES_MAX: usize = 512;
/// Documents or audit entries in one page.
pub const PAGE_MAX: usize = 1_000;

/// A named set of documents. Declared once, as a constant, by the part that owns it.
#[derive(Debug, PartialEq, Eq)]
pub struct Collection {
    pub name: &'static str,
    /// Top-level fields that can be listed by. Each holds a string, or null, or is absent; numbers and
    /// times go in as [`sortable`] text.
    pub lookups: &'static [&'static str],
}

/// One document.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub key: String,
    /// 1 when first put, one more with each put.
    pub version: u64,
    pub body: Value,
}

impl Record {
    /// The document as the type of its owner.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, RecordsError> {
        T::deserialize(&self.body).map_err(|error| {
            let text = format!("record {}: {error}", self.key);
            RecordsError::Store(StoreError::Corrupt(text))
        })
    }
}

/// What must hold of a document for the batch to be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    Any,
    Absent,
    Present,
    Version(u64),
}

/// One step of a batch.
#[derive(Debug, Clone)]
pub struct Change {
    pub collection: &'static Collection,
    pub key: String,
    pub expect: Expect,
    pub action: Action,
}

/// What a step does when its expectation holds.
#[derive(Debug, Clone)]
pub enum Action {
    /// Replaces the whole document.
    Put(Value),
    /// A document that is not there stays away.
    Delete,
    /// Nothing: the expectation alone guards the batch.
    Check,
}

/// Changes that happen together or not at all.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub changes: Vec<Change>,
    /// Entries for the trail: made durable with the changes they tell of.
    pub audit: Vec<AuditDraft>,
}

impl Batch {
    /// Adds a put of `body`.
    pub fn put<T: Serialize>(
        &mut self,
        collection: &'static Collection,
        key: impl Into<String>,
        expect: Expect,
        body: &T,
    ) -> Result<(), RecordsError> {
        let body = serde_json::to_value(body)
            .map_err(|error| RecordsError::Invalid(format!("{}: {error}", collection.name)))?;
        let key = key.into();
        self.changes.push(Change { collection, key, expect, action: Action::Put(body) });
        Ok(())
    }

    /// Adds a deletion.
    pub fn delete(
        &mut self,
        collection: &'static Collection,
        key: impl Into<String>,
        expect: Expect,
    ) {
        let key = key.into();
        self.changes.push(Change { collection, key, expect, action: Action::Delete });
    }

    /// Adds a precondition.
    pub fn check(
        &mut self,
        collection: &'static Collection,
        key: impl Into<String>,
        expect: Expect,
    ) {
        let key = key.into();
        self.changes.push(Change { collection, key, expect, action: Action::Check });
    }

    /// Refuses what no back end has to be able to do.
    pub fn validate(&self) -> Result<(), RecordsError> {
        let invalid = |text: String| Err(RecordsError::Invalid(text));
        if self.changes.len() > BATCH_CHANGES_MAX || self.audit.len() > BATCH_AUDIT_MAX {
            return invalid(format!(
                "{} changes and {} audit entries; {BATCH_CHANGES_MAX} and {BATCH_AUDIT_MAX} are the most",
                self.changes.len(),
                self.audit.len()
            ));
        }
        for (at, change) in self.changes.iter().enumerate() {
            let same = |other: &Change| {
                other.collection.name == change.collection.name && other.key == change.key
            };
            if self.changes.iter().take(at).any(same) {
                return invalid(format!("{} is named twice", change.name()));
            }
            if change.key.is_empty() || change.key.len() > KEY_BYTES_MAX {
                return invalid(format!(
                    "a key in {} is empty or too long",
                    change.collection.name
                ));
            }
            if let Action::Put(body) = &change.action {
                lookups(change.collection, body)?;
            }
        }
        if let Some(draft) = self.audit.iter().find(|draft| draft.body.len() > DOCUMENT_BYTES_MAX) {
            return invalid(format!("an audit entry of {} bytes", draft.body.len()));
        }
        Ok(())
    }
}

impl Change {
    fn name(&self) -> String {
        format!("{}/{}", self.collection.name, self.key)
    }
}

/// The looked-up values of a document, in the order of the collection's declaration.
pub fn lookups(
    collection: &Collection,
    body: &Value,
) -> Result<Vec<(&'static str, String)>, RecordsError> {
    let mut found = Vec::new();
    for name in collection.lookups {
        match body.get(name) {
            None | Some(Value::Null) => {}
            Some(Value::String(value)) if value.len() <= KEY_BYTES_MAX => {
                found.push((*name, value.clone()));
            }
            Some(_) => {
                return Err(RecordsError::Invalid(format!(
                    "{}: {name} is not a string of at most {KEY_BYTES_MAX} bytes",
                    collection.name
                )));
            }
        }
    }
    Ok(found)
}

/// A number as text that sorts like the number.
pub fn sortable(number: u64) -> String {
    format!("{number:020}")
}

/// An audit entry before it has its place in the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditDraft {
    pub at_ms: u64,
    /// JSON text; kept and hashed byte for byte.
    pub body: String,
}

/// What a batch came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// The new version per change; 0 for a deletion or a check.
    pub versions: Vec<u64>,
    /// Places of the audit entries.
    pub audit: Vec<u64>,
}

/// What a list is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// All documents, ordered by key.
    Key,
    /// Documents whose `lookup` is exactly `value`, ordered by key.
    Equal { lookup: &'static str, value: String },
    /// Documents whose `lookup` is at least `from` and below `below`, ordered by it, then by key.
    Range { lookup: &'static str, from: Option<String>, below: Option<String> },
}

/// Which end a list starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    #[default]
    Ascending,
    Descending,
}

/// A question for a page of documents.
#[derive(Debug, Clone)]
pub struct Select {
    pub collection: &'static Collection,
    pub by: By,
    pub order: Order,
    /// At most [`PAGE_MAX`].
    pub limit: usize,
    /// The `next` of the page before, of the same question.
    pub after: Option<String>,
}

/// A page of documents.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordPage {
    pub items: Vec<Record>,
    /// Set when there may be more.
    pub next: Option<String>,
}

/// The end of the audit trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditHead {
    /// 0 when nothing was written yet.
    pub seq: u64,
    pub hash: [u8; 32],
}

/// Why a call was not done. Nothing of it was applied.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RecordsError {
    /// An expectation did not hold: read again and decide anew.
    #[error("{collection}/{key} is not as expected")]
    Conflict { collection: &'static str, key: String },
    /// A fault of the calling code.
    #[error("invalid batch: {0}")]
    Invalid(String),
    /// The text is not a cursor of this question.
    #[error("the cursor does not belong to this list")]
    BadCursor,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RecordsError {
    /// Whether the same call can succeed later without anything being changed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_retryable())
    }
}

/// A store of durable records. Every acknowledged batch survives the loss of power.
#[async_trait]
pub trait Records: fmt::Debug + Send + Sync {
    /// One document.
    async fn get(
        &self,
        collection: &'static Collection,
        key: &str,
    ) -> Result<Option<Record>, RecordsError>;

    /// A page of documents. Documents put or deleted between two pages do not shift the others.
    async fn list(&self, select: Select) -> Result<RecordPage, RecordsError>;

    /// Applies a batch whole or not at all; batches are serializable.
    async fn apply(&self, batch: Batch) -> Result<Applied, RecordsError>;

    /// Audit entries with numbers above `after`, in order.
    async fn audit(&self, after: u64, limit: usize) -> Result<Vec<AuditEntry>, RecordsError>;

    /// The last audit entry's place and hash.
    async fn audit_head(&self) -> Result<AuditHead, RecordsError>;
}

#[cfg(test)]
pub(crate) mod contract_tests;
