//! What the gateway asks about the running process: heads of chains and states of components.
//!
//! A port with two questions. Who answers is decided where the parts are put together; nothing here
//! measures anything.

use std::fmt;
use std::time::Duration;

use alloy_primitives::B256;

use crate::types::chain::ChainId;

/// The newest block that a chain's providers have shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainHead {
    pub chain: ChainId,
    pub number: u64,
    pub hash: B256,
    /// When it was seen first, since the Unix epoch.
    pub seen_at: Duration,
}

/// A part of the process or a dependency, and how it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    pub name: String,
    pub state: ComponentState,
    /// One line for an operator; never a secret, since `/api/v1/status` shows it.
    pub detail: String,
}

/// How a component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ComponentState {
    Ok,
    Starting,
    Degraded,
    Failed,
}

impl ComponentState {
    /// The word the outside sees.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Starting => "starting",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
        }
    }
}

/// Live facts. Both calls return at once from memory.
pub trait ChainLive: fmt::Debug + Send + Sync {
    fn heads(&self) -> Vec<ChainHead>;
    fn components(&self) -> Vec<Component>;
}
