//! Breaks a connection off whose peer takes no bytes for too long.
//!
//! Reading is not touched: request heads and bodies have their own limits, and a quiet reader of a
//! stream is normal.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// A peer that has taken nothing for so long does not read; a stream's client comes back with its
/// cursor. Three heartbeats of a stream.
const WRITE_STALL_MAX: Duration = Duration::from_secs(45);

/// A socket with a limit on blocked writes.
#[derive(Debug)]
pub(super) struct WriteStall<S> {
    inner: S,
    /// Made at the first blocked write and kept for the next.
    timer: Option<Pin<Box<Sleep>>>,
    blocked: bool,
}

impl<S> WriteStall<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, timer: None, blocked: false }
    }

    /// Passes a finished write on; a blocked one starts or checks the timer.
    fn judge<T>(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.blocked = false;
            return result;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_STALL_MAX)));
        if !self.blocked {
            self.blocked = true;
            timer.as_mut().reset(Instant::now() + WRITE_STALL_MAX);
        }
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteStall<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteStall<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.judge(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.judge(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(context);
        self.judge(context, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_shutdown(context);
        self.judge(context, result)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_slowly_stays_and_one_that_stops_goes() {
        let (ours, mut theirs) = tokio::io::duplex(8);
        let mut ours = WriteStall::new(ours);
        let writer = tokio::spawn(async move { ours.write_all(&[0; 64]).await });
        let mut taken = [0; 8];
        for _ in 0..4 {
            tokio::time::sleep(WRITE_STALL_MAX / 2).await;
            theirs.read_exact(&mut taken).await.unwrap();
        }
        assert!(!writer.is_finished(), "each read buys a full wait");
        let error = writer.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
