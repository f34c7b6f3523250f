//! Bytes → typed events.

pub mod event;
