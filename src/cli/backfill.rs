//! `rwahub backfill`: a progress bar on a terminal, log lines otherwise, one JSON object at the end.

use std::io::{IsTerminal, stderr};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::print;
use crate::app::backfill::{self, Report, Watch};
use crate::config::Config;
use crate::types::chain::ChainId;

/// How often the bar moves.
const BAR_EVERY: Duration = Duration::from_millis(100);
/// How often a log line tells the progress when there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

pub(super) async fn run(
    config: &Config,
    chain: ChainId,
    to: u64,
    json: bool,
) -> anyhow::Result<()> {
    let mut shown = None;
    let report = backfill::run(config, chain, to, |watch| {
        shown = Some(tokio::spawn(show(watch)));
    })
    .await;
    if let Some(task) = shown {
        task.abort();
        // An aborted task says so; that is what was asked of it.
        task.await.ok();
    }
    let report = report?;
    if json { print::data(&to_json(&report)) } else { print::data(&to_text(&report)) }
}

async fn show(watch: Watch) {
    if stderr().is_terminal() { bar(watch).await } else { lines(watch).await }
}

async fn bar(watch: Watch) {
    let total = (watch.to_block + 1).saturating_sub(watch.from_block);
    let bar = ProgressBar::new(total);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:30} {pos}/{len} blocks  {per_sec}  {msg}  ETA {eta}")
    {
        bar.set_style(style);
    }
    let started = Instant::now();
    loop {
        tokio::time::sleep(BAR_EVERY).await;
        bar.set_position(watch.progress.blocks.load(Ordering::Relaxed));
        let events = watch.progress.events.load(Ordering::Relaxed);
        bar.set_message(format!("{} events/s", per_second(events, started.elapsed())));
    }
}

async fn lines(watch: Watch) {
    let started = Instant::now();
    loop {
        tokio::time::sleep(LINE_EVERY).await;
        let blocks = watch.progress.blocks.load(Ordering::Relaxed);
        let events = watch.progress.events.load(Ordering::Relaxed);
        log::info!(
            blocks, events, to = watch.to_block,
            blocks_per_second = per_second(blocks, started.elapsed()),
            events_per_second = per_second(events, started.elapsed());
            "backfill"
        );
    }
}

fn per_second(count: u64, elapsed: Duration) -> u64 {
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    count.saturating_mul(1000) / millis
}

fn to_json(report: &Report) -> String {
    serde_json::json!({
        "chain_id": report.chain_id,
        "from_block": report.from_block,
        "to_block": report.to_block,
        "blocks": report.blocks,
        "logs": report.logs,
        "events": report.events,
        "undecoded": report.undecoded,
        "rpc_calls": report.rpc_calls,
        "seconds": report.seconds,
        "verified_through": report.verified_through,
    })
    .to_string()
}

fn to_text(report: &Report) -> String {
    let calls: u64 = report.rpc_calls.values().sum();
    format!(
        "chain {}: blocks {} to {} indexed in {:.1} s: {} blocks, {} logs, {} events, {} undecoded, \
         {calls} RPC calls, verified through {}",
        report.chain_id,
        report.from_block,
        report.to_block,
        report.seconds,
        report.blocks,
        report.logs,
        report.events,
        report.undecoded,
        report.verified_through.map_or_else(|| "nothing".to_owned(), |block| block.to_string()),
    )
}
