//! What providers did wrong, with evidence: the block, its hash, the time. For operators, and for whoever
//! has to argue with a vendor.
//!
//! Bounded: the newest entries are kept, counts go on. Whether a fault is one is decided by who proves it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy_primitives::B256;

use crate::types::clock::Clock;

/// Entries kept over all providers of a chain; one is about 200 bytes.
const EVIDENCE_MAX: usize = 256;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Misdeed {
    /// Logs of a block were left out, invented or changed: its receipts say otherwise.
    FalseLogs,
    /// Receipts that do not hash to the header's root.
    FalseReceipts,
    /// A block that the others had replaced was named as the head.
    Orphan,
    /// The head stayed behind those of the others.
    Lag,
}

impl Misdeed {
    /// The word for reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FalseLogs => "false_logs",
            Self::FalseReceipts => "false_receipts",
            Self::Orphan => "orphan",
            Self::Lag => "lag",
        }
    }
}

/// One misdeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    pub provider: Arc<str>,
    pub misdeed: Misdeed,
    pub block: u64,
    pub hash: Option<B256>,
    /// Since the Unix epoch.
    pub at: Duration,
    pub detail: String,
}

/// The list of one chain.
#[derive(Debug)]
pub struct Scorecard {
    clock: Arc<dyn Clock>,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    newest_last: VecDeque<Evidence>,
    counts: BTreeMap<(Arc<str>, Misdeed), u64>,
}

impl Scorecard {
    /// An empty list.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, entries: Mutex::default() }
    }

    /// Notes a misdeed, once per provider, kind and block hash; true when it is new.
    pub fn note(
        &self,
        provider: &Arc<str>,
        misdeed: Misdeed,
        (block, hash): (u64, Option<B256>),
        detail: impl Into<String>,
    ) -> bool {
        let mut entries = self.entries();
        let same = |e: &Evidence| {
            e.provider == *provider && e.misdeed == misdeed && e.block == block && e.hash == hash
        };
        if entries.newest_last.iter().rev().any(same) {
            return false;
        }
        *entries.counts.entry((provider.clone(), misdeed)).or_default() += 1;
        if entries.newest_last.len() >= EVIDENCE_MAX {
            entries.newest_last.pop_front();
        }
        let (at, detail) = (self.clock.now(), detail.into());
        let provider = provider.clone();
        entries.newest_last.push_back(Evidence { provider, misdeed, block, hash, at, detail });
        true
    }

    /// The entries, newest first.
    pub fn evidence(&self) -> Vec<Evidence> {
        self.entries().newest_last.iter().rev().cloned().collect()
    }

    /// How often each provider did what, forgotten entries included.
    pub fn counts(&self) -> Vec<(Arc<str>, Misdeed, u64)> {
        let entries = self.entries();
        entries.counts.iter().map(|((name, misdeed), n)| (name.clone(), *misdeed, *n)).collect()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Duration {
            Duration::from_secs(43_200)
        }
    }

    #[test]
    fn evidence_is_bounded_counted_and_not_repeated() {
        let card = Scorecard::new(Arc::new(Noon));
        let liar: Arc<str> = Arc::from("liar");
        let hash = Some(B256::repeat_byte(1));
        assert!(card.note(&liar, Misdeed::FalseLogs, (7, hash), "2 of 3 logs"));
        assert!(!card.note(&liar, Misdeed::FalseLogs, (7, hash), "again"));
        for block in 0..EVIDENCE_MAX as u64 {
            card.note(&liar, Misdeed::Lag, (block, None), "behind");
        }
        let evidence = card.evidence();
        assert_eq!(evidence.len(), EVIDENCE_MAX);
        assert_eq!(
            (evidence[0].block, evidence[0].at.as_secs()),
            (EVIDENCE_MAX as u64 - 1, 43_200)
        );
        assert!(evidence.iter().all(|e| e.misdeed == Misdeed::Lag), "the oldest went first");
        assert!(card.counts().contains(&(liar, Misdeed::FalseLogs, 1)));
    }
}
