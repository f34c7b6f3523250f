//! Every port over one Redis: shared by all processes that name the same server and prefix.
//!
//! Each call has an end ([`CALL_MAX`]), and after a fault calls fail at once until one probe has come
//! through again. Keys are single or share a hash tag, so a proxy or a cluster may stand behind the URL
//! as long as it routes by key; redirects of a cluster are not followed here.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use alloy_primitives::keccak256;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{FromRedisValue, RedisResult, Script, ScriptInvocation};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::allowances::Allowances;
use super::meter::HitMeter;
use super::scripts;
use super::{
    Answers, CALL_MAX, CENSUS_EVERY, CacheError, Lease, Leases, Limiter, Quota, Signals, Standing,
    VALUE_BYTES_MAX, Values, raise,
};
use crate::telemetry::metrics::{Metric, count};

/// After a fault, calls fail at once for this long; then one caller tries.
const REST: Duration = Duration::from_millis(250);
/// A process that has not been heard of for this long has no share in limits any more.
const NODE_TTL: Duration = Duration::from_secs(3 * CENSUS_EVERY.as_secs());
/// Pause before a broken subscription is made again.
const RESUBSCRIBE_AFTER: Duration = Duration::from_millis(500);
/// Digits of a position in front of a kept answer.
const POSITION_DIGITS: usize = 20;

#[derive(Debug)]
struct Scripts {
    charge: Script,
    census: Script,
    acquire: Script,
    renew: Script,
    release: Script,
    keep: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            charge: Script::new(scripts::CHARGE),
            census: Script::new(scripts::CENSUS),
            acquire: Script::new(scripts::ACQUIRE),
            renew: Script::new(scripts::RENEW),
            release: Script::new(scripts::RELEASE),
            keep: Script::new(scripts::KEEP),
        }
    }
}

/// The engine.
pub struct Redis {
    client: redis::Client,
    connection: ConnectionManager,
    prefix: String,
    scripts: Scripts,
    begun: Instant,
    /// Microseconds since `begun` until which calls fail at once; 0: all is well.
    resting_until: AtomicU64,
    local: Allowances,
    nodes: AtomicU32,
    meter: HitMeter,
}

impl std::fmt::Debug for Redis {
    /// Without the client, whose address may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Redis {
    /// An engine at `url` whose keys begin with `prefix`. Connects at the first call.
    pub fn open(url: &str, prefix: &str) -> Result<Self, CacheError> {
        let client = redis::Client::open(url).map_err(|error| CacheError::BadUrl(plain(&error)))?;
        let settings = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(20))
            .set_connection_timeout(Some(CALL_MAX))
            .set_response_timeout(Some(CALL_MAX));
        let connection = ConnectionManager::new_lazy_with_config(client.clone(), settings)
            .map_err(|error| CacheError::BadUrl(plain(&error)))?;
        Ok(Self {
            client,
            connection,
            prefix: prefix.to_owned(),
            scripts: Scripts::default(),
            begun: Instant::now(),
            resting_until: AtomicU64::new(0),
            local: Allowances::default(),
            nodes: AtomicU32::new(1),
            meter: HitMeter::new("redis"),
        })
    }

    fn key(&self, kind: &str, name: &str) -> String {
        format!("{}:{kind}:{name}", self.prefix)
    }

    fn answer_key(&self, question: &[u8]) -> String {
        // Questions may be kilobytes long; what they hash to is as good a name.
        self.key("answer", &format!("{:x}", keccak256(question)))
    }

    async fn command<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, CacheError> {
        let mut connection = self.connection.clone();
        self.bounded(command.query_async(&mut connection)).await
    }

    async fn script<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, CacheError> {
        let mut connection = self.connection.clone();
        self.bounded(script.invoke_async(&mut connection)).await
    }

    /// A call with an end, unless the engine was just found away.
    async fn bounded<T>(
        &self,
        call: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, CacheError> {
        self.let_through()?;
        let outcome = match timeout(CALL_MAX, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(CacheError::Unavailable(plain(&error))),
            Err(_) => Err(CacheError::Unavailable(format!("no answer within {CALL_MAX:?}"))),
        };
        match &outcome {
            Ok(_) => self.resting_until.store(0, Ordering::Relaxed),
            Err(error) => {
                count(Metric::CacheFaults, &["call"], 1);
                let until = self.now_us().saturating_add(micros(REST));
                if self.resting_until.swap(until, Ordering::Relaxed) == 0 {
                    log::warn!("redis is away, going on without it: {error}");
                }
            }
        }
        outcome
    }

    /// While resting nobody passes; at its end one caller does, and the others rest on.
    fn let_through(&self) -> Result<(), CacheError> {
        let until = self.resting_until.load(Ordering::Relaxed);
        let now = self.now_us();
        let probe = now.saturating_add(micros(CALL_MAX + REST));
        let passes = until == 0
            || now >= until
                && self
                    .resting_until
                    .compare_exchange(until, probe, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok();
        if passes {
            return Ok(());
        }
        Err(CacheError::Unavailable("it did not answer a moment ago".to_owned()))
    }

    fn now_us(&self) -> u64 {
        micros(self.begun.elapsed())
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// The kind of a fault and what the server said; never the address, which may hold a password.
fn plain(error: &redis::RedisError) -> String {
    match error.detail() {
        Some(detail) => format!("{:?}: {detail}", error.kind()),
        None => format!("{:?}: {}", error.kind(), error.category()),
    }
}

#[async_trait]
impl Limiter for Redis {
    async fn charge(&self, key: &str, quota: Quota, cost: u32) -> Standing {
        let name = self.key("limit", key);
        let mut call = self.scripts.charge.key(name);
        call.arg(quota.price_us(cost)).arg(quota.burst_us);
        match self.script::<(u64, u64)>(&call).await {
            Ok((owed, wait)) => {
                self.local.learn(key, owed);
                Standing::of(quota, owed, wait)
            }
            Err(_) => {
                count(Metric::LimitsLocal, &[], 1);
                let share = quota.share(self.nodes.load(Ordering::Relaxed));
                Standing { local: true, ..self.local.charge(key, share, cost) }
            }
        }
    }

    async fn join(&self, node: &str) {
        let mut call = self.scripts.census.key(self.key("limit", "nodes"));
        call.arg(node).arg(millis(NODE_TTL));
        if let Ok(nodes) = self.script::<u32>(&call).await {
            self.nodes.store(nodes.max(1), Ordering::Relaxed);
        }
    }
}

impl Redis {
    /// The lease's key; the tag in braces keeps its counter on the same node of a cluster.
    fn lease_key(&self, name: &str) -> String {
        format!("{{{}:lease:{name}}}", self.prefix)
    }
}

#[async_trait]
impl Leases for Redis {
    async fn acquire(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
        floor: u64,
    ) -> Result<Option<Lease>, CacheError> {
        let key = self.lease_key(name);
        let mut call = self.scripts.acquire.key(&key);
        call.key(format!("{key}:epoch")).arg(holder).arg(millis(ttl)).arg(floor);
        let epoch: u64 = self.script(&call).await?;
        let lease = || Lease { name: name.to_owned(), holder: holder.to_owned(), epoch };
        Ok((epoch > 0).then(lease))
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<bool, CacheError> {
        let mut call = self.scripts.renew.key(self.lease_key(&lease.name));
        call.arg(&lease.holder).arg(lease.epoch).arg(millis(ttl));
        Ok(self.script::<u64>(&call).await? == 1)
    }

    async fn release(&self, lease: &Lease) -> Result<(), CacheError> {
        let mut call = self.scripts.release.key(self.lease_key(&lease.name));
        call.arg(&lease.holder).arg(lease.epoch);
        self.script::<u64>(&call).await.map(drop)
    }
}

impl Redis {
    async fn set(
        &self,
        key: &str,
        value: &Bytes,
        ttl: Duration,
        only_new: bool,
    ) -> Result<bool, CacheError> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(CacheError::NoRoom(format!("a value of {} bytes", value.len())));
        }
        let mut command = redis::cmd("SET");
        command.arg(self.key("value", key)).arg(value.as_ref()).arg("PX").arg(millis(ttl));
        if only_new {
            command.arg("NX");
        }
        Ok(self.command::<Option<String>>(&command).await?.is_some())
    }

    async fn read(&self, verb: &str, key: &str) -> Result<Option<Bytes>, CacheError> {
        let found: Option<Vec<u8>> =
            self.command(redis::cmd(verb).arg(self.key("value", key))).await?;
        Ok(found.map(Bytes::from))
    }
}

#[async_trait]
impl Values for Redis {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, CacheError> {
        self.read("GET", key).await
    }

    async fn put(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), CacheError> {
        self.set(key, &value, ttl, false).await.map(drop)
    }

    async fn put_new(&self, key: &str, value: Bytes, ttl: Duration) -> Result<bool, CacheError> {
        self.set(key, &value, ttl, true).await
    }

    async fn take(&self, key: &str) -> Result<Option<Bytes>, CacheError> {
        self.read("GETDEL", key).await
    }

    async fn remove(&self, key: &str) -> Result<(), CacheError> {
        self.command::<u64>(redis::cmd("DEL").arg(self.key("value", key))).await.map(drop)
    }
}

#[async_trait]
impl Answers for Redis {
    async fn get(&self, key: &[u8], at_least: u64) -> Option<Bytes> {
        let mut command = redis::cmd("GET");
        let kept = self.command::<Option<Vec<u8>>>(command.arg(self.answer_key(key))).await;
        let found = kept.ok().flatten().map(Bytes::from).filter(|kept| {
            let position =
                kept.get(..POSITION_DIGITS).and_then(|digits| str::from_utf8(digits).ok());
            position.and_then(|digits| digits.parse::<u64>().ok()).is_some_and(|p| p >= at_least)
        });
        self.meter.looked(found.is_some());
        found.map(|kept| kept.slice(POSITION_DIGITS..))
    }

    async fn put(&self, key: &[u8], position: u64, answer: Bytes, ttl: Duration) {
        if answer.len() > VALUE_BYTES_MAX {
            return;
        }
        let mut call = self.scripts.keep.key(self.answer_key(key));
        call.arg(format!("{position:020}")).arg(answer.as_ref()).arg(millis(ttl));
        if let Err(error) = self.script::<u64>(&call).await {
            log::debug!("an answer was not kept: {error}");
        }
    }
}

#[async_trait]
impl Signals for Redis {
    async fn announce(&self, topic: &str, number: u64) -> Result<(), CacheError> {
        let mut command = redis::cmd("PUBLISH");
        command.arg(self.key("topic", topic)).arg(number);
        self.command::<u64>(&command).await.map(drop)
    }

    async fn follow(&self, topic: &str, newest: &watch::Sender<u64>) {
        let channel = self.key("topic", topic);
        loop {
            if let Err(error) = self.listen(&channel, newest).await {
                log::debug!("wake-ups through redis are interrupted: {error}");
            }
            sleep(RESUBSCRIBE_AFTER).await;
        }
    }
}

impl Redis {
    /// Listens until the connection ends.
    async fn listen(&self, channel: &str, newest: &watch::Sender<u64>) -> Result<(), String> {
        let connected = timeout(CALL_MAX, self.client.get_async_pubsub()).await;
        let mut connection = connected
            .map_err(|_| "no connection in time".to_owned())?
            .map_err(|error| plain(&error))?;
        let subscribed = timeout(CALL_MAX, connection.subscribe(channel)).await;
        subscribed
            .map_err(|_| "no subscription in time".to_owned())?
            .map_err(|error| plain(&error))?;
        let mut messages = connection.into_on_message();
        while let Some(message) = messages.next().await {
            if let Ok(number) = message.get_payload::<u64>() {
                raise(newest, number);
            }
        }
        Err("the connection ended".to_owned())
    }
}
