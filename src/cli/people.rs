//! `users`, `keys`, `tokens` and `audit`: arguments and output of the commands on people.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use serde_json::Value;

use super::print;
use crate::app::people::{self, KeyChange};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Users {
    /// Enters a person by their wallet
    Add {
        /// The address that they sign in with
        #[arg(long, value_name = "ADDRESS")]
        wallet: String,
        /// Their name
        #[arg(long)]
        name: Option<String>,
        /// A role for the whole platform; may be given several times
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// Short for --role platform_admin
        #[arg(long)]
        admin: bool,
    },
    /// Lists everybody
    List,
}

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Lists the keys that sign access tokens
    List,
    /// Puts a new key in place: it is published now and signs in ten minutes
    Rotate {
        /// It signs at once; tokens of the old key live on to their end
        #[arg(long)]
        now: bool,
        /// It signs at once, and every token signed so far is refused
        #[arg(long, conflicts_with = "now")]
        revoke: bool,
        /// For the audit trail
        #[arg(long, default_value = "by command")]
        why: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Tokens {
    /// Makes an API key for a user and prints it, this once
    Add {
        /// The user's id
        #[arg(long)]
        user: String,
        /// What it is for
        #[arg(long)]
        name: String,
        /// A permission that it has; may be given several times
        #[arg(long = "scope", value_name = "PERMISSION", required = true)]
        scopes: Vec<String>,
        /// Days until it ends
        #[arg(long, default_value_t = 90)]
        days: u64,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Writes the trail and its signed end, one JSON object a line
    Export {
        /// A new file; to the terminal when not given
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Prints the public key that exports are checked with
    Key,
    /// Checks an export by the public key alone: no store, no configuration
    Verify {
        /// The export
        file: PathBuf,
        /// As `rwahub audit key` printed it
        #[arg(long, value_name = "HEX")]
        public_key: String,
        /// An earlier export or checkpoint that must be contained
        #[arg(long, value_name = "FILE")]
        since: Option<PathBuf>,
    },
}

/// Runs a command on users.
pub(super) async fn users(config: &Config, command: &Users) -> Result<()> {
    let answer = match command {
        Users::Add { wallet, name, roles, admin } => {
            let mut roles = roles.clone();
            if *admin {
                roles.push("platform_admin".into());
            }
            people::add_user(config, wallet, name.clone(), &roles).await?
        }
        Users::List => people::users(config).await?,
    };
    show(&answer)
}

/// Runs a command on signing keys.
pub(super) async fn keys(config: &Config, command: &Keys) -> Result<()> {
    let answer = match command {
        Keys::List => people::keys(config).await?,
        Keys::Rotate { now, revoke, why } => {
            let change = match (now, revoke) {
                (_, true) => KeyChange::Revoke,
                (true, _) => KeyChange::Now,
                _ => KeyChange::Scheduled,
            };
            people::rotate(config, change, why).await?
        }
    };
    show(&answer)
}

/// Runs a command on API keys.
pub(super) async fn tokens(config: &Config, command: &Tokens) -> Result<()> {
    let Tokens::Add { user, name, scopes, days } = command;
    show(&people::add_token(config, user, name.clone(), scopes, *days).await?)
}

/// Runs a command on the trail that needs the records.
pub(super) async fn audit(config: &Config, command: &Audit) -> Result<()> {
    match command {
        Audit::Export { out } => {
            let count = people::export(config, out.as_deref()).await?;
            if out.is_some() {
                show(&serde_json::json!({ "entries": count }))?;
            }
            Ok(())
        }
        Audit::Key => print::data(&people::audit_key(config)?),
        Audit::Verify { file, public_key, since } => verify(file, public_key, since.as_ref()),
    }
}

/// Checks an export.
pub(super) fn verify(
    file: &std::path::Path,
    public_key: &str,
    since: Option<&PathBuf>,
) -> Result<()> {
    let verified = people::verify(file, public_key, since.map(PathBuf::as_path))?;
    show(&serde_json::to_value(verified)?)
}

/// What these commands print is data for people and programs alike.
fn show(value: &Value) -> Result<()> {
    print::data(&serde_json::to_string_pretty(value)?)
}
