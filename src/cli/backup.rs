//! `rwahub backup`: arguments, and what came of it as lines or JSON.
//!
//! Decides nothing about backups.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;

use super::print;
use crate::app::backup::{self, Backup};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum BackupCommand {
    /// Makes a key pair: the secret into a file, the public key to stdout
    Keygen {
        /// New file for the secret; keep a copy away from this machine
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Seals a copy of the store, beside a running daemon
    Create {
        /// Folder of the backups [default: backup.path]
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
        /// Public key to seal for, may come several times [default: backup.recipients]
        #[arg(long = "recipient", value_name = "KEY")]
        recipients: Vec<String>,
    },
    /// Lists whole backups, newest first
    List {
        /// Folder of the backups [default: backup.path]
        #[arg(long, value_name = "DIR")]
        from: Option<PathBuf>,
    },
    /// Brings a backup into an empty or new folder
    Restore {
        /// The backup's id [default: the newest]
        id: Option<String>,
        /// File with the secret key
        #[arg(long, value_name = "FILE")]
        identity: PathBuf,
        /// Where to; becomes a folder for `[store] path`
        #[arg(long, value_name = "DIR")]
        into: PathBuf,
        /// Folder of the backups [default: backup.path]
        #[arg(long, value_name = "DIR")]
        from: Option<PathBuf>,
    },
    /// Drill: restores into a scratch place, reads every row, compares, tells RPO and RTO
    Verify {
        /// The backup's id [default: the newest]
        id: Option<String>,
        /// File with the secret key
        #[arg(long, value_name = "FILE")]
        identity: PathBuf,
        /// Folder of the backups [default: backup.path]
        #[arg(long, value_name = "DIR")]
        from: Option<PathBuf>,
    },
}

/// Makes a key; needs no configuration.
pub(super) fn keygen(out: &Path, as_json: bool) -> Result<()> {
    let public = backup::keygen(out)?;
    if as_json {
        return print::data(&json!({"public_key": public, "identity_file": out}).to_string());
    }
    print::data(&public)
}

/// Does what was asked; false when a drill did not pass.
pub(super) async fn run(config: &Config, command: &BackupCommand, as_json: bool) -> Result<bool> {
    match command {
        BackupCommand::Keygen { out } => keygen(out, as_json)?,
        BackupCommand::Create { to, recipients } => {
            let made = backup::create(config, to.as_deref(), recipients).await?;
            print::data(&if as_json { shown(&made).to_string() } else { line(&made) })?;
        }
        BackupCommand::List { from } => {
            let all = backup::list(config, from.as_deref())?;
            if as_json {
                let all: Vec<_> = all.iter().map(shown).collect();
                print::data(&json!(all).to_string())?;
            } else {
                all.iter().try_for_each(|one| print::data(&line(one)))?;
            }
        }
        BackupCommand::Restore { id, identity, into, from } => {
            let done =
                backup::restore(config, from.as_deref(), id.as_deref(), identity, into).await?;
            print::data(&if as_json { shown(&done).to_string() } else { line(&done) })?;
        }
        BackupCommand::Verify { id, identity, from } => {
            let drill = backup::verify(config, from.as_deref(), id.as_deref(), identity).await?;
            let text = if as_json {
                serde_json::to_string(&drill)?
            } else {
                format!(
                    "{} {}: RPO {:.1} s, RTO {:.1} s, {} rows, {} bytes{}",
                    drill.backup,
                    if drill.passed { "passed" } else { "FAILED" },
                    drill.rpo_seconds,
                    drill.rto_seconds,
                    drill.rows,
                    drill.bytes,
                    drill.fault.as_ref().map(|fault| format!(": {fault}")).unwrap_or_default()
                )
            };
            print::data(&text)?;
            return Ok(drill.passed);
        }
    }
    Ok(true)
}

fn shown(backup: &Backup) -> serde_json::Value {
    json!({"path": backup.path, "manifest": backup.manifest})
}

fn line(backup: &Backup) -> String {
    let manifest = &backup.manifest;
    let chains: Vec<String> = manifest
        .chains
        .iter()
        .map(|chain| {
            let block = chain.block.map_or("-".to_owned(), |block| block.to_string());
            format!("chain {} at {block}", chain.chain_id)
        })
        .collect();
    format!("{} {} bytes, {}", manifest.id, manifest.sealed_bytes(), chains.join(", "))
}
