//! Raw transactions that users send: decoded, never executed.

use alloy_consensus::{Transaction, TxEnvelope};
use alloy_eips::eip2718::{Decodable2718, Typed2718};
use alloy_primitives::{Address, Bytes, keccak256};

use crate::sim::seal::SentTx;

/// Largest raw transaction, geth's limit.
const RAW_BYTES_MAX: usize = 128 * 1024;

/// Reads a raw transaction for this chain; the text is what geth would answer.
pub(super) fn decode(raw: Bytes, chain_id: u64) -> Result<SentTx, String> {
    if raw.len() > RAW_BYTES_MAX {
        return Err("oversized data".into());
    }
    let mut rest = raw.as_ref();
    let tx = TxEnvelope::decode_2718(&mut rest).map_err(|error| format!("rlp: {error}"))?;
    if !rest.is_empty() {
        return Err("rlp: trailing bytes".into());
    }
    if tx.chain_id().is_some_and(|id| id != chain_id) {
        return Err("invalid chain id for signer".into());
    }
    let hash = keccak256(&raw);
    Ok(SentTx {
        hash,
        tx_type: tx.ty(),
        nonce: tx.nonce(),
        // Recovering the sender needs a curve that this program does not carry for it.
        from: Address::from_slice(&keccak256(hash)[12..]),
        to: tx.to(),
        value: tx.value(),
        input: tx.input().clone(),
        gas_limit: tx.gas_limit(),
        raw,
    })
}
