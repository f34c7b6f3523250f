//! Answers and notifications from a node: the envelope is read, the payload stays as it came.

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::WireError;

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
    let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(json_error)?;
    message(body, &envelope)
}

/// Reads an array of messages, or a single one where the node refused the whole batch.
pub fn parse_many(body: &Bytes) -> Result<Vec<Message>, WireError> {
    if body.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'[') {
        return parse(body).map(|message| vec![message]);
    }
    let envelopes: Vec<Envelope<'_>> = serde_json::from_slice(body).map_err(json_error)?;
    envelopes.iter().map(|envelope| message(body, envelope)).collect()
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
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
    let share = |raw: &RawValue| body.slice_ref(raw.get().as_bytes());
    let id = envelope.id.and_then(|raw| raw.get().parse::<u64>().ok());
    if let Some(error) = envelope.error {
        return Ok(Message::Reply { id, outcome: Err(share(error)) });
    }
    if let Some(result) = envelope.result {
        if id.is_none() {
            let found = envelope.id.map_or("null", RawValue::get);
            return Err(WireError::field("id", found.as_bytes()));
        }
        return Ok(Message::Reply { id, outcome: Ok(share(result)) });
    }
    let params = envelope.params.ok_or(WireError::Missing("result"))?;
    let event: EventParams<'_> = serde_json::from_str(params.get()).map_err(json_error)?;
    Ok(Message::Event { subscription: share(event.subscription), result: share(event.result) })
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
