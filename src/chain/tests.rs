//! The follower against a scripted world: forks, lagging and lying nodes, judged by the world's truth.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bloom, BloomInput, keccak256};
use async_trait::async_trait;
use tokio::sync::mpsc;

use super::error::ChainError;
use super::fetch::Fetcher;
use super::follow::{Doorbell, Follower, Settings, Stored};
use super::node::{Header, Node, Receipts};
use super::profile::BloomRule;
use super::queue::{self, UpdateReceiver};
use super::update::ChainUpdate;
use super::verify::Verifier;
use crate::config::Verify;
use crate::rpc::eth::LogFilter;
use crate::telemetry::health::HealthBoard;
use crate::types::chain::{BlockId, BlockRange, BlockRef, ChainId, Proof};
use crate::types::clock::SystemClock;
use crate::types::log::{LogBuf, LogFields};

/// Our contract in the scripted world.
const OURS: Address = Address::repeat_byte(0xaa);
const LOGS_A_BLOCK: u32 = 2;
/// Blocks whose logs are large: together more than a segment may hold.
const CROWDED: std::ops::Range<u64> = 400..420;
/// Payload of each log there.
const CROWDED_BYTES: usize = 1 << 20;

/// A chain that tests rewrite while it is followed.
#[derive(Debug, Default)]
struct World {
    blocks: BTreeMap<u64, Header>,
    by_hash: BTreeMap<B256, Header>,
    finalized: u64,
    /// `eth_getLogs` leaves out the last log of these blocks.
    lies: Vec<u64>,
    /// `eth_getLogs` gives a log of these blocks twice, or says that it is of another fork.
    nonsense: Vec<u64>,
    /// How often `eth_getLogs` was asked.
    logs_asked: usize,
    /// No provider serves receipts.
    no_receipts: bool,
    /// Blocks whose receipts are encoded in the chain's own way: another root, and no proof.
    own_encoding: Vec<u64>,
    /// What `head` answers instead of the truth.
    stuck_head: Option<Header>,
    /// What further providers say.
    other_heads: Vec<Header>,
}

#[derive(Debug, Default, Clone)]
struct Scripted(Arc<Mutex<World>>);

fn logs_of(block: &BlockRef) -> LogBuf {
    let mut logs = LogBuf::default();
    if !block.number.is_multiple_of(2) {
        return logs;
    }
    for log_index in 0..LOGS_A_BLOCK {
        let fields = LogFields {
            block_number: block.number,
            block_hash: block.hash,
            log_index,
            address: OURS,
            ..Default::default()
        };
        let mut payload = block.number.to_be_bytes().to_vec();
        if CROWDED.contains(&block.number) {
            payload.resize(CROWDED_BYTES, 0);
        }
        logs.push(&fields, &payload).expect("small");
    }
    logs
}

impl Scripted {
    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.0.lock().expect("no test panics while holding it")
    }

    /// Replaces everything above `keep` by `grow` blocks of the given fork.
    fn grow(&self, keep: u64, grow: u64, fork: u8) {
        let mut world = self.world();
        world.blocks.retain(|number, _| *number <= keep);
        for _ in 0..grow {
            let parent = world.blocks.last_key_value().map(|(_, header)| header.block);
            let number = parent.map_or(0, |block| block.number + 1);
            let parent = parent.map_or(B256::ZERO, |block| block.hash);
            let seed = [parent.as_slice(), &number.to_be_bytes(), &[fork]].concat();
            let block = BlockRef { number, hash: keccak256(seed), parent, timestamp: number };
            let mut bloom = Bloom::ZERO;
            if number.is_multiple_of(2) {
                bloom.accrue(BloomInput::Raw(OURS.as_slice()));
            }
            let receipts_root = root(&logs_of(&block));
            let header =
                Header { block, bloom, receipts_root, hash_proven: true, transactions: None };
            world.blocks.insert(number, header.clone());
            world.by_hash.insert(block.hash, header);
        }
    }

    fn logs_as_told(&self, block: &BlockRef) -> LogBuf {
        self.world().logs_asked += 1;
        let mut logs = logs_of(block);
        if self.world().lies.contains(&block.number) {
            logs.retain(|head| head.log_index + 1 < LOGS_A_BLOCK);
        }
        if self.world().nonsense.contains(&block.number) {
            let block_hash = if block.number.is_multiple_of(4) { block.hash } else { B256::ZERO };
            let fields = LogFields {
                block_number: block.number,
                block_hash,
                address: OURS,
                ..LogFields::default()
            };
            logs.push(&fields, &[]).expect("small");
        }
        logs
    }

    fn truth(&self) -> Vec<(u64, B256)> {
        self.world()
            .blocks
            .values()
            .map(|header| (header.block.number, header.block.hash))
            .collect()
    }
}

/// Stands for the receipts root: any change of the logs changes it.
fn root(logs: &LogBuf) -> B256 {
    let mut bytes = Vec::new();
    for log in logs.iter() {
        bytes.extend_from_slice(&log.head.log_index.to_be_bytes());
        bytes.extend_from_slice(log.data);
    }
    keccak256(bytes)
}

#[async_trait]
impl Node for Scripted {
    async fn head(&self) -> Result<Header, ChainError> {
        let world = self.world();
        let head = world.stuck_head.clone();
        let newest = || world.blocks.last_key_value().map(|(_, header)| header.clone());
        head.or_else(newest).ok_or_else(|| ChainError::NotYet("any".to_owned()))
    }

    async fn heads(&self) -> Vec<Header> {
        let mut heads = self.world().other_heads.clone();
        heads.extend(self.head().await.ok());
        heads
    }

    async fn finalized(&self) -> Result<Option<BlockId>, ChainError> {
        let world = self.world();
        let block = world.blocks.get(&world.finalized);
        Ok(block.map(|header| BlockId::from(&header.block)))
    }

    async fn header_at(&self, number: u64) -> Result<Option<Header>, ChainError> {
        Ok(self.world().blocks.get(&number).cloned())
    }

    async fn header_of(&self, hash: B256) -> Result<Option<Header>, ChainError> {
        Ok(self.world().by_hash.get(&hash).cloned())
    }

    async fn headers(&self, range: BlockRange) -> Result<Vec<Header>, ChainError> {
        let world = self.world();
        Ok(world.blocks.range(range.from..=range.to).map(|(_, header)| header.clone()).collect())
    }

    async fn logs(&self, range: BlockRange) -> Result<LogBuf, ChainError> {
        let mut all = LogBuf::default();
        for header in self.headers(range).await? {
            for log in self.logs_as_told(&header.block).iter() {
                all.push_view(log)?;
            }
        }
        Ok(all)
    }

    async fn logs_of(&self, hash: B256) -> Result<LogBuf, ChainError> {
        let header = self.header_of(hash).await?;
        let header = header.ok_or_else(|| ChainError::NotYet(hash.to_string()))?;
        Ok(self.logs_as_told(&header.block))
    }

    async fn receipts_of(&self, headers: &[&Header]) -> Result<Option<Vec<Receipts>>, ChainError> {
        let world = self.world();
        if world.no_receipts {
            return Ok(None);
        }
        let receipts = |header: &&Header| {
            let logs = logs_of(&header.block);
            let own = world.own_encoding.contains(&header.block.number);
            Receipts { root: if own { B256::ZERO } else { root(&logs) }, logs }
        };
        Ok(Some(headers.iter().map(receipts).collect()))
    }
}

/// What a consumer that obeys every update holds.
#[derive(Debug, Default)]
struct Consumer {
    blocks: Vec<(u64, B256)>,
    proofs: BTreeMap<u64, Proof>,
    logs: BTreeMap<(u64, u32), B256>,
    reorgs: Vec<usize>,
    finalized: Option<u64>,
    caught_up: bool,
    segments: usize,
}

impl Consumer {
    fn take(&mut self, update: ChainUpdate) {
        match update {
            ChainUpdate::Committed(segment) => self.append(segment),
            ChainUpdate::Reorged { fork, orphaned, segment } => {
                self.reorgs.push(orphaned.len());
                self.blocks.retain(|(number, _)| *number <= fork.number);
                self.logs.retain(|(number, _), _| *number <= fork.number);
                assert_eq!(self.blocks.last(), Some(&(fork.number, fork.hash)));
                self.append(segment);
            }
            ChainUpdate::Finalized(number) => {
                assert!(self.finalized < Some(number), "finality only grows");
                self.finalized = Some(number);
            }
            ChainUpdate::CaughtUp => self.caught_up = true,
        }
    }

    fn append(&mut self, segment: super::update::Segment) {
        self.segments += 1;
        for proven in &segment.blocks {
            let block = proven.block;
            if let Some((number, hash)) = self.blocks.last() {
                assert_eq!((number + 1, *hash), (block.number, block.parent), "linked");
            }
            self.blocks.push((block.number, block.hash));
            self.proofs.insert(block.number, proven.proof);
        }
        for log in segment.logs.iter() {
            let place = (log.head.block_number, log.head.log_index);
            assert_eq!(self.logs.insert(place, log.head.block_hash), None, "once: {place:?}");
        }
    }

    fn drain(&mut self, updates: &mut UpdateReceiver) {
        while let Some(Some(update)) = futures_util::FutureExt::now_or_never(updates.recv()) {
            self.take(update);
        }
    }

    fn assert_holds(&self, node: &Scripted) {
        assert_eq!(self.blocks, node.truth());
        for (number, hash) in &self.blocks {
            let expected = if number.is_multiple_of(2) { LOGS_A_BLOCK } else { 0 };
            let logs = self.logs.range((*number, 0)..=(*number, u32::MAX));
            assert!(logs.clone().all(|(_, block)| block == hash));
            assert_eq!(logs.count(), expected as usize, "logs of block {number}");
        }
    }
}

fn follower(node: &Scripted, stored: Option<(&[BlockId], u64)>) -> (Follower, UpdateReceiver) {
    let (sender, receiver) = queue::bounded(64 << 20);
    let filters = vec![LogFilter::by_topic0(vec![OURS], Vec::new())];
    let fetcher = Fetcher {
        node: Arc::new(node.clone()),
        verifier: Verifier::new(Verify::Receipts, BloomRule::Complete, filters),
    };
    let settings = Settings {
        chain: ChainId(1),
        start_block: 0,
        confirmations: 2,
        reorg_window_blocks: 1000,
        poll_interval: Duration::from_millis(500),
    };
    let stored = stored.map_or_else(Stored::default, |(window, finalized)| Stored {
        cursor: window.last().copied(),
        window: window.to_vec(),
        finalized: Some(finalized),
    });
    let health = HealthBoard::new(Arc::new(SystemClock));
    (Follower::new(settings, fetcher, sender, health, stored), receiver)
}

/// Lets the follower work for a while of paused time, then returns it.
async fn follow_for(follower: &mut Follower, rings: usize) {
    let (bell, rung) = mpsc::channel(64);
    for _ in 0..rings {
        bell.send(Doorbell::default()).await.expect("room");
    }
    let run = follower.run(rung);
    tokio::time::timeout(Duration::from_secs(5), run).await.expect_err("follows for ever");
}

#[tokio::test(start_paused = true)]
async fn history_then_head_then_a_reorg_end_at_the_worlds_chain() {
    let node = Scripted::default();
    node.grow(0, 300, 0);
    node.world().finalized = 250;
    let (mut follower, mut updates) = follower(&node, None);
    let mut consumer = Consumer::default();
    follow_for(&mut follower, 1).await;
    consumer.drain(&mut updates);
    consumer.assert_holds(&node);
    assert!(consumer.caught_up);
    assert_eq!(consumer.finalized, Some(250));

    node.grow(290, 20, 1);
    node.world().finalized = 260;
    follow_for(&mut follower, 1).await;
    consumer.drain(&mut updates);
    consumer.assert_holds(&node);
    assert_eq!((consumer.reorgs.clone(), consumer.finalized), (vec![9], Some(260)));
    assert!(consumer.proofs.values().all(|proof| *proof != Proof::Unverified));
}

#[tokio::test(start_paused = true)]
async fn a_same_height_reorg_and_the_way_back_to_the_old_fork_are_followed() {
    let node = Scripted::default();
    node.grow(0, 20, 0);
    let (mut follower, mut updates) = follower(&node, None);
    let mut consumer = Consumer::default();
    for fork in [0, 1, 0, 2] {
        let keep = if fork == 0 { 15 } else { 17 };
        node.grow(keep, 19 - keep, fork);
        follow_for(&mut follower, 2).await;
        consumer.drain(&mut updates);
        consumer.assert_holds(&node);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lagging_head_is_not_a_reorg() {
    let node = Scripted::default();
    node.grow(0, 30, 0);
    let (mut follower, mut updates) = follower(&node, None);
    let mut consumer = Consumer::default();
    follow_for(&mut follower, 1).await;
    let old = node.world().blocks.get(&12).cloned();
    node.world().stuck_head = old;
    follow_for(&mut follower, 3).await;
    consumer.drain(&mut updates);
    consumer.assert_holds(&node);
    assert!(consumer.reorgs.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_stays_on_a_dead_fork_moves_nobody() {
    let node = Scripted::default();
    node.grow(0, 30, 0);
    let (mut follower, mut updates) = follower(&node, None);
    let mut consumer = Consumer::default();
    follow_for(&mut follower, 1).await;
    let dead = node.world().blocks.last_key_value().map(|(_, header)| header.clone());
    node.grow(25, 6, 1);
    follow_for(&mut follower, 1).await;
    let live = node.world().blocks.last_key_value().map(|(_, header)| header.clone());
    {
        let mut world = node.world();
        world.stuck_head = dead;
        world.other_heads.extend(live);
    }
    follow_for(&mut follower, 3).await;
    consumer.drain(&mut updates);
    consumer.assert_holds(&node);
    assert_eq!(consumer.reorgs.len(), 1, "there and never back");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_out_a_log_is_corrected_by_the_receipts_root() {
    let node = Scripted::default();
    node.grow(0, 100, 0);
    node.world().finalized = 80;
    node.world().lies = vec![10, 40, 90, 98];
    let (mut follower, mut updates) = follower(&node, None);
    let mut consumer = Consumer::default();
    follow_for(&mut follower, 1).await;
    consumer.drain(&mut updates);
    consumer.assert_holds(&node);
    assert_eq!(node.world().logs_asked, 0, "the receipts say everything");
}

#[tokio::test(start_paused = true)]
async fn without_receipts_logs_are_as_told_and_only_absence_is_proven() {
    let node = Scripted::default();
    node.grow(0, 100, 0);
    node.world().finalized = 80;
    node.world().no_receipts = true;
    let (mut follower, mut updates) = follower(&node, None);
    let mut consumer = Consumer::default();
    follow_for(&mut follower, 1).await;
    consumer.drain(&mut updates);
    consumer.assert_holds(&node);
    for (number, proof) in &consumer.proofs {
        let proven =
            if number.is_multiple_of(2) { Proof::Unverified } else { Proof::BloomNegative };
        assert_eq!(*proof, proven, "block {number}");
    }
}

#[tokio::test(start_paused = true)]
async fn blocks_that_their_receipts_do_not_prove_are_asked_for_and_stay_unverified() {
    let node = Scripted::default();
    node.grow(0, 100, 0);
    node.world().finalized = 80;
    node.world().own_encoding = vec![4, 10, 12, 14, 60, 90];
    let (mut follower, mut updates) = follower(&node, None);
    let mut consumer = Consumer::default();
    follow_for(&mut follower, 1).await;
    consumer.drain(&mut updates);
    consumer.assert_holds(&node);
    let open: Vec<u64> = consumer
        .proofs
        .iter()
        .filter(|(_, proof)| **proof == Proof::Unverified)
        .map(|(number, _)| *number)
        .collect();
    assert_eq!(open, [4, 10, 12, 14, 60, 90]);
}

#[tokio::test(start_paused = true)]
async fn a_crowded_range_is_told_in_pieces_and_whole() {
    let node = Scripted::default();
    node.grow(0, 1000, 0);
    node.world().finalized = 1000;
    let (mut follower, mut updates) = follower(&node, None);
    let mut consumer = Consumer::default();
    let follow = follow_for(&mut follower, 1);
    // The queue is smaller than the crowd: it is emptied meanwhile.
    let drain = async {
        while consumer.blocks.len() < node.truth().len() {
            consumer.take(updates.recv().await.expect("follows"));
        }
    };
    tokio::join!(follow, drain);
    consumer.assert_holds(&node);
    // Spans of 64, 64, 64, 64, 128, 256 and 360 blocks make seven segments; the crowd cuts one more.
    assert!(consumer.segments > 7, "{} segments", consumer.segments);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_spoils_its_own_block_alone_and_the_receipts_mend_it() {
    let node = Scripted::default();
    node.grow(0, 100, 0);
    node.world().finalized = 80;
    node.world().nonsense = vec![8, 10, 90, 94];
    let (mut follower, mut updates) = follower(&node, None);
    let mut consumer = Consumer::default();
    follow_for(&mut follower, 1).await;
    consumer.drain(&mut updates);
    consumer.assert_holds(&node);
}

#[tokio::test(start_paused = true)]
async fn a_final_block_that_is_not_ours_is_not_made_final() {
    let node = Scripted::default();
    node.grow(0, 30, 0);
    node.world().finalized = 10;
    let (mut follower, mut updates) = follower(&node, None);
    let mut consumer = Consumer::default();
    follow_for(&mut follower, 1).await;
    let dead = node.world().blocks.last_key_value().map(|(_, header)| header.clone());
    node.grow(20, 1, 1);
    {
        let mut world = node.world();
        world.finalized = 21;
        world.stuck_head = dead;
    }
    follow_for(&mut follower, 2).await;
    node.world().stuck_head = None;
    node.grow(21, 20, 1);
    follow_for(&mut follower, 2).await;
    consumer.drain(&mut updates);
    consumer.assert_holds(&node);
}

#[tokio::test(start_paused = true)]
async fn a_restart_continues_from_the_stored_window_even_on_another_fork() {
    let node = Scripted::default();
    node.grow(0, 40, 0);
    let stored: Vec<BlockId> = node.truth()[30..]
        .iter()
        .map(|(number, hash)| BlockId { number: *number, hash: *hash })
        .collect();
    node.grow(33, 20, 1);
    let (mut follower, mut updates) = follower(&node, Some((&stored, 30)));
    let mut consumer = Consumer { ..Default::default() };
    consumer.blocks = stored.iter().map(|block| (block.number, block.hash)).collect();
    follow_for(&mut follower, 1).await;
    consumer.drain(&mut updates);
    assert_eq!(consumer.blocks, node.truth()[30..]);
    assert_eq!(consumer.reorgs, [6]);
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_was_reset_is_refused_with_a_remedy() {
    let node = Scripted::default();
    node.grow(0, 40, 0);
    let stored: Vec<BlockId> = node.truth()[30..]
        .iter()
        .map(|(number, hash)| BlockId { number: *number, hash: *hash })
        .collect();
    let other = Scripted::default();
    other.grow(0, 1, 9);
    other.grow(0, 60, 9);
    let (mut follower, _updates) = follower(&other, Some((&stored, 30)));
    let (_bell, rung) = mpsc::channel(1);
    let error = follower.run(rung).await.expect_err("refused");
    assert!(!error.is_retryable(), "{error}");
    assert!(error.to_string().contains("[store] path"), "{error}");
}
