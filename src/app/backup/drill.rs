//! The drill: restore into a scratch place, read everything, compare with the manifest, tell how long it
//! took and how much would have been lost.
//!
//! The outcome stays beside the backups, where the daemon finds it for its metrics.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::{Backup, chains, find, place, tables, unpack};
use crate::config::Config;
use crate::types::clock::{Clock, SystemClock};

/// The last drill's outcome.
const FILE_NAME: &str = "drill.json";
/// Where it restores to, below the system's folder for such things unless told otherwise.
const SCRATCH: &str = "rwahub-drill";

/// How a drill ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Drill {
    pub backup: String,
    pub passed: bool,
    /// What is wrong, if it did not pass.
    pub fault: Option<String>,
    /// When it ended, in seconds since the Unix epoch.
    pub at_seconds: u64,
    /// When the last one that passed ended.
    pub passed_at_seconds: Option<u64>,
    /// Age of the backup at the drill: what would be lost.
    pub rpo_seconds: f64,
    /// From sealed files to a store that was read whole.
    pub rto_seconds: f64,
    pub rows: u64,
    pub bytes: u64,
}

/// Drills a backup (the newest without `id`). An outcome that did not pass is an outcome; an error means
/// that there was none.
pub async fn verify(
    config: &Config,
    from: Option<&Path>,
    id: Option<&str>,
    identity: &Path,
) -> Result<Drill> {
    let backup = find(config, from, id)?;
    let folder = place(config, from)?;
    let scratch = Scratch::new(&backup.manifest.id)?;
    let started = SystemClock.now();
    let outcome = compare(config, &backup, identity, &scratch.0).await;
    let ended = SystemClock.now();
    let passed = outcome.is_ok();
    let before = last(&folder).and_then(|drill| drill.passed_at_seconds);
    let age = started.saturating_sub(Duration::from_millis(backup.manifest.taken_at_ms));
    let drill = Drill {
        backup: backup.manifest.id.clone(),
        passed,
        fault: outcome.as_ref().err().map(|error| format!("{error:#}")),
        at_seconds: ended.as_secs(),
        passed_at_seconds: if passed { Some(ended.as_secs()) } else { before },
        rpo_seconds: age.as_secs_f64(),
        rto_seconds: ended.saturating_sub(started).as_secs_f64(),
        rows: outcome.unwrap_or(0),
        bytes: backup.manifest.files.iter().map(|file| file.plain_bytes).sum(),
    };
    keep(&folder, &drill)?;
    Ok(drill)
}

/// The last drill of backups in `folder`.
pub fn last(folder: &Path) -> Option<Drill> {
    serde_json::from_slice(&fs::read(folder.join(FILE_NAME)).ok()?).ok()
}

/// Restores and reads every row; returns how many there were.
async fn compare(config: &Config, backup: &Backup, identity: &Path, into: &Path) -> Result<u64> {
    unpack(backup, identity, into).await?;
    let mut rows = 0;
    for file in &backup.manifest.files {
        let path = into.join(&file.name);
        let found = tokio::task::spawn_blocking(move || tables(&path)).await??;
        for (name, mark) in &file.tables {
            if found.get(name) != Some(mark) {
                bail!("{}: table {name} does not hold what the manifest says", file.name);
            }
        }
        if found.len() != file.tables.len() {
            bail!("{}: there are tables that the manifest does not name", file.name);
        }
        rows += found.values().map(|table| table.rows).sum::<u64>();
    }
    let stand = chains(config, into).await.context("the restored store does not open")?;
    if stand != backup.manifest.chains {
        bail!("the restored index stands elsewhere than the manifest says");
    }
    Ok(rows)
}

/// Whole or not at all: the daemon reads it at any moment.
fn keep(folder: &Path, drill: &Drill) -> Result<()> {
    let partial = folder.join(".drill.json.partial");
    fs::write(&partial, serde_json::to_vec_pretty(drill)?)?;
    fs::rename(partial, folder.join(FILE_NAME))?;
    Ok(())
}

/// Removed on every way out.
struct Scratch(PathBuf);

impl Scratch {
    fn new(id: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("{SCRATCH}-{}-{id}", std::process::id()));
        let mut builder = fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path).with_context(|| format!("{}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}
