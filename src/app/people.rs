//! Commands on users, keys and the audit trail. They work on the records directly, beside a running
//! daemon or without one.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

use super::build;
use crate::config::Config;
use crate::gateway::auth::api_keys::NewKey;
use crate::gateway::auth::keys::Rotation;
use crate::gateway::auth::roles::{Grant, Permission, Role, Scope};
use crate::gateway::auth::trail::{self, Checkpoint, TrailError, Verified};
use crate::gateway::auth::users::NewUser;
use crate::gateway::auth::{Auth, Identity};

/// People told at once by a list.
const USERS_SHOWN: usize = 1_000;

fn open(config: &Config) -> Result<Auth> {
    build::auth(config, [])
}

/// Enters a person with roles for the whole platform.
pub async fn add_user(
    config: &Config,
    wallet: &str,
    name: Option<String>,
    roles: &[String],
) -> Result<Value> {
    let wallet = wallet.parse().map_err(|_| anyhow!("--wallet {wallet}: not an address"))?;
    let mut grants = Vec::new();
    for word in roles {
        let known = || Role::ALL.iter().map(|role| role.word()).collect::<Vec<_>>().join(", ");
        let role = Role::of(word).ok_or_else(|| anyhow!("--role {word}: one of {}", known()))?;
        grants.push(Grant { role, scope: Scope::Platform });
    }
    let user = open(config)?.enter_user(NewUser { name, wallet, grants }).await?;
    Ok(serde_json::to_value(user)?)
}

/// Everybody.
pub async fn users(config: &Config) -> Result<Value> {
    let page = open(config)?.users(USERS_SHOWN, None).await?;
    Ok(page.items.into_iter().map(|record| record.body).collect())
}

/// The keys that sign access tokens.
pub async fn keys(config: &Config) -> Result<Value> {
    Ok(serde_json::to_value(open(config)?.keys().await?)?)
}

/// How the keys that sign access tokens are to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyChange {
    /// Published now, signs in ten minutes.
    Scheduled,
    /// Signs at once; tokens of the old key live on.
    Now,
    /// Signs at once; all tokens so far are refused.
    Revoke,
}

/// Puts a new signing key in place.
pub async fn rotate(config: &Config, change: KeyChange, why: &str) -> Result<Value> {
    let rotation = match change {
        KeyChange::Scheduled => Rotation::Scheduled,
        KeyChange::Now => Rotation::Now,
        KeyChange::Revoke => Rotation::Revoke,
    };
    let key = open(config)?.rotate(rotation, &Identity::command(), why).await?;
    Ok(serde_json::to_value(key)?)
}

/// Makes an API key for a user; its text is in the answer and nowhere else.
pub async fn add_token(
    config: &Config,
    user: &str,
    name: String,
    scopes: &[String],
    days: u64,
) -> Result<Value> {
    let mut list = Vec::new();
    for word in scopes {
        let known = || Permission::ALL.iter().map(|p| p.word()).collect::<Vec<_>>().join(", ");
        list.push(
            Permission::of(word).ok_or_else(|| anyhow!("--scope {word}: one of {}", known()))?,
        );
    }
    let new = NewKey { name, scopes: list, addresses: Vec::new(), ttl_days: days };
    let (id, text) = open(config)?.key_for(user, new).await?;
    Ok(json!({ "id": id, "key": text }))
}

/// Writes the audit trail with its signed head; the number of entries.
pub async fn export(config: &Config, to: Option<&Path>) -> Result<u64> {
    let auth = open(config)?;
    let exported = match to {
        Some(path) => {
            let file = File::create_new(path).with_context(|| path.display().to_string())?;
            let mut out = BufWriter::new(file);
            let count = auth.export_trail(&mut out).await?;
            out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
            count
        }
        None => {
            let mut out = BufWriter::new(std::io::stdout());
            let count = auth.export_trail(&mut out).await?;
            out.flush()?;
            count
        }
    };
    Ok(exported)
}

/// The public key that the trail's heads are signed with.
pub fn audit_key(config: &Config) -> Result<String> {
    Ok(open(config)?.audit_public_key()?)
}

/// Checks an export without any store: by the public key alone.
pub fn verify(file: &Path, public_key: &str, since: Option<&Path>) -> Result<Verified> {
    let earlier = since.map(head_of).transpose()?;
    let open = File::open(file).with_context(|| file.display().to_string())?;
    match trail::verify(&mut BufReader::new(open), public_key, earlier.as_ref()) {
        Ok(verified) => Ok(verified),
        Err(TrailError::Auth(error)) => Err(error.into()),
        Err(error) => bail!("{}: {error}", file.display()),
    }
}

/// The signed head of an earlier export, or a checkpoint alone.
fn head_of(file: &Path) -> Result<Checkpoint> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let first = text.lines().next().unwrap_or_default();
    serde_json::from_str(first).with_context(|| format!("{}: no checkpoint", file.display()))
}
