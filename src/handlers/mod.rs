//! Plugins: pure functions from events to documents. Adding one is a folder and a line in `registry`.
//!
//! No clock, no network, no database: whatever a plugin needs arrives with the event or the state view.

pub mod registry;

pub mod holdings;
