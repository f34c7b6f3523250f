//! What the sources say, before anything is checked: a tree whose every value knows where it came from.
//!
//! A tree instead of derived structs, because a derived reader stops at its first fault and this one
//! must report all of them. Meaning is `validate`'s business; names are `keys`'.

use std::fmt;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Fault;

/// Where a value came from.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Default,
    File { name: Arc<str>, line: usize },
    Variable(Arc<str>),
    Flag,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("built-in default"),
            Self::File { name, line } => write!(f, "{name}:{line}"),
            Self::Variable(name) => write!(f, "environment {name}"),
            Self::Flag => f.write_str("command line"),
        }
    }
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// What TOML can say. Variables and flags only ever give `Text`.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    /// Floats and dates: no key takes one, so only their text is kept.
    Other(String),
    List(Vec<Node>),
    Table(Table),
}

/// Keys in the order of the source.
#[derive(Debug, Clone, Default)]
pub(super) struct Table(Vec<(String, Node)>);

impl Table {
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.0.iter_mut().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    pub(super) fn put(&mut self, key: &str, node: Node) {
        match self.get_mut(key) {
            Some(old) => *old = node,
            None => self.0.push((key.to_owned(), node)),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.0.iter().map(|(key, node)| (key.as_str(), node))
    }

    /// Lays `over` on top: tables merge key by key, everything else replaces.
    pub(super) fn overlay(&mut self, over: Self) {
        for (key, node) in over.0 {
            match (self.get_mut(&key), node) {
                (
                    Some(Node { value: Value::Table(below), .. }),
                    Node { value: Value::Table(above), .. },
                ) => below.overlay(above),
                (_, node) => self.put(&key, node),
            }
        }
    }
}

/// A TOML text as a tree, or every syntax fault in it.
pub(super) fn parse(text: &str, place: &dyn Fn(usize) -> Place) -> Result<Table, Vec<Fault>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let at = |offset: usize| place(line_of(text, offset));
        return Ok(table_of(table.get_ref(), &at));
    }
    let fault = |error: toml::de::Error| Fault {
        key: String::new(),
        value: None,
        place: place(line_of(text, error.span().map_or(0, |span| span.start))).to_string(),
        problem: format!("not valid TOML: {}", error.message().replace('\n', ", ")),
        hint: None,
    };
    Err(errors.into_iter().map(fault).collect())
}

/// One TOML value (`["a", "b"]`, `{ file = "x" }`) out of a variable or flag.
pub(super) fn parse_value(text: &str, place: &Place) -> Option<Node> {
    let value = DeValue::parse(text.trim()).ok()?;
    Some(node_of(&value, &|_| place.clone()))
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

fn table_of(table: &DeTable<'_>, at: &dyn Fn(usize) -> Place) -> Table {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    Table(
        entries
            .into_iter()
            .map(|(key, node)| (key.get_ref().to_string(), node_of(node, at)))
            .collect(),
    )
}

fn node_of(node: &Spanned<DeValue<'_>>, at: &dyn Fn(usize) -> Place) -> Node {
    let value = match node.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Value::Other(number.as_str().to_owned()), Value::Integer),
        DeValue::Float(number) => Value::Other(number.as_str().to_owned()),
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(date) => Value::Other(date.to_string()),
        DeValue::Array(items) => Value::List(items.iter().map(|item| node_of(item, at)).collect()),
        DeValue::Table(table) => Value::Table(table_of(table, at)),
    };
    Node { place: at(node.span().start), value }
}

/// Sets the value at `path`; numbers address entries of a list, the next free number adds one.
pub(super) fn set(root: &mut Table, path: &[String], node: Node) -> Result<(), String> {
    let Some((key, rest)) = path.split_first() else {
        return Err("names no key".to_owned());
    };
    if rest.is_empty() {
        root.put(key, node);
        return Ok(());
    }
    if root.get(key).is_none() {
        let value = match index_of(&rest[0]) {
            Some(_) => Value::List(Vec::new()),
            None => Value::Table(Table::default()),
        };
        root.put(key, Node { place: node.place.clone(), value });
    }
    match root.get_mut(key) {
        Some(inner) => set_inside(inner, key, rest, node),
        None => Ok(()),
    }
}

fn set_inside(inner: &mut Node, key: &str, path: &[String], node: Node) -> Result<(), String> {
    match (&mut inner.value, index_of(&path[0])) {
        (Value::Table(table), None) => set(table, path, node),
        (Value::List(items), Some(index)) if index <= items.len() => {
            let rest = &path[1..];
            if index == items.len() {
                let value = match rest.first() {
                    Some(_) => Value::Table(Table::default()),
                    None => node.value.clone(),
                };
                items.push(Node { place: node.place.clone(), value });
            }
            match (&mut items[index], rest) {
                (item, []) => {
                    *item = node;
                    Ok(())
                }
                (Node { value: Value::Table(table), .. }, rest) => set(table, rest, node),
                _ => Err(format!("entry {index} of {key} has no keys of its own")),
            }
        }
        (Value::List(items), Some(index)) => Err(format!(
            "{key} has {} entries, so {} is the next number, not {index}",
            items.len(),
            items.len()
        )),
        (Value::List(_), None) => Err(format!("{key} is a list: a number must follow it")),
        (Value::Table(_), Some(_)) => Err(format!("{key} is a table, not a list: drop the number")),
        _ => Err(format!("{key} is a value and has no keys of its own")),
    }
}

/// A path segment that is a number.
pub(super) fn index_of(segment: &str) -> Option<usize> {
    (!segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| segment.parse().ok())
        .flatten()
}
