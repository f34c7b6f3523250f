//! Where a subscriber stands, as a short string that clients keep and give back.
//!
//! Opaque to clients, yet free of state of ours: any process that serves the chain can read it.

use std::fmt;

use alloy_primitives::B256;

/// A place in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cursor {
    /// The last head that was sent.
    Head { number: u64, hash: B256 },
    /// Of block `hash` the logs with an index below `held` were sent and not taken back.
    Logs { number: u64, hash: B256, held: u32 },
}

impl Cursor {
    /// Reads what [`fmt::Display`] wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let kind = parts.next()?;
        let number = parts.next()?.parse().ok()?;
        let hash = parts.next().filter(|hash| hash.len() == 64)?.parse().ok()?;
        let cursor = match kind {
            "h" => Self::Head { number, hash },
            "l" => Self::Logs { number, hash, held: parts.next()?.parse().ok()? },
            _ => return None,
        };
        parts.next().is_none().then_some(cursor)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head { number, hash } => write!(f, "h-{number}-{}", Plain(hash)),
            Self::Logs { number, hash, held } => write!(f, "l-{number}-{}-{held}", Plain(hash)),
        }
    }
}

/// A hash without its `0x`.
struct Plain<'a>(&'a B256);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&faster_hex::hex_string(self.0.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_the_round_trip_and_nothing_else_is_one() {
        let hash = B256::repeat_byte(0xab);
        for cursor in [Cursor::Head { number: 7, hash }, Cursor::Logs { number: 9, hash, held: 3 }]
        {
            let text = cursor.to_string();
            assert_eq!(Cursor::parse(&text), Some(cursor), "{text}");
            assert!(text.len() < 100, "fits a close reason");
            assert_eq!(Cursor::parse(&format!("{text}-1")), None);
            assert_eq!(Cursor::parse(text.get(..20).expect("long")), None);
        }
        assert_eq!(Cursor::parse(""), None);
    }
}
