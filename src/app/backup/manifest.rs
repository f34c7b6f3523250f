//! What a backup says of itself: which files, sealed for whom, with which contents.
//!
//! Plain text beside the sealed files; holds nothing that is not public.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// Name of the file in a backup's folder.
pub(super) const FILE_NAME: &str = "manifest.json";
/// Raised when older programs cannot read what newer ones write.
const FORMAT: u32 = 1;
/// A manifest is a few kilobytes.
const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// One backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub id: String,
    /// Version of the program that made it.
    pub version: String,
    /// When the snapshot was taken, in milliseconds since the Unix epoch.
    pub taken_at_ms: u64,
    /// Public keys that it is sealed for.
    pub recipients: Vec<String>,
    pub chains: Vec<ChainMark>,
    pub files: Vec<FileEntry>,
}

/// Where a chain's index stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainMark {
    pub chain_id: u64,
    pub block: Option<u64>,
    pub block_hash: Option<String>,
    pub events: u64,
}

/// One file of the store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FileEntry {
    pub name: String,
    pub plain_bytes: u64,
    pub plain_sha256: String,
    pub sealed_bytes: u64,
    pub sealed_sha256: String,
    /// Rows and digest per table.
    pub tables: BTreeMap<String, TableMark>,
}

/// Rows of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableMark {
    pub rows: u64,
    pub sha256: String,
}

impl FileEntry {
    /// Name of the sealed file.
    pub(super) fn sealed_name(&self) -> String {
        format!("{}.age", self.name)
    }
}

impl Manifest {
    /// An empty one of this program.
    pub(super) fn new(id: String, taken_at_ms: u64, recipients: Vec<String>) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let (chains, files) = (Vec::new(), Vec::new());
        Self { format: FORMAT, id, version, taken_at_ms, recipients, chains, files }
    }

    /// Bytes of all sealed files.
    pub fn sealed_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.sealed_bytes).sum()
    }

    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE_NAME);
        let file = std::fs::File::create_new(&path)?;
        serde_json::to_writer_pretty(&file, self)?;
        file.sync_all()?;
        Ok(())
    }

    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE_NAME);
        let size = std::fs::metadata(&path).with_context(|| format!("{}", path.display()))?.len();
        if size > BYTES_MAX {
            bail!("{}: too large for a manifest", path.display());
        }
        let text = std::fs::read(&path).with_context(|| format!("{}", path.display()))?;
        let manifest: Self =
            serde_json::from_slice(&text).with_context(|| format!("{}", path.display()))?;
        if manifest.format != FORMAT {
            bail!("{}: format {} is not ours ({FORMAT})", path.display(), manifest.format);
        }
        for file in &manifest.files {
            // A manifest is not sealed: it must not name a file elsewhere.
            if file.name.is_empty() || file.name.contains(['/', '\\']) || file.name.starts_with('.')
            {
                bail!("{}: {:?} is no file name", path.display(), file.name);
            }
        }
        Ok(manifest)
    }
}

/// Whole backups in `folder`, newest first. What has no readable manifest is left out.
pub(super) fn all(folder: &Path) -> Result<Vec<(PathBuf, Manifest)>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("{}", folder.display())),
    };
    let mut found: Vec<(PathBuf, Manifest)> = entries
        .flatten()
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .filter_map(|entry| Some((entry.path(), Manifest::read(&entry.path()).ok()?)))
        .collect();
    found.sort_by(|a, b| (b.1.taken_at_ms, &b.1.id).cmp(&(a.1.taken_at_ms, &a.1.id)));
    Ok(found)
}
