//! Every port in this process's memory: what one process needs, with nothing installed.
//!
//! Other processes see nothing of it, so a lease is always granted; the lock of the embedded store
//! keeps a second writer away.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::sync::watch;
use tokio::time::Instant;

use super::allowances::Allowances;
use super::meter::HitMeter;
use super::{
    Answers, CacheError, Lease, Leases, Limiter, Quota, Signals, Standing, VALUE_BYTES_MAX, Values,
};

/// Values kept at the most: sessions and nonces of 100,000 people.
const VALUES_MAX: usize = 200_000;
/// Answers kept at the most.
const ANSWERS_BYTES_MAX: u64 = 64 << 20;
/// Size of a typical answer, to size the tables of the cache.
const ANSWER_BYTES: u64 = 2048;
/// Topics are words of ours.
const TOPICS_MAX: usize = 64;

#[derive(Debug)]
struct Value {
    bytes: Bytes,
    until: Instant,
}

#[derive(Debug, Clone)]
struct Answer {
    position: u64,
    bytes: Bytes,
    until: Instant,
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<Bytes, Answer> for ByBytes {
    fn weight(&self, key: &Bytes, answer: &Answer) -> u64 {
        (key.len() + answer.bytes.len() + 128) as u64
    }
}

#[derive(Debug, Default)]
struct LeaseBook {
    held: HashMap<String, (Lease, Instant)>,
    epochs: HashMap<String, u64>,
}

/// The engine.
#[derive(Debug)]
pub struct Memory {
    allowances: Allowances,
    values: Mutex<HashMap<String, Value>>,
    leases: Mutex<LeaseBook>,
    answers: Cache<Bytes, Answer, ByBytes>,
    topics: Mutex<HashMap<String, watch::Sender<u64>>>,
    meter: HitMeter,
}

impl Default for Memory {
    fn default() -> Self {
        let items = usize::try_from(ANSWERS_BYTES_MAX / ANSWER_BYTES).unwrap_or(usize::MAX);
        Self {
            allowances: Allowances::default(),
            values: Mutex::default(),
            leases: Mutex::default(),
            answers: Cache::with_weighter(items, ANSWERS_BYTES_MAX, ByBytes),
            topics: Mutex::default(),
            meter: HitMeter::new("memory"),
        }
    }
}

/// A panic while holding one of these locks leaves whole values behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Limiter for Memory {
    async fn charge(&self, key: &str, quota: Quota, cost: u32) -> Standing {
        self.allowances.charge(key, quota, cost)
    }

    async fn join(&self, _node: &str) {}
}

#[async_trait]
impl Leases for Memory {
    async fn acquire(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
        floor: u64,
    ) -> Result<Option<Lease>, CacheError> {
        let now = Instant::now();
        let mut book = lock(&self.leases);
        if book.held.get(name).is_some_and(|(_, until)| *until > now) {
            return Ok(None);
        }
        let epoch = book.epochs.get(name).copied().unwrap_or(0).max(floor) + 1;
        book.epochs.insert(name.to_owned(), epoch);
        let lease = Lease { name: name.to_owned(), holder: holder.to_owned(), epoch };
        book.held.insert(name.to_owned(), (lease.clone(), now + ttl));
        Ok(Some(lease))
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<bool, CacheError> {
        let now = Instant::now();
        let mut book = lock(&self.leases);
        let held = book.held.get_mut(&lease.name);
        let mine = held.filter(|(held, until)| held == lease && *until > now);
        Ok(mine.map(|(_, until)| *until = now + ttl).is_some())
    }

    async fn release(&self, lease: &Lease) -> Result<(), CacheError> {
        let mut book = lock(&self.leases);
        if book.held.get(&lease.name).is_some_and(|(held, _)| held == lease) {
            book.held.remove(&lease.name);
        }
        Ok(())
    }
}

impl Memory {
    /// Puts, unless `only_new` and a live value is there.
    fn set(
        &self,
        key: &str,
        bytes: Bytes,
        ttl: Duration,
        only_new: bool,
    ) -> Result<bool, CacheError> {
        if bytes.len() > VALUE_BYTES_MAX {
            return Err(CacheError::NoRoom(format!("a value of {} bytes", bytes.len())));
        }
        let now = Instant::now();
        let mut values = lock(&self.values);
        if only_new && values.get(key).is_some_and(|value| value.until > now) {
            return Ok(false);
        }
        if values.len() >= VALUES_MAX && !values.contains_key(key) {
            values.retain(|_, value| value.until > now);
            if values.len() >= VALUES_MAX {
                return Err(CacheError::NoRoom(format!("{VALUES_MAX} values are kept")));
            }
        }
        values.insert(key.to_owned(), Value { bytes, until: now + ttl });
        Ok(true)
    }
}

#[async_trait]
impl Values for Memory {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, CacheError> {
        let values = lock(&self.values);
        let live = values.get(key).filter(|value| value.until > Instant::now());
        Ok(live.map(|value| value.bytes.clone()))
    }

    async fn put(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), CacheError> {
        self.set(key, value, ttl, false).map(drop)
    }

    async fn put_new(&self, key: &str, value: Bytes, ttl: Duration) -> Result<bool, CacheError> {
        self.set(key, value, ttl, true)
    }

    async fn take(&self, key: &str) -> Result<Option<Bytes>, CacheError> {
        let taken = lock(&self.values).remove(key);
        Ok(taken.filter(|value| value.until > Instant::now()).map(|value| value.bytes))
    }

    async fn remove(&self, key: &str) -> Result<(), CacheError> {
        lock(&self.values).remove(key);
        Ok(())
    }
}

#[async_trait]
impl Answers for Memory {
    async fn get(&self, key: &[u8], at_least: u64) -> Option<Bytes> {
        let kept = self.answers.get(&Bytes::copy_from_slice(key));
        let fits = |answer: &Answer| answer.position >= at_least && answer.until > Instant::now();
        let found = kept.filter(fits).map(|answer| answer.bytes);
        self.meter.looked(found.is_some());
        found
    }

    async fn put(&self, key: &[u8], position: u64, answer: Bytes, ttl: Duration) {
        if answer.len() > VALUE_BYTES_MAX {
            return;
        }
        let now = Instant::now();
        let key = Bytes::copy_from_slice(key);
        // Between look and insert another may put; the asker's own `at_least` still guards the truth.
        let newer = self.answers.peek(&key).is_some_and(|kept| kept.position > position);
        if !newer {
            self.answers.insert(key, Answer { position, bytes: answer, until: now + ttl });
        }
    }
}

impl Memory {
    fn topic(&self, topic: &str) -> watch::Sender<u64> {
        let mut topics = lock(&self.topics);
        debug_assert!(topics.len() < TOPICS_MAX, "topics are words of ours");
        topics.entry(topic.to_owned()).or_default().clone()
    }
}

#[async_trait]
impl Signals for Memory {
    async fn announce(&self, topic: &str, number: u64) -> Result<(), CacheError> {
        self.topic(topic).send_replace(number);
        Ok(())
    }

    async fn follow(&self, topic: &str, newest: &watch::Sender<u64>) {
        let mut heard = self.topic(topic).subscribe();
        while heard.changed().await.is_ok() {
            super::raise(newest, *heard.borrow_and_update());
        }
        std::future::pending().await
    }
}
