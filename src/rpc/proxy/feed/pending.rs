//! `newPendingTransactions`, handed on from one provider to any number of clients.
//!
//! What is pending is one node's opinion: there is no cursor, no order and no proof here.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use crate::config::Transport;
use crate::rpc::endpoint::Endpoint;
use crate::rpc::endpoint::socket::Subscription;
use crate::rpc::error::{ErrorClass, RpcError};
use crate::rpc::pool::Pool;

/// The streams under way: hashes only, and whole transactions.
#[derive(Debug, Default)]
pub(super) struct PendingFeeds {
    running: tokio::sync::Mutex<[Weak<PendingRunning>; 2]>,
}

/// One upstream subscription; ends with its last subscriber or its socket.
#[derive(Debug)]
struct PendingRunning {
    sender: Weak<broadcast::Sender<Bytes>>,
    task: JoinHandle<()>,
}

impl Drop for PendingRunning {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Pending transactions for one subscriber.
#[derive(Debug)]
pub(crate) struct PendingStream {
    pub(crate) live: broadcast::Receiver<Bytes>,
    _running: Arc<PendingRunning>,
}

impl PendingFeeds {
    pub(super) async fn join(
        &self,
        pool: &Pool,
        backlog: usize,
        full: bool,
    ) -> Result<PendingStream, RpcError> {
        let mut slots = self.running.lock().await;
        let slot = &mut slots[usize::from(full)];
        if let Some(running) = slot.upgrade()
            && let Some(sender) = running.sender.upgrade()
        {
            return Ok(PendingStream { live: sender.subscribe(), _running: running });
        }
        let upstream = open(pool, full).await?;
        let (sender, live) = broadcast::channel(backlog);
        let sender = Arc::new(sender);
        let weak = Arc::downgrade(&sender);
        let task = tokio::spawn(pass_on(upstream, sender));
        let running = Arc::new(PendingRunning { sender: weak, task });
        *slot = Arc::downgrade(&running);
        Ok(PendingStream { live, _running: running })
    }
}

async fn open(pool: &Pool, full: bool) -> Result<Subscription, RpcError> {
    let params: &[u8] =
        if full { b"[\"newPendingTransactions\",true]" } else { b"[\"newPendingTransactions\"]" };
    let mut last = None;
    let members = pool.endpoints();
    let usable = |e: &&Arc<Endpoint>| {
        e.transport == Transport::WebSocket && !e.health.is_drained() && e.serves_our_chain()
    };
    let sockets = members.iter().filter(usable);
    for endpoint in sockets {
        let opened = async { endpoint.open_socket().await?.subscribe(params.to_vec()).await };
        match opened.await {
            Ok(subscription) => return Ok(subscription),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| {
        let text = "pending transactions need a provider with a ws:// or wss:// URL";
        RpcError::of_pool(ErrorClass::Unsupported, text)
    }))
}

async fn pass_on(mut upstream: Subscription, sender: Arc<broadcast::Sender<Bytes>>) {
    while let Some(event) = upstream.next().await {
        // Fails when nobody listens any more; the task is aborted then anyway.
        drop(sender.send(event));
    }
}
