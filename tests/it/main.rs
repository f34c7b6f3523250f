//! All integration tests in one binary: one link, one place to look. A new file is one line here.

mod architecture;
mod config;
