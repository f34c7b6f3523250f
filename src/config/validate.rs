//! Raw tree → [`Config`]. Reads everything, notes every fault, and only then says yes or no.
//!
//! Touches no network; files are read through the caller.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::error::{ConfigErrors, Fault};
use super::keys;
use super::load::Sources;
use super::raw::{Node, Place, Table, Value};
use super::reader::{Faults, Reader};
use super::{Bus, Cache, Chain, Config, Gateway, LogFormat, Store, Telemetry, Verify};
use super::{contract, provider};
use crate::types::chain::ChainId;

/// Longest name of a chain, provider or contract: they become labels of metrics and log fields.
const NAME_BYTES_MAX: usize = 64;

/// TOML integers end here.
pub(super) const INTEGER_MAX: u64 = i64::MAX as u64;

/// Checks a tree; `earlier` are faults that the layering already found.
pub(super) fn check(
    tree: &Table,
    sources: &Sources<'_>,
    earlier: Vec<Fault>,
) -> Result<(Config, Vec<String>), ConfigErrors> {
    let faults = Faults::default();
    earlier.into_iter().for_each(|fault| faults.add(fault));
    let mut warnings = Vec::new();
    let place = match sources.file {
        Some((name, _)) => Place::File { name: name.into(), line: 1 },
        None => Place::Default,
    };
    let root = Reader::open(tree, &keys::ROOT, String::new(), place, &faults, &[]);
    let chains = chains(&root, sources, &mut warnings);
    let contracts = contract::contracts(&root, sources, &chains, &mut warnings);
    let parts = (store(&root), cache(&root), bus(&root), gateway(&root), telemetry(&root));
    if let (.., Some(gateway), Some(telemetry)) = &parts {
        check_ports(&root, gateway.listen, telemetry.metrics_listen);
    }
    let faults = faults.into_vec();
    match parts {
        (Some(store), Some(cache), Some(bus), Some(gateway), Some(telemetry))
            if faults.is_empty() =>
        {
            Ok((Config { chains, contracts, store, cache, bus, gateway, telemetry }, warnings))
        }
        _ => Err(ConfigErrors { faults }),
    }
}

fn chains(root: &Reader<'_>, sources: &Sources<'_>, warnings: &mut Vec<String>) -> Vec<Chain> {
    let readers = root.tables("chain", &keys::CHAIN);
    if readers.is_empty() && root.get("chain").is_some() {
        root.fault_showing("chain", None, "no chain", Some("add a [[chain]]".to_owned()));
    }
    let mut chains: Vec<Chain> = Vec::new();
    for reader in &readers {
        let chain = chain(reader, sources, warnings);
        if let Some(twin) = chains.iter().position(|other| other.id == chain.id)
            && chain.id.0 != 0
        {
            reader.fault("id", format!("chain[{twin}] has this id"), "give each chain once");
        }
        if let Some(twin) = chains.iter().position(|other| other.name == chain.name) {
            let hint = "give each chain its own name";
            reader.fault("name", format!("chain[{twin}] has this name"), hint);
        }
        chains.push(chain);
    }
    chains
}

fn chain(reader: &Reader<'_>, sources: &Sources<'_>, warnings: &mut Vec<String>) -> Chain {
    let id = ChainId(reader.integer("id", 1..=INTEGER_MAX).unwrap_or_default());
    let name = name(reader, "name").unwrap_or_else(|| format!("chain-{id}"));
    let words = [("receipts", Verify::Receipts), ("bloom", Verify::Bloom), ("off", Verify::Off)];
    let verify = reader.choice("verify", &words).unwrap_or(Verify::Receipts);
    if verify == Verify::Off {
        warnings.push(format!(
            "{}: a provider that leaves logs out goes unnoticed; \"receipts\" proves them",
            reader.path_of("verify = \"off\"")
        ));
    }
    let poll_ms = reader.integer("poll_interval_ms", 10..=3_600_000).unwrap_or(1);
    let providers = provider::providers(reader, sources, warnings);
    Chain {
        id,
        name,
        confirmations: reader.integer("confirmations", 0..=1_000_000).unwrap_or_default(),
        start_block: reader.integer("start_block", 0..=INTEGER_MAX).unwrap_or_default(),
        reorg_window_blocks: reader.integer("reorg_window_blocks", 1..=10_000_000).unwrap_or(1),
        verify,
        poll_interval: Duration::from_millis(poll_ms),
        head_quorum: head_quorum(reader, providers.len()),
        providers,
    }
}

/// More than there are providers would hide every block.
fn head_quorum(reader: &Reader<'_>, providers: usize) -> usize {
    let wanted = reader.integer("head_quorum", 1..=100).unwrap_or(1);
    let wanted = usize::try_from(wanted).unwrap_or(1);
    if wanted > providers.max(1) {
        let problem = format!("the chain has {providers} providers");
        reader.fault("head_quorum", problem, "use at most that many, or add providers");
    }
    wanted
}

/// A name that is fit for labels, if the key is there.
pub(super) fn name(reader: &Reader<'_>, key: &str) -> Option<String> {
    let name = reader.text(key)?;
    if name.trim().is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let hint = format!("use 1 to {NAME_BYTES_MAX} printable characters");
        reader.fault(key, "not fit for a name", hint);
    }
    Some(name.to_owned())
}

/// Opens a back end's table; kinds that come with later versions are told apart from typing errors.
fn back_end<'a>(
    root: &Reader<'a>,
    section: &'static keys::Section,
    later: &[&str],
) -> Option<Reader<'a>> {
    let word = match root.get(section.path).map(|node| &node.value) {
        Some(Value::Table(table)) => table.get("kind"),
        _ => None,
    };
    let is_later = matches!(word, Some(Node { value: Value::Text(word), .. }) if later.contains(&word.as_str()));
    if !is_later {
        return root.table(section.path, section, &[]);
    }
    // `url` goes with those kinds; to report it too would be a second fault for one cause.
    let reader = root.table(section.path, section, &["url"])?;
    let served = section.keys.iter().find(|key| key.name == "kind").map_or("", |key| key.kind);
    let hint = format!("use {}", served.replace('`', "\""));
    reader.fault("kind", "this version does not serve it yet", hint);
    None
}

fn store(root: &Reader<'_>) -> Option<Store> {
    let reader = back_end(root, &keys::STORE, &["mongodb"])?;
    reader.choice("kind", &[("embedded", ())]);
    let path = reader.text("path")?;
    if path.trim().is_empty() {
        reader.fault("path", "empty", "name a folder, such as \"data\"");
    }
    Some(Store::Embedded { path: PathBuf::from(path) })
}

fn cache(root: &Reader<'_>) -> Option<Cache> {
    let reader = back_end(root, &keys::CACHE, &["redis"])?;
    reader.choice("kind", &[("memory", Cache::Memory)])
}

fn bus(root: &Reader<'_>) -> Option<Bus> {
    let reader = back_end(root, &keys::BUS, &["nats"])?;
    reader.choice("kind", &[("embedded", Bus::Embedded)])
}

fn gateway(root: &Reader<'_>) -> Option<Gateway> {
    let reader = root.table("gateway", &keys::GATEWAY, &[])?;
    let listen = listen(&reader, "listen");
    let public_read = reader.boolean("public_read");
    let body = reader.integer("max_body_bytes", 1024..=1024 * 1024 * 1024);
    let batch = reader.integer("max_batch_items", 1..=100_000);
    let cors_origins = reader.texts("cors_origins");
    for (index, origin) in cors_origins.iter().flatten().enumerate() {
        if !is_origin(origin) {
            reader.fault_showing(
                &format!("cors_origins[{index}]"),
                Some(format!("{origin:?}")),
                "not an origin",
                Some("write scheme://host or scheme://host:port, without a path".to_owned()),
            );
        }
    }
    Some(Gateway {
        listen: listen?,
        public_read: public_read?,
        max_body_bytes: usize::try_from(body?).ok()?,
        max_batch_items: usize::try_from(batch?).ok()?,
        cors_origins: cors_origins?,
    })
}

fn is_origin(origin: &str) -> bool {
    let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    host.is_some_and(|host| {
        !host.is_empty()
            && host
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']'))
    })
}

fn telemetry(root: &Reader<'_>) -> Option<Telemetry> {
    let reader = root.table("telemetry", &keys::TELEMETRY, &[])?;
    let metrics_listen = listen(&reader, "metrics_listen");
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let log_format = reader.choice("log_format", &formats);
    let log_level = reader.text("log_level");
    if let Some(bad) = log_level.and_then(bad_level) {
        let hint =
            "use error, warn, info, debug, trace or off, alone or as module=level with commas";
        reader.fault("log_level", format!("{bad:?} is not a level"), hint);
    }
    Some(Telemetry {
        metrics_listen: metrics_listen?,
        log_format: log_format?,
        log_level: log_level?.to_owned(),
    })
}

/// The first part of a log filter that names no level.
fn bad_level(filter: &str) -> Option<&str> {
    let is_level = |word: &str| {
        ["error", "warn", "info", "debug", "trace", "off"].contains(&word.to_lowercase().as_str())
    };
    filter
        .split(',')
        .map(|part| part.rsplit('=').next().unwrap_or(part).trim())
        .find(|w| !is_level(w))
}

fn listen(reader: &Reader<'_>, key: &str) -> Option<SocketAddr> {
    let text = reader.text(key)?;
    let address = text.parse().ok();
    if address.is_none() {
        let hint = "write an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080";
        reader.fault(key, "not an address to listen on", hint);
    }
    address
}

fn check_ports(root: &Reader<'_>, gateway: SocketAddr, metrics: SocketAddr) {
    let (left, right) = (gateway.ip(), metrics.ip());
    let overlap = left == right || left.is_unspecified() || right.is_unspecified();
    if gateway.port() == metrics.port()
        && gateway.port() != 0
        && overlap
        && let Some(reader) = root.table("telemetry", &keys::TELEMETRY, &[])
    {
        let problem = format!("gateway.listen = {gateway} has this port");
        reader.fault("metrics_listen", problem, "give each its own port");
    }
}
