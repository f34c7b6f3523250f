//! Which of our contracts and which event a log is: one chain's contracts against every log of it.
//!
//! Listed contracts come before a factory's children, those before entries for any address; among
//! equals the first entry that can read the log wins. Says nothing of how logs are fetched (see
//! `filter`) or stored.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use alloy_primitives::map::AddressHashMap;
use alloy_primitives::{Address, B256};

use super::error::{AbiError, DecodeError};
use super::event::{EventKind, Pack, RwaEvent};
use super::factory::{Children, Creation};
use super::layout::{Layout, Layouts};
use super::source::compile;
use crate::types::event::LayoutId;
use crate::types::log::LogView;

/// Contracts to index under one name, on one chain.
#[derive(Debug, Clone)]
pub struct Source {
    pub name: String,
    pub abi: SourceAbi,
    pub addresses: SourceAddresses,
    /// Logs of earlier blocks are not this entry's.
    pub start_block: u64,
    /// Event names to keep; empty keeps every event of the ABI.
    pub events: Vec<String>,
}

/// Where an entry's events are described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceAbi {
    BuiltIn(Pack),
    /// The text of a JSON ABI, and what to call it in errors.
    Json {
        file: String,
        text: String,
    },
}

/// Which addresses an entry covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceAddresses {
    Any,
    Listed(Vec<Address>),
    /// Addresses that a parameter of a factory's event names, from that block on.
    Factory {
        factory: Address,
        topic0: B256,
        /// The event as Solidity writes it, for a factory whose ABI nobody gives.
        event: String,
        parameter: String,
    },
}

/// What a log is to us.
#[derive(Debug, Clone, Copy)]
pub enum Recognition<'a> {
    Event {
        layout: LayoutId,
        /// Index into [`Registry::contract_names`].
        contract: u16,
        kind: EventKind,
        /// The log, checked and ready to read.
        event: RwaEvent<'a>,
    },
    /// Ours, but no layout can read it: kept raw with the reason.
    Undecoded { contract: u16, reason: &'static str },
    /// Of no interest; dropped.
    Foreign,
}

/// One chain's contracts.
#[derive(Debug)]
pub struct Registry {
    pub(super) names: Vec<String>,
    pub(super) sources: Vec<Source>,
    /// One per source.
    pub(super) sets: Vec<Arc<EventSet>>,
    any: TopicMap<Vec<AnyChoice>>,
    covers: AddressHashMap<Vec<Cover>>,
    pub(super) creations: AddressHashMap<Vec<Creation>>,
    pub(super) children: Children,
}

/// The events that an entry keeps.
#[derive(Debug, Default)]
pub(super) struct EventSet {
    pub(super) by_topic: TopicMap<Vec<Choice>>,
    pub(super) anonymous: Vec<Choice>,
    /// `events` was given: what it does not name is not ours.
    pub(super) selective: bool,
}

/// One layout that a log with this topic may have.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub(super) topic0: B256,
    pub(super) kind: EventKind,
    /// The layout's number, beside it so that the way of a log follows no pointer for it.
    pub(super) id: LayoutId,
    pub(super) layout: Arc<Layout>,
}

#[derive(Debug)]
struct AnyChoice {
    contract: u16,
    start_block: u64,
    choice: Choice,
}

/// What an entry says about one address.
#[derive(Debug, Clone)]
pub(super) struct Cover {
    pub(super) rank: Rank,
    pub(super) contract: u16,
    pub(super) start_block: u64,
    pub(super) set: Arc<EventSet>,
}

/// Order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Listed,
    Child,
    /// The factory itself, of which only the creation event is ours.
    Factory,
}

/// Keyed by the first eight bytes of a signature hash; entries compare the whole hash.
pub(super) type TopicMap<T> = HashMap<u64, T, BuildHasherDefault<HashIsKey>>;

/// A signature hash is as good a hash as any, and only our own ABIs put keys into the map.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HashIsKey(u64);

impl Hasher for HashIsKey {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

impl Registry {
    /// Compiles one chain's contracts; none means the built-in packs at any address. Reports every
    /// fault at once.
    pub fn new(layouts: &mut Layouts, sources: &[Source]) -> Result<Self, Vec<AbiError>> {
        let sources = if sources.is_empty() { default_sources() } else { sources.to_vec() };
        let compiled = compile(layouts, &sources)?;
        let mut registry = Self {
            names: sources.iter().map(|source| source.name.clone()).collect(),
            sources,
            sets: compiled.sets,
            any: TopicMap::default(),
            covers: AddressHashMap::default(),
            creations: AddressHashMap::default(),
            children: Children::default(),
        };
        for (index, creation) in compiled.creations.into_iter().enumerate() {
            registry.place(index, creation);
        }
        Ok(registry)
    }

    /// What the log is. Called once per log, allocates nothing.
    #[inline]
    pub fn recognise<'a>(&self, log: LogView<'a>) -> Recognition<'a> {
        if !self.covers.is_empty()
            && let Some(covers) = self.covers.get(&log.head.address)
        {
            return self.recognise_covered(covers, log);
        }
        self.recognise_any(log)
    }

    /// Names of the entries, in the order of [`Recognition`]'s contract index.
    pub fn contract_names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn recognise_any<'a>(&self, log: LogView<'a>) -> Recognition<'a> {
        let Some(choices) = log.topic0().and_then(|topic0| self.any.get(&topic_key(topic0))) else {
            return Recognition::Foreign;
        };
        let mut missed = None;
        for any in choices {
            if any.start_block > log.head.block_number {
                continue;
            }
            match any.choice.read(log) {
                Some(Ok(event)) => return any.choice.found(any.contract, event),
                Some(Err(fault)) => missed = missed.or(Some((any.contract, fault))),
                None => {}
            }
        }
        match missed {
            Some((contract, fault)) => Recognition::Undecoded { contract, reason: fault.reason() },
            None => Recognition::Foreign,
        }
    }

    fn recognise_covered<'a>(&self, covers: &[Cover], log: LogView<'a>) -> Recognition<'a> {
        let mut missed = None;
        for cover in covers.iter().filter(|cover| cover.start_block <= log.head.block_number) {
            match cover.set.read(log) {
                Ok((choice, event)) => return choice.found(cover.contract, event),
                Err(Some(fault)) => missed = missed.or(Some((cover.contract, fault))),
                Err(None) => {}
            }
        }
        match (self.recognise_any(log), missed) {
            (event @ Recognition::Event { .. }, _) => event,
            (_, Some((contract, fault))) => {
                Recognition::Undecoded { contract, reason: fault.reason() }
            }
            (other, None) => other,
        }
    }

    fn place(&mut self, index: usize, creation: Option<Creation>) {
        let (Some(source), Some(set), Ok(contract)) =
            (self.sources.get(index), self.sets.get(index), u16::try_from(index))
        else {
            return;
        };
        let start_block = source.start_block;
        match &source.addresses {
            SourceAddresses::Listed(addresses) => {
                let set = Arc::clone(set);
                for address in addresses.clone() {
                    let set = Arc::clone(&set);
                    self.cover(address, Cover { rank: Rank::Listed, contract, start_block, set });
                }
            }
            SourceAddresses::Any => {
                for (key, choices) in &set.by_topic {
                    let list = self.any.entry(*key).or_default();
                    list.extend(choices.iter().cloned().map(|choice| AnyChoice {
                        contract,
                        start_block,
                        choice,
                    }));
                }
            }
            SourceAddresses::Factory { factory, .. } => {
                let factory = *factory;
                if let Some(creation) = creation {
                    let set = Arc::new(EventSet::of([creation.choice.clone()]));
                    self.cover(factory, Cover { rank: Rank::Factory, contract, start_block, set });
                    self.creations.entry(factory).or_default().push(creation);
                }
            }
        }
    }

    /// Adds a cover in its place of precedence; a second one of the same entry changes nothing.
    pub(super) fn cover(&mut self, address: Address, cover: Cover) -> bool {
        let covers = self.covers.entry(address).or_default();
        let order = |cover: &Cover| (cover.rank, cover.contract);
        match covers.binary_search_by_key(&order(&cover), order) {
            Ok(_) => false,
            Err(at) => {
                covers.insert(at, cover);
                true
            }
        }
    }

    /// Lets a known child's cover begin at an earlier block; false when it already does.
    pub(super) fn start_child(&mut self, address: Address, contract: u16, block: u64) -> bool {
        let covers = self.covers.get_mut(&address).map(Vec::as_mut_slice).unwrap_or_default();
        let child = |cover: &&mut Cover| (cover.rank, cover.contract) == (Rank::Child, contract);
        match covers.iter_mut().find(child) {
            Some(cover) if block < cover.start_block => {
                cover.start_block = block;
                true
            }
            _ => false,
        }
    }

    /// Takes back what a forgotten child was covered by.
    pub(super) fn uncover(&mut self, address: Address, contract: u16) {
        if let Some(covers) = self.covers.get_mut(&address) {
            covers.retain(|cover| (cover.rank, cover.contract) != (Rank::Child, contract));
            if covers.is_empty() {
                self.covers.remove(&address);
            }
        }
    }
}

impl EventSet {
    pub(super) fn of(choices: impl IntoIterator<Item = Choice>) -> Self {
        let mut set = Self { selective: true, ..Self::default() };
        for choice in choices {
            set.by_topic.entry(topic_key(&choice.topic0)).or_default().push(choice);
        }
        set
    }

    /// Reads the log by the first layout that fits; `Err(None)` when the log is not meant.
    #[inline]
    fn read<'s, 'a>(
        &'s self,
        log: LogView<'a>,
    ) -> Result<(&'s Choice, RwaEvent<'a>), Option<DecodeError>> {
        let mut missed = None;
        if let Some(choices) = log.topic0().and_then(|topic0| self.by_topic.get(&topic_key(topic0)))
        {
            for choice in choices {
                match choice.read(log) {
                    Some(Ok(event)) => return Ok((choice, event)),
                    Some(Err(fault)) => missed = missed.or(Some(fault)),
                    None => {}
                }
            }
        }
        for choice in &self.anonymous {
            if choice.layout.program.check(log).is_ok() {
                return Ok((choice, RwaEvent::Other(log)));
            }
        }
        Err(match missed {
            None if self.selective => None,
            None if log.topic0().is_none() => Some(DecodeError::Anonymous),
            None => Some(DecodeError::UnknownEvent),
            missed => missed,
        })
    }
}

impl Choice {
    pub(super) fn new(layout: &Arc<Layout>) -> Self {
        Self {
            topic0: layout.info.topic0.unwrap_or_default(),
            kind: layout.kind,
            id: layout.info.id,
            layout: Arc::clone(layout),
        }
    }

    /// Reads the log; `None` when its signature is another one.
    #[inline]
    fn read<'a>(&self, log: LogView<'a>) -> Option<Result<RwaEvent<'a>, DecodeError>> {
        if log.topic0() != Some(&self.topic0) {
            return None;
        }
        Some(match self.kind {
            EventKind::Other => self.layout.program.check(log).map(|()| RwaEvent::Other(log)),
            kind => RwaEvent::read(kind, log),
        })
    }

    #[inline]
    fn found<'a>(&self, contract: u16, event: RwaEvent<'a>) -> Recognition<'a> {
        Recognition::Event { layout: self.id, contract, kind: self.kind, event }
    }
}

/// The first eight bytes.
#[inline]
pub(super) fn topic_key(topic0: &B256) -> u64 {
    topic0.0.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

/// The built-in packs at any address, under their own names.
fn default_sources() -> Vec<Source> {
    let source = |pack: Pack| Source {
        name: pack.name().to_owned(),
        abi: SourceAbi::BuiltIn(pack),
        addresses: SourceAddresses::Any,
        start_block: 0,
        events: Vec::new(),
    };
    Pack::ALL.map(source).to_vec()
}
