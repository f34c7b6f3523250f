//! The `rwahub` program.
fn main() {}
