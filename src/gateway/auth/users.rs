//! People: their wallets and their grants.
//!
//! A wallet belongs to one person; that is a document of its own, so that two cannot claim it.

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

use super::roles::{Grant, Role, Scope};
use super::trail::Note;
use super::{Auth, AuthError, Identity, digest, new_id};
use crate::store::records::{Batch, By, Collection, Expect, Order, RecordPage, Select};

pub(in crate::gateway) const USERS: Collection = Collection { name: "users", lookups: &[] };
pub(in crate::gateway) const WALLETS: Collection = Collection { name: "wallets", lookups: &[] };

/// Longest name of a person, in bytes.
const NAME_BYTES_MAX: usize = 200;
/// Grants of one person.
const GRANTS_MAX: usize = 64;

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub id: String,
    pub name: Option<String>,
    /// Lower-case hex.
    pub wallets: Vec<String>,
    pub grants: Vec<Grant>,
    pub disabled: bool,
    pub created_ms: u64,
}

/// A person to enter.
#[derive(Debug, Clone)]
pub struct NewUser {
    pub name: Option<String>,
    pub wallet: Address,
    pub grants: Vec<Grant>,
}

/// A wallet's owner.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::gateway) struct Owner {
    pub(in crate::gateway) user: String,
}

pub(in crate::gateway) fn wallet_key(address: Address) -> String {
    format!("{address:#x}")
}

impl Auth {
    /// A person and the version of their document.
    pub(in crate::gateway) async fn user(&self, id: &str) -> Result<(User, u64), AuthError> {
        let found = self.records().get(&USERS, id).await?;
        let record = found.ok_or(AuthError::NotFound("there is no such user"))?;
        Ok((record.read()?, record.version))
    }

    /// Whose wallet it is.
    pub(in crate::gateway) async fn owner(
        &self,
        wallet: Address,
    ) -> Result<Option<String>, AuthError> {
        match self.records().get(&WALLETS, &wallet_key(wallet)).await? {
            Some(record) => Ok(Some(record.read::<Owner>()?.user)),
            None => Ok(None),
        }
    }

    /// People by id.
    pub async fn users(
        &self,
        limit: usize,
        after: Option<String>,
    ) -> Result<RecordPage, AuthError> {
        let order = Order::Ascending;
        let select = Select { collection: &USERS, by: By::Key, order, limit, after };
        Ok(self.records().list(select).await?)
    }

    /// Adds a person to a batch.
    pub(in crate::gateway) fn add_user(
        &self,
        batch: &mut Batch,
        new: NewUser,
        actor: &Identity,
        request_id: Option<&str>,
    ) -> Result<User, AuthError> {
        if new
            .name
            .as_ref()
            .is_some_and(|name| name.len() > NAME_BYTES_MAX || name.trim().is_empty())
        {
            let text = format!("name: 1 to {NAME_BYTES_MAX} bytes");
            return Err(AuthError::Unprocessable(text));
        }
        check_grants(&new.grants)?;
        let user = User {
            id: new_id(),
            name: new.name,
            wallets: vec![wallet_key(new.wallet)],
            grants: new.grants,
            disabled: false,
            created_ms: self.now_ms(),
        };
        let owner = Owner { user: user.id.clone() };
        batch.put(&USERS, user.id.clone(), Expect::Absent, &user)?;
        batch.put(&WALLETS, wallet_key(new.wallet), Expect::Absent, &owner)?;
        let mut note = Note::new("user.add", &user.id).changed(None, Some(digest(&user)?));
        if let Some(id) = request_id {
            note = note.request(id);
        }
        self.note(batch, actor, note)?;
        Ok(user)
    }

    /// Enters a person at once: for commands on the machine.
    pub async fn enter_user(&self, new: NewUser) -> Result<User, AuthError> {
        if let Some(user) = self.owner(new.wallet).await? {
            let text = format!("wallet {:#x} belongs to user {user} already", new.wallet);
            return Err(AuthError::Unprocessable(text));
        }
        let mut batch = Batch::default();
        let user = self.add_user(&mut batch, new, &Identity::command(), None)?;
        self.records().apply(batch).await?;
        Ok(user)
    }

    /// Adds new grants or the lock of a person to a batch; nobody changes their own.
    pub(in crate::gateway) async fn change_user(
        &self,
        batch: &mut Batch,
        id: &str,
        change: UserChange,
        by: Change<'_>,
    ) -> Result<User, AuthError> {
        if by.actor.user == id {
            let text = "nobody changes their own rights; ask another administrator";
            return Err(AuthError::Forbidden(text.into()));
        }
        let (before, version) = self.user(id).await?;
        let mut after = before.clone();
        let action = match change {
            UserChange::Grants(grants) => {
                check_grants(&grants)?;
                after.grants = grants;
                "user.grant"
            }
            UserChange::Disabled(disabled) => {
                after.disabled = disabled;
                if disabled { "user.disable" } else { "user.enable" }
            }
        };
        batch.put(&USERS, id, Expect::Version(version), &after)?;
        let digests = (Some(digest(&before)?), Some(digest(&after)?));
        let mut note = Note::new(action, id).changed(digests.0, digests.1).request(by.request_id);
        if let Some(why) = by.why {
            note = note.why(why);
        }
        self.note(batch, by.actor, note)?;
        Ok(after)
    }
}

/// What is changed of a person.
#[derive(Debug)]
pub(in crate::gateway) enum UserChange {
    Grants(Vec<Grant>),
    Disabled(bool),
}

/// Who changes something, and why.
#[derive(Debug, Clone, Copy)]
pub(in crate::gateway) struct Change<'a> {
    pub(in crate::gateway) actor: &'a Identity,
    pub(in crate::gateway) request_id: &'a str,
    pub(in crate::gateway) why: Option<&'a str>,
}

fn check_grants(grants: &[Grant]) -> Result<(), AuthError> {
    if grants.len() > GRANTS_MAX {
        return Err(AuthError::Unprocessable(format!("grants: at most {GRANTS_MAX}")));
    }
    let wide = [Role::PlatformAdmin, Role::SecurityAdmin, Role::Operator];
    match grants.iter().find(|grant| wide.contains(&grant.role) && grant.scope != Scope::Platform) {
        Some(grant) => {
            let word = grant.role.word();
            Err(AuthError::Unprocessable(format!("{word} exists for the whole platform only")))
        }
        None => Ok(()),
    }
}
