//! From contract entries to event sets: which layouts each entry keeps, or every fault at once.
//!
//! Runs once per start. Reads no file: the text of an ABI arrives with its entry.

use std::sync::Arc;

use alloy_json_abi::Event;
use serde_json::Value;

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
    let entries = match entries(text) {
        Ok(entries) => entries,
        Err(detail) => {
            faults.push(AbiError::Json { contract, file, detail });
            return Vec::new();
        }
    };
    let events: Vec<Value> = entries.into_iter().filter(|entry| entry["type"] == "event").collect();
    if events.is_empty() {
        faults.push(AbiError::NoEvents { contract, file });
        return Vec::new();
    }
    let mut list = Vec::new();
    for entry in events {
        let name = entry["name"].as_str().unwrap_or("without a name").to_owned();
        match parse(entry).and_then(|event| layouts.intern(&event)) {
            Ok(layout) => list.push(layout),
            Err(detail) => {
                let (contract, file) = (contract.clone(), file.clone());
                faults.push(AbiError::Event { contract, file, event: name, detail });
            }
        }
    }
    list
}

/// The entries of an ABI: an array, or the `abi` of a compiler's artifact.
fn entries(text: &str) -> Result<Vec<Value>, String> {
    let mut json: Value = serde_json::from_str(text).map_err(|fault| fault.to_string())?;
    let array = if json.is_array() { Some(&mut json) } else { json.get_mut("abi") };
    match array.map(Value::take) {
        Some(Value::Array(entries)) => Ok(entries),
        _ => Err("neither an array nor an object with an array \"abi\"".to_owned()),
    }
}

/// One event's entry of a JSON ABI.
pub(super) fn event(text: &str) -> Result<Event, String> {
    serde_json::from_str(text).map_err(|fault: serde_json::Error| fault.to_string()).and_then(parse)
}

/// Reads an entry; fields that tools leave out when they are false or empty may be missing.
fn parse(mut entry: Value) -> Result<Event, String> {
    if let Some(event) = entry.as_object_mut() {
        event.entry("anonymous").or_insert(Value::Bool(false));
    }
    let inputs = entry.get_mut("inputs").and_then(Value::as_array_mut);
    for input in inputs.into_iter().flatten() {
        if let Some(input) = input.as_object_mut() {
            input.entry("indexed").or_insert(Value::Bool(false));
            input.entry("name").or_insert(Value::String(String::new()));
        }
    }
    serde_json::from_value(entry).map_err(|fault| fault.to_string())
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
        let choice = Choice::new(layout);
        match layout.info.topic0 {
            Some(topic0) => set.by_topic.entry(topic_key(&topic0)).or_default().push(choice),
            None => set.anonymous.push(choice),
        }
    }
    set
}

/// The factory's event, looked for in the entry's own ABI, then in the others, then in the packs,
/// then read from the declaration that names it.
fn creation(
    layouts: &mut Layouts,
    source: &Source,
    own: &[Arc<Layout>],
    all: &[Vec<Arc<Layout>>],
    faults: &mut Vec<AbiError>,
) -> Option<(Choice, AddressPlace)> {
    let SourceAddresses::Factory { topic0, event, parameter, .. } = &source.addresses else {
        return None;
    };
    let declared = Event::parse(event).ok().and_then(|event| layouts.intern(&event).ok());
    let packs = EventKind::ALL.iter().filter_map(|kind| layouts.built_in(*kind));
    let known: Vec<&Arc<Layout>> = own
        .iter()
        .chain(all.iter().flatten())
        .chain(packs)
        .chain(&declared)
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
    Some((Choice::new(layout), place))
}
