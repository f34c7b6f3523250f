//! Typed events: one borrowed view per built-in layout, generated from `abi/` by `build.rs`.
//!
//! A view is made only from a log that passed every check, so its accessors cannot fail; they read the
//! log's bytes in place. Naming a view's contract and choosing its layout is the registry's business.

use std::marker::PhantomData;

use alloy_primitives::{Address, B256, U256};

use super::error::DecodeError;
use super::word::{self, Word, WordKind};
use crate::types::log::LogView;

/// Event sets that ship with the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pack {
    Erc20,
    Erc721,
    /// Every event of an ERC-3643 (T-REX) suite, ownership, proxies, timelock and Safe included.
    Erc3643,
    /// Every event of our own suite (`contracts/`), those that it shares with the standards included.
    Rwahub,
}

impl Pack {
    /// Every pack, in the order in which the default registry tries them.
    pub const ALL: [Self; 4] = [Self::Erc20, Self::Erc721, Self::Erc3643, Self::Rwahub];

    /// The name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Erc20 => "erc20",
            Self::Erc721 => "erc721",
            Self::Erc3643 => "erc3643",
            Self::Rwahub => "rwahub",
        }
    }
}

include!(concat!(env!("OUT_DIR"), "/events.rs"));
