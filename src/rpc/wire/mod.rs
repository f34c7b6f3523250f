//! JSON-RPC on the wire: calls out, answers in, logs into a buffer.
//!
//! Knows the envelope and the shape of logs, not what a method means. Results stay raw bytes.

pub mod hex;

pub(crate) mod cursor;

mod layout;

pub mod logs;

pub mod request;

pub mod response;

pub use request::Call;

/// What a node sent is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("not valid JSON of the expected shape: {0}")]
    Json(String),
    #[error("field {field} is not what it should be: {found}")]
    Field { field: &'static str, found: String },
    #[error("field {0} is missing")]
    Missing(&'static str),
    #[error("a log has {0} topics, at most 4 exist")]
    Topics(usize),
    #[error(transparent)]
    Full(#[from] crate::types::log::LogBufFull),
}

impl WireError {
    /// A field whose text is wrong, with as much of the text as a message can bear.
    pub(crate) fn field(field: &'static str, found: &[u8]) -> Self {
        let found = String::from_utf8_lossy(found.get(..80).unwrap_or(found)).into_owned();
        Self::Field { field, found }
    }
}
