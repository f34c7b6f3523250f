//! All integration tests in one binary: one link, one place to look. A new file is one line here.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod support;

mod architecture;
mod chaos;
mod config;
mod docs;
mod e2e_backfill;
mod e2e_bad_input;
mod e2e_crash;
mod e2e_live;
mod e2e_rpc_clients;
mod real_blocks;
mod services;
