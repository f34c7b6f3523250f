//! A simulated provider: a port that speaks JSON-RPC over HTTP and WebSocket and misbehaves as told.
//!
//! What is true comes from `World`; this room part decides only what this provider says of it.

mod calls;
mod http;
mod io;
mod lens;
mod logs;
mod methods;
mod rpc;
mod sent;
mod ws;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::error::SimError;
use super::faults::{Fault, Plan};
use super::settings::ProviderSettings;
use super::view::View;
use super::world::World;
pub(super) use io::bind;
use io::{LineState, SimStream};

/// Connections of one provider at a time; more wait in the accept queue.
const CONNECTIONS_MAX: usize = 20_000;
/// Method names counted apart; the rest are counted as "other".
const METHODS_COUNTED_MAX: usize = 100;

/// One provider. Cheap to share.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) world: Arc<World>,
    pub(super) index: usize,
    pub(super) settings: ProviderSettings,
    pub(super) plan: Plan,
    pub(super) calls: calls::Selectors,
    address: Mutex<Option<SocketAddr>>,
    /// Ends the listener and every connection; `None` while killed.
    alive: Mutex<Option<CancellationToken>>,
    /// What a stuck head keeps showing.
    stuck: Mutex<Option<Arc<View>>>,
    connections: AtomicU64,
    counts: Mutex<BTreeMap<String, u64>>,
}

impl Provider {
    pub(super) fn new(world: Arc<World>, index: usize, settings: ProviderSettings) -> Self {
        let plan = Plan::new(world.settings.seed, index as u64, settings.faults.clone());
        Self {
            world,
            index,
            settings,
            plan,
            calls: calls::Selectors::new(),
            address: Mutex::new(None),
            alive: Mutex::new(None),
            stuck: Mutex::new(None),
            connections: AtomicU64::new(0),
            counts: Mutex::new(BTreeMap::new()),
        }
    }

    /// Where the provider listens, or listened before it was killed.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        *lock(&self.address)
    }

    pub(super) fn is_alive(&self) -> bool {
        lock(&self.alive).is_some()
    }

    /// Binds the port (the same one as before after a kill) and serves until killed or `stop`.
    pub(super) async fn start(self: &Arc<Self>, stop: &CancellationToken) -> Result<(), SimError> {
        if self.is_alive() {
            return Ok(());
        }
        let fresh = SocketAddr::new(self.world.settings.listen, self.settings.port);
        let wanted = self.address().unwrap_or(fresh);
        let failed = |source| SimError::Listen { address: wanted, source };
        let listener = io::bind(wanted).await.map_err(failed)?;
        *lock(&self.address) = Some(listener.local_addr().map_err(failed)?);
        let alive = stop.child_token();
        *lock(&self.alive) = Some(alive.clone());
        tokio::spawn(Arc::clone(self).accept(listener, alive));
        Ok(())
    }

    /// Closes the port and resets every connection at once.
    pub(super) fn kill(&self) {
        if let Some(alive) = lock(&self.alive).take() {
            alive.cancel();
        }
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, alive: CancellationToken) {
        let permits = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            let accepted = tokio::select! {
                () = alive.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else { continue };
            let number = self.connections.fetch_add(1, Ordering::Relaxed);
            // A failure here costs latency, nothing else.
            let _nodelay = stream.set_nodelay(true);
            let line = Arc::new(LineState::new(number));
            let stream = SimStream::new(stream, Arc::clone(&line));
            if self.plan.roll_at(number).hits(Fault::Refuse, "") {
                line.reset();
                continue;
            }
            let (provider, alive) = (Arc::clone(&self), alive.clone());
            tokio::spawn(async move {
                provider.connection(stream, line, alive).await;
                drop(permit);
            });
        }
    }

    async fn connection(
        self: Arc<Self>,
        stream: SimStream,
        line: Arc<LineState>,
        alive: CancellationToken,
    ) {
        let service = {
            let (line, alive) = (Arc::clone(&line), alive.clone());
            service_fn(move |request| {
                http::handle(Arc::clone(&self), Arc::clone(&line), alive.clone(), request)
            })
        };
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        tokio::select! {
            // How a client's connection ends is its own affair.
            _ended = serving => {}
            () = alive.cancelled() => line.reset(),
        }
    }

    pub(super) fn count_call(&self, method: &str) {
        let mut counts = lock(&self.counts);
        if let Some(count) = counts.get_mut(method) {
            *count += 1;
            return;
        }
        let name = if counts.len() < METHODS_COUNTED_MAX { method } else { "other" };
        *counts.entry(name.to_owned()).or_default() += 1;
    }

    /// Calls by method since the start.
    pub(super) fn call_counts(&self) -> BTreeMap<String, u64> {
        lock(&self.counts).clone()
    }

    pub(super) fn connection_count(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// The view that a stuck head shows: the one of the first time somebody looked.
    fn stuck_view(&self) -> Arc<View> {
        Arc::clone(lock(&self.stuck).get_or_insert_with(|| self.world.view()))
    }

    /// New rules; a stuck head starts anew.
    pub(super) fn set_faults(&self, rules: Vec<super::faults::FaultRule>) {
        *lock(&self.stuck) = None;
        self.plan.set(rules);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
