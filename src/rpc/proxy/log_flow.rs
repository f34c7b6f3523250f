//! The logs of a range, in pieces where providers want them small, in the order of the chain, with no
//! more in memory than a few pieces.
//!
//! Every log is checked on its way: in the range, behind the one before it, of the canonical block. What
//! fails after something was given out ends the flow with an error, never early.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use super::get_logs::{PIECES_MAX, Piece, Question, cut};
use super::payload::{Got, WHOLE_BYTES_MAX};
use super::view::Place;
use super::{Proxy, Refusal};
use crate::rpc::endpoint::stream::ResultStream;
use crate::rpc::error::{ErrorClass, RpcError};
use crate::rpc::wire::envelope::Elements;
use crate::rpc::wire::logs;

/// Pieces asked for at once. Each that is ready and waits holds at most [`WHOLE_BYTES_MAX`].
const IN_FLIGHT_MAX: usize = 4;

/// Why a flow ended before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// The logs are of two chains; asking again helps.
    Reorged,
    Refused(Refusal),
}

impl From<RpcError> for Stop {
    fn from(error: RpcError) -> Self {
        Self::Refused(error.into())
    }
}

type Asked = (usize, Result<Got, RpcError>);

/// A piece of the range in its place.
enum Slot {
    Todo(Piece),
    Flying { key: usize, piece: Piece },
    Ready { piece: Piece, got: Got },
}

/// The slot that is being given out.
struct Open {
    piece: Piece,
    stream: Box<ResultStream>,
    provider: Arc<str>,
    elements: Elements,
}

/// The flow.
pub(super) struct LogFlow {
    proxy: Arc<Proxy>,
    question: Arc<Question>,
    slots: VecDeque<Slot>,
    flying: FuturesUnordered<BoxFuture<'static, Asked>>,
    asked: usize,
    open: Option<Open>,
    last: Option<(u64, u32)>,
}

impl LogFlow {
    pub(super) fn new(proxy: Arc<Proxy>, question: Arc<Question>) -> Self {
        let slots = VecDeque::from([Slot::Todo(question.whole())]);
        let flying = FuturesUnordered::new();
        Self { proxy, question, slots, flying, asked: 0, open: None, last: None }
    }

    /// The next logs as JSON objects with commas between them; nothing at the end.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, Stop>> {
        loop {
            if let Err(stop) = self.launch() {
                return Some(Err(stop));
            }
            if self.open.is_some() {
                match self.more().await {
                    Ok(Some(run)) => return Some(Ok(run)),
                    Ok(None) => continue,
                    Err(stop) => return Some(Err(stop)),
                }
            }
            match self.slots.pop_front() {
                None => return None,
                Some(Slot::Ready { piece, got: Got::Open { stream, provider } }) => {
                    let elements = Elements::default();
                    self.open = Some(Open { piece, stream, provider, elements });
                }
                Some(Slot::Ready { piece, got: Got::Whole(array) }) => {
                    match self.check(&piece, &array) {
                        Ok(0) => {}
                        Ok(_) => return Some(Ok(inside(&array))),
                        Err(stop) => return Some(Err(stop)),
                    }
                }
                Some(waiting) => {
                    self.slots.push_front(waiting);
                    if let Some(asked) = self.flying.next().await
                        && let Err(stop) = self.land(asked)
                    {
                        return Some(Err(stop));
                    }
                }
            }
        }
    }

    /// Asks for what comes next.
    fn launch(&mut self) -> Result<(), Stop> {
        for slot in self.slots.iter_mut().take(IN_FLIGHT_MAX) {
            let Slot::Todo(piece) = slot else { continue };
            self.asked += 1;
            if self.asked > PIECES_MAX {
                let text = "query needs too many pieces, ask for less";
                return Err(Stop::Refused(super::serve::incomplete(text).into()));
            }
            let (key, piece) = (self.asked, piece.clone());
            let (proxy, question, wanted) =
                (self.proxy.clone(), self.question.clone(), piece.clone());
            self.flying.push(Box::pin(async move { (key, proxy.piece(&question, &wanted).await) }));
            *slot = Slot::Flying { key, piece };
        }
        Ok(())
    }

    /// Puts what came into its place; what was too much is cut.
    fn land(&mut self, (key, outcome): Asked) -> Result<(), Stop> {
        let is_it = |slot: &Slot| matches!(slot, Slot::Flying { key: k, .. } if *k == key);
        let Some(at) = self.slots.iter().position(is_it) else { return Ok(()) };
        let Some(Slot::Flying { piece, .. }) = self.slots.remove(at) else { return Ok(()) };
        match outcome {
            Ok(got) => self.slots.insert(at, Slot::Ready { piece, got }),
            Err(error) => {
                let parts = cut(&piece, &error).ok_or(error)?;
                for part in parts.into_iter().rev() {
                    self.slots.insert(at, Slot::Todo(part));
                }
            }
        }
        Ok(())
    }

    /// More of the open piece. The pieces behind it go on arriving meanwhile.
    async fn more(&mut self) -> Result<Option<Bytes>, Stop> {
        let Some(open) = &mut self.open else { return Ok(None) };
        let part = tokio::select! {
            part = open.stream.next() => part,
            Some(asked) = self.flying.next() => {
                self.land(asked)?;
                return Ok(None);
            }
        };
        let bad = |open: &Open, why: &str| {
            RpcError::new(ErrorClass::BadAnswer, &open.provider, format!("its logs are {why}"))
        };
        let outcome = match part {
            Some(Ok(part)) => open.elements.feed(&part).map_err(|_| bad(open, "unreadable")),
            Some(Err(error)) => Err(error),
            None if open.elements.is_whole() => {
                self.open = None;
                return Ok(None);
            }
            None => Err(bad(open, "cut off")),
        };
        match outcome {
            Ok(None) => Ok(None),
            Ok(Some(run)) => {
                let piece = open.piece.clone();
                self.check(&piece, &run)?;
                Ok(Some(inside(&run)))
            }
            Err(error) => {
                self.proxy.broke_off("eth_getLogs", &open.provider, &error);
                Err(error.into())
            }
        }
    }

    /// Counts the logs of `array` after holding each against the range, the order and the chain.
    fn check(&mut self, piece: &Piece, array: &[u8]) -> Result<usize, Stop> {
        let bad = |why: &str| {
            let text = format!("a provider sent logs that are {why}");
            Stop::Refused(super::serve::incomplete(&text).into())
        };
        let logs = logs::parse(array).map_err(|_| bad("unreadable"))?;
        for log in logs.iter() {
            let number = log.head.block_number;
            if number < piece.range.from || number > piece.range.to {
                return Err(bad("out of range"));
            }
            let place = (number, log.head.log_index);
            if self.last.is_some_and(|last| last >= place) {
                return Err(bad("sent twice or out of order"));
            }
            self.last = Some(place);
            if let Place::Recent(canonical) = self.proxy.view.place(number)
                && canonical != log.head.block_hash
            {
                return Err(Stop::Reorged);
            }
        }
        Ok(logs.len())
    }
}

/// An array's elements without its brackets.
fn inside(array: &Bytes) -> Bytes {
    let text = array.trim_ascii();
    let inner = text.strip_prefix(b"[").and_then(|t| t.strip_suffix(b"]")).unwrap_or_default();
    array.slice_ref(inner)
}

/// Largest answer that is put together from parts of the filter instead of the range.
pub(super) const GROUP_BYTES_MAX: usize = 4 * WHOLE_BYTES_MAX;
