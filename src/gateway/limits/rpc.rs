//! What a JSON-RPC request weighs: the sum over the methods it names.
//!
//! Looks for `"method"` in the text instead of reading the JSON, which the proxy does anyway. A text
//! that could hide a method from this (an escape in it) weighs as much as the heaviest of its length.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use memchr::memmem;

use crate::gateway::error::{Class, Problem};

/// The proxy's row in the route table.
pub(in crate::gateway) const PATH: &str = "/rpc/{chain_id}";

/// A call that reads a range or runs code for long.
const HEAVY: u32 = 20;
/// A call that runs code or sends.
const MIDDLE: u32 = 5;
/// Shortest text that one call can be, to bound how many a text may hide.
const CALL_BYTES_MIN: usize = 24;

/// Units of one method.
fn weight(method: &[u8]) -> u32 {
    match method {
        b"eth_getLogs" | b"eth_newFilter" | b"eth_getFilterLogs" | b"eth_getBlockReceipts" => HEAVY,
        b"eth_call"
        | b"eth_estimateGas"
        | b"eth_createAccessList"
        | b"eth_sendRawTransaction"
        | b"eth_feeHistory"
        | b"eth_getProof" => MIDDLE,
        _ if method.starts_with(b"debug_") || method.starts_with(b"trace_") => HEAVY,
        _ => 1,
    }
}

/// Units of a request's text.
fn weigh_text(text: &[u8]) -> u32 {
    if memchr::memchr(b'\\', text).is_some() {
        let calls = u32::try_from(text.len() / CALL_BYTES_MIN).unwrap_or(u32::MAX).clamp(1, 50);
        return HEAVY.saturating_mul(calls);
    }
    let mut sum = 0_u32;
    for at in memmem::find_iter(text, b"\"method\"") {
        let rest = text.get(at + b"\"method\"".len()..).unwrap_or_default();
        let mut quoted = rest.splitn(3, |byte| *byte == b'"').skip(1);
        sum = sum.saturating_add(weight(quoted.next().unwrap_or_default()));
    }
    sum.max(1)
}

/// The request, whole, and what it weighs.
pub(in crate::gateway) async fn weigh(
    request: Request,
    bytes_max: usize,
) -> Result<(Request, u32), Problem> {
    let (parts, body) = request.into_parts();
    let text: Bytes = to_bytes(body, bytes_max).await.map_err(|_| {
        Problem::new(Class::BodyTooLarge, format!("at most {bytes_max} bytes are read, in time"))
    })?;
    let units = weigh_text(&text);
    Ok((Request::from_parts(parts, Body::from(text)), units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_weighs_what_its_calls_do_and_nothing_hides() {
        let call = |method: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method" : "{method}"}}"#);
        let weigh = |text: &str| weigh_text(text.as_bytes());
        assert_eq!(weigh(&call("eth_chainId")), 1);
        assert_eq!(weigh(&call("eth_getLogs")), HEAVY);
        assert_eq!(weigh(&call("debug_traceBlock")), HEAVY);
        let batch = format!("[{},{},{}]", call("eth_call"), call("eth_getLogs"), call("x"));
        assert_eq!(weigh(&batch), MIDDLE + HEAVY + 1);
        assert!(weigh(r#"{"id":1,"\u006dethod":"eth_getLogs"}"#) >= HEAVY);
        assert_eq!(weigh(""), 1);
        assert_eq!(weigh(r#""method""#), 1);
    }
}
