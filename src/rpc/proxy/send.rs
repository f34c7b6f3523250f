//! `eth_sendRawTransaction`: to several providers at once, one truth for the client.
//!
//! The hash is computed here, so a lost answer can be looked up. Nothing is ever signed again.

use std::sync::Arc;
use std::time::Duration;

use alloy_consensus::{Transaction, TxEnvelope};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{B256, Bytes as Raw, keccak256};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::reply::Fault;
use super::request::Request;
use super::{Proxy, Refusal};
use crate::rpc::error::{ErrorClass, RpcError};
use crate::rpc::pool::{CallOptions, Pool};
use crate::rpc::wire::Call;

/// Providers that get the transaction: enough that one that swallows it does not matter.
const BROADCAST_MAX: usize = 3;
/// Time for each provider, beyond the client's patience: the others hear of it anyway.
const BROADCAST_TIMEOUT: Duration = Duration::from_secs(20);
/// Looks for the transaction before its failure is reported.
const LOOKS: u32 = 3;
/// Pause between looks.
const LOOK_PAUSE: Duration = Duration::from_millis(300);

/// Words of a node that has the transaction already.
const KNOWN: &[&str] = &["already known", "known transaction", "already imported", "alreadyknown"];
/// Words of a node that has another transaction, or this one, at the nonce.
const NONCE: &[&str] = &["nonce too low", "nonce is too low"];

impl Proxy {
    /// Sends a signed transaction.
    pub(super) async fn send_raw(self: &Arc<Self>, request: Request) -> Result<Bytes, Refusal> {
        let parsed: Result<[Raw; 1], _> = serde_json::from_slice(&request.params);
        let Ok([raw]) = parsed else {
            let options =
                CallOptions { timeout: self.limits.timeout, write: true, ..Default::default() };
            let call = Call::new(request.method, request.params);
            return Ok(Box::pin(self.pool.call_with(&call, &options)).await?.result);
        };
        self.check_chain(&raw)?;
        let hash = keccak256(&raw);
        let outcome = broadcast(&self.pool, request.params).await;
        self.view.note_write();
        match outcome {
            Ok(result) => Ok(result),
            Err(error) if says(&error, KNOWN) => Ok(quoted(hash)),
            Err(error) if says(&error, NONCE) || error.class != ErrorClass::Execution => {
                // Mined already, or taken by a node whose answer got lost.
                if find(&self.pool, hash).await { Ok(quoted(hash)) } else { Err(error.into()) }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A transaction for another chain would be refused by some nodes and replayed by none: say so.
    fn check_chain(&self, raw: &[u8]) -> Result<(), Fault> {
        let Ok(transaction) = TxEnvelope::decode_2718(&mut &*raw) else { return Ok(()) };
        match transaction.chain_id() {
            Some(id) if id != self.pool.chain_id().0 => Err(Fault {
                id: None,
                code: -32000,
                message: format!(
                    "invalid chain id for signer: have {id} want {}",
                    self.pool.chain_id()
                ),
            }),
            _ => Ok(()),
        }
    }
}

/// The first acceptance, or the most telling refusal. The sends go on when the caller has its answer.
async fn broadcast(pool: &Arc<Pool>, params: Bytes) -> Result<Bytes, RpcError> {
    let (sender, mut outcomes) = mpsc::channel(BROADCAST_MAX);
    for provider in pool.best(BROADCAST_MAX) {
        let (pool, params, sender) = (pool.clone(), params.clone(), sender.clone());
        tokio::spawn(async move {
            let options = CallOptions {
                timeout: BROADCAST_TIMEOUT,
                write: true,
                ..CallOptions::pinned(provider)
            };
            let call = Call::new("eth_sendRawTransaction", params);
            let outcome = pool.call_with(&call, &options).await;
            // Nobody waits any more: another provider was quicker.
            drop(sender.send(outcome).await);
        });
    }
    drop(sender);
    let mut refused: Option<RpcError> = None;
    while let Some(outcome) = outcomes.recv().await {
        match outcome {
            Ok(answer) => return Ok(answer.result),
            // Already known is an acceptance; beyond that a node's verdict beats a lost connection.
            Err(error) if says(&error, KNOWN) => return Err(error),
            Err(error) => {
                let telling = error.class == ErrorClass::Execution;
                if telling || refused.is_none() {
                    refused = Some(error);
                }
            }
        }
    }
    Err(refused.unwrap_or_else(|| {
        RpcError::of_pool(ErrorClass::Unreachable, "no provider to send the transaction to")
    }))
}

async fn find(pool: &Pool, hash: B256) -> bool {
    let call = Call::new("eth_getTransactionByHash", format!("[\"{hash}\"]"));
    for look in 0..LOOKS {
        if look > 0 {
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        let options = CallOptions { timeout: Duration::from_secs(5), ..CallOptions::default() };
        let answer = pool.call_with(&call, &options).await;
        if answer.is_ok_and(|answer| answer.result.as_ref() != b"null") {
            return true;
        }
    }
    false
}

fn says(error: &RpcError, words: &[&str]) -> bool {
    let text = error.message.to_lowercase();
    error.object.is_some() && words.iter().any(|word| text.contains(word))
}

fn quoted(hash: B256) -> Bytes {
    Bytes::from(format!("\"{hash}\""))
}
