//! Answers that are asked for again elsewhere: a `null` for what may exist, a transaction that one
//! provider calls pending, logs and receipts that their block disproves.

use serde::Deserialize;

use super::Proxy;
use crate::rpc::error::RpcError;
use crate::rpc::eth::{LogFilter, Which};
use crate::rpc::pool::{Answer, CallOptions};
use crate::rpc::wire::{Call, logs};

/// Providers asked before something counts as absent.
const ASKED_MAX: usize = 4;

/// What makes an answer good enough to stop asking.
#[derive(Debug)]
pub(super) enum Belief {
    /// The thing exists.
    NotNull,
    /// The transaction is in a block.
    Mined,
    /// All logs of these blocks that pass the filter.
    Logs(LogFilter, Vec<Which>),
    /// All receipts of this block.
    Receipts(Which),
}

impl Belief {
    /// Whether the question is about a single thing, so that there is no smaller one to ask instead.
    fn is_of_one_thing(&self) -> bool {
        match self {
            Self::Logs(_, blocks) => blocks.len() == 1,
            Self::Receipts(_) | Self::NotNull | Self::Mined => true,
        }
    }
}

/// An answer, and whether it is believed.
#[derive(Debug)]
pub(super) enum Heard {
    Believed(Answer),
    /// The best that anybody said.
    Doubted(Answer),
}

impl Heard {
    pub(super) fn answer(self) -> Answer {
        let (Self::Believed(answer) | Self::Doubted(answer)) = self;
        answer
    }
}

impl Proxy {
    /// Asks one provider after the other until an answer is believed.
    pub(super) async fn hear(
        &self,
        call: &Call,
        mut options: CallOptions,
        belief: &Belief,
    ) -> Result<Heard, RpcError> {
        let mut doubted: Option<Answer> = None;
        let mut refused: Option<RpcError> = None;
        for _ in 0..self.pool.endpoints().len().clamp(1, ASKED_MAX) {
            match Box::pin(self.pool.call_with(call, &options)).await {
                Ok(answer) if self.believes(belief, &answer).await? => {
                    return Ok(Heard::Believed(answer));
                }
                Ok(answer) => {
                    options.exclude.push(answer.provider.clone());
                    // Something is more than nothing: pending more than unknown.
                    if doubted.as_ref().is_none_or(|best| best.result.as_ref() == b"null") {
                        doubted = Some(answer);
                    }
                }
                // One thing cannot be asked for in pieces, so what is too much for one provider is
                // asked of the next.
                Err(error) if error.class.is_too_much() && belief.is_of_one_thing() => {
                    options.exclude.push(error.endpoint.clone());
                    refused = Some(error);
                }
                // Whoever is left would answer a smaller question.
                Err(error) if error.class.is_too_much() => return Err(error),
                Err(error) => return doubted.map(Heard::Doubted).ok_or(error),
            }
        }
        let text = "no provider is left to ask";
        let nobody = || RpcError::of_pool(crate::rpc::error::ErrorClass::Unreachable, text);
        doubted.map(Heard::Doubted).ok_or_else(|| refused.unwrap_or_else(nobody))
    }

    async fn believes(&self, belief: &Belief, answer: &Answer) -> Result<bool, RpcError> {
        let Some(proofs) = &self.proofs else {
            return Ok(match belief {
                Belief::NotNull => answer.result.as_ref() != b"null",
                Belief::Mined => is_mined(&answer.result),
                Belief::Logs(..) | Belief::Receipts(_) => true,
            });
        };
        match belief {
            Belief::NotNull => Ok(answer.result.as_ref() != b"null"),
            Belief::Mined => Ok(is_mined(&answer.result)),
            Belief::Logs(filter, blocks) => match logs::parse(&answer.result) {
                Ok(said) => Box::pin(proofs.logs_hold(filter, blocks.clone(), &said)).await,
                Err(_) => Ok(false),
            },
            Belief::Receipts(which) => Box::pin(proofs.receipts_hold(*which, answer)).await,
        }
    }
}

fn is_mined(result: &[u8]) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Place {
        #[serde(default)]
        block_hash: Option<alloy_primitives::B256>,
    }
    let place: Option<Place> = serde_json::from_slice(result).ok().flatten();
    place.is_some_and(|place| place.block_hash.is_some())
}
