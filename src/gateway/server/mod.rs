//! Accepts connections, serves a router on them, and drains them on shutdown.
//!
//! Owns sockets, time limits on them and their number; knows nothing of routes. Every request gets
//! its [`Peer`] and the server's [`Drain`] as extensions.

mod admission;

mod stall;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use self::admission::{Admission, Permit};
use self::stall::WriteStall;

/// How long open requests may take to end after shutdown began: as long as an answer may take. The
/// process has more patience (15 s), so that this server can still say what it cut.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that has not sent one whole request head by then is not a client.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// For a further request head on a kept connection, the pause before it included. Above the keep-alive
/// of common clients and proxies (4 to 60 s), so that they close first.
const NEXT_REQUEST_TIMEOUT: Duration = Duration::from_secs(75);
/// Request head in all: eight times what a browser with full cookies sends.
const HEAD_BYTES_MAX: u32 = 64 * 1024;
/// Header lines of a request.
const HEADERS_MAX: usize = 100;
/// Parallel requests on one HTTP/2 connection.
const HTTP2_STREAMS_MAX: u32 = 128;
/// Pings on quiet HTTP/2 connections find dead peers.
const HTTP2_PING_EVERY: Duration = Duration::from_secs(30);
/// An unanswered ping closes the connection.
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause after a failed accept: out of file descriptors passes, a busy loop does not help it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Who is at the other end of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Tells long answers (streams, sockets) that the server wants to stop.
#[derive(Debug, Clone, Default)]
pub struct Drain {
    begun: CancellationToken,
    /// Sockets that were handed over and are still open.
    open: Arc<watch::Sender<()>>,
}

impl Drain {
    /// Completes when the drain starts.
    pub async fn started(&self) {
        self.begun.cancelled().await;
    }

    pub fn has_started(&self) -> bool {
        self.begun.is_cancelled()
    }

    pub(in crate::gateway) fn start(&self) {
        self.begun.cancel();
    }

    /// Keeps the drain waiting until dropped: for a socket that outlives its HTTP connection.
    pub fn hold(&self) -> watch::Receiver<()> {
        self.open.subscribe()
    }
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every connection ended by itself.
    Clean,
    /// This many were still open after [`DRAIN_TIMEOUT`] and were cut.
    Cut { connections: usize },
}

/// Serves `router` on `listener` until `shutdown` completes, then lets open requests end.
pub async fn run(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> Drained {
    let drain = Drain::default();
    let admission = Admission::default();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => match admission.admit(peer.ip()) {
                    Some(permit) => {
                        let connection = Connection { stream, peer, permit };
                        connections.spawn(connection.serve(router.clone(), drain.clone()));
                    }
                    None => admission::refuse(&stream),
                },
                Err(error) => {
                    log::warn!(target: "rwahub::gateway", "a connection was not accepted: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    drain.start();
    let all = async {
        while connections.join_next().await.is_some() {}
        drain.open.closed().await;
    };
    if tokio::time::timeout(DRAIN_TIMEOUT, all).await.is_ok() {
        return Drained::Clean;
    }
    let cut = connections.len();
    log::warn!(target: "rwahub::gateway", "{cut} connections did not end in time and were cut");
    connections.shutdown().await;
    Drained::Cut { connections: cut }
}

struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    permit: Permit,
}

impl Connection {
    async fn serve(self, router: Router, drain: Drain) {
        // Small answers must not wait for an acknowledgement of the one before.
        if let Err(error) = self.stream.set_nodelay(true) {
            log::debug!(target: "rwahub::gateway", "no TCP_NODELAY for {}: {error}", self.peer);
        }
        let asked = Arc::new(AtomicBool::new(false));
        let (peer, told) = (Peer(self.peer), drain.clone());
        let service = {
            let asked = Arc::clone(&asked);
            hyper::service::service_fn(move |request: Request<Incoming>| {
                asked.store(true, Ordering::Relaxed);
                answer(router.clone(), request, peer, told.clone())
            })
        };
        let builder = builder();
        let io = TokioIo::new(WriteStall::new(self.stream));
        let mut connection = pin!(builder.serve_connection_with_upgrades(io, service));
        let mut first = pin!(tokio::time::sleep(FIRST_REQUEST_TIMEOUT));
        let (mut waiting, mut draining) = (true, false);
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        log::debug!(target: "rwahub::gateway", "connection of {}: {error}", self.peer);
                    }
                    break;
                }
                () = &mut first, if waiting => {
                    waiting = false;
                    if !asked.load(Ordering::Relaxed) {
                        break;
                    }
                }
                () = drain.started(), if !draining => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
        drop(self.permit);
    }
}

async fn answer(
    mut router: Router,
    request: Request<Incoming>,
    peer: Peer,
    drain: Drain,
) -> Result<Response, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    request.extensions_mut().insert(drain);
    router.call(request).await
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(NEXT_REQUEST_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX)
        .keep_alive_interval(HTTP2_PING_EVERY)
        .keep_alive_timeout(HTTP2_PING_TIMEOUT);
    builder
}
