//! Back ends and the questions that may be asked of them.
//!
//! The write port is `pipeline::store::Store`; the read port is [`read::Queries`]. A back end implements
//! both over the same data.

pub mod read;
pub mod records;

pub mod embedded;

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "made-up numbers are small")]
mod contract_tests;
