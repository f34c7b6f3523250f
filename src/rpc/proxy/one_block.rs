//! A batch whose requests are all answered at one block: the head when it came.
//!
//! `latest`, and a block that is left out, are replaced by the head's number before anything is asked;
//! if the head was orphaned meanwhile, everything is asked again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use super::policy::Ask;
use super::reply::{Fault, Reply};
use super::request::Request;
use super::view::{Place, Tip};
use super::{Aim, BATCH_PARALLEL, Proxy};
use crate::types::chain::BlockId;

/// Times that the batch is asked before it is given up.
const TRIES: u32 = 3;
/// Pause between them.
const PAUSE: Duration = Duration::from_millis(100);

impl Proxy {
    pub(super) async fn at_one_block(
        self: &Arc<Self>,
        items: Vec<Result<Request, Fault>>,
        ask: Ask,
    ) -> Option<Reply> {
        for attempt in 0..TRIES {
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            let Some(tip) = self.tip_soon().await else { continue };
            let pinned = items.iter().map(|item| item.clone().map(|r| at_block(r, tip))).collect();
            let aim = Aim { tip: Some(tip), verify: ask.verify };
            let reply = self.each(pinned, aim, BATCH_PARALLEL).await;
            if self.view.place(tip.number) == Place::Recent(tip.hash) {
                return reply.map(|r| r.at(BlockId { number: tip.number, hash: tip.hash }));
            }
        }
        let message = "the head is not certain now, ask again".to_owned();
        Some(Reply::fault(b"null", &Fault { id: None, code: -32001, message }))
    }
}

/// The request with the head's number wherever it means the head.
fn at_block(mut request: Request, tip: Tip) -> Request {
    let Some(at) = place_of_block(&request.method) else { return request };
    let Ok(params) = serde_json::from_slice::<Vec<&RawValue>>(&request.params) else {
        return request;
    };
    let number = format!("\"{:#x}\"", tip.number);
    let means_head = |raw: &str| matches!(raw, "\"latest\"" | "null");
    let mut texts: Vec<&str> = params.iter().map(|raw| raw.get()).collect();
    if texts.len() == at {
        texts.push(&number);
    } else {
        match texts.get_mut(at) {
            Some(block) if means_head(block) => *block = &number,
            _ => return request,
        }
    }
    request.params = format!("[{}]", texts.join(",")).into();
    request
}

/// Where a method names the block that it speaks of. Logs have their own resolution of tags.
fn place_of_block(method: &str) -> Option<usize> {
    Some(match method {
        "eth_getBlockByNumber"
        | "eth_getBlockTransactionCountByNumber"
        | "eth_getUncleCountByBlockNumber"
        | "eth_getTransactionByBlockNumberAndIndex"
        | "eth_getUncleByBlockNumberAndIndex"
        | "eth_getBlockReceipts" => 0,
        "eth_call"
        | "eth_getBalance"
        | "eth_getCode"
        | "eth_getTransactionCount"
        | "eth_estimateGas"
        | "eth_createAccessList"
        | "eth_simulateV1"
        | "eth_feeHistory" => 1,
        "eth_getStorageAt" | "eth_getProof" => 2,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;

    use super::*;

    #[test]
    fn only_what_means_the_head_is_replaced() {
        let pinned = |method: &str, params: &str| {
            let request =
                Request { id: None, method: method.into(), params: params.to_owned().into() };
            let tip = Tip { number: 31, hash: B256::ZERO };
            String::from_utf8(at_block(request, tip).params.to_vec()).expect("text")
        };
        assert_eq!(pinned("eth_getBalance", r#"["0xa","latest"]"#), r#"["0xa","0x1f"]"#);
        assert_eq!(pinned("eth_getBalance", r#"["0xa"]"#), r#"["0xa","0x1f"]"#);
        assert_eq!(pinned("eth_call", r#"[{},null,{}]"#), r#"[{},"0x1f",{}]"#);
        assert_eq!(pinned("eth_getStorageAt", r#"["0xa","0x0"]"#), r#"["0xa","0x0","0x1f"]"#);
        for same in [r#"["0xa","0x3"]"#, r#"["0xa","pending"]"#, "[]", "{}", ""] {
            assert_eq!(pinned("eth_getBalance", same), same);
        }
        assert_eq!(pinned("eth_gasPrice", "[]"), "[]");
    }
}
