//! Order, back-pressure and durability: what a chain says becomes what a store holds, exactly once.
//!
//! Owns the ports: [`handler::Handler`] for plugins, [`store::Store`] for back ends, [`sink::Sink`] for
//! whoever waits on commits. Knows no database, no network and no plugin by name.

pub mod handler;

pub mod store;

pub mod sink;

pub mod digest;

pub mod apply;

pub mod runner;

pub mod rewind;

pub mod rebuild;

pub mod audit;

pub mod sources;

pub mod late;

mod parking;

mod meters;

pub mod error;
