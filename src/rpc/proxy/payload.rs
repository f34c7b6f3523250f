//! What was found for a request: its bytes or a flow of them, and where they come from.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::{self, StreamExt};

use super::Proxy;
use crate::rpc::endpoint::stream::{ResultStream, Spill};
use crate::rpc::error::{ErrorClass, RpcError};
use crate::rpc::pool::CallOptions;
use crate::rpc::wire::Call;

/// Larger answers are handed on as they arrive instead of being held: what a cache entry may have.
pub(super) const WHOLE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where an answer comes from; several for a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Source(u8);

impl Source {
    /// A provider was asked.
    pub const UPSTREAM: Self = Self(1);
    /// Kept from an earlier call, or shared with an equal one under way.
    pub const CACHE: Self = Self(2);
    /// The index of this program.
    pub const INDEX: Self = Self(4);
    /// What the program knows by itself: the configuration, the head, its own filters.
    pub const HUB: Self = Self(8);

    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// For the header; empty when nothing was answered.
    pub fn as_str(self) -> &'static str {
        const WORDS: [&str; 16] = [
            "",
            "upstream",
            "cache",
            "cache, upstream",
            "index",
            "index, upstream",
            "index, cache",
            "index, cache, upstream",
            "hub",
            "hub, upstream",
            "hub, cache",
            "hub, cache, upstream",
            "hub, index",
            "hub, index, upstream",
            "hub, index, cache",
            "hub, index, cache, upstream",
        ];
        WORDS.get(usize::from(self.0)).copied().unwrap_or_default()
    }
}

/// A result in pieces. One that ends with an error is no result: the connection must break.
pub struct Flow(Pin<Box<dyn Stream<Item = Result<Bytes, RpcError>> + Send>>);

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flow")
    }
}

impl Flow {
    pub(super) fn new(
        pieces: impl Stream<Item = Result<Bytes, RpcError>> + Send + 'static,
    ) -> Self {
        Self(Box::pin(pieces))
    }

    /// The next piece.
    pub async fn next(&mut self) -> Option<Result<Bytes, RpcError>> {
        self.0.next().await
    }
}

/// The bytes of a result.
#[derive(Debug)]
pub(super) enum Payload {
    Whole(Bytes),
    Flow(Flow),
}

/// A result with where it comes from.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) payload: Payload,
    pub(super) source: Source,
    /// The index is proven up to this block.
    pub(super) verified_to: Option<u64>,
}

impl Found {
    pub(super) fn of(source: Source, result: impl Into<Bytes>) -> Self {
        Self { payload: Payload::Whole(result.into()), source, verified_to: None }
    }

    pub(super) fn hub(result: impl Into<Bytes>) -> Self {
        Self::of(Source::HUB, result)
    }

    pub(super) fn cache(result: impl Into<Bytes>) -> Self {
        Self::of(Source::CACHE, result)
    }

    pub(super) fn upstream(result: impl Into<Bytes>) -> Self {
        Self::of(Source::UPSTREAM, result)
    }

    pub(super) fn flow(flow: Flow) -> Self {
        Self { payload: Payload::Flow(flow), source: Source::UPSTREAM, verified_to: None }
    }

    /// The result where it is held in one piece.
    pub(super) fn whole(&self) -> Option<&Bytes> {
        match &self.payload {
            Payload::Whole(result) => Some(result),
            Payload::Flow(_) => None,
        }
    }
}

/// What a provider answered.
#[derive(Debug)]
pub(super) enum Got {
    Whole(Bytes),
    Open { stream: Box<ResultStream>, provider: Arc<str> },
}

/// Methods whose result is a number, a hash or a word: a large one is nonsense, to be found out before
/// any of it is passed on.
fn is_small(method: &str) -> bool {
    matches!(
        method,
        "eth_blockNumber"
            | "eth_gasPrice"
            | "eth_maxPriorityFeePerGas"
            | "eth_blobBaseFee"
            | "eth_estimateGas"
            | "eth_getBalance"
            | "eth_getTransactionCount"
            | "eth_getStorageAt"
            | "eth_getBlockTransactionCountByHash"
            | "eth_getBlockTransactionCountByNumber"
            | "eth_getUncleCountByBlockHash"
            | "eth_getUncleCountByBlockNumber"
            | "eth_syncing"
            | "net_version"
            | "net_listening"
            | "net_peerCount"
            | "web3_sha3"
            | "web3_clientVersion"
    ) || method.starts_with("eth_send")
        || method.starts_with("eth_sign")
}

impl Proxy {
    /// Asks a provider; a large result is left open instead of being held.
    pub(super) async fn ask(&self, mut call: Call, options: &CallOptions) -> Result<Got, RpcError> {
        if is_small(&call.method) {
            let answer = Box::pin(self.pool.call_with(&call, options)).await?;
            return Ok(Got::Whole(answer.result));
        }
        let array = matches!(&*call.method, "eth_getLogs" | "eth_getBlockReceipts");
        let spill = Spill::above(WHOLE_BYTES_MAX, array.then_some(b'['));
        call.spill = Some(spill.clone());
        let answer = Box::pin(self.pool.call_with(&call, options)).await?;
        if !answer.result.is_empty() {
            return Ok(Got::Whole(answer.result));
        }
        match spill.take() {
            Some(stream) => Ok(Got::Open { stream: Box::new(stream), provider: answer.provider }),
            None => Err(RpcError::of_pool(ErrorClass::BadAnswer, "an answer without a result")),
        }
    }

    /// What was got, as a result for the client.
    pub(super) fn found(self: &Arc<Self>, method: &str, got: Got) -> Found {
        match got {
            Got::Whole(result) => Found::upstream(result),
            Got::Open { stream, provider } => {
                let state = (self.clone(), method.to_owned(), stream, provider);
                Found::flow(Flow::new(stream::unfold(state, |mut state| async move {
                    let item = state.2.next().await?;
                    if let Err(error) = &item {
                        state.0.broke_off(&state.1, &state.3, error);
                    }
                    Some((item, state))
                })))
            }
        }
    }

    /// An answer that broke off after it was handed on counts against its provider all the same.
    pub(super) fn broke_off(&self, method: &str, provider: &str, error: &RpcError) {
        log::warn!("{method}: an answer broke off on its way to a client: {error}");
        if let Some(endpoint) = self.pool.endpoint(provider) {
            endpoint.health.start(false).finish::<()>(method, &Err(error.clone()));
        }
    }
}
