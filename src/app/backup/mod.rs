//! `rwahub backup`: sealed copies of the store's files, brought back, and the drill that proves both.
//!
//! Works beside a running daemon. What lies in another engine (MongoDB) is that engine's business.

mod drill;

mod manifest;

mod seal;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret;
use anyhow::{Context, Result, anyhow, bail};

use self::seal::{Measure, Sealed};
use super::build::Decoding;
use crate::config::{Config, Store};
use crate::store::embedded::{self, inspect};
use crate::store::read::Queries;
use crate::types::clock::{Clock, SystemClock};

pub use self::drill::{Drill, last, verify};
pub use self::manifest::{ChainMark, FileEntry, Manifest, TableMark};

/// Where a copy lies, unsealed, until it is sealed: beside the store, under the same protection.
const SCRATCH: &str = ".backup-scratch";
/// A backup under way; never counts as one.
const PARTIAL: &str = ".partial-";
/// Held by whoever makes a backup.
const LOCK: &str = ".lock";

/// A backup and where it lies.
#[derive(Debug, Clone)]
pub struct Backup {
    pub path: PathBuf,
    pub manifest: Manifest,
}

/// Makes a key pair: the secret into the new file `out`, which only its owner can read. Returns the
/// public key.
pub fn keygen(out: &Path) -> Result<String> {
    let identity = age::x25519::Identity::generate();
    let public = identity.to_public().to_string();
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(out)
        .with_context(|| format!("{}", out.display()))?;
    let secret = identity.to_string();
    writeln!(file, "# public key: {public}\n{}", secret.expose_secret())?;
    file.sync_all()?;
    Ok(public)
}

/// Seals a copy of the store into a new folder below `to`, and removes the oldest beyond
/// `[backup] keep`.
pub async fn create(config: &Config, to: Option<&Path>, recipients: &[String]) -> Result<Backup> {
    let folder = place(config, to)?;
    let names = if recipients.is_empty() { &config.backup.recipients } else { recipients };
    let keys = seal::recipients(names)?;
    fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
    let lock = File::create(folder.join(LOCK)).with_context(|| format!("{}", folder.display()))?;
    lock.try_lock()
        .map_err(|_| anyhow!("another backup into {} is under way", folder.display()))?;
    let store = store_path(config)?;
    clean(&folder, store)?;

    let now = SystemClock.now();
    let taken_at_ms = u64::try_from(now.as_millis())?;
    let id = format!("rwahub-{taken_at_ms}");
    let partial = folder.join(format!("{PARTIAL}{id}"));
    fs::create_dir(&partial)?;
    let mut manifest = Manifest::new(id, taken_at_ms, names.to_vec());
    let scratch = store.join(SCRATCH);
    fs::create_dir(&scratch)?;
    let sources = files(store)?;
    for name in &sources {
        let (from, copy) = (store.join(name), scratch.join(name));
        tokio::task::spawn_blocking(move || inspect::copy(&from, &copy)).await??;
    }
    // What the copy says, not the live store: that has moved on meanwhile.
    manifest.chains = chains(config, &scratch).await?;
    for name in sources {
        let (copy, sealed) = (scratch.join(&name), partial.join(format!("{name}.age")));
        let keys = keys.clone();
        let entry = tokio::task::spawn_blocking(move || entry(name, &copy, &sealed, &keys));
        manifest.files.push(entry.await??);
    }
    fs::remove_dir_all(&scratch)?;
    manifest.write(&partial)?;
    let path = folder.join(&manifest.id);
    fs::rename(&partial, &path)?;
    File::open(&folder)?.sync_all()?;
    prune(&folder, config.backup.keep)?;
    Ok(Backup { path, manifest })
}

/// Whole backups, newest first.
pub fn list(config: &Config, from: Option<&Path>) -> Result<Vec<Backup>> {
    let found = manifest::all(&place(config, from)?)?;
    Ok(found.into_iter().map(|(path, manifest)| Backup { path, manifest }).collect())
}

/// The newest whole backup in a folder.
pub(super) fn newest(folder: &Path) -> Option<Manifest> {
    manifest::all(folder).ok()?.into_iter().next().map(|(_, manifest)| manifest)
}

/// Brings a backup (the newest without `id`) into the empty or new folder `into`.
pub async fn restore(
    config: &Config,
    from: Option<&Path>,
    id: Option<&str>,
    identity: &Path,
    into: &Path,
) -> Result<Backup> {
    let backup = find(config, from, id)?;
    unpack(&backup, identity, into).await?;
    Ok(backup)
}

async fn unpack(backup: &Backup, identity: &Path, into: &Path) -> Result<()> {
    let keys = seal::identities(identity)?;
    if fs::read_dir(into).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{} is not empty; name a new folder, or move what is there away", into.display());
    }
    fs::create_dir_all(into).with_context(|| format!("{}", into.display()))?;
    for file in &backup.manifest.files {
        let sealed = backup.path.join(file.sealed_name());
        let (partial, target) =
            (into.join(format!("{}.partial", file.name)), into.join(&file.name));
        let (keys, expected) = (keys.clone(), measures(file));
        let opened = tokio::task::spawn_blocking(move || {
            seal::open(&sealed, &partial, &keys, &expected)?;
            Ok::<_, anyhow::Error>(fs::rename(&partial, &target)?)
        });
        if let Err(error) = opened.await? {
            // Half a store must not look like one.
            backup
                .manifest
                .files
                .iter()
                .for_each(|one| drop(fs::remove_file(into.join(&one.name))));
            return Err(error);
        }
    }
    File::open(into)?.sync_all()?;
    Ok(())
}

fn measures(file: &FileEntry) -> Sealed {
    let plain = Measure { bytes: file.plain_bytes, sha256: file.plain_sha256.clone() };
    let sealed = Measure { bytes: file.sealed_bytes, sha256: file.sealed_sha256.clone() };
    Sealed { plain, sealed }
}

fn find(config: &Config, from: Option<&Path>, id: Option<&str>) -> Result<Backup> {
    let folder = place(config, from)?;
    let mut all = list(config, from)?.into_iter();
    let found = match id {
        Some(id) => all.find(|backup| backup.manifest.id == id),
        None => all.next(),
    };
    found.ok_or_else(|| match id {
        Some(id) => anyhow!("no whole backup {id} in {}", folder.display()),
        None => anyhow!("no whole backup in {}", folder.display()),
    })
}

/// The folder that backups lie in.
fn place(config: &Config, given: Option<&Path>) -> Result<PathBuf> {
    let place = given.map(Path::to_owned).or_else(|| config.backup.path.clone());
    place.context("no place for backups: set [backup] path, or name a folder on the command line")
}

fn store_path(config: &Config) -> Result<&Path> {
    match &config.store {
        Store::Embedded { path } => Ok(path.as_path()),
        #[allow(unreachable_patterns, reason = "more kinds of store are on their way")]
        _ => bail!(
            "[store] kind: only the embedded store is backed up here; use the engine's own tool"
        ),
    }
}

/// The store's databases: the index, and whatever else lies beside it.
fn files(store: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(store).with_context(|| format!("{}", store.display()))?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".sqlite")).collect();
    names.sort();
    if !names.iter().any(|name| name == embedded::FILE_NAME) {
        bail!("{} holds no store; correct [store] path", store.display());
    }
    Ok(names)
}

fn entry(
    name: String,
    copy: &Path,
    sealed: &Path,
    keys: &[age::x25519::Recipient],
) -> Result<FileEntry> {
    let tables = tables(copy)?;
    let done = seal::seal(copy, sealed, keys)?;
    Ok(FileEntry {
        name,
        plain_bytes: done.plain.bytes,
        plain_sha256: done.plain.sha256,
        sealed_bytes: done.sealed.bytes,
        sealed_sha256: done.sealed.sha256,
        tables,
    })
}

fn tables(path: &Path) -> Result<std::collections::BTreeMap<String, TableMark>> {
    let mark = |(name, table): (String, inspect::TableDigest)| {
        (name, TableMark { rows: table.rows, sha256: table.sha256 })
    };
    Ok(inspect::inspect(path)?.into_iter().map(mark).collect())
}

/// Opens a folder as the daemon would and asks where its chains stand.
async fn chains(config: &Config, folder: &Path) -> Result<Vec<ChainMark>> {
    let decoding = Decoding::new(config)?;
    let store = embedded::open_read_only(folder, &decoding.names, decoding.layouts)?;
    let chains = store.chains().await?;
    Ok(chains
        .into_iter()
        .map(|index| ChainMark {
            chain_id: index.chain.0,
            block: index.indexed.map(|block| block.number),
            block_hash: index.indexed.map(|block| block.hash.to_string()),
            events: index.events,
        })
        .collect())
}

/// Removes what a backup that was killed left behind.
fn clean(folder: &Path, store: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    let scratch = store.join(SCRATCH);
    if scratch.exists() {
        fs::remove_dir_all(&scratch)?;
    }
    Ok(())
}

/// Removes the oldest beyond `keep`.
fn prune(folder: &Path, keep: usize) -> Result<()> {
    for (path, manifest) in manifest::all(folder)?.into_iter().skip(keep) {
        log::info!(backup = manifest.id.as_str(); "an old backup is removed");
        fs::remove_dir_all(path)?;
    }
    Ok(())
}
