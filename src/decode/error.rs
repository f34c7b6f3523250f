//! What can be wrong with a log, and what can be wrong with an ABI.
//!
//! A log's faults are small copies that end in the dead-letter table; an ABI's faults name file and
//! remedy for the operator. Neither is ever a panic.

use std::fmt;

/// Why a log's bytes do not fit a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DecodeError {
    TopicCount,
    DataLength,
    /// A value has bits set outside its type.
    Padding,
    /// An offset or length points outside the payload.
    Offset,
    /// The payload refers to the same bytes again and again.
    Bomb,
    UnknownEvent,
    Anonymous,
    UnknownLayout,
}

impl DecodeError {
    /// The text that the dead-letter table keeps.
    pub fn reason(self) -> &'static str {
        match self {
            Self::TopicCount => "the log has another number of topics than the event",
            Self::DataLength => "the payload has another length than the event",
            Self::Padding => "a value has bits set outside its type",
            Self::Offset => "an offset or length points outside the payload",
            Self::Bomb => "the payload refers to the same bytes again and again",
            Self::UnknownEvent => "the signature hash is in no ABI of the contract",
            Self::Anonymous => "the log has no topics and fits no anonymous event",
            Self::UnknownLayout => "the layout is not known to this process",
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for DecodeError {}

/// Why a contract entry cannot be indexed as configured. Each text ends with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AbiError {
    #[error(
        "contract {contract}: {file} is not a JSON ABI: {detail}; give the array that the compiler \
         prints as \"abi\", or its whole artifact"
    )]
    Json { contract: String, file: String, detail: String },
    #[error(
        "contract {contract}: {file} describes no event; name an ABI with at least one entry of \
         type \"event\""
    )]
    NoEvents { contract: String, file: String },
    #[error("contract {contract}: {file}: event {event}: {detail}; correct or remove this event")]
    Event { contract: String, file: String, event: String, detail: String },
    #[error("contract {contract}: {file} has no event {event}; events takes names out of: {known}")]
    NoSuchEvent { contract: String, file: String, event: String, known: String },
    #[error(
        "contract {contract}: no ABI describes the factory event {topic0}; add the event to {file}"
    )]
    NoFactoryEvent { contract: String, file: String, topic0: String },
    #[error(
        "contract {contract}: the factory event {event} has no address parameter {parameter}; \
         parameter takes one of: {known}"
    )]
    NoFactoryParameter { contract: String, event: String, parameter: String, known: String },
    #[error("{count} contract entries for one chain; the limit is {limit}, so join entries")]
    TooMany { count: usize, limit: usize },
}
