//! `rwahub sim`: flags → the simulator's settings, and the lines that tell where it listens.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use super::print;
use crate::app;
use crate::sim::{Caps, ForkPlan, ProviderSettings, RandomForks, Settings, Sim};

/// The chain, its providers and what goes wrong. What is left out has the defaults of `docs/sim.md`.
#[derive(Debug, Args)]
pub(super) struct SimArguments {
    /// Names the chain: equal settings give the same chain to the last hash
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What eth_chainId answers
    #[arg(long, value_name = "ID", default_value_t = 31_337)]
    chain_id: u64,
    /// Height of the head at the start
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    blocks: u64,
    /// Logs of every block
    #[arg(long, value_name = "N", default_value_t = 10)]
    logs_per_block: u32,
    /// Token contracts
    #[arg(long, value_name = "N", default_value_t = 50)]
    contracts: u32,
    /// Accounts that hold tokens
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    holders: u32,
    /// Share of Transfer among the logs
    #[arg(long, value_name = "PERCENT", default_value_t = 67)]
    transfer_percent: u8,
    /// Share of ERC-3643 events among the logs
    #[arg(long, value_name = "PERCENT", default_value_t = 8)]
    erc3643_percent: u8,
    /// Share of ERC-721, un-indexed and anonymous logs
    #[arg(long, value_name = "PERCENT", default_value_t = 0)]
    odd_percent: u8,
    /// Every so manieth block has no transaction; 0 for none
    #[arg(long, value_name = "N", default_value_t = 0)]
    quiet_every: u64,
    /// Timestamp of the genesis, in seconds since the Unix epoch
    #[arg(long, value_name = "SECONDS", default_value_t = 1_700_000_000)]
    genesis_timestamp: u64,
    /// Milliseconds between blocks
    #[arg(long, value_name = "MS", default_value_t = 2_000)]
    block_time: u64,
    /// Mine by itself
    #[arg(long, action = clap::ArgAction::Set, default_value_t = true)]
    live: bool,
    /// Blocks that `finalized` stays behind the head
    #[arg(long, value_name = "N", default_value_t = 64)]
    finalized_depth: u64,
    /// Blocks that `safe` stays behind the head
    #[arg(long, value_name = "N", default_value_t = 32)]
    safe_depth: u64,
    /// A fork at a height; may be given several times
    #[arg(long = "fork", value_name = "AT:DEPTH:LENGTH")]
    forks: Vec<ForkPlan>,
    /// Forks drawn from the seed
    #[arg(long, value_name = "EVERY:DEPTH")]
    random_forks: Option<RandomForks>,
    /// Providers that serve the chain
    #[arg(long, value_name = "N", default_value_t = 1)]
    providers: u16,
    /// Port of provider 0, the next ones follow; 0 picks free ports
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Port of the truth and of orders; 0 picks a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    control_port: u16,
    /// Where every port is bound
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    listen: IpAddr,
    /// A fault, for all providers or for provider N; may be given several times
    #[arg(long = "fault", value_name = "[N:]NAME[=RATE][@METHODS]")]
    faults: Vec<String>,
    /// Limits of eth_getLogs, refused in a vendor's words
    #[arg(long, value_name = "VENDOR[:BLOCKS[:RESULTS[:BATCH]]]")]
    caps: Option<Caps>,
    /// Blocks that every provider trails the chain
    #[arg(long, value_name = "BLOCKS", default_value_t = 0)]
    lag: u64,
    /// Milliseconds added to every answer
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency: u64,
    /// Random milliseconds on top of the latency, at most
    #[arg(long, value_name = "MS", default_value_t = 0)]
    jitter: u64,
}

/// Serves until Ctrl-C or SIGTERM.
pub(super) async fn run(arguments: &SimArguments) -> Result<()> {
    let settings = settings(arguments)?;
    let stop = app::run::stop_signal()?;
    Sim::run(settings, stop, announce).await.context("the simulation")
}

fn announce(sim: &Sim) {
    for (index, address) in sim.providers.iter().enumerate() {
        print::error(&format!("provider {index}: http://{address} (ws on the same port)"));
    }
    print::error(&format!("control:    http://{}", sim.control));
}

fn settings(arguments: &SimArguments) -> Result<Settings> {
    let provider = |index: u16| -> Result<ProviderSettings> {
        let port = match arguments.port {
            0 => 0,
            first => first.checked_add(index).with_context(|| {
                format!("--port {first}: provider {index} would pass port 65535; begin lower")
            })?,
        };
        Ok(ProviderSettings {
            port,
            caps: arguments.caps.unwrap_or_default(),
            latency: Duration::from_millis(arguments.latency),
            jitter: Duration::from_millis(arguments.jitter),
            lag_blocks: arguments.lag,
            ..ProviderSettings::default()
        })
    };
    let mut settings = Settings {
        seed: arguments.seed,
        chain_id: arguments.chain_id,
        blocks: arguments.blocks,
        logs_per_block: arguments.logs_per_block,
        contracts: arguments.contracts,
        holders: arguments.holders,
        transfer_percent: arguments.transfer_percent,
        erc3643_percent: arguments.erc3643_percent,
        odd_percent: arguments.odd_percent,
        quiet_every: arguments.quiet_every,
        block_time: Duration::from_millis(arguments.block_time),
        genesis_timestamp: arguments.genesis_timestamp,
        live: arguments.live,
        finalized_depth: arguments.finalized_depth,
        safe_depth: arguments.safe_depth,
        forks: arguments.forks.clone(),
        random_forks: arguments.random_forks,
        listen: arguments.listen,
        control_port: arguments.control_port,
        providers: (0..arguments.providers).map(provider).collect::<Result<_>>()?,
        ..Settings::default()
    };
    for fault in &arguments.faults {
        settings.add_fault(fault).with_context(|| format!("--fault {fault}"))?;
    }
    Ok(settings)
}
