//! Ports to what several processes share and may lose: allowances, leases, short-lived values, kept
//! answers and wake-ups.
//!
//! Nothing here is the truth of anything: with the engine away, answers come from the store,
//! allowances fall to each process's share, and no lease is granted. No call waits longer than
//! [`CALL_MAX`].

pub mod allowances;

pub mod gcra;

pub mod memory;

pub mod meter;

pub mod redis;

mod scripts;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

pub use self::gcra::{Quota, Standing};
use crate::config;

/// Longest wait for an engine. A reader that waits longer for a cache than for the store gains nothing.
pub const CALL_MAX: Duration = Duration::from_millis(500);
/// How often a process says that it takes part in shared limits.
pub const CENSUS_EVERY: Duration = Duration::from_secs(3);
/// Largest value or answer kept: an engine's memory is shared, one answer must not push out the rest.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// Why an engine did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    /// Not reached in time, or it answers with a fault. Nothing is known of what was asked.
    #[error("cache unavailable: {0}")]
    Unavailable(String),
    /// The value is larger than [`VALUE_BYTES_MAX`], or no room is left.
    #[error("cache has no room: {0}")]
    NoRoom(String),
    /// The address of the configuration cannot be used.
    #[error("cache url: {0}")]
    BadUrl(String),
}

/// Generic cell rates, weighted by cost, counted once for all processes.
#[async_trait]
pub trait Limiter: fmt::Debug + Send + Sync {
    /// Takes `cost` units from the allowance of `key`. Never fails: with the engine away each process
    /// grants its share, the limit divided by the last known number of processes.
    async fn charge(&self, key: &str, quota: Quota, cost: u32) -> Standing;

    /// Says that `node` takes part; to be called every [`CENSUS_EVERY`].
    async fn join(&self, node: &str);
}

/// A right held by one process at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub name: String,
    pub holder: String,
    /// Higher than that of every earlier lease of this name: what is written under a lower one is refused.
    pub epoch: u64,
}

/// Rights that time out.
#[async_trait]
pub trait Leases: fmt::Debug + Send + Sync {
    /// The lease if nobody holds it. Its epoch is above `floor` (what the store has seen) and above
    /// every epoch given out before. An engine that is away grants nothing.
    async fn acquire(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
        floor: u64,
    ) -> Result<Option<Lease>, CacheError>;

    /// Holds on for another `ttl`; `false`: it has been lost.
    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<bool, CacheError>;

    /// Gives it back, so that the next one need not wait for the end of its time.
    async fn release(&self, lease: &Lease) -> Result<(), CacheError>;
}

/// Values with an end: sessions, nonces, idempotency marks.
#[async_trait]
pub trait Values: fmt::Debug + Send + Sync {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, CacheError>;
    async fn put(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), CacheError>;
    /// Puts only where nothing is; `false`: something was.
    async fn put_new(&self, key: &str, value: Bytes, ttl: Duration) -> Result<bool, CacheError>;
    /// Reads and removes in one step: of two callers one gets it.
    async fn take(&self, key: &str) -> Result<Option<Bytes>, CacheError>;
    async fn remove(&self, key: &str) -> Result<(), CacheError>;
}

/// Answers and hot documents, each with the position (a feed number) that it is true at.
///
/// Invalidation needs no message: whoever asks names the lowest position it accepts, and an older
/// answer never replaces a newer one.
#[async_trait]
pub trait Answers: fmt::Debug + Send + Sync {
    /// The answer if one is kept that is true at `at_least` or later. A fault of the engine is a miss.
    async fn get(&self, key: &[u8], at_least: u64) -> Option<Bytes>;
    /// Keeps it unless a newer one is there. A fault of the engine leaves it unkept.
    async fn put(&self, key: &[u8], position: u64, answer: Bytes, ttl: Duration);
}

/// Numbers that only grow, told to every process that listens. May be lost: listeners also look.
#[async_trait]
pub trait Signals: fmt::Debug + Send + Sync {
    async fn announce(&self, topic: &str, number: u64) -> Result<(), CacheError>;
    /// Raises `newest` to every number announced, and never ends.
    async fn follow(&self, topic: &str, newest: &watch::Sender<u64>);
}

/// One engine behind every port.
#[derive(Debug, Clone)]
pub struct Shared {
    pub limiter: Arc<dyn Limiter>,
    pub leases: Arc<dyn Leases>,
    pub values: Arc<dyn Values>,
    pub answers: Arc<dyn Answers>,
    pub signals: Arc<dyn Signals>,
    /// Whether other processes see the same.
    pub between_processes: bool,
}

impl Shared {
    fn of<E>(engine: Arc<E>, between_processes: bool) -> Self
    where
        E: Limiter + Leases + Values + Answers + Signals + 'static,
    {
        Self {
            limiter: Arc::clone(&engine) as _,
            leases: Arc::clone(&engine) as _,
            values: Arc::clone(&engine) as _,
            answers: Arc::clone(&engine) as _,
            signals: engine,
            between_processes,
        }
    }
}

/// The engine of the configuration. Connects to nothing yet; must be called on the runtime.
pub fn open(config: &config::Cache) -> Result<Shared, CacheError> {
    match config {
        config::Cache::Memory => Ok(Shared::of(Arc::new(memory::Memory::default()), false)),
        config::Cache::Redis { url, prefix } => {
            Ok(Shared::of(Arc::new(redis::Redis::open(url.expose(), prefix)?), true))
        }
    }
}

/// Raises a number that only grows.
fn raise(newest: &watch::Sender<u64>, number: u64) {
    newest.send_if_modified(|newest| {
        let newer = number > *newest;
        *newest = number.max(*newest);
        newer
    });
}
