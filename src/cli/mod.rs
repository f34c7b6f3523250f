//! The command line: parse, load the configuration, call `app`, print, map errors to exit codes.
//!
//! Decides nothing about what a command does. Exit codes: 0 done, 1 failed, 2 usage or configuration.

mod backfill;

mod maintain;

mod print;

mod providers;

mod report;

mod sim;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::app;
use crate::app::reload::Source;
use crate::app::verify::{Depth, Task};
use crate::config::error::ConfigErrors;
use crate::config::load::{self, Loaded, Override};
use crate::telemetry;
use crate::types::chain::ChainId;

/// EVM indexer and JSON-RPC multiplexer for real-world-asset tokens.
#[derive(Debug, Parser)]
#[command(name = "rwahub", version, propagate_version = true)]
struct Arguments {
    /// Configuration file [default: config.toml if it exists, then built-in defaults]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Sets one configuration key, e.g. --set gateway.listen=127.0.0.1:9000
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = parse_override)]
    overrides: Vec<Override>,

    /// Prints data as JSON
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Indexes and serves until SIGTERM or Ctrl-C
    Run,
    /// Prints the effective configuration with secrets redacted and tries each dependency
    Check,
    /// Indexes one chain up to a block, reports and exits
    Backfill {
        /// Chain id
        #[arg(long, value_name = "ID")]
        chain: u64,
        /// Last block to index
        #[arg(long, value_name = "N")]
        to: u64,
    },
    /// Shows where each chain's index stands
    Status,
    /// Shows, tests, drains and enables providers; tests them when no order is given
    Providers {
        #[command(subcommand)]
        order: Option<providers::Order>,
    },
    /// Builds every document again from the stored logs, without asking a node
    Reindex {
        /// Chain id; every configured chain without it
        #[arg(long, value_name = "ID")]
        chain: Option<u64>,
    },
    /// Goes over the stored blocks of a chain and says what is missing or wrong
    Verify {
        /// Chain id
        #[arg(long, value_name = "ID")]
        chain: u64,
        /// Asks for every block again, not only for those that are unproven or look wrong
        #[arg(long)]
        all: bool,
        /// Replaces what is wrong and builds the documents again
        #[arg(long)]
        repair: bool,
    },
    /// Drops indexed blocks above a block; they are fetched again at the next start
    Rewind {
        /// Chain id
        #[arg(long, value_name = "ID")]
        chain: u64,
        /// The block that becomes the last one
        #[arg(long, value_name = "N")]
        to: u64,
    },
    /// Starts a simulated chain whose providers fail on demand (docs/sim.md)
    Sim(Box<sim::SimArguments>),
    /// Prints a shell completion script
    Completions {
        /// The shell to complete for
        shell: clap_complete::Shell,
    },
}

/// Why a command ended without success.
#[derive(Debug)]
enum Failure {
    Config(ConfigErrors),
    Failed(anyhow::Error),
    /// The command has told everything itself.
    Told,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::Config(errors)
    }
}

/// Runs the program on the process's arguments.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            // Nothing is left to do when even this cannot be printed.
            error.print().ok();
            return ExitCode::from(code);
        }
    };
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Config(errors)) => {
            print::error(&format!("{errors}"));
            ExitCode::from(2)
        }
        Err(Failure::Failed(error)) => {
            print::error(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
        Err(Failure::Told) => ExitCode::FAILURE,
    }
}

fn dispatch(arguments: &Arguments) -> Result<(), Failure> {
    if let Command::Completions { shell } = arguments.command {
        print::completions(shell, Arguments::command());
        return Ok(());
    }
    if let Command::Sim(settings) = &arguments.command {
        return Ok(app::runtime()?.block_on(sim::run(settings))?);
    }
    let loaded =
        load::load(arguments.config.as_deref(), load::environment(), &arguments.overrides)?;
    app::install_tls();
    telemetry::log::init(&loaded.config.telemetry).map_err(anyhow::Error::from)?;
    for warning in &loaded.warnings {
        log::warn!("{warning}");
    }
    let runtime = app::runtime()?;
    runtime.block_on(execute(arguments, loaded))
}

async fn execute(arguments: &Arguments, loaded: Loaded) -> Result<(), Failure> {
    let (config, json) = (loaded.config, arguments.json);
    match arguments.command {
        Command::Run => {
            let file = arguments.config.clone().or(loaded.source);
            let source = Source { file, overrides: arguments.overrides.clone() };
            app::run::run(&config, source, &print::Listening).await?;
        }
        Command::Check => {
            let report = app::check::run(&config).await;
            report::check(&config, loaded.source.as_deref(), &report, json)?;
            if !report.passed() {
                return Err(Failure::Told);
            }
        }
        Command::Backfill { chain, to } => {
            backfill::run(&config, ChainId(chain), to, json).await?;
        }
        Command::Status => report::status(&app::status::run(&config).await?, json)?,
        Command::Providers { ref order } => {
            providers::run(&config, order.as_ref(), json).await?;
        }
        Command::Reindex { chain } => {
            maintain::reindex(&config, chain.map(ChainId), json).await?;
        }
        Command::Verify { chain, all, repair } => {
            let depth = if all { Depth::Everything } else { Depth::Doubtful };
            let task = if repair { Task::Repair } else { Task::Look };
            if !maintain::verify(&config, ChainId(chain), (depth, task), json).await? {
                return Err(Failure::Told);
            }
        }
        Command::Rewind { chain, to } => {
            let block = app::backfill::rewind(&config, ChainId(chain), to).await?;
            report::rewound(ChainId(chain), block, json)?;
        }
        Command::Sim(_) | Command::Completions { .. } => {}
    }
    Ok(())
}

fn parse_override(text: &str) -> Result<Override, String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok(Override { key: key.trim().to_owned(), value: value.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_names_every_command() {
        let mut command = Arguments::command();
        command.build();
        command.clone().debug_assert();
        let names: Vec<_> =
            command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
        for name in [
            "run",
            "check",
            "backfill",
            "status",
            "providers",
            "reindex",
            "verify",
            "rewind",
            "sim",
            "completions",
        ] {
            assert!(names.iter().any(|known| known == name), "{name} in {names:?}");
        }
    }
}
