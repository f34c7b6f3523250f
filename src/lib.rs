//! RWA Hub: an EVM indexer and JSON-RPC multiplexer for real-world-asset tokens.
//!
//! ```text
//! rpc ──bytes──▶ chain ──Committed│Reorged│Finalized──▶ pipeline ──decode──▶ handlers
//!  ▲                                                       │ one atomic unit
//!  │                                                       ▼
//! gateway ◀──────────── reads, feed ─────────────────── store, bus
//! ```
//! The modules below are the rooms, in the order in which data meets them; `ARCHITECTURE.md` says what
//! each may import, and a test holds them to it.

pub mod types;

pub mod config;

pub mod telemetry;

pub mod decode;

pub mod rpc;

pub mod chain;

pub mod pipeline;

pub mod handlers;

pub mod store;

pub mod bus;

pub mod gateway;

pub mod sim;

pub mod app;

pub mod cli;
