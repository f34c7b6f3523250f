//! Keys of programs: `rwa_<id>_<secret>`, shown once, kept as a hash, limited to permissions and
//! addresses.
//!
//! A key never does more than its owner may at that moment.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::roles::Permission;
use super::secret::{hex, same, sha256};
use super::trail::Note;
use super::users::Change;
use super::{Auth, AuthError, How, Identity, digest, new_id};
use crate::store::records::{Batch, By, Collection, Expect, Order, RecordPage, Select};

pub(in crate::gateway) const API_KEYS: Collection =
    Collection { name: "api_keys", lookups: &["user"] };

/// What scanners for leaked secrets look for.
pub(in crate::gateway) const PREFIX: &str = "rwa_";
/// How exactly "last used" is known: a write per request would cost more than the request.
const LAST_USED_STEP: Duration = Duration::from_secs(60);
/// Longest life of a key.
const TTL_DAYS_MAX: u64 = 366;
const NAME_BYTES_MAX: usize = 100;
const ADDRESSES_MAX: usize = 64;

/// A key as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::gateway) struct ApiKey {
    pub(in crate::gateway) id: String,
    pub(in crate::gateway) user: String,
    pub(in crate::gateway) name: String,
    hash: String,
    pub(in crate::gateway) scopes: Vec<Permission>,
    pub(in crate::gateway) addresses: Vec<String>,
    pub(in crate::gateway) created_ms: u64,
    pub(in crate::gateway) expires_ms: u64,
    pub(in crate::gateway) last_used_ms: Option<u64>,
    pub(in crate::gateway) revoked_ms: Option<u64>,
}

/// A key to make.
#[derive(Debug, Clone)]
pub struct NewKey {
    pub name: String,
    pub scopes: Vec<Permission>,
    pub addresses: Vec<String>,
    pub ttl_days: u64,
}

/// An address or a network, as `203.0.113.0/24`.
fn network(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(most);
    (bits <= most).then_some((address, bits))
}

/// Whether a network of the list holds the address.
pub(in crate::gateway) fn holds(networks: &[String], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().filter_map(|text| network(text)).any(|(base, bits)| match (base, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) => {
            let differ = base.to_bits() ^ address.to_bits();
            differ.checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(base), IpAddr::V6(address)) => {
            let differ = base.to_bits() ^ address.to_bits();
            differ.checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => false,
    })
}

impl Auth {
    /// Adds a key to a batch; the key and its whole text, which is told this once.
    pub(in crate::gateway) fn add_key(
        &self,
        batch: &mut Batch,
        new: NewKey,
        by: Change<'_>,
    ) -> Result<(ApiKey, String), AuthError> {
        let refuse = |text: String| Err(AuthError::Unprocessable(text));
        if new.name.trim().is_empty() || new.name.len() > NAME_BYTES_MAX {
            return refuse(format!("name: 1 to {NAME_BYTES_MAX} bytes"));
        }
        if new.scopes.is_empty() {
            return refuse("scopes: name at least one permission".into());
        }
        if !(1..=TTL_DAYS_MAX).contains(&new.ttl_days) {
            return refuse(format!("expires_in_days: 1 to {TTL_DAYS_MAX}"));
        }
        if new.addresses.len() > ADDRESSES_MAX || new.addresses.iter().any(|a| network(a).is_none())
        {
            return refuse(format!("addresses: at most {ADDRESSES_MAX}, as 203.0.113.0/24"));
        }
        if by.actor.limited_to.is_some() {
            return Err(AuthError::Forbidden("a key makes no keys; sign in".into()));
        }
        let holds = |scope: &&Permission| by.actor.grants.iter().any(|g| g.role.gives(**scope));
        if let Some(scope) = new.scopes.iter().find(|scope| !holds(scope)) {
            let text = format!("you do not have {} yourself", scope.word());
            return Err(AuthError::Forbidden(text));
        }
        let (id, now_ms) = (new_id(), self.now_ms());
        let secret = hex(&rand::random::<[u8; 32]>());
        let key = ApiKey {
            user: by.actor.user.clone(),
            name: new.name,
            hash: hex(&sha256(secret.as_bytes())),
            scopes: new.scopes,
            addresses: new.addresses,
            created_ms: now_ms,
            expires_ms: now_ms.saturating_add(new.ttl_days * 24 * 3_600_000),
            last_used_ms: None,
            revoked_ms: None,
            id: id.clone(),
        };
        batch.put(&API_KEYS, id.clone(), Expect::Absent, &key)?;
        let note = Note::new("api_key.add", &id).changed(None, Some(digest(&key)?));
        self.note(batch, by.actor, note.request(by.request_id))?;
        Ok((key, format!("{PREFIX}{id}_{secret}")))
    }

    /// Makes a key for a user at once, by a command on the machine; its id and text.
    pub async fn key_for(&self, user: &str, new: NewKey) -> Result<(String, String), AuthError> {
        let (user, _) = self.user(user).await?;
        let actor = Identity { user: user.id, grants: user.grants, ..Identity::command() };
        let mut batch = Batch::default();
        let by = Change { actor: &actor, request_id: "", why: Some("by command") };
        let (key, text) = self.add_key(&mut batch, new, by)?;
        self.records().apply(batch).await?;
        Ok((key.id, text))
    }

    /// A user's keys.
    pub(in crate::gateway) async fn keys_of(
        &self,
        user: &str,
        limit: usize,
        after: Option<String>,
    ) -> Result<RecordPage, AuthError> {
        let by = By::Equal { lookup: "user", value: user.to_owned() };
        let select = Select { collection: &API_KEYS, by, order: Order::Ascending, limit, after };
        Ok(self.records().list(select).await?)
    }

    /// Adds the end of one's own key to a batch.
    pub(in crate::gateway) async fn end_key(
        &self,
        batch: &mut Batch,
        id: &str,
        by: Change<'_>,
    ) -> Result<(), AuthError> {
        const NONE: AuthError = AuthError::NotFound("there is no such key");
        let record = self.records().get(&API_KEYS, id).await?.ok_or(NONE)?;
        let mut key: ApiKey = record.read()?;
        if key.user != by.actor.user {
            return Err(NONE);
        }
        if key.revoked_ms.is_none() {
            key.revoked_ms = Some(self.now_ms());
            batch.put(&API_KEYS, id, Expect::Version(record.version), &key)?;
            self.note(batch, by.actor, Note::new("api_key.end", id).request(by.request_id))?;
        }
        Ok(())
    }

    /// Who a key speaks for.
    pub(in crate::gateway) async fn by_key(
        &self,
        text: &str,
        address: Option<IpAddr>,
    ) -> Result<Identity, AuthError> {
        const BAD: AuthError = AuthError::Unauthorized("the API key is not valid");
        let (id, secret) = text.strip_prefix(PREFIX).and_then(|t| t.split_once('_')).ok_or(BAD)?;
        if id.is_empty() || id.len() > 64 {
            return Err(BAD);
        }
        let record = self.records().get(&API_KEYS, id).await?.ok_or(BAD)?;
        let mut key: ApiKey = record.read()?;
        if !same(hex(&sha256(secret.as_bytes())).as_bytes(), key.hash.as_bytes()) {
            return Err(BAD);
        }
        let now_ms = self.now_ms();
        if key.revoked_ms.is_some() || key.expires_ms <= now_ms {
            return Err(AuthError::Unauthorized("the API key was ended or has expired"));
        }
        let allowed = key.addresses.is_empty()
            || address.is_some_and(|address| holds(&key.addresses, address));
        if !allowed {
            return Err(AuthError::Unauthorized("the API key is not for this address"));
        }
        let grants = self.active_user(&key.user).await?;
        let step = u64::try_from(LAST_USED_STEP.as_millis()).unwrap_or(u64::MAX);
        if key.last_used_ms.is_none_or(|last| last.saturating_add(step) <= now_ms) {
            key.last_used_ms = Some(now_ms);
            let mut batch = Batch::default();
            batch.put(&API_KEYS, id, Expect::Version(record.version), &key)?;
            // Somebody else has just noted it, or the store is busy: not worth a failed request.
            if let Err(error) = self.records().apply(batch).await {
                log::debug!(target: "rwahub::gateway", "last use of a key is not noted: {error}");
            }
        }
        let limited_to = Some(key.scopes);
        Ok(Identity { user: key.user, how: How::ApiKey(key.id), grants, limited_to, address })
    }
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        let list = |text: &str| vec![text.to_owned()];
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(holds(&list("203.0.113.7"), at("203.0.113.7")));
        assert!(!holds(&list("203.0.113.7"), at("203.0.113.8")));
        assert!(holds(&list("203.0.113.0/24"), at("::ffff:203.0.113.99")));
        assert!(!holds(&list("203.0.113.0/24"), at("203.0.114.1")));
        assert!(holds(&list("2001:db8::/32"), at("2001:db8:ffff::1")));
        assert!(!holds(&list("2001:db8::/32"), at("2001:db9::1")));
        assert!(holds(&list("0.0.0.0/0"), at("9.9.9.9")) && holds(&list("::/0"), at("::9")));
        for bad in ["", "1.2.3", "1.2.3.4/33", "::/129", "1.2.3.4/x"] {
            assert!(network(bad).is_none(), "{bad}");
        }
    }
}
