//! A client's WebSocket: frames in and out of an `rpc::proxy` session.
//!
//! Reads no more than it can serve and writes no more than the client takes.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::gateway::server::Drain;
use crate::rpc::proxy::Proxy;
use crate::rpc::proxy::session::{Outbox, Outgoing, Session};

/// How often an idle client is pinged.
const PING_EVERY: Duration = Duration::from_secs(30);
/// A client that takes no byte for this long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// A client that sent nothing for this long, pongs included, is gone.
const SILENCE_MAX: Duration = Duration::from_secs(75);
/// Time for the closing frame of a client that reads too slowly.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves the socket until either side ends it.
pub(super) async fn serve(socket: WebSocket, proxy: Arc<Proxy>, drain: Option<Drain>) {
    let parallel = proxy.limits().socket_requests_max;
    // The server waits for the closing frame.
    let _open = drain.as_ref().map(Drain::hold);
    let (session, outbox) = Session::new(proxy);
    let (sink, source) = socket.split();
    let leaving = leave(session.clone(), drain);
    tokio::select! {
        () = read(source, session, parallel) => {}
        () = write(sink, outbox) => {}
        () = leaving => {}
    }
}

/// Tells the client to come back when the server stops; `write` sends it.
async fn leave(session: Arc<Session>, drain: Option<Drain>) {
    if let Some(drain) = drain {
        drain.started().await;
        session.leave("server is stopping; resume with your last cursor");
        drop(session);
    }
    std::future::pending().await
}

async fn read(mut source: SplitStream<WebSocket>, session: Arc<Session>, parallel: usize) {
    let slots = Arc::new(Semaphore::new(parallel));
    // Ends the requests under way with the socket.
    let mut requests = tokio::task::JoinSet::new();
    loop {
        let Ok(Some(Ok(frame))) = tokio::time::timeout(SILENCE_MAX, source.next()).await else {
            return;
        };
        let body = match frame {
            Message::Text(text) => Bytes::from(text),
            Message::Binary(bytes) => bytes,
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Close(_) => return,
        };
        // A client that asks faster than it is answered waits here, in its own socket.
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let session = session.clone();
        requests.spawn(async move {
            session.serve(body).await;
            drop(slot);
        });
        while requests.try_join_next().is_some() {}
    }
}

async fn write(mut sink: SplitSink<WebSocket, Message>, mut outbox: Outbox) {
    let mut ping = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    loop {
        let outgoing = tokio::select! {
            outgoing = outbox.next() => outgoing,
            _ = ping.tick() => {
                if send(&mut sink, &mut outbox, Message::Ping(Bytes::new())).await { continue }
                return;
            }
        };
        match outgoing {
            None => return,
            Some(Outgoing::Close(reason)) => return close(&mut sink, &reason).await,
            Some(Outgoing::Text(bytes)) => {
                let Ok(text) = bytes.try_into() else { continue };
                if !send(&mut sink, &mut outbox, Message::Text(text)).await {
                    return;
                }
            }
        }
    }
}

/// False when the client is gone or was told to go.
async fn send(
    sink: &mut SplitSink<WebSocket, Message>,
    outbox: &mut Outbox,
    message: Message,
) -> bool {
    let reason = tokio::select! {
        sent = tokio::time::timeout(WRITE_TIMEOUT, sink.send(message)) => {
            return matches!(sent, Ok(Ok(())));
        }
        reason = outbox.farewell() => reason,
    };
    close(sink, &reason).await;
    false
}

async fn close(sink: &mut SplitSink<WebSocket, Message>, reason: &str) {
    let frame = CloseFrame { code: close_code::AGAIN, reason: reason.into() };
    let closing = sink.send(Message::Close(Some(frame)));
    if tokio::time::timeout(CLOSE_TIMEOUT, closing).await.is_err() {
        log::debug!("client did not take its closing frame");
    }
}
