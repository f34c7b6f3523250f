//! Which chain stands behind a URL: its id, and the hash of its first block where the node has one.
//!
//! Two networks may share an id (a fork of a test network, a restarted development chain), and then only
//! the first block tells them apart. Most providers decide which is ours; the first heard among equals.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy_primitives::B256;
use serde::Deserialize;
use tokio::time::Instant;

use crate::rpc::error::{ErrorClass, RpcError};
use crate::rpc::wire::{Call, hex};
use crate::types::chain::ChainId;

/// How long a provider of another chain is left alone before it is asked again.
const WRONG_CHAIN_RECHECK: Duration = Duration::from_secs(60);
/// Time for the first block: a node that prunes or hangs here is not kept out for it.
pub(super) const GENESIS_TIMEOUT: Duration = Duration::from_secs(2);

/// What is known about the chain behind one URL.
#[derive(Debug, Default)]
pub(super) struct Identity {
    state: Mutex<Known>,
    /// One check at a time; the others wait for its result.
    pub(super) checking: tokio::sync::Mutex<()>,
}

/// The state of the check.
#[derive(Debug, Default, Clone, Copy)]
pub(super) enum Known {
    #[default]
    Nothing,
    Ours,
    Other {
        found: ChainId,
        at: Instant,
    },
}

impl Identity {
    pub(super) fn known(&self) -> Known {
        *lock(&self.state)
    }

    pub(super) fn set(&self, known: Known) {
        *lock(&self.state) = known;
    }
}

impl Known {
    /// True unless another chain was found a short while ago.
    pub(super) fn may_be_ours(self) -> bool {
        match self {
            Self::Other { at, .. } => at.elapsed() >= WRONG_CHAIN_RECHECK,
            Self::Nothing | Self::Ours => true,
        }
    }
}

/// First blocks as the providers of one chain name them, in the order in which they were heard.
#[derive(Debug, Default)]
pub struct Genesis {
    said: Mutex<Vec<(Arc<str>, B256)>>,
    /// Spares every call the lock while all agree, which is always.
    disputed: AtomicBool,
}

impl Genesis {
    /// Notes what a provider says now.
    pub(super) fn note(&self, provider: &Arc<str>, hash: B256) {
        let mut said = lock(&self.said);
        match said.iter_mut().find(|(name, _)| name == provider) {
            Some((_, before)) => *before = hash,
            None => said.push((provider.clone(), hash)),
        }
        let disputed = said.iter().any(|(_, other)| *other != hash);
        self.disputed.store(disputed, Ordering::Release);
        drop(said);
        if let Some(text) = self.fault(provider) {
            log::error!("provider disabled: {provider}: {text}");
        }
    }

    /// A provider that is no longer configured has no say.
    pub(in crate::rpc) fn keep_only(&self, providers: &[Arc<str>]) {
        let mut said = lock(&self.said);
        said.retain(|(name, _)| providers.contains(name));
        let first = said.first().map(|(_, hash)| *hash);
        let disputed = said.iter().any(|(_, hash)| Some(*hash) != first);
        self.disputed.store(disputed, Ordering::Release);
    }

    /// What is wrong with a provider's first block, if something is.
    pub fn fault(&self, provider: &str) -> Option<String> {
        if !self.disputed.load(Ordering::Acquire) {
            return None;
        }
        let said = lock(&self.said);
        let (_, mine) = said.iter().find(|(name, _)| **name == *provider)?;
        let votes = |hash: &B256| said.iter().filter(|(_, other)| other == hash).count();
        // The last of equal maxima would be taken: so the first heard comes last.
        let (_, ours) = said.iter().rev().max_by_key(|(_, hash)| votes(hash))?;
        (mine != ours).then(|| {
            format!("its chain starts with block {mine}, that of most providers with {ours}; correct the url")
        })
    }
}

/// The question every connection starts with.
pub(super) fn chain_id_call() -> Call {
    Call::new("eth_chainId", &b"[]"[..])
}

/// The question that tells networks of one id apart.
pub(super) fn genesis_call() -> Call {
    Call::new("eth_getBlockByNumber", &b"[\"0x0\",false]"[..])
}

/// The hash of a block; `None` for anything else that a node may say about its first block.
pub(super) fn block_hash(answer: &[u8]) -> Option<B256> {
    #[derive(Deserialize)]
    struct Named {
        hash: B256,
    }
    serde_json::from_slice::<Named>(answer).ok().map(|block| block.hash)
}

/// Compares the answer to `eth_chainId` with the configured chain.
pub(super) fn verify_chain(
    name: &Arc<str>,
    expected: ChainId,
    answer: &[u8],
) -> Result<(), RpcError> {
    let text = answer.strip_prefix(b"\"").and_then(|a| a.strip_suffix(b"\"")).unwrap_or(answer);
    let found = hex::quantity(text).map(ChainId).ok_or_else(|| {
        let shown = String::from_utf8_lossy(answer.get(..80).unwrap_or(answer)).into_owned();
        RpcError::new(ErrorClass::BadAnswer, name, format!("eth_chainId answered {shown}"))
    })?;
    if found == expected { Ok(()) } else { Err(wrong_chain(name, expected, found)) }
}

pub(super) fn wrong_chain(name: &Arc<str>, expected: ChainId, found: ChainId) -> RpcError {
    let text = format!(
        "serves chain {found}, configured for chain {expected}; correct the url or the chain id"
    );
    RpcError::new(ErrorClass::WrongChain { expected, found }, name, text)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_providers_decide_which_first_block_is_ours() {
        let genesis = Genesis::default();
        let (a, b, c): (Arc<str>, Arc<str>, Arc<str>) = ("a".into(), "b".into(), "c".into());
        let (right, wrong) = (B256::repeat_byte(1), B256::repeat_byte(2));
        genesis.note(&a, wrong);
        assert_eq!(genesis.fault("a"), None);
        genesis.note(&b, right);
        assert_eq!(genesis.fault("a"), None, "the first heard, while one stands against one");
        assert!(genesis.fault("b").is_some_and(|text| text.contains(&right.to_string())));
        genesis.note(&c, right);
        assert!(genesis.fault("a").is_some());
        assert_eq!((genesis.fault("b"), genesis.fault("c")), (None, None));
        genesis.keep_only(&[b, c]);
        assert_eq!(genesis.fault("a"), None, "who is gone has no say");
    }

    #[test]
    fn only_a_block_has_a_hash() {
        assert_eq!(block_hash(b"null"), None);
        assert_eq!(block_hash(b"\"0x1\""), None);
        let hash = B256::repeat_byte(7);
        assert_eq!(block_hash(format!("{{\"hash\":\"{hash}\"}}").as_bytes()), Some(hash));
    }
}
