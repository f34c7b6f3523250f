//! How those who wait for commits hear of them.

pub mod embedded;
