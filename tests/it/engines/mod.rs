//! The ports of cache and bus against every back end: each rule is written once and run on all of them,
//! Redis and NATS being real servers. A server that is not there is a counted skip.

mod bus;
mod cache;
mod faults;
mod kills;
mod servers;
mod takeover;

use crate::support::skip;

/// The URL of a server that `make test` has started.
pub(crate) fn url(name: &str) -> Option<String> {
    let url = std::env::var(format!("RWAHUB_TEST_{name}_URL")).ok();
    if url.is_none() {
        skip(name, "no server; `make test` starts one");
    }
    url
}

/// A prefix that no other test of this or another run has.
pub(crate) fn prefix(what: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("clock");
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("t{what}{}x{}x{next}", std::process::id(), now.as_millis())
}
