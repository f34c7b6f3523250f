//! Answers to clients: the envelope is ours, result and error object are the node's own bytes.
//!
//! The one table from error classes to codes of our own errors. Nothing of a provider's address
//! appears in them.

use bytes::{Bytes, BytesMut};

use crate::rpc::error::{ErrorClass, RpcError};
use crate::rpc::wire::request::write_string;

/// Answers up to this size are copied into one piece: one write beats three.
const COPY_BYTES_MAX: usize = 64 * 1024;

/// An answer in pieces, so that a large result is never copied.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    pieces: Vec<Bytes>,
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
        Self::compose(id, b",\"result\":", result)
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
        let mut pieces = Vec::with_capacity(replies.len() * 4 + 1);
        for (at, reply) in replies.into_iter().enumerate() {
            pieces.push(Bytes::from_static(if at == 0 { b"[" } else { b"," }));
            pieces.extend(reply.pieces);
        }
        pieces.push(Bytes::from_static(b"]"));
        Self { pieces }.joined_if_small()
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    /// True for no answer at all.
    pub fn is_empty(&self) -> bool {
        self.pieces.iter().all(Bytes::is_empty)
    }

    /// The pieces, to be written one after another.
    pub fn into_pieces(self) -> Vec<Bytes> {
        self.pieces
    }

    /// The answer as one piece.
    pub fn into_bytes(self) -> Bytes {
        let mut pieces = self.pieces;
        if pieces.len() == 1 {
            return pieces.pop().unwrap_or_default();
        }
        let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
        pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
        whole.freeze()
    }

    fn compose(id: &[u8], key: &'static [u8], value: Bytes) -> Self {
        let mut head = BytesMut::with_capacity(if value.len() > COPY_BYTES_MAX {
            id.len() + 48
        } else {
            id.len() + 48 + value.len()
        });
        head.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
        head.extend_from_slice(id);
        head.extend_from_slice(key);
        if value.len() > COPY_BYTES_MAX {
            return Self { pieces: vec![head.freeze(), value, Bytes::from_static(b"}")] };
        }
        head.extend_from_slice(&value);
        head.extend_from_slice(b"}");
        Self { pieces: vec![head.freeze()] }
    }

    fn joined_if_small(self) -> Self {
        if self.len() > COPY_BYTES_MAX { self } else { Self { pieces: vec![self.into_bytes()] } }
    }
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
        let pieces = Reply::batch(vec![Reply::result(b"1", result)]).into_pieces();
        assert!(pieces.iter().any(|piece| piece.as_ptr() == at));
    }
}
