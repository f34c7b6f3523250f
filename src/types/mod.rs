//! The nouns every room shares: chains, logs, events, assets, documents, time.
//!
//! Plain data only. No async, no I/O, no serialisation: wire and storage shapes live at their edge.

pub mod asset;
pub mod chain;
pub mod clock;
pub mod event;
pub mod feed;
pub mod log;
