//! A message as NATS carries it: a subject that readers outside can filter by, and headers.
//!
//! Subject: `prefix.stream.lane.chain.kind`, with `-` for a message of no chain.

use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;

use crate::pipeline::bus::{Message, Stored};
use crate::pipeline::error::BusError;
use crate::types::chain::ChainId;

const ID: &str = "Nats-Msg-Id";
const KIND: &str = "Rwahub-Kind";
const KEY: &str = "Rwahub-Key";
const CHAIN: &str = "Rwahub-Chain";
const BLOCK: &str = "Rwahub-Block";
const NOTE: &str = "Rwahub-Note";

/// Longest text of a header; a server takes 4 KiB of them in a line by default.
const HEADER_BYTES_MAX: usize = 1024;

/// Refuses what a subject or header cannot hold.
pub(super) fn check(message: &Message) -> Result<(), BusError> {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let kind = &message.kind;
    let empty_word = kind.split('.').any(str::is_empty);
    if empty_word || !kind.chars().all(word) || kind.len() > HEADER_BYTES_MAX {
        return Err(BusError::Refused(format!("kind {kind:?} is no subject")));
    }
    for text in [&message.id, &message.key, &message.note] {
        if text.len() > HEADER_BYTES_MAX || text.chars().any(char::is_control) {
            return Err(BusError::Refused(format!("{:?} is no header", message.id)));
        }
    }
    Ok(())
}

pub(super) fn subject(prefix: &str, stream: &str, message: &Message) -> String {
    let (lane, kind) = (message.lane(), &message.kind);
    match message.place {
        Some((chain, _)) => format!("{prefix}.{stream}.{lane}.{chain}.{kind}"),
        None => format!("{prefix}.{stream}.{lane}.-.{kind}"),
    }
}

pub(super) fn headers(message: &Message) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(KIND, message.kind.as_str());
    headers.insert(KEY, message.key.as_str());
    headers.insert(NOTE, message.note.as_str());
    if let Some((chain, block)) = message.place {
        headers.insert(CHAIN, chain.to_string());
        headers.insert(BLOCK, block.to_string());
    }
    headers
}

/// The message back. What somebody else published here has empty fields, not none.
pub(super) fn stored(
    seq: u64,
    at_nanos: i128,
    headers: Option<&HeaderMap>,
    payload: Bytes,
) -> Stored {
    let text = |name: &str| {
        let value = headers.and_then(|headers| headers.get(name));
        value.map(|value| value.as_str().to_owned()).unwrap_or_default()
    };
    let number = |name: &str| text(name).parse::<u64>().ok();
    Stored {
        seq,
        at: Duration::from_nanos(u64::try_from(at_nanos).unwrap_or_default()),
        message: Message {
            id: text(ID),
            kind: text(KIND),
            key: text(KEY),
            place: number(CHAIN).map(ChainId).zip(number(BLOCK)),
            note: text(NOTE),
            payload,
        },
    }
}
