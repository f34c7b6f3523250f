//! The driver's complaints in the words of the store's port: whose fault, and whether to retry.
//!
//! Classifies by kind and code, never by message text.

use mongodb::error::{Error, ErrorKind, WriteFailure};

use crate::pipeline::error::StoreError;

/// Server codes that a change of primary or a server going down brings: the same command may succeed
/// on the next one. From the drivers' specification of retryable errors.
const FAILOVER_CODES: [i32; 13] =
    [6, 7, 89, 91, 134, 189, 262, 9001, 10_107, 11_600, 11_602, 13_435, 13_436];
/// "Duplicate key": a document that an earlier try has written.
pub(super) const DUPLICATE_KEY: i32 = 11_000;
/// The write was done here but not confirmed by a majority in time.
const WRITE_CONCERN_TIMEOUT: i32 = 64;

/// Whether the same command may succeed at once on another try.
pub(super) fn is_failover(error: &Error) -> bool {
    match &*error.kind {
        ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. } => true,
        ErrorKind::Command(command) => code_is_failover(command.code),
        _ => error.contains_label("RetryableWriteError"),
    }
}

/// The same for a code inside an answer.
pub(super) fn code_is_failover(code: i32) -> bool {
    FAILOVER_CODES.contains(&code) || code == WRITE_CONCERN_TIMEOUT
}

/// A driver's error as the port's. Nothing of it holds the URL: the driver names hosts alone.
pub(super) fn classify(error: &Error) -> StoreError {
    match &*error.kind {
        ErrorKind::Authentication { .. } | ErrorKind::InvalidArgument { .. } => {
            StoreError::Corrupt(error.to_string())
        }
        ErrorKind::Command(command) if !is_failover(error) => {
            StoreError::Corrupt(format!("{} ({})", command.message, command.code))
        }
        ErrorKind::Write(WriteFailure::WriteError(write)) => {
            StoreError::Corrupt(format!("{} ({})", write.message, write.code))
        }
        ErrorKind::Bson(_)
        | ErrorKind::BsonDeserialization(_)
        | ErrorKind::InvalidResponse { .. } => StoreError::Corrupt(error.to_string()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// A stored value that no version of this program has written.
pub(super) fn corrupt(what: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(what.to_string())
}

/// Makes `?` work on the driver's results.
impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        classify(&error)
    }
}

impl From<mongodb::bson::error::Error> for StoreError {
    fn from(error: mongodb::bson::error::Error) -> Self {
        corrupt(format_args!("a document of another shape: {error}"))
    }
}
