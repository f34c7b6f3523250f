//! Checks `[[contract]]`: chain, ABI, addresses and event names must fit together.

use std::path::{Path, PathBuf};

use alloy_primitives::Address;

use super::keys;
use super::load::Sources;
use super::raw::{Node, Place, Value, parse_value};
use super::reader::{Reader, nearest, show};
use super::validate::{INTEGER_MAX, name};
use super::{Abi, Addresses, BuiltInAbi, Chain, Contract, abi};
use crate::types::chain::ChainId;

/// A hint lists the events of an ABI up to this many; a T-REX suite has 140.
const NAMES_SHOWN_MAX: usize = 12;

/// The contracts, checked against the chains.
pub(super) fn contracts(
    root: &Reader<'_>,
    sources: &Sources<'_>,
    chains: &[Chain],
    warnings: &mut Vec<String>,
) -> Vec<Contract> {
    let mut contracts: Vec<Contract> = Vec::new();
    for reader in root.tables("contract", &keys::CONTRACT) {
        let Some(contract) = contract(&reader, sources, chains) else { continue };
        if let Some(twin) = contracts.iter().position(|other| other.name == contract.name) {
            let problem = format!("contract[{twin}] has this name");
            reader.fault("name", problem, "give each contract its own name");
        }
        let chain = chains.iter().find(|chain| chain.id == contract.chain_id);
        if let (Some(chain), Some(start)) = (chain, contract.start_block)
            && start < chain.start_block
        {
            warnings.push(format!(
                "{}: blocks below the chain's start_block = {} are not indexed",
                reader.path_of(&format!("start_block = {start}")),
                chain.start_block
            ));
        }
        contracts.push(contract);
    }
    contracts
}

fn contract(reader: &Reader<'_>, sources: &Sources<'_>, chains: &[Chain]) -> Option<Contract> {
    let name = name(reader, "name");
    let chain_id = reader.integer("chain_id", 1..=INTEGER_MAX).map(ChainId);
    if let Some(id) = chain_id
        && !chains.iter().any(|chain| chain.id == id)
    {
        let known: Vec<_> = chains.iter().map(|chain| chain.id.to_string()).collect();
        let hint = format!("add a [[chain]] with this id; there are: {}", known.join(", "));
        reader.fault("chain_id", "no such chain", hint);
    }
    let abi = abi(reader, sources);
    let addresses = addresses(reader);
    let start_block = reader.integer("start_block", 0..=INTEGER_MAX);
    let events = reader.get("events").map_or(Some(Vec::new()), |_| reader.texts("events"));
    let (abi, names) = abi?;
    check_events(reader, events.as_deref().unwrap_or_default(), &names);
    Some(Contract {
        name: name?,
        chain_id: chain_id?,
        abi,
        addresses: addresses?,
        start_block,
        events: events?,
    })
}

fn check_events(reader: &Reader<'_>, events: &[String], names: &[String]) {
    for (index, event) in events.iter().enumerate() {
        if names.contains(event) {
            continue;
        }
        let hint = match nearest(event, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near}?"),
            None if names.len() > NAMES_SHOWN_MAX => {
                format!("the ABI has {} other events", names.len())
            }
            None => format!("the ABI has {}", names.join(", ")),
        };
        let shown = Some(format!("{event:?}"));
        let key = format!("events[{index}]");
        reader.fault_showing(&key, shown, "no event of the ABI", Some(hint));
    }
}

/// The ABI and the names of its events.
fn abi(reader: &Reader<'_>, sources: &Sources<'_>) -> Option<(Abi, Vec<String>)> {
    let word = reader.text("abi")?;
    if let Some(pack) = BuiltInAbi::from_word(word) {
        return Some((Abi::BuiltIn(pack), pack.event_names().into_iter().collect()));
    }
    let text = match (sources.read)(Path::new(word)) {
        Ok(text) => text,
        Err(problem) => {
            let packs = BuiltInAbi::ALL.map(BuiltInAbi::as_str);
            let hint = match nearest(word, packs.into_iter()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("name a JSON ABI file, or \"{}\"", packs.join("\", \"")),
            };
            reader.fault("abi", format!("cannot read: {problem}"), hint);
            return None;
        }
    };
    match abi::read(&text) {
        Ok((json, names)) => Some((Abi::Custom { path: PathBuf::from(word), json }, names)),
        Err((problem, hint)) => {
            reader.fault("abi", problem, hint);
            None
        }
    }
}

fn addresses(reader: &Reader<'_>) -> Option<Addresses> {
    let hint =
        "write [\"0x..\"], \"any\", or { factory = \"0x..\", event = \"..\", parameter = \"..\" }";
    let Some(node) = reader.get("address") else {
        reader.fault("address", "missing", hint);
        return None;
    };
    match (&node.value, &node.place) {
        (Value::Text(word), _) if word == "any" => Some(Addresses::Any),
        (Value::Table(_), _) => factory(&reader.table("address", &keys::FACTORY, &[])?),
        (Value::List(items), _) => listed(reader, items),
        (Value::Text(text), place @ (Place::Variable(_) | Place::Flag)) => {
            match parse_value(text, place) {
                Some(Node { value: Value::List(items), .. }) => listed(reader, &items),
                _ => listed(reader, &split(text, place)),
            }
        }
        (Value::Text(text), _) if text.starts_with("0x") => {
            listed(reader, std::slice::from_ref(node))
        }
        _ => {
            reader.fault("address", "neither list, \"any\" nor factory", hint);
            None
        }
    }
}

fn split(text: &str, place: &Place) -> Vec<Node> {
    let node =
        |part: &str| Node { place: place.clone(), value: Value::Text(part.trim().to_owned()) };
    text.split(',').map(node).collect()
}

fn listed(reader: &Reader<'_>, items: &[Node]) -> Option<Addresses> {
    if items.is_empty() {
        reader.fault("address", "empty list", "name an address, or write \"any\"");
        return None;
    }
    let mut addresses = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let key = format!("address[{index}]");
        let shown = show(&item.value);
        let found = match &item.value {
            Value::Text(text) => address(text),
            _ => Err(("not text".to_owned(), "put it in double quotes".to_owned())),
        };
        match found {
            Ok(address) if addresses.contains(&address) => {
                let hint = Some("name each address once".to_owned());
                reader.fault_showing(&key, shown, "named twice", hint);
            }
            Ok(address) => addresses.push(address),
            Err((problem, hint)) => reader.fault_showing(&key, shown, problem, Some(hint)),
        }
    }
    (addresses.len() == items.len()).then_some(Addresses::Listed(addresses))
}

/// An address: lower or upper case throughout, or with the right EIP-55 checksum.
fn address(text: &str) -> Result<Address, (String, String)> {
    let Some(digits) = text.strip_prefix("0x") else {
        return Err(("not an address".to_owned(), "write 0x and 40 hex digits".to_owned()));
    };
    let Ok(address) = text.parse::<Address>() else {
        let problem = match digits.chars().find(|c| !c.is_ascii_hexdigit()) {
            Some(odd) => format!("{odd:?} is not a hex digit"),
            None => format!("{} hex digits instead of 40", digits.len()),
        };
        return Err((problem, "write 0x and 40 hex digits".to_owned()));
    };
    let mixed = digits.chars().any(|c| c.is_ascii_lowercase())
        && digits.chars().any(|c| c.is_ascii_uppercase());
    let right = address.to_checksum(None);
    if mixed && right != text {
        return Err(("wrong checksum".to_owned(), format!("if no digit is wrong, it is {right}")));
    }
    Ok(address)
}

fn factory(reader: &Reader<'_>) -> Option<Addresses> {
    let factory = reader.text("factory").and_then(|text| match address(text) {
        Ok(address) => Some(address),
        Err((problem, hint)) => {
            reader.fault("factory", problem, hint);
            None
        }
    });
    let text = reader.text("event");
    let parameter = reader.text("parameter");
    let (event, full) = match abi::event(text?) {
        Ok(event) => event,
        Err(_) => {
            let hint = "write it as Solidity does: \"Deployed(address indexed token)\"";
            reader.fault("event", "not an event", hint);
            return None;
        }
    };
    let parameter = parameter?;
    let found = event.inputs.iter().find(|input| input.name == parameter);
    match found.map(|input| input.ty.as_str()) {
        Some("address") => {}
        Some(other) => {
            let problem = format!("is of type {other}, not address");
            reader.fault("parameter", problem, "name an address parameter");
            return None;
        }
        None => {
            let names: Vec<_> = event.inputs.iter().map(|input| input.name.as_str()).collect();
            let hint = format!("the event has {}", names.join(", "));
            reader.fault("parameter", "no parameter of the event", hint);
            return None;
        }
    }
    Some(Addresses::Factory {
        factory: factory?,
        topic0: event.selector(),
        event: full,
        parameter: parameter.to_owned(),
    })
}
