//! Real parts for tests: an anvil chain, the daemon as a child process, and small clients that share
//! no code with the program they judge.

pub(crate) mod anvil;
pub(crate) mod http;
pub(crate) mod hub;
pub(crate) mod replay;
pub(crate) mod suite;
pub(crate) mod tokens;

use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Records that a test could not run and why, where `make test` counts it. A skip fails CI.
pub(crate) fn skip(what: &str, reason: &str) {
    let mut stderr = std::io::stderr().lock();
    writeln!(stderr, "SKIP {what}: {reason}").expect("stderr");
    if let Ok(file) = std::env::var("RWAHUB_TEST_SKIPS") {
        let mut file =
            std::fs::OpenOptions::new().create(true).append(true).open(file).expect("skip list");
        writeln!(file, "SKIP {what}: {reason}").expect("skip list");
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI allows no skip: {what}: {reason}");
}

/// A tool of the pinned toolchain, or a counted skip.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let pinned = root().join(".toolchain/bin").join(name);
    if pinned.exists() {
        return Some(pinned);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|tool| tool.exists())
}
