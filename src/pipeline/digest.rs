//! The rolling digest of what a chain's index holds: two indexes that followed the same blocks with the
//! same contracts and handlers have the same one, whatever stores them and however it came about.
//!
//! All hashes are SHA-256, all integers big-endian. For a block with logs of ours,
//!
//! - `content` = H(number, hash, timestamp, and per log: index, transaction hash and index, address,
//!   count of topics, topics, length of data, data);
//! - `state` = H(`state` of the last such block or 32 zero bytes, `content`, H(per log: its index and
//!   the handlers' effects in order, see [`Rolling::effect`])).
//!
//! Blocks without logs of ours change neither documents nor digest.

use alloy_primitives::{Address, B256};
use sha2::{Digest, Sha256};

use super::handler::Effect;
use super::store::BlockDigest;
use crate::types::asset::{Doc, DocKey};
use crate::types::chain::BlockRef;
use crate::types::log::LogView;

/// What is hashed while the logs of one block pass.
#[derive(Debug, Clone)]
pub struct Rolling {
    state: B256,
    open: Option<Open>,
}

#[derive(Debug, Clone)]
struct Open {
    block: u64,
    content: Content,
    effects: Sha256,
}

/// The hash over a block and its raw logs.
#[derive(Debug, Clone)]
pub struct Content(Sha256);

impl Content {
    /// Begins with the block itself.
    pub fn of(block: &BlockRef) -> Self {
        let mut hash = Sha256::new();
        hash.update(block.number.to_be_bytes());
        hash.update(block.hash);
        hash.update(block.timestamp.to_be_bytes());
        Self(hash)
    }

    /// The next log of the block.
    pub fn log(&mut self, log: LogView<'_>) {
        let head = log.head;
        let hash = &mut self.0;
        hash.update(head.log_index.to_be_bytes());
        hash.update(head.tx_hash);
        hash.update(head.tx_index.to_be_bytes());
        hash.update(head.address);
        hash.update([head.topic_count]);
        for topic in log.topics() {
            hash.update(topic);
        }
        hash.update((log.data.len() as u64).to_be_bytes());
        hash.update(log.data);
    }

    /// The hash itself.
    pub fn finish(self) -> B256 {
        B256::from_slice(&self.0.finalize())
    }
}

impl Rolling {
    /// Goes on from the state digest of an earlier block.
    pub fn from(state: B256) -> Self {
        Self { state, open: None }
    }

    /// The digest of everything closed so far.
    pub fn state(&self) -> B256 {
        self.state
    }

    /// A log of `block`; what it closes, when it is the first of another block than the log before.
    pub fn log(&mut self, block: &BlockRef, log: LogView<'_>) -> Option<(u64, BlockDigest)> {
        let other = self.open.as_ref().is_some_and(|open| open.block != block.number);
        let closed = if other { self.close() } else { None };
        let open = self.open.get_or_insert_with(|| Open {
            block: block.number,
            content: Content::of(block),
            effects: Sha256::new(),
        });
        open.content.log(log);
        open.effects.update(log.head.log_index.to_be_bytes());
        closed
    }

    /// What a handler made of the last log.
    pub fn effect(&mut self, effect: &Effect) {
        let Some(open) = &mut self.open else { return };
        match effect {
            Effect::Put(key, doc) => {
                open.effects.update([1]);
                put_key(&mut open.effects, key);
                put_doc(&mut open.effects, doc);
            }
            Effect::Delete(key) => {
                open.effects.update([0]);
                put_key(&mut open.effects, key);
            }
        }
    }

    /// The block is over: its number and digest, `None` when no log came since the last.
    pub fn close(&mut self) -> Option<(u64, BlockDigest)> {
        let open = self.open.take()?;
        let content = open.content.finish();
        let mut hash = Sha256::new();
        hash.update(self.state);
        hash.update(content);
        hash.update(open.effects.finalize());
        self.state = B256::from_slice(&hash.finalize());
        Some((open.block, BlockDigest { content, state: self.state }))
    }
}

fn put_key(hash: &mut Sha256, key: &DocKey) {
    let (kind, first, second) = match key {
        DocKey::Token(token) => (0u8, token, Address::ZERO),
        DocKey::Holding { token, holder } => (1, token, *holder),
        DocKey::Identity { registry, wallet } => (2, registry, *wallet),
    };
    hash.update([kind]);
    hash.update(first);
    hash.update(second);
}

fn put_doc(hash: &mut Sha256, doc: &Doc) {
    match doc {
        Doc::Token(token) => {
            hash.update([token.standard as u8, u8::from(token.paused)]);
            for count in [token.first_block, token.holders, token.transfers] {
                hash.update(count.to_be_bytes());
            }
            hash.update(token.supply.to_be_bytes::<32>());
            for address in [token.identity_registry, token.compliance] {
                hash.update([u8::from(address.is_some())]);
                hash.update(address.unwrap_or_default());
            }
        }
        Doc::Holding(holding) => {
            hash.update([u8::from(holding.account_frozen)]);
            hash.update(holding.balance.to_be_bytes::<32>());
            hash.update(holding.frozen.to_be_bytes::<32>());
        }
        Doc::Identity(identity) => {
            hash.update(identity.identity);
            hash.update([u8::from(identity.country.is_some())]);
            hash.update(identity.country.unwrap_or_default().to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::asset::Holding;
    use crate::types::log::{LogBuf, LogFields};

    fn block(number: u64) -> BlockRef {
        let hash = B256::with_last_byte(1);
        BlockRef { number, hash, parent: B256::ZERO, timestamp: 3 }
    }

    fn run(data: &[u8], effects: &[Effect]) -> BlockDigest {
        let mut logs = LogBuf::default();
        logs.push(&LogFields::default(), data).expect("small");
        let mut rolling = Rolling::from(B256::ZERO);
        rolling.log(&block(7), logs.get(0).expect("one"));
        effects.iter().for_each(|effect| rolling.effect(effect));
        rolling.close().expect("a block with a log").1
    }

    #[test]
    fn a_digest_tells_logs_effects_and_history_apart() {
        let key = DocKey::Token(Address::ZERO);
        let put = Effect::Put(
            DocKey::Holding { token: Address::ZERO, holder: Address::ZERO },
            Doc::Holding(Holding::default()),
        );
        let plain = run(b"a", &[]);
        let other_log = run(b"b", &[]);
        let deleted = run(b"a", &[Effect::Delete(key)]);
        let put = run(b"a", &[put]);
        assert_ne!(plain.content, other_log.content);
        assert_eq!(plain.content, deleted.content, "effects are no raw data");
        let mut states = [plain.state, other_log.state, deleted.state, put.state];
        states.sort_unstable();
        assert!(states.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(plain, run(b"a", &[]), "the same again");
    }

    #[test]
    fn a_block_without_logs_changes_nothing() {
        let mut rolling = Rolling::from(B256::repeat_byte(4));
        assert_eq!(rolling.close(), None);
        assert_eq!(rolling.state(), B256::repeat_byte(4));
    }
}
