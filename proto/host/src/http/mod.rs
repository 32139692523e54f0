//! The HTTP server of a program: the pages that operators expect, the program's own routes beside
//! them, and bounds on what a client may take.

mod document;
mod server;

pub use document::Document;
pub use server::{bind, serve};

use crate::metrics::Metrics;
use crate::supervision::Watch;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// The longest request body that a route is given, in bytes.
const MAX_BODY: usize = 64 * 1024;
/// How long a route may take, reading its body included.
const ROUTE_TIME: Duration = Duration::from_secs(10);
/// Prometheus' text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

type Ready = dyn Fn() -> Result<(), String> + Send + Sync;
type Status = dyn Fn() -> Bytes + Send + Sync;

/// What `/metrics`, `/healthz`, `/readyz` and `/status` answer with. Everything comes from
/// snapshots: no page asks the core.
#[derive(Clone)]
pub struct Pages {
    metrics: Metrics,
    ready: Arc<Ready>,
    status: Arc<Status>,
}

impl Pages {
    /// `ready` says why the program takes no calls (a drain, no nodes): `/readyz` is 503 then.
    /// `status` gives the JSON of `/status`.
    pub fn new(
        metrics: Metrics,
        ready: impl Fn() -> Result<(), String> + Send + Sync + 'static,
        status: impl Fn() -> Bytes + Send + Sync + 'static,
    ) -> Pages {
        Pages {
            metrics,
            ready: Arc::new(ready),
            status: Arc::new(status),
        }
    }

    /// The same, not ready either where `watch` says why: the program leaves, or a thread or task of
    /// it has ended (spec: X52).
    pub fn watched_by(mut self, watch: &Watch) -> Pages {
        let (watch, ready) = (watch.clone(), self.ready);
        self.ready = Arc::new(move || match watch.reason_not_ready() {
            Some(reason) => Err(reason.to_owned()),
            None => ready(),
        });
        self
    }

    /// The pages and the program's `own` routes, each bounded in time and in the body it takes.
    pub fn router(self, own: Router) -> Router {
        let Pages {
            metrics,
            ready,
            status,
        } = self;
        let metrics =
            move || async move { ([(header::CONTENT_TYPE, METRICS_TYPE)], metrics.text()) };
        let ready = move || async move {
            match ready() {
                Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
                Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
            }
        };
        let status =
            move || async move { ([(header::CONTENT_TYPE, "application/json")], status()) };
        Router::new()
            .route("/metrics", get(metrics))
            // Alive as long as it answers, also during a drain.
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/status", get(status))
            .merge(own)
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .layer(middleware::from_fn(bounded))
    }
}

async fn bounded(request: Request, next: Next) -> Response {
    let declared = request.headers().get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|l| l.to_str().ok()?.parse::<usize>().ok());
    // Refused before it is read; what is not declared is bounded while it is read.
    if declared.is_some_and(|length| length > MAX_BODY) {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    match tokio::time::timeout(ROUTE_TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    }
}

#[cfg(test)]
mod tests;
