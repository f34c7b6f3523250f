//! Calls as text. Ids are ours: small numbers, never a client's.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use crate::rpc::endpoint::stream::Spill;

/// One call: method and the raw JSON text of its params.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: Cow<'static, str>,
    pub params: Bytes,
    /// Where an answer goes that is too large to be held; `None` holds it.
    pub spill: Option<Arc<Spill>>,
}

impl Call {
    /// A call whose `params` is already JSON text, such as `["0x1",false]`.
    pub fn new(method: impl Into<Cow<'static, str>>, params: impl Into<Bytes>) -> Self {
        Self { method: method.into(), params: params.into(), spill: None }
    }

    /// Appends the call with `id` to `out`.
    pub fn write(&self, id: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
        out.extend_from_slice(id.to_string().as_bytes());
        out.extend_from_slice(b",\"method\":");
        write_string(&self.method, out);
        if !self.params.is_empty() {
            out.extend_from_slice(b",\"params\":");
            out.extend_from_slice(&self.params);
        }
        out.push(b'}');
    }

    /// Bytes that [`Self::write`] will need, about.
    pub fn size_hint(&self) -> usize {
        self.method.len() + self.params.len() + 64
    }
}

/// Appends `text` as a JSON string.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    if text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
    let quoted = serde_json::Value::from(text).to_string();
    out.extend_from_slice(quoted.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_method_name_cannot_leave_its_string() {
        let mut out = Vec::new();
        Call::new("a\",\"id\":7,\"x\":\"", &b"[]"[..]).write(1, &mut out);
        let value: serde_json::Value = serde_json::from_slice(&out).expect("valid JSON");
        assert_eq!(value["id"], 1);
        assert_eq!(value["method"], "a\",\"id\":7,\"x\":\"");
    }
}
