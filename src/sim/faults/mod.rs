//! What can go wrong at a simulated provider: names, rates, and the dice that decide.
//!
//! Decisions follow from (seed, provider, request number, fault): the same order of requests meets the
//! same faults. How a fault looks on the wire is `node`'s business.

mod caps;
mod kind;
mod plan;

pub(super) use caps::Refusal;
pub use caps::{Caps, Vendor};
pub use kind::Fault;
pub(super) use plan::{Dice, Plan};
pub use plan::{FaultRule, ParseFaultError};
