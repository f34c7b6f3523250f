//! The shared cache behind the JSON-RPC proxy's own: final answers that any process has found.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::rpc::proxy::SecondLevel;
use crate::store::cache::{Answers, Shared};
use crate::types::chain::ChainId;

/// Answers on their way to the shared cache; one more is not kept there, which costs a question.
const QUEUE_MAX: usize = 256;
/// Final answers stay true; this bounds how long one that was wrong stays.
const TTL: Duration = Duration::from_secs(24 * 3600);

/// One chain's part of the shared cache.
#[derive(Debug)]
pub(super) struct Second {
    answers: Arc<dyn Answers>,
    chain: ChainId,
    queue: mpsc::Sender<(Bytes, Bytes)>,
}

impl Second {
    /// Starts the task that writes; it ends with the last handle.
    pub(super) fn start(shared: &Shared, chain: ChainId) -> Arc<Self> {
        let (queue, mut found) = mpsc::channel::<(Bytes, Bytes)>(QUEUE_MAX);
        let answers = Arc::clone(&shared.answers);
        tokio::spawn(async move {
            while let Some((question, answer)) = found.recv().await {
                answers.put(&question, 0, answer, TTL).await;
            }
        });
        Arc::new(Self { answers: Arc::clone(&shared.answers), chain, queue })
    }

    /// Questions of chains do not mix.
    fn key(&self, question: &[u8]) -> Vec<u8> {
        let mut key = format!("rpc:{}:", self.chain).into_bytes();
        key.extend_from_slice(question);
        key
    }
}

#[async_trait]
impl SecondLevel for Second {
    async fn get(&self, question: &[u8]) -> Option<Bytes> {
        self.answers.get(&self.key(question), 0).await
    }

    fn put(&self, question: Bytes, answer: Bytes) {
        // A full queue is as good as a cache that is away.
        self.queue.try_send((self.key(&question).into(), answer)).ok();
    }
}
