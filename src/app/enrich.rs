//! Asks new tokens for name, symbol and decimals, beside the indexing, so that no call delays a block.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, hex};
use anyhow::Result;
use fastrace::future::FutureExt as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::build::Parts;
use crate::telemetry::trace;
use crate::types::asset::TokenMetadata;
use crate::types::chain::ChainId;

/// Tokens asked in one round: three small calls each.
const TOKENS_A_ROUND: usize = 32;
/// Pause after a round that failed.
const PAUSE: Duration = Duration::from_secs(1);
/// New tokens come in bursts: their blocks are let in before they are asked.
const SETTLE: Duration = Duration::from_millis(50);

const NAME: [u8; 4] = hex!("06fdde03");
const SYMBOL: [u8; 4] = hex!("95d89b41");
const DECIMALS: [u8; 4] = hex!("313ce567");
/// Longest name or symbol kept, in bytes: tokens are strangers and may send a book.
const TEXT_MAX_BYTES: usize = 256;

/// Works until stopped.
pub(super) async fn run(parts: Arc<Parts>, stop: CancellationToken) -> Result<()> {
    let mut feed = parts.bus.subscribe();
    loop {
        feed.mark_unchanged();
        let next = match round(&parts).in_span(trace::job("token metadata")).await {
            Ok(true) => continue,
            Ok(false) => Next::NewEvents,
            Err(error) => {
                log::debug!("token metadata not read, trying again: {error:#}");
                Next::Pause
            }
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = wait(next, &mut feed) => {}
        }
    }
}

/// What a round waits for.
#[derive(Debug, Clone, Copy)]
enum Next {
    NewEvents,
    Pause,
}

async fn wait(next: Next, feed: &mut watch::Receiver<u64>) {
    match next {
        // A closed feed means that the process is going down; it waits for the stop signal.
        Next::NewEvents if feed.changed().await.is_err() => std::future::pending().await,
        Next::NewEvents => tokio::time::sleep(SETTLE).await,
        Next::Pause => tokio::time::sleep(PAUSE).await,
    }
}

/// One round; whether anything was learnt.
async fn round(parts: &Parts) -> Result<bool> {
    let tokens = parts.store.tokens_without_metadata(TOKENS_A_ROUND).await?;
    let mut learnt = false;
    for (chain, token) in tokens {
        let metadata = read(parts, chain, token).await?;
        parts.store.put_metadata(chain, token, metadata).await?;
        learnt = true;
    }
    Ok(learnt)
}

/// A token without one of the functions is a fact, kept as `None`; a provider that is away is not.
async fn read(parts: &Parts, chain: ChainId, token: Address) -> Result<TokenMetadata> {
    let Some(pool) = parts.pool(chain) else { return Ok(TokenMetadata::default()) };
    let ask = async |selector: [u8; 4]| match pool.eth_call_latest(token, &selector.into()).await {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_retryable() => Err(error),
        Err(_) => Ok(None),
    };
    Ok(TokenMetadata {
        name: ask(NAME).await?.and_then(|answer| text(&answer)),
        symbol: ask(SYMBOL).await?.and_then(|answer| text(&answer)),
        decimals: ask(DECIMALS).await?.and_then(|answer| small(&answer)),
    })
}

/// A returned `string`, or the `bytes32` that old tokens return; control characters are dropped.
fn text(answer: &[u8]) -> Option<String> {
    let bytes = match answer.len() {
        32 => answer.split(|byte| *byte == 0).next().unwrap_or_default(),
        _ => {
            let length = usize::try_from(word(answer.get(32..64)?)?).ok()?;
            answer.get(64..64usize.checked_add(length)?)?
        }
    };
    let bytes = bytes.get(..bytes.len().min(TEXT_MAX_BYTES))?;
    let text: String =
        String::from_utf8_lossy(bytes).chars().filter(|char| !char.is_control()).collect();
    (!text.trim().is_empty()).then(|| text.trim().to_owned())
}

fn small(answer: &[u8]) -> Option<u8> {
    u8::try_from(word(answer.get(..32)?)?).ok()
}

/// A 32-byte word as a number, if it is one of at most 64 bits.
fn word(bytes: &[u8]) -> Option<u64> {
    let (high, low) = bytes.split_at_checked(24)?;
    if high.iter().any(|byte| *byte != 0) {
        return None;
    }
    low.try_into().ok().map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padded(value: u64) -> [u8; 32] {
        let mut word = [0; 32];
        word[24..].copy_from_slice(&value.to_be_bytes());
        word
    }

    #[test]
    fn strings_and_old_style_words_are_read_and_nonsense_is_not() {
        let mut string = padded(32).to_vec();
        string.extend(padded(4));
        string.extend(b"DUSD");
        string.resize(96, 0);
        assert_eq!(text(&string).as_deref(), Some("DUSD"));
        let mut old = b"MKR".to_vec();
        old.resize(32, 0);
        assert_eq!(text(&old).as_deref(), Some("MKR"));
        assert_eq!(text(&[]), None);
        let mut lying = padded(32).to_vec();
        lying.extend(padded(u64::MAX));
        assert_eq!(text(&lying), None, "a length beyond the answer");
        assert_eq!(small(&padded(18)), Some(18));
        assert_eq!(small(&padded(256)), None);
    }
}
