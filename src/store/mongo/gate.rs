//! Tests only: stops a writer before any one of its write commands, for good or until told to go on.
//! That is what a killed, and what a paused process looks like from the server.

use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::Notify;

use crate::pipeline::error::StoreError;

const OPEN: i64 = i64::MAX;

/// Counts write commands down; the one at zero stops.
#[derive(Debug)]
pub(super) struct Gate {
    left: AtomicI64,
    pause: std::sync::atomic::AtomicBool,
    pub(super) reached: Notify,
    resume: Notify,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            left: AtomicI64::new(OPEN),
            pause: false.into(),
            reached: Notify::new(),
            resume: Notify::new(),
        }
    }
}

impl Gate {
    /// Lets `commands` writes through and none after.
    pub(super) fn die_after(&self, commands: i64) {
        self.left.store(commands, Ordering::SeqCst);
    }

    /// Lets `commands` writes through; the next waits for [`Self::go_on`].
    pub(super) fn pause_after(&self, commands: i64) {
        self.pause.store(true, Ordering::SeqCst);
        self.left.store(commands, Ordering::SeqCst);
    }

    /// Opens the gate.
    pub(super) fn go_on(&self) {
        self.left.store(OPEN, Ordering::SeqCst);
        self.resume.notify_waiters();
    }

    /// Whether a writer has come to the gate and was stopped.
    pub(super) fn stopped(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }

    pub(super) async fn pass(&self) -> Result<(), StoreError> {
        if self.left.load(Ordering::SeqCst) == OPEN || self.left.fetch_sub(1, Ordering::SeqCst) > 0
        {
            return Ok(());
        }
        if self.pause.load(Ordering::SeqCst) {
            let resumed = self.resume.notified();
            self.reached.notify_one();
            resumed.await;
            return Ok(());
        }
        Err(dead())
    }

    pub(super) fn look(&self) -> Result<(), StoreError> {
        if self.stopped() && !self.pause.load(Ordering::SeqCst) { Err(dead()) } else { Ok(()) }
    }
}

fn dead() -> StoreError {
    StoreError::Unavailable("killed by the test".into())
}
