//! The text form of a place in the feed: what `id:` of a streamed event and `params.cursor` of a
//! subscription carry.
//!
//! Opaque to callers, versioned, and the same for every surface. Whether the place still exists is
//! the reader's question.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::types::event::Position;
use crate::types::feed::FeedCursor;

/// First byte, so that a later form can be told apart.
const VERSION: u8 = 1;
/// Version and feed number.
const SHORT_BYTES: usize = 1 + 8;
/// The same and a position in the entry.
const LONG_BYTES: usize = SHORT_BYTES + 8 + 4;

/// The cursor as text without characters that a URL or a header would change.
pub fn encode(cursor: FeedCursor) -> String {
    let mut bytes = Vec::with_capacity(LONG_BYTES);
    bytes.push(VERSION);
    bytes.extend_from_slice(&cursor.seq.to_be_bytes());
    if let Some(position) = cursor.within {
        bytes.extend_from_slice(&position.block.to_be_bytes());
        bytes.extend_from_slice(&position.log_index.to_be_bytes());
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The cursor that `text` stands for; `None` when we did not write it.
pub fn decode(text: &str) -> Option<FeedCursor> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (&version, rest) = bytes.split_first()?;
    if version != VERSION || !matches!(bytes.len(), SHORT_BYTES | LONG_BYTES) {
        return None;
    }
    let (seq, rest) = rest.split_first_chunk::<8>()?;
    let within = match rest.split_first_chunk::<8>() {
        None => None,
        Some((block, index)) => Some(Position {
            block: u64::from_be_bytes(*block),
            log_index: u32::from_be_bytes(index.try_into().ok()?),
        }),
    };
    Some(FeedCursor { seq: u64::from_be_bytes(*seq), within })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_cursor_survives_the_trip(seq: u64, within: Option<(u64, u32)>) {
            let within = within.map(|(block, log_index)| Position { block, log_index });
            let cursor = FeedCursor { seq, within };
            prop_assert_eq!(decode(&encode(cursor)), Some(cursor));
        }

        #[test]
        fn no_other_text_is_accepted(text in "[A-Za-z0-9_=-]{0,40}") {
            if let Some(cursor) = decode(&text) {
                prop_assert_eq!(encode(cursor), text);
            }
        }
    }
}
