//! The gateway as its callers see it: requests against the whole router with a store in memory.

mod fake;

#[expect(clippy::string_slice, reason = "made-up texts are ASCII")]
mod auth;

mod openapi;

mod rest;

mod server;

mod stream;
