//! Contract calls for signature checks, through the pools of providers that everything else uses.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, Bytes};
use async_trait::async_trait;

use super::signature::{CallFailed, ContractCalls};
use crate::rpc::error::ErrorClass;
use crate::rpc::pool::Pool;
use crate::types::chain::ChainId;

/// All chains that are served here.
#[derive(Debug)]
pub struct PoolCalls(BTreeMap<ChainId, Arc<Pool>>);

impl PoolCalls {
    pub fn new(pools: impl IntoIterator<Item = Arc<Pool>>) -> Self {
        Self(pools.into_iter().map(|pool| (pool.chain_id(), pool)).collect())
    }
}

#[async_trait]
impl ContractCalls for PoolCalls {
    fn serves(&self, chain: u64) -> bool {
        self.0.contains_key(&ChainId(chain))
    }

    async fn call(
        &self,
        chain: u64,
        to: Option<Address>,
        data: &Bytes,
        gas: u64,
    ) -> Result<Bytes, CallFailed> {
        let pool = self.0.get(&ChainId(chain)).ok_or(CallFailed::Unavailable)?;
        let to = to.map(|to| format!(r#""to":"{to:#x}","#)).unwrap_or_default();
        let params = format!(r#"[{{{to}"data":"{data}","gas":"{gas:#x}"}},"latest"]"#);
        match pool.call("eth_call", params).await {
            Ok(answer) => {
                serde_json::from_slice(&answer.result).map_err(|_| CallFailed::Unavailable)
            }
            Err(error) if matches!(error.class, ErrorClass::Execution | ErrorClass::Invalid) => {
                Err(CallFailed::Reverted)
            }
            Err(error) => {
                log::warn!(target: "rwahub::gateway", "a signature could not be checked: {error}");
                Err(CallFailed::Unavailable)
            }
        }
    }
}
