//! Accepts connections, a bounded number of them, and drops those that dawdle.

use crate::tasks::Tasks;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Connections served at a time; one more is closed at once.
const MAX_CONNECTIONS: usize = 128;
/// How long a client may take for a request's head, also the first and after an idle time.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// The buffer of a connection, which bounds a request's head, in bytes.
const MAX_BUFFER: usize = 32 * 1024;
/// After this a connection is closed when its request is answered: one that never reads its answer
/// does not hold its place for ever.
const MAX_AGE: Duration = Duration::from_secs(300);
/// What a connection has to finish its last request.
const GRACE: Duration = Duration::from_secs(5);
/// The wait after a failed accept (no file descriptors, say).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Listens, before anything else is started, so that an address in use is told at once.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot listen on http {address}: {error}"),
        )
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves `router` until the program ends.
pub fn serve(tasks: &Tasks, listener: TcpListener, router: Router) -> io::Result<()> {
    let listener = {
        let _runtime = tasks.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = tasks.clone();
    tasks.spawn_watched("http", async move {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "HTTP connection not accepted");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                tracing::warn!(limit = MAX_CONNECTIONS, "HTTP connection closed: too many");
                continue;
            };
            let router = router.clone();
            let token = connections.token();
            connections.spawn_to_the_end(async move {
                converse(stream, router, token).await;
                drop(place);
            });
        }
    });
    Ok(())
}

async fn converse(stream: TcpStream, router: Router, end: CancellationToken) {
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_BUFFER);
    let service = TowerToHyperService::new(router);
    let mut connection = std::pin::pin!(server.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // A client's mistake ends its connection; nobody here needs to know.
        _ = connection.as_mut() => return,
        () = end.cancelled() => {}
        () = tokio::time::sleep(MAX_AGE) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(GRACE, connection).await;
}
