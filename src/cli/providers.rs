//! `rwahub providers`: what the running daemon knows of its providers, and orders to it.

use anyhow::{Result, bail};
use clap::Subcommand;
use serde_json::Value;

use super::{Failure, print, report};
use crate::app::{self, control};
use crate::config::Config;

/// What to do with providers.
#[derive(Debug, Subcommand)]
pub(super) enum Order {
    /// Shows what the running daemon knows of every provider
    List,
    /// Asks every provider for its chain id and head, without a daemon
    Test,
    /// Sends no new calls to a provider; those under way end by themselves
    Drain(Target),
    /// Sends calls to a drained provider again, slowly at first
    Enable(Target),
    /// Shows who lied, lagged or served orphans, with block hash and time
    Scorecard,
    /// Reads the configuration again, as SIGHUP does
    Reload,
}

/// One provider.
#[derive(Debug, clap::Args)]
pub(super) struct Target {
    /// The provider's name
    name: String,
    /// Chain id; may be left out when only one chain has a provider of this name
    #[arg(long, value_name = "ID")]
    chain: Option<u64>,
}

/// Runs an order; without one, providers are tested.
pub(super) async fn run(config: &Config, order: Option<&Order>, json: bool) -> Result<(), Failure> {
    match order {
        None | Some(Order::Test) => return test(config, json).await,
        Some(Order::List) => {
            show(config, "GET", "/api/v1/admin/providers", json, list_text).await?;
        }
        Some(Order::Scorecard) => {
            show(config, "GET", "/api/v1/admin/providers/scorecard", json, card_text).await?;
        }
        Some(Order::Drain(target)) => order_one(config, target, "drain", json).await?,
        Some(Order::Enable(target)) => order_one(config, target, "enable", json).await?,
        Some(Order::Reload) => {
            show(config, "POST", "/api/v1/admin/reload", json, reload_text).await?
        }
    }
    Ok(())
}

async fn test(config: &Config, json: bool) -> Result<(), Failure> {
    let providers = app::check::providers(config).await;
    report::providers(&providers, json)?;
    if providers.iter().any(|provider| provider.fault.is_some()) {
        return Err(Failure::Told);
    }
    Ok(())
}

async fn order_one(config: &Config, target: &Target, order: &str, json: bool) -> Result<()> {
    let chain = chain_of(config, target)?;
    let name = control::segment(&target.name);
    let route = format!("/api/v1/admin/providers/{chain}/{name}/{order}");
    show(config, "POST", &route, json, line).await
}

fn chain_of(config: &Config, target: &Target) -> Result<u64> {
    if let Some(chain) = target.chain {
        return Ok(chain);
    }
    let has = |chain: &&crate::config::Chain| chain.providers.iter().any(|p| p.name == target.name);
    let ids: Vec<u64> = config.chains.iter().filter(has).map(|chain| chain.id.0).collect();
    match ids.as_slice() {
        [only] => Ok(*only),
        [] => bail!("no chain has a provider {:?}; see `rwahub providers list`", target.name),
        several => bail!("chains {several:?} have a provider {:?}; add --chain ID", target.name),
    }
}

async fn show(
    config: &Config,
    method: &str,
    route: &str,
    json: bool,
    text: fn(&Value) -> String,
) -> Result<()> {
    let (done, answer) = control::ask(config, method, route).await?;
    if !done {
        let lines = answer["faults"]
            .as_array()
            .map(|faults| faults.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"));
        let detail = answer["detail"].as_str().map(str::to_owned);
        bail!("{}", lines.or(detail).unwrap_or_else(|| answer.to_string()));
    }
    print::data(&if json { answer.to_string() } else { text(&answer) })
}

fn items(answer: &Value) -> impl Iterator<Item = &Value> {
    answer["items"].as_array().into_iter().flatten()
}

/// A value as a person reads it: text without quotes, nothing as a dash.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn list_text(answer: &Value) -> String {
    items(answer).map(line).collect::<Vec<_>>().join("\n")
}

fn line(provider: &Value) -> String {
    let field = |name: &str| plain(&provider[name]);
    let mut state = match (&provider["drained"], &provider["breaker"]) {
        (Value::Bool(true), _) => "drained".to_owned(),
        (_, breaker) if breaker == "closed" => "ok".to_owned(),
        (_, breaker) => format!("breaker {}", plain(breaker)),
    };
    if let Some(why) = provider["demoted"].as_str() {
        state += &format!(", comes last: {why}");
    }
    format!(
        "chain {} {} ({}): {state}, head {}, weight {}, {} ms, {} calls, {} failed{}",
        field("chain_id"),
        field("name"),
        field("url"),
        field("head"),
        field("weight"),
        field("latency_ms"),
        field("calls"),
        field("failures"),
        provider["last_error"].as_str().map_or(String::new(), |text| format!(", last: {text}")),
    )
}

fn card_text(answer: &Value) -> String {
    let lines: Vec<String> = items(answer)
        .map(|e| {
            let field = |name: &str| plain(&e[name]);
            format!(
                "{} chain {} {}: {} at block {} {}: {}",
                field("at"),
                field("chain_id"),
                field("provider"),
                field("misdeed"),
                field("block"),
                field("block_hash"),
                field("detail"),
            )
        })
        .collect();
    if lines.is_empty() {
        "nothing is held against any provider".to_owned()
    } else {
        lines.join("\n")
    }
}

fn reload_text(answer: &Value) -> String {
    let of = |name: &str, end: &str| -> Vec<String> {
        let changes = answer[name].as_array().into_iter().flatten();
        changes
            .map(|c| {
                format!(
                    "{}: {} -> {}{end}",
                    plain(&c["key"]),
                    plain(&c["before"]),
                    plain(&c["after"])
                )
            })
            .collect()
    };
    let mut lines = of("applied", "");
    lines.extend(of("needs_restart", " (needs a restart)"));
    if lines.is_empty() { "nothing changed".to_owned() } else { lines.join("\n") }
}
