//! A router on a unix-domain socket.

use axum::Router;
use tokio::net::UnixListener;

/// Serves until `shutdown` completes; open requests end by themselves, none takes longer than a probe.
pub async fn serve(
    listener: UnixListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}
