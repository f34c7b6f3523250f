//! One effect per request, however often it is sent: answers kept under the caller's Idempotency-Key.
//!
//! The answer is committed in the same batch as the effect, and only if no answer is there yet. So of
//! many repeats, on any number of gateways, one takes effect; after a crash either both are there or
//! neither. Answers are sealed, since one may hold a new key's secret.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Mutex;

use super::secret::{hex, sha256};
use super::{Auth, AuthError};
use crate::store::records::{Batch, By, Collection, Expect, Order, RecordsError, Select, sortable};

pub(in crate::gateway) const ANSWERS: Collection =
    Collection { name: "idempotency", lookups: &["expires"] };

/// How long a repeat gets the first one's answer.
const KEEP: Duration = Duration::from_secs(24 * 3_600);
/// How long a repeat waits for the first one to be answered before it is told to come back.
const WAIT: Duration = Duration::from_secs(5);
/// Documents deleted in one batch when their time is over.
const SWEEP_MAX: usize = 60;

/// Requests under way in this process, by what makes them the same.
pub(in crate::gateway) type Flights = DashMap<String, Arc<Mutex<()>>>;

/// What makes two requests the same.
#[derive(Debug, Clone)]
pub(in crate::gateway) struct Once {
    /// Caller, method, route and key, hashed.
    name: String,
    /// Of the whole address and body.
    fingerprint: String,
}

impl Once {
    /// `request` is method and route, `content` the full address and the body.
    pub(in crate::gateway) fn new(subject: &str, request: &str, key: &str, content: &[u8]) -> Self {
        let name = format!("{subject}\n{request}\n{key}");
        Self { name: hex(&sha256(name.as_bytes())), fingerprint: hex(&sha256(content)) }
    }
}

/// What a request comes to, not yet done.
#[derive(Debug)]
pub(in crate::gateway) struct Effect {
    pub(in crate::gateway) batch: Batch,
    pub(in crate::gateway) status: u16,
    pub(in crate::gateway) body: Value,
}

/// What the caller gets.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::gateway) struct Answer {
    pub(in crate::gateway) status: u16,
    pub(in crate::gateway) body: String,
    pub(in crate::gateway) replayed: bool,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    fingerprint: String,
    status: u16,
    sealed_body: String,
    expires: String,
}

impl Auth {
    /// Does what `effect` decides, once per `once`; without one, each time.
    pub(in crate::gateway) async fn perform<F>(
        &self,
        once: Option<&Once>,
        effect: F,
    ) -> Result<Answer, AuthError>
    where
        F: Future<Output = Result<Effect, AuthError>>,
    {
        let Some(once) = once else {
            let Effect { batch, status, body } = effect.await?;
            self.records().apply(batch).await?;
            return Ok(Answer { status, body: body.to_string(), replayed: false });
        };
        let flight = Arc::clone(self.flights.entry(once.name.clone()).or_default().value());
        let answer = match tokio::time::timeout(WAIT, flight.lock()).await {
            Ok(_turn) => self.perform_in_turn(once, effect).await,
            Err(_) => Err(AuthError::InFlight),
        };
        drop(flight);
        self.flights.remove_if(&once.name, |_, flight| Arc::strong_count(flight) == 1);
        answer
    }

    async fn perform_in_turn<F>(&self, once: &Once, effect: F) -> Result<Answer, AuthError>
    where
        F: Future<Output = Result<Effect, AuthError>>,
    {
        if let Some(answer) = self.kept(once).await? {
            return Ok(answer);
        }
        let Effect { mut batch, status, body } = effect.await?;
        let body = body.to_string();
        let kept = Kept {
            fingerprint: once.fingerprint.clone(),
            status,
            sealed_body: self.parts.secret.seal(&once.name, body.as_bytes())?,
            expires: sortable(self.now_ms() + u64::try_from(KEEP.as_millis()).unwrap_or(u64::MAX)),
        };
        batch.put(&ANSWERS, once.name.clone(), Expect::Absent, &kept)?;
        match self.records().apply(batch).await {
            Ok(_) => Ok(Answer { status, body, replayed: false }),
            Err(RecordsError::Conflict { collection, .. }) if collection == ANSWERS.name => {
                // Another gateway was faster.
                self.kept(once).await?.ok_or(AuthError::InFlight)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn kept(&self, once: &Once) -> Result<Option<Answer>, AuthError> {
        let Some(record) = self.records().get(&ANSWERS, &once.name).await? else { return Ok(None) };
        let kept: Kept = record.read()?;
        if kept.fingerprint != once.fingerprint {
            return Err(AuthError::KeyReused);
        }
        let body = self.parts.secret.unseal(&once.name, &kept.sealed_body)?;
        let body = String::from_utf8(body)
            .map_err(|_| AuthError::Internal("a kept answer is not text"))?;
        Ok(Some(Answer { status: kept.status, body, replayed: true }))
    }

    /// Deletes what is over: kept answers, used nonces, ended sessions. Called from time to time.
    pub async fn sweep(&self) -> Result<usize, AuthError> {
        let mut swept = 0;
        let over = [&ANSWERS, &super::sessions::USED_NONCES, &super::sessions::SESSIONS];
        for collection in over {
            let below = Some(sortable(self.now_ms()));
            let by = By::Range { lookup: "expires", from: None, below };
            let order = Order::Ascending;
            let select = Select { collection, by, order, limit: SWEEP_MAX, after: None };
            let page = self.records().list(select).await?;
            let mut batch = Batch::default();
            for record in page.items {
                batch.delete(collection, record.key, Expect::Any);
                swept += 1;
            }
            if !batch.changes.is_empty() {
                self.records().apply(batch).await?;
            }
        }
        Ok(swept)
    }
}
