//! What one process does of the daemon's work, so that several can share it.

use std::path::PathBuf;

use crate::config::{self, Config};

/// A part of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Everything in one process.
    #[default]
    All,
    /// Follows chains and commits. Of several, one per chain is active, the others stand by.
    Indexer,
    /// Answers clients; any number of them.
    Gateway,
    /// Carries events to the bus; any number of them, one of which is active.
    Worker,
}

impl Role {
    /// The words of the command line.
    pub const WORDS: [(&'static str, Self); 4] = [
        ("all", Self::All),
        ("indexer", Self::Indexer),
        ("gateway", Self::Gateway),
        ("worker", Self::Worker),
    ];

    /// The role of a word.
    pub fn parse(word: &str) -> Result<Self, String> {
        let known = Self::WORDS.iter().find(|(known, _)| *known == word);
        known.map(|(_, role)| *role).ok_or_else(|| {
            let words: Vec<_> = Self::WORDS.iter().map(|(word, _)| *word).collect();
            format!("use one of {}", words.join(", "))
        })
    }

    /// The control socket of this role: several may share a directory, and commands mean the indexer.
    pub(super) fn socket(self, path: PathBuf) -> PathBuf {
        let word = Self::WORDS.iter().find(|(_, role)| *role == self).map(|(word, _)| *word);
        match (word, path.file_name().and_then(|name| name.to_str())) {
            (Some(word), Some(name)) if !self.indexes() => {
                path.with_file_name(format!("{word}-{name}"))
            }
            _ => path,
        }
    }

    pub(super) fn indexes(self) -> bool {
        matches!(self, Self::All | Self::Indexer)
    }

    /// Answers clients beyond the probes.
    pub(super) fn serves(self) -> bool {
        matches!(self, Self::All | Self::Gateway)
    }

    pub(super) fn relays(self) -> bool {
        matches!(self, Self::All | Self::Worker)
    }

    pub(super) fn asks_nodes(self) -> bool {
        self != Self::Worker
    }

    /// What the configuration cannot give this role, with the key to change.
    pub(super) fn doubts(self, config: &Config) -> Option<&'static str> {
        let alone = matches!(config.cache, config::Cache::Memory);
        let no_bus = matches!(config.bus, config::Bus::Embedded);
        match self {
            Self::Worker if no_bus => Some(
                "--role worker has nothing to do: [bus] kind = \"embedded\" needs no relay; \
                 set kind = \"nats\" and url, or leave the worker out",
            ),
            Self::Gateway | Self::Indexer if alone => Some(
                "[cache] kind = \"memory\": gateways hear of commits by asking the store, limits count \
                 per process, and no lease keeps two indexers apart; set kind = \"redis\" and url",
            ),
            _ => None,
        }
    }
}
