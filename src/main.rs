//! The `rwahub` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    rwahub::cli::main()
}
