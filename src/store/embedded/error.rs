//! SQLite's complaints in the words of the store's port: whose fault, and whether to retry.
//!
//! Classifies by code alone, never by message text.

use rusqlite::ErrorCode;

use crate::pipeline::error::StoreError;
use crate::store::read::QueryError;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::OutOfMemory
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::OperationInterrupted,
            ) => Self::Unavailable(error.to_string()),
            _ => Self::Corrupt(error.to_string()),
        }
    }
}

impl From<rusqlite::Error> for QueryError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// A stored value that no version of this program has written.
pub(super) fn corrupt(what: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(what.to_string())
}

/// The thread that answers has gone.
pub(super) fn stopped() -> StoreError {
    StoreError::Unavailable("the store has been shut down".into())
}
