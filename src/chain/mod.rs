//! What is canonical: from what nodes say to a linked, proven sequence of blocks.
//!
//! One [`follow::Follower`] per network: history through [`backfill`], then the head through
//! [`follow`]. Emits [`update::ChainUpdate`]s and nothing else; decodes no event and writes nothing.

pub mod update;

pub mod node;

pub mod pool_node;

pub mod ranges;

mod witness;

pub mod reorg;

pub mod profile;

pub mod verify;

pub mod fetch;

pub mod backfill;

pub mod follow;

pub mod queue;

pub mod error;

#[cfg(test)]
mod tests;
