//! A small HTTP server for `GET /metrics`, on its own port so that it stays inside the fence.
//!
//! Serves nothing else: health and status are the gateway's.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::errors;
use super::metrics::{Exporter, MetricsError, install};

/// Scrapers are few; more connections than this wait.
const CONNECTIONS_MAX: usize = 32;

/// A client that has not sent its request by then is cut off.
const HEADER_READ_MAX: Duration = Duration::from_secs(10);

/// How long open connections may take to finish at shutdown.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// How often histogram samples are folded when nobody scrapes.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Pause after a failed accept (out of file descriptors), so that it does not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves until `shutdown` completes, then lets open requests finish. Installs the recorder if
/// nobody has; who binds handles must have done so before.
pub async fn run(
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), MetricsError> {
    let exporter = install()?;
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut upkeep = tokio::time::interval(UPKEEP_EVERY);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            _ = upkeep.tick() => exporter.upkeep(),
            accepted = accept(&listener, &slots) => {
                let Some((stream, slot)) = accepted else { continue };
                let exporter = exporter.clone();
                let service = service_fn(move |request| {
                    let response = answer(&request, &exporter);
                    async move { Ok::<_, Infallible>(response) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADER_READ_MAX)
                    .serve_connection(TokioIo::new(stream), service);
                let connection = graceful.watch(connection);
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        log::debug!(error:% = error; "metrics connection ended early");
                    }
                    drop(slot);
                });
            }
        }
    }
    if tokio::time::timeout(DRAIN_MAX, graceful.shutdown()).await.is_err() {
        log::debug!("metrics connections cut off at shutdown");
    }
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, slot)),
        Err(error) => {
            log::warn!(error:% = error; "metrics server cannot accept a connection");
            tokio::time::sleep(ACCEPT_RETRY).await;
            None
        }
    }
}

fn answer(request: &Request<Incoming>, exporter: &Exporter) -> Response<Full<Bytes>> {
    let (status, kind, body) = match (request.uri().path(), request.method()) {
        ("/metrics", &Method::GET | &Method::HEAD) => {
            (StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", exporter.render())
        }
        ("/errors", &Method::GET | &Method::HEAD) => {
            let groups = serde_json::to_string(&errors::groups()).unwrap_or_default();
            (StatusCode::OK, "application/json", groups)
        }
        ("/metrics" | "/errors", _) => {
            (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "use GET\n".to_owned())
        }
        _ => {
            (StatusCode::NOT_FOUND, "text/plain", "only /metrics and /errors are here\n".to_owned())
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        let methods = hyper::header::HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, methods);
    }
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn get(address: std::net::SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        let request = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sends");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answers");
        answer
    }

    #[tokio::test]
    async fn serves_metrics_alone_and_stops_when_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = tokio::spawn(run(listener, async {
            stopped.await.ok();
        }));
        let metrics = get(address, "GET /metrics").await;
        assert!(metrics.starts_with("HTTP/1.1 200 OK"), "{metrics}");
        assert!(metrics.contains("content-type: text/plain; version=0.0.4"), "{metrics}");
        assert!(metrics.contains("rwahub_build_info{version="), "{metrics}");
        assert!(get(address, "GET /").await.starts_with("HTTP/1.1 404"));
        assert!(get(address, "POST /metrics").await.starts_with("HTTP/1.1 405"));
        stop.send(()).expect("still running");
        server.await.expect("no panic").expect("ends well");
        assert!(TcpStream::connect(address).await.is_err(), "the port is free again");
    }
}
