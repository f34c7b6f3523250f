//! What can go wrong with a node, as data: class, fault, whether another try may help.
//!
//! Texts of providers are read in one place, `classify`. Nothing outside this folder looks at them.

mod classify;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::types::chain::{BlockRange, ChainId};

/// Longest part of a foreign text that is kept in a message, in bytes: an HTML page is no message.
const MESSAGE_BYTES_MAX: usize = 512;

/// A call that was not answered with a result.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{endpoint}: {message}")]
pub struct RpcError {
    pub class: ErrorClass,
    /// The provider's configured name; `pool` when no single provider is to blame.
    pub endpoint: Arc<str>,
    /// The JSON-RPC code as the node sent it.
    pub code: Option<i64>,
    pub message: String,
    /// The node's whole `error` object, untouched, for passing through.
    pub object: Option<Bytes>,
}

/// Why a call failed. First thing known, before any retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// Went wrong on the way or inside the node; the same call may work elsewhere or later.
    Transient,
    /// The provider asks us to slow down.
    RateLimited { after: Option<Duration> },
    /// The block range is too wide for this provider.
    RangeTooWide { cap: Option<u64>, suggested: Option<BlockRange> },
    /// Too many logs match.
    TooManyResults,
    /// The answer has too many bytes, for the provider or for our own limit.
    ResponseTooLarge,
    /// No answer in time, by our clock or by the provider's.
    Timeout,
    /// Too many addresses or topics in one filter.
    FilterTooWide,
    /// The provider does not have the block yet.
    NotYet,
    /// The provider no longer has the data.
    Pruned,
    /// The account with the provider is used up.
    Billing,
    /// The provider is short of capacity.
    Overload,
    /// The provider does not serve the method.
    Unsupported,
    /// The EVM or the transaction pool said no: an answer, not a failure of the provider.
    Execution,
    /// The request itself is wrong; every node would say so.
    Invalid,
    /// Refused: credentials, or our own policy.
    Denied,
    /// The provider answered with something that is no answer.
    BadAnswer,
    /// The provider serves another chain.
    WrongChain { expected: ChainId, found: ChainId },
    /// No connection.
    Unreachable,
    /// A JSON-RPC error of no known class; passed on as it is.
    Unknown,
}

/// Who has to change something for the call to succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The caller asked for something that cannot be, or too much at once.
    Caller,
    /// The provider or the way to it.
    Provider,
    /// Nobody: the chain is not there yet.
    Chain,
}

impl ErrorClass {
    /// True when the same call may succeed with another provider or later.
    pub fn is_retryable(self) -> bool {
        match self {
            Self::Transient
            | Self::RateLimited { .. }
            | Self::Timeout
            | Self::NotYet
            | Self::Pruned
            | Self::Billing
            | Self::Overload
            | Self::Unsupported
            | Self::BadAnswer
            | Self::WrongChain { .. }
            | Self::Unreachable
            | Self::Denied
            | Self::Unknown => true,
            Self::RangeTooWide { .. }
            | Self::TooManyResults
            | Self::ResponseTooLarge
            | Self::FilterTooWide
            | Self::Execution
            | Self::Invalid => false,
        }
    }

    /// The word for reports and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::RateLimited { .. } => "rate_limited",
            Self::RangeTooWide { .. } => "range_too_wide",
            Self::TooManyResults => "too_many_results",
            Self::ResponseTooLarge => "response_too_large",
            Self::Timeout => "timeout",
            Self::FilterTooWide => "filter_too_wide",
            Self::NotYet => "not_yet",
            Self::Pruned => "pruned",
            Self::Billing => "billing",
            Self::Overload => "overload",
            Self::Unsupported => "unsupported",
            Self::Execution => "execution",
            Self::Invalid => "invalid",
            Self::Denied => "denied",
            Self::BadAnswer => "bad_answer",
            Self::WrongChain { .. } => "wrong_chain",
            Self::Unreachable => "unreachable",
            Self::Unknown => "unknown",
        }
    }

    /// True when asking for less may succeed: the caller splits instead of waiting.
    pub fn is_too_much(self) -> bool {
        matches!(
            self,
            Self::RangeTooWide { .. }
                | Self::TooManyResults
                | Self::ResponseTooLarge
                | Self::FilterTooWide
        )
    }

    /// True when the failure speaks against the health of the provider (the breaker counts it).
    pub fn is_failure(self) -> bool {
        matches!(
            self,
            Self::Transient
                | Self::Timeout
                | Self::Overload
                | Self::BadAnswer
                | Self::WrongChain { .. }
                | Self::Unreachable
                | Self::Denied
        )
    }

    /// Who has to change something.
    pub fn fault(self) -> Fault {
        match self {
            Self::Execution | Self::Invalid => Fault::Caller,
            Self::NotYet => Fault::Chain,
            class if class.is_too_much() => Fault::Caller,
            _ => Fault::Provider,
        }
    }
}

impl RpcError {
    /// An error of our own making about `endpoint`.
    pub fn new(class: ErrorClass, endpoint: &Arc<str>, message: impl Into<String>) -> Self {
        Self {
            class,
            endpoint: endpoint.clone(),
            code: None,
            message: message.into(),
            object: None,
        }
    }

    /// An error of the pool as a whole.
    pub fn of_pool(class: ErrorClass, message: impl Into<String>) -> Self {
        Self::new(class, &Arc::from("pool"), message)
    }

    /// The node's own JSON-RPC error object, classified.
    pub fn from_object(endpoint: &Arc<str>, object: Bytes) -> Self {
        Self::from_object_with_status(endpoint, object, None)
    }

    /// The same, for an error that came under an HTTP status other than 200.
    pub fn from_object_with_status(
        endpoint: &Arc<str>,
        object: Bytes,
        status: Option<(u16, Option<Duration>)>,
    ) -> Self {
        let shape = serde_json::from_slice::<Shape<'_>>(&object).unwrap_or_default();
        let message = shape.message.map(|m| plain(m.get())).unwrap_or_default();
        let code = shape.code.and_then(|c| c.get().trim_matches('"').parse::<i64>().ok());
        let mut text = message.clone();
        if let Some(data) = shape.data {
            text.push('\n');
            text.push_str(data.get());
        }
        let class = classify::classify(code, status, &text);
        let message =
            if message.is_empty() { shorten(&String::from_utf8_lossy(&object)) } else { message };
        Self { class, endpoint: endpoint.clone(), code, message, object: Some(object) }
    }

    /// An HTTP answer that is no JSON-RPC at all (an HTML page, plain text, nothing).
    pub fn from_http(
        endpoint: &Arc<str>,
        status: u16,
        after: Option<Duration>,
        body: &[u8],
    ) -> Self {
        let text = String::from_utf8_lossy(body.get(..2048).unwrap_or(body)).into_owned();
        let class = match classify::classify(None, Some((status, after)), &text) {
            ErrorClass::Unknown | ErrorClass::Invalid if status < 400 => ErrorClass::BadAnswer,
            ErrorClass::Unknown => ErrorClass::Transient,
            class => class,
        };
        let message = format!("HTTP {status}, not JSON-RPC: {}", shorten(text.trim()));
        Self::new(class, endpoint, message)
    }

    /// True when the same call may succeed with another provider or later.
    pub fn is_retryable(&self) -> bool {
        self.class.is_retryable()
    }

    /// Who has to change something for the call to succeed.
    pub fn whose_fault(&self) -> Fault {
        self.class.fault()
    }

    /// The raw JSON text of the node's `error.data`, if it sent one.
    pub fn data(&self) -> Option<&str> {
        let object = self.object.as_ref()?;
        serde_json::from_slice::<Shape<'_>>(object).ok()?.data.map(RawValue::get)
    }
}

#[derive(Deserialize, Default)]
struct Shape<'a> {
    #[serde(borrow, default)]
    code: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// A raw JSON value as text: strings unescaped, anything else as it stands.
fn plain(raw: &str) -> String {
    serde_json::from_str::<String>(raw).unwrap_or_else(|_| raw.to_owned())
}

/// The text up to the limit for messages, cut between characters.
fn shorten(text: &str) -> String {
    if text.len() <= MESSAGE_BYTES_MAX {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(MESSAGE_BYTES_MAX);
    format!("{}…", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> RpcError {
        RpcError::from_object(&Arc::from("node"), Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn a_revert_is_an_answer_and_keeps_its_data() {
        let error = object(r#"{"code":3,"message":"execution reverted: no","data":"0x08c379a0"}"#);
        assert_eq!(error.class, ErrorClass::Execution);
        assert!(!error.is_retryable());
        assert_eq!(error.whose_fault(), Fault::Caller);
        assert_eq!(error.data(), Some("\"0x08c379a0\""));
        assert_eq!(error.code, Some(3));
    }

    #[test]
    fn an_html_page_with_status_200_is_a_bad_answer() {
        let error = RpcError::from_http(&Arc::from("node"), 200, None, b"<html>hello</html>");
        assert_eq!(error.class, ErrorClass::BadAnswer);
        assert!(error.class.is_failure());
    }

    #[test]
    fn the_status_decides_when_the_body_says_nothing() {
        let endpoint = Arc::from("node");
        let class = |status, body: &[u8]| RpcError::from_http(&endpoint, status, None, body).class;
        assert_eq!(class(429, b""), ErrorClass::RateLimited { after: None });
        assert_eq!(class(402, b""), ErrorClass::Billing);
        assert_eq!(class(503, b""), ErrorClass::Overload);
        assert_eq!(class(502, b"<html>bad gateway</html>"), ErrorClass::Transient);
        assert_eq!(class(504, b""), ErrorClass::Timeout);
        assert_eq!(class(413, b""), ErrorClass::ResponseTooLarge);
        assert_eq!(class(401, b""), ErrorClass::Denied);
    }

    #[test]
    fn the_message_names_the_provider_but_never_floods() {
        let long = "x".repeat(10_000);
        let error = RpcError::from_http(&Arc::from("alpha"), 200, None, long.as_bytes());
        assert!(error.to_string().starts_with("alpha: HTTP 200"));
        assert!(error.to_string().len() < 700);
    }
}
