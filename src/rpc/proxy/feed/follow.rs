//! The two tasks behind a feed: one walks heads to a linked chain, one fetches the logs of each block.
//!
//! A head is announced before its logs are fetched, so slow logs never delay heads.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use alloy_primitives::B256;
use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::super::proof::Proofs;
use super::claims::Claims;
use super::window::{Known, Switch};
use super::{Announced, BlockLogs, LogNews, LogState, Shared, WINDOW_BLOCKS, lock};
use crate::rpc::error::{ErrorClass, RpcError};
use crate::rpc::eth::Which;
use crate::rpc::pool::scorecard::Misdeed;
use crate::rpc::pool::{Answer, CallOptions};
use crate::rpc::subscribe::{HeadEvent, Heads, Signal};
use crate::rpc::wire::{Call, logs};
use crate::types::chain::BlockRef;

/// Orphaned blocks kept for subscribers that resume.
const ORPHANS_MAX: usize = 256;
/// Pause before a head or a block's logs are asked for again.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// Time for a parent from who named its child, and then from anybody: the stream stands still meanwhile.
const PARENT_PATIENCE: Duration = Duration::from_secs(1);
const PARENT_TIMEOUT: Duration = Duration::from_secs(4);
/// Time for the logs of a block that will be proven.
const LOGS_TIMEOUT: Duration = Duration::from_secs(5);
/// Fields of a block that `newHeads` does not show.
const BODY_FIELDS: &[&str] = &["transactions", "uncles", "withdrawals", "size", "totalDifficulty"];

/// What the log task is told, in order.
#[derive(Debug)]
pub(super) enum Step {
    Connect(Arc<Known>),
    Retract(Arc<Known>),
}

/// Heads as they come → linked heads as they are announced.
pub(super) async fn follow(shared: Arc<Shared>, steps: mpsc::Sender<Step>) {
    let poll = shared.pool.poll_interval();
    let mut news = Heads::start(shared.pool.clone(), Vec::new(), poll);
    let mut claims = Claims::default();
    // Set while a head waits for its parents or for more providers; other news must not put it off.
    let mut again: Option<Instant> = None;
    loop {
        let signal = match again {
            None => news.next().await,
            Some(at) => match tokio::time::timeout_at(at, news.next()).await {
                Ok(signal) => signal,
                Err(_) => {
                    again = None;
                    match step(&shared, &mut claims, &steps).await {
                        Progress::Done => continue,
                        Progress::Waits => {
                            again = Some(Instant::now() + AGAIN_AFTER);
                            continue;
                        }
                        Progress::Ended => return,
                    }
                }
            },
        };
        let Some(signal) = signal else { return };
        let Signal::Head(event) = signal else { continue };
        claims.note(&shared.pool, event);
        match step(&shared, &mut claims, &steps).await {
            Progress::Done => {}
            Progress::Waits => again = again.or(Some(Instant::now() + AGAIN_AFTER)),
            Progress::Ended => return,
        }
    }
}

/// What came of a look at the claims.
enum Progress {
    Done,
    /// There is something to follow, but not yet.
    Waits,
    Ended,
}

/// Follows the best head that is claimed, if it is news.
async fn step(shared: &Shared, claims: &mut Claims, steps: &mpsc::Sender<Step>) -> Progress {
    claims.forget_absent(&shared.pool);
    let tip = shared.window().tip().map(|known| known.block);
    let (event, waits) = claims.best(&shared.pool, tip.as_ref());
    let unless_waiting = if waits { Progress::Waits } else { Progress::Done };
    let Some(event) = event.filter(|event| !shared.window().contains(&event.hash)) else {
        return unless_waiting;
    };
    match branch_to(shared, &event).await {
        Ok(branch) => {
            let Some(switch) = announce_heads(shared, branch) else { return Progress::Waits };
            claims.note_switch(&switch);
            let retracted = switch.retracted.into_iter().map(Step::Retract);
            let connected = switch.connected.into_iter().map(Step::Connect);
            for step in retracted.chain(connected) {
                if steps.send(step).await.is_err() {
                    return Progress::Ended;
                }
            }
            unless_waiting
        }
        Err(Lost::TooDeep) => {
            log::warn!("chain {}: streams start anew at {}", shared.pool.chain_id(), event.hash);
            shared.break_off();
            Progress::Ended
        }
        Err(Lost::Unanswered(error)) => {
            log::debug!("head {} cannot be linked yet: {error}", event.number);
            claims.put_off(&event);
            Progress::Waits
        }
    }
}

enum Lost {
    /// The branch does not meet the window.
    TooDeep,
    Unanswered(RpcError),
}

/// The blocks from the window to `event`, oldest first.
async fn branch_to(shared: &Shared, event: &HeadEvent) -> Result<Vec<Known>, Lost> {
    let mut branch = vec![known(event.block_ref(), &event.raw, &event.provider)];
    let mut parent = event.parent;
    loop {
        let first = {
            let window = shared.window();
            if window.contains(&parent) {
                break;
            }
            window.first_number()
        };
        let number = branch.last().map_or(0, |k| k.block.number);
        if number <= first || branch.len() > WINDOW_BLOCKS {
            return Err(Lost::TooDeep);
        }
        let block = header(shared, parent, &event.provider).await.map_err(Lost::Unanswered)?;
        parent = block.block.parent;
        branch.push(block);
    }
    branch.reverse();
    Ok(branch)
}

async fn header(shared: &Shared, hash: B256, provider: &Arc<str>) -> Result<Known, RpcError> {
    let pinned = CallOptions { timeout: PARENT_PATIENCE, ..CallOptions::pinned(provider.clone()) };
    let found = match shared.pool.header(Which::Hash(hash), &pinned).await {
        Ok(Some(found)) => Some(found),
        _ => {
            let any =
                CallOptions { timeout: PARENT_TIMEOUT, hedge: true, ..CallOptions::default() };
            shared.pool.header(Which::Hash(hash), &any).await?
        }
    };
    match found.filter(|found| found.hash == hash) {
        Some(found) => Ok(known(found.block_ref(), &found.raw, provider)),
        None => {
            let text = format!("nobody has block {hash}");
            Err(RpcError::of_pool(ErrorClass::NotYet, text))
        }
    }
}

fn announce_heads(shared: &Shared, branch: Vec<Known>) -> Option<Switch> {
    let mut window = shared.window();
    let switch = window.switch(branch)?;
    if let Some(sender) = lock(&shared.heads).as_ref() {
        for known in &switch.connected {
            // Fails when nobody listens for heads, which is fine.
            drop(sender.send(known.clone()));
        }
    }
    Some(switch)
}

/// Fetches and announces the logs of each block, in order.
pub(super) async fn announce_logs(shared: Arc<Shared>, mut queue: mpsc::Receiver<Step>) {
    while let Some(step) = queue.recv().await {
        match step {
            Step::Connect(known) => {
                let wanted = shared.log_watchers.load(Ordering::Acquire) > 0;
                let logs = if wanted { while_canonical(&shared, &known).await } else { None };
                lock(&shared.logs).connect(Announced { known, logs });
            }
            Step::Retract(known) => lock(&shared.logs).retract(&known),
        }
    }
}

/// The logs of a block, asked for until they are there or the block is orphaned.
async fn while_canonical(shared: &Shared, known: &Known) -> Option<Arc<BlockLogs>> {
    loop {
        match block_logs(shared, known).await {
            Ok(logs) => return Some(logs),
            Err(error) => {
                log::debug!("logs of block {} not there yet: {error}", known.block.number)
            }
        }
        if !shared.window().contains(&known.block.hash) {
            return None;
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// All logs of a block by hash, from who announced it or else from anybody.
pub(super) async fn block_logs(shared: &Shared, known: &Known) -> Result<Arc<BlockLogs>, RpcError> {
    let hash = known.block.hash;
    let call = Call::new("eth_getLogs", format!(r#"[{{"blockHash":"{hash}"}}]"#));
    if let Some(proofs) = &shared.proofs {
        return proven_logs(shared, proofs, known, &call).await;
    }
    let pinned = CallOptions {
        timeout: Duration::from_secs(10),
        ..CallOptions::pinned(known.provider.clone())
    };
    let answer = match shared.pool.call_with(&call, &pinned).await {
        Ok(answer) => answer,
        Err(_) => shared.pool.call_with(&call, &CallOptions::default()).await?,
    };
    read_logs(known, &answer)
}

/// The same from anybody, since the block's receipts tell who is right.
async fn proven_logs(
    shared: &Shared,
    proofs: &Proofs,
    known: &Known,
    call: &Call,
) -> Result<Arc<BlockLogs>, RpcError> {
    let mut options = CallOptions { timeout: LOGS_TIMEOUT, ..CallOptions::default() };
    for _ in shared.pool.endpoints() {
        let answer = shared.pool.call_with(call, &options).await?;
        if let Ok(said) = read_logs(known, &answer)
            && proofs.block_holds(known, &said.logs).await?
        {
            return Ok(said);
        }
        let block = (known.block.number, Some(known.block.hash));
        let text = "its logs are not those of the block's receipts";
        shared.pool.accuse(&answer.provider, Misdeed::FalseLogs, block, text);
        options.exclude.push(answer.provider);
    }
    let text = format!("nobody's logs of block {} are those of its receipts", known.block.hash);
    Err(RpcError::of_pool(ErrorClass::NotYet, text))
}

fn read_logs(known: &Known, answer: &Answer) -> Result<Arc<BlockLogs>, RpcError> {
    let hash = known.block.hash;
    let bad = |text: String| RpcError::new(ErrorClass::BadAnswer, &answer.provider, text);
    let logs = logs::parse(&answer.result).map_err(|error| bad(error.to_string()))?;
    if logs.iter().any(|log| log.head.block_hash != hash) {
        return Err(bad(format!("logs of another block than {hash}")));
    }
    let raw: Vec<&RawValue> =
        serde_json::from_slice(&answer.result).map_err(|error| bad(error.to_string()))?;
    let raw = raw.iter().map(|raw| answer.result.slice_ref(raw.get().as_bytes())).collect();
    Ok(Arc::new(BlockLogs { raw, logs }))
}

impl LogState {
    fn connect(&mut self, block: Announced) {
        if let Some(logs) = block.logs.as_ref().filter(|logs| !logs.raw.is_empty()) {
            self.send(&block.known, logs, false);
        }
        self.announced.push_back(block);
        while self.announced.len() > WINDOW_BLOCKS {
            self.announced.pop_front();
        }
    }

    fn retract(&mut self, known: &Known) {
        let last = self.announced.pop_back_if(|last| last.known.block.hash == known.block.hash);
        let Some(block) = last else { return };
        if let Some(logs) = block.logs.as_ref().filter(|logs| !logs.raw.is_empty()) {
            self.send(&block.known, logs, true);
        }
        self.orphans.push_back(block);
        while self.orphans.len() > ORPHANS_MAX {
            self.orphans.pop_front();
        }
    }

    fn send(&self, known: &Arc<Known>, logs: &Arc<BlockLogs>, retracted: bool) {
        let (known, logs) = (known.clone(), logs.clone());
        if let Some(sender) = &self.sender {
            // Fails when nobody listens for logs, which is fine.
            drop(sender.send(Arc::new(LogNews { known, logs, retracted, split: None })));
        }
    }
}

/// A block as the window keeps it. Of a whole block only the header part is shown to subscribers.
pub(super) fn known(block: BlockRef, raw: &Bytes, provider: &Arc<str>) -> Known {
    let header = header_only(raw).unwrap_or_else(|| raw.clone());
    Known { block, header, provider: provider.clone(), seq: 0 }
}

/// The object without the fields of a block's body; `None` when there are none to leave out.
fn header_only(raw: &Bytes) -> Option<Bytes> {
    let fields: HashMap<&str, &RawValue> = serde_json::from_slice(raw).ok()?;
    if !BODY_FIELDS.iter().any(|field| fields.contains_key(field)) {
        return None;
    }
    let mut kept: Vec<_> =
        fields.into_iter().filter(|(name, _)| !BODY_FIELDS.contains(name)).collect();
    // The place in the original keeps the node's own order.
    kept.sort_by_key(|(name, _)| name.as_ptr() as usize);
    let mut out = Vec::with_capacity(raw.len());
    for (name, value) in kept {
        out.push(if out.is_empty() { b'{' } else { b',' });
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        out.extend_from_slice(value.get().as_bytes());
    }
    out.push(b'}');
    Some(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_polled_block_looks_like_a_pushed_header() {
        let raw = Bytes::from_static(
            br#"{"hash":"0x1","size":"0x2","number":"0x3","transactions":["0x4"],"nonce":"0x5"}"#,
        );
        let kept = header_only(&raw).expect("a body");
        assert_eq!(kept, r#"{"hash":"0x1","number":"0x3","nonce":"0x5"}"#);
        assert_eq!(header_only(&kept), None);
    }
}
