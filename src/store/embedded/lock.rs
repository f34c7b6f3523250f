//! One writer per directory: an advisory lock that dies with the process that holds it.
//!
//! Readers need no lock; SQLite's WAL keeps them apart from the writer.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::Path;

use crate::pipeline::error::StoreError;

const LOCK_FILE: &str = "rwahub.lock";
/// A process id takes at most 10 digits; the rest is slack for a file someone else wrote.
const PID_BYTES_MAX: u64 = 32;

/// Held for as long as the store is open for writing.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Creates the directory if need be and takes its lock, or names who holds it.
    pub(super) fn acquire(directory: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(directory)
            .map_err(|error| unwritable(directory, "cannot be created", &error))?;
        let mut file = take(directory)?;
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{}", std::process::id()))
            .map_err(|error| unwritable(directory, "is not writable", &error))?;
        Ok(Self { _file: file })
    }
}

/// Takes the lock for a moment, to see whether somebody holds it.
pub(super) fn look(directory: &Path) -> Result<(), StoreError> {
    take(directory).map(drop)
}

/// Whether the nearest existing directory above a missing one takes new entries.
pub(super) fn can_be_created(directory: &Path) -> Result<(), StoreError> {
    let parents = directory.ancestors().skip(1);
    let base = parents.map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path });
    let Some(base) = base.into_iter().find(|path| path.exists()) else { return Ok(()) };
    let probe = base.join(format!(".rwahub-probe-{}", std::process::id()));
    let made = std::fs::create_dir(&probe).and_then(|()| std::fs::remove_dir(&probe));
    made.map_err(|error| unwritable(directory, "cannot be created", &error))
}

fn take(directory: &Path) -> Result<File, StoreError> {
    {
        let path = directory.join(LOCK_FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| unwritable(directory, "is not writable", &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Fenced {
                    what: directory.display().to_string(),
                    holder: format!("process {} (lock {})", holder(&mut file), path.display()),
                });
            }
            Err(TryLockError::Error(error)) => {
                return Err(unwritable(directory, "cannot be locked", &error));
            }
        }
        Ok(file)
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.take(PID_BYTES_MAX).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

fn unwritable(directory: &Path, what: &str, error: &std::io::Error) -> StoreError {
    let remedy = match error.kind() {
        ErrorKind::StorageFull => "free some space",
        _ => {
            "give the user that runs rwahub write access, or set [store] path to another directory"
        }
    };
    StoreError::Unavailable(format!("directory {} {what}: {error}; {remedy}", directory.display()))
}
