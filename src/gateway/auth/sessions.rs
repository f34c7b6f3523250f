//! Sign-in by wallet, and sessions: how they begin, go on and end.
//!
//! A session is a family of refresh tokens, each good once. A token is computed from the session and
//! its generation, so none is stored; one of an older generation is a copy that somebody kept, and
//! ends the session.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::roles::{Grant, Role, Scope};
use super::secret::{Purpose, hex, same, unhex};
use super::signature::{self, Signer};
use super::siwe::{MESSAGE_AGE_MAX, Message};
use super::trail::Note;
use super::users::NewUser;
use super::{Auth, AuthError, How, Identity, new_id};
use crate::store::records::{
    Batch, By, Collection, Expect, Order, RecordPage, RecordsError, Select, sortable,
};

pub(in crate::gateway) const SESSIONS: Collection =
    Collection { name: "sessions", lookups: &["user", "expires"] };
/// Nonces that have done their one duty, until they would have died anyway.
pub(in crate::gateway) const USED_NONCES: Collection =
    Collection { name: "used_nonces", lookups: &["expires"] };

/// A session of a key ends after this without a new sign-in.
const SESSION_TTL: Duration = Duration::from_secs(30 * 24 * 3_600);
/// A contract's owners change, so it signs in more often.
const CONTRACT_SESSION_TTL: Duration = Duration::from_secs(8 * 3_600);
/// The token just replaced still gets its one successor, for a client that lost the answer.
const REUSE_GRACE: Duration = Duration::from_secs(5);
/// Characters of a nonce: time, random, MAC.
const NONCE_TIME: usize = 12;
const NONCE_RANDOM: usize = 32;
const NONCE_MAC: usize = 32;
const REFRESH_PREFIX: &str = "rwr_";

/// A session as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::gateway) struct Session {
    pub(in crate::gateway) user: String,
    pub(in crate::gateway) wallet: String,
    pub(in crate::gateway) chain_id: u64,
    pub(in crate::gateway) created_ms: u64,
    pub(in crate::gateway) expires: String,
    generation: u64,
    rotated_ms: u64,
    pub(in crate::gateway) ended_ms: Option<u64>,
    pub(in crate::gateway) ended_why: Option<String>,
    /// What a contract signed, to ask it again.
    contract: Option<Proof>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Proof {
    message: String,
    signature: String,
}

/// What a sign-in or a refresh gives.
#[derive(Debug, Clone)]
pub(in crate::gateway) struct Tokens {
    pub(in crate::gateway) access: String,
    pub(in crate::gateway) refresh: String,
    pub(in crate::gateway) session: String,
    pub(in crate::gateway) user: String,
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Auth {
    /// A nonce for one sign-in within five minutes. Nothing is stored for it until it is used, so
    /// asking for many costs us nothing.
    pub(in crate::gateway) fn nonce(&self) -> String {
        let body = format!("{:012x}{:032x}", self.now_ms(), rand::random::<u128>());
        let mac = self.parts.secret.mac(Purpose::Nonce, &[body.as_bytes()]);
        format!("{body}{:.32}", hex(&mac))
    }

    fn check_nonce(&self, nonce: &str) -> Result<(), AuthError> {
        const BAD: AuthError = AuthError::Unauthorized("the nonce is not ours or has expired");
        if nonce.len() != NONCE_TIME + NONCE_RANDOM + NONCE_MAC {
            return Err(BAD);
        }
        let (body, mac) = nonce.split_at_checked(NONCE_TIME + NONCE_RANDOM).ok_or(BAD)?;
        let ours = hex(&self.parts.secret.mac(Purpose::Nonce, &[body.as_bytes()]));
        let ours = ours.get(..NONCE_MAC).ok_or(BAD)?;
        let made = body.get(..NONCE_TIME).and_then(|time| u64::from_str_radix(time, 16).ok());
        let made = made.ok_or(BAD)?;
        let fresh = self.now_ms() < made.saturating_add(ms(MESSAGE_AGE_MAX));
        if same(ours.as_bytes(), mac.as_bytes()) && fresh { Ok(()) } else { Err(BAD) }
    }

    /// Signs in with a message and its signature (hex).
    pub(in crate::gateway) async fn sign_in(
        &self,
        text: &str,
        signature: &str,
        address: Option<IpAddr>,
        request_id: &str,
    ) -> Result<Tokens, AuthError> {
        let message = Message::parse(text)?;
        message.check(&self.parts.origin, self.parts.clock.now())?;
        self.check_nonce(&message.nonce)?;
        let calls = &*self.parts.calls;
        if !calls.serves(message.chain_id) {
            return Err(signature::SignatureError::ChainUnknown(message.chain_id).into());
        }
        let bytes = signature.strip_prefix("0x").and_then(unhex);
        let bytes = bytes.ok_or(signature::SignatureError::Malformed)?;
        let signer =
            signature::verify(calls, message.chain_id, message.address, text, &bytes).await?;
        let (now_ms, mut batch) = (self.now_ms(), Batch::default());
        let used = serde_json::json!({ "expires": sortable(now_ms + ms(MESSAGE_AGE_MAX)) });
        batch.put(&USED_NONCES, message.nonce.clone(), Expect::Absent, &used)?;
        let user = match self.owner(message.address).await? {
            Some(id) => self.user(&id).await?.0,
            None if self.parts.open_registration => {
                let grants = vec![Grant { role: Role::Investor, scope: Scope::Platform }];
                let new = NewUser { name: None, wallet: message.address, grants };
                let actor = Identity { address, ..Identity::command() };
                self.add_user(&mut batch, new, &actor, Some(request_id))?
            }
            None => return Err(AuthError::Forbidden("this wallet is not entered here".into())),
        };
        if user.disabled {
            return Err(AuthError::Forbidden("this user is locked".into()));
        }
        let (ttl, contract) = match signer {
            Signer::Key => (SESSION_TTL, None),
            Signer::Contract => {
                let proof = Proof { message: text.into(), signature: signature.into() };
                (CONTRACT_SESSION_TTL, Some(proof))
            }
        };
        let sid = new_id();
        let session = Session {
            user: user.id.clone(),
            wallet: super::users::wallet_key(message.address),
            chain_id: message.chain_id,
            created_ms: now_ms,
            expires: sortable(now_ms.saturating_add(ms(ttl))),
            generation: 0,
            rotated_ms: now_ms,
            ended_ms: None,
            ended_why: None,
            contract,
        };
        batch.put(&SESSIONS, sid.clone(), Expect::Absent, &session)?;
        let actor = Identity {
            user: user.id.clone(),
            how: How::Session(sid.clone()),
            grants: user.grants,
            limited_to: None,
            address,
        };
        let note = Note::new("session.begin", &sid).request(request_id);
        self.note(&mut batch, &actor, note)?;
        match self.records().apply(batch).await {
            Ok(_) => {}
            Err(RecordsError::Conflict { collection, .. }) if collection == USED_NONCES.name => {
                return Err(AuthError::Unauthorized("the nonce was used already"));
            }
            Err(error) => return Err(error.into()),
        }
        self.tokens(&sid, &session).await
    }

    async fn tokens(&self, sid: &str, session: &Session) -> Result<Tokens, AuthError> {
        Ok(Tokens {
            access: self.issue(&session.user, sid).await?,
            refresh: self.refresh_token(sid, session.generation),
            session: sid.to_owned(),
            user: session.user.clone(),
        })
    }

    fn refresh_token(&self, sid: &str, generation: u64) -> String {
        let number = generation.to_string();
        let mac = self.parts.secret.mac(Purpose::Refresh, &[sid.as_bytes(), number.as_bytes()]);
        format!("{REFRESH_PREFIX}{sid}_{number}_{}", hex(&mac))
    }

    /// Exchanges a refresh token for its successor and a new access token.
    pub(in crate::gateway) async fn refresh(
        &self,
        token: &str,
        address: Option<IpAddr>,
        request_id: &str,
    ) -> Result<Tokens, AuthError> {
        const BAD: AuthError = AuthError::Unauthorized("the refresh token is not valid");
        let mut parts = token.strip_prefix(REFRESH_PREFIX).ok_or(BAD)?.split('_');
        let (sid, number) = (parts.next().ok_or(BAD)?, parts.next().ok_or(BAD)?);
        let generation: u64 = number.parse().map_err(|_| BAD)?;
        if !same(self.refresh_token(sid, generation).as_bytes(), token.as_bytes()) {
            return Err(BAD);
        }
        // Two uses at one moment: one exchanges, the other finds it exchanged and gets the same.
        for _ in 0..3 {
            let (mut session, version) = self.session(sid).await?;
            self.require_living(&session)?;
            let now_ms = self.now_ms();
            let in_grace = now_ms < session.rotated_ms.saturating_add(ms(REUSE_GRACE));
            if generation + 1 == session.generation && in_grace {
                return self.tokens(sid, &session).await;
            }
            if generation != session.generation {
                self.end_by_reuse(sid, session, version, address, request_id).await?;
                return Err(AuthError::Unauthorized(
                    "the refresh token was used before; the session has been ended",
                ));
            }
            self.ask_contract_again(&session).await?;
            session.generation += 1;
            session.rotated_ms = now_ms;
            let mut batch = Batch::default();
            batch.put(&SESSIONS, sid, Expect::Version(version), &session)?;
            match self.records().apply(batch).await {
                Ok(_) => return self.tokens(sid, &session).await,
                Err(RecordsError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AuthError::Changed)
    }

    async fn ask_contract_again(&self, session: &Session) -> Result<(), AuthError> {
        let Some(proof) = &session.contract else { return Ok(()) };
        let account = session.wallet.parse();
        let account = account.map_err(|_| AuthError::Internal("a session without a wallet"))?;
        let bytes = proof.signature.strip_prefix("0x").and_then(unhex).unwrap_or_default();
        let calls = &*self.parts.calls;
        signature::verify(calls, session.chain_id, account, &proof.message, &bytes).await?;
        Ok(())
    }

    async fn end_by_reuse(
        &self,
        sid: &str,
        mut session: Session,
        version: u64,
        address: Option<IpAddr>,
        request_id: &str,
    ) -> Result<(), AuthError> {
        log::warn!(target: "rwahub::gateway", session = sid; "a used refresh token came again; the session is ended");
        session.ended_ms = Some(self.now_ms());
        session.ended_why = Some("a refresh token was used twice".into());
        let actor = Identity {
            user: session.user.clone(),
            how: How::Session(sid.to_owned()),
            grants: Vec::new(),
            limited_to: None,
            address,
        };
        let mut batch = Batch::default();
        batch.put(&SESSIONS, sid, Expect::Version(version), &session)?;
        let note = Note::new("session.reuse", sid).why("a refresh token was used twice");
        self.note(&mut batch, &actor, note.request(request_id))?;
        self.records().apply(batch).await?;
        Ok(())
    }

    async fn session(&self, sid: &str) -> Result<(Session, u64), AuthError> {
        let found = self.records().get(&SESSIONS, sid).await?;
        let record = found.ok_or(AuthError::NotFound("there is no such session"))?;
        Ok((record.read()?, record.version))
    }

    fn require_living(&self, session: &Session) -> Result<(), AuthError> {
        if session.ended_ms.is_some() {
            return Err(AuthError::Unauthorized("the session has been ended; sign in again"));
        }
        if session.expires <= sortable(self.now_ms()) {
            return Err(AuthError::Unauthorized("the session has expired; sign in again"));
        }
        Ok(())
    }

    /// Who an access token speaks for, if its session still lives.
    pub(in crate::gateway) async fn by_token(
        &self,
        token: &str,
        address: Option<IpAddr>,
    ) -> Result<Identity, AuthError> {
        const GONE: AuthError = AuthError::Unauthorized("the session is gone; sign in again");
        let claims = self.check(token).await?;
        let (session, _) = match self.session(&claims.sid).await {
            Err(AuthError::NotFound(_)) => return Err(GONE),
            other => other?,
        };
        self.require_living(&session)?;
        let user = self.active_user(&session.user).await?;
        let how = How::Session(claims.sid);
        Ok(Identity { user: session.user, how, grants: user, limited_to: None, address })
    }

    /// The grants of a user who is not locked.
    pub(in crate::gateway) async fn active_user(&self, id: &str) -> Result<Vec<Grant>, AuthError> {
        match self.user(id).await {
            Ok((user, _)) if !user.disabled => Ok(user.grants),
            Ok(_) => Err(AuthError::Unauthorized("this user is locked")),
            Err(AuthError::NotFound(_)) => Err(AuthError::Unauthorized("this user is gone")),
            Err(error) => Err(error),
        }
    }

    /// A user's sessions, newest document keys last.
    pub(in crate::gateway) async fn sessions(
        &self,
        user: &str,
        limit: usize,
        after: Option<String>,
    ) -> Result<RecordPage, AuthError> {
        let by = By::Equal { lookup: "user", value: user.to_owned() };
        let select = Select { collection: &SESSIONS, by, order: Order::Ascending, limit, after };
        Ok(self.records().list(select).await?)
    }

    /// Adds the end of a session to a batch: one's own, or anybody's with the right to.
    pub(in crate::gateway) async fn end_session(
        &self,
        batch: &mut Batch,
        sid: &str,
        actor: &Identity,
        request_id: &str,
    ) -> Result<(), AuthError> {
        let (mut session, version) = self.session(sid).await?;
        let any = super::Permission::SessionsRevoke;
        if session.user != actor.user && !actor.may(any, &Scope::Platform) {
            return Err(AuthError::NotFound("there is no such session"));
        }
        if session.ended_ms.is_none() {
            session.ended_ms = Some(self.now_ms());
            session.ended_why = Some(format!("ended by user {}", actor.user));
            batch.put(&SESSIONS, sid, Expect::Version(version), &session)?;
            self.note(batch, actor, Note::new("session.end", sid).request(request_id))?;
        }
        Ok(())
    }
}
