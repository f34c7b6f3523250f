//! The window of unfinalized blocks, and the pure decision what a new head means for it.
//!
//! No I/O, no time: given the window and a walked path of headers the answer is always the same.

use std::collections::VecDeque;

use alloy_primitives::B256;

use crate::types::chain::{BlockId, BlockRef};

/// The committed blocks that a reorg may still take back, oldest first. The first is the floor: it
/// is final (or the start of the index) and never leaves by a reorg.
#[derive(Debug, Clone)]
pub struct Window {
    blocks: VecDeque<BlockId>,
}

/// What a candidate head means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is our tip already, or one of its ancestors: a lagging provider. Nothing to do.
    Known,
    /// The path continues our tip.
    Extends,
    /// The path leaves our chain after `fork`; `orphaned` are ours above it, oldest first.
    Forks { fork: BlockId, orphaned: Vec<BlockId> },
    /// The oldest header of the path has a parent that we do not know: walk on from it.
    Unlinked { parent: B256, number: u64 },
    /// The path passes below the floor without meeting our chain.
    TooDeep,
}

impl Window {
    /// A window that starts at `floor`.
    pub fn new(floor: BlockId) -> Self {
        Self { blocks: VecDeque::from([floor]) }
    }

    /// The newest committed block.
    pub fn tip(&self) -> BlockId {
        self.blocks.back().copied().unwrap_or(BlockId { number: 0, hash: B256::ZERO })
    }

    /// The oldest block held; nothing at or below it can be undone.
    pub fn floor(&self) -> BlockId {
        self.blocks.front().copied().unwrap_or(BlockId { number: 0, hash: B256::ZERO })
    }

    /// Our block at this height, if the window reaches it.
    pub fn at(&self, number: u64) -> Option<BlockId> {
        let index = self.blocks.partition_point(|block| block.number < number);
        self.blocks.get(index).copied().filter(|block| block.number == number)
    }

    /// Whether this very block is ours.
    pub fn contains(&self, number: u64, hash: B256) -> bool {
        self.at(number).is_some_and(|block| block.hash == hash)
    }

    /// What `path` means: headers from the candidate head downwards, each the parent of the one
    /// before. An empty path means nothing.
    pub fn judge(&self, path: &[BlockRef]) -> Verdict {
        let (Some(head), Some(oldest)) = (path.first(), path.last()) else {
            return Verdict::Known;
        };
        if self.contains(head.number, head.hash) {
            return Verdict::Known;
        }
        let Some(below) = oldest.number.checked_sub(1) else { return Verdict::TooDeep };
        if self.contains(below, oldest.parent) {
            let fork = BlockId { number: below, hash: oldest.parent };
            return if fork == self.tip() {
                Verdict::Extends
            } else {
                Verdict::Forks { fork, orphaned: self.above(below) }
            };
        }
        if below <= self.floor().number {
            return Verdict::TooDeep;
        }
        Verdict::Unlinked { parent: oldest.parent, number: below }
    }

    /// Our blocks above `number`, oldest first.
    pub fn above(&self, number: u64) -> Vec<BlockId> {
        self.blocks.iter().filter(|block| block.number > number).copied().collect()
    }

    /// Appends a block that follows the tip.
    pub fn push(&mut self, block: BlockId) {
        assert!(
            block.number > self.tip().number || self.blocks.is_empty(),
            "a window grows upwards: {block} after {}",
            self.tip()
        );
        self.blocks.push_back(block);
    }

    /// Drops our blocks above `number`; the floor stays.
    pub fn rewind(&mut self, number: u64) {
        while self.blocks.len() > 1 && self.tip().number > number {
            self.blocks.pop_back();
        }
    }

    /// Raises the floor: blocks below `number` can no longer be undone. The newest stays in any case.
    pub fn finalize(&mut self, number: u64) {
        while self.blocks.len() > 1 && self.blocks.get(1).is_some_and(|next| next.number <= number)
        {
            self.blocks.pop_front();
        }
    }

    /// How many blocks are held, the floor included.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// A window always holds its floor.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hash(number: u64, fork: u8) -> B256 {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        bytes[31] = fork;
        B256::from(bytes)
    }

    fn block(number: u64, fork: u8, parent_fork: u8) -> BlockRef {
        BlockRef {
            number,
            hash: hash(number, fork),
            parent: hash(number - 1, parent_fork),
            timestamp: number,
        }
    }

    fn window(to: u64) -> Window {
        let mut window = Window::new(BlockId { number: 10, hash: hash(10, 0) });
        for number in 11..=to {
            window.push(BlockId { number, hash: hash(number, 0) });
        }
        window
    }

    #[test]
    fn a_lower_head_that_is_an_ancestor_is_a_lagging_provider() {
        assert_eq!(window(20).judge(&[block(15, 0, 0)]), Verdict::Known);
    }

    #[test]
    fn the_same_height_with_another_hash_is_a_reorg() {
        let verdict = window(20).judge(&[block(20, 1, 0)]);
        let fork = BlockId { number: 19, hash: hash(19, 0) };
        let orphaned = vec![BlockId { number: 20, hash: hash(20, 0) }];
        assert_eq!(verdict, Verdict::Forks { fork, orphaned });
    }

    #[test]
    fn an_unknown_parent_asks_for_the_walk_to_go_on_and_stops_at_the_floor() {
        let window = window(20);
        let path = [block(22, 1, 1)];
        assert_eq!(window.judge(&path), Verdict::Unlinked { parent: hash(21, 1), number: 21 });
        let path: Vec<_> = (11..=21).rev().map(|number| block(number, 1, 1)).collect();
        assert_eq!(window.judge(&path), Verdict::TooDeep);
    }

    #[test]
    fn finality_raises_the_floor_but_never_past_the_tip() {
        let mut window = window(20);
        window.finalize(15);
        assert_eq!((window.floor().number, window.len()), (15, 6));
        window.finalize(99);
        assert_eq!((window.floor().number, window.tip().number), (20, 20));
        window.rewind(3);
        assert_eq!(window.tip().number, 20, "the floor stays");
    }

    proptest! {
        /// Random forks: applying the verdicts always leads to the chain that the world holds.
        #[test]
        fn verdicts_lead_to_the_worlds_chain(steps in prop::collection::vec((0u64..6, 1u64..8), 1..40)) {
            let mut world: Vec<BlockRef> = vec![block(10, 0, 0)];
            let mut window = Window::new(BlockId::from(&world[0]));
            for (fork, (depth, grow)) in steps.into_iter().enumerate() {
                let fork = u8::try_from(fork + 1).expect("at most 40");
                let keep = world.len().saturating_sub(usize::try_from(depth).expect("small")).max(1);
                // A fork that is lower than the tip is a case of its own (see `follow`).
                let grow = grow.max(depth);
                world.truncate(keep);
                for _ in 0..grow {
                    let parent = *world.last().expect("never empty");
                    world.push(BlockRef {
                        number: parent.number + 1,
                        hash: hash(parent.number + 1, fork),
                        parent: parent.hash,
                        timestamp: 0,
                    });
                }
                let mut path = vec![*world.last().expect("never empty")];
                let verdict = loop {
                    match window.judge(&path) {
                        Verdict::Unlinked { parent, number } => {
                            let next = world[usize::try_from(number - 10).expect("small")];
                            prop_assert_eq!(next.hash, parent);
                            path.push(next);
                        }
                        verdict => break verdict,
                    }
                };
                if let Verdict::Forks { fork, orphaned } = &verdict {
                    prop_assert!(orphaned.iter().all(|block| block.number > fork.number));
                    window.rewind(fork.number);
                }
                prop_assert!(!matches!(verdict, Verdict::TooDeep));
                if verdict != Verdict::Known {
                    for block in path.iter().rev() {
                        window.push(BlockId::from(block));
                    }
                }
                for block in &world {
                    prop_assert!(window.contains(block.number, block.hash));
                }
            }
        }
    }
}
