//! A client's bytes → requests. Ids, params and order stay exactly as they came.
//!
//! Judges form only; what a method means is decided elsewhere.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Limits;
use super::reply::Fault;

/// One well-formed request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Raw JSON of the id; `None` for a notification, which gets no answer.
    pub id: Option<Bytes>,
    pub method: String,
    /// Raw JSON of params; empty when absent.
    pub params: Bytes,
}

/// What a body holds.
#[derive(Debug)]
pub enum Body {
    One(Result<Request, Fault>),
    Batch(Vec<Result<Request, Fault>>),
    /// No request could be told apart.
    Broken(Fault),
}

/// Reads a body.
pub fn parse(body: &Bytes, limits: &Limits) -> Body {
    if !depth_is_within(body, limits.depth_max) {
        return Body::Broken(Fault::invalid("the request is nested too deep"));
    }
    match body.iter().find(|b| !b.is_ascii_whitespace()) {
        Some(b'[') => batch(body, limits),
        // Only text that is no JSON at all is a parse error.
        _ => match serde_json::from_slice::<&RawValue>(body) {
            Ok(raw) => Body::One(one(body, raw)),
            Err(_) => Body::Broken(Fault::parse()),
        },
    }
}

fn batch(body: &Bytes, limits: &Limits) -> Body {
    let Ok(items) = serde_json::from_slice::<Vec<&RawValue>>(body) else {
        return Body::Broken(Fault::parse());
    };
    if items.is_empty() {
        return Body::Broken(Fault::invalid("an empty batch"));
    }
    if items.len() > limits.batch_items_max {
        let text =
            format!("{} requests in a batch, at most {}", items.len(), limits.batch_items_max);
        return Body::Broken(Fault::limit(text));
    }
    Body::Batch(items.into_iter().map(|raw| one(body, raw)).collect())
}

#[derive(Deserialize)]
struct Shape<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct OnlyId<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
}

fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

fn one(body: &Bytes, raw: &RawValue) -> Result<Request, Fault> {
    let share = |raw: &RawValue| body.slice_ref(raw.get().as_bytes());
    let Ok(shape) = serde_json::from_str::<Shape<'_>>(raw.get()) else {
        let id = serde_json::from_str::<OnlyId<'_>>(raw.get()).ok().and_then(|only| only.id);
        let id = id.filter(|id| is_id(id.get())).map(share);
        return Err(Fault { id, ..Fault::invalid("not a JSON-RPC 2.0 request") });
    };
    if shape.id.is_some_and(|id| !is_id(id.get())) {
        return Err(Fault::invalid("id must be a string, a number or null"));
    }
    let id = shape.id.map(share);
    if shape.jsonrpc.as_deref() != Some("2.0") {
        return Err(Fault { id, ..Fault::invalid("jsonrpc must be \"2.0\"") });
    }
    let params = match shape.params {
        None => Bytes::new(),
        Some(params) if params.get().starts_with(['[', '{']) => share(params),
        Some(_) => {
            return Err(Fault { id, ..Fault::invalid("params must be an array or an object") });
        }
    };
    Ok(Request { id, method: shape.method.into_owned(), params })
}

fn is_id(raw: &str) -> bool {
    raw == "null" || raw.starts_with(['"', '-']) || raw.starts_with(|c: char| c.is_ascii_digit())
}

/// Counts brackets outside strings: cheaper than a parse, and it must come before one.
fn depth_is_within(body: &[u8], max: usize) -> bool {
    let mut depth = 0usize;
    let mut in_string = false;
    let mut escaped = false;
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > max {
                    return false;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Body {
        parse(&Bytes::copy_from_slice(text.as_bytes()), &Limits::default())
    }

    fn fault(text: &str) -> Fault {
        match parsed(text) {
            Body::One(Err(fault)) | Body::Broken(fault) => fault,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ids_come_back_as_they_were_written() {
        for id in ["1", "-7", "18446744073709551615", "1.50", "\"a\\u0062\"", "null", "\"\""] {
            let text = format!(r#"{{"jsonrpc":"2.0","id": {id} ,"method":"m"}}"#);
            match parsed(&text) {
                Body::One(Ok(request)) => assert_eq!(request.id.as_deref(), Some(id.as_bytes())),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn no_id_is_a_notification() {
        match parsed(r#"{"jsonrpc":"2.0","method":"m","params":[1 ,2]}"#) {
            Body::One(Ok(request)) => {
                assert_eq!(request.id, None);
                assert_eq!(request.params, "[1 ,2]");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn malformed_requests_keep_their_id_where_there_is_one() {
        assert_eq!(fault("{").code, -32700);
        assert_eq!(fault("").code, -32700);
        assert_eq!(fault("\"\u{fffd}").code, -32700);
        assert_eq!(fault("[]").code, -32600);
        assert_eq!(fault("1").code, -32600);
        assert_eq!(fault(r#"{"id":5}"#).id.as_deref(), Some(&b"5"[..]));
        assert_eq!(
            fault(r#"{"jsonrpc":"1.0","id":5,"method":"m"}"#).id.as_deref(),
            Some(&b"5"[..])
        );
        assert_eq!(fault(r#"{"jsonrpc":"2.0","id":{},"method":"m"}"#).id, None);
        assert_eq!(fault(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":3}"#).code, -32600);
    }

    #[test]
    fn depth_and_batch_size_are_limited() {
        let deep = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{}"#, "[".repeat(100));
        assert_eq!(fault(&deep).code, -32600);
        let many = format!("[{}]", vec!["1"; Limits::default().batch_items_max + 1].join(","));
        assert_eq!(fault(&many).code, -32005);
    }

    #[test]
    fn bytes_that_are_not_text_are_a_parse_error() {
        let body = Bytes::from_static(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}");
        match parse(&body, &Limits::default()) {
            Body::One(Err(fault)) | Body::Broken(fault) => {
                assert!(matches!(fault.code, -32700 | -32600))
            }
            other => panic!("{other:?}"),
        }
    }
}
