//! Answers to clients: the envelope is ours, result and error object are the node's own bytes.
//!
//! The one table from error classes to codes of our own errors. Nothing of a provider's address
//! appears in them.

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream, StreamExt};

use super::payload::{Flow, Found, Payload, Source};
use crate::rpc::error::{ErrorClass, RpcError};
use crate::rpc::wire::request::write_string;
use crate::types::chain::BlockId;

/// Answers up to this size are copied into one piece: one write beats three.
const COPY_BYTES_MAX: usize = 64 * 1024;

/// An answer in pieces, so that a large result is never copied.
#[derive(Debug, Default)]
pub struct Reply {
    pieces: Vec<Piece>,
    source: Source,
    verified_to: Option<u64>,
    block: Option<BlockId>,
}

/// A part of an answer.
#[derive(Debug)]
enum Piece {
    Bytes(Bytes),
    /// A whole answer to the request with this id, whose result comes bit by bit.
    Flow {
        id: Bytes,
        flow: Flow,
    },
}

/// An error of our own towards a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub id: Option<Bytes>,
    pub code: i64,
    pub message: String,
}

impl Fault {
    pub(crate) fn parse() -> Self {
        Self { id: None, code: -32700, message: "parse error".into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self { id: None, code: -32600, message: format!("invalid request: {}", message.into()) }
    }

    pub(crate) fn params(message: impl Into<String>) -> Self {
        Self { id: None, code: -32602, message: format!("invalid params: {}", message.into()) }
    }

    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self { id: None, code: -32005, message: message.into() }
    }

    pub(crate) fn method(method: &str) -> Self {
        let shown: String = method.chars().take(64).collect();
        let message = format!("the method {shown} does not exist/is not available");
        Self { id: None, code: -32601, message }
    }
}

impl Reply {
    /// A result, untouched.
    pub fn result(id: &[u8], result: Bytes) -> Self {
        Self::compose(id, RESULT, result)
    }

    /// What was found, untouched, and where.
    pub(super) fn found(id: &[u8], found: Found) -> Self {
        let reply = match found.payload {
            Payload::Whole(result) => Self::result(id, result),
            Payload::Flow(flow) => {
                let id = Bytes::copy_from_slice(id);
                Self { pieces: vec![Piece::Flow { id, flow }], ..Self::default() }
            }
        };
        Self { source: found.source, verified_to: found.verified_to, ..reply }
    }

    /// Says that everything in it was answered at this block.
    #[must_use]
    pub(super) fn at(self, block: BlockId) -> Self {
        Self { block: Some(block), ..self }
    }

    /// Where the results come from.
    pub fn source(&self) -> Source {
        self.source
    }

    /// The block up to which the index is proven, if it answered.
    pub fn verified_to(&self) -> Option<u64> {
        self.verified_to
    }

    /// The one block that a batch was answered at, if that was asked for.
    pub fn block(&self) -> Option<BlockId> {
        self.block
    }

    /// A node's error object, untouched, or ours by class.
    pub fn error(id: &[u8], error: &RpcError) -> Self {
        match &error.object {
            Some(object) => Self::compose(id, b",\"error\":", object.clone()),
            None => {
                let (code, message) = own_words(error.class);
                log::debug!("answered with {code}: {error}");
                Self::fault(id, &Fault { id: None, code, message: message.into() })
            }
        }
    }

    /// An error of our own. The fault's own id wins, null if there is none.
    pub fn fault(id: &[u8], fault: &Fault) -> Self {
        let mut object = format!("{{\"code\":{},\"message\":", fault.code).into_bytes();
        write_string(&fault.message, &mut object);
        object.push(b'}');
        Self::compose(fault.id.as_deref().unwrap_or(id), b",\"error\":", object.into())
    }

    /// Answers of a batch, in the order of the requests.
    pub fn batch(replies: Vec<Self>) -> Self {
        let mut all = Self { pieces: Vec::with_capacity(replies.len() * 4 + 1), ..Self::default() };
        for (at, reply) in replies.into_iter().enumerate() {
            all.pieces.push(Piece::Bytes(Bytes::from_static(if at == 0 { b"[" } else { b"," })));
            all.pieces.extend(reply.pieces);
            all.source = all.source.and(reply.source);
            // Of several answers of the index the least proven counts.
            all.verified_to = match (all.verified_to, reply.verified_to) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        all.pieces.push(Piece::Bytes(Bytes::from_static(b"]")));
        all.joined_if_small()
    }

    /// Length in bytes; nothing while a part of it is still to come.
    pub fn len(&self) -> Option<usize> {
        self.pieces.iter().map(|piece| Some(piece.bytes()?.len())).sum()
    }

    /// True for no answer at all.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// The pieces, to be written one after another. After an error the connection must break.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, RpcError>> + Send {
        stream::iter(self.pieces).flat_map(|piece| match piece {
            Piece::Bytes(bytes) => stream::iter([Ok(bytes)]).boxed(),
            Piece::Flow { id, flow } => {
                let head = stream::iter([Ok(Bytes::from(head(&id, RESULT)))]);
                let parts = stream::unfold(flow, |mut flow| async move {
                    let part = flow.next().await?;
                    Some((part, flow))
                });
                head.chain(parts).chain(stream::iter([Ok(Bytes::from_static(b"}"))])).boxed()
            }
        })
    }

    /// The same answer with everything in it that was still to come, for whoever can only send whole
    /// messages. A result that breaks off, or with which the answer outgrows `bytes_max`, becomes an error.
    pub async fn gathered(mut self, bytes_max: usize) -> Self {
        let mut room = bytes_max;
        for piece in &mut self.pieces {
            if let Piece::Flow { id, flow } = piece {
                let whole = match gather(flow, room).await {
                    Ok(result) => Self::result(id, result),
                    Err(Some(error)) => Self::error(id, &error),
                    Err(None) => {
                        let text =
                            "response is too large for one message, ask over HTTP or for less";
                        Self::fault(id, &Fault::limit(text))
                    }
                };
                *piece = Piece::Bytes(whole.into_bytes());
            }
            room = room.saturating_sub(piece.bytes().map_or(0, Bytes::len));
        }
        self
    }

    /// The answer as one piece. What is still to come must have been gathered before.
    pub fn into_bytes(self) -> Bytes {
        let mut whole = BytesMut::new();
        let mut pieces = self.pieces.into_iter().filter_map(|piece| match piece {
            Piece::Bytes(bytes) => Some(bytes),
            Piece::Flow { .. } => None,
        });
        let first = pieces.next().unwrap_or_default();
        for piece in pieces {
            if whole.is_empty() {
                whole.extend_from_slice(&first);
            }
            whole.extend_from_slice(&piece);
        }
        if whole.is_empty() { first } else { whole.freeze() }
    }

    fn compose(id: &[u8], key: &[u8], value: Bytes) -> Self {
        if value.len() > COPY_BYTES_MAX {
            let pieces = [head(id, key).into(), value, Bytes::from_static(b"}")];
            return Self { pieces: pieces.map(Piece::Bytes).into(), ..Self::default() };
        }
        let mut whole = head(id, key);
        whole.reserve_exact(value.len() + 1);
        whole.extend_from_slice(&value);
        whole.push(b'}');
        Self { pieces: vec![Piece::Bytes(whole.into())], ..Self::default() }
    }

    fn joined_if_small(self) -> Self {
        if self.len().is_none_or(|length| length > COPY_BYTES_MAX) {
            return self;
        }
        let (source, verified_to, block) = (self.source, self.verified_to, self.block);
        let pieces = vec![Piece::Bytes(self.into_bytes())];
        Self { pieces, source, verified_to, block }
    }
}

impl Piece {
    fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Flow { .. } => None,
        }
    }
}

/// Key of a result in its envelope.
const RESULT: &[u8] = b",\"result\":";

fn head(id: &[u8], key: &[u8]) -> Vec<u8> {
    [b"{\"jsonrpc\":\"2.0\",\"id\":", id, key].concat()
}

/// The whole of a flow; `Err(None)` when it is too large.
async fn gather(flow: &mut Flow, bytes_max: usize) -> Result<Bytes, Option<RpcError>> {
    let mut whole = BytesMut::new();
    while let Some(part) = flow.next().await {
        let part = part.map_err(Some)?;
        if whole.len() + part.len() > bytes_max {
            return Err(None);
        }
        whole.extend_from_slice(&part);
    }
    Ok(whole.freeze())
}

/// Code (EIP-1474) and words for an error that no node put into words.
fn own_words(class: ErrorClass) -> (i64, &'static str) {
    match class {
        ErrorClass::NotYet => (-32001, "block not available yet"),
        ErrorClass::Pruned => (-32001, "data is no longer available"),
        ErrorClass::Timeout => (-32002, "no provider answered in time"),
        ErrorClass::RateLimited { .. } => {
            (-32005, "providers are at their rate limit, retry later")
        }
        ErrorClass::RangeTooWide { .. } | ErrorClass::TooManyResults => {
            (-32005, "query returns too much, ask for a smaller block range")
        }
        ErrorClass::ResponseTooLarge => (-32005, "response is too large"),
        ErrorClass::FilterTooWide => (-32005, "too many addresses or topics in the filter"),
        ErrorClass::Unsupported => (-32601, "the method does not exist/is not available"),
        ErrorClass::Invalid => (-32602, "invalid params"),
        ErrorClass::Denied => (-32601, "the method does not exist/is not available"),
        ErrorClass::Transient
        | ErrorClass::Billing
        | ErrorClass::Overload
        | ErrorClass::BadAnswer
        | ErrorClass::WrongChain { .. }
        | ErrorClass::Unreachable => (-32002, "no provider can answer now, retry later"),
        ErrorClass::Execution | ErrorClass::Unknown => (-32603, "internal error"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn our_own_errors_tell_nothing_of_the_provider() {
        let error = RpcError::new(
            ErrorClass::Unreachable,
            &Arc::from("secret-name"),
            "cannot connect to https://node.example/KEY",
        );
        let text = Reply::error(b"1", &error).into_bytes();
        assert_eq!(
            text,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32002,"message":"no provider can answer now, retry later"}}"#
        );
    }

    #[test]
    fn a_large_result_is_not_copied() {
        let result = Bytes::from(vec![b'1'; COPY_BYTES_MAX + 1]);
        let at = result.as_ptr();
        let pieces = Reply::batch(vec![Reply::result(b"1", result)]).pieces;
        let mut pieces = pieces.iter().filter_map(Piece::bytes);
        assert!(pieces.any(|piece| piece.as_ptr() == at));
    }
}
