//! Answers that stay true, by the whole canonical question. Bounded in bytes.
//!
//! Questions about recent blocks name the block by hash, so a reorg re-points them by itself: the
//! same number becomes another question. An answer that speaks of a recent block is given out only
//! while that block is canonical. Nulls are never kept; of errors only reverts at a fixed block.

use std::sync::{Arc, OnceLock};

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

type Guard<'a> = PlaceholderGuard<
    'a,
    Key,
    Kept,
    ByBytes,
    DefaultHashBuilder,
    quick_cache::sync::DefaultLifecycle<Key, Kept>,
>;

/// The right to answer a question, held by one request at a time. Dropping it unanswered hands it to
/// the next one that waits.
pub(super) struct Turn<'a> {
    guard: Guard<'a>,
    key: &'a Key,
    second: Option<&'a dyn SecondLevel>,
}

impl std::fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").field("key", self.key).finish_non_exhaustive()
    }
}

/// A cache behind this one, shared by several processes. It gets answers about final blocks alone:
/// what a reorg may replace is judged by the process that saw the head.
#[async_trait::async_trait]
pub trait SecondLevel: std::fmt::Debug + Send + Sync {
    /// The answer as it was put; `None` also when the cache is away.
    async fn get(&self, question: &[u8]) -> Option<Bytes>;
    /// Keeps an answer, or not; must not block.
    fn put(&self, question: Bytes, answer: Bytes);
}

/// First byte of an answer of the second level.
const RESULT: u8 = b'r';
const ERROR: u8 = b'e';

/// Kept answers and questions under way.
#[derive(Debug)]
pub(super) struct Answers {
    store: Store,
    second: OnceLock<Arc<dyn SecondLevel>>,
}

impl Answers {
    pub(super) fn new(bytes_max: u64) -> Self {
        let items = usize::try_from(bytes_max / ENTRY_BYTES).unwrap_or(usize::MAX).max(16);
        let store = Cache::with_weighter(items, bytes_max.max(1), ByBytes);
        Self { store, second: OnceLock::new() }
    }

    /// Puts a cache behind this one; the first one stays.
    pub(super) fn back_with(&self, second: Arc<dyn SecondLevel>) {
        self.second.set(second).ok();
    }

    /// The kept answer, or the turn to find one. Equal questions wait for each other.
    pub(super) async fn get<'a>(&'a self, key: &'a Key) -> Result<Kept, Turn<'a>> {
        let guard = match self.store.get_value_or_guard_async(key).await {
            Ok(kept) => return Ok(kept),
            Err(guard) => guard,
        };
        let second = self.second.get().map(|second| &**second);
        if let Some(second) = second
            && let Some(outcome) = second.get(key).await.and_then(unpack)
        {
            let kept = Kept { outcome, pin: None };
            drop(guard.insert(kept.clone()));
            return Ok(kept);
        }
        Err(Turn { guard, key, second })
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
        if let (Some(second), None) = (turn.second, kept.pin) {
            second.put(turn.key.clone(), pack(&outcome));
        }
        // Fails when the entry was removed meanwhile, which is as good as not kept.
        drop(turn.guard.insert(Kept { outcome, pin: kept.pin }));
    }
}

fn pack(outcome: &Outcome) -> Bytes {
    let (mark, body) = match outcome {
        Outcome::Result(body) => (RESULT, body),
        Outcome::Error(body) => (ERROR, body),
    };
    let mut packed = Vec::with_capacity(body.len() + 1);
    packed.push(mark);
    packed.extend_from_slice(body);
    packed.into()
}

fn unpack(packed: Bytes) -> Option<Outcome> {
    let body = packed.slice(1.min(packed.len())..);
    match packed.first() {
        Some(&RESULT) => Some(Outcome::Result(body)),
        Some(&ERROR) => Some(Outcome::Error(body)),
        _ => None,
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

    #[derive(Debug, Default)]
    struct Second(std::sync::Mutex<std::collections::HashMap<Bytes, Bytes>>);

    #[async_trait::async_trait]
    impl SecondLevel for Second {
        async fn get(&self, question: &[u8]) -> Option<Bytes> {
            self.0.lock().expect("lock").get(question).cloned()
        }

        fn put(&self, question: Bytes, answer: Bytes) {
            self.0.lock().expect("lock").insert(question, answer);
        }
    }

    #[tokio::test]
    async fn final_answers_reach_other_processes_and_others_do_not() {
        let second = Arc::new(Second::default());
        let (one, two) = (Answers::new(1 << 20), Answers::new(1 << 20));
        one.back_with(second.clone());
        two.back_with(second);
        let (last, error, recent) = (key("m", &["1"]), key("m", &["2"]), key("m", &["3"]));
        let body = Bytes::from_static(b"\"x\"");
        for (question, outcome, pin) in [
            (&last, Outcome::Result(body.clone()), None),
            (&error, Outcome::Error(body.clone()), None),
            (&recent, Outcome::Result(body.clone()), Some((7, B256::ZERO))),
        ] {
            let turn = one.get(question).await.expect_err("new");
            Answers::keep(turn, Kept { outcome, pin });
        }
        let kept = two.get(&last).await.expect("from the second level");
        assert!(matches!(kept.outcome, Outcome::Result(found) if found == body));
        let kept = two.get(&error).await.expect("from the second level");
        assert!(matches!(kept.outcome, Outcome::Error(found) if found == body));
        assert!(two.peek(&last).is_some(), "kept here as well");
        assert!(two.get(&recent).await.is_err(), "a reorg may replace it");
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
