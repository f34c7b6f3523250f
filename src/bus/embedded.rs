//! The bus inside one process: a number that only grows, watched by whoever waits for it.
//!
//! Carries no data: a subscriber reads the feed of the store up to the number.

use tokio::sync::watch;

use crate::pipeline::sink::Sink;

/// Announces the newest feed entry.
#[derive(Debug)]
pub struct Embedded {
    newest: watch::Sender<u64>,
}

impl Embedded {
    /// A bus that starts at feed entry `seq`.
    pub fn new(seq: u64) -> Self {
        Self { newest: watch::Sender::new(seq) }
    }

    /// The newest feed entry, now and whenever it changes.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}

impl Default for Embedded {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Sink for Embedded {
    fn committed(&self, seq: u64) {
        self.newest.send_if_modified(|newest| {
            let newer = seq > *newest;
            if newer {
                *newest = seq;
            }
            newer
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_chains_that_commit_out_of_order_never_move_the_number_back() {
        let bus = Embedded::new(3);
        let mut watcher = bus.subscribe();
        bus.committed(5);
        bus.committed(4);
        assert_eq!(*watcher.borrow_and_update(), 5);
        assert!(!watcher.has_changed().expect("bus lives"));
    }
}
