//! `rwahub run`: starts everything in order, serves until told to stop, drains in reverse order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::build::Parts;
use super::chain_task::{ChainTask, ring};
use super::live::Live;
use super::maintain::Index;
use super::reload::{Reloader, Source};
use super::{control, enrich, gauges, reload};
use crate::chain::follow::Doorbell;
use crate::config::{self, Config};
use crate::gateway;
use crate::gateway::admin::{self, Admin};
use crate::gateway::server::Drained;
use crate::rpc::eth::LogFilter;
use crate::rpc::pool::Pool;
use crate::rpc::proxy::policy::Policy;
use crate::rpc::proxy::{Limits, Proxies, Proxy};
use crate::rpc::subscribe::{Heads, Signal};
use crate::store::read::Queries;
use crate::telemetry;
use crate::telemetry::health::{ChainState, HealthBoard};
use crate::types::chain::ChainId;

/// Longest wait for tasks to end after the stop signal; systemd kills after 90 s by default.
const DRAIN: Duration = Duration::from_secs(15);
/// Hints about new blocks that may wait: more than one is only more of the same.
const BELLS: usize = 16;

/// Whoever wants to know that the daemon serves.
pub trait Announce: Sync {
    /// The gateway accepts connections here.
    fn listening(&self, address: SocketAddr);
}

/// What ended.
type Ended = (ChainId, Result<()>);

/// Runs until SIGTERM or SIGINT, or until no chain can go on.
/// `source` says where the configuration is read again on SIGHUP.
pub async fn run(config: &Config, source: Source, announce: &dyn Announce) -> Result<()> {
    let (gateway_listen, metrics_listen) = (config.gateway.listen, config.telemetry.metrics_listen);
    let door = bind("gateway.listen", gateway_listen).await?;
    let metrics = bind("telemetry.metrics_listen", metrics_listen).await?;
    let parts = Arc::new(Parts::build(config).await?);
    refuse_wrong_chains(&parts).await?;

    telemetry::metrics::install()?;
    let stop = CancellationToken::new();
    let mut chains: JoinSet<Ended> = JoinSet::new();
    for chain in &config.chains {
        spawn_chain(&parts, chain, &stop, &mut chains).await?;
    }
    let proxies = proxies(&parts, &config.gateway);
    let pools = parts.pools().cloned().collect::<Vec<_>>();
    let reloader = Reloader::new(source, config.clone(), pools.clone(), proxies.clone());
    let socket = control::path(config);
    let control = control::bind(&socket)?;
    let admin = admin::router(Admin { pools, reload: reloader.clone() });
    let mut servers: JoinSet<Result<()>> = JoinSet::new();
    servers.spawn(reload::on_hangup(reloader, stop.clone()));
    servers.spawn(serve_control(control, admin, stop.clone()));
    let stopped = stop.clone().cancelled_owned();
    servers.spawn(async move { Ok(telemetry::server::run(metrics, stopped).await?) });
    servers.spawn(enrich::run(Arc::clone(&parts), stop.clone()));
    servers.spawn(gauges::run(Arc::clone(&parts), stop.clone()));
    let address = door.local_addr().context("the gateway's own address")?;
    servers.spawn(serve(door, Arc::clone(&parts), config.gateway.clone(), proxies, stop.clone()));
    announce.listening(address);
    notify_systemd(sd_notify::NotifyState::Ready);

    let outcome = until_stopped(&mut chains, &mut servers, &parts.health, &stop).await;
    notify_systemd(sd_notify::NotifyState::Stopping);
    drain(chains, servers).await;
    // The next daemon would replace it; a command asks nobody meanwhile.
    std::fs::remove_file(&socket).ok();
    outcome
}

async fn bind(key: &str, address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow!(
            "{key} = \"{address}\": the port is in use by another program; stop it or choose another port"
        ),
        _ => anyhow!("{key} = \"{address}\": {error}; choose an address of this machine"),
    })
}

/// A provider of another chain is a mistake that must not wait for the first wrong block.
async fn refuse_wrong_chains(parts: &Parts) -> Result<()> {
    for pool in parts.pools() {
        for status in pool.probe().await {
            match &status.error {
                Some(error) if status.chain_ok == Some(false) => bail!("{error}"),
                Some(error) => log::warn!("provider {}: {error}", status.name),
                None => {}
            }
        }
    }
    Ok(())
}

async fn spawn_chain(
    parts: &Arc<Parts>,
    chain: &config::Chain,
    stop: &CancellationToken,
    tasks: &mut JoinSet<Ended>,
) -> Result<()> {
    let mut index = Index::open(parts, chain).await?;
    index.make_whole().await?;
    let (parts, chain, stop) = (Arc::clone(parts), chain.clone(), stop.clone());
    tasks.spawn(async move { (chain.id, follow(&parts, &chain, index, stop).await) });
    Ok(())
}

/// One chain from what is stored to the head, and on.
async fn follow(
    parts: &Parts,
    chain: &config::Chain,
    index: Index,
    stop: CancellationToken,
) -> Result<()> {
    let opened = tokio::select! {
        opened = ChainTask::over(parts, chain, index) => opened?,
        () = stop.cancelled() => return Ok(()),
    };
    let ChainTask { mut follower, runner, updates, filters, .. } = opened;
    let pool = parts.pool(chain.id).context("a pool per configured chain")?;
    let (bell, rung) = mpsc::channel(BELLS);
    let watch = tokio::spawn(listen(pool, filters, chain.poll_interval, bell, stop.clone()));
    let committing = tokio::spawn(runner.run(updates));
    let followed = tokio::select! {
        ended = follower.run(rung) => ended.map_err(anyhow::Error::from),
        () = stop.cancelled() => Ok(()),
    };
    watch.abort();
    // Closes the queue: the runner commits what it holds and ends.
    drop(follower);
    let committed = match committing.await {
        Ok(outcome) => outcome.map_err(anyhow::Error::from),
        Err(error) => Err(anyhow!("chain {}: the pipeline died: {error}", chain.id)),
    };
    committed.and(followed)
}

/// Turns what subscriptions say into rings of the bell.
async fn listen(
    pool: Arc<Pool>,
    filters: Vec<LogFilter>,
    poll_interval: Duration,
    bell: mpsc::Sender<Doorbell>,
    stop: CancellationToken,
) {
    let mut heads = Heads::start(pool, filters, poll_interval);
    loop {
        let signal = tokio::select! {
            signal = heads.next() => signal,
            () = stop.cancelled() => return,
        };
        let hash = match signal {
            Some(Signal::Head(head)) => Some(head.hash),
            Some(Signal::Log(hint)) if !hint.removed => Some(hint.block_hash),
            // What is taken back says that there is a new head, not which.
            Some(Signal::Log(_)) => None,
            None => return,
        };
        ring(&bell, Doorbell { hash });
    }
}

/// One door per chain, within the limits of the configuration.
fn proxies(parts: &Parts, config: &config::Gateway) -> Proxies {
    let limits = Limits {
        body_bytes_max: config.max_body_bytes,
        batch_items_max: config.max_batch_items,
        ..Limits::default()
    };
    let proxy = |pool: &Arc<Pool>| Proxy::new(pool.clone(), Policy::default(), limits.clone());
    Proxies::new(parts.pools().map(proxy))
}

async fn serve_control(
    listener: UnixListener,
    router: admin::Router,
    stop: CancellationToken,
) -> Result<()> {
    admin::serve(listener, router, stop.cancelled_owned()).await.context("the control socket")
}

async fn serve(
    door: TcpListener,
    parts: Arc<Parts>,
    config: config::Gateway,
    proxies: Proxies,
    stop: CancellationToken,
) -> Result<()> {
    let router = gateway::build(gateway::Parts {
        queries: Arc::clone(&parts.store) as Arc<dyn Queries>,
        feed: parts.bus.subscribe(),
        live: Arc::new(Live::new(parts.health.clone())),
        config,
        rpc: gateway::rpc_proxy::router(proxies),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    });
    if let Drained::Cut { connections } =
        gateway::server::run(door, router, stop.cancelled_owned()).await
    {
        log::warn!(connections; "connections that did not end in time were cut");
    }
    Ok(())
}

/// Waits for a signal, or for a part whose end is the end of everything.
async fn until_stopped(
    chains: &mut JoinSet<Ended>,
    servers: &mut JoinSet<Result<()>>,
    health: &HealthBoard,
    stop: &CancellationToken,
) -> Result<()> {
    let mut signalled = std::pin::pin!(stop_signal()?);
    let outcome = loop {
        tokio::select! {
            () = &mut signalled => break Ok(()),
            Some(ended) = chains.join_next() => {
                let (id, outcome) = ended.map_err(|error| anyhow!("a chain's task died: {error}"))?;
                let error = outcome.err().unwrap_or_else(|| anyhow!("chain {id} ended by itself"));
                health.chain(id, ChainState::Failed, Some(format!("{error:#}")));
                if chains.is_empty() {
                    break Err(error);
                }
                log::error!(chain = id.0; "the chain has stopped, the others go on: {error:#}");
            }
            Some(ended) = servers.join_next() => {
                break ended.map_err(|error| anyhow!("a server died: {error}")).and_then(|outcome| outcome);
            }
        }
    };
    stop.cancel();
    outcome
}

async fn drain(mut chains: JoinSet<Ended>, mut servers: JoinSet<Result<()>>) {
    let ended = tokio::time::timeout(DRAIN, async {
        while servers.join_next().await.is_some() {}
        while let Some(ended) = chains.join_next().await {
            if let Ok((id, Err(error))) = ended {
                log::error!(chain = id.0; "while stopping: {error:#}");
            }
        }
    });
    if ended.await.is_err() {
        log::warn!("some tasks did not end within {} s and are cut off", DRAIN.as_secs());
    }
}

/// Completes at SIGTERM or SIGINT.
pub fn stop_signal() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM handler")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT handler")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn notify_systemd(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        log::debug!("systemd was not told: {error}");
    }
}
