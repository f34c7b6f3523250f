//! How the reports of `check`, `providers`, `status` and `rewind` look, as text and as JSON.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::print;
use crate::app::check::{CheckReport, ProviderReport};
use crate::app::status::{Parked, Rebuild, StatusReport};
use crate::config::Config;
use crate::types::chain::{BlockId, ChainId};

pub(super) fn check(
    config: &Config,
    source: Option<&Path>,
    report: &CheckReport,
    json: bool,
) -> Result<()> {
    if json {
        let value = json!({
            "passed": report.passed(),
            "config": config.to_toml_redacted(),
            "store": {"ok": report.store_fault.is_none(), "fault": report.store_fault},
            "contracts": {"ok": report.abi_fault.is_none(), "fault": report.abi_fault},
            "providers": report.providers.iter().map(provider_json).collect::<Vec<_>>(),
        });
        return print::data(&value.to_string());
    }
    let from =
        source.map_or_else(|| "built-in defaults".to_owned(), |path| path.display().to_string());
    print::data(&format!("# effective configuration, from {from}\n{}", config.to_toml_redacted()))?;
    for provider in &report.providers {
        print::error(&provider_text(provider));
    }
    print::error(&outcome("store", report.store_fault.as_deref()));
    print::error(&outcome("contracts", report.abi_fault.as_deref()));
    Ok(())
}

pub(super) fn providers(providers: &[ProviderReport], json: bool) -> Result<()> {
    if json {
        let items: Vec<Value> = providers.iter().map(provider_json).collect();
        return print::data(&json!({ "items": items }).to_string());
    }
    let lines: Vec<String> = providers.iter().map(provider_text).collect();
    print::data(&lines.join("\n"))
}

pub(super) fn status(report: &StatusReport, json: bool) -> Result<()> {
    if json {
        let chains: Vec<Value> = report
            .chains
            .iter()
            .map(|chain| {
                json!({
                    "chain_id": chain.chain.0,
                    "name": chain.name,
                    "indexed": chain.indexed.map(|block| block.number),
                    "indexed_hash": chain.indexed.map(|block| block.hash.to_string()),
                    "finalized": chain.finalized,
                    "verified_through": chain.verified_through,
                    "blocks": chain.blocks,
                    "logs": chain.logs,
                    "events": chain.events,
                    "undecoded": chain.undecoded,
                    "digest": chain.digest.to_string(),
                    "parked": parked_json(&chain.parked),
                    "rebuilt_below": rebuilt_below(chain.rebuild),
                })
            })
            .collect();
        let value = json!({"store": report.store, "daemon": report.daemon, "chains": chains});
        return print::data(&value.to_string());
    }
    let daemon = report.daemon.as_deref().unwrap_or("not running");
    let mut text = format!("store {}, daemon {daemon}\n", report.store);
    for chain in &report.chains {
        let number = |block: Option<u64>| block.map_or_else(|| "-".to_owned(), |n| n.to_string());
        text += &format!(
            "{} ({}): indexed {}, finalized {}, verified through {}, {} events, {} undecoded\n",
            chain.name,
            chain.chain,
            number(chain.indexed.map(|block| block.number)),
            number(chain.finalized),
            number(chain.verified_through),
            chain.events,
            chain.undecoded,
        );
        if let Some(block) = rebuilt_below(chain.rebuild) {
            text +=
                &format!("  documents are being rebuilt and are complete below block {block}\n");
        }
        for parked in &chain.parked {
            text += &parked_text(parked);
        }
    }
    print::data(&text)
}

/// Handlers that wait for a fix.
pub(super) fn parked_json(parked: &[Parked]) -> Value {
    let one = |parked: &Parked| {
        json!({
            "handler": parked.handler,
            "block": parked.at.block,
            "log_index": parked.at.log_index,
            "reason": parked.reason,
        })
    };
    parked.iter().map(one).collect()
}

/// One line for a parked handler.
pub(super) fn parked_text(parked: &Parked) -> String {
    let Parked { handler, at, reason } = parked;
    format!("  handler {handler} is parked at block {} log {}: {reason}\n", at.block, at.log_index)
}

fn rebuilt_below(rebuild: Option<Rebuild>) -> Option<u64> {
    rebuild.map(|rebuild| match rebuild {
        Rebuild::Due => 0,
        Rebuild::From(block) => block,
    })
}

pub(super) fn rewound(chain: ChainId, block: BlockId, json: bool) -> Result<()> {
    if json {
        let value =
            json!({"chain_id": chain.0, "block": block.number, "hash": block.hash.to_string()});
        return print::data(&value.to_string());
    }
    print::data(&format!("chain {chain}: the index now ends at block {block}"))
}

fn provider_json(provider: &ProviderReport) -> Value {
    json!({
        "chain_id": provider.chain.0,
        "name": provider.name,
        "url": provider.url,
        "ok": provider.fault.is_none(),
        "head": provider.head,
        "fault": provider.fault,
    })
}

fn provider_text(provider: &ProviderReport) -> String {
    let name = format!("chain {} provider {} ({})", provider.chain, provider.name, provider.url);
    match (&provider.fault, provider.head) {
        (Some(fault), _) => format!("FAIL  {name}: {fault}"),
        (None, Some(head)) => format!("ok    {name}: head {head}"),
        (None, None) => format!("ok    {name}"),
    }
}

fn outcome(name: &str, fault: Option<&str>) -> String {
    fault.map_or_else(|| format!("ok    {name}"), |fault| format!("FAIL  {name}: {fault}"))
}
