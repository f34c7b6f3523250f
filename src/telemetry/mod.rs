//! What the operator sees: metrics, logs, spans and the health board. Rooms say when, this room says how.
//!
//! Names no other room: whoever has something to report calls in here.

pub mod metrics;

pub mod server;

pub mod log;

pub mod trace;

pub mod health;

pub mod disk;

pub mod errors;
