//! Reads query and path parameters strictly: an unknown key, a repeated key or a bad value is an
//! error, and all of them are reported at once.
//!
//! Knows syntax only; whether a chain or token exists is for the handlers to say.

use std::str::FromStr;

use alloy_primitives::{Address, B256};
use axum::http::Uri;

use crate::gateway::error::{Fault, Problem};
use crate::store::read::{ContractFilter, Order};

/// Items of a page when the caller does not say: one screen of a table.
pub(in crate::gateway) const LIMIT_DEFAULT: usize = 50;
/// Most items of a page: about 1 MB of events, so that one answer stays cheap to hold.
pub(in crate::gateway) const LIMIT_MAX: usize = 1_000;
/// Longest configured contract or event name that can exist is far below this.
const NAME_CHARS_MAX: usize = 128;
/// Cursors we give out are below 100 characters; anything longer is not ours.
const CURSOR_CHARS_MAX: usize = 512;
/// Query keys read; no route knows more than a dozen.
const KEYS_MAX: usize = 64;

/// The parameters of one request, handed out one by one.
#[derive(Debug)]
pub(in crate::gateway) struct Params {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
    faults: Vec<Fault>,
}

impl Params {
    /// The query of `uri`.
    pub(in crate::gateway) fn of(uri: &Uri) -> Self {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
        let mut faults = Vec::new();
        let mut pairs = match pairs {
            Ok(query) => query.0,
            Err(_) => {
                let text = uri.query().unwrap_or_default();
                faults.push(Fault::new("query", text, "cannot be read; percent-encode each value"));
                Vec::new()
            }
        };
        if pairs.len() > KEYS_MAX {
            let detail = format!("more than {KEYS_MAX} query parameters; give each key once");
            faults.push(Fault::new("query", &pairs.len().to_string(), detail));
            pairs.clear();
        }
        Self { pairs, known: Vec::new(), faults }
    }

    /// The value of `key` as `parse` reads it; a fault is kept for `finish`.
    pub(in crate::gateway) fn take<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.known.push(key);
        let mut values = self.pairs.iter().filter(|(name, _)| name == key).map(|(_, value)| value);
        let value = values.next()?;
        if values.next().is_some() {
            self.faults.push(Fault::new(key, value, "is given more than once; give it once"));
            return None;
        }
        if value.is_empty() {
            self.faults.push(Fault::new(key, value, "is empty; leave the key out or give a value"));
            return None;
        }
        match parse(value) {
            Ok(parsed) => Some(parsed),
            Err(detail) => {
                self.faults.push(Fault::new(key, value, detail));
                None
            }
        }
    }

    /// A path segment, which is always there.
    pub(in crate::gateway) fn path<T>(
        &mut self,
        name: &'static str,
        value: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match parse(value) {
            Ok(parsed) => Some(parsed),
            Err(detail) => {
                self.faults.push(Fault::new(name, value, detail));
                None
            }
        }
    }

    pub(in crate::gateway) fn limit(&mut self) -> usize {
        self.take("limit", |text| limit(text, LIMIT_MAX)).unwrap_or(LIMIT_DEFAULT)
    }

    pub(in crate::gateway) fn cursor(&mut self) -> Option<String> {
        self.take("cursor", cursor)
    }

    /// Adds a fault that only the handler can see.
    pub(in crate::gateway) fn fault(&mut self, key: &str, value: &str, detail: impl Into<String>) {
        self.faults.push(Fault::new(key, value, detail));
    }

    /// Every fault, the keys that no one asked for among them.
    pub(in crate::gateway) fn finish(mut self) -> Result<(), Problem> {
        for (key, value) in &self.pairs {
            if !self.known.contains(&key.as_str()) {
                let detail = match self.known.as_slice() {
                    [] => "is not a parameter here; this address takes none".to_owned(),
                    known => format!("is not a parameter here; known: {}", known.join(", ")),
                };
                self.faults.push(Fault::new(key, value, detail));
            }
        }
        if self.faults.is_empty() { Ok(()) } else { Err(Problem::of_faults(self.faults)) }
    }
}

/// Largest chain id or block number: the last whole number that JSON readers keep exactly, and far
/// beyond any chain.
const NUMBER_MAX: u64 = (1 << 53) - 1;

/// A decimal number without sign.
pub(in crate::gateway) fn number(text: &str) -> Result<u64, String> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("must be a whole decimal number, such as 19000000".into());
    }
    let value = u64::from_str(text).ok().filter(|value| *value <= NUMBER_MAX);
    value.ok_or_else(|| format!("must be at most {NUMBER_MAX}"))
}

/// A page size from 1 to `max`.
pub(in crate::gateway) fn limit(text: &str, max: usize) -> Result<usize, String> {
    let remedy = || format!("must be a whole number from 1 to {max}");
    let value = number(text).map_err(|_| remedy())?;
    usize::try_from(value).ok().filter(|value| (1..=max).contains(value)).ok_or_else(remedy)
}

/// An address in any letter case; mixed case must carry a right EIP-55 checksum.
pub(in crate::gateway) fn address(text: &str) -> Result<Address, String> {
    let digits = text.strip_prefix("0x").unwrap_or_default();
    if digits.len() != 40 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("must be an address: 0x and 40 hexadecimal digits".into());
    }
    let address = Address::from_str(text).map_err(|_| "must be an address".to_owned())?;
    let upper = digits.bytes().any(|byte| byte.is_ascii_uppercase());
    let lower = digits.bytes().any(|byte| byte.is_ascii_lowercase());
    if upper && lower && address.to_checksum(None) != text {
        return Err(format!(
            "has a wrong checksum, so a digit may be mistyped; all lower case or {} is accepted",
            address.to_checksum(None)
        ));
    }
    Ok(address)
}

/// A 32-byte hash.
pub(in crate::gateway) fn hash(text: &str) -> Result<B256, String> {
    let digits = text.strip_prefix("0x").unwrap_or_default();
    if digits.len() != 64 {
        return Err("must be a hash: 0x and 64 hexadecimal digits".into());
    }
    B256::from_str(text).map_err(|_| "must be a hash: 0x and 64 hexadecimal digits".into())
}

/// A contract by address, or by its configured name.
pub(in crate::gateway) fn contract(text: &str) -> Result<ContractFilter, String> {
    if text.starts_with("0x") {
        return address(text).map(ContractFilter::Address);
    }
    name(text).map(ContractFilter::Name)
}

/// A configured name or an event name.
pub(in crate::gateway) fn name(text: &str) -> Result<String, String> {
    if text.len() > NAME_CHARS_MAX || text.chars().any(char::is_control) {
        return Err(format!("must be a name of at most {NAME_CHARS_MAX} characters"));
    }
    Ok(text.to_owned())
}

/// Whatever an earlier answer gave as `next_cursor`.
pub(in crate::gateway) fn cursor(text: &str) -> Result<String, String> {
    if text.len() > CURSOR_CHARS_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("is not a cursor of this service; pass next_cursor unchanged".into());
    }
    Ok(text.to_owned())
}

/// `asc` or `desc`.
pub(in crate::gateway) fn order(text: &str) -> Result<Order, String> {
    match text {
        "asc" => Ok(Order::OldestFirst),
        "desc" => Ok(Order::NewestFirst),
        _ => Err("must be asc (oldest first) or desc (newest first)".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_come_at_once_and_unknown_keys_name_the_known_ones() {
        let uri: Uri = "/x?limit=0&order=up&colour=red&limt=3".parse().unwrap();
        let mut params = Params::of(&uri);
        params.limit();
        params.take("order", order);
        let problem = params.finish().unwrap_err();
        let named: Vec<_> = problem.faults.iter().map(|f| f.parameter.as_str()).collect();
        assert_eq!(named, ["limit", "order", "colour", "limt"]);
        assert!(problem.faults[3].detail.contains("known: limit, order"), "{problem:?}");
    }

    #[test]
    fn a_repeated_or_empty_key_is_a_fault() {
        let uri: Uri = "/x?limit=1&limit=2&order=".parse().unwrap();
        let mut params = Params::of(&uri);
        params.limit();
        params.take("order", order);
        assert_eq!(params.finish().unwrap_err().faults.len(), 2);
    }

    #[test]
    fn addresses_accept_one_case_and_refuse_a_wrong_checksum() {
        let good = "0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045";
        assert!(address(good).is_ok());
        assert!(address(&good.to_lowercase()).is_ok());
        let wrong = good.replace("dA6B", "Da6B");
        assert!(address(&wrong).unwrap_err().contains(good));
        for bad in ["", "0x", "d8dA6BF26964aF9D7eEd9e03E53415D37aA96045", "0xzz"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_are_plain_decimals() {
        assert_eq!(number("9007199254740991"), Ok(NUMBER_MAX));
        for bad in ["+1", "-1", "1e3", "0x10", "9007199254740992", "18446744073709551616", " 1"] {
            assert!(number(bad).is_err(), "{bad}");
        }
    }
}
