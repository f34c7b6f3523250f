//! How many connections are open, in all and per address, and what one too many is told.
//!
//! Counts sockets, not requests; request limits are the edge's.

use std::net::IpAddr;
use std::sync::Arc;

use dashmap::DashMap;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Open connections in all. An idle one was measured at 16 kB (8,000 half-open ones, debug build), so
/// this is below 200 MB at the worst.
const CONNECTIONS_MAX: usize = 12_288;
/// Open connections of one address. Loopback is exempt: there sits a proxy that speaks for many.
const CONNECTIONS_PER_ADDRESS_MAX: u32 = 256;

/// Sent to a connection that finds no place, without reading what it wanted.
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
content-type: application/problem+json\r\n\
retry-after: 5\r\n\
connection: close\r\n\
content-length: 164\r\n\r\n\
{\"type\":\"urn:rwahub:problem:overloaded\",\"title\":\"The service is at its limit\",\
\"status\":503,\"detail\":\"too many connections are open; close some\",\"code\":\"overloaded\"}";

/// The counters.
#[derive(Debug)]
pub(super) struct Admission {
    all: Arc<Semaphore>,
    addresses: Arc<DashMap<IpAddr, u32>>,
}

impl Default for Admission {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(CONNECTIONS_MAX)), addresses: Arc::default() }
    }
}

/// One open connection; gives its place back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    _all: OwnedSemaphorePermit,
    address: IpAddr,
    addresses: Arc<DashMap<IpAddr, u32>>,
}

impl Admission {
    /// A place for a connection from `address`, if there is one.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Permit> {
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let address = crate::gateway::limits::key(address);
        let mut count = self.addresses.entry(address).or_insert(0);
        if *count >= CONNECTIONS_PER_ADDRESS_MAX && !address.is_loopback() {
            return None;
        }
        *count += 1;
        drop(count);
        Some(Permit { _all: all, address, addresses: Arc::clone(&self.addresses) })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(mut count) = self.addresses.get_mut(&self.address) {
            *count = count.saturating_sub(1);
        }
        self.addresses.remove_if(&self.address, |_, count| *count == 0);
    }
}

/// Says why in one write; a socket that does not take it is closed all the same.
pub(super) fn refuse(stream: &TcpStream) {
    if let Err(error) = stream.try_write(REFUSAL) {
        log::debug!(target: "rwahub::gateway", "a refusal was not written: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_every_place_and_gets_its_own_back() {
        let admission = Admission::default();
        let one: IpAddr = "203.0.113.7".parse().unwrap();
        let mut held: Vec<_> = (0..CONNECTIONS_PER_ADDRESS_MAX)
            .map(|_| admission.admit(one).expect("below the limit"))
            .collect();
        assert!(admission.admit(one).is_none());
        assert!(admission.admit("203.0.113.8".parse().unwrap()).is_some());
        held.pop();
        assert!(admission.admit(one).is_some());
        drop(held);
        assert!(admission.addresses.is_empty(), "no address is remembered for ever");
    }

    #[test]
    fn the_refusal_is_a_whole_answer() {
        let text = std::str::from_utf8(REFUSAL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{}", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
