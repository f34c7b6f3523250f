//! All integration tests in one binary: one link, one place to look. A new file is one line here.

mod support;

mod architecture;
mod config;
mod docs;
mod e2e_backfill;
mod e2e_bad_input;
mod e2e_crash;
mod e2e_live;
mod e2e_rpc_clients;
mod services;
