//! The way of spans to the collector: one task that sends batches, so that a slow or dead collector costs nothing but spans.

use super::Options;
use crate::{CONNECT_TIMEOUT, Error, endpoint};
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter},
};
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use protocol::Location;
use reqwest::Url;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// Spans of one request. With content one has up to 32 KiB on average, so that a batch stays far below what collectors take.
const BATCH: usize = 256;
const PATH: &str = "/v1/traces";

/// Sends what calls leave, until it is stopped.
#[derive(Debug)]
pub struct Service {
    exporter: opentelemetry_otlp::SpanExporter,
    queue: mpsc::Receiver<Vec<SpanData>>,
    delivery: Delivery,
    gather: Duration,
    timeout: Duration,
    last_flush: Duration,
    /// Spans that were sent and not acknowledged yet.
    under_way: usize,
}

impl Service {
    pub(super) fn new(
        exporter: opentelemetry_otlp::SpanExporter,
        queue: mpsc::Receiver<Vec<SpanData>>,
        delivery: Delivery,
        options: &Options,
    ) -> Self {
        let Options { gather, timeout, last_flush, .. } = *options;
        Self { exporter, queue, delivery, gather, timeout, last_flush, under_way: 0 }
    }

    /// Sends until `shutdown`, then what is left for as long as [`Options::last_flush`].
    pub async fn run(mut self, shutdown: CancellationToken) {
        let last_flush = self.last_flush;
        tokio::select! {
            () = self.deliver(&shutdown) => return,
            () = async { shutdown.cancelled().await; sleep(last_flush).await } => {}
        }
        self.queue.close();
        let mut left = self.under_way;
        while let Ok(spans) = self.queue.try_recv() {
            left += spans.len();
        }
        self.delivery.lost(left, "they could not be sent before the end");
    }

    async fn deliver(&mut self, shutdown: &CancellationToken) {
        while let Some(batch) = self.batch(shutdown).await {
            self.send(batch).await;
        }
    }

    /// `None` once nothing is left and nothing can come.
    async fn batch(&mut self, shutdown: &CancellationToken) -> Option<Vec<SpanData>> {
        let mut batch = self.next(shutdown).await?;
        let due = Instant::now() + self.gather;
        while batch.len() < BATCH {
            match timeout_at(due, self.next(shutdown)).await {
                Ok(Some(more)) => batch.extend(more),
                Ok(None) | Err(_) => break,
            }
        }
        Some(batch)
    }

    async fn next(&mut self, shutdown: &CancellationToken) -> Option<Vec<SpanData>> {
        tokio::select! {
            spans = self.queue.recv() => return spans,
            () = shutdown.cancelled() => {}
        }
        self.queue.close();
        self.queue.recv().await
    }

    async fn send(&mut self, batch: Vec<SpanData>) {
        let count = batch.len();
        self.under_way = count;
        let sent = timeout(self.timeout, self.exporter.export(batch)).await;
        self.under_way = 0;
        match sent {
            Ok(Ok(())) => self.delivery.arrived(count),
            Ok(Err(error)) => self.delivery.lost(count, &error.to_string()),
            Err(_) => self.delivery.lost(count, &format!("the collector did not take them within {:?}", self.timeout)),
        }
    }
}

/// What became of spans. Clones count together.
#[derive(Clone, Debug, Default)]
pub(super) struct Delivery {
    delivered: Counter,
    dropped: Counter,
    failing: Arc<AtomicBool>,
}

impl Delivery {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("devmesh_telemetry_spans_sent", "Spans the collector took", self.delivered.clone());
        registry.register("devmesh_telemetry_spans_dropped", "Spans nobody got", self.dropped.clone());
    }

    fn arrived(&self, spans: usize) {
        self.delivered.inc_by(spans as u64);
        if self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("the collector takes spans again");
        }
    }

    /// Says so once, until some arrive again.
    pub(super) fn lost(&self, spans: usize, why: &str) {
        self.dropped.inc_by(spans as u64);
        if spans > 0 && !self.failing.swap(true, Ordering::Relaxed) {
            tracing::warn!(why, "spans of model calls are dropped; calls go on. Is telemetry.otlp_endpoint right?");
        }
    }
}

/// Connects nowhere.
pub(super) fn exporter(options: &Options) -> Result<opentelemetry_otlp::SpanExporter, Error> {
    let invalid = |what: String| Error::Configuration(vec![format!("telemetry.otlp_endpoint: {what}")]);
    let url = traces_url(&options.endpoint).map_err(invalid)?;
    // A proxy named in the environment has no business between two programs of this machine.
    let location = if is_loopback(&url) { Location::Local } else { Location::Cloud };
    let client = endpoint::client::full(&url, location, CONNECT_TIMEOUT)
        .map_err(|error| invalid(format!("no HTTP client can be made: {error}")))?;
    let mut exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(Collector { client, headers: options.headers.clone() })
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(url.as_str())
        .with_timeout(options.timeout)
        .build()
        .map_err(|error| invalid(error.to_string()))?;
    let resource = Resource::builder_empty()
        .with_service_name(options.service_name.clone())
        .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    exporter.set_resource(&resource);
    Ok(exporter)
}

fn traces_url(endpoint: &str) -> Result<Url, String> {
    let mut url = Url::parse(endpoint).map_err(|error| format!("it is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("it begins with {}:, not with http: or https:", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err("it holds a user, a query or a fragment; a key belongs in telemetry.otlp_headers".to_owned());
    }
    let base = url.path().trim_end_matches('/').to_owned();
    url.set_path(&if base.ends_with(PATH) { base } else { format!("{base}{PATH}") });
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(protocol::is_loopback)
}

/// Sends the configured headers and those that describe the body. The exporter would add what it finds in the environment.
#[derive(Debug)]
struct Collector {
    client: reqwest::Client,
    headers: HeaderMap,
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut headers = self.headers.clone();
        for name in [header::CONTENT_TYPE, header::USER_AGENT] {
            if let Some(value) = request.headers_mut().remove(&name) {
                headers.insert(name, value);
            }
        }
        *request.headers_mut() = headers;
        self.client.send_bytes(request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_traces_is_added_once() {
        for (endpoint, url) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            ("https://collector.example/otlp/", "https://collector.example/otlp/v1/traces"),
            ("https://collector.example/v1/traces", "https://collector.example/v1/traces"),
        ] {
            assert_eq!(traces_url(endpoint).unwrap().as_str(), url);
        }
        for endpoint in ["collector:4317", "ftp://collector", "http://user:key@collector", "http://collector?key=1"] {
            let error = exporter(&Options::new(endpoint)).unwrap_err().to_string();
            assert!(error.contains("telemetry.otlp_endpoint") && !error.contains("key@"), "{error}");
        }
    }

    #[test]
    fn only_this_machine_is_reached_past_every_proxy() {
        let is_loopback = |url: &str| super::is_loopback(&Url::parse(url).unwrap());
        assert!(["http://127.0.0.1:1", "http://[::1]:1", "http://localhost"].into_iter().all(is_loopback));
        assert!(!["http://10.0.0.1", "https://localhost.example"].into_iter().any(is_loopback));
    }
}
