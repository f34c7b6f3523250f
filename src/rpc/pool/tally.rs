//! Calls sent to providers, counted by method.

use std::collections::BTreeMap;

use dashmap::DashMap;

use crate::rpc::wire::Call;

/// Methods counted apart; a client that invents names is counted under [`OTHER`].
const METHODS_MAX: usize = 256;
const OTHER: &str = "other";

/// Counts by method.
#[derive(Debug, Default)]
pub(super) struct Tally(DashMap<String, u64>);

impl Tally {
    pub(super) fn add(&self, method: &str, calls: u64) {
        if let Some(mut count) = self.0.get_mut(method) {
            *count += calls;
            return;
        }
        let name = if self.0.len() < METHODS_MAX { method } else { OTHER };
        *self.0.entry(name.to_owned()).or_default() += calls;
    }

    pub(super) fn add_all(&self, calls: &[Call]) {
        for call in calls {
            self.add(&call.method, 1);
        }
    }

    pub(super) fn counts(&self) -> BTreeMap<String, u64> {
        self.0.iter().map(|entry| (entry.key().clone(), *entry.value())).collect()
    }
}
