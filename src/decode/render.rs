//! Values as text: what a log's arguments look like to the outside.
//!
//! Integers are decimal, addresses EIP-55, bytes 0x-hex, booleans `true` or `false`; arrays and tuples
//! are JSON, with integers as JSON strings since JSON numbers lose digits. Reads no log itself.

use alloy_primitives::{B256, hex};

use super::program::{Group, Visit};
use super::word::{self, Word, WordKind};
use crate::types::event::Arg;

/// Collects a walk's values as arguments.
#[derive(Debug, Default)]
pub(super) struct Args {
    pub(super) list: Vec<Arg>,
    groups: Vec<Open>,
    out: String,
}

#[derive(Debug)]
struct Open {
    group: Group,
    empty: bool,
}

impl Args {
    /// Separates items of an array; a tuple's components separate themselves.
    fn before(&mut self) {
        if let Some(open) = self.groups.last_mut()
            && open.group == Group::Array
        {
            if !open.empty {
                self.out.push(',');
            }
            open.empty = false;
        }
    }

    fn put(&mut self, text: &str, quoted: bool) {
        self.before();
        if !self.groups.is_empty() && quoted {
            quote(&mut self.out, text);
        } else {
            self.out.push_str(text);
        }
        self.end();
    }

    /// At the top level a value is the whole argument.
    fn end(&mut self) {
        if self.groups.is_empty() {
            let text = std::mem::take(&mut self.out);
            if let Some(arg) = self.list.last_mut() {
                arg.value = text;
            }
        }
    }
}

impl<'a> Visit<'a> for Args {
    fn param(&mut self, name: &str) {
        self.list.push(Arg { name: name.to_owned(), value: String::new() });
    }

    fn word(&mut self, kind: WordKind, word: &'a Word) {
        match kind {
            WordKind::Address => self.put(&word::address(word).to_checksum(None), true),
            WordKind::Bool => self.put(if word::boolean(word) { "true" } else { "false" }, false),
            WordKind::Uint(_) => self.put(&word::uint(word).to_string(), true),
            WordKind::Int(_) => self.put(&word::int(word).to_string(), true),
            WordKind::Bytes(len) => {
                let bytes = word.get(..usize::from(len)).unwrap_or(word);
                self.put(&hex::encode_prefixed(bytes), true);
            }
        }
    }

    fn bytes(&mut self, bytes: &'a [u8]) {
        self.put(&hex::encode_prefixed(bytes), true);
    }

    fn text(&mut self, text: &'a [u8]) {
        match std::str::from_utf8(text) {
            Ok(text) => self.put(text, true),
            Err(_) => self.put(&hex::encode_prefixed(text), true),
        }
    }

    fn hash(&mut self, hash: &'a B256) {
        self.put(&hex::encode_prefixed(hash), true);
    }

    fn open(&mut self, group: Group) {
        self.before();
        self.out.push(if group == Group::Struct { '{' } else { '[' });
        self.groups.push(Open { group, empty: true });
    }

    fn component(&mut self, name: &str) {
        let Some(open) = self.groups.last_mut() else { return };
        if !open.empty {
            self.out.push(',');
        }
        open.empty = false;
        if open.group == Group::Struct {
            quote(&mut self.out, name);
            self.out.push(':');
        }
    }

    fn close(&mut self, group: Group) {
        self.out.push(if group == Group::Struct { '}' } else { ']' });
        self.groups.pop();
        self.end();
    }
}

/// Writes a JSON string.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            letter if u32::from(letter) < 0x20 => {
                out.push_str(&format!("\\u{:04x}", u32::from(letter)));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
}
