//! The two ends of a socket's tasks: frames in, frames out, pings between.
//!
//! Decides nothing about a frame's content.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::{PING_EVERY, SILENCE_MAX, Shared, Stream};

pub(super) async fn read(shared: Arc<Shared>, mut source: SplitStream<Stream>) {
    while let Some(Ok(frame)) = source.next().await {
        shared.heard_now();
        let readable = match frame {
            Frame::Text(text) => shared.deliver(&Bytes::from(text)),
            Frame::Binary(bytes) => shared.deliver(&bytes),
            Frame::Close(_) => false,
            Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => true,
        };
        if !readable {
            break;
        }
    }
    shared.close();
}

pub(super) async fn write(
    shared: Arc<Shared>,
    mut sink: SplitSink<Stream, Frame>,
    mut queue: mpsc::Receiver<Frame>,
) {
    let mut ping = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    loop {
        let frame = tokio::select! {
            frame = queue.recv() => frame,
            _ = ping.tick() => {
                if shared.silent_for() > SILENCE_MAX || shared.closed.load(Ordering::Acquire) {
                    break;
                }
                Some(Frame::Ping(Bytes::new()))
            }
        };
        let Some(frame) = frame else { break };
        if push_all(&mut sink, frame, &mut queue).await.is_err() {
            break;
        }
    }
    shared.close();
}

/// Writes what is queued with one flush.
async fn push_all(
    sink: &mut SplitSink<Stream, Frame>,
    first: Frame,
    queue: &mut mpsc::Receiver<Frame>,
) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    sink.feed(first).await?;
    while let Ok(frame) = queue.try_recv() {
        sink.feed(frame).await?;
    }
    sink.flush().await
}
