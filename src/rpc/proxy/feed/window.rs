//! The recent canonical blocks as one hash-linked run, and what a new branch does to it.
//!
//! Pure: no I/O, no time. Fetching missing parents is up to `follow`.

use std::collections::VecDeque;
use std::sync::Arc;

use alloy_primitives::B256;
use bytes::Bytes;

use crate::rpc::proxy::view::Place;
use crate::types::chain::BlockRef;

/// A block that was canonical at some moment.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) block: BlockRef,
    /// The header as `newHeads` shows it.
    pub(crate) header: Bytes,
    /// Who told us.
    pub(crate) provider: Arc<str>,
    /// Counts connected blocks; larger is later.
    pub(crate) seq: u64,
}

/// A run of blocks, each the child of the one before.
#[derive(Debug)]
pub(crate) struct Window {
    blocks: VecDeque<Arc<Known>>,
    max: usize,
    next_seq: u64,
}

/// What a branch changed: `retracted` newest first, then `connected` oldest first.
#[derive(Debug)]
pub(crate) struct Switch {
    pub(crate) retracted: Vec<Arc<Known>>,
    pub(crate) connected: Vec<Arc<Known>>,
}

impl Window {
    /// A window that starts at `base` and keeps at most `max` blocks.
    pub(crate) fn new(base: Known, max: usize) -> Self {
        Self { blocks: VecDeque::from([Arc::new(base)]), max, next_seq: 1 }
    }

    /// Puts older blocks, newest last, before the first one. Those that do not link are left out.
    pub(crate) fn prepend(&mut self, older: Vec<Known>) {
        for known in older.into_iter().rev() {
            let links = self.blocks.front().is_some_and(|f| f.block.parent == known.block.hash);
            if !links || self.blocks.len() >= self.max {
                return;
            }
            self.blocks.push_front(Arc::new(known));
        }
    }

    pub(crate) fn tip(&self) -> Option<&Arc<Known>> {
        self.blocks.back()
    }

    pub(crate) fn first_number(&self) -> u64 {
        self.blocks.front().map_or(0, |known| known.block.number)
    }

    pub(crate) fn contains(&self, hash: &B256) -> bool {
        self.position(hash).is_some()
    }

    /// The blocks, oldest first.
    pub(crate) fn blocks(&self) -> impl DoubleEndedIterator<Item = &Arc<Known>> {
        self.blocks.iter()
    }

    /// What is known of a block number.
    pub(crate) fn place(&self, number: u64) -> Place {
        let Some(above) = number.checked_sub(self.first_number()) else {
            // A young window begins close to the head: what lies below it may still be replaced.
            let tip = self.tip().map_or(0, |known| known.block.number);
            let deep = number.saturating_add(self.max as u64) <= tip;
            return if deep { Place::Settled } else { Place::Unknown };
        };
        let known = usize::try_from(above).ok().and_then(|at| self.blocks.get(at));
        known.map_or(Place::Unknown, |known| Place::Recent(known.block.hash))
    }

    /// Connects a branch, oldest first, whose first parent must be in the window. `None` if it is not
    /// or the branch is not linked.
    pub(crate) fn switch(&mut self, branch: Vec<Known>) -> Option<Switch> {
        let at = self.position(&branch.first()?.block.parent)?;
        let linked = branch.windows(2).all(|pair| match pair {
            [a, b] => b.block.parent == a.block.hash && b.block.number == a.block.number + 1,
            _ => true,
        });
        if !linked {
            return None;
        }
        let mut retracted: Vec<_> = self.blocks.drain(at + 1..).collect();
        retracted.reverse();
        let mut connected = Vec::with_capacity(branch.len());
        for mut known in branch {
            known.seq = self.next_seq;
            self.next_seq += 1;
            let known = Arc::new(known);
            connected.push(known.clone());
            self.blocks.push_back(known);
        }
        while self.blocks.len() > self.max {
            self.blocks.pop_front();
        }
        Some(Switch { retracted, connected })
    }

    fn position(&self, hash: &B256) -> Option<usize> {
        self.blocks.iter().rposition(|known| known.block.hash == *hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(number: u64, id: u8, parent: u8) -> Known {
        Known {
            block: BlockRef {
                number,
                hash: B256::repeat_byte(id),
                parent: B256::repeat_byte(parent),
                timestamp: number,
            },
            header: Bytes::new(),
            provider: Arc::from("p0"),
            seq: 0,
        }
    }

    fn ids(blocks: &[Arc<Known>]) -> Vec<u8> {
        blocks.iter().map(|k| k.block.hash[0]).collect()
    }

    #[test]
    fn a_fork_takes_back_newest_first_and_connects_oldest_first() {
        let mut window = Window::new(known(1, 1, 0), 8);
        let grown = window.switch(vec![known(2, 2, 1), known(3, 3, 2)]).expect("linked");
        assert_eq!((ids(&grown.retracted), ids(&grown.connected)), (vec![], vec![2, 3]));
        let fork = window.switch(vec![known(2, 12, 1), known(3, 13, 12), known(4, 14, 13)]);
        let fork = fork.expect("linked");
        assert_eq!((ids(&fork.retracted), ids(&fork.connected)), (vec![3, 2], vec![12, 13, 14]));
        assert!(fork.connected[0].seq > grown.connected[1].seq);
        assert!(window.switch(vec![known(9, 9, 8)]).is_none(), "a parent that nobody knows");
        assert!(window.switch(vec![known(5, 15, 14), known(6, 16, 1)]).is_none(), "not linked");
        assert_eq!(window.tip().map(|k| k.block.number), Some(4));
    }

    #[test]
    fn a_shorter_branch_lowers_the_height() {
        let mut window = Window::new(known(1, 1, 0), 8);
        window.switch(vec![known(2, 2, 1), known(3, 3, 2)]).expect("linked");
        let fork = window.switch(vec![known(2, 12, 1)]).expect("linked");
        assert_eq!((ids(&fork.retracted), ids(&fork.connected)), (vec![3, 2], vec![12]));
    }

    #[test]
    fn a_young_window_calls_nothing_settled_that_may_be_replaced() {
        let mut window = Window::new(known(50, 50, 49), 8);
        window.prepend(vec![known(47, 7, 6), known(48, 48, 47), known(49, 49, 48)]);
        assert_eq!(window.first_number(), 48, "47 does not link");
        assert_eq!(window.place(49), Place::Recent(B256::repeat_byte(49)));
        assert_eq!(window.place(47), Place::Unknown);
        assert_eq!(window.place(42), Place::Settled);
        assert_eq!(window.place(51), Place::Unknown);
    }

    #[test]
    fn the_window_forgets_its_oldest() {
        let mut window = Window::new(known(0, 100, 99), 3);
        for n in 1..10u8 {
            let parent = if n == 1 { 100 } else { n - 1 };
            window.switch(vec![known(n.into(), n, parent)]).expect("linked");
        }
        assert_eq!(window.first_number(), 7);
    }
}
