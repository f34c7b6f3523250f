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
use super::lease::{Held, Seat};
use super::live::Live;
use super::reload::{Reloader, Source};
use super::role::Role;
use super::{carry, control, enrich, follow, gauges, reload, second, watchdog};
use crate::chain::follow::Doorbell;
use crate::chain::pool_node;
use crate::chain::profile::{BloomRule, bloom_rule};
use crate::config::{self, Config};
use crate::gateway;
use crate::gateway::admin::{self, Admin};
use crate::gateway::auth::Auth;
use crate::gateway::server::Drained;
use crate::pipeline::error::{PipelineError, StoreError};
use crate::rpc::eth::LogFilter;
use crate::rpc::pool::Pool;
use crate::rpc::proxy::policy::Policy;
use crate::rpc::proxy::{Limits, Proxies, Proxy};
use crate::rpc::subscribe::{Heads, Signal};
use crate::store::read::Queries;
use crate::telemetry;
use crate::telemetry::health::{ChainState, HealthBoard};
use crate::telemetry::metrics::{Metric, gauge};
use crate::types::chain::ChainId;

/// Longest wait for tasks to end after the stop signal; systemd kills after 90 s by default.
const DRAIN: Duration = Duration::from_secs(15);
/// Hints about new blocks that may wait: more than one is only more of the same.
const BELLS: usize = 16;

/// Between two looks at signing keys and at records whose time is over.
const TEND_EVERY: Duration = Duration::from_secs(60);

/// Whoever wants to know that the daemon serves.
pub trait Announce: Sync {
    /// The gateway accepts connections here.
    fn listening(&self, address: SocketAddr);
}

/// What ended.
type Ended = (ChainId, Result<()>);

/// Runs one role until SIGTERM or SIGINT, or until no chain can go on.
/// `source` says where the configuration is read again on SIGHUP.
pub async fn run(
    config: &Config,
    role: Role,
    source: Source,
    announce: &dyn Announce,
) -> Result<()> {
    let (gateway_listen, metrics_listen) = (config.gateway.listen, config.telemetry.metrics_listen);
    let door = match handed_over()? {
        Some(door) => door,
        None => bind("gateway.listen", gateway_listen).await?,
    };
    let metrics = bind("telemetry.metrics_listen", metrics_listen).await?;
    // First of all: parts bind their meters when they are made, and one bound earlier records nothing.
    telemetry::metrics::install()?;
    for chain in &config.chains {
        let providers: Vec<&str> = chain.providers.iter().map(|one| one.name.as_str()).collect();
        telemetry::metrics::begin_chain(&chain.id.to_string(), &providers);
    }
    telemetry::trace::init(match config.telemetry.otlp_endpoint.clone() {
        Some(endpoint) => telemetry::trace::Reporter::Otlp { endpoint },
        None => telemetry::trace::Reporter::None,
    })?;
    if let Some(doubt) = role.doubts(config) {
        log::warn!("{doubt}");
    }
    let parts = Arc::new(Parts::build_for(config, role).await?);
    if role.asks_nodes() {
        refuse_wrong_chains(&parts).await?;
    }

    let stop = CancellationToken::new();
    let mut chains: JoinSet<Ended> = JoinSet::new();
    let mut servers: JoinSet<Result<()>> = JoinSet::new();
    for chain in &config.chains {
        if role.indexes() {
            spawn_chain(&parts, chain, &stop, &mut chains).await?;
        } else if let Some(pool) = parts.pool(chain.id).filter(|_| role.asks_nodes()) {
            let chain = chain.clone();
            servers.spawn(follow::watch_head(Arc::clone(&parts), pool, chain, stop.clone()));
        }
    }
    spawn_shared(&parts, role, &stop, &mut servers);
    let proxies = proxies(&parts, config);
    let pools = parts.pools().cloned().collect::<Vec<_>>();
    let reloader = Reloader::new(source, config.clone(), pools.clone(), proxies.clone());
    let socket = role.socket(control::path(config));
    let control = control::bind(&socket)?;
    let admin = admin::router(Admin { pools, reload: reloader.clone() });
    servers.spawn(reload::on_hangup(reloader, stop.clone()));
    servers.spawn(serve_control(control, admin, stop.clone()));
    let stopped = stop.clone().cancelled_owned();
    servers.spawn(async move { Ok(telemetry::server::run(metrics, stopped).await?) });
    if role.indexes() {
        servers.spawn(enrich::run(Arc::clone(&parts), stop.clone()));
    }
    servers.spawn(gauges::run(Arc::clone(&parts), config.clone(), stop.clone()));
    servers.spawn(watchdog::run(Arc::clone(&parts), stop.clone()));
    servers.spawn(tend_keys(parts.auth.clone(), stop.clone()));
    let address = door.local_addr().context("the gateway's own address")?;
    let door = Door { listener: door, role, config: config.gateway.clone(), proxies };
    servers.spawn(serve(door, Arc::clone(&parts), stop.clone()));
    announce.listening(address);
    notify_systemd(sd_notify::NotifyState::Ready);

    let outcome = until_stopped(&mut chains, &mut servers, &parts.health, &stop).await;
    notify_systemd(sd_notify::NotifyState::Stopping);
    drain(chains, servers).await;
    // The next daemon would replace it; a command asks nobody meanwhile.
    std::fs::remove_file(&socket).ok();
    // The last spans; on a thread of its own, since it waits for the sending.
    tokio::task::spawn_blocking(telemetry::trace::flush).await.ok();
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

/// The listening socket that systemd holds for us (`rwahub.socket`), which takes the place of
/// `gateway.listen`: it stays open while the daemon restarts.
fn handed_over() -> Result<Option<TcpListener>> {
    let taken = listenfd::ListenFd::from_env().take_tcp_listener(0);
    let Some(listener) = taken.context("the socket that the service manager handed over")? else {
        return Ok(None);
    };
    listener.set_nonblocking(true).context("the socket that the service manager handed over")?;
    Ok(Some(TcpListener::from_std(listener)?))
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

/// What a process does because there are others.
fn spawn_shared(
    parts: &Arc<Parts>,
    role: Role,
    stop: &CancellationToken,
    servers: &mut JoinSet<Result<()>>,
) {
    if role.indexes() {
        servers.spawn(follow::tell(Arc::clone(parts), stop.clone()));
    }
    // An indexer that stands by hears of commits as well.
    if !role.indexes() || parts.shared.between_processes {
        servers.spawn(follow::hear(Arc::clone(parts), stop.clone()));
    }
    servers.spawn(follow::take_part(Arc::clone(parts), stop.clone()));
    if let Some(bus) = parts.messages.clone().filter(|_| role.relays()) {
        servers.spawn(carry::run(Arc::clone(parts), bus, stop.clone()));
    }
}

/// Opens the chain at once if its lease is free, so that a fault ends the start; else stands by.
async fn spawn_chain(
    parts: &Arc<Parts>,
    chain: &config::Chain,
    stop: &CancellationToken,
    tasks: &mut JoinSet<Ended>,
) -> Result<()> {
    let seat = Seat::new(&parts.shared.leases, format!("chain-{}", chain.id), &parts.node);
    let first = match seat.try_take().await {
        Some(held) => Some((held, ChainTask::open(parts, chain).await?)),
        None => None,
    };
    let (parts, chain, stop) = (Arc::clone(parts), chain.clone(), stop.clone());
    tasks.spawn(async move { (chain.id, tend(&parts, &chain, seat, first, stop).await) });
    Ok(())
}

/// Indexes while the lease is ours, stands by while it is not.
async fn tend(
    parts: &Arc<Parts>,
    chain: &config::Chain,
    seat: Seat,
    first: Option<(Held, ChainTask)>,
    stop: CancellationToken,
) -> Result<()> {
    let active = gauge(Metric::ChainActive, &[&chain.id.to_string()]);
    let mut ready = first;
    loop {
        let (held, task) = match ready.take() {
            Some(ready) => ready,
            None => {
                parts.health.chain(chain.id, ChainState::Standby, None);
                let held = tokio::select! {
                    held = seat.take() => held,
                    () = stop.cancelled() => return Ok(()),
                };
                parts.health.chain(chain.id, ChainState::Starting, None);
                (held, ChainTask::open(parts, chain).await?)
            }
        };
        active.set(1);
        let outcome = drive(parts, chain, task, &stop, held.lost()).await;
        active.set(0);
        let lost = held.lost().is_cancelled();
        held.release().await;
        match outcome {
            Ok(()) if lost => {}
            // Without shared leases, to open the chain again would only take it back from the other.
            Err(error) if parts.shared.between_processes && is_fenced(&error) => {
                log::warn!(chain = chain.id.0; "another process writes this chain: {error:#}");
            }
            outcome => return outcome,
        }
        if stop.is_cancelled() {
            return Ok(());
        }
    }
}

/// Whether a newer writer has taken over.
fn is_fenced(error: &anyhow::Error) -> bool {
    let store = match error.downcast_ref::<PipelineError>() {
        Some(PipelineError::Store(error)) => Some(error),
        _ => error.downcast_ref::<StoreError>(),
    };
    matches!(store, Some(StoreError::Fenced { .. }))
}

/// Follows and commits until stopped, until the lease is lost, or until something fails.
async fn drive(
    parts: &Arc<Parts>,
    chain: &config::Chain,
    task: ChainTask,
    stop: &CancellationToken,
    lost: &CancellationToken,
) -> Result<()> {
    let ChainTask { mut follower, runner, updates, filters, .. } = task;
    let pool = parts.pool(chain.id).context("a pool per configured chain")?;
    let (bell, rung) = mpsc::channel(BELLS);
    let watch = tokio::spawn(listen(pool, filters, chain.poll_interval, bell, stop.clone()));
    let committing = tokio::spawn(runner.run(updates));
    let followed = tokio::select! {
        ended = follower.run(rung) => ended.map_err(anyhow::Error::from),
        () = stop.cancelled() => Ok(()),
        () = lost.cancelled() => Ok(()),
    };
    watch.abort();
    if lost.is_cancelled() {
        // What is not committed yet is the next one's to fetch.
        committing.abort();
        return Ok(());
    }
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
        let doorbell = match signal {
            Some(Signal::Head(head)) => {
                Doorbell { hash: Some(head.hash), header: pool_node::pushed(&head) }
            }
            Some(Signal::Log(hint)) if !hint.removed => {
                Doorbell { hash: Some(hint.block_hash), header: None }
            }
            // What is taken back says that there is a new head, not which.
            Some(Signal::Log(_)) => Doorbell::default(),
            None => return,
        };
        ring(&bell, doorbell);
    }
}

/// Changes signing keys when they are due and deletes what is over.
async fn tend_keys(auth: Auth, stop: CancellationToken) -> Result<()> {
    auth.tend_keys().await.context("signing keys")?;
    loop {
        tokio::select! {
            () = tokio::time::sleep(TEND_EVERY) => {}
            () = stop.cancelled() => return Ok(()),
        }
        if let Err(error) = auth.tend_keys().await {
            log::error!("signing keys are not looked after: {error}");
        }
        if let Err(error) = auth.sweep().await {
            log::warn!("old records are not deleted: {error}");
        }
    }
}

/// One door per chain.
fn proxies(parts: &Parts, config: &Config) -> Proxies {
    let door = |chain| door_to(parts, chain, &config.gateway);
    Proxies::new(config.chains.iter().filter_map(door))
}

async fn serve_control(
    listener: UnixListener,
    router: admin::Router,
    stop: CancellationToken,
) -> Result<()> {
    admin::serve(listener, router, stop.cancelled_owned()).await.context("the control socket")
}

/// Where clients come in, and what they may do there.
struct Door {
    listener: TcpListener,
    role: Role,
    config: config::Gateway,
    proxies: Proxies,
}

async fn serve(door: Door, parts: Arc<Parts>, stop: CancellationToken) -> Result<()> {
    let Door { listener, role, config, proxies } = door;
    let tls = match &config.tls {
        Some(files) => {
            let tls = gateway::server::Tls::load(&files.certificate, &files.key);
            Some(tls.context("[gateway] tls_cert_file, tls_key_file")?)
        }
        None => None,
    };
    let parts = gateway::Parts {
        queries: Arc::clone(&parts.store) as Arc<dyn Queries>,
        feed: parts.bus.subscribe(),
        live: Arc::new(Live::new(parts.health.clone())),
        config,
        auth: parts.auth.clone(),
        rpc: gateway::rpc_proxy::router(proxies),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kept: parts.shared.between_processes.then(|| Arc::clone(&parts.shared.answers)),
    };
    let router = if role.serves() { gateway::build(parts) } else { gateway::build_probes(parts) };
    if let Drained::Cut { connections } =
        gateway::server::run(listener, tls, router, stop.cancelled_owned()).await
    {
        log::warn!(connections; "connections that did not end in time were cut");
    }
    Ok(())
}

/// The JSON-RPC door to one chain.
fn door_to(parts: &Parts, chain: &config::Chain, gateway: &config::Gateway) -> Option<Proxy> {
    let rpc = &gateway.rpc;
    let limits = Limits {
        body_bytes_max: gateway.max_body_bytes,
        batch_items_max: gateway.max_batch_items,
        // Where the index takes the providers' word, blooms or receipts are known to be unusable.
        verify: match (chain.verify, bloom_rule(chain.id)) {
            (config::Verify::Receipts, BloomRule::Complete) => rpc.verify,
            _ => config::RpcVerify::Off,
        },
        verify_blocks_max: rpc.verify_blocks_max,
        ..Limits::default()
    };
    let policy = Policy { extra: rpc.allow_methods.clone(), denied: rpc.deny_methods.clone() };
    let door = Proxy::new(parts.pool(chain.id)?, policy, limits);
    if parts.shared.between_processes {
        door.back_with(second::Second::start(&parts.shared, chain.id));
    }
    Some(match parts.log_index(chain.id) {
        Some(index) => door.with_index(Arc::new(index)),
        None => door,
    })
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
