//! Follows one network for ever: history first, then every new head, reorgs and finality.
//!
//! Owns the window of unfinalized blocks. Decides nothing about events; never believes a lower head
//! without a parent chain that leads to it.

use std::time::Duration;

use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;

use super::backfill;
use super::error::ChainError;
use super::fetch::Fetcher;
use super::node::Header;
use super::queue::UpdateSender;
use super::reorg::{Verdict, Window};
use super::update::{ChainUpdate, Segment};
use crate::telemetry::health::{ChainState, HealthBoard};
use crate::telemetry::metrics::{self, Metric};
use crate::types::chain::{BlockId, BlockRange, BlockRef, ChainId};

/// A hint that there may be a new block. Carries the hash where the ringer knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Doorbell {
    pub hash: Option<alloy_primitives::B256>,
    /// The block's header where it was pushed and gives its hash: nobody need be asked for it.
    pub header: Option<Header>,
}

/// How one network is followed.
#[derive(Debug, Clone)]
pub struct Settings {
    pub chain: ChainId,
    pub start_block: u64,
    /// Depth that counts as final where nodes do not know finality.
    pub confirmations: u64,
    /// Reorgs deeper than this stop the chain, in blocks.
    pub reorg_window_blocks: u64,
    /// How long silence may last before the head is asked for.
    pub poll_interval: Duration,
}

/// Where the index stands when a follower starts.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    pub cursor: Option<BlockId>,
    /// Unfinalized blocks up to the cursor, oldest first.
    pub window: Vec<BlockId>,
    pub finalized: Option<u64>,
}

/// Waits between tries after a failure at the head: doubling from the first to the last.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LAST: Duration = Duration::from_secs(5);
/// Blocks at the head fetched at the same time while catching up or replacing a fork.
const BLOCKS_IN_FLIGHT: usize = 8;
/// A tip this far behind is history first, not a walk: bounds the headers held at once.
const CATCH_UP_BLOCKS: u64 = 2048;
/// Blocks asked for in one call while walking to a head far above the tip.
const WALK_CHUNK_BLOCKS: u64 = 256;

/// One network's follower.
#[derive(Debug)]
pub struct Follower {
    settings: Settings,
    fetcher: Fetcher,
    out: UpdateSender,
    health: HealthBoard,
    /// `None` until the first block is known.
    window: Option<Window>,
    finalized: Option<u64>,
}

impl Follower {
    /// A follower that continues where `stored` says.
    pub fn new(
        settings: Settings,
        fetcher: Fetcher,
        out: UpdateSender,
        health: HealthBoard,
        stored: Stored,
    ) -> Self {
        let window = stored.cursor.map(|cursor| {
            let mut window = Window::new(stored.window.first().copied().unwrap_or(cursor));
            for block in stored.window.iter().skip(1) {
                window.push(*block);
            }
            if window.tip().number < cursor.number {
                window.push(cursor);
            }
            window
        });
        Self { settings, fetcher, out, health, window, finalized: stored.finalized }
    }

    /// Indexes up to `to` (the head when it is lower is waited for) and returns the block reached.
    pub async fn run_to(&mut self, to: u64) -> Result<Option<BlockId>, ChainError> {
        let mut head = self.fetcher.node.head().await?.block.number;
        if head < to {
            head = self.highest_head().await.max(head);
        }
        if head < to {
            return Err(ChainError::NotYet(format!("{to} (the head is {head})")));
        }
        self.history(Some(to)).await?;
        if self.next_block() <= to {
            let header = self.at(to).await?;
            self.reach(header).await?;
        }
        Ok(self.tip())
    }

    /// Follows until the pipeline closes or an operator is needed. `bell` may go silent or close;
    /// the head is then asked for at the poll interval.
    pub async fn run(&mut self, mut bell: mpsc::Receiver<Doorbell>) -> Result<(), ChainError> {
        let mut wait = RETRY_FIRST;
        let mut caught_up = false;
        let mut hint = Doorbell::default();
        loop {
            match self.step(hint, &mut caught_up).await {
                Ok(()) => wait = RETRY_FIRST,
                Err(error) if error.is_retryable() => {
                    let why = Some(error.to_string());
                    self.health.chain(self.settings.chain, ChainState::Stalled, why);
                    log::warn!(chain = self.settings.chain.0, wait:? = wait; "head not followed, trying again: {error}");
                    tokio::time::sleep(wait).await;
                    wait = wait.saturating_mul(2).min(RETRY_LAST);
                    hint = Doorbell::default();
                    continue;
                }
                Err(error) => return Err(error),
            }
            hint = self.wait_for_bell(&mut bell).await;
        }
    }

    async fn wait_for_bell(&self, bell: &mut mpsc::Receiver<Doorbell>) -> Doorbell {
        let poll = tokio::time::sleep(self.settings.poll_interval);
        tokio::select! {
            rung = bell.recv(), if !bell.is_closed() || !bell.is_empty() => {
                rung.unwrap_or_default()
            }
            () = poll => Doorbell::default(),
        }
    }

    async fn step(&mut self, hint: Doorbell, caught_up: &mut bool) -> Result<(), ChainError> {
        if !*caught_up {
            self.history(None).await?;
        }
        let pushed = hint.header.filter(|header| self.continues(header));
        let head = match (hint.hash, pushed) {
            (Some(hash), _) if *caught_up && self.knows(hash) => return Ok(()),
            (_, Some(header)) => header,
            (Some(hash), None) => match self.fetcher.node.header_of(hash).await? {
                Some(header) => header,
                None => self.fetcher.node.head().await?,
            },
            (None, None) => self.fetcher.node.head().await?,
        };
        if head.block.number > self.next_block().saturating_add(CATCH_UP_BLOCKS) {
            self.history(None).await?;
        }
        self.saw_head(&head);
        self.reach(head).await?;
        self.finality().await?;
        self.health.chain(self.settings.chain, ChainState::Live, None);
        if !*caught_up {
            *caught_up = true;
            self.out.send(ChainUpdate::CaughtUp).await?;
        }
        Ok(())
    }

    /// Everything final that is still missing, at most up to `limit`.
    async fn history(&mut self, limit: Option<u64>) -> Result<(), ChainError> {
        loop {
            let mut head = self.fetcher.node.head().await?.block.number;
            let next = self.next_block();
            if self.window.is_none() && next > head {
                head = self.highest_head().await.max(head);
            }
            if self.window.is_none() && next > head {
                let (chain, start) = (self.settings.chain, self.settings.start_block);
                return Err(ChainError::StartAboveHead { chain, start, head });
            }
            let finalized = self.final_number(head).await?;
            let target =
                finalized.map_or(0, |number| limit.map_or(number, |limit| number.min(limit)));
            if finalized.is_none() || target < next {
                return self.finality().await;
            }
            self.health.chain(self.settings.chain, ChainState::Backfilling, None);
            let range = BlockRange { from: next, to: target };
            let parent = self.tip();
            let reached =
                backfill::run(self.settings.chain, &self.fetcher, range, parent, &self.out).await?;
            if let Some(block) = reached {
                self.window = Some(Window::new(block));
            }
            self.tell_final(target).await?;
        }
    }

    /// Makes `head` our tip, or finds that it is nothing new.
    async fn reach(&mut self, head: Header) -> Result<(), ChainError> {
        let Some(window) = &self.window else { return self.begin(head).await };
        let (tip, block) = (window.tip(), head.block);
        if window.contains(block.number, block.hash) {
            return Ok(());
        }
        if block.number > tip.number {
            match self.walk(head.clone()).await {
                Ok(path) if matches!(window.judge(&refs(&path)), Verdict::Extends) => {
                    return self.extend(&path).await;
                }
                // Leaves our chain: whether it is the chain or a stray provider, all are asked.
                Ok(_) | Err(ChainError::TooDeep { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let Some(head) = self.elect(head).await? else { return Ok(()) };
        let path = self.walk(head).await?;
        let Some(window) = &self.window else { return Ok(()) };
        match window.judge(&refs(&path)) {
            Verdict::Known => Ok(()),
            Verdict::Extends => self.extend(&path).await,
            Verdict::Forks { fork, orphaned } => self.replace(fork, orphaned, &path).await,
            Verdict::Unlinked { number, .. } => Err(ChainError::NotYet(number.to_string())),
            Verdict::TooDeep => Err(self.too_deep()),
        }
    }

    /// The head to follow when `candidate` leaves our chain: the highest that any provider has, then
    /// the one of most providers, then our own. `None`: ours stays. A provider that is behind, or
    /// still on a fork that the others have left, moves nobody.
    async fn elect(&self, candidate: Header) -> Result<Option<Header>, ChainError> {
        let Some(window) = &self.window else { return Ok(Some(candidate)) };
        let tip = window.tip();
        let mut heads = self.fetcher.node.heads().await;
        if heads.len() < 2 {
            // One provider, perhaps of many backends: while it holds our tip it is only behind.
            let lower = candidate.block.number <= tip.number;
            let stays = lower && self.still_canonical(tip).await?;
            return Ok((!stays).then_some(candidate));
        }
        let votes = |hash| heads.iter().filter(|head| head.block.hash == hash).count();
        let rank = |head: &Header| {
            let BlockRef { number, hash, .. } = head.block;
            (number, votes(hash), window.contains(number, hash))
        };
        let best = (0..heads.len()).max_by_key(|index| rank(&heads[*index])).unwrap_or(0);
        let best = heads.swap_remove(best);
        let block = best.block;
        // Between two answers a provider may have moved on; the newer answer is the better one.
        let ours = window.contains(block.number, block.hash);
        Ok((!ours).then_some(best))
    }

    async fn highest_head(&self) -> u64 {
        let heads = self.fetcher.node.heads().await;
        heads.iter().map(|head| head.block.number).max().unwrap_or(0)
    }

    /// The very first block of an index that starts above `finalized`.
    async fn begin(&mut self, head: Header) -> Result<(), ChainError> {
        let start = self.settings.start_block;
        if head.block.number < start {
            return Ok(());
        }
        let first = if head.block.number == start { head.clone() } else { self.at(start).await? };
        let segment = self.fetcher.proven(&first).await?;
        self.window = Some(Window::new(BlockId::from(&first.block)));
        self.out.send(ChainUpdate::Committed(segment)).await?;
        if head.block.number > start { Box::pin(self.reach(head)).await } else { Ok(()) }
    }

    /// Headers from `head` down to the first whose parent is ours (or as far as judging needs).
    async fn walk(&self, head: Header) -> Result<Vec<Header>, ChainError> {
        let mut path = vec![head];
        let Some(window) = &self.window else { return Ok(path) };
        if let Some(headers) = self.straight_to(window.tip(), &path[0]).await? {
            return Ok(headers);
        }
        loop {
            let Verdict::Unlinked { parent, number } = window.judge(&refs(&path)) else {
                return Ok(path);
            };
            let depth = window.tip().number.saturating_sub(number);
            if depth > self.settings.reorg_window_blocks {
                return Err(self.too_deep());
            }
            let header = self.fetcher.node.header_of(parent).await?;
            path.push(header.ok_or_else(|| ChainError::NotYet(parent.to_string()))?);
        }
    }

    /// A head far above the tip on our own chain: headers by number in chunks instead of one call a
    /// block. `None` when they do not link, so that the caller walks by hash.
    async fn straight_to(
        &self,
        tip: BlockId,
        head: &Header,
    ) -> Result<Option<Vec<Header>>, ChainError> {
        if head.block.number <= tip.number.saturating_add(1) {
            return Ok(None);
        }
        let mut up = Vec::new();
        let mut rest = Some(BlockRange { from: tip.number + 1, to: head.block.number - 1 });
        let mut parent = tip.hash;
        while let Some(range) = rest {
            let (chunk, after) = range.split_first(WALK_CHUNK_BLOCKS);
            rest = after;
            let headers = self.fetcher.node.headers(chunk).await?;
            if super::verify::check_links(&headers, chunk, Some(parent)).is_err() {
                return Ok(None);
            }
            parent = headers.last().map_or(parent, |header| header.block.hash);
            up.extend(headers);
        }
        if head.block.parent != parent {
            return Ok(None);
        }
        up.push(head.clone());
        up.reverse();
        Ok(Some(up))
    }

    async fn extend(&mut self, path: &[Header]) -> Result<(), ChainError> {
        let mut segments = self.proven(path);
        while let Some(segment) = segments.next().await {
            let segment = segment?;
            let tip = segment.tip();
            self.out.send(ChainUpdate::Committed(segment)).await?;
            if let (Some(window), Some(tip)) = (&mut self.window, tip) {
                window.push(tip);
            }
        }
        Ok(())
    }

    /// The path's blocks, lowest first, a few fetched at the same time.
    fn proven(
        &self,
        path: &[Header],
    ) -> impl Stream<Item = Result<Segment, ChainError>> + Unpin + use<> {
        let up: Vec<(Fetcher, Header)> =
            path.iter().rev().map(|header| (self.fetcher.clone(), header.clone())).collect();
        let fetch = |(fetcher, header): (Fetcher, Header)| {
            Box::pin(async move { fetcher.proven(&header).await })
        };
        futures_util::stream::iter(up).map(fetch).buffered(BLOCKS_IN_FLIGHT)
    }

    /// Fetches and proves the whole replacement before anything is undone.
    async fn replace(
        &mut self,
        fork: BlockId,
        orphaned: Vec<BlockId>,
        path: &[Header],
    ) -> Result<(), ChainError> {
        let mut segment: Option<Segment> = None;
        let mut segments = self.proven(path);
        while let Some(next) = segments.next().await {
            let next = next?;
            segment = Some(match segment {
                None => next,
                Some(mut whole) => {
                    whole.blocks.extend(next.blocks);
                    for log in next.logs.iter() {
                        whole.logs.push_view(log)?;
                    }
                    whole
                }
            });
        }
        let Some(segment) = segment else { return Ok(()) };
        log::info!(chain = self.settings.chain.0, fork = fork.number, depth = orphaned.len(); "reorg");
        self.out.send(ChainUpdate::Reorged { fork, orphaned, segment }).await?;
        if let Some(window) = &mut self.window {
            window.rewind(fork.number);
            for header in path.iter().rev() {
                window.push(BlockId::from(&header.block));
            }
        }
        Ok(())
    }

    /// Tells finality when it has moved. A final block that is not ours is a fork we are still on;
    /// the next head resolves it.
    async fn finality(&mut self) -> Result<(), ChainError> {
        let Some(window) = &self.window else { return Ok(()) };
        let tip = window.tip();
        let number = match self.fetcher.node.finalized().await? {
            Some(block) if window.at(block.number).is_some_and(|ours| ours != block) => {
                log::warn!(chain = self.settings.chain.0; "final block {block} is not ours");
                return Ok(());
            }
            Some(block) => block.number,
            None => match tip.number.checked_sub(self.settings.confirmations) {
                Some(number) => number,
                None => return Ok(()),
            },
        };
        self.tell_final(number.min(tip.number)).await
    }

    async fn tell_final(&mut self, number: u64) -> Result<(), ChainError> {
        let Some(window) = &mut self.window else { return Ok(()) };
        if self.finalized.is_some_and(|known| known >= number) || number < window.floor().number {
            return Ok(());
        }
        window.finalize(number);
        self.finalized = Some(number);
        Ok(self.out.send(ChainUpdate::Finalized(number)).await?)
    }

    async fn final_number(&self, head: u64) -> Result<Option<u64>, ChainError> {
        match self.fetcher.node.finalized().await? {
            Some(block) => Ok(Some(block.number)),
            None => Ok(head.checked_sub(self.settings.confirmations)),
        }
    }

    /// Whether the providers still hold our tip: a lower or equal foreign head is then only behind.
    async fn still_canonical(&self, tip: BlockId) -> Result<bool, ChainError> {
        let header = self.fetcher.node.header_at(tip.number).await?;
        Ok(header.is_some_and(|header| header.block.hash == tip.hash))
    }

    async fn at(&self, number: u64) -> Result<Header, ChainError> {
        let header = self.fetcher.node.header_at(number).await?;
        header.ok_or_else(|| ChainError::NotYet(number.to_string()))
    }

    fn saw_head(&self, head: &Header) {
        let chain = self.settings.chain;
        self.health.head(chain, BlockId::from(&head.block));
        metrics::gauge(Metric::ChainHead, &[&chain.to_string()]).set(head.block.number);
    }

    fn tip(&self) -> Option<BlockId> {
        self.window.as_ref().map(Window::tip)
    }

    fn knows(&self, hash: alloy_primitives::B256) -> bool {
        self.tip().is_some_and(|tip| tip.hash == hash)
    }

    /// Whether the block is the one right above our tip.
    fn continues(&self, header: &Header) -> bool {
        self.tip().is_some_and(|tip| tip.hash == header.block.parent)
            && header.block.number == self.next_block()
    }

    fn next_block(&self) -> u64 {
        self.tip().map_or(self.settings.start_block, |tip| tip.number.saturating_add(1))
    }

    fn too_deep(&self) -> ChainError {
        let floor = self.window.as_ref().map_or(0, |window| window.floor().number);
        ChainError::TooDeep { chain: self.settings.chain, floor }
    }
}

fn refs(path: &[Header]) -> Vec<BlockRef> {
    path.iter().map(|header| header.block).collect()
}
