//! The audit trail's chain of hashes: pure, the same for every back end and for a check without one.
//!
//! Each entry's hash covers its number, time, text and the hash before it, so that an edit, a deletion
//! or a change of order breaks the chain at that place. That nothing was cut off at the end is for
//! signed checkpoints to show; they are not made here.

use aws_lc_rs::digest::{Context, SHA256};

/// Told apart from every other hash this program makes.
const DOMAIN: &[u8] = b"rwahub-audit-entry-v1\0";
/// What the first entry follows.
pub const GENESIS: [u8; 32] = [0; 32];

/// One entry in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// From 1, without gaps.
    pub seq: u64,
    pub at_ms: u64,
    /// JSON text as it was given.
    pub body: String,
    pub hash: [u8; 32],
}

/// The hash of an entry that follows `before`.
pub fn entry_hash(before: &[u8; 32], seq: u64, at_ms: u64, body: &str) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(DOMAIN);
    context.update(before);
    context.update(&seq.to_be_bytes());
    context.update(&at_ms.to_be_bytes());
    context.update(body.as_bytes());
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    hash
}

/// Where and how a trail is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error(
        "entry {found} stands where entry {expected} should: entries are missing or out of order"
    )]
    Place { expected: u64, found: u64 },
    #[error(
        "entry {seq} is not what was written: its hash does not follow from it and its predecessor"
    )]
    Hash { seq: u64 },
}

/// Follows the chain entry by entry.
#[derive(Debug, Clone)]
pub struct Follower {
    seq: u64,
    hash: [u8; 32],
}

impl Follower {
    /// Starts after entry `seq` with `hash`; at the very beginning 0 and [`GENESIS`].
    pub fn new(seq: u64, hash: [u8; 32]) -> Self {
        Self { seq, hash }
    }

    /// Takes the next entry, or says what is wrong with it.
    pub fn follow(&mut self, entry: &AuditEntry) -> Result<(), Broken> {
        let expected = self.seq + 1;
        if entry.seq != expected {
            return Err(Broken::Place { expected, found: entry.seq });
        }
        if entry_hash(&self.hash, entry.seq, entry.at_ms, &entry.body) != entry.hash {
            return Err(Broken::Hash { seq: entry.seq });
        }
        (self.seq, self.hash) = (entry.seq, entry.hash);
        Ok(())
    }

    /// The last entry taken.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Its hash.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }
}
