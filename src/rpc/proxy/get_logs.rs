//! `eth_getLogs` of any size: complete and of one chain, or an error; never a part.
//!
//! A range that a provider finds too large, for whatever reason, is cut and asked for in pieces. Tags
//! were resolved before, so all pieces mean the same blocks. What the index holds is not asked for.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256};
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::believe::{Belief, Heard};
use super::cache::{Answers, Kept, Outcome, key};
use super::index::{self, LogQuestion};
use super::log_flow::{GROUP_BYTES_MAX, LogFlow, Stop};
use super::method::{BlockParam, block_param};
use super::payload::{Flow, Found, Got, Source, WHOLE_BYTES_MAX};
use super::policy::Verify;
use super::request::Request;
use super::serve::incomplete;
use super::session::Wanted;
use super::view::{Place, Tip};
use super::{Aim, Proxy, Refusal};
use crate::rpc::error::{ErrorClass, RpcError};
use crate::rpc::eth::Which;
use crate::rpc::pool::{Answer, CallOptions};
use crate::rpc::wire::{Call, logs};
use crate::types::chain::BlockRange;

/// Calls that one question may turn into.
pub(super) const PIECES_MAX: usize = 512;
/// Parts of a filter that one piece may turn into.
const PARTS_MAX: usize = 64;
/// Times that logs are asked for until they are of one chain, or can be proven.
const PROOFS_MAX: u32 = 3;
/// Pause between them.
const PROOF_PAUSE: Duration = Duration::from_millis(150);

/// The filter object; what it says about addresses and topics is passed on as it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Filter<'a> {
    #[serde(borrow, default)]
    from_block: Option<&'a RawValue>,
    #[serde(borrow, default)]
    to_block: Option<&'a RawValue>,
    #[serde(borrow, default)]
    block_hash: Option<&'a RawValue>,
    #[serde(borrow, default)]
    address: Option<&'a RawValue>,
    #[serde(borrow, default)]
    topics: Option<&'a RawValue>,
}

/// A part of the question.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) range: BlockRange,
    /// Raw JSON of the address member; `None` for any.
    address: Option<String>,
    /// Raw JSON of the topics member; `None` for any.
    topics: Option<String>,
}

/// What is asked for, with blocks as numbers.
#[derive(Debug)]
pub(super) struct Question {
    whole: Piece,
    /// The logs are held against receipts roots.
    proven: bool,
}

impl Proxy {
    /// Answers `eth_getLogs`.
    pub(super) async fn get_logs(
        self: &Arc<Self>,
        request: Request,
        params: &[&str],
        aim: Aim,
    ) -> Result<Found, Refusal> {
        let filter: Option<Filter<'_>> = match params {
            [only] => serde_json::from_str(only).ok(),
            _ => None,
        };
        let Some(filter) = filter else { return self.forward(request, false).await };
        if let Some(hash) = filter.block_hash {
            return self.logs_of_block(request, params, hash.get(), aim).await;
        }
        // A range that ends at the head can be proven only once the head is certain.
        let tip = match aim.tip {
            None if self.wants_proof(aim, None) => self.tip_soon().await,
            tip => tip,
        };
        let Some(range) = range_of(&filter, tip) else {
            return self.forward(request, false).await;
        };
        let text = |raw: Option<&RawValue>| raw.map(|r| r.get().to_owned()).filter(|t| t != "null");
        let whole = Piece { range, address: text(filter.address), topics: text(filter.topics) };
        let proven =
            self.wants_proof(aim, Some(range.to)) && range.len() <= self.limits.verify_blocks_max;
        let question = Arc::new(Question { whole, proven });
        let pin = match self.view.place(range.to) {
            Place::Recent(hash) => Some((range.to, hash)),
            Place::Settled => None,
            // Above what we know: the node decides what it means.
            Place::Unknown if proven && tip.is_some_and(|t| range.to <= t.number) => {
                return self.complete(&question).await;
            }
            Place::Unknown => return self.cut_if_needed(request, &question).await,
        };
        let hash = pin.map(|(_, hash)| hash.to_string()).unwrap_or_default();
        let proof = if proven { "proven" } else { "" };
        let key = key("eth_getLogs", &[&question.whole.object(), &hash, proof]);
        let turn = match self.answers.get(&key).await {
            Ok(Kept { outcome: Outcome::Result(result), .. }) => return Ok(Found::cache(result)),
            Ok(_) => return self.forward(request, false).await,
            Err(turn) => turn,
        };
        if let Some(found) = self.indexed(&question.whole, pin, aim).await {
            return Ok(found);
        }
        let found = self.complete(&question).await?;
        let Some(result) = found.whole() else { return Ok(found) };
        let near_head = tip.is_none_or(|tip| range.to.saturating_add(2) > tip.number);
        let still = pin.is_none_or(|(number, hash)| self.view.is_canonical(number, &hash));
        if still && !(near_head && result.len() <= 2) {
            Answers::keep(turn, Kept { outcome: Outcome::Result(result.clone()), pin });
        }
        Ok(found)
    }

    /// The logs as the index has them, where it has all of them and follows the same chain as we do.
    async fn indexed(&self, whole: &Piece, pin: Option<(u64, B256)>, aim: Aim) -> Option<Found> {
        let index = self.index.as_ref()?;
        let filter = Wanted::filter(whole.object().as_bytes()).ok()?;
        let topics = filter.topics;
        let addresses: Vec<Address> = filter.addresses;
        let found = index.logs(LogQuestion { range: whole.range, addresses, topics }).await?;
        if pin.is_some_and(|(_, hash)| found.last_hash != Some(hash)) {
            return None;
        }
        let off = aim.verify.unwrap_or(self.limits.verify) == Verify::Off;
        if !off && found.verified_to.is_none_or(|block| block < whole.range.to) {
            return None;
        }
        let result = index::render(&found.logs);
        Some(Found { verified_to: found.verified_to, ..Found::of(Source::INDEX, result) })
    }

    /// The client's own words first; pieces only when the provider says that it is too much.
    async fn cut_if_needed(
        self: &Arc<Self>,
        request: Request,
        question: &Arc<Question>,
    ) -> Result<Found, Refusal> {
        match self.forward(request, false).await {
            Err(Refusal::Node(error)) if error.class.is_too_much() => self.complete(question).await,
            outcome => outcome,
        }
    }

    /// All logs, from pieces where needed; in one piece if they are few. A reorg in the middle is
    /// answered by asking once more, as long as nothing was given out.
    async fn complete(self: &Arc<Self>, question: &Arc<Question>) -> Result<Found, Refusal> {
        'attempt: for attempt in 0..PROOFS_MAX {
            if attempt > 0 {
                tokio::time::sleep(PROOF_PAUSE).await;
            }
            let mut flow = LogFlow::new(self.clone(), question.clone());
            let mut array = Array::default();
            loop {
                match flow.next().await {
                    None => return Ok(Found::upstream(array.close())),
                    Some(Ok(run)) => array.push(&run),
                    Some(Err(Stop::Reorged)) => continue 'attempt,
                    Some(Err(Stop::Refused(refusal))) => return Err(refusal),
                }
                if array.0.len() > WHOLE_BYTES_MAX {
                    return Ok(Found::flow(rest(array, flow)));
                }
            }
        }
        Err(incomplete("the chain reorganised during the query, ask again").into())
    }

    /// One piece of the question.
    pub(super) async fn piece(&self, question: &Question, piece: &Piece) -> Result<Got, RpcError> {
        let call = Call::new("eth_getLogs", format!("[{}]", piece.object()));
        let options = CallOptions {
            timeout: self.limits.timeout,
            min_head: Some(piece.range.to),
            ..CallOptions::default()
        };
        if question.proven {
            let proven = Box::pin(self.proven(piece, &call, &options)).await;
            return proven.map(|answer| Got::Whole(answer.result));
        }
        match self.ask(call, &options).await {
            Err(error) if cut(piece, &error).is_none() && narrow(piece, &error).is_some() => {
                self.by_parts(piece, &options, error).await.map(Got::Whole)
            }
            outcome => outcome,
        }
    }

    /// The logs of a piece whose filter is too wide, from parts of the filter, put in order.
    async fn by_parts(
        &self,
        piece: &Piece,
        options: &CallOptions,
        error: RpcError,
    ) -> Result<Bytes, RpcError> {
        let mut todo: Vec<Piece> = narrow(piece, &error).into_iter().flatten().collect();
        let (mut arrays, mut bytes, mut asked) = (Vec::new(), 0, 0);
        while let Some(part) = todo.pop() {
            asked += 1;
            if asked > PARTS_MAX {
                return Err(error);
            }
            let call = Call::new("eth_getLogs", format!("[{}]", part.object()));
            match Box::pin(self.pool.call_with(&call, options)).await {
                Ok(answer) => {
                    bytes += answer.result.len();
                    arrays.push(answer.result);
                }
                Err(error) => todo.extend(narrow(&part, &error).ok_or(error)?),
            }
            // Half the blocks are asked for then, so that this stays small.
            if bytes > GROUP_BYTES_MAX && piece.range.len() > 1 {
                let text = "parts of the filter are too large together";
                return Err(RpcError::of_pool(ErrorClass::ResponseTooLarge, text));
            }
        }
        in_order(&arrays)
    }

    /// A piece whose logs are those of the blocks' receipts.
    async fn proven(
        &self,
        piece: &Piece,
        call: &Call,
        options: &CallOptions,
    ) -> Result<Answer, RpcError> {
        let Ok(filter) = Wanted::filter(piece.object().as_bytes()) else {
            return self.pool.call_with(call, options).await;
        };
        let mut last = unproven();
        for attempt in 0..PROOFS_MAX {
            if attempt > 0 {
                // A reorg that we do not know yet looks like a lie.
                tokio::time::sleep(PROOF_PAUSE).await;
            }
            let blocks = (piece.range.from..=piece.range.to).map(|n| match self.view.place(n) {
                Place::Recent(hash) => Which::Hash(hash),
                _ => Which::Number(n),
            });
            let belief = Belief::Logs(filter.clone(), blocks.collect());
            match self.hear(call, options.clone(), &belief).await {
                Ok(Heard::Believed(answer)) => return Ok(answer),
                Ok(Heard::Doubted(_)) => last = unproven(),
                Err(error) if error.class == ErrorClass::NotYet => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// The logs of one block by hash.
    async fn logs_of_block(
        self: &Arc<Self>,
        request: Request,
        params: &[&str],
        hash: &str,
        aim: Aim,
    ) -> Result<Found, Refusal> {
        let filter = params.first().and_then(|only| Wanted::filter(only.as_bytes()).ok());
        let (Some(filter), BlockParam::Hash(hash), true) =
            (filter, block_param(hash), self.wants_proof(aim, None))
        else {
            return self.forward(request, false).await;
        };
        let call = Call::new(request.method, request.params);
        let options = CallOptions { timeout: self.limits.timeout, ..CallOptions::default() };
        let belief = Belief::Logs(filter, vec![Which::Hash(hash)]);
        match self.hear(&call, options, &belief).await? {
            Heard::Believed(answer) => Ok(Found::upstream(answer.result)),
            Heard::Doubted(_) => Err(unproven().into()),
        }
    }
}

/// A JSON array under construction.
#[derive(Default)]
struct Array(Vec<u8>);

impl Array {
    fn push(&mut self, run: &[u8]) {
        self.0.push(if self.0.is_empty() { b'[' } else { b',' });
        self.0.extend_from_slice(run);
    }

    fn close(mut self) -> Vec<u8> {
        if self.0.is_empty() {
            self.0.push(b'[');
        }
        self.0.push(b']');
        self.0
    }
}

/// What is there already, then the rest as it comes.
fn rest(begun: Array, flow: LogFlow) -> Flow {
    Flow::new(stream::unfold((Some(begun), Some(flow)), |(begun, flow)| async move {
        if let Some(begun) = begun {
            return Some((Ok(begun.0.into()), (None, flow)));
        }
        let mut flow = flow?;
        match flow.next().await {
            None => Some((Ok(Bytes::from_static(b"]")), (None, None))),
            Some(Ok(run)) => Some((Ok([b",", run.as_ref()].concat().into()), (None, Some(flow)))),
            Some(Err(stop)) => Some((Err(broken(stop)), (None, None))),
        }
    }))
}

fn broken(stop: Stop) -> RpcError {
    match stop {
        Stop::Refused(Refusal::Node(error)) => error,
        Stop::Refused(Refusal::Ours(fault)) => {
            RpcError::of_pool(ErrorClass::BadAnswer, fault.message)
        }
        Stop::Reorged => {
            RpcError::of_pool(ErrorClass::NotYet, "the chain reorganised during the query")
        }
    }
}

/// One array in the order of the chain.
fn in_order(arrays: &[Bytes]) -> Result<Bytes, RpcError> {
    let bad =
        || RpcError::of_pool(ErrorClass::BadAnswer, "a provider sent logs that are unreadable");
    let mut all: Vec<((u64, u32), &[u8])> = Vec::new();
    for array in arrays {
        let parsed = logs::parse(array).map_err(|_| bad())?;
        let raw: Vec<&RawValue> = serde_json::from_slice(array).map_err(|_| bad())?;
        let places = parsed.iter().map(|log| (log.head.block_number, log.head.log_index));
        all.extend(places.zip(raw.into_iter().map(|r| r.get().as_bytes())));
    }
    all.sort_by_key(|(place, _)| *place);
    // A topic that is asked for in two parts may bring the same log twice.
    all.dedup_by_key(|(place, _)| *place);
    let mut merged = Array::default();
    all.iter().for_each(|(_, raw)| merged.push(raw));
    Ok(merged.close().into())
}

fn unproven() -> RpcError {
    RpcError::of_pool(ErrorClass::NotYet, "no provider's logs are those of the blocks' receipts")
}

impl Question {
    pub(super) fn whole(&self) -> Piece {
        self.whole.clone()
    }
}

impl Piece {
    /// The filter object.
    fn object(&self) -> String {
        let BlockRange { from, to } = self.range;
        let mut text = format!(r#"{{"fromBlock":"{from:#x}","toBlock":"{to:#x}""#);
        for (name, value) in [("address", &self.address), ("topics", &self.topics)] {
            if let Some(value) = value {
                text.push_str(&format!(r#","{name}":{value}"#));
            }
        }
        text.push('}');
        text
    }
}

fn range_of(filter: &Filter<'_>, tip: Option<Tip>) -> Option<BlockRange> {
    let number =
        |raw: Option<&RawValue>| match raw.map_or(BlockParam::Latest, |r| block_param(r.get())) {
            BlockParam::Latest => tip.map(|tip| tip.number),
            BlockParam::Earliest => Some(0),
            BlockParam::Number(number) => Some(number),
            BlockParam::Hash(_) | BlockParam::Other => None,
        };
    let range = BlockRange { from: number(filter.from_block)?, to: number(filter.to_block)? };
    (!range.is_empty()).then_some(range)
}

/// The piece in smaller ranges; nothing when it cannot be cut or cutting would not help.
pub(super) fn cut(piece: &Piece, error: &RpcError) -> Option<Vec<Piece>> {
    let too_slow = error.class == ErrorClass::Timeout;
    let by_blocks = error.class.is_too_much() && error.class != ErrorClass::FilterTooWide;
    if !(by_blocks || too_slow) || piece.range.len() == 1 {
        return None;
    }
    let half = piece.range.len() / 2;
    let span = match error.class {
        ErrorClass::RangeTooWide { cap: Some(cap), .. } if cap < piece.range.len() => cap,
        // Used only if it makes progress: providers have sent the refused range itself.
        ErrorClass::RangeTooWide { suggested: Some(range), .. }
            if range.from == piece.range.from && range.len() < piece.range.len() =>
        {
            range.len()
        }
        _ => half,
    };
    let mut pieces = Vec::new();
    let mut rest = Some(piece.range);
    while let Some(range) = rest {
        let (part, after) = range.split_first(span);
        pieces.push(Piece { range: part, ..piece.clone() });
        if pieces.len() > PIECES_MAX {
            return None;
        }
        rest = after;
    }
    Some(pieces)
}

/// The same blocks with half of the filter each: of the addresses, else of the alternatives of a topic.
fn narrow(piece: &Piece, error: &RpcError) -> Option<Vec<Piece>> {
    if !error.class.is_too_much() {
        return None;
    }
    if let Some(halves) = piece.address.as_deref().and_then(halves) {
        let part = |half| Piece { address: Some(half), ..piece.clone() };
        return Some(halves.into_iter().map(part).collect());
    }
    let positions: Vec<&RawValue> = serde_json::from_str(piece.topics.as_deref()?).ok()?;
    let found = positions.iter().enumerate().find_map(|(at, raw)| Some((at, halves(raw.get())?)));
    let (at, halves) = found?;
    let parts = halves.into_iter().map(|half| {
        let texts: Vec<&str> = positions
            .iter()
            .enumerate()
            .map(|(other, raw)| if other == at { half.as_str() } else { raw.get() })
            .collect();
        Piece { topics: Some(format!("[{}]", texts.join(","))), ..piece.clone() }
    });
    Some(parts.collect())
}

/// A JSON array of two or more as two arrays.
fn halves(raw: &str) -> Option<Vec<String>> {
    let list: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
    if list.len() < 2 {
        return None;
    }
    let halves = list.chunks(list.len().div_ceil(2)).map(|half| {
        let texts: Vec<_> = half.iter().map(|raw| raw.get()).collect();
        format!("[{}]", texts.join(","))
    });
    Some(halves.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(class: ErrorClass) -> RpcError {
        RpcError::of_pool(class, "x")
    }

    fn piece(from: u64, to: u64) -> Piece {
        let topics = Some(r#"["0xa",["0xb","0xc"]]"#.into());
        let address = Some("[\"0x1\", \"0x2\",\"0x3\"]".into());
        Piece { range: BlockRange { from, to }, address, topics }
    }

    fn ranges(pieces: Option<Vec<Piece>>) -> Vec<(u64, u64)> {
        pieces.unwrap_or_default().iter().map(|p| (p.range.from, p.range.to)).collect()
    }

    #[test]
    fn a_cut_covers_the_range_once_and_makes_progress() {
        let cap = |cap| error(ErrorClass::RangeTooWide { cap, suggested: None });
        assert_eq!(ranges(cut(&piece(0, 9), &cap(Some(4)))), [(0, 3), (4, 7), (8, 9)]);
        assert_eq!(ranges(cut(&piece(0, 9), &cap(Some(100)))), [(0, 4), (5, 9)], "a cap that lies");
        assert_eq!(ranges(cut(&piece(0, 9), &cap(None))), [(0, 4), (5, 9)]);
        let same = Some(BlockRange { from: 0, to: 9 });
        let suggested = error(ErrorClass::RangeTooWide { cap: None, suggested: same });
        assert_eq!(ranges(cut(&piece(0, 9), &suggested)), [(0, 4), (5, 9)]);
        assert_eq!(ranges(cut(&piece(0, 9), &error(ErrorClass::Timeout))), [(0, 4), (5, 9)]);
        assert!(cut(&piece(0, 9), &error(ErrorClass::Unreachable)).is_none());
    }

    #[test]
    fn one_block_or_a_wide_filter_is_cut_by_addresses_then_by_topics() {
        let too_many = error(ErrorClass::TooManyResults);
        assert!(cut(&piece(5, 5), &too_many).is_none(), "one block");
        assert!(cut(&piece(0, 9), &error(ErrorClass::FilterTooWide)).is_none());
        let pieces = narrow(&piece(5, 5), &too_many).expect("cut");
        let texts: Vec<_> = pieces.iter().filter_map(|p| p.address.as_deref()).collect();
        assert_eq!(texts, ["[\"0x1\",\"0x2\"]", "[\"0x3\"]"]);
        let wide = narrow(&piece(0, 9), &error(ErrorClass::FilterTooWide)).expect("cut");
        assert_eq!((wide.len(), wide[0].range.len()), (2, 10));
        let single = Piece { address: Some("\"0x1\"".into()), ..piece(5, 5) };
        let pieces = narrow(&single, &too_many).expect("cut");
        let texts: Vec<_> = pieces.iter().filter_map(|p| p.topics.as_deref()).collect();
        assert_eq!(texts, [r#"["0xa",["0xb"]]"#, r#"["0xa",["0xc"]]"#]);
        let least = pieces[0].clone();
        assert!(narrow(&least, &too_many).is_none());
        assert!(narrow(&piece(5, 5), &error(ErrorClass::Unreachable)).is_none());
    }
}
