//! Back ends and queries.
pub mod read;
