//! Contracts that other contracts create: learned from the creation event, forgotten on a reorg.
//!
//! A child is covered from the whole block of its creation on, since its constructor logs before the
//! factory does. Children live in memory; the pipeline teaches them again from stored logs at start.

use std::sync::Arc;

use alloy_primitives::Address;

use super::program::AddressPlace;
use super::registry::{Choice, Cover, Rank, Registry};
use super::word;
use crate::types::event::Position;
use crate::types::log::LogView;

/// A factory's event and where the child's address lies in it.
#[derive(Debug, Clone)]
pub(super) struct Creation {
    pub(super) contract: u16,
    pub(super) choice: Choice,
    pub(super) place: AddressPlace,
}

/// Every child known, in the order of learning.
#[derive(Debug, Default)]
pub(super) struct Children {
    pub(super) list: Vec<Child>,
}

/// A contract that a factory created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Child {
    pub address: Address,
    /// Index into [`Registry::contract_names`].
    pub contract: u16,
    /// Where the factory said so.
    pub from: Position,
}

impl Registry {
    /// Whether any entry has a factory, so that a caller without one skips the first pass.
    pub fn has_factories(&self) -> bool {
        !self.creations.is_empty()
    }

    /// The factories' own addresses, whose logs name the children.
    pub fn factories(&self) -> impl Iterator<Item = Address> {
        self.creations.keys().copied()
    }

    /// The children that this log creates. The first pass over a block's logs, before
    /// [`Self::recognise`].
    pub fn created(&self, log: LogView<'_>, out: &mut Vec<Child>) {
        if self.creations.is_empty() {
            return;
        }
        let Some(creations) = self.creations.get(&log.head.address) else { return };
        let from = Position { block: log.head.block_number, log_index: log.head.log_index };
        for creation in creations {
            if let Some(address) = creation.child(log) {
                out.push(Child { address, contract: creation.contract, from });
            }
        }
    }

    /// Covers a child from the block of its creation on; says whether it is new, so that a caller
    /// asks for its logs of that range too.
    pub fn learn(&mut self, child: Child) -> bool {
        let index = usize::from(child.contract);
        let (Some(set), Some(source)) = (self.sets.get(index), self.sources.get(index)) else {
            return false;
        };
        let start_block = child.from.block.max(source.start_block);
        let set = Arc::clone(set);
        let contract = child.contract;
        if !self.cover(child.address, Cover { rank: Rank::Child, contract, start_block, set }) {
            let earlier = self.start_child(child.address, contract, start_block);
            if earlier {
                self.children.move_back(child);
            }
            return earlier;
        }
        self.children.list.push(child);
        true
    }

    /// Learns every child that these logs create and says how many were new: the first pass over a
    /// block, and the way to know old children again from stored logs.
    pub fn learn_from<'a>(&mut self, logs: impl IntoIterator<Item = LogView<'a>>) -> usize {
        if !self.has_factories() {
            return 0;
        }
        let mut found = Vec::new();
        for log in logs {
            self.created(log, &mut found);
        }
        found.into_iter().filter(|child| self.learn(*child)).count()
    }

    /// Takes back every child created above `block`.
    pub fn forget_above(&mut self, block: u64) {
        let gone: Vec<Child> =
            self.children.list.iter().filter(|child| child.from.block > block).copied().collect();
        self.children.list.retain(|child| child.from.block <= block);
        for child in gone {
            self.uncover(child.address, child.contract);
        }
    }

    /// Every child known, in the order of learning.
    pub fn children(&self) -> &[Child] {
        &self.children.list
    }
}

impl Children {
    /// Moves a known child's creation to an earlier place.
    fn move_back(&mut self, child: Child) {
        let same =
            |known: &&mut Child| (known.address, known.contract) == (child.address, child.contract);
        if let Some(known) = self.list.iter_mut().find(same) {
            *known = child;
        }
    }
}

impl Creation {
    fn child(&self, log: LogView<'_>) -> Option<Address> {
        if log.topic0() != Some(&self.choice.topic0) {
            return None;
        }
        self.choice.layout.program.check(log).ok()?;
        let word = match self.place {
            AddressPlace::Topic(at) => &log.topics().get(at)?.0,
            AddressPlace::Head(at) => word::at(log.data, at).ok()?,
            AddressPlace::Array(_) | AddressPlace::Fixed(..) => return None,
        };
        Some(word::address(word))
    }
}
