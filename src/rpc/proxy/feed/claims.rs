//! What each provider says the head is, and which of these heads the stream follows.
//!
//! The highest that enough providers can serve; at equal height the one of most providers, and the present
//! one among equals. So a provider that lags moves nobody, a reorg is followed at once even to a lower
//! height, and no order in which news arrive can leave the stream on a dead branch.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use tokio::time::Instant;

use super::window::Switch;
use crate::rpc::pool::Pool;
use crate::rpc::pool::scorecard::Misdeed;
use crate::rpc::subscribe::HeadEvent;
use crate::types::chain::BlockRef;

/// Naming an orphan is no misdeed for this long: a reorg takes its time to get around.
const REORG_SPREADS: Duration = Duration::from_secs(2);
/// Orphans remembered.
const ORPHANS_MAX: usize = 256;
/// A claim that nobody could link goes last for this long.
const PUT_OFF: Duration = Duration::from_secs(1);

/// The newest claim of each provider.
#[derive(Debug, Default)]
pub(super) struct Claims {
    by_provider: HashMap<Arc<str>, HeadEvent>,
    orphans: HashMap<B256, (Instant, u64)>,
    put_off: Option<(B256, Instant)>,
}

impl Claims {
    /// A provider names its head. One that still names what was replaced is noted.
    pub(super) fn note(&mut self, pool: &Pool, event: HeadEvent) {
        if let Some((since, number)) = self.orphans.get(&event.hash)
            && since.elapsed() > REORG_SPREADS
        {
            let text = "named as the head long after it was replaced";
            pool.accuse(&event.provider, Misdeed::Orphan, (*number, Some(event.hash)), text);
        }
        if let Some(endpoint) = pool.endpoint(&event.provider)
            && pool.lags(&endpoint)
        {
            let (behind, head) = (event.number, pool.highest_head());
            let text = format!("at block {behind} while others were at {head}");
            pool.accuse(&event.provider, Misdeed::Lag, (behind, Some(event.hash)), text);
        }
        self.by_provider.insert(event.provider.clone(), event);
    }

    /// Who is drained or gone has no say.
    pub(super) fn forget_absent(&mut self, pool: &Pool) {
        self.by_provider
            .retain(|name, _| pool.endpoint(name).is_some_and(|e| !e.health.is_drained()));
    }

    /// A branch took the place of another.
    pub(super) fn note_switch(&mut self, switch: &Switch) {
        let now = Instant::now();
        for known in &switch.connected {
            self.orphans.remove(&known.block.hash);
        }
        for known in &switch.retracted {
            self.orphans.insert(known.block.hash, (now, known.block.number));
        }
        while self.orphans.len() > ORPHANS_MAX {
            let oldest = self.orphans.iter().min_by_key(|(_, (at, _))| *at).map(|(hash, _)| *hash);
            let Some(oldest) = oldest else { break };
            self.orphans.remove(&oldest);
        }
    }

    /// Nobody could link this head: the others are looked at first for a while.
    pub(super) fn put_off(&mut self, event: &HeadEvent) {
        self.put_off = Some((event.hash, Instant::now()));
    }

    /// The head to follow, and whether a better one waits for more providers.
    pub(super) fn best(&self, pool: &Pool, tip: Option<&BlockRef>) -> (Option<HeadEvent>, bool) {
        let honest = |event: &&HeadEvent| {
            pool.endpoint(&event.provider)
                .is_some_and(|e| !e.health.is_demoted() && e.serves_our_chain())
        };
        let mut said: Vec<_> = self.by_provider.values().filter(honest).collect();
        if said.is_empty() {
            said = self.by_provider.values().collect();
        }
        let late = self.put_off.filter(|(_, at)| at.elapsed() < PUT_OFF).map(|(hash, _)| hash);
        let votes = |hash: &B256| said.iter().filter(|event| event.hash == *hash).count();
        let rank = |event: &&&HeadEvent| {
            let ours = tip.is_some_and(|tip| tip.hash == event.hash);
            (late != Some(event.hash), event.number, votes(&event.hash), ours)
        };
        let served = |event: &&&HeadEvent| pool.is_served(event.number, &event.hash);
        let best = said.iter().filter(served).max_by_key(rank).copied().cloned();
        let height = best.as_ref().map_or(0, |event| event.number);
        let waits =
            late.is_some() || said.iter().any(|event| event.number > height && !served(&event));
        (best, waits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Transport;
    use crate::rpc::fake::chain_of;

    fn pool(quorum: usize) -> Arc<Pool> {
        let url = |at: u16| (Transport::Http, format!("http://127.0.0.1:{}/", 1 + at));
        let mut chain = chain_of(1, (0..3).map(url).collect());
        chain.head_quorum = quorum;
        Pool::new(&chain)
    }

    fn says(pool: &Pool, claims: &mut Claims, provider: &str, number: u64, id: u8) {
        let event = HeadEvent {
            provider: provider.into(),
            number,
            hash: B256::repeat_byte(id),
            parent: B256::ZERO,
            timestamp: 0,
            raw: bytes::Bytes::new(),
        };
        let endpoint = pool.endpoint(provider).expect("configured");
        endpoint.health.note_head_block(number, event.hash);
        claims.note(pool, event);
    }

    fn tip(number: u64, id: u8) -> BlockRef {
        BlockRef { number, hash: B256::repeat_byte(id), parent: B256::ZERO, timestamp: 0 }
    }

    fn best(pool: &Pool, claims: &Claims, tip: &BlockRef) -> Option<u8> {
        claims.best(pool, Some(tip)).0.map(|event| event.hash[0])
    }

    #[test]
    fn the_highest_head_wins_then_that_of_most_then_ours() {
        let (pool, mut claims) = (pool(1), Claims::default());
        says(&pool, &mut claims, "p0", 10, 1);
        says(&pool, &mut claims, "p1", 10, 2);
        assert_eq!(best(&pool, &claims, &tip(10, 1)), Some(1), "ours among equals");
        assert_eq!(best(&pool, &claims, &tip(10, 2)), Some(2));
        says(&pool, &mut claims, "p2", 10, 2);
        assert_eq!(best(&pool, &claims, &tip(10, 1)), Some(2), "two against one");
        says(&pool, &mut claims, "p0", 11, 3);
        assert_eq!(best(&pool, &claims, &tip(10, 2)), Some(3), "higher");
        says(&pool, &mut claims, "p0", 9, 4);
        says(&pool, &mut claims, "p1", 9, 4);
        says(&pool, &mut claims, "p2", 9, 4);
        assert_eq!(best(&pool, &claims, &tip(11, 3)), Some(4), "a real reorg may lower the height");
    }

    #[test]
    fn a_head_waits_for_as_many_providers_as_the_rule_asks_for() {
        let (pool, mut claims) = (pool(2), Claims::default());
        says(&pool, &mut claims, "p0", 12, 12);
        assert_eq!(claims.best(&pool, None).0.map(|e| e.number), None);
        says(&pool, &mut claims, "p1", 11, 11);
        let (found, waits) = claims.best(&pool, None);
        assert_eq!((found.map(|e| e.number), waits), (Some(11), true), "two can serve 11");
        assert_eq!(pool.highest_head(), 11);
        says(&pool, &mut claims, "p2", 12, 13);
        assert_eq!(claims.best(&pool, None).0.map(|e| e.number), Some(11), "12 is disputed");
        says(&pool, &mut claims, "p1", 12, 12);
        assert_eq!(best(&pool, &claims, &tip(11, 11)), Some(12));
        assert!(pool.drain("p1", true) && pool.drain("p2", true));
        assert_eq!(pool.head_quorum(), 1, "never more than there are");
    }

    #[tokio::test(start_paused = true)]
    async fn who_still_names_what_was_replaced_is_noted_with_the_block_and_has_no_say() {
        let (pool, mut claims) = (pool(1), Claims::default());
        let known = |number, id| {
            Arc::new(super::super::window::Known {
                block: tip(number, id),
                header: bytes::Bytes::new(),
                provider: "p1".into(),
                seq: 0,
            })
        };
        let switch = Switch { retracted: vec![known(10, 1)], connected: vec![known(10, 2)] };
        claims.note_switch(&switch);
        says(&pool, &mut claims, "p0", 10, 1);
        assert_eq!(pool.scorecard().evidence(), [], "a reorg takes its time to get around");
        tokio::time::advance(REORG_SPREADS * 2).await;
        says(&pool, &mut claims, "p0", 10, 1);
        let evidence = pool.scorecard().evidence();
        assert_eq!(evidence[0].misdeed, Misdeed::Orphan);
        assert_eq!((evidence[0].block, evidence[0].hash), (10, Some(B256::repeat_byte(1))));
        says(&pool, &mut claims, "p1", 9, 3);
        assert_eq!(best(&pool, &claims, &tip(10, 2)), Some(3), "though p0's is higher");
    }

    #[test]
    fn a_provider_that_falls_behind_the_others_is_noted_and_comes_last() {
        let (pool, mut claims) = (pool(1), Claims::default());
        says(&pool, &mut claims, "p0", 100, 1);
        says(&pool, &mut claims, "p2", 50, 2);
        assert_eq!(pool.scorecard().evidence(), [], "one that is far ahead may be making it up");
        says(&pool, &mut claims, "p1", 100, 1);
        says(&pool, &mut claims, "p2", 51, 3);
        assert_eq!(pool.scorecard().evidence()[0].misdeed, Misdeed::Lag);
        let lagging = pool.status().into_iter().find(|s| s.name == "p2").expect("there");
        assert_eq!(lagging.demoted, Some("head behind the others"));
    }
}
