//! All integration tests in one binary: one link, one place to look. A new file is one line here.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::string_slice,
    reason = "a test that cannot go on must stop and say why"
)]

mod support;

mod architecture;
mod chaos;
mod config;
mod docs;
mod e2e_backfill;
mod e2e_bad_input;
mod e2e_control;
mod e2e_crash;
mod e2e_live;
mod e2e_rpc_clients;
mod e2e_suite;
mod many_chains;
mod parking;
mod real_blocks;
mod rebuild;
mod services;
mod sim_index;
mod streams;
