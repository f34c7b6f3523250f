//! Answers that stay true, by the whole canonical question. Bounded in bytes.
//!
//! Questions about recent blocks name the block by hash, so a reorg re-points them by itself: the
//! same number becomes another question. An answer that speaks of a recent block is given out only
//! while that block is canonical. Nulls are never kept; of errors only reverts at a fixed block.

use alloy_primitives::B256;
use bytes::Bytes;
use quick_cache::sync::{Cache, PlaceholderGuard};
use quick_cache::{DefaultHashBuilder, Weighter};

/// Largest answer that is kept: one answer must not push out everything else.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Size of a typical entry, to size the tables of the cache.
const ENTRY_BYTES: u64 = 1024;

/// The question in canonical form.
pub(super) type Key = Bytes;

/// A kept answer.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) outcome: Outcome,
    /// The block that the answer speaks of, if it might still be orphaned.
    pub(super) pin: Option<(u64, B256)>,
}

/// Raw result or raw error object.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    Result(Bytes),
    Error(Bytes),
}

#[derive(Debug, Clone)]
pub(super) struct ByBytes;

impl Weighter<Key, Kept> for ByBytes {
    fn weight(&self, key: &Key, kept: &Kept) -> u64 {
        let (Outcome::Result(body) | Outcome::Error(body)) = &kept.outcome;
        (key.len() + body.len() + 128) as u64
    }
}

type Store = Cache<Key, Kept, ByBytes>;

/// The right to answer a question, held by one request at a time. Dropping it unanswered hands it to
/// the next one that waits.
pub(super) type Turn<'a> = PlaceholderGuard<
    'a,
    Key,
    Kept,
    ByBytes,
    DefaultHashBuilder,
    quick_cache::sync::DefaultLifecycle<Key, Kept>,
>;

/// Kept answers and questions under way.
#[derive(Debug)]
pub(super) struct Answers {
    store: Store,
}

impl Answers {
    pub(super) fn new(bytes_max: u64) -> Self {
        let items = usize::try_from(bytes_max / ENTRY_BYTES).unwrap_or(usize::MAX).max(16);
        Self { store: Cache::with_weighter(items, bytes_max.max(1), ByBytes) }
    }

    /// The kept answer, or the turn to find one. Equal questions wait for each other.
    pub(super) async fn get(&self, key: &Key) -> Result<Kept, Turn<'_>> {
        self.store.get_value_or_guard_async(key).await
    }

    /// Looks without waiting for anybody.
    pub(super) fn peek(&self, key: &Key) -> Option<Kept> {
        self.store.get(key)
    }

    pub(super) fn clear(&self) {
        self.store.clear();
    }

    pub(super) fn forget(&self, key: &Key) {
        drop(self.store.remove(key));
    }

    /// Keeps what was found, if it is worth keeping.
    pub(super) fn keep(turn: Turn<'_>, kept: Kept) {
        let (Outcome::Result(body) | Outcome::Error(body)) = &kept.outcome;
        if body.len() > ANSWER_BYTES_MAX || body.as_ref() == b"null" {
            return;
        }
        // A slice of a batch answer would hold the whole of it in memory.
        let body = Bytes::copy_from_slice(body);
        let outcome = match kept.outcome {
            Outcome::Result(_) => Outcome::Result(body),
            Outcome::Error(_) => Outcome::Error(body),
        };
        // Fails when the entry was removed meanwhile, which is as good as not kept.
        drop(turn.insert(Kept { outcome, pin: kept.pin }));
    }
}

/// Method and params with everything taken out that makes no difference: space outside strings, and
/// upper case in hex strings.
pub(super) fn key(method: &str, params: &[&str]) -> Key {
    let size = method.len() + params.iter().map(|p| p.len() + 1).sum::<usize>();
    let mut key = Vec::with_capacity(size + 1);
    key.extend_from_slice(method.as_bytes());
    for param in params {
        key.push(0);
        canonical(param.as_bytes(), &mut key);
    }
    key.into()
}

fn canonical(json: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        at += 1;
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b'"' => {
                let from = at;
                let mut escaped = false;
                while let Some(byte) = json.get(at) {
                    at += 1;
                    match byte {
                        _ if escaped => escaped = false,
                        b'\\' => escaped = true,
                        b'"' => break,
                        _ => {}
                    }
                }
                let text = json.get(from..at).unwrap_or_default();
                out.push(b'"');
                let start = out.len();
                out.extend_from_slice(text);
                if text.starts_with(b"0x") || text.starts_with(b"0X") {
                    out.get_mut(start..).unwrap_or_default().make_ascii_lowercase();
                }
            }
            other => out.push(*other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_questions_have_one_key_and_others_do_not() {
        let one = key("eth_call", &[r#"{"to": "0xAB",  "data":"0x"}"#, "\"0x1\""]);
        assert_eq!(one, key("eth_call", &[r#"{"to":"0xab","data":"0x"}"#, "\"0x1\""]));
        assert_ne!(one, key("eth_call", &[r#"{"to":"0xab","data":"0x"}"#, "\"0x2\""]));
        assert_ne!(key("m", &["\"a b\""]), key("m", &["\"ab\""]), "space in a string counts");
        assert_ne!(key("m", &["\"A\""]), key("m", &["\"a\""]), "only hex ignores case");
        assert_ne!(key("m", &["1", "2"]), key("m", &["12"]));
    }

    #[tokio::test]
    async fn a_leader_that_gives_up_promotes_a_follower() {
        let answers = std::sync::Arc::new(Answers::new(1 << 20));
        let question = key("m", &["1"]);
        let turn = answers.get(&question).await.expect_err("nobody has answered yet");
        let follower = tokio::spawn({
            let (answers, question) = (answers.clone(), question.clone());
            async move { answers.get(&question).await.is_err() }
        });
        tokio::task::yield_now().await;
        drop(turn);
        assert!(follower.await.expect("no panic"), "the follower has the turn now");
        let turn = answers.get(&question).await.expect_err("still open");
        let body = Bytes::from_static(b"1");
        Answers::keep(turn, Kept { outcome: Outcome::Result(body), pin: None });
        assert!(answers.get(&question).await.is_ok());
    }

    #[tokio::test]
    async fn null_is_never_kept() {
        let answers = Answers::new(1 << 20);
        let question = key("m", &["1"]);
        let turn = answers.get(&question).await.expect_err("new");
        let null = Outcome::Result(Bytes::from_static(b"null"));
        Answers::keep(turn, Kept { outcome: null, pin: None });
        assert!(answers.peek(&question).is_none());
    }
}
