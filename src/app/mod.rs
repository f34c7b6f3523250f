//! From a checked configuration to running parts. The only room that constructs and spawns.
//!
//! Holds no logic of its own: what a part does is decided in its room.

pub mod build;

pub mod run;

pub mod backfill;

pub mod check;

pub mod status;

mod enrich;

mod live;

mod chain_task;
