//! Warnings and errors of this process in groups: what happened, how often, first and last.
//!
//! A group is a place in the code and a text without its numbers, so a thousand failed calls are one
//! entry. Lives in memory; a restart begins anew.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use log::Level;
use serde::Serialize;

use super::metrics::{self, Metric};

/// Groups kept at the most: a program has fewer places that complain. Beyond it, new ones are counted
/// together in one group.
const GROUPS_MAX: usize = 256;
/// A sample says what happened, not everything.
const SAMPLE_CHARS_MAX: usize = 500;

/// One group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    pub level: &'static str,
    pub module: String,
    /// The newest text of the group, URLs shortened to their host.
    pub sample: String,
    pub count: u64,
    /// Since the Unix epoch.
    pub first_seen_seconds: u64,
    pub last_seen_seconds: u64,
    /// The trace in which it was last seen, if one was under way.
    pub trace_id: Option<String>,
}

static GROUPS: Mutex<BTreeMap<String, Group>> = Mutex::new(BTreeMap::new());

/// One complaint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Complaint<'a> {
    pub(super) level: Level,
    pub(super) module: &'a str,
    pub(super) text: &'a str,
    pub(super) trace_id: Option<&'a str>,
    /// Since the Unix epoch.
    pub(super) now: Duration,
}

/// Counts a complaint in its group.
pub(super) fn note(complaint: &Complaint<'_>) {
    let level = if complaint.level == Level::Error { "error" } else { "warn" };
    metrics::count(Metric::LogLines, &[level], 1);
    let mut groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
    add(&mut groups, level, complaint);
    metrics::gauge(Metric::LogErrorGroups, &[]).set(groups.len() as u64);
}

/// Every group, the most recent first.
pub fn groups() -> Vec<Group> {
    let groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut all: Vec<Group> = groups.values().cloned().collect();
    all.sort_by_key(|group| std::cmp::Reverse(group.last_seen_seconds));
    all
}

fn add(groups: &mut BTreeMap<String, Group>, level: &'static str, complaint: &Complaint<'_>) {
    let mut key = fingerprint(complaint.module, complaint.text);
    if groups.len() >= GROUPS_MAX && !groups.contains_key(&key) {
        key = "other".to_owned();
    }
    let seconds = complaint.now.as_secs();
    let group = groups.entry(key).or_insert_with(|| Group {
        level,
        module: complaint.module.to_owned(),
        sample: String::new(),
        count: 0,
        first_seen_seconds: seconds,
        last_seen_seconds: seconds,
        trace_id: None,
    });
    group.count += 1;
    group.last_seen_seconds = seconds;
    group.sample = complaint.text.chars().take(SAMPLE_CHARS_MAX).collect();
    group.trace_id = complaint.trace_id.map(str::to_owned);
}

/// Place and text, with every word that holds a digit taken out: numbers, hashes, addresses, times.
fn fingerprint(module: &str, text: &str) -> String {
    let fixed = text.split_whitespace().filter(|word| !word.contains(|c: char| c.is_ascii_digit()));
    fixed.fold(module.to_owned(), |key, word| key + " " + word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str, second: u64) -> Complaint<'_> {
        let now = Duration::from_secs(second);
        Complaint { level: Level::Warn, module: "rpc::pool", text, trace_id: None, now }
    }

    #[test]
    fn the_same_complaint_with_other_numbers_is_one_group_with_a_first_and_a_last_time() {
        let mut groups = BTreeMap::new();
        add(&mut groups, "warn", &complaint("block 7 took 12ms", 100));
        add(&mut groups, "warn", &complaint("block 8 took 99ms", 160));
        add(&mut groups, "warn", &complaint("provider is away", 170));
        assert_eq!(groups.len(), 2);
        let group = &groups["rpc::pool block took"];
        assert_eq!((group.count, group.first_seen_seconds, group.last_seen_seconds), (2, 100, 160));
        assert_eq!(group.sample, "block 8 took 99ms");
    }

    #[test]
    fn groups_are_bounded() {
        let mut groups = BTreeMap::new();
        for letter in 0..GROUPS_MAX + 50 {
            let word: String = "x".repeat(letter + 1);
            add(&mut groups, "warn", &complaint(&word, 1));
        }
        assert_eq!(groups.len(), GROUPS_MAX + 1);
        assert_eq!(groups["other"].count, 50);
    }
}
