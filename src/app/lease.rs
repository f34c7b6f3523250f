//! A right that one of several processes holds: taken, kept, told when it is lost.
//!
//! The lease alone does not keep a process that was frozen from writing: the store does, by the epoch
//! that opening a chain raises. The lease decides who opens.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::store::cache::{Lease, Leases};

/// How long a lease lives without its holder. With the wait of [`ASK_EVERY`] a stand-by has it within
/// 3.5 s of the holder's death; 5 s are promised.
const TTL: Duration = Duration::from_secs(3);
/// Four tries before the end.
const RENEW_EVERY: Duration = Duration::from_millis(700);
/// A holder stops this long before its lease may have ended.
const MARGIN: Duration = Duration::from_millis(500);
/// How often a stand-by asks.
const ASK_EVERY: Duration = Duration::from_millis(400);

/// A right by name, as one process asks for it.
#[derive(Debug, Clone)]
pub(super) struct Seat {
    leases: Arc<dyn Leases>,
    name: String,
    node: String,
}

impl Seat {
    pub(super) fn new(leases: &Arc<dyn Leases>, name: String, node: &str) -> Self {
        Self { leases: Arc::clone(leases), name, node: node.to_owned() }
    }

    /// Takes it if it is free now.
    pub(super) async fn try_take(&self) -> Option<Held> {
        let asked = Instant::now();
        match self.leases.acquire(&self.name, &self.node, TTL, 0).await {
            Ok(lease) => lease.map(|lease| Held::new(&self.leases, lease, asked + TTL)),
            Err(error) => {
                log::debug!("lease {} is not granted: {error}", self.name);
                None
            }
        }
    }

    /// Waits until it is ours.
    pub(super) async fn take(&self) -> Held {
        loop {
            if let Some(held) = self.try_take().await {
                return held;
            }
            sleep(ASK_EVERY).await;
        }
    }
}

/// A lease that is ours until [`Held::lost`].
#[derive(Debug)]
pub(super) struct Held {
    leases: Arc<dyn Leases>,
    lease: Lease,
    lost: CancellationToken,
    keeper: JoinHandle<()>,
}

impl Held {
    fn new(leases: &Arc<dyn Leases>, lease: Lease, until: Instant) -> Self {
        log::info!(lease = lease.name, epoch = lease.epoch; "this process is the active one");
        let lost = CancellationToken::new();
        let keeper = tokio::spawn(keep(Arc::clone(leases), lease.clone(), until, lost.clone()));
        Self { leases: Arc::clone(leases), lease, lost, keeper }
    }

    /// Cancelled when the lease is lost, or may be.
    pub(super) fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Gives it back, so that a stand-by need not wait for its end.
    pub(super) async fn release(self) {
        self.keeper.abort();
        if let Err(error) = self.leases.release(&self.lease).await {
            log::debug!("lease {} ends by itself: {error}", self.lease.name);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

async fn keep(leases: Arc<dyn Leases>, lease: Lease, until: Instant, lost: CancellationToken) {
    let mut until = until;
    loop {
        sleep(RENEW_EVERY).await;
        let asked = Instant::now();
        match leases.renew(&lease, TTL).await {
            Ok(true) => until = asked + TTL,
            Ok(false) => break log::warn!(lease = lease.name; "the lease is somebody else's now"),
            Err(error) if Instant::now() + RENEW_EVERY + MARGIN >= until => {
                break log::warn!(lease = lease.name; "the lease cannot be kept: {error}");
            }
            Err(_) => {}
        }
    }
    lost.cancel();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::cache::memory::Memory;

    #[tokio::test(start_paused = true)]
    async fn a_seat_has_one_holder_and_passes_on_when_it_is_given_back() {
        let leases: Arc<dyn Leases> = Arc::new(Memory::default());
        let one = Seat::new(&leases, "chain".to_owned(), "one");
        let two = Seat::new(&leases, "chain".to_owned(), "two");
        let held = one.try_take().await.expect("free");
        sleep(TTL * 5).await;
        assert!(!held.lost().is_cancelled(), "kept by renewal");
        assert!(two.try_take().await.is_none());
        held.release().await;
        assert!(two.try_take().await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_that_died_is_followed_within_five_seconds() {
        let leases: Arc<dyn Leases> = Arc::new(Memory::default());
        let held = Seat::new(&leases, "chain".to_owned(), "one").take().await;
        drop(held);
        let begun = Instant::now();
        Seat::new(&leases, "chain".to_owned(), "two").take().await;
        assert!(begun.elapsed() <= Duration::from_secs(4), "{:?}", begun.elapsed());
    }
}
