//! Numbers for Prometheus on a port of their own, which is not published: they need no token.

use axum::{Router as Routes, extract::State, http::header, routing::get};
use router::Router;
use std::{net::SocketAddr, sync::Arc};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A port that cannot be had is worth a warning: another mesh of this machine may have it, and calls do not need it.
pub async fn serve(address: SocketAddr, router: Arc<Router>, stop: CancellationToken) {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(%address, %error, "no metrics: set metrics.port to another port, or to 0");
            return;
        }
    };
    let routes = Routes::new().route("/metrics", get(metrics)).with_state(router);
    if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::warn!(%error, "metrics ended");
    }
}

async fn metrics(State(router): State<Arc<Router>>) -> ([(header::HeaderName, &'static str); 1], String) {
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], router.metrics())
}
