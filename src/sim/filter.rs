//! What `eth_getLogs` and log subscriptions ask for, read from JSON and made fast to test.
//!
//! Block bounds are left as they came: which blocks tags mean is the provider's view.

use alloy_primitives::{Address, B256};
use serde_json::Value;

use super::book::Book;
use super::events::{Kind, LogSpec, Word};

/// Addresses, and topics per position, that one filter may name; geth's own limit.
const ALTERNATIVES_MAX: usize = 1_000;
const TOPICS_MAX: usize = 4;

/// Block bounds as the client wrote them.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Bounds {
    Hash(B256),
    Range { from: Option<Value>, to: Option<Value> },
}

/// Which logs match, whatever their block.
#[derive(Debug, Clone, Default)]
pub(super) struct LogFilter {
    /// By place in the address book; `None` takes all.
    emitters: Option<Vec<bool>>,
    /// Bit per kind.
    kinds: Option<u64>,
    /// Topics 1 to 3; `None` takes any value, but there must be one.
    words: Vec<Option<Vec<Word>>>,
    /// How many topics a log must have at least.
    topics_min: usize,
}

impl LogFilter {
    /// Reads `address` and `topics`; the text says what is wrong.
    pub(super) fn parse(book: &Book, filter: &Value) -> Result<Self, String> {
        let mut out = Self::default();
        match filter.get("address") {
            None | Some(Value::Null) => {}
            Some(Value::Array(list)) if list.is_empty() => {}
            Some(one_or_many) => {
                let mut emitters = vec![false; book.emitters() as usize];
                for address in alternatives(one_or_many)? {
                    let address: Address = parse_hex(address, "address")?;
                    let place = book.find(&address).map(|place| place as usize);
                    if let Some(slot) = place.and_then(|place| emitters.get_mut(place)) {
                        *slot = true;
                    }
                }
                out.emitters = Some(emitters);
            }
        }
        match filter.get("topics") {
            None | Some(Value::Null) => {}
            Some(Value::Array(positions)) => out.parse_topics(book, positions)?,
            Some(_) => return Err("invalid topics: expected an array".into()),
        }
        Ok(out)
    }

    fn parse_topics(&mut self, book: &Book, positions: &[Value]) -> Result<(), String> {
        if positions.len() > TOPICS_MAX {
            return Err("exceed max topics".into());
        }
        self.topics_min = positions.len();
        for (position, topic) in positions.iter().enumerate() {
            let wanted: Option<Vec<B256>> = match topic {
                Value::Null => None,
                Value::Array(list) if list.is_empty() => None,
                Value::Array(list) if list.contains(&Value::Null) => None,
                one_or_many => Some(
                    alternatives(one_or_many)?
                        .into_iter()
                        .map(|topic| parse_hex(topic, "topic"))
                        .collect::<Result<_, _>>()?,
                ),
            };
            if position == 0 {
                self.kinds = wanted.map(|wanted| {
                    let kinds = Kind::ALL.iter().filter(|kind| {
                        book.topic0(**kind).is_some_and(|topic| wanted.contains(topic))
                    });
                    kinds.fold(0, |mask, kind| mask | 1 << *kind as u64)
                });
            } else {
                let words =
                    |wanted: Vec<B256>| wanted.iter().filter_map(|t| book.find_word(t)).collect();
                self.words.push(wanted.map(words));
            }
        }
        Ok(())
    }

    pub(super) fn matches(&self, log: &LogSpec) -> bool {
        if let Some(kinds) = self.kinds
            && kinds & 1 << log.kind as u64 == 0
        {
            return false;
        }
        if let Some(emitters) = &self.emitters
            && !emitters.get(log.emitter as usize).copied().unwrap_or(false)
        {
            return false;
        }
        if self.topics_min > usize::from(log.topic_count()) {
            return false;
        }
        self.words.iter().zip(log.indexed()).all(|(wanted, word)| match wanted {
            Some(wanted) => wanted.contains(word),
            None => true,
        })
    }
}

impl Bounds {
    pub(super) fn parse(filter: &Value) -> Result<Self, String> {
        let field = |name: &str| filter.get(name).filter(|value| !value.is_null()).cloned();
        match (field("blockHash"), field("fromBlock"), field("toBlock")) {
            (None, from, to) => Ok(Self::Range { from, to }),
            (Some(hash), None, None) => Ok(Self::Hash(parse_hex(&hash, "blockHash")?)),
            (Some(_), _, _) => {
                Err("cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other"
                    .into())
            }
        }
    }
}

fn alternatives(value: &Value) -> Result<Vec<&Value>, String> {
    let list = match value {
        Value::Array(list) => list.iter().collect(),
        one => vec![one],
    };
    if list.len() > ALTERNATIVES_MAX {
        return Err("exceed max addresses or topics per search position".into());
    }
    Ok(list)
}

/// A fixed number of bytes from `0x` hex.
pub(super) fn parse_hex<T: std::str::FromStr>(value: &Value, what: &str) -> Result<T, String> {
    let text = value.as_str().filter(|text| text.starts_with("0x"));
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| format!("invalid argument 0: hex string is no {what}: {value}"))
}

/// A quantity from `0x` hex.
pub(super) fn parse_quantity(value: &Value) -> Option<u64> {
    let digits = value.as_str()?.strip_prefix("0x")?;
    u64::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::events::Data;
    use super::*;

    #[test]
    fn positions_lists_and_nulls_mean_what_geth_says() {
        let book = Book::new(1, 2, 4);
        let (from, to) = (Word::Party(book.holder(1)), Word::Party(book.holder(2)));
        let log = LogSpec::new(book.token(1), Kind::Transfer, &[from, to], Data::Empty);
        let short = LogSpec::new(book.token(1), Kind::Paused, &[], Data::Empty);
        let transfer = book.topic0(Kind::Transfer).expect("named");
        let paused = book.topic0(Kind::Paused).expect("named");
        let anonymous = LogSpec::new(book.compliance(0), Kind::Anonymous, &[], Data::Empty);
        let piece = LogSpec::new(
            book.nft(),
            Kind::NftTransfer,
            &[from, to, Word::number(1 << 40)],
            Data::Empty,
        );
        let transfers = LogFilter::parse(
            &book,
            &json!({"topics": [transfer, null, null, B256::with_last_byte(0)]}),
        );
        assert!(!transfers.expect("good filter").matches(&piece), "another piece");
        let any = LogFilter::parse(&book, &json!({"topics": [null]})).expect("good filter");
        assert!(!any.matches(&anonymous), "null asks for a topic that an anonymous log lacks");
        assert!(LogFilter::default().matches(&anonymous));
        let unknown = B256::repeat_byte(7);
        let cases = [
            (json!({}), true, true),
            (json!({"address": book.address(book.token(1))}), true, true),
            (json!({"address": [book.address(book.token(0))]}), false, false),
            (json!({"address": []}), true, true),
            (json!({"address": Address::repeat_byte(9)}), false, false),
            (json!({"topics": [transfer]}), true, false),
            (json!({"topics": [[paused, transfer]]}), true, true),
            (json!({"topics": [unknown]}), false, false),
            (json!({"topics": [null, null]}), true, false),
            (json!({"topics": [[], book.word(from)]}), true, false),
            (json!({"topics": [null, book.word(to)]}), false, false),
            (json!({"topics": [null, null, [unknown, book.word(to)]]}), true, false),
            (json!({"topics": [null, null, null, null]}), false, false),
        ];
        for (filter, on_log, on_short) in cases {
            let parsed = LogFilter::parse(&book, &filter).expect("good filter");
            assert_eq!(parsed.matches(&log), on_log, "{filter}");
            assert_eq!(parsed.matches(&short), on_short, "{filter}");
        }
        assert!(
            LogFilter::parse(&book, &json!({"topics": [null, null, null, null, null]})).is_err()
        );
        assert!(LogFilter::parse(&book, &json!({"address": "12"})).is_err());
    }
}
