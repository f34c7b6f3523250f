//! `eth_getLogs` of any size: complete and of one chain, or an error; never a part.
//!
//! A range that a provider finds too large, for whatever reason, is cut and asked for in pieces. Tags
//! were resolved before, so all pieces mean the same blocks.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::believe::{Belief, Heard};
use super::cache::{Answers, Kept, Outcome, key};
use super::method::{BlockParam, block_param};
use super::request::Request;
use super::serve::incomplete;
use super::session::Wanted;
use super::view::{Place, Tip};
use super::{Proxy, Refusal};
use crate::rpc::error::{ErrorClass, RpcError};
use crate::rpc::eth::Which;
use crate::rpc::pool::{Answer, CallOptions};
use crate::rpc::wire::{Call, logs};
use crate::types::chain::BlockRange;

/// Calls that one question may turn into.
const PIECES_MAX: usize = 512;
/// Times that logs are asked for until they are of one chain, or can be proven.
const PROOFS_MAX: u32 = 3;
/// Pause between them.
const PROOF_PAUSE: Duration = Duration::from_millis(150);
/// Pieces asked for at once.
const IN_FLIGHT_MAX: usize = 4;
/// Largest merged answer, in bytes: it is built in memory.
const MERGED_BYTES_MAX: usize = 256 * 1024 * 1024;

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
struct Piece {
    range: BlockRange,
    /// Raw JSON of the address member; `None` for any.
    address: Option<String>,
}

struct Question {
    range: BlockRange,
    address: Option<String>,
    topics: Option<String>,
}

impl Proxy {
    /// Answers `eth_getLogs`.
    pub(super) async fn get_logs(
        &self,
        request: Request,
        params: &[&str],
        tip: Option<Tip>,
    ) -> Result<Bytes, Refusal> {
        let filter: Option<Filter<'_>> = match params {
            [only] => serde_json::from_str(only).ok(),
            _ => None,
        };
        let Some(filter) = filter else { return self.forward(request, false).await };
        if let Some(hash) = filter.block_hash {
            return self.logs_of_block(request, params, hash.get()).await;
        }
        // A range that ends at the head can be proven only once the head is certain.
        let tip = match tip {
            None if self.proofs.is_some() => self.tip_soon().await,
            tip => tip,
        };
        let Some(range) = range_of(&filter, tip) else {
            return self.forward(request, false).await;
        };
        let text = |raw: Option<&RawValue>| raw.map(|r| r.get().to_owned()).filter(|t| t != "null");
        let question =
            Question { range, address: text(filter.address), topics: text(filter.topics) };
        let pin = match self.view.place(range.to) {
            Place::Recent(hash) => Some((range.to, hash)),
            Place::Settled => None,
            // Above what we know: the node decides what it means.
            Place::Unknown
                if self.is_proven(range) && tip.is_some_and(|t| range.to <= t.number) =>
            {
                return self.complete(&question).await;
            }
            Place::Unknown => return self.cut_if_needed(request, &question).await,
        };
        let whole = question.object(&Piece { range, address: question.address.clone() });
        let hash = pin.map(|(_, hash)| hash.to_string()).unwrap_or_default();
        let key = key("eth_getLogs", &[&whole, &hash]);
        let turn = match self.answers.get(&key).await {
            Ok(Kept { outcome: Outcome::Result(result), .. }) => return Ok(result),
            Ok(_) => return self.forward(request, false).await,
            Err(turn) => turn,
        };
        let result = self.complete(&question).await?;
        let near_head = tip.is_none_or(|tip| range.to.saturating_add(2) > tip.number);
        let still = pin.is_none_or(|(number, hash)| self.view.is_canonical(number, &hash));
        if still && !(near_head && result.len() <= 2) {
            Answers::keep(turn, Kept { outcome: Outcome::Result(result.clone()), pin });
        }
        Ok(result)
    }

    /// The client's own words first; pieces only when the provider says that it is too much.
    async fn cut_if_needed(&self, request: Request, question: &Question) -> Result<Bytes, Refusal> {
        match self.forward(request, false).await {
            Err(Refusal::Node(error)) if error.class.is_too_much() => self.complete(question).await,
            outcome => outcome,
        }
    }

    /// All logs, from pieces where needed. A reorg in the middle is answered by asking once more.
    async fn complete(&self, question: &Question) -> Result<Bytes, Refusal> {
        for attempt in 0..PROOFS_MAX {
            if attempt > 0 {
                tokio::time::sleep(PROOF_PAUSE).await;
            }
            let parts = self.pieces(question).await?;
            if let Some(merged) = self.merge(parts)? {
                return Ok(merged);
            }
        }
        Err(incomplete("the chain reorganised during the query, ask again").into())
    }

    async fn pieces(&self, question: &Question) -> Result<Vec<(Piece, Bytes)>, Refusal> {
        let first = Piece { range: question.range, address: question.address.clone() };
        let mut todo = VecDeque::from([first]);
        let mut flying = FuturesUnordered::new();
        let (mut done, mut asked, mut bytes) = (Vec::new(), 0usize, 0usize);
        loop {
            while flying.len() < IN_FLIGHT_MAX
                && let Some(piece) = todo.pop_front()
            {
                asked += 1;
                if asked > PIECES_MAX {
                    return Err(incomplete("query needs too many pieces, ask for less").into());
                }
                flying.push(self.piece(question, piece));
            }
            let Some((piece, outcome)) = flying.next().await else { return Ok(done) };
            match outcome {
                Ok(answer) => {
                    bytes += answer.result.len();
                    if bytes > MERGED_BYTES_MAX {
                        return Err(incomplete("response is too large, ask for less").into());
                    }
                    done.push((piece, answer.result));
                }
                // Leaving drops the pieces under way: they are of no use any more.
                Err(error) => todo.extend(cut(&piece, &error).ok_or(error)?),
            }
        }
    }

    async fn piece(&self, question: &Question, piece: Piece) -> (Piece, Result<Answer, RpcError>) {
        let call = Call::new("eth_getLogs", format!("[{}]", question.object(&piece)));
        let options = CallOptions {
            timeout: self.limits.timeout,
            min_head: Some(piece.range.to),
            ..CallOptions::default()
        };
        if !self.is_proven(piece.range) {
            let outcome = self.pool.call_with(&call, &options).await;
            return (piece, outcome);
        }
        let outcome = Box::pin(self.proven(question, &piece, &call, &options)).await;
        (piece, outcome)
    }

    fn is_proven(&self, range: BlockRange) -> bool {
        self.proofs.is_some() && range.len() <= self.limits.verify_blocks_max
    }

    /// A piece whose logs are those of the blocks' receipts.
    async fn proven(
        &self,
        question: &Question,
        piece: &Piece,
        call: &Call,
        options: &CallOptions,
    ) -> Result<Answer, RpcError> {
        let Ok(filter) = Wanted::filter(question.object(piece).as_bytes()) else {
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
        &self,
        request: Request,
        params: &[&str],
        hash: &str,
    ) -> Result<Bytes, Refusal> {
        let filter = params.first().and_then(|only| Wanted::filter(only.as_bytes()).ok());
        let (Some(filter), BlockParam::Hash(hash), Some(_)) =
            (filter, block_param(hash), &self.proofs)
        else {
            return self.forward(request, false).await;
        };
        let call = Call::new(request.method, request.params);
        let options = CallOptions { timeout: self.limits.timeout, ..CallOptions::default() };
        let belief = Belief::Logs(filter, vec![Which::Hash(hash)]);
        match self.hear(&call, options, &belief).await? {
            Heard::Believed(answer) => Ok(answer.result),
            Heard::Doubted(_) => Err(unproven().into()),
        }
    }

    /// One array in the order of the chain; nothing when the parts are not of one chain.
    fn merge(&self, mut parts: Vec<(Piece, Bytes)>) -> Result<Option<Bytes>, Refusal> {
        parts.sort_by_key(|(piece, _)| piece.range.from);
        let by_address = parts.windows(2).any(|pair| match pair {
            [(a, _), (b, _)] => a.range.to >= b.range.from,
            _ => false,
        });
        let mut all: Vec<((u64, u32), &[u8])> = Vec::new();
        for (piece, json) in &parts {
            let bad = |why: &str| incomplete(&format!("a provider sent logs that are {why}"));
            let parsed = logs::parse(json).map_err(|_| bad("unreadable"))?;
            for log in parsed.iter() {
                let (number, hash) = (log.head.block_number, &log.head.block_hash);
                if number < piece.range.from || number > piece.range.to {
                    return Err(bad("out of range").into());
                }
                if let Place::Recent(canonical) = self.view.place(number)
                    && canonical != *hash
                {
                    return Ok(None);
                }
            }
            if parts.len() > 1 {
                let raw: Vec<&RawValue> =
                    serde_json::from_slice(json).map_err(|_| bad("unreadable"))?;
                let places = parsed.iter().map(|l| (l.head.block_number, l.head.log_index));
                all.extend(places.zip(raw.into_iter().map(|r| r.get().as_bytes())));
            }
        }
        if let [(_, only)] = parts.as_slice() {
            return Ok(Some(only.clone()));
        }
        if by_address {
            all.sort_by_key(|(place, _)| *place);
        }
        if !all.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(incomplete("a provider sent a log twice or out of order").into());
        }
        let size = all.iter().map(|(_, raw)| raw.len() + 1).sum::<usize>();
        let mut merged = Vec::with_capacity(size + 2);
        merged.push(b'[');
        for (at, (_, raw)) in all.iter().enumerate() {
            if at > 0 {
                merged.push(b',');
            }
            merged.extend_from_slice(raw);
        }
        merged.push(b']');
        Ok(Some(merged.into()))
    }
}

fn unproven() -> RpcError {
    RpcError::of_pool(ErrorClass::NotYet, "no provider's logs are those of the blocks' receipts")
}

impl Question {
    fn object(&self, piece: &Piece) -> String {
        let BlockRange { from, to } = piece.range;
        let mut text = format!(r#"{{"fromBlock":"{from:#x}","toBlock":"{to:#x}""#);
        for (name, value) in [("address", &piece.address), ("topics", &self.topics)] {
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

/// The piece in smaller ones; nothing when it cannot be cut or cutting would not help.
fn cut(piece: &Piece, error: &RpcError) -> Option<Vec<Piece>> {
    let too_slow = error.class == ErrorClass::Timeout && piece.range.len() > 1;
    if !error.class.is_too_much() && !too_slow {
        return None;
    }
    if error.class == ErrorClass::FilterTooWide || piece.range.len() == 1 {
        return by_addresses(piece);
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
        pieces.push(Piece { range: part, address: piece.address.clone() });
        if pieces.len() > PIECES_MAX {
            return None;
        }
        rest = after;
    }
    Some(pieces)
}

fn by_addresses(piece: &Piece) -> Option<Vec<Piece>> {
    let list: Vec<&RawValue> = serde_json::from_str(piece.address.as_deref()?).ok()?;
    if list.len() < 2 {
        return None;
    }
    let halves = list.chunks(list.len().div_ceil(2)).map(|half| {
        let texts: Vec<_> = half.iter().map(|raw| raw.get()).collect();
        Piece { range: piece.range, address: Some(format!("[{}]", texts.join(","))) }
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
        Piece { range: BlockRange { from, to }, address: Some("[\"0x1\", \"0x2\",\"0x3\"]".into()) }
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
    fn one_block_or_a_wide_filter_is_cut_by_addresses() {
        let pieces = cut(&piece(5, 5), &error(ErrorClass::TooManyResults)).expect("cut");
        let texts: Vec<_> = pieces.iter().filter_map(|p| p.address.as_deref()).collect();
        assert_eq!(texts, ["[\"0x1\",\"0x2\"]", "[\"0x3\"]"]);
        let wide = cut(&piece(0, 9), &error(ErrorClass::FilterTooWide)).expect("cut");
        assert_eq!((wide.len(), wide[0].range.len()), (2, 10));
        let single = Piece { address: Some("\"0x1\"".into()), ..piece(5, 5) };
        assert!(cut(&single, &error(ErrorClass::TooManyResults)).is_none());
    }
}
