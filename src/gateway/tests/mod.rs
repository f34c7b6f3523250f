//! The gateway as its callers see it: requests against the whole router with a store in memory.

mod fake;

mod openapi;

mod rest;

mod server;

mod stream;
