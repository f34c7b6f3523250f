//! How those who wait for commits hear of them, and how events reach those who act on them elsewhere.

pub mod embedded;

pub mod nats;

mod nats_wire;

pub mod relay;
