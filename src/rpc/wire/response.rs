//! Answers and notifications from a node: the envelope is read, the payload stays as it came.

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::WireError;
use super::cursor::{Cursor, Unusual};

/// One message from a node.
#[derive(Debug, Clone)]
pub enum Message {
    /// The answer to the call with this id; no id when the node could not read the call.
    Reply { id: Option<u64>, outcome: Outcome },
    /// An event of a subscription. `subscription` is the raw JSON of its id.
    Event { subscription: Bytes, result: Bytes },
}

/// Raw JSON of `result`, or of the `error` object.
pub type Outcome = Result<Bytes, Bytes>;

/// Reads one message. Slices of `body` are shared, nothing is copied.
pub fn parse(body: &Bytes) -> Result<Message, WireError> {
    let mut text = Cursor::new(body);
    match walk(&mut text).and_then(|envelope| text.end().map(|()| envelope)) {
        Ok(envelope) => message(body, &envelope),
        Err(Unusual) => {
            let envelope: JsonEnvelope<'_> = serde_json::from_slice(body).map_err(json_error)?;
            message(body, &envelope.into())
        }
    }
}

/// Reads an array of messages, or a single one where the node refused the whole batch.
pub fn parse_many(body: &Bytes) -> Result<Vec<Message>, WireError> {
    if body.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'[') {
        return parse(body).map(|message| vec![message]);
    }
    let envelopes: Vec<Envelope<'_>> = match walk_many(body) {
        Ok(envelopes) => envelopes,
        Err(Unusual) => {
            let envelopes: Vec<JsonEnvelope<'_>> =
                serde_json::from_slice(body).map_err(json_error)?;
            envelopes.into_iter().map(Envelope::from).collect()
        }
    };
    envelopes.iter().map(|envelope| message(body, envelope)).collect()
}

/// The raw JSON of each member; `null` counts as absent but for `result`, where it is an answer.
#[derive(Debug, Default, PartialEq, Eq)]
struct Envelope<'a> {
    id: Option<&'a [u8]>,
    result: Option<&'a [u8]>,
    error: Option<&'a [u8]>,
    params: Option<&'a [u8]>,
}

fn walk_many(body: &[u8]) -> Result<Vec<Envelope<'_>>, Unusual> {
    let mut text = Cursor::new(body);
    let mut envelopes = Vec::new();
    let mut more = text.open(b'[', b']')?;
    while more {
        envelopes.push(walk(&mut text)?);
        more = text.more(b']')?;
    }
    text.end()?;
    Ok(envelopes)
}

fn walk<'a>(text: &mut Cursor<'a>) -> Result<Envelope<'a>, Unusual> {
    let mut envelope = Envelope::default();
    let mut seen = [false; 4];
    let mut more = text.open(b'{', b'}')?;
    while more {
        let key = text.key()?;
        let value = text.value()?;
        let (at, slot) = match key {
            b"id" => (0, &mut envelope.id),
            b"result" => (1, &mut envelope.result),
            b"error" => (2, &mut envelope.error),
            b"params" => (3, &mut envelope.params),
            _ => {
                more = text.more(b'}')?;
                continue;
            }
        };
        if std::mem::replace(&mut seen[at], true) {
            return Err(Unusual);
        }
        *slot = Some(value).filter(|value| at == 1 || *value != b"null");
        more = text.more(b'}')?;
    }
    Ok(envelope)
}

#[derive(Deserialize)]
struct JsonEnvelope<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

impl<'a> From<JsonEnvelope<'a>> for Envelope<'a> {
    fn from(from: JsonEnvelope<'a>) -> Self {
        let text = |raw: Option<&'a RawValue>| raw.map(|raw| raw.get().as_bytes());
        Self {
            id: text(from.id),
            result: text(from.result),
            error: text(from.error),
            params: text(from.params),
        }
    }
}

#[derive(Deserialize)]
struct EventParams<'a> {
    #[serde(borrow)]
    subscription: &'a RawValue,
    #[serde(borrow)]
    result: &'a RawValue,
}

/// Keeps `null` apart from absent: a null result is an answer.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

fn message(body: &Bytes, envelope: &Envelope<'_>) -> Result<Message, WireError> {
    let share = |raw: &[u8]| body.slice_ref(raw);
    let id = envelope.id.and_then(decimal);
    if let Some(error) = envelope.error {
        return Ok(Message::Reply { id, outcome: Err(share(error)) });
    }
    if let Some(result) = envelope.result {
        if id.is_none() {
            return Err(WireError::field("id", envelope.id.unwrap_or(b"null")));
        }
        return Ok(Message::Reply { id, outcome: Ok(share(result)) });
    }
    let params = envelope.params.ok_or(WireError::Missing("result"))?;
    let event: EventParams<'_> = serde_json::from_slice(params).map_err(json_error)?;
    Ok(Message::Event {
        subscription: share(event.subscription.get().as_bytes()),
        result: share(event.result.get().as_bytes()),
    })
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn json_error(error: serde_json::Error) -> WireError {
    WireError::Json(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    fn outcome(text: &str) -> (Option<u64>, Outcome) {
        match parse(&bytes(text)).expect("parses") {
            Message::Reply { id, outcome } => (id, outcome),
            Message::Event { .. } => panic!("a reply"),
        }
    }

    #[test]
    fn the_result_keeps_every_byte() {
        let raw = r#"{ "b" : [1, 2.0e0], "a":"\u00e9" }"#;
        let (id, result) = outcome(&format!(r#"{{"result":{raw},"id":9,"jsonrpc":"2.0"}}"#));
        assert_eq!(id, Some(9));
        assert_eq!(result, Ok(bytes(raw)));
    }

    #[test]
    fn null_is_an_answer_and_absence_is_not() {
        assert_eq!(outcome(r#"{"id":1,"result":null}"#).1, Ok(bytes("null")));
        assert!(parse(&bytes(r#"{"id":1}"#)).is_err());
        assert_eq!(outcome(r#"{"id":1,"result":"0x1","error":null}"#).1, Ok(bytes("\"0x1\"")));
        assert_eq!(
            outcome(r#"{"id":1,"result":null,"error":{"code":3}}"#).1,
            Err(bytes(r#"{"code":3}"#))
        );
    }

    #[test]
    fn truncated_and_trailing_text_is_no_answer() {
        assert!(parse(&bytes(r#"{"id":1,"result":[{"a":1"#)).is_err());
        assert!(parse(&bytes(r#"{"id":1,"result":1}x"#)).is_err());
        assert!(parse(&bytes("<html></html>")).is_err());
        assert!(parse(&bytes(r#"{"id":"1","result":1}"#)).is_err(), "an id that is not ours");
    }

    #[test]
    fn an_event_is_told_from_a_reply() {
        let text = r#"{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"0xab","result":{"x":1}}}"#;
        match parse(&bytes(text)).expect("parses") {
            Message::Event { subscription, result } => {
                assert_eq!(subscription, bytes("\"0xab\""));
                assert_eq!(result, bytes(r#"{"x":1}"#));
            }
            Message::Reply { .. } => panic!("an event"),
        }
    }

    #[test]
    fn a_batch_may_come_as_one_error() {
        let one = parse_many(&bytes(r#"{"id":null,"error":{"code":-32600}}"#)).expect("parses");
        assert_eq!(one.len(), 1);
        let two = parse_many(&bytes(r#" [{"id":2,"result":1},{"id":1,"result":null}]"#));
        assert_eq!(two.expect("parses").len(), 2);
    }
}
