//! The spans of one call: its own, and one for each attempt at a target. They are made when they are over, because only then
//! there is anything to say; before that they are ids and times.

use super::{Operation, Telemetry, TraceContext, attributes, content};
use crate::{
    Call, Error, Event,
    answer::{Usage, Whole},
    plan::Candidate,
    redaction::Patterns,
};
use domain::{ErrorCode, Timestamp};
use opentelemetry::{
    KeyValue, SpanId,
    trace::{SpanKind, Status, TraceId},
};
use opentelemetry_sdk::trace::{IdGenerator, SpanData, SpanEvents, SpanLinks};
use protocol::{AttemptOutcome, FinishReason, ModelCallRecord};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

/// One request to one target, once it is over.
pub(crate) struct Tried<'a> {
    pub(crate) candidate: &'a Candidate,
    pub(crate) mode: &'static str,
    pub(crate) outcome: AttemptOutcome,
    pub(crate) error: Option<&'a Error>,
    pub(crate) begun: Instant,
    pub(crate) usage: Usage,
    /// What it said, where it came to an end.
    pub(crate) answer: Option<&'a Whole>,
}

pub(crate) struct CallSpan {
    telemetry: Telemetry,
    operation: Operation,
    call: Call,
    context: TraceContext,
    at: SystemTime,
    started: Instant,
    /// Of the attempt under way.
    attempt: Option<SpanId>,
    attempts: Vec<SpanData>,
    finish: Option<FinishReason>,
    /// What the caller got, where content is told.
    answer: Option<Whole>,
    patterns: Arc<Patterns>,
}

impl CallSpan {
    pub(super) fn new(
        telemetry: Telemetry,
        call: &Call,
        operation: Operation,
        at: Timestamp,
        context: TraceContext,
        patterns: Arc<Patterns>,
    ) -> Self {
        let answer = (telemetry.0.content && context.is_sampled()).then(Whole::default);
        Self {
            telemetry,
            operation,
            call: call.clone(),
            context,
            at: SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(at.as_millis()).unwrap_or(0)),
            started: Instant::now(),
            attempt: None,
            attempts: Vec::new(),
            finish: None,
            answer,
            patterns,
        }
    }

    pub(crate) fn trace_id(&self) -> TraceId {
        self.context.trace_id()
    }

    /// For the target that is asked now.
    pub(crate) fn attempt_begins(&mut self) -> TraceContext {
        let span_id = self.telemetry.0.ids.new_span_id();
        self.attempt = Some(span_id);
        self.context.child(span_id)
    }

    pub(crate) fn attempt_over(&mut self, tried: &Tried<'_>) {
        let span_id = self.attempt.take();
        if !self.context.is_sampled() {
            return;
        }
        let Tried { candidate, mode, outcome, error, begun, usage, answer } = *tried;
        let model = &candidate.model;
        let mut said = vec![
            KeyValue::new("gen_ai.operation.name", self.operation.name()),
            KeyValue::new("gen_ai.request.model", attributes::name(&model.name)),
            KeyValue::new("devmesh.attempt.outcome", outcome.as_str()),
            KeyValue::new("devmesh.attempt.mode", mode),
            attributes::egress(candidate.egress),
        ];
        said.push(KeyValue::new("gen_ai.provider.name", model.provider.clone()));
        if outcome == AttemptOutcome::Answered {
            let told = answer.and_then(|answer| answer.model.as_deref()).unwrap_or(&model.name);
            said.push(KeyValue::new("gen_ai.response.model", attributes::name(told)));
        }
        if let Some((address, port)) = candidate.provider.server() {
            said.push(KeyValue::new("server.address", address.to_owned()));
            said.push(KeyValue::new("server.port", i64::from(port)));
        }
        said.extend(
            answer
                .and_then(|answer| answer.id.as_deref())
                .map(|id| KeyValue::new("gen_ai.response.id", attributes::name(id))),
        );
        said.extend(
            answer.and_then(|answer| answer.finish.as_ref()).map(|finish| attributes::finish_reasons(finish.reason)),
        );
        said.extend(attributes::tokens(usage));
        said.extend(attributes::cost(candidate.price, usage));
        let failure = error.filter(|_| outcome != AttemptOutcome::Cancelled).map(Error::code);
        let context = self.context.child(span_id.unwrap_or_else(|| self.telemetry.0.ids.new_span_id()));
        let begun = self.at + begun.saturating_duration_since(self.started);
        let span = self.span(&context, Some(&self.context), SpanKind::Client, &model.name, begun, said, failure);
        self.attempts.push(span);
    }

    /// What the caller gets.
    pub(crate) fn heard(&mut self, events: &[Event]) {
        for event in events {
            if let Event::Finished(finish) = event {
                self.finish = Some(finish.reason);
            }
            if let Some(answer) = &mut self.answer {
                answer.add(event);
            }
        }
    }

    /// Hands all spans over. Without a `failure` the call went well, or its caller left.
    pub(crate) fn end(
        mut self,
        record: &ModelCallRecord,
        usage: Usage,
        first_token: Option<Duration>,
        failure: Option<ErrorCode>,
    ) {
        if !self.context.is_sampled() {
            return;
        }
        let mut said = vec![KeyValue::new("gen_ai.operation.name", self.operation.name())];
        said.extend(attributes::request(&self.call));
        said.extend(attributes::outcome(record, usage, first_token));
        said.extend(self.finish.map(attributes::finish_reasons));
        if let Some(answer) = self.answer.as_ref().filter(|_| self.operation != Operation::Embeddings) {
            said.extend(content::attributes(&self.call.asked, answer, &self.patterns));
        }
        let parent = self.call.parent.as_ref();
        let span = self.span(&self.context, parent, SpanKind::Server, &self.call.route, self.at, said, failure);
        let mut spans = std::mem::take(&mut self.attempts);
        spans.push(span);
        self.telemetry.take(spans);
    }

    /// One that ends now.
    #[expect(clippy::too_many_arguments, reason = "each is a field of the span")]
    fn span(
        &self,
        context: &TraceContext,
        parent: Option<&TraceContext>,
        span_kind: SpanKind,
        model: &str,
        start_time: SystemTime,
        mut attributes: Vec<KeyValue>,
        failure: Option<ErrorCode>,
    ) -> SpanData {
        attributes.extend(failure.map(|code| KeyValue::new("error.type", code.to_string())));
        SpanData {
            span_context: context.span().clone(),
            parent_span_id: parent.map_or(SpanId::INVALID, |parent| parent.span().span_id()),
            parent_span_is_remote: parent.is_some_and(|parent| parent.span().is_remote()),
            span_kind,
            name: format!("{} {}", self.operation.name(), attributes::name(model)).into(),
            start_time,
            end_time: self.at + self.started.elapsed(),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            // In words of ours: a provider's may quote the prompt.
            status: failure.map_or(Status::Unset, |code| Status::error(code.title())),
            instrumentation_scope: self.telemetry.0.scope.clone(),
        }
    }
}
