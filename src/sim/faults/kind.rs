//! The names of everything that can go wrong.

/// One way to misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Fault {
    /// Connections are reset as soon as they are accepted.
    Refuse,
    /// The connection is reset instead of an answer.
    Reset,
    /// The connection is reset after half of the answer.
    ResetMidBody,
    /// No answer ever.
    Hang,
    /// The answer trickles over ten seconds.
    SlowBody,
    /// 429 without `Retry-After`.
    Status429,
    /// 429 with `Retry-After: 1`.
    Status429RetryAfter,
    /// 402: the plan's volume is used up.
    Status402,
    /// 500 with a plain text.
    Status500,
    /// 502 with an HTML page, as load balancers send it.
    Status502,
    /// 503 with a JSON-RPC error: no backend is healthy.
    Status503,
    /// 200 with an HTML page.
    Html200,
    /// 200 with nothing.
    EmptyBody,
    /// The answer ends early though the transfer is complete.
    TruncatedJson,
    /// A result of 256 MiB.
    HugeBody,
    /// -32005 in a 200: too many requests.
    RateLimitError,
    /// -32603 in a 200.
    InternalErrorRpc,
    /// -32000 header not found, though the block is there.
    HeaderNotFound,
    /// The answer carries another request's id.
    WrongId,
    /// Batch items come in another order (allowed by the standard).
    BatchShuffled,
    /// One batch item is left out.
    BatchMissing,
    /// One batch item comes twice.
    BatchDuplicate,
    /// One error object instead of a batch.
    BatchSingleError,
    /// `eth_chainId` and `net_version` name another chain.
    WrongChainId,
    /// The head stands still from the first hit on.
    StuckHead,
    /// The head is announced before the blocks can be read.
    HeadAhead,
    /// The head jumps back by one to eight blocks.
    HeadBack,
    /// Still serves the branch that the last fork orphaned.
    StaleFork,
    /// `null` for a block, transaction or receipt that exists.
    NullResult,
    /// `[]` for logs that exist, also in receipts.
    EmptyLogs,
    /// One log is missing from an answer or a subscription.
    DropLog,
    /// Each log is missing with this rate, the same ones every time; blooms and receipts stay true.
    OmitLogs,
    /// One log has another index.
    CorruptLogIndex,
    /// WebSocket handshakes get a 403.
    WsRefuse,
    /// Subscriptions are confirmed and never deliver.
    WsSilent,
    /// The WebSocket is reset in the middle of deliveries.
    WsClose,
    /// A head is delivered twice.
    WsDuplicateHeads,
    /// A head is not delivered.
    WsGappedHeads,
}

impl Fault {
    /// Every fault; a fault's place here is its discriminant.
    pub const ALL: [Self; 38] = [
        Self::Refuse,
        Self::Reset,
        Self::ResetMidBody,
        Self::Hang,
        Self::SlowBody,
        Self::Status429,
        Self::Status429RetryAfter,
        Self::Status402,
        Self::Status500,
        Self::Status502,
        Self::Status503,
        Self::Html200,
        Self::EmptyBody,
        Self::TruncatedJson,
        Self::HugeBody,
        Self::RateLimitError,
        Self::InternalErrorRpc,
        Self::HeaderNotFound,
        Self::WrongId,
        Self::BatchShuffled,
        Self::BatchMissing,
        Self::BatchDuplicate,
        Self::BatchSingleError,
        Self::WrongChainId,
        Self::StuckHead,
        Self::HeadAhead,
        Self::HeadBack,
        Self::StaleFork,
        Self::NullResult,
        Self::EmptyLogs,
        Self::DropLog,
        Self::OmitLogs,
        Self::CorruptLogIndex,
        Self::WsRefuse,
        Self::WsSilent,
        Self::WsClose,
        Self::WsDuplicateHeads,
        Self::WsGappedHeads,
    ];

    /// The name on the command line and at the control port.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Reset => "reset",
            Self::ResetMidBody => "reset-mid-body",
            Self::Hang => "hang",
            Self::SlowBody => "slow-body",
            Self::Status429 => "status-429",
            Self::Status429RetryAfter => "status-429-retry-after",
            Self::Status402 => "status-402",
            Self::Status500 => "status-500",
            Self::Status502 => "status-502",
            Self::Status503 => "status-503",
            Self::Html200 => "html-200",
            Self::EmptyBody => "empty-body",
            Self::TruncatedJson => "truncated-json",
            Self::HugeBody => "huge-body",
            Self::RateLimitError => "rate-limit-error",
            Self::InternalErrorRpc => "internal-error",
            Self::HeaderNotFound => "header-not-found",
            Self::WrongId => "wrong-id",
            Self::BatchShuffled => "batch-shuffled",
            Self::BatchMissing => "batch-missing",
            Self::BatchDuplicate => "batch-duplicate",
            Self::BatchSingleError => "batch-single-error",
            Self::WrongChainId => "wrong-chain-id",
            Self::StuckHead => "stuck-head",
            Self::HeadAhead => "head-ahead",
            Self::HeadBack => "head-back",
            Self::StaleFork => "stale-fork",
            Self::NullResult => "null-result",
            Self::EmptyLogs => "empty-logs",
            Self::DropLog => "drop-log",
            Self::OmitLogs => "omit-logs",
            Self::CorruptLogIndex => "corrupt-log-index",
            Self::WsRefuse => "ws-refuse",
            Self::WsSilent => "ws-silent",
            Self::WsClose => "ws-close",
            Self::WsDuplicateHeads => "ws-duplicate-heads",
            Self::WsGappedHeads => "ws-gapped-heads",
        }
    }

    /// One line on what it does.
    pub fn summary(self) -> &'static str {
        match self {
            Self::Refuse => "Connections are reset as soon as they are accepted.",
            Self::Reset => "The connection is reset instead of an answer.",
            Self::ResetMidBody => "The connection is reset after half of the answer.",
            Self::Hang => "No answer ever.",
            Self::SlowBody => "The answer trickles over ten seconds.",
            Self::Status429 => "429 without Retry-After.",
            Self::Status429RetryAfter => "429 with Retry-After: 1.",
            Self::Status402 => "402: the plan's volume is used up.",
            Self::Status500 => "500 with a plain text.",
            Self::Status502 => "502 with an HTML page, as load balancers send it.",
            Self::Status503 => "503 with a JSON-RPC error: no backend is healthy.",
            Self::Html200 => "200 with an HTML page.",
            Self::EmptyBody => "200 with nothing.",
            Self::TruncatedJson => "The answer ends early though the transfer is complete.",
            Self::HugeBody => "A result of 256 MiB.",
            Self::RateLimitError => "-32005 in a 200: too many requests.",
            Self::InternalErrorRpc => "-32603 in a 200.",
            Self::HeaderNotFound => "-32000 header not found, though the block is there.",
            Self::WrongId => "The answer carries another request's id.",
            Self::BatchShuffled => "Batch items come in another order (allowed by the standard).",
            Self::BatchMissing => "One batch item is left out.",
            Self::BatchDuplicate => "One batch item comes twice.",
            Self::BatchSingleError => "One error object instead of a batch.",
            Self::WrongChainId => "eth_chainId and net_version name another chain.",
            Self::StuckHead => "The head stands still from the first hit on.",
            Self::HeadAhead => "The head is announced before the blocks can be read.",
            Self::HeadBack => "The head jumps back by one to eight blocks.",
            Self::StaleFork => "Still serves the branch that the last fork orphaned.",
            Self::NullResult => "null for a block, transaction or receipt that exists.",
            Self::EmptyLogs => "[] for logs that exist, also in receipts.",
            Self::DropLog => "One log is missing from an answer or a subscription.",
            Self::OmitLogs => {
                "Each log is missing with this rate, the same ones every time; blooms and receipts stay true."
            }
            Self::CorruptLogIndex => "One log has another index.",
            Self::WsRefuse => "WebSocket handshakes get a 403.",
            Self::WsSilent => "Subscriptions are confirmed and never deliver.",
            Self::WsClose => "The WebSocket is reset in the middle of deliveries.",
            Self::WsDuplicateHeads => "A head is delivered twice.",
            Self::WsGappedHeads => "A head is not delivered.",
        }
    }

    /// The fault of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_kebab_case_unique_and_found_again() {
        let names: HashSet<_> = Fault::ALL.iter().map(|fault| fault.name()).collect();
        assert_eq!(names.len(), Fault::ALL.len());
        for (place, fault) in Fault::ALL.iter().enumerate() {
            assert_eq!(*fault as usize, place);
            assert_eq!(Fault::find(fault.name()), Some(*fault));
            assert!(
                fault
                    .name()
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c == '-' || c.is_ascii_digit())
            );
        }
    }
}
