//! What to ask nodes for, so that no log of ours is missed.
//!
//! A description only: how addresses are cut into calls, and which providers get them, is the
//! fetcher's business.

use alloy_primitives::{Address, B256};

use super::registry::{EventSet, Registry, SourceAddresses};

/// Logs to fetch: from these addresses, with one of these first topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchFilter {
    /// Empty asks for every address.
    pub addresses: Vec<Address>,
    /// Empty asks for every log, unreadable and anonymous ones included.
    pub topics0: Vec<B256>,
    pub from_block: u64,
}

impl Registry {
    /// Every filter of this chain, children known so far included. Grows as children are learned.
    pub fn filters(&self) -> Vec<FetchFilter> {
        let mut filters = Filters::default();
        for (index, (source, set)) in self.sources.iter().zip(&self.sets).enumerate() {
            let signatures = set.signatures();
            let topics = if set.selective && set.anonymous.is_empty() {
                signatures.clone()
            } else {
                Vec::new()
            };
            match &source.addresses {
                SourceAddresses::Listed(addresses) => {
                    filters.add(source.start_block, topics, addresses);
                }
                // Anonymous events of unknown addresses cannot be asked for.
                SourceAddresses::Any if signatures.is_empty() => {}
                SourceAddresses::Any => filters.add_any(source.start_block, signatures),
                SourceAddresses::Factory { factory, topic0, .. } => {
                    filters.add(source.start_block, vec![*topic0], &[*factory]);
                    let own = self.children().iter().filter(|c| usize::from(c.contract) == index);
                    let children: Vec<Address> = own.clone().map(|child| child.address).collect();
                    if let Some(first) = own.map(|child| child.from.block).min() {
                        filters.add(first.max(source.start_block), topics, &children);
                    }
                }
            }
        }
        filters.list
    }
}

impl Registry {
    /// First topics of everything that children of factories may log; empty without a factory.
    pub fn child_topics(&self) -> Vec<B256> {
        let entries = self.sources.iter().zip(&self.sets);
        let factories = entries
            .filter(|(source, _)| matches!(source.addresses, SourceAddresses::Factory { .. }));
        distinct(factories.flat_map(|(_, set)| set.signatures()).collect())
    }
}

impl EventSet {
    /// Signature hashes of the set, sorted.
    fn signatures(&self) -> Vec<B256> {
        distinct(self.by_topic.values().flatten().map(|choice| choice.topic0).collect())
    }
}

#[derive(Debug, Default)]
struct Filters {
    list: Vec<FetchFilter>,
}

impl Filters {
    fn add(&mut self, from_block: u64, topics0: Vec<B256>, addresses: &[Address]) {
        if addresses.is_empty() {
            return;
        }
        let same = self.list.iter_mut().find(|filter| {
            !filter.addresses.is_empty()
                && (filter.from_block, &filter.topics0) == (from_block, &topics0)
        });
        let mut addresses = addresses.to_vec();
        if let Some(filter) = same {
            addresses.append(&mut filter.addresses);
            filter.addresses = distinct(addresses);
            return;
        }
        self.list.push(FetchFilter { addresses: distinct(addresses), topics0, from_block });
    }

    fn add_any(&mut self, from_block: u64, topics0: Vec<B256>) {
        let same = self
            .list
            .iter_mut()
            .find(|filter| filter.addresses.is_empty() && filter.from_block == from_block);
        match same {
            Some(filter) => {
                let mut all = topics0;
                all.append(&mut filter.topics0);
                filter.topics0 = distinct(all);
            }
            None => {
                self.list.push(FetchFilter { addresses: Vec::new(), topics0, from_block });
            }
        }
    }
}

fn distinct<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort_unstable();
    list.dedup();
    list
}
