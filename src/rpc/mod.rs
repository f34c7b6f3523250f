//! The only room that talks to nodes: endpoints, the provider pool, subscriptions, proxy rules.
//!
//! Everything above sees answers as bytes or plain structs and errors whose class says whose fault
//! they are. Nothing here decides what is canonical (`chain` does) or speaks HTTP to clients
//! (`gateway` does).

pub mod error;

pub mod wire;

pub mod endpoint;

pub mod pool;

pub mod eth;

pub mod subscribe;

pub mod proxy;

#[cfg(test)]
pub(crate) mod fake;
