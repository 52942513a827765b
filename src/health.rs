//! `/livez`, `/readyz`, `/metrics`. None of them asks Entra or AWS for anything.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::telemetry::{CONTENT_TYPE, Metrics};

/// Whether the operator does its work. A follower's work is to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not yet: the API server does not serve our kinds.
    WaitingForCrds,
    /// Not yet: the resources have not been listed.
    Listing,
    /// Yes.
    Ready,
    /// Not any more.
    Stopping,
}

impl Readiness {
    const fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Self::WaitingForCrds => {
                (StatusCode::SERVICE_UNAVAILABLE, "the API server does not serve the kinds of causeway.dev")
            }
            Self::Listing => (StatusCode::SERVICE_UNAVAILABLE, "the resources are being listed"),
            Self::Ready => (StatusCode::OK, "ok"),
            Self::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        }
    }
}

#[derive(Clone)]
struct Served {
    readiness: watch::Receiver<Readiness>,
    metrics: Arc<Metrics>,
}

/// Serves until `stop`.
///
/// # Errors
/// The listener broke.
pub async fn serve(
    listener: TcpListener,
    readiness: watch::Receiver<Readiness>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(|| std::future::ready("ok")))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .with_state(Served { readiness, metrics });
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn readyz(State(served): State<Served>) -> (StatusCode, &'static str) {
    served.readiness.borrow().answer()
}

async fn scrape(State(served): State<Served>) -> Response {
    match served.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
