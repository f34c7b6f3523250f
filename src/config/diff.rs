//! What a new configuration changes: key by key, secrets redacted, and whether a running daemon takes it.
//!
//! Compares what `check` shows, so that every key counts without being listed here again.

use std::collections::BTreeMap;
use std::fmt;

use toml::Value;

use super::{Chain, Config, Provider};

/// One key with another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Entries are named by id or name: `chain[1].provider[alpha].weight`.
    pub key: String,
    pub before: Option<String>,
    pub after: Option<String>,
    /// Taken over without a restart.
    pub live: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(f, "{}: {before} -> {after}", self.key)?,
            (None, Some(after)) => write!(f, "{}: + {after}", self.key)?,
            (before, None) => {
                write!(f, "{}: - {}", self.key, before.as_deref().unwrap_or_default())?;
            }
        }
        if self.live { Ok(()) } else { f.write_str(" (needs a restart)") }
    }
}

/// Everything that differs, in the order of the keys.
pub fn changes(before: &Config, after: &Config) -> Vec<Change> {
    let (old, new) = (flat(before), flat(after));
    let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
    keys.sort();
    keys.dedup();
    let known = |key: &str| {
        let same_chain = |chain: &Chain| after.chains.iter().any(|other| other.id == chain.id);
        before
            .chains
            .iter()
            .filter(|chain| same_chain(chain))
            .any(|chain| key.starts_with(&format!("chain[{}].", chain.id)))
    };
    let mut found: Vec<Change> = keys
        .into_iter()
        .filter(|key| old.get(*key) != new.get(*key))
        .map(|key| Change {
            key: key.clone(),
            before: old.get(key).cloned(),
            after: new.get(key).cloned(),
            live: is_live(key) && (known(key) || key.starts_with("gateway.")),
        })
        .collect();
    found.extend(secrets(before, after));
    found
}

/// Keys that a running daemon takes over.
fn is_live(key: &str) -> bool {
    let of_provider = key.contains("].provider[") && !key.ends_with(".max_block_range");
    of_provider || key.ends_with("].head_quorum") || key == "gateway.max_batch_items"
}

/// Addresses that differ where nothing may be shown.
fn secrets(before: &Config, after: &Config) -> Vec<Change> {
    let pairs = |chain: &Chain| {
        let other = after.chains.iter().find(|other| other.id == chain.id);
        let providers = other.map_or(&[][..], |other| &other.providers[..]);
        let twin = |old: &Provider| providers.iter().find(|new| new.name == old.name).cloned();
        let pairs = chain.providers.iter().filter_map(|old| Some((old.clone(), twin(old)?)));
        pairs.map(|(old, new)| (chain.id, old, new)).collect::<Vec<_>>()
    };
    before
        .chains
        .iter()
        .flat_map(pairs)
        .filter(|(_, old, new)| old.url.redacted() == new.url.redacted())
        .filter(|(_, old, new)| old.url.expose() != new.url.expose())
        .map(|(chain, old, new)| Change {
            key: format!("chain[{chain}].provider[{}].url", old.name),
            before: Some(old.url.redacted()),
            after: Some(format!("{} (another path or key)", new.url.redacted())),
            live: true,
        })
        .collect()
}

fn flat(config: &Config) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    // What `render` writes is TOML; were it not, nothing would differ and nothing would be taken over.
    if let Ok(table) = config.to_toml_redacted().parse::<toml::Table>() {
        walk(String::new(), &Value::Table(table), &mut all);
    }
    all
}

fn walk(path: String, value: &Value, all: &mut BTreeMap<String, String>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                walk(path, value, all);
            }
        }
        Value::Array(items) if items.iter().all(Value::is_table) && !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                let name = ["id", "name"].iter().find_map(|key| item.get(key));
                let name = name.map_or(index.to_string(), |name| match name {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                });
                walk(format!("{path}[{name}]"), item, all);
            }
        }
        other => {
            all.insert(path, other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::{Sources, load_texts};

    fn config(text: &str) -> Config {
        let sources = Sources {
            file: Some(("config.toml", text)),
            env: std::collections::HashMap::new(),
            overrides: &[],
            read: &|_| Err("no file".into()),
        };
        load_texts(&sources).expect("a configuration").0
    }

    const BASE: &str = r#"
[[chain]]
id = 1
name = "main"
[[chain.provider]]
name = "a"
url = "https://a.example/KEY1"
weight = 1
[[chain.provider]]
name = "b"
url = "https://b.example/"
"#;

    #[test]
    fn changes_are_named_redacted_and_say_what_needs_a_restart() {
        let after = BASE.replace("KEY1", "KEY2").replace("weight = 1", "weight = 5")
            + "[[chain.provider]]\nname = \"c\"\nurl = \"wss://c.example/SECRET\"\n\
               [gateway]\nlisten = \"127.0.0.1:9999\"\nmax_batch_items = 7\n";
        let found = changes(&config(BASE), &config(&after));
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        let text = shown.join("\n");
        assert!(text.contains("chain[1].provider[a].weight: 1 -> 5"), "{text}");
        assert!(text.contains("chain[1].provider[a].url: https://a.example"), "{text}");
        assert!(text.contains("chain[1].provider[c].url: + \"wss://c.example\""), "{text}");
        assert!(
            text.contains("(needs a restart)") && !text.contains("KEY") && !text.contains("SECRET")
        );
        let restart: Vec<_> = found.iter().filter(|c| !c.live).map(|c| c.key.as_str()).collect();
        assert_eq!(restart, ["gateway.listen"]);
        assert_eq!(changes(&config(BASE), &config(BASE)), []);
    }

    #[test]
    fn a_new_chain_needs_a_restart() {
        let after = format!(
            "{BASE}\n[[chain]]\nid = 2\nname = \"two\"\n[[chain.provider]]\nurl = \"https://x.example\"\n"
        );
        let found = changes(&config(BASE), &config(&after));
        assert!(!found.is_empty() && found.iter().all(|change| !change.live));
    }
}
