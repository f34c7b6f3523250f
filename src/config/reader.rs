//! Reads typed values out of a raw table and collects every fault on the way.
//!
//! A read that fails notes the fault and gives `None`; the caller goes on, so that one run finds
//! everything. Knows types and key names, not what the values are for.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use super::error::Fault;
use super::keys::{Presence, SECTIONS, Section};
use super::raw::{Node, Place, Table, Value, parse_value};

/// The faults found so far.
#[derive(Debug, Default)]
pub(super) struct Faults(RefCell<Vec<Fault>>);

impl Faults {
    pub(super) fn add(&self, fault: Fault) {
        self.0.borrow_mut().push(fault);
    }

    pub(super) fn into_vec(self) -> Vec<Fault> {
        self.0.into_inner()
    }
}

/// A table at a key path, with the section that says what it may hold.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) path: String,
    pub(super) place: Place,
    section: &'static Section,
    table: &'a Table,
    faults: &'a Faults,
}

impl<'a> Reader<'a> {
    /// Opens a table and notes every key that the section does not know, `also` excepted.
    pub(super) fn open(
        table: &'a Table,
        section: &'static Section,
        path: String,
        place: Place,
        faults: &'a Faults,
        also: &[&str],
    ) -> Self {
        let reader = Self { path, place, section, table, faults };
        for (name, node) in table.iter() {
            if !also.contains(&name) && !section.keys.iter().any(|key| key.name == name) {
                // The value may be a secret under a mistyped name: never shown.
                let hint = match &node.place {
                    Place::Variable(variable) => {
                        format!("{}; or unset {variable}", hint_for_unknown(name, section))
                    }
                    _ => hint_for_unknown(name, section),
                };
                reader.note(name, None, &node.place, "unknown key", Some(hint));
            }
        }
        reader
    }

    /// Key path of a key in this table.
    pub(super) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Node> {
        debug_assert!(
            self.section.keys.iter().any(|key| key.name == name),
            "{name} is missing in keys.rs"
        );
        self.table.get(name)
    }

    fn get_or_missing(&self, name: &str) -> Option<&'a Node> {
        let node = self.get(name);
        let key = self.section.keys.iter().find(|key| key.name == name);
        if let (None, Some(key)) = (node, key)
            && key.presence == Presence::Required
        {
            let hint = format!("add {name} = {}", key.kind);
            self.note(name, None, &self.place, "missing", Some(hint));
        }
        node
    }

    /// Notes a fault with the key's value shown as written.
    pub(super) fn fault(&self, name: &str, problem: impl Into<String>, hint: impl Into<String>) {
        let node = self.table.get(name);
        let shown = node.and_then(|node| show(&node.value));
        let place = node.map_or(&self.place, |node| &node.place);
        self.note(name, shown, place, &problem.into(), Some(hint.into()));
    }

    /// Notes a fault with `shown` in place of the value (for secrets and for parts of a list).
    pub(super) fn fault_showing(
        &self,
        name: &str,
        shown: Option<String>,
        problem: impl Into<String>,
        hint: Option<String>,
    ) {
        let root = name.split('[').next().unwrap_or(name);
        let place = self.table.get(root).map_or(&self.place, |node| &node.place);
        self.note(name, shown, place, &problem.into(), hint);
    }

    fn note(
        &self,
        name: &str,
        value: Option<String>,
        place: &Place,
        problem: &str,
        hint: Option<String>,
    ) {
        self.faults.add(Fault {
            key: self.path_of(name),
            value,
            place: place.to_string(),
            problem: problem.to_owned(),
            hint,
        });
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        match &self.get_or_missing(name)?.value {
            Value::Text(text) => Some(text),
            _ => {
                self.fault(name, "must be text", "put it in double quotes");
                None
            }
        }
    }

    pub(super) fn integer(&self, name: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let node = self.get_or_missing(name)?;
        let number = match (&node.value, &node.place) {
            (Value::Integer(number), _) => u64::try_from(*number).ok(),
            (Value::Text(text), Place::Variable(_) | Place::Flag) => {
                text.trim().replace('_', "").parse().ok()
            }
            (Value::Text(_), _) => {
                self.fault(name, "must be a number", "drop the quotes");
                return None;
            }
            _ => None,
        };
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let hint = match (*range.start(), *range.end()) {
                (0, end) if end >= i64::MAX as u64 => "use a whole number, 0 or above".to_owned(),
                (start, end) if end >= i64::MAX as u64 => {
                    format!("use a whole number, {start} or above")
                }
                (start, end) => format!("use a whole number from {start} to {end}"),
            };
            self.fault(name, "out of range", hint);
        }
        number
    }

    pub(super) fn boolean(&self, name: &str) -> Option<bool> {
        let node = self.get_or_missing(name)?;
        let value = match (&node.value, &node.place) {
            (Value::Boolean(value), _) => Some(*value),
            (Value::Text(text), Place::Variable(_) | Place::Flag) => text.trim().parse().ok(),
            _ => None,
        };
        if value.is_none() {
            self.fault(name, "must be true or false", "write it without quotes");
        }
        value
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            let near = nearest(text, known.iter().copied());
            let known = known.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
            let hint = match near {
                Some(word) => format!("did you mean {word:?}? known: {known}"),
                None => format!("use one of {known}"),
            };
            self.fault(name, "unknown word", hint);
        }
        found
    }

    /// A list of texts; a variable or flag may also give them with commas between.
    pub(super) fn texts(&self, name: &str) -> Option<Vec<String>> {
        let node = self.get_or_missing(name)?;
        let items = match (&node.value, &node.place) {
            (Value::List(items), _) => texts_of(items),
            (Value::Text(text), Place::Variable(_) | Place::Flag) => texts_in(text, &node.place),
            _ => None,
        };
        if items.is_none() {
            self.fault(name, "must be a list of texts", "write it as [\"one\", \"two\"]");
        }
        items
    }

    /// The tables of `[[name]]`, each opened under `section`.
    pub(super) fn tables(&self, name: &str, section: &'static Section) -> Vec<Self> {
        let Some(node) = self.get(name) else { return Vec::new() };
        let Value::List(items) = &node.value else {
            let hint = format!("write it as [[{}]]", section.path);
            self.fault_showing(name, None, "must be a list of tables", Some(hint));
            return Vec::new();
        };
        let open = |(index, item): (usize, &'a Node)| {
            let name = format!("{name}[{index}]");
            let Value::Table(table) = &item.value else {
                let hint = format!("write it as [[{}]]", section.path);
                self.fault_showing(&name, None, "must be a table", Some(hint));
                return None;
            };
            let path = self.path_of(&name);
            Some(Reader::open(table, section, path, item.place.clone(), self.faults, &[]))
        };
        items.iter().enumerate().filter_map(open).collect()
    }

    /// The table `[name]`, opened under `section`; `also` are keys that the caller reports itself.
    pub(super) fn table(
        &self,
        name: &str,
        section: &'static Section,
        also: &[&str],
    ) -> Option<Self> {
        let node = self.get(name)?;
        let Value::Table(table) = &node.value else {
            let hint = format!("write it as [{}]", section.path);
            self.fault_showing(name, None, "must be a table", Some(hint));
            return None;
        };
        let path = self.path_of(name);
        Some(Reader::open(table, section, path, node.place.clone(), self.faults, also))
    }
}

fn texts_of(items: &[Node]) -> Option<Vec<String>> {
    let text = |node: &Node| match &node.value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    };
    items.iter().map(text).collect()
}

fn texts_in(text: &str, place: &Place) -> Option<Vec<String>> {
    if text.trim_start().starts_with('[') {
        return match parse_value(text, place)?.value {
            Value::List(items) => texts_of(&items),
            _ => None,
        };
    }
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    Some(items.map(str::to_owned).collect())
}

/// A value as a fault shows it: one line, at most 80 characters; tables are not shown.
pub(super) fn show(value: &Value) -> Option<String> {
    let text = match value {
        Value::Text(text) => format!("{text:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Boolean(value) => value.to_string(),
        Value::Other(text) => text.clone(),
        Value::List(items) => {
            let items: Vec<_> = items.iter().filter_map(|item| show(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(_) => return None,
    };
    match text.char_indices().nth(80) {
        Some((cut, _)) => text.get(..cut).map(|head| format!("{head}…")),
        None => Some(text),
    }
}

fn hint_for_unknown(name: &str, section: &Section) -> String {
    if let Some(near) = nearest(name, section.keys.iter().map(|key| key.name)) {
        return format!("did you mean {near}?");
    }
    let elsewhere = SECTIONS.iter().find(|other| other.keys.iter().any(|key| key.name == name));
    if let Some(other) = elsewhere {
        let (open, close) = if other.repeated { ("[[", "]]") } else { ("[", "]") };
        return format!("{name} belongs under {open}{}{close}", other.path);
    }
    let known: Vec<_> = section.keys.iter().map(|key| key.name).collect();
    format!("known here: {}", known.join(", "))
}

/// The candidate that a typing error most likely meant.
pub(super) fn nearest<'c>(
    word: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
    let word = word.to_lowercase();
    let reach = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= reach)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace, swap of neighbours) from one word to the other.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut rows = vec![vec![0usize; right.len() + 1]; left.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=left.len() {
        for j in 1..=right.len() {
            let replace = usize::from(left[i - 1] != right[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            best = best.min(rows[i - 1][j - 1] + replace);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[left.len()][right.len()]
}
