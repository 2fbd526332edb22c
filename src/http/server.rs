//! Connections: how many, how slow, and their end. A caller that sends its head too slowly, or one connection too many, is
//! dropped; at the stop calls under way may end, and idle connections are closed.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Shared, routes};

/// Connections at once: a proxy keeps some open.
const CONNECTIONS: usize = 256;
/// Also how long a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Before the address is tried again.
const PAUSE: Duration = Duration::from_secs(5);
/// Calls under way at the stop get this long. The whole process has 10 seconds.
const GRACE: Duration = Duration::from_secs(3);

/// Listens until `stop`. An address that cannot be had is tried again: it must not stop the daemon.
pub async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let address = shared.config.listen;
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) => tracing::error!(
                error = %error,
                "Cannot listen for webhooks on {address} (http.listen); trying again."
            ),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    };
    let bound = listener.local_addr().unwrap_or(address);
    tracing::info!("Listening for webhooks on http://{bound}.");
    if !bound.ip().is_loopback() {
        tracing::warn!(
            "{bound} can be reached from other machines, without TLS: put a proxy before it, or listen on 127.0.0.1."
        );
    }
    let router = routes::router(shared);
    let connections = TaskTracker::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: others must get some.
                    tracing::warn!(error = %error, "A connection could not be accepted.");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let Ok(place) = room.clone().try_acquire_owned() else {
            tracing::warn!("Too many connections to the HTTP listener; one was dropped.");
            continue;
        };
        let (router, stop) = (routes::from(router.clone(), peer), stop.clone());
        connections.spawn(async move {
            serve(stream, router, stop).await;
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    let _ = tokio::time::timeout(GRACE, connections.wait()).await;
}

async fn serve(stream: TcpStream, router: axum::Router, stop: CancellationToken) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    // What goes wrong on a connection is its caller's business.
    tokio::select! {
        _ = &mut connection => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = tokio::time::timeout(GRACE, connection).await;
}
