//! An OpenTelemetry collector of the test's own: takes spans as OTLP over HTTP and shows them.

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use http::StatusCode;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{AnyValue, KeyValue, any_value},
    trace::v1::{span::SpanKind, status::StatusCode as SpanStatus},
};
use prost::Message;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, sync::watch, task::AbortHandle, time::timeout};

/// One span, with the ids in hexadecimal as headers write them.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub name: String,
    /// `server`, `client`, …
    pub kind: String,
    pub trace_id: String,
    pub id: String,
    /// Empty for the first span of a trace.
    pub parent_id: String,
    pub trace_state: String,
    /// Since 1970.
    pub starts: Duration,
    pub ends: Duration,
    pub attributes: BTreeMap<String, Value>,
    pub failed: bool,
    /// What its status says of that.
    pub description: String,
    /// Of the program that sent it.
    pub resource: BTreeMap<String, Value>,
    /// Of the request that brought it, names in lower case.
    pub headers: BTreeMap<String, String>,
}

impl Span {
    /// `Null` where it does not say.
    pub fn get(&self, name: &str) -> &Value {
        self.attributes.get(name).unwrap_or(&Value::Null)
    }

    /// Nobody else's part of the trace.
    pub fn is_root(&self) -> bool {
        self.parent_id.is_empty()
    }
}

/// Takes everything, until it is told otherwise. Gone when dropped.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    spans: watch::Sender<Vec<Span>>,
    requests: AtomicUsize,
    status: AtomicU16,
}

/// A status that no answer has: the request is left unanswered.
const SILENT: u16 = 0;

impl Collector {
    /// # Panics
    /// When no port on 127.0.0.1 can be had.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on 127.0.0.1");
        let address = listener.local_addr().expect("the address of a listening socket");
        let shared = Arc::new(Shared {
            spans: watch::Sender::default(),
            requests: AtomicUsize::new(0),
            status: AtomicU16::new(StatusCode::OK.as_u16()),
        });
        let routes = Router::new().route("/v1/traces", post(take)).with_state(shared.clone());
        let server = tokio::spawn(async move { axum::serve(listener, routes).await }).abort_handle();
        Self { address, shared, server }
    }

    /// What a program is configured with.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on nothing is taken, and this is the answer.
    pub fn refuses_with(&self, status: StatusCode) {
        self.shared.status.store(status.as_u16(), Ordering::SeqCst);
    }

    /// From now on requests are read and never answered.
    pub fn falls_silent(&self) {
        self.shared.status.store(SILENT, Ordering::SeqCst);
    }

    /// From now on everything is taken again.
    pub fn recovers(&self) {
        self.refuses_with(StatusCode::OK);
    }

    /// Everything that was taken so far.
    pub fn spans(&self) -> Vec<Span> {
        self.shared.spans.borrow().clone()
    }

    /// Requests so far, whatever became of them.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Returns once [`Self::spans`] holds `count`.
    ///
    /// # Panics
    /// When [`crate::DEADLINE`] passes.
    pub async fn wait_for(&self, count: usize) -> Vec<Span> {
        let mut spans = self.shared.spans.subscribe();
        let waited = timeout(crate::DEADLINE, spans.wait_for(|spans| spans.len() >= count)).await;
        match waited {
            // The sender lives in `self`, so the channel cannot close while this waits.
            Ok(spans) => spans.map(|spans| spans.clone()).unwrap_or_default(),
            Err(_) => {
                panic!("the collector waited {:?} in vain for {count} spans: {:#?}", crate::DEADLINE, self.spans())
            }
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> (StatusCode, Vec<u8>) {
    shared.requests.fetch_add(1, Ordering::SeqCst);
    let status = shared.status.load(Ordering::SeqCst);
    if status == SILENT {
        return std::future::pending().await;
    }
    let status = StatusCode::from_u16(status).expect("one that was a status before");
    if status.is_success() {
        let request = ExportTraceServiceRequest::decode(body).expect("what an exporter sends");
        shared.spans.send_modify(|spans| spans.extend(read(request, &headers)));
    }
    (status, ExportTraceServiceResponse::default().encode_to_vec())
}

fn read(request: ExportTraceServiceRequest, headers: &HeaderMap) -> Vec<Span> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers: BTreeMap<_, _> = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let mut all = Vec::new();
    for of_resource in request.resource_spans {
        let resource = attributes(of_resource.resource.map(|resource| resource.attributes).unwrap_or_default());
        for span in of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans) {
            let kind = SpanKind::try_from(span.kind).expect("a kind that is known").as_str_name();
            let status = span.status.unwrap_or_default();
            all.push(Span {
                name: span.name,
                kind: kind.trim_start_matches("SPAN_KIND_").to_ascii_lowercase(),
                trace_id: hexadecimal(&span.trace_id),
                id: hexadecimal(&span.span_id),
                parent_id: hexadecimal(&span.parent_span_id),
                trace_state: span.trace_state,
                starts: Duration::from_nanos(span.start_time_unix_nano),
                ends: Duration::from_nanos(span.end_time_unix_nano),
                attributes: attributes(span.attributes),
                failed: status.code == SpanStatus::Error as i32,
                description: status.message,
                resource: resource.clone(),
                headers: headers.clone(),
            });
        }
    }
    all
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, Value> {
    pairs.into_iter().map(|pair| (pair.key, value(pair.value))).collect()
}

fn value(any: Option<AnyValue>) -> Value {
    match any.and_then(|any| any.value) {
        Some(any_value::Value::StringValue(text)) => text.into(),
        Some(any_value::Value::BoolValue(truth)) => truth.into(),
        Some(any_value::Value::IntValue(number)) => number.into(),
        Some(any_value::Value::DoubleValue(number)) => number.into(),
        Some(any_value::Value::ArrayValue(list)) => list.values.into_iter().map(|any| value(Some(any))).collect(),
        other => panic!("an attribute that no span of ours has: {other:?}"),
    }
}
