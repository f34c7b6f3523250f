//! The living chain: mines, forks, takes transactions, and tells its watchers.
//!
//! One world serves all providers. Everything in it is true; lies are the providers' business.
//! Knows nothing of sockets or JSON.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::B256;
use tokio::sync::broadcast;

use super::error::SimError;
use super::index::Base;
use super::ledger::Ledger;
use super::recipe::{Recipe, TxOrigin};
use super::rng::{Rng, spread};
use super::seal::SentTx;
use super::settings::{BLOCKS_MAX, FORK_DEPTH_MAX, ForkPlan, Settings};
use super::view::{Block, View};

/// News that a slow watcher may fall behind; it loses transactions after that, never blocks.
const NEWS_WAITING: usize = 4_096;
/// Blocks that one call may mine.
pub(super) const MINE_MAX: u64 = 1_000_000;
/// Orphaned blocks kept, with everything they held.
const ORPHANS_MAX: usize = 200_000;
/// Transactions that wait for a block because a fork took theirs away.
const CARRIED_MAX: usize = 20_000;
/// Sent transactions that wait for a block.
const POOL_MAX: usize = 10_000;
/// Sent transactions in one block.
const SENT_PER_BLOCK: usize = 500;

/// What watchers hear. They walk from the view that they know to the present one.
#[derive(Debug, Clone)]
pub(super) enum News {
    /// The canonical chain changed.
    Moved,
    /// A transaction was sent in and waits.
    Pending(Arc<SentTx>),
}

/// A fork that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForkRecord {
    pub fork: u32,
    /// The last block that both branches share.
    pub base: u64,
    /// Head before and after.
    pub old_head: u64,
    pub old_hash: B256,
    pub new_head: u64,
    pub new_hash: B256,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) recipe: Arc<Recipe>,
    pub(super) settings: Settings,
    inner: RwLock<Inner>,
    news: broadcast::Sender<News>,
}

#[derive(Debug)]
struct Inner {
    view: Arc<View>,
    ledger: Ledger,
    fork: u32,
    plans: Vec<ForkPlan>,
    /// Blocks made after the start and every orphan, by hash.
    known: HashMap<B256, Arc<Block>>,
    /// Canonical place of every transaction of blocks made after the start.
    txs: HashMap<B256, (B256, usize)>,
    orphans: Vec<Arc<Block>>,
    /// The chain as it was before the last fork.
    before_fork: Option<Arc<View>>,
    forks: Vec<ForkRecord>,
    carried: VecDeque<TxOrigin>,
    pool: VecDeque<Arc<SentTx>>,
    sent: HashMap<B256, Arc<SentTx>>,
}

impl World {
    /// Makes the starting blocks; takes a while for long chains.
    pub(super) fn new(settings: Settings) -> Result<Self, SimError> {
        let faults = settings.faults();
        if !faults.is_empty() {
            return Err(SimError::Settings(faults));
        }
        let recipe = Recipe::new(&settings);
        let mut ledger = Ledger::new(&recipe.book);
        let base = Arc::new(Base::build(&recipe, settings.blocks, &mut ledger));
        let mut plans = settings.forks.clone();
        plans.sort_by_key(|plan| std::cmp::Reverse(plan.at));
        while plans.last().is_some_and(|plan| plan.at <= settings.blocks) {
            plans.pop();
        }
        let inner = Inner {
            view: Arc::new(View::new(base)),
            ledger,
            fork: 0,
            plans,
            known: HashMap::new(),
            txs: HashMap::new(),
            orphans: Vec::new(),
            before_fork: None,
            forks: Vec::new(),
            carried: VecDeque::new(),
            pool: VecDeque::new(),
            sent: HashMap::new(),
        };
        let (news, _) = broadcast::channel(NEWS_WAITING);
        Ok(Self { recipe: Arc::new(recipe), settings, inner: RwLock::new(inner), news })
    }

    pub(super) fn view(&self) -> Arc<View> {
        Arc::clone(&self.read().view)
    }

    /// The view and everything that changes it afterwards.
    pub(super) fn view_and_watch(&self) -> (Arc<View>, broadcast::Receiver<News>) {
        let inner = self.read();
        (Arc::clone(&inner.view), self.news.subscribe())
    }

    /// A block by hash, canonical or orphaned.
    pub(super) fn block_by_hash(&self, view: &View, hash: &B256) -> Option<Arc<Block>> {
        if let Some(block) = self.read().known.get(hash) {
            return Some(Arc::clone(block));
        }
        view.starting_block(&self.recipe, hash)
    }

    /// The canonical block of a transaction and its index there.
    pub(super) fn find_tx(&self, view: &View, hash: &B256) -> Option<(Arc<Block>, usize)> {
        let later = {
            let inner = self.read();
            let place = inner.txs.get(hash);
            place.and_then(|(block, index)| Some((Arc::clone(inner.known.get(block)?), *index)))
        };
        let found = later.or_else(|| {
            let (number, index) = view.starting_tx(hash)?;
            Some((view.block(&self.recipe, number)?, index))
        });
        found.filter(|(block, _)| view.hash(block.number) == Some(block.hash))
    }

    /// The chain as it was before the last fork.
    pub(super) fn view_before_fork(&self) -> Option<Arc<View>> {
        self.read().before_fork.clone()
    }

    pub(super) fn sent_tx(&self, hash: &B256) -> Option<Arc<SentTx>> {
        self.read().sent.get(hash).cloned()
    }

    /// Orphaned blocks from `skip` on, in the order in which they were taken back, and how many
    /// there are.
    pub(super) fn orphans(&self, skip: usize, limit: usize) -> (Vec<Arc<Block>>, usize) {
        let inner = self.read();
        (inner.orphans.iter().skip(skip).take(limit).cloned().collect(), inner.orphans.len())
    }

    pub(super) fn forks(&self) -> Vec<ForkRecord> {
        self.read().forks.clone()
    }

    /// Looks at the ledger together with the view that it belongs to.
    pub(super) fn with_ledger<T>(&self, look: impl FnOnce(&Arc<View>, &Ledger) -> T) -> T {
        let inner = self.read();
        look(&inner.view, &inner.ledger)
    }

    /// Accepts a transaction; it is mined in the next block. The second word says whether it is new.
    pub(super) fn submit(&self, tx: SentTx) -> Result<(B256, bool), SimError> {
        let mut inner = self.write();
        if inner.sent.contains_key(&tx.hash) {
            return Ok((tx.hash, false));
        }
        if inner.pool.len() >= POOL_MAX {
            return Err(SimError::Refused(format!("the pool holds {POOL_MAX} transactions")));
        }
        let tx = Arc::new(tx);
        inner.sent.insert(tx.hash, Arc::clone(&tx));
        inner.pool.push_back(Arc::clone(&tx));
        self.tell(News::Pending(Arc::clone(&tx)));
        Ok((tx.hash, true))
    }

    /// Mines blocks, with the forks that fall due on the way; returns the head's height.
    pub(super) fn mine(&self, blocks: u64) -> Result<u64, SimError> {
        if blocks > MINE_MAX {
            return Err(SimError::Refused(format!("at most {MINE_MAX} blocks at once")));
        }
        let mut head = self.view().head();
        for _ in 0..blocks {
            head = self.step()?;
        }
        Ok(head)
    }

    /// One block more, or the fork that is due instead: what it orphans has been seen before.
    fn step(&self) -> Result<u64, SimError> {
        let mut inner = self.write();
        if let Some((depth, length)) = self.fork_due(&mut inner) {
            return Ok(self.fork_inner(&mut inner, depth, length)?.new_head);
        }
        let number = inner.view.head() + 1;
        if number > BLOCKS_MAX {
            return Err(SimError::Refused(format!("the chain ends at block {BLOCKS_MAX}")));
        }
        let mut origins = self.recipe.origins(inner.fork, number);
        origins.extend(inner.take_carried(number));
        let sent = inner.take_pool();
        inner.append(&self.recipe, number, origins, sent);
        self.tell(News::Moved);
        Ok(number)
    }

    /// Orphans the last `depth` blocks and puts `length` new ones in their place.
    pub(super) fn fork(&self, depth: u64, length: u64) -> Result<ForkRecord, SimError> {
        self.fork_inner(&mut self.write(), depth, length)
    }

    /// Makes an orphaned block the head again, with its whole branch: the chain goes back to an old
    /// fork.
    pub(super) fn switch_to(&self, hash: B256) -> Result<ForkRecord, SimError> {
        let mut inner = self.write();
        let mut branch = Vec::new();
        let mut next = hash;
        while let Some(block) = inner.known.get(&next).map(Arc::clone) {
            if inner.view.hash(block.number) == Some(block.hash) {
                break;
            }
            next = block.parent;
            branch.push(block);
        }
        let (Some(last), Some(first)) = (branch.first(), branch.last()) else {
            return Err(SimError::Refused(format!("{hash} is no orphaned block")));
        };
        let (base, new_head) = (first.number - 1, last.number);
        let old_head = inner.view.head();
        inner.before_fork = Some(Arc::clone(&inner.view));
        let removed = inner.take_off(&self.recipe, old_head - base);
        inner.fork += 1;
        let mut returning = HashSet::new();
        for block in branch.into_iter().rev() {
            returning.extend(block.origins.iter().copied());
            inner.pool.retain(|tx| !block.tx_hashes.contains(&tx.hash));
            inner.adopt(&self.recipe, block);
        }
        for origin in removed.iter().rev().flat_map(|block| &block.origins) {
            if !Recipe::is_issue(origin) {
                inner.carry(*origin);
            }
        }
        inner.carried.retain(|origin| !returning.contains(origin));
        let record = ForkRecord {
            fork: inner.fork,
            base,
            old_head,
            old_hash: removed.first().map_or(B256::ZERO, |block| block.hash),
            new_head,
            new_hash: hash,
        };
        inner.forks.push(record);
        self.tell(News::Moved);
        Ok(record)
    }

    fn fork_due(&self, inner: &mut Inner) -> Option<(u64, u64)> {
        let head = inner.view.head();
        if let Some(plan) = inner.plans.pop_if(|plan| plan.at <= head) {
            return Some((plan.depth, plan.length));
        }
        let random = self.settings.random_forks?;
        let mut rng = Rng::new(&[self.settings.seed, head, inner.fork.into(), 4]);
        if random.every_blocks == 0 || rng.below(random.every_blocks) != 0 {
            return None;
        }
        let depth = (1 + rng.below(random.depth_max)).min(head.saturating_sub(1));
        let same_height = rng.below(4) == 0;
        (depth > 0).then_some((depth, if same_height { depth } else { depth + 1 }))
    }

    fn fork_inner(
        &self,
        inner: &mut Inner,
        depth: u64,
        length: u64,
    ) -> Result<ForkRecord, SimError> {
        let old_head = inner.view.head();
        if depth == 0 || depth > FORK_DEPTH_MAX || depth >= old_head {
            let most = FORK_DEPTH_MAX.min(old_head.saturating_sub(1));
            return Err(SimError::Refused(format!("fork depth must be 1 to {most}")));
        }
        if length == 0 || length > FORK_DEPTH_MAX * 2 {
            let most = FORK_DEPTH_MAX * 2;
            return Err(SimError::Refused(format!("fork length must be 1 to {most}")));
        }
        if inner.orphans.len() >= ORPHANS_MAX {
            return Err(SimError::Refused(format!("{ORPHANS_MAX} blocks are orphaned already")));
        }
        inner.before_fork = Some(Arc::clone(&inner.view));
        let removed = inner.take_off(&self.recipe, depth);
        inner.fork += 1;
        let (fork, base) = (inner.fork, old_head - depth);
        let mut new_hash = B256::ZERO;
        for number in base + 1..=base + length {
            let orphan = removed.iter().find(|block| block.number == number);
            let mut origins = match orphan {
                Some(_) => self.recipe.fork_origins(fork, number),
                None => self.recipe.origins(fork, number),
            };
            origins.extend(inner.take_carried(number));
            for origin in orphan.iter().flat_map(|block| &block.origins) {
                match inherit(self.recipe.seed, fork, origin) {
                    Inherit::Keep => origins.push(*origin),
                    Inherit::Later => inner.carry(*origin),
                    Inherit::Drop => {}
                }
            }
            let sent = if number == base + length { inner.take_pool() } else { Vec::new() };
            new_hash = inner.append(&self.recipe, number, origins, sent);
        }
        for block in removed.iter().filter(|block| block.number > base + length).rev() {
            block.origins.iter().filter(|o| !Recipe::is_issue(o)).for_each(|o| inner.carry(*o));
        }
        let record = ForkRecord {
            fork,
            base,
            old_head,
            old_hash: removed.first().map_or(B256::ZERO, |block| block.hash),
            new_head: inner.view.head(),
            new_hash,
        };
        inner.forks.push(record);
        self.tell(News::Moved);
        Ok(record)
    }

    fn tell(&self, news: News) {
        // No watcher is fine.
        let _watchers = self.news.send(news);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a fork does with a transaction of the block that it replaces.
enum Inherit {
    Keep,
    Later,
    Drop,
}

fn inherit(seed: u64, fork: u32, origin: &TxOrigin) -> Inherit {
    if Recipe::is_issue(origin) {
        return Inherit::Drop;
    }
    let place = u64::from(origin.index) << 32 | u64::from(origin.fork);
    match spread(seed ^ spread(origin.number ^ spread(place ^ u64::from(fork) << 48))) % 4 {
        0 => Inherit::Drop,
        1 => Inherit::Later,
        _ => Inherit::Keep,
    }
}

impl Inner {
    /// Seals a block on top of the head and makes it the head.
    fn append(
        &mut self,
        recipe: &Recipe,
        number: u64,
        origins: Vec<TxOrigin>,
        sent: Vec<Arc<SentTx>>,
    ) -> B256 {
        let parent = self.view.hash(number - 1).unwrap_or_default();
        let mut block = Block::seal(recipe, (number, self.fork), parent, origins, sent);
        block.published_us = now_us();
        let hash = block.hash;
        self.adopt(recipe, Arc::new(block));
        hash
    }

    /// Makes a sealed child of the head the head.
    fn adopt(&mut self, recipe: &Recipe, block: Arc<Block>) {
        self.ledger.apply(&recipe.book, block.number, &block.body(recipe).logs);
        for (index, hash) in block.tx_hashes.iter().enumerate() {
            self.txs.insert(*hash, (block.hash, index));
        }
        self.known.insert(block.hash, Arc::clone(&block));
        Arc::make_mut(&mut self.view).push(block);
    }

    /// Takes the last blocks off; returns them, newest first.
    fn take_off(&mut self, recipe: &Recipe, depth: u64) -> Vec<Arc<Block>> {
        let mut removed = Vec::new();
        for _ in 0..depth {
            let Some(block) = self.view.block(recipe, self.view.head()) else { break };
            self.ledger.undo(&recipe.book, &block.body(recipe).logs);
            for hash in &block.tx_hashes {
                self.txs.remove(hash);
            }
            for tx in block.sent.iter().rev() {
                self.pool.push_front(Arc::clone(tx));
            }
            self.known.insert(block.hash, Arc::clone(&block));
            Arc::make_mut(&mut self.view).pop();
            removed.push(block);
        }
        self.orphans.extend(removed.iter().cloned());
        removed
    }

    fn carry(&mut self, origin: TxOrigin) {
        if self.carried.len() < CARRIED_MAX {
            self.carried.push_back(origin);
        }
    }

    /// Carried transactions that may stand at this height: never below the one they came from,
    /// where their senders might not be funded yet.
    fn take_carried(&mut self, number: u64) -> Vec<TxOrigin> {
        let (now, later) = self.carried.drain(..).partition(|origin| origin.number <= number);
        self.carried = later;
        now.into()
    }

    fn take_pool(&mut self) -> Vec<Arc<SentTx>> {
        let count = self.pool.len().min(SENT_PER_BLOCK);
        self.pool.drain(..count).collect()
    }
}

fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
