//! All integration tests in one binary: one link, one place to look. A new file is one line here.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod architecture;
mod config;
mod docs;
