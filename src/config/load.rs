//! Brings the sources together: built-in defaults < file < environment < command line.
//!
//! [`load_texts`] is pure but for the files that the texts name, which it asks its caller for;
//! [`load`] is the thin shell that reads real ones.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Config;
use super::error::{ConfigErrors, Fault};
use super::keys::{CHAIN, PROVIDER, Presence, Section};
use super::raw::{self, Node, Place, Table, Value};
use super::validate;

/// The defaults, as the user sees them.
pub const EXAMPLE: &str = include_str!("../../config.toml.example");

/// The file that is read when none is named and it exists.
pub const DEFAULT_FILE: &str = "config.toml";

/// Largest file that is read as configuration, ABI or secret: more is a mistake, not a setting.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

const PREFIX: &str = "RWAHUB_";

/// Variables under this prefix belong to tests and are passed over.
const PREFIX_TESTS: &str = "RWAHUB_TEST_";

/// A key set on the command line: `gateway.listen` or `chain[0].start_block`, and its value.
#[derive(Debug, Clone)]
pub struct Override {
    pub key: String,
    pub value: String,
}

/// A configuration that has passed every check.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    /// Legal but doubtful settings, one line each.
    pub warnings: Vec<String>,
    /// The file that was read, `None` for built-in defaults.
    pub source: Option<PathBuf>,
}

/// Everything that says something about the configuration, as text.
pub struct Sources<'a> {
    /// Name and text of the configuration file.
    pub file: Option<(&'a str, &'a str)>,
    pub env: HashMap<String, String>,
    pub overrides: &'a [Override],
    /// Reads a file that the configuration names (ABI, secret), or says why not.
    pub read: &'a dyn Fn(&Path) -> Result<String, String>,
}

impl std::fmt::Debug for Sources<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Texts and environment may hold secrets.
        f.debug_struct("Sources")
            .field("file", &self.file.map(|file| file.0))
            .finish_non_exhaustive()
    }
}

/// Loads from a file (or `config.toml` if there is one, or built-in defaults), environment and flags.
pub fn load(
    path: Option<&Path>,
    env: impl IntoIterator<Item = (String, String)>,
    overrides: &[Override],
) -> Result<Loaded, ConfigErrors> {
    let default = Path::new(DEFAULT_FILE);
    let path = path.or_else(|| default.exists().then_some(default));
    let text = match path {
        Some(path) => Some(read_config(path)?),
        None => None,
    };
    let folder = path.and_then(Path::parent).unwrap_or_else(|| Path::new("")).to_owned();
    let name = path.map(|path| path.display().to_string()).unwrap_or_default();
    let sources = Sources {
        file: text.as_deref().map(|text| (name.as_str(), text)),
        env: env.into_iter().collect(),
        overrides,
        read: &|file: &Path| read_beside(&folder, file),
    };
    let (config, warnings) = load_texts(&sources)?;
    Ok(Loaded { config, warnings, source: path.map(Path::to_owned) })
}

/// The process environment, for [`load`]. Names and values that are not Unicode are replaced in part.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into(), value.to_string_lossy().into()))
}

/// Layers the texts and checks the result; gives the configuration and its warnings.
pub fn load_texts(sources: &Sources<'_>) -> Result<(Config, Vec<String>), ConfigErrors> {
    let mut faults = Vec::new();
    let defaults =
        raw::parse(EXAMPLE, &|_| Place::Default).map_err(|faults| ConfigErrors { faults })?;
    let mut tree = defaults.clone();
    if let Some((name, text)) = sources.file {
        let name: Arc<str> = name.into();
        let place = |line| Place::File { name: name.clone(), line };
        // A text with broken syntax says nothing reliable about its keys.
        tree.overlay(raw::parse(text, &place).map_err(|faults| ConfigErrors { faults })?);
    }
    apply_environment(&mut tree, &sources.env, &mut faults);
    apply_overrides(&mut tree, sources.overrides, &mut faults);
    fill_entries(&mut tree, &defaults);
    validate::check(&tree, sources, faults)
}

fn apply_environment(tree: &mut Table, env: &HashMap<String, String>, faults: &mut Vec<Fault>) {
    let mut ours: Vec<_> = env
        .iter()
        .filter(|(name, _)| name.starts_with(PREFIX) && !name.starts_with(PREFIX_TESTS))
        .map(|(name, value)| {
            let path = name.get(PREFIX.len()..).unwrap_or_default();
            let path: Vec<String> = path.split("__").map(str::to_lowercase).collect();
            (path, name, value)
        })
        .collect();
    // Entry 2 before entry 10, so that a list can be built from nothing.
    ours.sort_by_cached_key(|(path, ..)| {
        path.iter().map(|part| (raw::index_of(part), part.clone())).collect::<Vec<_>>()
    });
    for (path, name, value) in ours {
        let place = Place::Variable(name.as_str().into());
        set_text(tree, &path, place, value, faults);
    }
}

fn apply_overrides(tree: &mut Table, overrides: &[Override], faults: &mut Vec<Fault>) {
    for Override { key, value } in overrides {
        let path: Vec<String> = key
            .split(['.', '['])
            .map(|part| part.strip_suffix(']').unwrap_or(part).to_owned())
            .collect();
        set_text(tree, &path, Place::Flag, value, faults);
    }
}

fn set_text(tree: &mut Table, path: &[String], place: Place, value: &str, faults: &mut Vec<Fault>) {
    // Inline tables (`{ file = ".." }`, a factory) are the one structure a text may hold.
    let table = value.trim_start().starts_with('{').then(|| raw::parse_value(value, &place));
    let node = table
        .flatten()
        .unwrap_or_else(|| Node { place: place.clone(), value: Value::Text(value.to_owned()) });
    if let Err(problem) = raw::set(tree, path, node) {
        faults.push(Fault {
            key: path.join("."),
            value: None,
            place: place.to_string(),
            problem,
            hint: Some("name a key of config.toml.example".to_owned()),
        });
    }
}

/// Gives each chain and provider the defaults that the example's first one shows.
fn fill_entries(tree: &mut Table, defaults: &Table) {
    let Some(template) = first_table(defaults, "chain") else { return };
    let provider = first_table(template, "provider");
    each_table(tree, "chain", &mut |chain| {
        fill(chain, template, &CHAIN);
        if let Some(provider) = provider {
            each_table(chain, "provider", &mut |entry| fill(entry, provider, &PROVIDER));
        }
    });
}

fn fill(entry: &mut Table, template: &Table, section: &Section) {
    for key in section.keys.iter().filter(|key| key.presence == Presence::Default) {
        if let (None, Some(default)) = (entry.get(key.name), template.get(key.name)) {
            entry.put(key.name, default.clone());
        }
    }
}

fn first_table<'a>(table: &'a Table, key: &str) -> Option<&'a Table> {
    match &table.get(key)?.value {
        Value::List(items) => match &items.first()?.value {
            Value::Table(table) => Some(table),
            _ => None,
        },
        _ => None,
    }
}

fn each_table(table: &mut Table, key: &str, act: &mut dyn FnMut(&mut Table)) {
    if let Some(Node { value: Value::List(items), .. }) = table.get_mut(key) {
        for item in items {
            if let Value::Table(table) = &mut item.value {
                act(table);
            }
        }
    }
}

fn read_config(path: &Path) -> Result<String, ConfigErrors> {
    read_file(path).map_err(|problem| {
        let hint = "name an existing file with --config, or start from config.toml.example";
        let place = path.display().to_string();
        let hint = Some(hint.to_owned());
        Fault { key: String::new(), value: None, place, problem, hint }.into()
    })
}

/// Relative names start at the configuration file; where nothing is there, at the working directory.
fn read_beside(folder: &Path, file: &Path) -> Result<String, String> {
    let beside = folder.join(file);
    read_file(if beside.exists() { &beside } else { file })
}

fn read_file(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > FILE_BYTES_MAX {
        return Err(format!("file has {size} bytes, more than {FILE_BYTES_MAX}"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}
