//! One read: from the cache, from an equal question under way, or from a provider.
//!
//! A question about a recent block is asked by hash. Whenever that does not work out, the client's own
//! words go to a provider untouched, and nothing is kept.

use std::time::Duration;

use alloy_primitives::{B256, U64};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::believe::{Belief, Heard};
use super::cache::{Answers, Kept, Key, Outcome, key};
use super::method::{BlockParam, Subject, block_param, subject};
use super::reply::Fault;
use super::request::Request;
use super::view::{Place, Tip};
use super::{Proxy, Refusal};
use crate::rpc::error::{ErrorClass, RpcError};
use crate::rpc::eth::Which;
use crate::rpc::pool::{CallOptions, quantity};
use crate::rpc::wire::Call;

/// Time for learning the head before a request goes on without it.
const TIP_TIMEOUT: Duration = Duration::from_secs(2);
/// Looks for a head that is in doubt, and the pause between them.
const TIP_LOOKS: u32 = 20;
const TIP_PAUSE: Duration = Duration::from_millis(100);
/// The method whose answer a receipts root proves.
const RECEIPTS: &str = "eth_getBlockReceipts";

/// How a question is put to providers so that its answer may be kept.
struct Plan {
    key: Key,
    call: Call,
    min_head: Option<u64>,
    /// The block that the answer speaks of, while a reorg may replace it.
    pin: Option<(u64, B256)>,
}

impl Proxy {
    /// The head for one request or batch; asked once, so that all its tags mean the same block.
    pub(super) async fn tip_for<'a>(
        &self,
        mut methods: impl Iterator<Item = &'a str>,
    ) -> Option<Tip> {
        if methods.any(|method| subject(method) != Subject::Unknown) {
            // Not knowing the head is better than not answering: the providers know it too.
            return tokio::time::timeout(TIP_TIMEOUT, self.view.tip()).await.ok().flatten();
        }
        None
    }

    /// The head, after a moment if it is in doubt now.
    pub(super) async fn tip_soon(&self) -> Option<Tip> {
        for _ in 0..TIP_LOOKS {
            if let Ok(Some(tip)) = tokio::time::timeout(TIP_TIMEOUT, self.view.tip()).await {
                return Some(tip);
            }
            tokio::time::sleep(TIP_PAUSE).await;
        }
        None
    }

    /// Answers a read.
    pub(super) async fn read(&self, request: Request, tip: Option<Tip>) -> Result<Bytes, Refusal> {
        let subject = subject(&request.method);
        let params: Vec<&RawValue> = match serde_json::from_slice(&request.params) {
            Ok(params) => params,
            Err(_) => return self.forward(request, false).await,
        };
        let params: Vec<&str> = params.into_iter().map(RawValue::get).collect();
        match subject {
            Subject::Head => self.head(request, tip).await,
            Subject::Logs => Box::pin(self.get_logs(request.clone(), &params, tip)).await,
            Subject::Transaction => {
                let key = key(&request.method, &params);
                self.transaction(request.clone(), key).await
            }
            _ => match self.plan(subject, &request.method, &params, tip) {
                Some(plan) => self.kept(request.clone(), plan).await,
                None => self.forward_and_learn(request.clone()).await,
            },
        }
    }

    async fn head(&self, request: Request, tip: Option<Tip>) -> Result<Bytes, Refusal> {
        if let Some(tip) = tip {
            return Ok(format!("\"{:#x}\"", tip.number).into());
        }
        self.forward_and_learn(request).await
    }

    /// Forwards untouched and notes what block the client will know of.
    async fn forward_and_learn(&self, request: Request) -> Result<Bytes, Refusal> {
        let by_number = request.method == "eth_blockNumber";
        let by_block = matches!(request.method.as_str(), "eth_getBlockByNumber");
        let result = self.not_null(request).await?;
        if by_number {
            quantity(&result).inspect(|number| self.view.note_told(*number));
        } else if by_block && let Ok(block) = serde_json::from_slice::<Numbered>(&result) {
            self.view.note_told(block.number.to());
        }
        Ok(result)
    }

    /// Forwards untouched; `null` for what may exist is asked for elsewhere before it is given out.
    async fn not_null(&self, request: Request) -> Result<Bytes, Refusal> {
        let subject = subject(&request.method);
        let proof = self.receipts_named(&request);
        let belief = match (subject, request.method.as_str()) {
            (_, RECEIPTS) if let Some(which) = proof => Belief::Receipts(which),
            (Subject::Transaction, "eth_getTransactionByHash") => Belief::Mined,
            (Subject::Transaction | Subject::BlockHash, _) => Belief::NotNull,
            (Subject::BlockNumber { .. }, _) if self.may_exist(&request.params) => Belief::NotNull,
            _ => return self.forward(request, false).await,
        };
        let call = Call::new(request.method, request.params);
        let options = CallOptions {
            timeout: self.limits.timeout,
            hedge: true,
            min_head: self.view.floor(),
            ..CallOptions::default()
        };
        let heard = match self.hear(&call, options.clone(), &belief).await {
            Err(error) if is_of_nobody(&error) => {
                let anybody = CallOptions { min_head: None, ..options };
                self.hear(&call, anybody, &belief).await?
            }
            heard => heard?,
        };
        match heard {
            Heard::Doubted(_) if proof.is_some() => Err(false_receipts().into()),
            heard => Ok(heard.answer().result),
        }
    }

    /// The block whose receipts are asked for, where they are to be proven.
    fn receipts_named(&self, request: &Request) -> Option<Which> {
        if request.method != RECEIPTS || self.proofs.is_none() || !self.may_exist(&request.params) {
            return None;
        }
        let params: Vec<&RawValue> = serde_json::from_slice(&request.params).ok()?;
        match block_param(params.first()?.get()) {
            BlockParam::Number(number) => Some(Which::Number(number)),
            BlockParam::Hash(hash) => Some(Which::Hash(hash)),
            _ => None,
        }
    }

    /// False for a block above every head that anybody named.
    fn may_exist(&self, params: &[u8]) -> bool {
        let params: Vec<&RawValue> = serde_json::from_slice(params).unwrap_or_default();
        match params.first().map(|first| block_param(first.get())) {
            Some(BlockParam::Number(number)) => number <= self.pool.highest_head(),
            other => other.is_some(),
        }
    }

    fn plan(
        &self,
        subject: Subject,
        method: &str,
        params: &[&str],
        tip: Option<Tip>,
    ) -> Option<Plan> {
        let at = if let Subject::State { at } = subject { at } else { 0 };
        let named = match block_param(params.get(at)?) {
            BlockParam::Latest => BlockParam::Number(tip?.number),
            BlockParam::Earliest => BlockParam::Number(0),
            other => other,
        };
        let (number, hash) = match (named, subject) {
            (BlockParam::Number(number), _) => match self.view.place(number) {
                // While a newer head is known, what we know of recent blocks may be orphaned.
                Place::Recent(_) if tip.is_none() => return None,
                Place::Recent(hash) => (Some(number), Some(hash)),
                Place::Settled => (Some(number), None),
                Place::Unknown => return None,
            },
            // By hash: kept only when the answer itself says which number it has.
            (BlockParam::Hash(_), Subject::BlockHash) if method == "eth_getBlockByHash" => {
                (None, None)
            }
            _ => return None,
        };
        let block = match (hash, number, subject) {
            (Some(hash), _, Subject::State { .. }) => format!(r#"{{"blockHash":"{hash}"}}"#),
            (Some(hash), ..) => format!("\"{hash}\""),
            (None, Some(number), _) => format!("\"{number:#x}\""),
            (None, None, _) => (*params.get(at)?).to_owned(),
        };
        let method = match (subject, hash) {
            (Subject::BlockNumber { by_hash }, Some(_)) => by_hash.to_owned(),
            _ => method.to_owned(),
        };
        let mut asked = params.to_vec();
        *asked.get_mut(at)? = &block;
        let key = key(&method, &asked);
        let call = Call::new(method, format!("[{}]", asked.join(",")));
        Some(Plan { key, call, min_head: number, pin: number.zip(hash) })
    }

    async fn kept(&self, request: Request, plan: Plan) -> Result<Bytes, Refusal> {
        let turn = match self.answers.get(&plan.key).await {
            Ok(kept) if self.still_true(&kept) => return give(&kept.outcome),
            Ok(_) => {
                self.answers.forget(&plan.key);
                return self.forward_and_learn(request).await;
            }
            Err(turn) => turn,
        };
        let options = CallOptions {
            timeout: self.limits.timeout,
            min_head: plan.min_head,
            hedge: true,
            ..CallOptions::default()
        };
        let belief = match (&self.proofs, plan.pin, plan.min_head) {
            (Some(_), Some((_, hash)), _) if plan.call.method == RECEIPTS => {
                Belief::Receipts(Which::Hash(hash))
            }
            (Some(_), None, Some(number)) if plan.call.method == RECEIPTS => {
                Belief::Receipts(Which::Number(number))
            }
            _ => Belief::NotNull,
        };
        let heard = match belief {
            // A null is the caller's to judge: it goes on with the client's own words.
            Belief::NotNull => Box::pin(self.pool.call_with(&plan.call, &options)).await,
            belief => match self.hear(&plan.call, options, &belief).await {
                Ok(Heard::Believed(answer)) => Ok(answer),
                Ok(Heard::Doubted(_)) => Err(false_receipts()),
                Err(error) => Err(error),
            },
        };
        let outcome = match heard {
            Ok(answer) if answer.result.as_ref() != b"null" => Outcome::Result(answer.result),
            Err(RpcError { class: ErrorClass::Execution, object: Some(object), .. }) => {
                Outcome::Error(object)
            }
            // Orphaned meanwhile, or a node that cannot be asked by hash: the client's own words.
            Ok(_) | Err(_) => {
                drop(turn);
                return self.forward_and_learn(request).await;
            }
        };
        let pin = match (plan.pin, &outcome) {
            (None, Outcome::Result(block)) if plan.min_head.is_none() => block_pin(block),
            (pin, _) => pin,
        };
        let kept = Kept { outcome, pin };
        let certain = pin.is_some() || plan.min_head.is_some();
        let answer = give(&kept.outcome);
        if certain && self.still_true(&kept) {
            Answers::keep(turn, kept);
        }
        answer
    }

    /// A mined transaction is kept as long as its block is canonical.
    async fn transaction(&self, request: Request, key: Key) -> Result<Bytes, Refusal> {
        if let Some(kept) = self.answers.peek(&key) {
            if self.still_true(&kept) {
                return give(&kept.outcome);
            }
            self.answers.forget(&key);
        }
        let result = self.not_null(request).await?;
        let mined = serde_json::from_slice::<Option<Mined>>(&result).ok().flatten();
        if let Some(Mined { block_number: Some(number), block_hash: Some(hash) }) = mined {
            let pin = (number.to::<u64>(), hash);
            self.view.note_told(pin.0);
            if self.view.is_canonical(pin.0, &hash)
                && let Err(turn) = self.answers.get(&key).await
            {
                let outcome = Outcome::Result(result.clone());
                Answers::keep(turn, Kept { outcome, pin: Some(pin) });
            }
        }
        Ok(result)
    }

    fn still_true(&self, kept: &Kept) -> bool {
        kept.pin.is_none_or(|(number, hash)| self.view.is_canonical(number, &hash))
    }
}

/// No provider reached the height that was asked for; nobody said anything.
pub(super) fn is_of_nobody(error: &RpcError) -> bool {
    error.class == ErrorClass::NotYet && error.object.is_none()
}

fn false_receipts() -> RpcError {
    RpcError::of_pool(ErrorClass::NotYet, "no provider's receipts are those of the block")
}

fn give(outcome: &Outcome) -> Result<Bytes, Refusal> {
    match outcome {
        Outcome::Result(result) => Ok(result.clone()),
        Outcome::Error(object) => Err(Refusal::Node(RpcError {
            class: ErrorClass::Execution,
            object: Some(object.clone()),
            ..RpcError::of_pool(ErrorClass::Execution, "execution failed")
        })),
    }
}

fn block_pin(block: &[u8]) -> Option<(u64, B256)> {
    let block: Numbered = serde_json::from_slice(block).ok()?;
    Some((block.number.to(), block.hash?))
}

#[derive(Deserialize)]
struct Numbered {
    number: U64,
    #[serde(default)]
    hash: Option<B256>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mined {
    #[serde(default)]
    block_number: Option<U64>,
    #[serde(default)]
    block_hash: Option<B256>,
}

/// A fault that a client gets when its logs cannot be made complete.
pub(super) fn incomplete(text: &str) -> Fault {
    Fault { id: None, code: -32000, message: text.to_owned() }
}
