//! Bytes → typed events: which event a log is, by which ABI, and what its fields say.
//!
//! Pure and synchronous; the way of a log (`registry`, `word`, `event`) allocates nothing. Rendering
//! arguments as text (`args`) does, and is for answers, not for the index. Knows no JSON-RPC, no store
//! and no configuration file.

pub mod event;

pub mod registry;

pub mod layout;

pub mod program;

mod source;

pub mod factory;

pub mod filter;

mod render;

pub mod word;

pub mod error;

#[cfg(test)]
mod tests;

#[cfg(test)]
mod agreement;
