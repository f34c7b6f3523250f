//! The connection under HTTP, with one extra power: it can end with a TCP reset.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Connections that the system may hold for a listener.
const BACKLOG: u32 = 4_096;

/// Binds with address reuse, so that a restored provider gets its old port back.
pub(in crate::sim) async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What the parts that serve one connection share.
#[derive(Debug)]
pub(super) struct LineState {
    /// Counts the provider's connections from 0.
    pub(super) number: u64,
    reset: AtomicBool,
}

impl LineState {
    pub(super) fn new(number: u64) -> Self {
        Self { number, reset: AtomicBool::new(false) }
    }

    /// From now on the connection ends with a reset instead of a clean close.
    pub(super) fn reset(&self) {
        self.reset.store(true, Ordering::Relaxed);
    }
}

/// A TCP stream that resets on drop when its line says so.
#[derive(Debug)]
pub(super) struct SimStream {
    stream: TcpStream,
    line: Arc<LineState>,
}

impl SimStream {
    pub(super) fn new(stream: TcpStream, line: Arc<LineState>) -> Self {
        Self { stream, line }
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.get_mut().stream)
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        if self.line.reset.load(Ordering::Relaxed) {
            // The peer sees a plain close if this fails.
            let _linger = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buf)
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.line.reset.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        self.stream().poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
