//! What every request gets before anything looks at it, and every response before it leaves: an id, a line in the log,
//! safe headers, and a problem instead of a panic.

use crate::{
    app::App,
    guard::guard,
    problem::{self, Failure},
    routes::Routes,
    server::Peer,
    vendor::Vendor,
};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use domain::RequestId;
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Request, header};
use hyper::body::Incoming;
use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};
use tracing::Instrument;
use uuid::Uuid;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Answers a request of this peer, whatever becomes of it.
pub async fn answer(app: Arc<App>, routes: Arc<Routes>, peer: Peer, request: Request<Incoming>) -> Response {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    // Always ours: an id a client chose could collide with, or pose as, another request in the audit log.
    let id = RequestId::new(app.clock.now());
    request.extensions_mut().insert(id);
    let method = request.method().clone();
    // The path only: a query may hold a WebSocket ticket.
    let path = request.uri().path().to_owned();
    let started = Instant::now();
    let busy = Busy::new(&app);
    // Whatever is logged on the way carries the id that the client is told.
    let span = tracing::error_span!("request", id = %id);
    let answered = guard(&app, &routes, request).instrument(span.clone());
    let response = match AssertUnwindSafe(answered).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => span.in_scope(|| Failure::internal(panic_message(&*panic))).into_response(),
    };
    drop(busy);
    let mut response = problem::render(response, id, Vendor::of(&path));
    let status = response.status().as_u16();
    span.in_scope(
        || tracing::debug!(%method, path, status, elapsed_us = started.elapsed().as_micros() as u64, "answered"),
    );
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, header_value(id));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // Handlers that serve a page bring their own policy; everything else is data and may do nothing at all.
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox"));
    response
}

/// One request that is being answered.
struct Busy<'a>(&'a AtomicUsize);

impl<'a> Busy<'a> {
    fn new(app: &'a App) -> Self {
        app.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(&app.in_flight)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn header_value(id: RequestId) -> HeaderValue {
    // A UUID is plain ASCII.
    HeaderValue::from_str(id.0.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()))
        .unwrap_or(HeaderValue::from_static(""))
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a handler panicked: {}", text.unwrap_or("without a message"))
}
