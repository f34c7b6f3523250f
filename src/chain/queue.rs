//! The queue between a chain and its pipeline, bounded in bytes: a full queue makes the fetcher wait.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::update::ChainUpdate;

/// Segments in flight at the most; the byte bound is the real limit, this one bounds bookkeeping.
const MAX_SEGMENTS: usize = 64;
/// Smallest unit the byte bound counts in, so that permits fit in 32 bits.
const BYTES_PER_PERMIT: usize = 1024;

/// The fetching end.
#[derive(Debug, Clone)]
pub struct UpdateSender {
    queue: mpsc::Sender<(ChainUpdate, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    permits: u32,
}

/// The consuming end.
#[derive(Debug)]
pub struct UpdateReceiver {
    queue: mpsc::Receiver<(ChainUpdate, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    permits: u32,
}

/// The pipeline is gone; there is nobody to fetch for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the pipeline has stopped")]
pub struct QueueClosed;

/// A queue that holds at most about `max_bytes`. One update larger than that passes alone.
pub fn bounded(max_bytes: usize) -> (UpdateSender, UpdateReceiver) {
    let permits = u32::try_from((max_bytes / BYTES_PER_PERMIT).max(1)).unwrap_or(u32::MAX >> 3);
    let (sender, receiver) = mpsc::channel(MAX_SEGMENTS);
    let room = Arc::new(Semaphore::new(permits as usize));
    let receiver = UpdateReceiver { queue: receiver, room: Arc::clone(&room), permits };
    (UpdateSender { queue: sender, room, permits }, receiver)
}

impl UpdateSender {
    /// Waits for room, then queues.
    pub async fn send(&self, update: ChainUpdate) -> Result<(), QueueClosed> {
        let wanted = u32::try_from(update.bytes() / BYTES_PER_PERMIT).unwrap_or(u32::MAX).max(1);
        let permit = Arc::clone(&self.room)
            .acquire_many_owned(wanted.min(self.permits))
            .await
            .map_err(|_| QueueClosed)?;
        self.queue.send((update, permit)).await.map_err(|_| QueueClosed)
    }
}

impl UpdateReceiver {
    /// The next update; its bytes count as queued until it is handed out. `None`: the chain is gone.
    pub async fn recv(&mut self) -> Option<ChainUpdate> {
        self.queue.recv().await.map(|(update, _permit)| update)
    }

    /// What waits now, in whole units of the bound.
    pub fn queued_bytes(&self) -> u64 {
        let free = self.room.available_permits();
        ((self.permits as usize).saturating_sub(free) * BYTES_PER_PERMIT) as u64
    }

    /// The bound.
    pub fn room_bytes(&self) -> u64 {
        u64::from(self.permits) * BYTES_PER_PERMIT as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::update::{Phase, Segment};
    use crate::types::log::{LogBuf, LogFields};

    fn update(bytes: usize) -> ChainUpdate {
        let mut logs = LogBuf::default();
        logs.push(&LogFields::default(), &vec![0; bytes]).expect("small");
        ChainUpdate::Committed(Segment { phase: Phase::History, blocks: Vec::new(), logs })
    }

    #[tokio::test]
    async fn a_full_queue_makes_the_sender_wait_and_an_oversized_update_still_passes() {
        let (sender, mut receiver) = bounded(8 * 1024);
        sender.send(update(100 * 1024)).await.expect("open");
        let second = tokio::spawn(async move { sender.send(update(1024)).await });
        tokio::task::yield_now().await;
        assert!(!second.is_finished(), "no room is left");
        assert_eq!((receiver.queued_bytes(), receiver.room_bytes()), (8 * 1024, 8 * 1024));
        assert!(receiver.recv().await.is_some());
        second.await.expect("no panic").expect("room again");
        assert!(receiver.recv().await.is_some());
        assert!(receiver.recv().await.is_none(), "the sender is gone");
    }
}
