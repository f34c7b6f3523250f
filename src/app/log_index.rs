//! The store behind the proxy's port for indexed logs: answers only for what the index holds whole.
//!
//! What that is follows from the filters that logs are fetched with, not from the names of contracts: an
//! event that no filter asks for is not in the index, whoever logged it.

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use async_trait::async_trait;

use crate::decode::filter::FetchFilter;
use crate::rpc::proxy::index::{IndexedLogs, LogIndex, LogQuestion};
use crate::store::read::{Queries, RawLogQuery};
use crate::types::chain::ChainId;

/// Logs looked at for one question: about 10 ms of the store's time. More is asked of a provider.
const SCAN_MAX: usize = 20_000;
/// Addresses of one question; each is a look-up of its own.
const ADDRESSES_MAX: usize = 64;

/// What the index holds of one chain.
#[derive(Debug, Clone)]
pub(super) struct Coverage {
    /// What logs are fetched with.
    pub(super) filters: Vec<FetchFilter>,
    /// First block that was indexed with exactly these filters.
    pub(super) since: u64,
}

impl Coverage {
    /// True when every log of the question was fetched.
    fn holds(&self, question: &LogQuestion) -> bool {
        self.since <= question.range.from
            && !question.addresses.is_empty()
            && question
                .addresses
                .iter()
                .all(|address| self.holds_of(*address, &question.topics[0], question.range.from))
    }

    fn holds_of(&self, address: Address, wanted: &[B256], from: u64) -> bool {
        let meant = || {
            self.filters.iter().filter(move |filter| {
                filter.from_block <= from
                    && (filter.addresses.is_empty() || filter.addresses.contains(&address))
            })
        };
        let whole = |filter: &FetchFilter| filter.topics0.is_empty();
        let named = |topic: &B256| meant().any(|filter| filter.topics0.contains(topic));
        meant().any(whole) || (!wanted.is_empty() && wanted.iter().all(named))
    }
}

/// The index of one chain.
#[derive(Debug)]
pub(super) struct StoredLogs {
    pub(super) queries: Arc<dyn Queries>,
    pub(super) chain: ChainId,
    pub(super) coverage: Coverage,
}

#[async_trait]
impl LogIndex for StoredLogs {
    async fn logs(&self, question: LogQuestion) -> Option<IndexedLogs> {
        if question.addresses.len() > ADDRESSES_MAX || !self.coverage.holds(&question) {
            return None;
        }
        let LogQuestion { range, addresses, topics } = question;
        let query = RawLogQuery { chain: self.chain, range, addresses, topics, scan_max: SCAN_MAX };
        match self.queries.raw_logs(query).await {
            Ok(found) => found.map(|found| IndexedLogs {
                logs: found.logs,
                last_hash: found.last_hash,
                verified_to: found.verified_through,
            }),
            Err(error) => {
                // A provider can answer as well.
                log::warn!("the index did not answer for logs: {error}");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::chain::BlockRange;

    fn question(addresses: &[u8], topics0: &[u8], from: u64) -> LogQuestion {
        let mut topics: [Vec<B256>; 4] = Default::default();
        topics[0] = topics0.iter().map(|byte| B256::repeat_byte(*byte)).collect();
        LogQuestion {
            range: BlockRange { from, to: from + 10 },
            addresses: addresses.iter().map(|byte| Address::repeat_byte(*byte)).collect(),
            topics,
        }
    }

    fn filter(addresses: &[u8], topics0: &[u8], from_block: u64) -> FetchFilter {
        let of = question(addresses, topics0, 0);
        FetchFilter { addresses: of.addresses, topics0: of.topics[0].clone(), from_block }
    }

    #[test]
    fn only_what_every_filter_fetched_whole_is_held() {
        let coverage = Coverage {
            filters: vec![
                filter(&[1], &[], 100),
                filter(&[2], &[0xa, 0xb], 100),
                filter(&[], &[0xc], 200),
            ],
            since: 50,
        };
        let holds = |addresses: &[u8], topics0: &[u8], from| {
            coverage.holds(&question(addresses, topics0, from))
        };
        assert!(holds(&[1], &[], 100), "every log of a listed contract");
        assert!(holds(&[1], &[0xff], 100));
        assert!(!holds(&[1], &[], 99), "before the contract's start");
        assert!(holds(&[2], &[0xa], 100) && holds(&[2], &[0xa, 0xb], 100));
        assert!(!holds(&[2], &[], 100), "its other events were not fetched");
        assert!(!holds(&[2], &[0xa, 0xd], 100));
        assert!(holds(&[2], &[0xa, 0xc], 200), "one filter for each topic");
        assert!(!holds(&[2], &[0xa, 0xc], 199));
        assert!(holds(&[9], &[0xc], 200) && !holds(&[9], &[0xa], 200));
        assert!(holds(&[1, 2], &[0xa], 100) && !holds(&[1, 9], &[0xa], 200));
        assert!(!holds(&[], &[0xc], 200), "no address is any address");
        let later = Coverage { since: 150, ..coverage.clone() };
        assert!(!later.holds(&question(&[1], &[], 149)) && later.holds(&question(&[1], &[], 150)));
    }
}
