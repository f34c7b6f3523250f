//! The port to whoever waits for commits: gateways' live feeds, workers of an outbox.
//!
//! A sink is only told that there is something new; it reads the store for what.

/// Told after each commit. Must not block and must not fail: a missed wake-up is made good by the next.
pub trait Sink: std::fmt::Debug + Send + Sync {
    /// The feed now reaches `seq`.
    fn committed(&self, seq: u64);
}
