//! The service manager's watchdog: fed while every chain moves, or stands still for a reason that a
//! restart would not mend.
//!
//! Also tells the board of chains whose blocks have stopped arriving, measured by their own rhythm.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio_util::sync::CancellationToken;

use super::build::Parts;
use crate::store::read::ChainIndex;
use crate::telemetry::health::{ChainState, ComponentState, Snapshot};
use crate::telemetry::metrics::{Metric, gauge};
use crate::types::chain::ChainId;
use crate::types::clock::{Clock, SystemClock};

/// How often chains are judged, if the manager does not want to be told more often.
const EVERY: Duration = Duration::from_secs(10);
/// An index that is behind a head which is known, and has not moved for this long, is stuck: the
/// longest honest pause is the build of the indexes after a bulk load (a minute per ten million logs).
const STUCK_AFTER: Duration = Duration::from_secs(300);
/// Blocks count as missing after this many times the usual gap between them, and never sooner than
/// [`SILENT_MIN`]: gaps of proof-of-work chains vary by ten.
const SILENT_GAPS: u32 = 20;
/// See [`SILENT_GAPS`].
const SILENT_MIN: Duration = Duration::from_secs(60);
/// The store must answer in this time for the round to count.
const STORE_PATIENCE: Duration = Duration::from_secs(10);

/// What was seen of one chain.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    indexed: Option<u64>,
    /// When `indexed` last changed.
    moved_at: Duration,
    head: u64,
    head_at: Duration,
    /// Usual time between heads; zero while unknown.
    gap: Duration,
}

/// What a round found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// Every chain moves, or has nothing to do, or waits for what a restart cannot give.
    Feed,
    /// This chain's index stands still although there is work.
    Stuck(ChainId),
}

/// The judge; time and facts come in from outside.
#[derive(Debug, Default)]
struct Judge {
    seen: BTreeMap<ChainId, Seen>,
}

impl Judge {
    fn round(&mut self, indexes: &[ChainIndex], board: &Snapshot, now: Duration) -> Verdict {
        let mut verdict = Verdict::Feed;
        for index in indexes {
            let Some(health) = board.chains.get(&index.chain) else { continue };
            let seen =
                self.seen.entry(index.chain).or_insert(Seen { moved_at: now, ..Seen::default() });
            let indexed = index.indexed.map(|block| block.number);
            if seen.indexed != indexed {
                (seen.indexed, seen.moved_at) = (indexed, now);
            }
            if let Some(head) = health.head {
                seen.arrived(head.block.number, head.seen_at);
            }
            let behind = seen.head > indexed.unwrap_or(0);
            // Stalled and failed have a cause that is told: providers away, an operator needed.
            let works = matches!(health.state, ChainState::Live | ChainState::Backfilling);
            let still = now.saturating_sub(seen.moved_at) >= STUCK_AFTER;
            if works && behind && still && verdict == Verdict::Feed {
                verdict = Verdict::Stuck(index.chain);
            }
        }
        verdict
    }

    /// Chains whose blocks have stopped arriving, and for how long.
    fn silent(&self, now: Duration) -> impl Iterator<Item = (ChainId, Option<Duration>)> {
        self.seen.iter().map(move |(chain, seen)| {
            let age = now.saturating_sub(seen.head_at);
            let patience = seen.gap.saturating_mul(SILENT_GAPS).max(SILENT_MIN);
            (*chain, (!seen.gap.is_zero() && age > patience).then_some(age))
        })
    }
}

impl Seen {
    fn arrived(&mut self, head: u64, at: Duration) {
        if head <= self.head {
            return;
        }
        if self.head > 0 {
            let blocks = u32::try_from(head - self.head).unwrap_or(u32::MAX);
            let gap = at.saturating_sub(self.head_at) / blocks;
            // A running mean that follows within some ten heads.
            self.gap = if self.gap.is_zero() { gap } else { (self.gap * 7 + gap) / 8 };
        }
        (self.head, self.head_at) = (head, at);
    }
}

/// Works until stopped.
pub(super) async fn run(parts: Arc<Parts>, stop: CancellationToken) -> Result<()> {
    let wanted = sd_notify::watchdog_enabled();
    // Half of what the manager allows, so that one late round is no restart.
    let every = wanted.map_or(EVERY, |limit| (limit / 2).min(EVERY));
    let mut tick = tokio::time::interval(every);
    let (mut judge, clock) = (Judge::default(), SystemClock);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = tick.tick() => {}
        }
        let now = clock.now();
        let board = parts.health.snapshot();
        let verdict = match tokio::time::timeout(STORE_PATIENCE, parts.store.chains()).await {
            Ok(Ok(indexes)) => judge.round(&indexes, &board, now),
            // A store that says no is told on the board; one that hangs is worth a restart.
            Ok(Err(_)) => Verdict::Feed,
            Err(_) => {
                gauge(Metric::WatchdogFed, &[]).set(0);
                log::error!("the store does not answer; the watchdog is not fed");
                continue;
            }
        };
        report_silence(&parts, &judge, now);
        tell(&verdict, &board, wanted.is_some());
    }
}

fn report_silence(parts: &Parts, judge: &Judge, now: Duration) {
    for (chain, silence) in judge.silent(now) {
        let (state, detail) = match silence {
            None => (ComponentState::Up, None),
            Some(age) => {
                let text = format!("no new block for {} s, far beyond the usual", age.as_secs());
                (ComponentState::Degraded, Some(text))
            }
        };
        parts.health.component(&format!("blocks:{chain}"), state, detail);
    }
}

fn tell(verdict: &Verdict, board: &Snapshot, wanted: bool) {
    gauge(Metric::WatchdogFed, &[]).set(u64::from(*verdict == Verdict::Feed));
    if let Verdict::Stuck(chain) = verdict {
        log::error!(chain = chain.0; "the index stands still below a known head; the watchdog is not fed");
    }
    let reasons = board.reasons_not_ready();
    let status = if reasons.is_empty() { "serving".to_owned() } else { reasons.join("; ") };
    let mut states = vec![sd_notify::NotifyState::Status(&status)];
    if wanted && *verdict == Verdict::Feed {
        states.push(sd_notify::NotifyState::Watchdog);
    }
    if let Err(error) = sd_notify::notify(&states) {
        log::debug!("systemd was not told: {error}");
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;

    use super::*;
    use crate::telemetry::health::HealthBoard;
    use crate::types::chain::BlockId;

    const CHAIN: ChainId = ChainId(1);

    fn block(number: u64) -> BlockId {
        BlockId { number, hash: B256::ZERO }
    }

    fn index(indexed: u64) -> Vec<ChainIndex> {
        vec![ChainIndex {
            chain: CHAIN,
            name: "one".to_owned(),
            indexed: Some(block(indexed)),
            finalized: None,
            verified_through: None,
            blocks: 0,
            logs: 0,
            events: 0,
            undecoded: 0,
        }]
    }

    fn board(state: ChainState, head: u64) -> Snapshot {
        let board = HealthBoard::new(Arc::new(SystemClock));
        board.chain(CHAIN, state, None);
        board.head(CHAIN, block(head));
        board.snapshot()
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_index_that_stands_still_below_a_head_starves_the_watchdog_until_it_moves() {
        let mut judge = Judge::default();
        let live = board(ChainState::Live, 100);
        assert_eq!(judge.round(&index(50), &live, at(0)), Verdict::Feed);
        assert_eq!(judge.round(&index(50), &live, at(299)), Verdict::Feed);
        assert_eq!(judge.round(&index(50), &live, at(300)), Verdict::Stuck(CHAIN));
        assert_eq!(judge.round(&index(51), &live, at(310)), Verdict::Feed);
    }

    #[test]
    fn standing_still_for_a_reason_feeds_it() {
        let mut judge = Judge::default();
        for state in [ChainState::Stalled, ChainState::Failed, ChainState::Starting] {
            judge.round(&index(50), &board(state, 100), at(0));
            let verdict = judge.round(&index(50), &board(state, 100), at(9_000));
            assert_eq!(verdict, Verdict::Feed, "{state:?}");
        }
        let mut idle = Judge::default();
        idle.round(&index(100), &board(ChainState::Live, 100), at(0));
        assert_eq!(
            idle.round(&index(100), &board(ChainState::Live, 100), at(9_000)),
            Verdict::Feed,
            "nothing to do at the head"
        );
    }

    #[test]
    fn blocks_are_missed_by_the_chains_own_rhythm() {
        let mut fast = Seen::default();
        let mut slow = Seen::default();
        for n in 1..=20 {
            fast.arrived(n, at(n));
            slow.arrived(n, at(n * 12));
        }
        let judge = Judge { seen: BTreeMap::from([(ChainId(1), fast), (ChainId(2), slow)]) };
        let silent = |now: u64| -> Vec<u64> {
            judge.silent(at(now)).filter(|one| one.1.is_some()).map(|one| one.0.0).collect()
        };
        assert_eq!(silent(80), Vec::<u64>::new());
        assert_eq!(silent(240), [1], "a second chain of 12 s is not late yet");
        assert_eq!(silent(240 + 241), [1, 2]);
    }
}
