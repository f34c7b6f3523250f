//! Checks the text of ABI files and knows the event names of the built-in packs (`abi/`).
//!
//! Decoding is not done here: the checked text goes on to whoever decodes.

use std::collections::BTreeSet;

use alloy_json_abi::{Event, JsonAbi};
use serde_json::Value;

use super::BuiltInAbi;

/// ABIs of the built-in packs, by the files that decoding is generated from.
const ERC20: &[&str] = &[include_str!("../../abi/erc20.json")];

const ERC721: &[&str] = &[include_str!("../../abi/erc721.json")];

const ERC3643: &[&str] = &[
    include_str!("../../abi/erc3643-token.json"),
    include_str!("../../abi/erc3643-registry.json"),
    include_str!("../../abi/erc3643-compliance.json"),
    include_str!("../../abi/erc3643-factory.json"),
    include_str!("../../abi/erc3643-onchainid.json"),
    include_str!("../../abi/erc3643-settlement.json"),
    include_str!("../../abi/erc3643-control.json"),
    include_str!("../../abi/erc3643-safe.json"),
];

/// Our own suite, its proxies and its Safe; a test holds the list to the folder.
const RWAHUB: &[&str] = &[
    include_str!("../../abi/erc3643-control.json"),
    include_str!("../../abi/erc3643-safe.json"),
    include_str!("../../abi/hub/ComplianceEngine.json"),
    include_str!("../../abi/hub/Distributor.json"),
    include_str!("../../abi/hub/DocumentRegistry.json"),
    include_str!("../../abi/hub/DvpSettlement.json"),
    include_str!("../../abi/hub/PrimaryOffering.json"),
    include_str!("../../abi/hub/RedemptionQueue.json"),
    include_str!("../../abi/hub/RwaToken.json"),
    include_str!("../../abi/hub/TimelockController.json"),
    include_str!("../../abi/hub/TokenFactory.json"),
    include_str!("../../abi/hub/TokenPolicyView.json"),
    include_str!("../../abi/hub/VersionRegistry.json"),
];

impl BuiltInAbi {
    /// Every pack.
    pub const ALL: [Self; 4] = [Self::Erc20, Self::Erc721, Self::Erc3643, Self::Rwahub];

    /// The word of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Erc20 => "erc20",
            Self::Erc721 => "erc721",
            Self::Erc3643 => "erc3643",
            Self::Rwahub => "rwahub",
        }
    }

    /// The pack of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|pack| pack.as_str() == word)
    }

    /// Names of the events that the pack reads, sorted.
    pub fn event_names(self) -> BTreeSet<String> {
        let files = match self {
            Self::Erc20 => ERC20,
            Self::Erc721 => ERC721,
            Self::Erc3643 => ERC3643,
            Self::Rwahub => RWAHUB,
        };
        files
            .iter()
            .filter_map(|text| serde_json::from_str::<JsonAbi>(text).ok())
            .flat_map(|abi| abi.events.into_keys())
            .collect()
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
