//! Spans of model calls for a collector of the user's choice, in the names of OpenTelemetry's GenAI conventions.
//!
//! ```text
//!   call ─▶ CallSpan ─attempt─attempt─▶ over: all its spans at once ─▶ bounded queue ─▶ Service: batches ─▶ OTLP over HTTP
//!              ▲    └─▶ each attempt's context, for local targets          │ full
//!              └─ the caller's `traceparent`                               └─▶ dropped and counted
//! ```
//! A call never waits for any of this, and nothing of it exists unless an endpoint was set.

mod attributes;
mod call_span;
mod content;
mod context;
mod export;

use crate::{Call, Error, dialect::Dialect, redaction::Patterns};
pub(crate) use call_span::{CallSpan, Tried};
pub use context::TraceContext;
use domain::Timestamp;
pub use export::Service;
use export::{Delivery, exporter};
use http::HeaderMap;
use opentelemetry::{InstrumentationScope, trace::SpanKind};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, Sampler, SamplingDecision, ShouldSample, SpanData};
use prometheus_client::registry::Registry;
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;

#[derive(Clone, Debug)]
pub struct Options {
    /// The collector's base URL; `/v1/traces` is added where it does not end so.
    pub endpoint: String,
    /// What the collector asks for, such as its key. Mark those as sensitive.
    pub headers: HeaderMap,
    pub service_name: String,
    /// Of the calls whose caller did not decide, those that are told of: from 0 to 1.
    pub sample_ratio: f64,
    /// Prompts and answers too.
    pub content: bool,
    /// Calls that wait to be sent; further ones are dropped. With content a call takes up to 64 KiB, so 512 of them hold 32
    /// MiB at most.
    pub queue: usize,
    /// How long the first span of a batch waits for others. Default 1 s.
    pub gather: Duration,
    /// For one batch, its retries included. Default 10 s, the exporter's own.
    pub timeout: Duration,
    /// For what is left at the end. Default 2 s: it must fit between the last answer and the end of the program.
    pub last_flush: Duration,
}

impl Options {
    /// Every call, without content.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            headers: HeaderMap::new(),
            service_name: "devmesh".to_owned(),
            sample_ratio: 1.0,
            content: false,
            queue: 512,
            gather: Duration::from_secs(1),
            timeout: Duration::from_secs(10),
            last_flush: Duration::from_secs(2),
        }
    }
}

/// Takes the spans of calls. Cheap to clone; clones share one queue.
#[derive(Clone, Debug)]
pub struct Telemetry(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    sampler: Sampler,
    ids: RandomIdGenerator,
    scope: InstrumentationScope,
    content: bool,
    queue: mpsc::Sender<Vec<SpanData>>,
    delivery: Delivery,
}

/// Connects nowhere; spans wait until the service runs.
///
/// # Errors
/// [`Error::Configuration`] when the endpoint cannot be used.
pub fn open(options: Options) -> Result<(Telemetry, Service), Error> {
    let exporter = exporter(&options)?;
    let (sender, receiver) = mpsc::channel(options.queue.max(1));
    let delivery = Delivery::default();
    let service = Service::new(exporter, receiver, delivery.clone(), &options);
    let root = Sampler::TraceIdRatioBased(options.sample_ratio);
    let shared = Shared {
        sampler: Sampler::ParentBased(Box::new(root)),
        ids: RandomIdGenerator::default(),
        scope: InstrumentationScope::builder("devmesh").with_version(env!("CARGO_PKG_VERSION")).build(),
        content: options.content,
        queue: sender,
        delivery,
    };
    Ok((Telemetry(Arc::new(shared)), service))
}

/// What a call asks of a model, as the conventions name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Chat,
    TextCompletion,
    Embeddings,
}

impl Operation {
    pub(crate) fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::OpenAiCompletions | Dialect::OllamaGenerate => Self::TextCompletion,
            _ => Self::Chat,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::TextCompletion => "text_completion",
            Self::Embeddings => "embeddings",
        }
    }
}

impl Telemetry {
    pub(crate) fn begin(
        &self,
        call: &Call,
        operation: Operation,
        at: Timestamp,
        patterns: &Arc<Patterns>,
    ) -> Box<CallSpan> {
        let Shared { sampler, ids, .. } = &*self.0;
        let parent = call.parent.as_ref();
        let trace_id = parent.map_or_else(|| ids.new_trace_id(), TraceContext::trace_id);
        let context = parent.map(TraceContext::as_remote);
        let sampled = sampler.should_sample(context.as_ref(), trace_id, "", &SpanKind::Server, &[], &[]);
        let is_sampled = sampled.decision == SamplingDecision::RecordAndSample;
        let own = TraceContext::new(trace_id, ids.new_span_id(), is_sampled, parent);
        Box::new(CallSpan::new(self.clone(), call, operation, at, own, patterns.clone()))
    }

    /// All spans of one call. Never waits.
    fn take(&self, spans: Vec<SpanData>) {
        let count = spans.len();
        if self.0.queue.try_send(spans).is_err() {
            self.0.delivery.lost(count, "they end faster than the collector takes them");
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        self.0.delivery.register(registry);
    }
}
