//! `rwahub reindex` and `rwahub verify`: progress to the log, the report to stdout.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::{print, report};
use crate::app::maintain::{self, Reindexed};
use crate::app::verify::{self, Depth, Task, Verified};
use crate::config::Config;
use crate::types::chain::ChainId;

/// How often a log line tells the progress.
const LINE_EVERY: Duration = Duration::from_secs(5);

pub(super) async fn reindex(config: &Config, chain: Option<ChainId>, json: bool) -> Result<()> {
    let pace = Pace::default();
    let done = maintain::reindex(config, chain, |chain, block, last| {
        pace.tell("reindex", chain, block, last);
    })
    .await?;
    if json {
        let chains: Vec<_> = done.iter().map(reindexed_json).collect();
        return print::data(&json!({ "chains": chains }).to_string());
    }
    let text: String = done.iter().map(reindexed_text).collect();
    print::data(text.trim_end())
}

/// Whether the index is whole now.
pub(super) async fn verify(
    config: &Config,
    chain: ChainId,
    how: (Depth, Task),
    json: bool,
) -> Result<bool> {
    let pace = Pace::default();
    let done = verify::run(config, chain, how, |block, last| {
        pace.tell("verify", chain, block, last);
    })
    .await?;
    if json { print::data(&verified_json(&done)) } else { print::data(&verified_text(&done)) }?;
    Ok(done.report.faulty == 0 || done.report.repaired)
}

/// Lines of progress, not more often than they are worth reading.
#[derive(Debug, Default)]
struct Pace(Cell<Option<Instant>>);

impl Pace {
    fn tell(&self, what: &str, chain: ChainId, block: u64, last: u64) {
        let now = Instant::now();
        if self.0.get().is_none_or(|told| now.duration_since(told) >= LINE_EVERY) {
            self.0.set(Some(now));
            log::info!(chain = chain.0, block, last; "{what}");
        }
    }
}

fn reindexed_json(done: &Reindexed) -> serde_json::Value {
    json!({
        "chain_id": done.chain.0,
        "to_block": done.to_block,
        "blocks": done.rebuilt.blocks,
        "logs": done.rebuilt.logs,
        "undecoded": done.rebuilt.undecoded,
        "digest": done.rebuilt.digest.to_string(),
        "parked": report::parked_json(&done.rebuilt.parked),
        "seconds": done.seconds,
    })
}

fn reindexed_text(done: &Reindexed) -> String {
    let mut text = format!(
        "chain {}: documents built from {} logs in {} blocks in {:.1} s, {} undecoded, digest {}\n",
        done.chain,
        done.rebuilt.logs,
        done.rebuilt.blocks,
        done.seconds,
        done.rebuilt.undecoded,
        done.rebuilt.digest,
    );
    for parked in &done.rebuilt.parked {
        text += &report::parked_text(parked);
    }
    text
}

fn verified_json(done: &Verified) -> String {
    let faults: Vec<_> = done
        .report
        .faults
        .iter()
        .map(|fault| json!({"block": fault.block, "fault": fault.what}))
        .collect();
    json!({
        "chain_id": done.chain.0,
        "from_block": done.report.from,
        "to_block": done.report.to,
        "blocks": done.report.blocks,
        "asked": done.report.asked,
        "unverified": done.report.unverified,
        "faulty": done.report.faulty,
        "faults": faults,
        "repaired": done.report.repaired,
        "verified_through": done.verified_through,
        "digest": done.digest.to_string(),
        "rpc_calls": done.rpc_calls,
        "seconds": done.seconds,
    })
    .to_string()
}

fn verified_text(done: &Verified) -> String {
    let number = |block: Option<u64>| block.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let mut text = format!(
        "chain {}: {} stored blocks from {} to {} gone over, {} asked for again, {} still unverified, \
         verified through {}, {:.1} s\n",
        done.chain,
        done.report.blocks,
        number(done.report.from),
        number(done.report.to),
        done.report.asked,
        done.report.unverified,
        number(done.verified_through),
        done.seconds,
    );
    for fault in &done.report.faults {
        text += &format!("  block {}: {}\n", fault.block, fault.what);
    }
    text += match (done.report.faults.is_empty(), done.report.repaired) {
        (true, _) => "nothing is missing or wrong",
        (false, true) => "repaired; the documents were built again",
        (false, false) => "run it again with --repair to mend this",
    };
    text
}
