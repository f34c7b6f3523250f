//! Checks the text of ABI files and knows the event names of the built-in packs.
//!
//! Decoding is not done here: the checked text goes on to whoever decodes.

use alloy_json_abi::{Event, JsonAbi};
use serde_json::Value;

use super::BuiltInAbi;

/// Event names of ERC-20.
const ERC20: &[&str] = &["Transfer", "Approval"];

/// Event names of ERC-721.
const ERC721: &[&str] = &["Transfer", "Approval", "ApprovalForAll"];

/// Event names of an ERC-3643 (T-REX) suite: token, identity registry and its storage, trusted
/// issuers, claim topics, compliance, roles, ownership, proxies.
const ERC3643: &[&str] = &[
    "Transfer",
    "Approval",
    "UpdatedTokenInformation",
    "IdentityRegistryAdded",
    "ComplianceAdded",
    "RecoverySuccess",
    "AddressFrozen",
    "TokensFrozen",
    "TokensUnfrozen",
    "Paused",
    "Unpaused",
    "ClaimTopicsRegistrySet",
    "TrustedIssuersRegistrySet",
    "IdentityStorageSet",
    "IdentityRegistered",
    "IdentityRemoved",
    "IdentityUpdated",
    "CountryUpdated",
    "IdentityStored",
    "IdentityUnstored",
    "IdentityModified",
    "CountryModified",
    "IdentityRegistryBound",
    "IdentityRegistryUnbound",
    "TrustedIssuerAdded",
    "TrustedIssuerRemoved",
    "ClaimTopicsUpdated",
    "ClaimTopicAdded",
    "ClaimTopicRemoved",
    "TokenAgentAdded",
    "TokenAgentRemoved",
    "TokenBound",
    "TokenUnbound",
    "ModuleAdded",
    "ModuleRemoved",
    "ModuleInteraction",
    "AgentAdded",
    "AgentRemoved",
    "OwnershipTransferred",
    "OwnershipTransferStarted",
    "Initialized",
    "Upgraded",
    "AdminChanged",
    "BeaconUpgraded",
];

impl BuiltInAbi {
    /// The word of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Erc20 => "erc20",
            Self::Erc721 => "erc721",
            Self::Erc3643 => "erc3643",
        }
    }

    /// The pack of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Erc20, Self::Erc721, Self::Erc3643].into_iter().find(|pack| pack.as_str() == word)
    }

    /// Names of the events that the pack reads.
    pub fn event_names(self) -> &'static [&'static str] {
        match self {
            Self::Erc20 => ERC20,
            Self::Erc721 => ERC721,
            Self::Erc3643 => ERC3643,
        }
    }
}

/// Text of an ABI: a bare list, or an object of a compiler with the list under `abi`. Gives the list
/// as text and the names of its events, or what is wrong and what to do.
pub(super) fn read(text: &str) -> Result<(String, Vec<String>), (String, &'static str)> {
    let value: Value = serde_json::from_str(text)
        .map_err(|error| (format!("not JSON: {error}"), "name the JSON ABI of the contract"))?;
    let list = match value {
        Value::Object(mut object) => object.remove("abi").unwrap_or(Value::Null),
        list => list,
    };
    if !list.is_array() {
        let hint =
            "name a file with a list of ABI items, or a compiler's output with one under \"abi\"";
        return Err(("JSON, but not an ABI".to_owned(), hint));
    }
    let json = list.to_string();
    let abi: JsonAbi = serde_json::from_str(&json).map_err(|error| {
        (format!("not an ABI: {error}"), "name the JSON ABI that the compiler wrote")
    })?;
    let names: Vec<String> = abi.events.keys().cloned().collect();
    if names.is_empty() {
        return Err(("ABI without events".to_owned(), "there is nothing to index in it"));
    }
    Ok((json, names))
}

/// A factory's event, written with or without the leading word `event`, and its text in full.
pub(super) fn event(text: &str) -> Result<(Event, String), alloy_json_abi::parser::Error> {
    let text = text.trim().trim_end_matches(';').trim();
    let full = if text.starts_with("event ") { text.to_owned() } else { format!("event {text}") };
    Event::parse(&full).map(|event| (event, full))
}
