//! What logs to ask for, as the params of `eth_getLogs` and of a `logs` subscription.
//!
//! Splitting a filter that is too wide is up to the caller.

use alloy_primitives::{Address, B256, Bloom, BloomInput};

use crate::types::chain::BlockRange;
use crate::types::log::LogHead;

/// Addresses and topics; an empty list stands for any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    pub addresses: Vec<Address>,
    /// Alternatives per topic position.
    pub topics: [Vec<B256>; 4],
}

impl LogFilter {
    /// Any log whose first topic is one of `topic0`.
    pub fn by_topic0(addresses: Vec<Address>, topic0: Vec<B256>) -> Self {
        Self { addresses, topics: [topic0, Vec::new(), Vec::new(), Vec::new()] }
    }

    /// Params of `eth_getLogs` over a range.
    pub fn params_for_range(&self, range: BlockRange) -> String {
        let BlockRange { from, to } = range;
        self.object(&format!(r#""fromBlock":"{from:#x}","toBlock":"{to:#x}""#), true)
    }

    /// Params of `eth_getLogs` for one block by hash.
    pub fn params_for_block(&self, hash: B256) -> String {
        self.object(&format!(r#""blockHash":"{hash}""#), true)
    }

    /// Params of `eth_subscribe` for this filter.
    pub fn params_for_subscription(&self) -> String {
        format!(r#"["logs",{}]"#, self.object("", false))
    }

    /// True when the log passes.
    pub fn matches(&self, log: &LogHead) -> bool {
        let count = usize::from(log.topic_count);
        (self.addresses.is_empty() || self.addresses.contains(&log.address))
            && self.topics.iter().enumerate().all(|(at, wanted)| {
                wanted.is_empty() || (at < count && wanted.contains(&log.topics[at]))
            })
    }

    /// False when no log of a block with this bloom can pass.
    pub fn may_match(&self, bloom: &Bloom) -> bool {
        let holds = |raw: &[u8]| bloom.contains_input(BloomInput::Raw(raw));
        (self.addresses.is_empty() || self.addresses.iter().any(|a| holds(a.as_slice())))
            && self.topics.iter().all(|wanted| {
                wanted.is_empty() || wanted.iter().any(|topic| holds(topic.as_slice()))
            })
    }

    fn object(&self, first: &str, in_array: bool) -> String {
        let size = self.addresses.len() * 46 + self.topics.iter().map(Vec::len).sum::<usize>() * 70;
        let mut out = String::with_capacity(size + 160);
        out.push_str(if in_array { "[{" } else { "{" });
        out.push_str(first);
        if !self.addresses.is_empty() {
            separate(&mut out);
            out.push_str("\"address\":");
            list(&mut out, &self.addresses);
        }
        if let Some(last) = self.topics.iter().rposition(|t| !t.is_empty()) {
            separate(&mut out);
            out.push_str("\"topics\":[");
            for (at, topics) in self.topics.iter().take(last + 1).enumerate() {
                if at > 0 {
                    out.push(',');
                }
                if topics.is_empty() { out.push_str("null") } else { list(&mut out, topics) }
            }
            out.push(']');
        }
        out.push_str(if in_array { "}]" } else { "}" });
        out
    }
}

fn separate(out: &mut String) {
    if !out.ends_with('{') {
        out.push(',');
    }
}

fn list<T: std::fmt::LowerHex>(out: &mut String, items: &[T]) {
    out.push('[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(&format!("\"{item:#x}\""));
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_lists_are_left_out_and_gaps_are_null() {
        let range = BlockRange { from: 1, to: 255 };
        let all = LogFilter::default();
        assert_eq!(all.params_for_range(range), r#"[{"fromBlock":"0x1","toBlock":"0xff"}]"#);
        assert_eq!(all.params_for_subscription(), r#"["logs",{}]"#);
        let mut filter = LogFilter { addresses: vec![Address::repeat_byte(0xab)], ..all };
        filter.topics[1] = vec![B256::repeat_byte(1)];
        let text = filter.params_for_block(B256::repeat_byte(2));
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value[0]["blockHash"], format!("{:#x}", B256::repeat_byte(2)));
        assert_eq!(value[0]["address"][0], "0xabababababababababababababababababababab");
        assert!(value[0]["topics"][0].is_null());
        assert_eq!(value[0]["topics"].as_array().map(Vec::len), Some(2));
        assert!(filter.params_for_subscription().starts_with(r#"["logs",{"address":["#));
    }
}
