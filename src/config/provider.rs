//! Checks `[[chain.provider]]`: where its URL comes from, that it can be used, that no secret prints.

use std::path::Path;

use super::keys;
use super::load::Sources;
use super::raw::{Node, Place, Value};
use super::reader::Reader;
use super::validate::{INTEGER_MAX, name};
use super::{EngineUrl, Provider, ProviderUrl, Transport};

/// The providers of a chain; a chain without one is a fault.
pub(super) fn providers(
    chain: &Reader<'_>,
    sources: &Sources<'_>,
    warnings: &mut Vec<String>,
) -> Vec<Provider> {
    let readers = chain.tables("provider", &keys::PROVIDER);
    if readers.is_empty() {
        let hint = "add a [[chain.provider]] with a url under this [[chain]]";
        chain.fault_showing("provider", None, "no provider", Some(hint.to_owned()));
    }
    let mut names: Vec<String> = Vec::new();
    let mut providers = Vec::new();
    for reader in &readers {
        let given = reader.get("name").and_then(|_| name(reader, "name"));
        let provider = provider(reader, given.clone(), sources, warnings);
        let Some(name) = given.or_else(|| provider.as_ref().map(|found| found.name.clone())) else {
            continue;
        };
        if let Some(twin) = names.iter().position(|other| *other == name) {
            let problem = format!("provider[{twin}] of this chain has this name");
            let hint = Some("give each provider its own name".to_owned());
            reader.fault_showing("name", Some(format!("{name:?}")), problem, hint);
        }
        names.push(name);
        providers.extend(provider);
    }
    providers
}

fn provider(
    reader: &Reader<'_>,
    given_name: Option<String>,
    sources: &Sources<'_>,
    warnings: &mut Vec<String>,
) -> Option<Provider> {
    let weight = reader.integer("weight", 1..=1000);
    let rate_limit_rps = reader.integer("rate_limit_rps", 1..=u64::from(u32::MAX));
    let max_block_range = reader.integer("max_block_range", 1..=INTEGER_MAX);
    let url = url(reader, sources)?;
    let host = host_of(url.expose()).unwrap_or_default();
    let plain = url.expose().starts_with("http://") || url.expose().starts_with("ws://");
    if plain && !is_local(host) {
        warnings.push(format!(
            "{} = \"{}\": requests and keys cross the network unencrypted; use https or wss",
            reader.path_of("url"),
            url.redacted()
        ));
    }
    Some(Provider {
        name: given_name.unwrap_or_else(|| host.to_owned()),
        url,
        weight: u32::try_from(weight?).ok()?,
        rate_limit_rps: rate_limit_rps.and_then(|limit| u32::try_from(limit).ok()),
        max_block_range,
    })
}

fn url(reader: &Reader<'_>, sources: &Sources<'_>) -> Option<ProviderUrl> {
    let (text, key) = url_text(reader, sources)?;
    check_url(reader, key, &text)
}

/// The URL of a back end: one of `schemes`, with a usable host, never printed beyond it.
pub(super) fn engine_url(
    reader: &Reader<'_>,
    sources: &Sources<'_>,
    schemes: &[&str],
) -> Option<EngineUrl> {
    let (text, key) = url_text(reader, sources)?;
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    let known = scheme.is_some_and(|scheme| schemes.contains(&scheme));
    let problem = match (known, host_of(&text)) {
        (false, _) => format!("not a URL with {}", schemes.join(" or ")),
        (true, None) => "URL has no usable host and port".to_owned(),
        (true, Some(_)) if text.chars().any(|c| c.is_whitespace() || c.is_control()) => {
            "URL holds white space".to_owned()
        }
        (true, Some(_)) => return Some(EngineUrl::new(text)),
    };
    let first = schemes.first().copied().unwrap_or_default();
    let hint = format!("write it as {first}://user:password@host:port");
    let shown = scheme.filter(|_| known).map(|scheme| format!("\"{scheme}://…\""));
    reader.fault_showing(key, shown, problem, Some(hint));
    None
}

/// The URL of a MongoDB database: like an engine's, but it may name several hosts.
pub(super) fn database_url(reader: &Reader<'_>, sources: &Sources<'_>) -> Option<EngineUrl> {
    let (text, key) = url_text(reader, sources)?;
    let rest = ["mongodb://", "mongodb+srv://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let fits = |rest: &str| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let hosts = authority.rsplit('@').next().unwrap_or_default();
        hosts.split(',').all(|host| host_of(&format!("x://{host}")).is_some())
    };
    let problem = match rest {
        None => "not a URL with mongodb or mongodb+srv",
        Some(_) if text.chars().any(|c| c.is_whitespace() || c.is_control()) => {
            "URL holds white space"
        }
        Some(rest) if !fits(rest) => "URL has no usable hosts and ports",
        Some(_) => return Some(EngineUrl::new(text)),
    };
    let hint = "write it as mongodb://user:password@host:port/database, with special characters in \
                user and password as %XX";
    let shown = rest.map(|_| "\"mongodb://…\"".to_owned());
    reader.fault_showing(key, shown, problem, Some(hint.to_owned()));
    None
}

/// The URL from whichever place gives it, and the key that gave it.
fn url_text(reader: &Reader<'_>, sources: &Sources<'_>) -> Option<(String, &'static str)> {
    let key = match (reader.get("url"), reader.get("url_file")) {
        (Some(url), Some(file)) if rank(&url.place) == rank(&file.place) => {
            let hint = "keep one of them".to_owned();
            reader.fault_showing("url_file", None, "url is given as well", Some(hint));
            return None;
        }
        // The later source wins, whichever of the two keys it uses.
        (Some(url), Some(file)) if rank(&file.place) > rank(&url.place) => "url_file",
        (None, Some(_)) => "url_file",
        (Some(_), _) => "url",
        (None, None) => {
            let hint = "add url = \"..\" or url_file = \"..\"".to_owned();
            reader.fault_showing("url", None, "missing", Some(hint));
            return None;
        }
    };
    let found = match (key, reader.get(key)) {
        ("url", Some(Node { value: Value::Table(_), .. })) => {
            let table = reader.table("url", &keys::SECRET_FILE, &[])?;
            (from_file(&table, "file", sources)?, "url")
        }
        ("url_file", _) => (from_file(reader, "url_file", sources)?, "url_file"),
        (_, Some(Node { value: Value::Text(text), .. })) => {
            (expand(reader, "url", text, sources)?, "url")
        }
        _ => {
            let hint = "write url = \"..\" or url = { file = \"..\" }".to_owned();
            reader.fault_showing("url", None, "must be text", Some(hint));
            return None;
        }
    };
    Some(found)
}

fn rank(place: &Place) -> u8 {
    match place {
        Place::Default => 0,
        Place::File { .. } => 1,
        Place::Variable(_) => 2,
        Place::Flag => 3,
    }
}

fn from_file(reader: &Reader<'_>, key: &str, sources: &Sources<'_>) -> Option<String> {
    let path = expand(reader, key, reader.text(key)?, sources)?;
    match (sources.read)(Path::new(&path)) {
        Ok(text) => Some(text.trim().to_owned()),
        Err(problem) => {
            reader.fault(key, format!("cannot read: {problem}"), "name a readable file");
            None
        }
    }
}

/// Replaces `${NAME}` from the environment.
fn expand(reader: &Reader<'_>, key: &str, text: &str, sources: &Sources<'_>) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            let hint = "write ${NAME}".to_owned();
            reader.fault_showing(key, None, "\"${\" without \"}\"", Some(hint));
            return None;
        };
        let Some(value) = sources.env.get(name) else {
            let hint = Some(format!("set {name}, or write the value here"));
            reader.fault_showing(
                key,
                None,
                format!("environment variable {name} is not set"),
                hint,
            );
            return None;
        };
        out.push_str(value);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

fn check_url(reader: &Reader<'_>, key: &str, url: &str) -> Option<ProviderUrl> {
    let bad = |problem: &str| {
        let shown = url.split_once("://").and_then(|(scheme, _)| {
            scheme.chars().all(|c| c.is_ascii_alphanumeric()).then(|| format!("\"{scheme}://…\""))
        });
        let hint = "write it as https://host/path, with http, https, ws or wss".to_owned();
        reader.fault_showing(key, shown, problem, Some(hint));
    };
    let transport = match url.split_once("://").map(|(scheme, _)| scheme) {
        Some("http" | "https") => Transport::Http,
        Some("ws" | "wss") => Transport::WebSocket,
        Some(_) => {
            bad("scheme is none of http, https, ws, wss");
            return None;
        }
        None => {
            bad("not a URL");
            return None;
        }
    };
    if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        bad("URL holds white space");
        return None;
    }
    if host_of(url).is_none() {
        bad("URL has no usable host and port");
        return None;
    }
    Some(ProviderUrl::new(transport, url.to_owned()))
}

/// The host of a URL, `None` when it is empty or the port is not a number.
fn host_of(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split(['/', '?', '#']).next()?;
    let host_port = authority.rsplit('@').next()?;
    let (host, port) = match host_port.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => match host_port.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (host_port, None),
        },
    };
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
    (!host.is_empty() && port_fits).then_some(host)
}

fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}
