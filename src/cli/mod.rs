//! The command line: parse, load the configuration, call `app`, print, map errors to exit codes.
//!
//! Decides nothing about what a command does. Exit codes: 0 done, 1 failed, 2 usage or configuration.

mod backfill;

mod backup;
mod people;

mod print;

mod providers;

mod report;

mod sim;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::app;
use crate::app::reload::Source;
use crate::app::role::Role;
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
    Run {
        /// Part of the work: all, indexer, gateway or worker (docs/scaling.md)
        #[arg(long, value_name = "ROLE", default_value = "all", value_parser = Role::parse)]
        role: Role,
    },
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
    /// Drops indexed blocks above a block; they are fetched again at the next start
    Rewind {
        /// Chain id
        #[arg(long, value_name = "ID")]
        chain: u64,
        /// The block that becomes the last one
        #[arg(long, value_name = "N")]
        to: u64,
    },
    /// Enters and lists people
    #[command(subcommand)]
    Users(people::Users),
    /// Lists and changes the keys that sign access tokens
    #[command(subcommand)]
    Keys(people::Keys),
    /// Makes API keys
    #[command(subcommand)]
    Tokens(people::Tokens),
    /// Exports the audit trail and checks an export
    #[command(subcommand)]
    Audit(people::Audit),
    /// What a shared store needs of its server
    Store {
        #[command(subcommand)]
        command: StoreCommand,
    },
    /// Makes, lists, restores and drills sealed copies of the store (docs/disaster-recovery.md)
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// Starts a simulated chain whose providers fail on demand (docs/sim.md)
    Sim(Box<sim::SimArguments>),
    /// Prints the manual page of the program or of one command, for man(1)
    Man {
        /// A command, such as `run`; the whole program when not given
        page: Option<String>,
    },
    /// Prints a shell completion script
    Completions {
        /// The shell to complete for
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Prints the commands that distribute the collections over a sharded MongoDB cluster
    Shard {
        /// Sends them, to a router (mongos)
        #[arg(long)]
        apply: bool,
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
    if let Command::Man { page } = &arguments.command {
        return Ok(print::manual(Arguments::command(), page.as_deref())?);
    }
    if let Command::Backup(backup::BackupCommand::Keygen { out }) = &arguments.command {
        return Ok(backup::keygen(out, arguments.json)?);
    }
    if let Command::Sim(settings) = &arguments.command {
        return Ok(app::runtime()?.block_on(sim::run(settings))?);
    }
    // Whoever checks an export has neither our store nor our configuration.
    if let Command::Audit(people::Audit::Verify { file, public_key, since }) = &arguments.command {
        return Ok(people::verify(file, public_key, since.as_ref())?);
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
    match &arguments.command {
        Command::Users(command) => people::users(&config, command).await?,
        Command::Keys(command) => people::keys(&config, command).await?,
        Command::Tokens(command) => people::tokens(&config, command).await?,
        Command::Audit(command) => people::audit(&config, command).await?,
        Command::Backup(command) => {
            if !backup::run(&config, command, json).await? {
                return Err(Failure::Told);
            }
        }
        Command::Run { role } => {
            let file = arguments.config.clone().or(loaded.source);
            let source = Source { file, overrides: arguments.overrides.clone() };
            app::run::run(&config, *role, source, &print::Listening).await?;
        }
        Command::Check => {
            let report = app::check::run(&config).await;
            report::check(&config, loaded.source.as_deref(), &report, json)?;
            if !report.passed() {
                return Err(Failure::Told);
            }
        }
        Command::Backfill { chain, to } => {
            backfill::run(&config, ChainId(*chain), *to, json).await?;
        }
        Command::Status => report::status(&app::status::run(&config).await?, json)?,
        Command::Providers { order } => {
            providers::run(&config, order.as_ref(), json).await?;
        }
        Command::Rewind { chain, to } => {
            let block = app::backfill::rewind(&config, ChainId(*chain), *to).await?;
            report::rewound(ChainId(*chain), block, json)?;
        }
        Command::Store { command: StoreCommand::Shard { apply } } => {
            let outcomes = app::storage::shard(&config.store, *apply).await?;
            report::sharded(&outcomes, json)?;
            if outcomes.iter().any(|(_, outcome)| matches!(outcome, Some(Err(_)))) {
                return Err(Failure::Told);
            }
        }
        Command::Sim(_) | Command::Man { .. } | Command::Completions { .. } => {}
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
            "rewind",
            "users",
            "keys",
            "tokens",
            "audit",
            "backup",
            "sim",
            "man",
            "completions",
        ] {
            assert!(names.iter().any(|known| known == name), "{name} in {names:?}");
        }
    }
}
