//! Which methods a client may call. Everything outside the allowed families is refused.
//!
//! Names are compared as they are: `ETH_CALL` is no method.

pub use crate::config::RpcVerify as Verify;

/// Families that read the chain or send signed transactions.
const FAMILIES: &[&str] = &["eth_", "net_", "web3_"];

/// Families of which every method changes something or signs: sent once and never asked of two.
const WRITES: &[&str] = &["eth_send", "eth_submit"];

/// What a client asks for beside its requests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ask {
    /// Every request of a batch is answered at one and the same block.
    pub one_block: bool,
    /// Instead of the configuration's word.
    pub verify: Option<Verify>,
}

/// How a method is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// Sent to a provider as it is.
    Forward,
    /// Sent once: it changes something.
    Write,
    /// A signed transaction.
    SendRaw,
    /// Answered from the configuration.
    ChainId,
    /// Needs a WebSocket.
    Subscribe,
    Unsubscribe,
    /// Not served here.
    Denied,
}

/// The rules of one door.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Methods allowed beside the families, by exact name.
    pub extra: Vec<String>,
    /// Methods refused although their family is allowed, by exact name.
    pub denied: Vec<String>,
}

impl Policy {
    /// What to do with `method`.
    pub fn treat(&self, method: &str) -> Treatment {
        if self.denied.iter().any(|m| m == method) {
            return Treatment::Denied;
        }
        match method {
            "eth_chainId" => Treatment::ChainId,
            "eth_subscribe" => Treatment::Subscribe,
            "eth_unsubscribe" => Treatment::Unsubscribe,
            "eth_sendRawTransaction" => Treatment::SendRaw,
            _ if WRITES.iter().any(|family| in_family(method, family)) => Treatment::Write,
            _ if FAMILIES.iter().any(|family| in_family(method, family)) => Treatment::Forward,
            _ if self.extra.iter().any(|m| m == method) => Treatment::Forward,
            _ => Treatment::Denied,
        }
    }
}

fn in_family(method: &str, family: &str) -> bool {
    method.strip_prefix(family).is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_of_the_operator_are_refused_by_default() {
        let policy = Policy::default();
        for method in [
            "admin_addPeer",
            "personal_sign",
            "engine_newPayloadV3",
            "debug_traceCall",
            "miner_start",
            "anvil_reset",
            "evm_mine",
            "ETH_call",
            "eth_",
            "",
            "eth_a b",
            "rpc_x",
        ] {
            assert_eq!(policy.treat(method), Treatment::Denied, "{method}");
        }
        assert_eq!(policy.treat("eth_call"), Treatment::Forward);
        assert_eq!(policy.treat("eth_sendRawTransaction"), Treatment::SendRaw);
        for method in ["eth_sendTransaction", "eth_sendRawTransactionSync", "eth_submitWork"] {
            assert_eq!(policy.treat(method), Treatment::Write, "{method} is sent once");
        }
        let policy =
            Policy { extra: vec!["debug_traceCall".into()], denied: vec!["eth_sign".into()] };
        assert_eq!(policy.treat("debug_traceCall"), Treatment::Forward);
        assert_eq!(policy.treat("eth_sign"), Treatment::Denied);
    }
}
