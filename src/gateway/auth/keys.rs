//! Access tokens (JWT, EdDSA) and the keys that sign them: made, published, changed and withdrawn.
//!
//! A key is published before it signs and checked for as long as its last token lives, so that a
//! scheduled change is noticed by nobody. Which key does what follows from times alone.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::secret::{SECRET_BYTES, hex};
use super::trail::Note;
use super::{Auth, AuthError, Identity, new_id};
use crate::store::records::{
    Batch, By, Collection, Expect, Order, PAGE_MAX, Record, RecordsError, Select,
};

/// How long an access token is good for.
pub const ACCESS_TTL: Duration = Duration::from_secs(10 * 60);
/// How long a verifier may keep the published set: a key is shown this long before it signs.
pub const PUBLISH_LEAD: Duration = Duration::from_secs(10 * 60);
/// A key signs for so long, unless it is changed by hand.
const ROTATE_EVERY: Duration = Duration::from_secs(30 * 24 * 3_600);
/// How old the set in memory may be: a withdrawn key is refused everywhere after this.
const RING_AGE_MAX: Duration = Duration::from_secs(2);
/// Verifiers' clocks may be off by this much.
const LEEWAY_SECS: u64 = 5;
/// `aud` of our access tokens: those for other services are not for us.
const AUDIENCE: &str = "rwahub";
/// Longest token looked at; ours have about 500 bytes.
const TOKEN_BYTES_MAX: usize = 4 * 1024;

const KEYS: Collection = Collection { name: "signing_keys", lookups: &[] };
/// One document that every change of keys touches, so that two changes cannot cross.
const RING: Collection = Collection { name: "signing_ring", lookups: &[] };
const RING_KEY: &str = "ring";

/// A key as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct StoredKey {
    kid: String,
    /// The seed, sealed under the key's name.
    sealed_seed: String,
    public_key: String,
    created_ms: u64,
    signs_from_ms: u64,
    /// Set when a successor is there: its tokens are refused from then on.
    checks_until_ms: Option<u64>,
}

/// What a key does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    Next,
    Current,
    Retiring,
    Retired,
}

/// A key as people see it.
#[derive(Debug, Clone, Serialize)]
pub struct KeyInfo {
    pub kid: String,
    pub state: KeyState,
    pub created_ms: u64,
    pub signs_from_ms: u64,
    pub checks_until_ms: Option<u64>,
}

/// How keys are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Published now, signs after [`PUBLISH_LEAD`].
    Scheduled,
    /// Signs at once; the old one's tokens live on to their end.
    Now,
    /// Signs at once, and every token signed so far is refused: a key was stolen.
    Revoke,
}

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::gateway) struct Claims {
    pub(in crate::gateway) iss: String,
    pub(in crate::gateway) aud: String,
    pub(in crate::gateway) sub: String,
    pub(in crate::gateway) sid: String,
    pub(in crate::gateway) jti: String,
    pub(in crate::gateway) iat: u64,
    pub(in crate::gateway) exp: u64,
}

/// The keys in memory.
#[derive(Debug, Default)]
pub(in crate::gateway) struct KeyRing(RwLock<Option<Arc<Loaded>>>);

#[derive(Debug)]
struct Loaded {
    at_ms: u64,
    keys: Vec<StoredKey>,
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Loaded {
    /// The newest key that may sign.
    fn current(&self, now_ms: u64) -> Option<&StoredKey> {
        let signing = self.keys.iter().filter(|key| {
            key.signs_from_ms <= now_ms && key.checks_until_ms.is_none_or(|end| end > now_ms)
        });
        signing.max_by_key(|key| (key.signs_from_ms, key.created_ms))
    }

    fn state(&self, key: &StoredKey, now_ms: u64) -> KeyState {
        if key.checks_until_ms.is_some_and(|end| end <= now_ms) {
            KeyState::Retired
        } else if key.signs_from_ms > now_ms {
            KeyState::Next
        } else if self.current(now_ms).is_some_and(|current| current.kid == key.kid) {
            KeyState::Current
        } else {
            KeyState::Retiring
        }
    }
}

impl Auth {
    async fn load(&self) -> Result<Arc<Loaded>, AuthError> {
        let at_ms = self.now_ms();
        let select = Select {
            collection: &KEYS,
            by: By::Key,
            order: Order::Ascending,
            limit: PAGE_MAX,
            after: None,
        };
        let page = self.records().list(select).await?;
        let keys: Result<_, RecordsError> = page.items.iter().map(Record::read).collect();
        let loaded = Arc::new(Loaded { at_ms, keys: keys? });
        if let Ok(mut kept) = self.ring.0.write() {
            *kept = Some(Arc::clone(&loaded));
        }
        Ok(loaded)
    }

    async fn ring(&self) -> Result<Arc<Loaded>, AuthError> {
        let kept = self.ring.0.read().ok().and_then(|kept| kept.clone());
        match kept {
            Some(kept) if self.now_ms() < kept.at_ms.saturating_add(ms(RING_AGE_MAX)) => Ok(kept),
            _ => self.load().await,
        }
    }

    /// Makes the first key, or the next when the current one is old enough. Called at start and from
    /// time to time by every gateway; of several one succeeds.
    pub async fn tend_keys(&self) -> Result<(), AuthError> {
        let (loaded, now_ms) = (self.load().await?, self.now_ms());
        let due = match loaded.current(now_ms) {
            None => Some(Rotation::Now),
            Some(current) => {
                let pending = loaded.keys.iter().any(|key| key.signs_from_ms > now_ms);
                let old = current.signs_from_ms.saturating_add(ms(ROTATE_EVERY)) <= now_ms;
                (old && !pending).then_some(Rotation::Scheduled)
            }
        };
        let Some(rotation) = due else { return Ok(()) };
        match self.rotate(rotation, &Identity::command(), "scheduled change of keys").await {
            Ok(_) | Err(AuthError::Changed) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Puts a new key in place.
    pub async fn rotate(
        &self,
        rotation: Rotation,
        actor: &Identity,
        why: &str,
    ) -> Result<KeyInfo, AuthError> {
        let ring = self.records().get(&RING, RING_KEY).await?;
        let (loaded, now_ms) = (self.load().await?, self.now_ms());
        let seed: [u8; SECRET_BYTES] = rand::random();
        let pair = pair(&seed)?;
        let kid = new_id();
        let lead = if rotation == Rotation::Scheduled { ms(PUBLISH_LEAD) } else { 0 };
        let key = StoredKey {
            sealed_seed: self.parts.secret.seal(&kid, &seed)?,
            public_key: URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()),
            created_ms: now_ms,
            signs_from_ms: now_ms.saturating_add(lead),
            checks_until_ms: None,
            kid: kid.clone(),
        };
        let mut batch = Batch::default();
        let expect = ring.map_or(Expect::Absent, |ring| Expect::Version(ring.version));
        batch.put(&RING, RING_KEY, expect, &serde_json::json!({ "newest": kid }))?;
        batch.put(&KEYS, kid.clone(), Expect::Absent, &key)?;
        for old in &loaded.keys {
            let mut old = old.clone();
            let end = match rotation {
                Rotation::Revoke => now_ms,
                // Others sign with the old one until they have read the ring again.
                _ => key.signs_from_ms + ms(ACCESS_TTL) + ms(RING_AGE_MAX) * 2,
            };
            if old.checks_until_ms.is_none_or(|until| until > end) {
                old.checks_until_ms = Some(end);
                let name = old.kid.clone();
                batch.put(&KEYS, name, Expect::Present, &old)?;
            }
        }
        let action = match rotation {
            Rotation::Scheduled => "signing_key.schedule",
            Rotation::Now => "signing_key.rotate",
            Rotation::Revoke => "signing_key.revoke_all",
        };
        self.note(&mut batch, actor, Note::new(action, &kid).why(why))?;
        self.records().apply(batch).await?;
        let loaded = self.load().await?;
        let found = loaded.keys.iter().find(|stored| stored.kid == kid);
        found
            .map(|stored| info(&loaded, stored, now_ms))
            .ok_or(AuthError::Internal("a new key is not there"))
    }

    /// All keys.
    pub async fn keys(&self) -> Result<Vec<KeyInfo>, AuthError> {
        let (loaded, now_ms) = (self.load().await?, self.now_ms());
        Ok(loaded.keys.iter().map(|key| info(&loaded, key, now_ms)).collect())
    }

    /// The published set (RFC 7517): next, current and retiring keys.
    pub(in crate::gateway) async fn jwks(&self) -> Result<serde_json::Value, AuthError> {
        let (loaded, now_ms) = (self.ring().await?, self.now_ms());
        let live = loaded.keys.iter().filter(|key| loaded.state(key, now_ms) != KeyState::Retired);
        let keys: Vec<_> = live
            .map(|key| {
                serde_json::json!({
                    "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA",
                    "kid": key.kid, "x": key.public_key,
                })
            })
            .collect();
        Ok(serde_json::json!({ "keys": keys }))
    }

    /// A token for a session.
    pub(in crate::gateway) async fn issue(
        &self,
        user: &str,
        sid: &str,
    ) -> Result<String, AuthError> {
        let now_ms = self.now_ms();
        let mut ring = self.ring().await?;
        if ring.current(now_ms).is_none() {
            self.tend_keys().await?;
            ring = self.ring().await?;
        }
        let key = ring.current(now_ms).ok_or(AuthError::Internal("no key signs"))?;
        let seed = self.parts.secret.unseal(&key.kid, &key.sealed_seed)?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(key.kid.clone());
        let claims = Claims {
            iss: self.parts.origin.clone(),
            aud: AUDIENCE.into(),
            sub: user.into(),
            sid: sid.into(),
            jti: new_id(),
            iat: now_ms / 1_000,
            exp: now_ms / 1_000 + ACCESS_TTL.as_secs(),
        };
        let signing = EncodingKey::from_ed_der(&pkcs8(&seed));
        jsonwebtoken::encode(&header, &claims, &signing)
            .map_err(|_| AuthError::Internal("a token cannot be signed"))
    }

    /// What a token says, if we signed it for us and it is of now.
    pub(in crate::gateway) async fn check(&self, token: &str) -> Result<Claims, AuthError> {
        const BAD: AuthError = AuthError::Unauthorized("the access token is not valid");
        if token.len() > TOKEN_BYTES_MAX {
            return Err(BAD);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| BAD)?;
        if header.alg != Algorithm::EdDSA {
            return Err(BAD);
        }
        let kid = header.kid.ok_or(BAD)?;
        let now_ms = self.now_ms();
        let mut ring = self.ring().await?;
        // A key newer than what we know of was made on another gateway a moment ago.
        if !ring.keys.iter().any(|key| key.kid == kid) && ring.at_ms < now_ms {
            ring = self.load().await?;
        }
        let key = ring.keys.iter().find(|key| key.kid == kid).ok_or(BAD)?;
        if matches!(ring.state(key, now_ms), KeyState::Retired | KeyState::Next) {
            return Err(AuthError::Unauthorized("the access token's key is retired; refresh"));
        }
        // The one algorithm there is; the key is of no other family either.
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_audience(&[AUDIENCE]);
        rules.set_issuer(&[&self.parts.origin]);
        rules.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        // Our clock judges below, not the library's.
        rules.validate_exp = false;
        let checking = DecodingKey::from_ed_components(&key.public_key).map_err(|_| BAD)?;
        let claims =
            jsonwebtoken::decode::<Claims>(token, &checking, &rules).map_err(|_| BAD)?.claims;
        let now = now_ms / 1_000;
        if claims.exp.saturating_add(LEEWAY_SECS) <= now {
            return Err(AuthError::Unauthorized("the access token has expired; refresh"));
        }
        if claims.iat > now.saturating_add(LEEWAY_SECS) {
            return Err(BAD);
        }
        Ok(claims)
    }
}

fn info(loaded: &Loaded, key: &StoredKey, now_ms: u64) -> KeyInfo {
    KeyInfo {
        kid: key.kid.clone(),
        state: loaded.state(key, now_ms),
        created_ms: key.created_ms,
        signs_from_ms: key.signs_from_ms,
        checks_until_ms: key.checks_until_ms,
    }
}

/// The key pair of a seed.
pub(in crate::gateway) fn pair(seed: &[u8]) -> Result<Ed25519KeyPair, AuthError> {
    Ed25519KeyPair::from_seed_unchecked(seed)
        .map_err(|_| AuthError::Internal("a signing key is not one"))
}

/// The seed as the library wants it: PKCS#8 version 1 around the 32 bytes (RFC 8410, 7).
fn pkcs8(seed: &[u8]) -> Vec<u8> {
    const PREFIX: [u8; 16] = alloy_primitives::hex!("302e020100300506032b657004220420");
    [&PREFIX[..], seed].concat()
}

/// Hex of a public key.
pub(in crate::gateway) fn public_hex(pair: &Ed25519KeyPair) -> String {
    hex(pair.public_key().as_ref())
}
