//! The audit trail: what an entry says, how the trail is exported, and how an export is checked with
//! nothing but a public key.
//!
//! The chain of hashes is `store::records::audit`'s; here its end is signed. An export is one signed
//! head and then every entry, one JSON object a line.

use std::io::{BufRead, Write};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::keys::{pair, public_hex};
use super::secret::{Purpose, hex, unhex};
use super::{Auth, AuthError, How, Identity};
use crate::store::records::audit::{AuditEntry, Broken, Follower, GENESIS};
use crate::store::records::{AuditDraft, Batch, PAGE_MAX};

/// Longest line of an export that is read.
const LINE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Told apart from every other thing the key might sign.
const DOMAIN: &str = "rwahub-audit-checkpoint-v1";

/// What happened, for an entry.
#[derive(Debug, Clone)]
pub struct Note<'a> {
    action: &'a str,
    target: &'a str,
    before: Option<String>,
    after: Option<String>,
    why: Option<&'a str>,
    request_id: Option<&'a str>,
}

impl<'a> Note<'a> {
    /// `action` as `thing.verb`, and what it was done to.
    pub fn new(action: &'a str, target: &'a str) -> Self {
        Self { action, target, before: None, after: None, why: None, request_id: None }
    }

    /// Digests of the document before and after.
    pub(in crate::gateway) fn changed(
        mut self,
        before: Option<String>,
        after: Option<String>,
    ) -> Self {
        (self.before, self.after) = (before, after);
        self
    }

    pub fn why(mut self, why: &'a str) -> Self {
        self.why = Some(why);
        self
    }

    pub(in crate::gateway) fn request(mut self, id: &'a str) -> Self {
        self.request_id = Some(id);
        self
    }
}

/// An entry's text, in the order of its fields.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    who: &'a str,
    by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    action: &'a str,
    target: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

/// A signed statement of how far the trail goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub seq: u64,
    pub hash: String,
    pub at_ms: u64,
    pub public_key: String,
    pub signature: String,
}

impl Checkpoint {
    fn signed_text(seq: u64, hash: &str, at_ms: u64) -> String {
        format!("{DOMAIN}\n{seq}\n{hash}\n{at_ms}")
    }

    /// Whether the key signed this.
    pub fn is_signed_by(&self, public_key: &[u8]) -> bool {
        let text = Self::signed_text(self.seq, &self.hash, self.at_ms);
        unhex(&self.signature).is_some_and(|signature| {
            UnparsedPublicKey::new(&ED25519, public_key).verify(text.as_bytes(), &signature).is_ok()
        })
    }
}

/// A line of an export.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    seq: u64,
    at_ms: u64,
    hash: &'a str,
    #[serde(borrow)]
    entry: &'a RawValue,
}

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    pub entries: u64,
    pub through_ms: u64,
    pub hash: String,
}

/// What is wrong with an export.
#[derive(Debug, thiserror::Error)]
pub enum TrailError {
    #[error("line {line}: {what}")]
    Unreadable { line: u64, what: String },
    #[error("the head of the export is not signed by this key")]
    Forged,
    #[error("line {line}: {broken}")]
    Broken { line: u64, broken: Broken },
    #[error(
        "the export ends at entry {found}, but its signed head says {signed}: entries are missing at the end"
    )]
    Truncated { found: u64, signed: u64 },
    #[error("the export goes on after entry {0}, where its signed head ends")]
    TooLong(u64),
    #[error("entry {0} is not the one that the earlier checkpoint was signed over")]
    Rewritten(u64),
    #[error("the export ends at entry {found}, before entry {anchor} of the earlier checkpoint")]
    Shortened { found: u64, anchor: u64 },
    #[error("writing the export: {0}")]
    Write(std::io::Error),
    #[error(transparent)]
    Auth(#[from] AuthError),
}

impl Auth {
    /// Adds an entry to a batch, so that it is there exactly when the change is.
    pub fn note(
        &self,
        batch: &mut Batch,
        actor: &Identity,
        note: Note<'_>,
    ) -> Result<(), AuthError> {
        let (by, credential) = match &actor.how {
            How::Session(id) => ("session", Some(id.as_str())),
            How::ApiKey(id) => ("api_key", Some(id.as_str())),
            How::Command => ("command", None),
        };
        let entry = Entry {
            who: &actor.user,
            by,
            credential,
            address: actor.address.map(|address| address.to_string()),
            action: note.action,
            target: note.target,
            before: note.before.as_deref(),
            after: note.after.as_deref(),
            why: note.why,
            request_id: note.request_id,
        };
        let body = serde_json::to_string(&entry)
            .map_err(|_| AuthError::Internal("an audit entry cannot be written"))?;
        batch.audit.push(AuditDraft { at_ms: self.now_ms(), body });
        Ok(())
    }

    /// The public key that checkpoints are signed with, in hex.
    pub fn audit_public_key(&self) -> Result<String, AuthError> {
        Ok(public_hex(&pair(&self.parts.secret.derive(Purpose::AuditSigning))?))
    }

    /// A signed statement of the trail's present end.
    pub async fn checkpoint(&self) -> Result<Checkpoint, AuthError> {
        let head = self.records().audit_head().await?;
        let pair = pair(&self.parts.secret.derive(Purpose::AuditSigning))?;
        let (hash, at_ms) = (hex(&head.hash), self.now_ms());
        let text = Checkpoint::signed_text(head.seq, &hash, at_ms);
        let signature = hex(pair.sign(text.as_bytes()).as_ref());
        Ok(Checkpoint { seq: head.seq, hash, at_ms, public_key: public_hex(&pair), signature })
    }

    /// Writes the trail as it is now; the number of entries.
    pub async fn export_trail(&self, out: &mut (dyn Write + Send)) -> Result<u64, TrailError> {
        let head = self.checkpoint().await?;
        let text = serde_json::to_string(&head)
            .map_err(|_| AuthError::Internal("a checkpoint cannot be written"))?;
        writeln!(out, "{text}").map_err(TrailError::Write)?;
        let mut after = 0;
        while after < head.seq {
            let page = self.records().audit(after, PAGE_MAX).await.map_err(AuthError::from)?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            for entry in page.iter().take_while(|entry| entry.seq <= head.seq) {
                write_entry(out, entry)?;
            }
        }
        Ok(head.seq)
    }
}

fn write_entry(out: &mut dyn Write, entry: &AuditEntry) -> Result<(), TrailError> {
    let hash = hex(&entry.hash);
    let bad = |what: String| TrailError::Unreadable { line: entry.seq + 1, what };
    let raw: &RawValue =
        serde_json::from_str(&entry.body).map_err(|error| bad(error.to_string()))?;
    let line = Line { seq: entry.seq, at_ms: entry.at_ms, hash: &hash, entry: raw };
    let text = serde_json::to_string(&line).map_err(|error| bad(error.to_string()))?;
    writeln!(out, "{text}").map_err(TrailError::Write)
}

/// Checks an export against the public key (hex) alone, and against an earlier signed checkpoint, if
/// there is one: what was true then must still be in it.
pub fn verify(
    export: &mut dyn BufRead,
    public_key: &str,
    earlier: Option<&Checkpoint>,
) -> Result<Verified, TrailError> {
    let key = unhex(public_key).ok_or(TrailError::Forged)?;
    let mut text = String::new();
    let mut line = 1;
    if !read_line(export, &mut text, line)? {
        return Err(TrailError::Unreadable { line, what: "the file is empty".into() });
    }
    let head: Checkpoint = serde_json::from_str(&text)
        .map_err(|error| TrailError::Unreadable { line, what: error.to_string() })?;
    if !head.is_signed_by(&key) || earlier.is_some_and(|earlier| !earlier.is_signed_by(&key)) {
        return Err(TrailError::Forged);
    }
    let mut follower = Follower::new(0, GENESIS);
    let mut through_ms = 0;
    loop {
        line += 1;
        if !read_line(export, &mut text, line)? {
            break;
        }
        let entry = entry(&text).map_err(|what| TrailError::Unreadable { line, what })?;
        follower.follow(&entry).map_err(|broken| TrailError::Broken { line, broken })?;
        if follower.seq() > head.seq {
            return Err(TrailError::TooLong(head.seq));
        }
        let anchored = earlier.filter(|earlier| earlier.seq == entry.seq);
        if anchored.is_some_and(|earlier| earlier.hash != hex(&entry.hash)) {
            return Err(TrailError::Rewritten(entry.seq));
        }
        through_ms = entry.at_ms;
    }
    let (found, hash) = (follower.seq(), hex(&follower.hash()));
    if found != head.seq || hash != head.hash {
        return Err(TrailError::Truncated { found, signed: head.seq });
    }
    match earlier {
        Some(earlier) if earlier.seq > found => {
            Err(TrailError::Shortened { found, anchor: earlier.seq })
        }
        _ => Ok(Verified { entries: found, through_ms, hash }),
    }
}

/// The next line into `text`, without its end; false at the end of the file.
fn read_line(input: &mut dyn BufRead, text: &mut String, line: u64) -> Result<bool, TrailError> {
    text.clear();
    let mut limited = std::io::Read::take(input, LINE_BYTES_MAX);
    let count = limited
        .read_line(text)
        .map_err(|error| TrailError::Unreadable { line, what: error.to_string() })?;
    Ok(count > 0)
}

fn entry(text: &str) -> Result<AuditEntry, String> {
    let line: Line<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let hash = unhex(line.hash).and_then(|bytes| bytes.try_into().ok());
    let hash = hash.ok_or("the hash is not 64 hex digits")?;
    Ok(AuditEntry { seq: line.seq, at_ms: line.at_ms, body: line.entry.get().to_owned(), hash })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::store::records::audit::entry_hash;

    fn key() -> aws_lc_rs::signature::Ed25519KeyPair {
        pair(&[9; 32]).unwrap()
    }

    fn head(seq: u64, hash: &[u8; 32]) -> Checkpoint {
        let (key, hash, at_ms) = (key(), hex(hash), 77);
        let signed = key.sign(Checkpoint::signed_text(seq, &hash, at_ms).as_bytes());
        let signature = hex(signed.as_ref());
        Checkpoint { seq, hash, at_ms, public_key: public_hex(&key), signature }
    }

    /// An export of `count` entries, line by line.
    fn export(count: u64) -> Vec<String> {
        let mut lines = vec![String::new()];
        let mut hash = GENESIS;
        for seq in 1..=count {
            let body =
                format!(r#"{{"who":"user-{}","action":"user.grant","target":"t{seq}"}}"#, seq % 7);
            hash = entry_hash(&hash, seq, seq * 10, &body);
            let mut out = Vec::new();
            write_entry(&mut out, &AuditEntry { seq, at_ms: seq * 10, body, hash }).unwrap();
            lines.push(String::from_utf8(out).unwrap().trim_end().to_owned());
        }
        lines[0] = serde_json::to_string(&head(count, &hash)).unwrap();
        lines
    }

    fn check(lines: &[String], earlier: Option<&Checkpoint>) -> Result<Verified, TrailError> {
        let text = lines.join("\n") + "\n";
        verify(&mut Cursor::new(text), &public_hex(&key()), earlier)
    }

    #[test]
    fn every_edit_deletion_exchange_and_truncation_is_found() {
        let good = export(12);
        assert_eq!(check(&good, None).unwrap().entries, 12);
        for at in 1..good.len() {
            let mut edited = good.clone();
            edited[at] = edited[at].replace("user.grant", "user.great");
            assert!(matches!(check(&edited, None), Err(TrailError::Broken { .. })), "edit {at}");
            let mut later = good.clone();
            later[at] = later[at].replacen(&format!("\"at_ms\":{}", at * 10), "\"at_ms\":5", 1);
            assert!(check(&later, None).is_err(), "time {at}");
            let mut deleted = good.clone();
            deleted.remove(at);
            assert!(check(&deleted, None).is_err(), "deletion {at}");
            assert!(
                matches!(check(&good[..at], None), Err(TrailError::Truncated { .. })),
                "cut {at}"
            );
            if at + 1 < good.len() {
                let mut exchanged = good.clone();
                exchanged.swap(at, at + 1);
                assert!(check(&exchanged, None).is_err(), "exchange {at}");
            }
        }
        let mut longer = good;
        longer.push(export(13).pop().unwrap());
        assert!(matches!(check(&longer, None), Err(TrailError::TooLong(12))));
    }

    #[test]
    fn a_chain_computed_anew_needs_a_signature_that_nobody_else_can_make() {
        let mut rewritten = export(12);
        let other = pair(&[8; 32]).unwrap();
        let mut forged: Checkpoint = serde_json::from_str(&rewritten[0]).unwrap();
        let text = Checkpoint::signed_text(forged.seq, &forged.hash, forged.at_ms);
        forged.signature = hex(other.sign(text.as_bytes()).as_ref());
        forged.public_key = public_hex(&other);
        rewritten[0] = serde_json::to_string(&forged).unwrap();
        assert!(matches!(check(&rewritten, None), Err(TrailError::Forged)));
        let mut fewer: Checkpoint = serde_json::from_str(&export(12)[0]).unwrap();
        fewer.seq = 3;
        let mut cut = export(3);
        cut[0] = serde_json::to_string(&fewer).unwrap();
        assert!(matches!(check(&cut, None), Err(TrailError::Forged)));
    }

    #[test]
    fn an_earlier_checkpoint_shows_that_the_whole_trail_was_replaced_or_cut() {
        let earlier: Checkpoint = serde_json::from_str(&export(8)[0]).unwrap();
        check(&export(12), Some(&earlier)).unwrap();
        let shorter = check(&export(5), Some(&earlier));
        assert!(matches!(shorter, Err(TrailError::Shortened { found: 5, anchor: 8 })));
        let replaced = head(8, &[1; 32]);
        assert!(matches!(check(&export(12), Some(&replaced)), Err(TrailError::Rewritten(8))));
    }

    #[test]
    fn what_is_no_export_is_told_by_line() {
        for (lines, line) in [(vec![String::new()], 1), (vec!["{}".into()], 1)] {
            let found = check(&lines, None).unwrap_err();
            assert!(matches!(found, TrailError::Unreadable { line: at, .. } if at == line));
        }
        let mut broken = export(3);
        broken[2] = "x".into();
        assert!(matches!(check(&broken, None), Err(TrailError::Unreadable { line: 3, .. })));
        assert!(verify(&mut Cursor::new(""), "", None).is_err());
    }
}
