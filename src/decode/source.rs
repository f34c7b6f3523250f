//! From contract entries to event sets: which layouts each entry keeps, or every fault at once.
//!
//! Runs once per start. Reads no file: the text of an ABI arrives with its entry.

use std::sync::Arc;

use alloy_json_abi::{ContractObject, Event};

use super::error::AbiError;
use super::event::EventKind;
use super::factory::Creation;
use super::layout::{Layout, Layouts};
use super::program::AddressPlace;
use super::registry::{Choice, EventSet, Source, SourceAbi, SourceAddresses, topic_key};

/// One per source, in order.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) sets: Vec<Arc<EventSet>>,
    pub(super) creations: Vec<Option<Creation>>,
}

/// Compiles every entry.
pub(super) fn compile(
    layouts: &mut Layouts,
    sources: &[Source],
) -> Result<Compiled, Vec<AbiError>> {
    let mut faults = Vec::new();
    if sources.len() > usize::from(u16::MAX) {
        faults.push(AbiError::TooMany { count: sources.len(), limit: usize::from(u16::MAX) });
        return Err(faults);
    }
    let abis: Vec<Vec<Arc<Layout>>> =
        sources.iter().map(|source| read(layouts, source, &mut faults)).collect();
    let mut sets: Vec<Arc<EventSet>> = Vec::with_capacity(sources.len());
    let mut creations = Vec::with_capacity(sources.len());
    for (source, abi) in sources.iter().zip(&abis) {
        let twin = sources
            .iter()
            .zip(&sets)
            .find(|(other, _)| other.abi == source.abi && other.events == source.events);
        match twin {
            // A hundred tokens of one standard share one set.
            Some((_, set)) => sets.push(Arc::clone(set)),
            None => sets.push(Arc::new(select(source, abi, &mut faults))),
        }
        let found = creation(layouts, source, abi, &abis, &mut faults);
        let contract = u16::try_from(creations.len()).unwrap_or(u16::MAX);
        creations.push(found.map(|(choice, place)| Creation { contract, choice, place }));
    }
    if faults.is_empty() { Ok(Compiled { sets, creations }) } else { Err(faults) }
}

/// What to call the entry's ABI.
fn file(source: &Source) -> String {
    match &source.abi {
        SourceAbi::BuiltIn(pack) => format!("the built-in {}", pack.name()),
        SourceAbi::Json { file, .. } => file.clone(),
    }
}

fn read(layouts: &mut Layouts, source: &Source, faults: &mut Vec<AbiError>) -> Vec<Arc<Layout>> {
    match &source.abi {
        SourceAbi::BuiltIn(pack) => EventKind::ALL
            .iter()
            .filter(|kind| kind.packs().contains(pack))
            .filter_map(|kind| layouts.built_in(*kind).cloned())
            .collect(),
        SourceAbi::Json { text, .. } => read_json(layouts, source, text, faults),
    }
}

fn read_json(
    layouts: &mut Layouts,
    source: &Source,
    text: &str,
    faults: &mut Vec<AbiError>,
) -> Vec<Arc<Layout>> {
    let (contract, file) = (source.name.clone(), file(source));
    let abi = match ContractObject::from_json(text) {
        Ok(object) => object.abi.unwrap_or_default(),
        Err(fault) => {
            faults.push(AbiError::Json { contract, file, detail: fault.to_string() });
            return Vec::new();
        }
    };
    let mut list = Vec::new();
    let events: Vec<&Event> = abi.events.values().flatten().collect();
    for event in &events {
        match layouts.intern(event) {
            Ok(layout) => list.push(layout),
            Err(detail) => faults.push(AbiError::Event {
                contract: contract.clone(),
                file: file.clone(),
                event: event.name.clone(),
                detail,
            }),
        }
    }
    if events.is_empty() {
        faults.push(AbiError::NoEvents { contract, file });
    }
    list
}

fn select(source: &Source, abi: &[Arc<Layout>], faults: &mut Vec<AbiError>) -> EventSet {
    for wanted in &source.events {
        if !abi.is_empty() && !abi.iter().any(|layout| layout.info.event == *wanted) {
            let mut known: Vec<&str> = abi.iter().map(|l| l.info.event.as_str()).collect();
            known.sort_unstable();
            known.dedup();
            faults.push(AbiError::NoSuchEvent {
                contract: source.name.clone(),
                file: file(source),
                event: wanted.clone(),
                known: known.join(", "),
            });
        }
    }
    let mut set = EventSet { selective: !source.events.is_empty(), ..EventSet::default() };
    for layout in abi {
        if !source.events.is_empty() && !source.events.contains(&layout.info.event) {
            continue;
        }
        let topic0 = layout.info.topic0.unwrap_or_default();
        let choice = Choice { topic0, kind: layout.kind, layout: Arc::clone(layout) };
        match layout.info.topic0 {
            Some(topic0) => set.by_topic.entry(topic_key(&topic0)).or_default().push(choice),
            None => set.anonymous.push(choice),
        }
    }
    set
}

/// The factory's event, looked for in the entry's own ABI, then in the others, then in the packs.
fn creation(
    layouts: &Layouts,
    source: &Source,
    own: &[Arc<Layout>],
    all: &[Vec<Arc<Layout>>],
    faults: &mut Vec<AbiError>,
) -> Option<(Choice, AddressPlace)> {
    let SourceAddresses::Factory { topic0, parameter, .. } = &source.addresses else {
        return None;
    };
    let packs = EventKind::ALL.iter().filter_map(|kind| layouts.built_in(*kind));
    let known: Vec<&Arc<Layout>> = own
        .iter()
        .chain(all.iter().flatten())
        .chain(packs)
        .filter(|layout| layout.info.topic0 == Some(*topic0))
        .collect();
    let Some(first) = known.first() else {
        faults.push(AbiError::NoFactoryEvent {
            contract: source.name.clone(),
            file: file(source),
            topic0: topic0.to_string(),
        });
        return None;
    };
    let found = known.iter().find_map(|layout| Some((layout, layout.program.address(parameter)?)));
    let Some((layout, place)) = found else {
        faults.push(AbiError::NoFactoryParameter {
            contract: source.name.clone(),
            event: first.info.signature.clone(),
            parameter: parameter.clone(),
            known: first.program.address_names().collect::<Vec<_>>().join(", "),
        });
        return None;
    };
    let choice = Choice { topic0: *topic0, kind: layout.kind, layout: Arc::clone(layout) };
    Some((choice, place))
}
