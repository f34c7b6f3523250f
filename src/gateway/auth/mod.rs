//! Who somebody is and what they may do: sign-in by wallet, sessions, keys, roles, and the trail of
//! what was changed.
//!
//! Everything durable is in `store::records`; nothing here knows HTTP, and nothing is kept in memory
//! for longer than a few seconds, so that several gateways agree.

pub(in crate::gateway) mod siwe;

pub mod signature;

pub mod chain_calls;

pub mod secret;

pub mod roles;

pub mod keys;

pub mod users;

pub(in crate::gateway) mod sessions;

pub mod api_keys;

pub mod trail;

pub(in crate::gateway) mod effect;

use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

use self::keys::KeyRing;
use self::roles::{Grant, Permission, Scope, allows};
use self::secret::Secret;
use self::signature::{ContractCalls, SignatureError};
use self::siwe::SiweError;
use crate::store::records::{Records, RecordsError};
use crate::types::clock::Clock;

/// What sign-in is made of.
#[derive(Debug, Clone)]
pub struct Parts {
    pub records: Arc<dyn Records>,
    pub clock: Arc<dyn Clock>,
    pub secret: Secret,
    /// Scheme and authority under which browsers reach us: what sign-in messages must name.
    pub origin: String,
    /// Whether a wallet that nobody has entered becomes an investor by signing in.
    pub open_registration: bool,
    pub calls: Arc<dyn ContractCalls>,
}

/// The service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Auth(Arc<Inner>);

/// What clones share.
#[derive(Debug)]
pub struct Inner {
    pub(in crate::gateway) parts: Parts,
    pub(in crate::gateway) ring: KeyRing,
    pub(in crate::gateway) flights: effect::Flights,
}

impl std::ops::Deref for Auth {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Auth {
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            parts,
            ring: KeyRing::default(),
            flights: effect::Flights::default(),
        }))
    }

    pub(in crate::gateway) fn now_ms(&self) -> u64 {
        u64::try_from(self.parts.clock.now().as_millis()).unwrap_or(u64::MAX)
    }

    pub(in crate::gateway) fn records(&self) -> &dyn Records {
        &*self.parts.records
    }
}

/// A caller who has shown who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub user: String,
    pub how: How,
    pub grants: Vec<Grant>,
    /// What a key is limited to; `None`: all that the grants give.
    pub limited_to: Option<Vec<Permission>>,
    pub address: Option<IpAddr>,
}

/// By what a caller was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    Session(String),
    ApiKey(String),
    /// A command on the machine itself.
    Command,
}

impl Identity {
    /// Whether the caller may do this there.
    pub fn may(&self, permission: Permission, target: &Scope) -> bool {
        let limited = self.limited_to.as_ref();
        limited.is_none_or(|list| list.contains(&permission))
            && allows(&self.grants, permission, target)
    }

    /// Whoever runs commands on the machine.
    pub fn command() -> Self {
        let grants = vec![Grant { role: roles::Role::PlatformAdmin, scope: Scope::Platform }];
        let user = "command-line".to_owned();
        Self { user, how: How::Command, grants, limited_to: None, address: None }
    }

    /// What separates one caller's allowances and repeated requests from another's.
    pub(in crate::gateway) fn subject(&self) -> String {
        match &self.how {
            How::Session(_) | How::Command => format!("user:{}", self.user),
            How::ApiKey(id) => format!("key:{id}"),
        }
    }
}

/// Why something of a person or key is not done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuthError {
    /// Not who they say, or no longer: sign in again.
    #[error("{0}")]
    Unauthorized(&'static str),
    #[error(transparent)]
    Message(#[from] SiweError),
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Known, but not allowed; says what would be needed.
    #[error("{0}")]
    Forbidden(String),
    #[error("{0}")]
    NotFound(&'static str),
    /// The input is readable but says something that cannot be done.
    #[error("{0}")]
    Unprocessable(String),
    /// Somebody else changed the same thing at this moment.
    #[error("this was changed by somebody else at the same time; read it again")]
    Changed,
    /// The same idempotency key came with another request before.
    #[error("this Idempotency-Key was used with another body; use a new key for a new request")]
    KeyReused,
    #[error("the first request with this Idempotency-Key is still being answered")]
    InFlight,
    #[error(transparent)]
    Records(RecordsError),
    #[error("{0}")]
    Secret(String),
    #[error("{0}")]
    Internal(&'static str),
}

impl From<RecordsError> for AuthError {
    fn from(error: RecordsError) -> Self {
        match error {
            RecordsError::Conflict { .. } => Self::Changed,
            other => Self::Records(other),
        }
    }
}

/// A random name for a new thing: 128 bits in hex, never used twice.
pub(in crate::gateway) fn new_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The digest of a document for the trail: that it changed, without what is in it.
pub(in crate::gateway) fn digest<T: Serialize>(document: &T) -> Result<String, AuthError> {
    let text = serde_json::to_vec(document)
        .map_err(|_| AuthError::Internal("a document cannot be written"))?;
    Ok(secret::hex(&secret::sha256(&text)))
}
