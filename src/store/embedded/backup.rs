//! Online backup: a compact copy of one moment, in one file that opens like the original.
//!
//! Takes no lock that a writer would wait for; the write-ahead log grows while the copy runs.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;

use rusqlite::Connection;

use crate::pipeline::error::StoreError;

/// Copies into a neighbour of `to` first, so that `to` is whole or absent whatever happens.
pub(in crate::store) fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    if to.exists() {
        return Err(unavailable(to, "exists already; name a new file or move it away"));
    }
    let mut partial = OsString::from(to);
    partial.push(".partial");
    let partial = Path::new(&partial);
    if partial.exists() {
        std::fs::remove_file(partial).map_err(|error| unavailable(partial, &error))?;
    }
    let name = partial.to_str().ok_or_else(|| unavailable(to, "is not a UTF-8 path"))?;
    let connection = Connection::open(from)?;
    connection.busy_timeout(super::writer::BUSY_TIMEOUT)?;
    if let Err(error) = connection.execute("VACUUM INTO ?1", [name]) {
        std::fs::remove_file(partial).ok();
        return Err(unavailable(to, &error));
    }
    File::open(partial)
        .and_then(|file| file.sync_all())
        .and_then(|()| std::fs::rename(partial, to))
        .map_err(|error| unavailable(to, &error))
}

fn unavailable(path: &Path, what: &(impl std::fmt::Display + ?Sized)) -> StoreError {
    StoreError::Unavailable(format!("backup {}: {what}", path.display()))
}
