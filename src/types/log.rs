//! Raw logs in one arena: fixed fields side by side, payloads in one byte buffer.
//!
//! One answer of a node becomes one `LogBuf` with two allocations, however many logs it holds.
//! Nothing here knows JSON or ABIs.

use alloy_primitives::{Address, B256};

/// The fixed part of a log. Its payload lies in the [`LogBuf`] that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogHead {
    pub block_number: u64,
    pub block_hash: B256,
    /// Seconds since the Unix epoch, where the node sends `blockTimestamp` with a log.
    pub timestamp: Option<u64>,
    pub tx_hash: B256,
    pub tx_index: u32,
    /// Index of the log in its block.
    pub log_index: u32,
    pub address: Address,
    /// Only the first `topic_count` entries mean something; the rest are zero.
    pub topics: [B256; 4],
    pub topic_count: u8,
    /// The node says that a reorg took this log back.
    pub removed: bool,
    data_at: u32,
    data_len: u32,
}

/// The fields of a log before it has a place in a buffer.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogFields {
    pub block_number: u64,
    pub block_hash: B256,
    pub timestamp: Option<u64>,
    pub tx_hash: B256,
    pub tx_index: u32,
    pub log_index: u32,
    pub address: Address,
    pub topics: [B256; 4],
    pub topic_count: u8,
    pub removed: bool,
}

/// Many logs, in the order they were pushed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogBuf {
    heads: Vec<LogHead>,
    data: Vec<u8>,
}

/// One log, borrowed from its buffer.
#[derive(Debug, Clone, Copy)]
pub struct LogView<'a> {
    pub head: &'a LogHead,
    pub data: &'a [u8],
}

/// A buffer's payloads would pass 4 GiB, the reach of its offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("log payloads of one buffer exceed 4 GiB; ask for a smaller block range")]
pub struct LogBufFull;

impl LogBuf {
    /// An empty buffer with room for `logs` logs of about 64 payload bytes.
    pub fn with_capacity(logs: usize) -> Self {
        Self { heads: Vec::with_capacity(logs), data: Vec::with_capacity(logs.saturating_mul(64)) }
    }

    /// Appends a log and copies its payload.
    pub fn push(&mut self, log: &LogFields, payload: &[u8]) -> Result<(), LogBufFull> {
        self.push_with(log, payload.len(), |room| room.copy_from_slice(payload))
    }

    /// Appends a log whose payload of `len` bytes `fill` writes in place (zeroed before).
    pub fn push_with(
        &mut self,
        log: &LogFields,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), LogBufFull> {
        let at = self.data.len();
        let end = at.checked_add(len).ok_or(LogBufFull)?;
        let (data_at, data_len) = match (u32::try_from(at), u32::try_from(len), u32::try_from(end))
        {
            (Ok(at), Ok(len), Ok(_)) => (at, len),
            _ => return Err(LogBufFull),
        };
        self.data.resize(end, 0);
        fill(&mut self.data[at..end]);
        self.heads.push(LogHead {
            block_number: log.block_number,
            block_hash: log.block_hash,
            timestamp: log.timestamp,
            tx_hash: log.tx_hash,
            tx_index: log.tx_index,
            log_index: log.log_index,
            address: log.address,
            topics: log.topics,
            topic_count: log.topic_count,
            removed: log.removed,
            data_at,
            data_len,
        });
        Ok(())
    }

    /// Appends a log of another buffer.
    pub fn push_view(&mut self, log: LogView<'_>) -> Result<(), LogBufFull> {
        let head = log.head;
        let fields = LogFields {
            block_number: head.block_number,
            block_hash: head.block_hash,
            timestamp: head.timestamp,
            tx_hash: head.tx_hash,
            tx_index: head.tx_index,
            log_index: head.log_index,
            address: head.address,
            topics: head.topics,
            topic_count: head.topic_count,
            removed: head.removed,
        };
        self.push(&fields, log.data)
    }

    /// How many logs the buffer holds.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// True when the buffer holds no log.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// The log at `index`, if there is one.
    pub fn get(&self, index: usize) -> Option<LogView<'_>> {
        self.heads.get(index).map(|head| self.view(head))
    }

    /// All logs in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = LogView<'_>> {
        self.heads.iter().map(|head| self.view(head))
    }

    /// Bytes held, for queues that are bounded in bytes.
    pub fn bytes(&self) -> usize {
        self.heads.len() * size_of::<LogHead>() + self.data.len()
    }

    /// Sorts by (block number, log index), the order of the chain.
    pub fn sort(&mut self) {
        self.heads.sort_by_key(|head| (head.block_number, head.log_index));
    }

    /// Keeps only the logs that `keep` says yes to; payload bytes of the others stay until drop.
    pub fn retain(&mut self, mut keep: impl FnMut(&LogHead) -> bool) {
        self.heads.retain(|head| keep(head));
    }

    fn view<'a>(&'a self, head: &'a LogHead) -> LogView<'a> {
        let at = head.data_at as usize;
        LogView { head, data: &self.data[at..at + head.data_len as usize] }
    }
}

impl<'a> LogView<'a> {
    /// The topics that the log really has, none for an anonymous event without indexed fields.
    pub fn topics(&self) -> &'a [B256] {
        &self.head.topics[..usize::from(self.head.topic_count.min(4))]
    }

    /// The first topic: the event's signature hash unless the event is anonymous.
    pub fn topic0(&self) -> Option<&'a B256> {
        self.topics().first()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_stay_with_their_logs_through_sort_and_retain() {
        let mut buf = LogBuf::default();
        for (block, index, byte) in [(2, 0, 7u8), (1, 1, 8), (1, 0, 9)] {
            let fields = LogFields { block_number: block, log_index: index, ..Default::default() };
            buf.push(&fields, &[byte; 3]).expect("small buffer");
        }
        buf.sort();
        buf.retain(|head| head.block_number == 1);
        let seen: Vec<_> = buf.iter().map(|log| (log.head.log_index, log.data.to_vec())).collect();
        assert_eq!(seen, [(0, vec![9; 3]), (1, vec![8; 3])]);
    }

    #[test]
    fn a_log_without_topics_has_no_topic0() {
        let mut buf = LogBuf::default();
        buf.push(&LogFields::default(), &[]).expect("small buffer");
        assert_eq!(buf.get(0).and_then(|log| log.topic0().copied()), None);
    }
}
