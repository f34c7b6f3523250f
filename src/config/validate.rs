//! Raw tree → [`Config`]. Reads everything, notes every fault, and only then says yes or no.
//!
//! Touches no network; files are read through the caller.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::error::{ConfigErrors, Fault};
use super::keys;
use super::load::Sources;
use super::raw::{Place, Table};
use super::reader::{Faults, Reader};
use super::{
    Backup, Bus, Cache, Chain, Config, Gateway, GatewayRpc, LogFormat, RpcVerify, Store, Telemetry,
    TlsFiles, Verify,
};
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
    let parts = (
        store(&root, sources),
        cache(&root, sources, &mut warnings),
        bus(&root, sources, &mut warnings),
        gateway(&root),
        telemetry(&root),
    );
    if let (.., Some(gateway), Some(telemetry)) = &parts {
        check_ports(&root, gateway.listen, telemetry.metrics_listen);
    }
    let backup = backup(&root);
    let faults = faults.into_vec();
    match (parts, backup) {
        ((Some(store), Some(cache), Some(bus), Some(gateway), Some(telemetry)), Some(backup))
            if faults.is_empty() =>
        {
            let config =
                Config { chains, contracts, store, cache, bus, gateway, telemetry, backup };
            Ok((config, warnings))
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

fn store(root: &Reader<'_>, sources: &Sources<'_>) -> Option<Store> {
    let reader = root.table("store", &keys::STORE, &[])?;
    if reader.choice("kind", &[("embedded", false), ("mongodb", true)])? {
        let url = provider::database_url(&reader, sources)?;
        return Some(Store::MongoDb { url });
    }
    if let Some(key) = ["url", "url_file"].into_iter().find(|key| reader.get(key).is_some()) {
        // Whoever wrote a URL wanted the server.
        let hint = format!("set kind = \"mongodb\", or remove {key}");
        reader.fault_showing(key, None, "given, but kind does not use it", Some(hint));
    }
    let path = reader.text("path")?;
    if path.trim().is_empty() {
        reader.fault("path", "empty", "name a folder, such as \"data\"");
    }
    Some(Store::Embedded { path: PathBuf::from(path) })
}

/// Whether a back end is the one that needs nothing or an engine behind a URL.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Own,
    Engine,
}

fn cache(root: &Reader<'_>, sources: &Sources<'_>, warnings: &mut Vec<String>) -> Option<Cache> {
    let reader = root.table("cache", &keys::CACHE, &[])?;
    let prefix = prefix(&reader);
    match reader.choice("kind", &[("memory", Kind::Own), ("redis", Kind::Engine)])? {
        Kind::Own => {
            unused_url(&reader, "redis", warnings);
            Some(Cache::Memory)
        }
        Kind::Engine => {
            let url = provider::engine_url(&reader, sources, &["redis", "rediss"])?;
            Some(Cache::Redis { url, prefix: prefix? })
        }
    }
}

fn bus(root: &Reader<'_>, sources: &Sources<'_>, warnings: &mut Vec<String>) -> Option<Bus> {
    let reader = root.table("bus", &keys::BUS, &[])?;
    let prefix = prefix(&reader);
    match reader.choice("kind", &[("embedded", Kind::Own), ("nats", Kind::Engine)])? {
        Kind::Own => {
            unused_url(&reader, "nats", warnings);
            Some(Bus::Embedded)
        }
        Kind::Engine => {
            let url = provider::engine_url(&reader, sources, &["nats", "tls"])?;
            Some(Bus::Nats { url, prefix: prefix? })
        }
    }
}

/// Whoever writes a URL that nobody uses may have wanted the engine.
fn unused_url(reader: &Reader<'_>, engine: &str, warnings: &mut Vec<String>) {
    let given = ["url", "url_file"].into_iter().find(|key| reader.get(key).is_some());
    if let Some(key) = given {
        let key = reader.path_of(key);
        warnings
            .push(format!("{key}: not used by this kind; set kind = \"{engine}\" or remove it"));
    }
}

fn prefix(reader: &Reader<'_>) -> Option<String> {
    let prefix = reader.text("prefix")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if prefix.is_empty() || prefix.len() > NAME_BYTES_MAX || !prefix.chars().all(fits) {
        let hint = format!("use 1 to {NAME_BYTES_MAX} letters, digits, '-' or '_'");
        reader.fault("prefix", "not fit for names of keys", hint);
        return None;
    }
    Some(prefix.to_owned())
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
    let rpc = gateway_rpc(&reader);
    let origin = reader.text("origin");
    if origin.is_some_and(|origin| !is_origin(origin)) {
        let hint = "write scheme://host or scheme://host:port, without a path";
        reader.fault("origin", "not an origin", hint);
    }
    let open_registration = reader.boolean("open_registration");
    let trusted_proxies = reader.texts("trusted_proxies");
    for (index, network) in trusted_proxies.iter().flatten().enumerate() {
        if !is_network(network) {
            reader.fault_showing(
                &format!("trusted_proxies[{index}]"),
                Some(format!("{network:?}")),
                "not an address or network",
                Some("write 10.0.0.1, 10.0.0.0/8 or 2001:db8::/32".to_owned()),
            );
        }
    }
    let listen = listen?;
    let files = (reader.text("tls_cert_file"), reader.text("tls_key_file"));
    let tls = match files {
        (Some(certificate), Some(key)) => {
            Some(TlsFiles { certificate: PathBuf::from(certificate), key: PathBuf::from(key) })
        }
        (None, None) => None,
        (Some(_), None) => {
            reader.fault("tls_cert_file", "no key beside it", "give tls_key_file too");
            None
        }
        (None, Some(_)) => {
            reader.fault("tls_key_file", "no certificate beside it", "give tls_cert_file too");
            None
        }
    };
    Some(Gateway {
        listen,
        tls,
        origin: origin.map(str::to_owned),
        open_registration: open_registration?,
        secret_file: reader.text("secret_file").map(PathBuf::from),
        trusted_proxies: trusted_proxies?,
        public_read: public_read?,
        max_body_bytes: usize::try_from(body?).ok()?,
        max_batch_items: usize::try_from(batch?).ok()?,
        cors_origins: cors_origins?,
        rpc: rpc?,
    })
}

fn gateway_rpc(gateway: &Reader<'_>) -> Option<GatewayRpc> {
    let reader = gateway.table("rpc", &keys::GATEWAY_RPC, &[])?;
    let verify = reader.choice("verify", &RpcVerify::WORDS);
    let blocks = reader.integer("verify_blocks_max", 0..=10_000);
    let (allow, deny) = (reader.texts("allow_methods"), reader.texts("deny_methods"));
    let named = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    for (list, methods) in [("allow_methods", &allow), ("deny_methods", &deny)] {
        for (index, method) in methods.iter().flatten().enumerate() {
            if !named(method) {
                reader.fault_showing(
                    &format!("{list}[{index}]"),
                    Some(format!("{method:?}")),
                    "not a method's name",
                    Some("write it as clients send it, such as debug_traceTransaction".to_owned()),
                );
            }
        }
    }
    Some(GatewayRpc {
        verify: verify?,
        verify_blocks_max: blocks?,
        allow_methods: allow?,
        deny_methods: deny?,
    })
}

fn is_network(text: &str) -> bool {
    let (address, bits) = text.split_once('/').unwrap_or((text, "0"));
    let most = match address.parse::<std::net::IpAddr>() {
        Ok(address) if address.is_ipv4() => 32,
        Ok(_) => 128,
        Err(_) => return false,
    };
    bits.parse::<u32>().is_ok_and(|bits| bits <= most)
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
    let otlp_endpoint = reader.text("otlp_endpoint").map(str::to_owned);
    if otlp_endpoint.as_ref().is_some_and(|url| !url.starts_with("http://")) {
        let hint = "write http://host:port/v1/traces of a collector on this machine";
        reader.fault("otlp_endpoint", "not an http URL", hint);
    }
    Some(Telemetry {
        otlp_endpoint,
        metrics_listen: metrics_listen?,
        log_format: log_format?,
        log_level: log_level?.to_owned(),
    })
}

fn backup(root: &Reader<'_>) -> Option<Backup> {
    let reader = root.table("backup", &keys::BACKUP, &[])?;
    let path = reader.text("path").map(PathBuf::from);
    if path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
        reader.fault("path", "empty", "name a folder, such as \"/var/backups/rwahub\"");
    }
    let recipients = reader.texts("recipients")?;
    for (index, recipient) in recipients.iter().enumerate() {
        // A secret key here would be shown by `rwahub check`, so it is not repeated.
        if !recipient.starts_with("age1") {
            reader.fault_showing(
                &format!("recipients[{index}]"),
                None,
                "not a public key",
                Some("write the age1... line that `rwahub backup keygen` prints".to_owned()),
            );
        }
    }
    let keep = usize::try_from(reader.integer("keep", 1..=10_000)?).ok()?;
    Some(Backup { path, recipients, keep })
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
