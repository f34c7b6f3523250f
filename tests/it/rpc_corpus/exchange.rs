//! One question of the corpus, and what of an answer is compared.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A question with its names filled in.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    pub(super) method: String,
    /// Raw JSON; `None`: the member is left out.
    pub(super) params: Option<String>,
    /// The transaction is taken back after each answer.
    pub(super) drop: bool,
    /// The error code that the hub gives instead of the node's answer, on purpose.
    ours: Option<i64>,
}

impl std::fmt::Display for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let params = self.params.as_deref().unwrap_or("(no params)");
        write!(f, "{} {}", self.method, params.chars().take(200).collect::<String>())
    }
}

/// Reads the corpus.
pub(super) fn read(text: &str, names: &BTreeMap<&'static str, String>) -> Vec<Exchange> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| one(line, names)).collect()
}

fn one(line: &str, names: &BTreeMap<&'static str, String>) -> Exchange {
    let (mut rest, mut drop, mut ours) = (line, false, None);
    if let Some(after) = rest.strip_prefix("@drop ") {
        (rest, drop) = (after, true);
    }
    if let Some(after) = rest.strip_prefix("@ours ") {
        let (words, after) = after.split_once(": ").expect("a reason and the question");
        let (code, _why) = words.split_once(' ').expect("a code and a reason");
        (rest, ours) = (after, Some(code.parse().expect("a code")));
    }
    let mut filled = rest.to_owned();
    for (name, value) in names {
        filled = filled.replace(&format!("${{{name}}}"), value);
    }
    assert!(!filled.contains("${"), "unknown name in {filled}");
    let (method, params) = match filled.split_once(' ') {
        Some((method, params)) => (method.to_owned(), Some(params.to_owned())),
        None => (filled, None),
    };
    Exchange { method, params, drop, ours }
}

impl Exchange {
    /// The request with this raw id.
    pub(super) fn body(&self, id: &str) -> String {
        let params = self.params.as_ref().map(|p| format!(r#","params":{p}"#)).unwrap_or_default();
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{}"{params}}}"#, self.method)
    }

    pub(super) fn accepts(&self, node: &str, ours: &str) -> bool {
        match self.ours {
            None => node == ours,
            Some(code) => ours.starts_with(&format!("error {code} ")),
        }
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    // A null result is a result, so absence must be told apart.
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<Failure<'a>>,
}

#[derive(Deserialize)]
struct Failure<'a> {
    #[serde(borrow)]
    code: &'a RawValue,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// The raw id of an answer, and what is compared: its result, or its error's code and data.
pub(super) fn essence(answer: &str) -> (String, String) {
    let read: Answer<'_> =
        serde_json::from_str(answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
    let essence = match (read.result, read.error) {
        (Some(result), None) => format!("result {}", result.get()),
        (None, Some(error)) => {
            format!("error {} {}", error.code.get(), error.data.map_or("no data", RawValue::get))
        }
        _ => panic!("neither result nor error: {answer}"),
    };
    (read.id.get().to_owned(), essence)
}
