//! What a call goes through, for whoever asks afterwards why it went where it went.

use super::{
    attempt::{Attempt, Failed},
    rescue::Mode,
};
use crate::{
    Error, Event,
    accounts::{Price, Spent},
    answer::Usage,
    call::Call,
    plan::{Candidate, Plan},
    quality::Flaw,
    router::Inner,
    telemetry::{CallSpan, Operation, TraceContext, Tried},
};
use opentelemetry::TraceId;
use protocol::{AttemptOutcome, CallTokens, Fallback, ModelAttempt, ModelCallRecord, ModelCallState};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Characters of a name that a caller wrote. Longer than any route's or model's; callers may send megabytes.
const LONGEST_NAME: usize = 256;

pub(crate) struct Trace {
    record: Arc<ModelCallRecord>,
    started: Instant,
    fallbacks: Vec<Fallback>,
    /// What each of them came to, in our own words.
    failures: Vec<String>,
    /// Of them, those that the caller was told.
    said: usize,
    last: Option<Arc<Candidate>>,
    first_token: Option<Duration>,
    /// Estimated, of targets that broke off after they had begun to answer.
    output_tokens_before: u64,
    /// Estimated, for targets that did not get to tell it.
    prompt_tokens: u64,
    usage: Usage,
    /// Whether what was used is known, or can be estimated.
    is_counted: bool,
    /// Of all targets that were asked; `None` once one of them has no known price.
    cost_microusd: Option<u64>,
    queued: Duration,
    over: bool,
    /// Where a collector is told of the call.
    span: Option<Box<CallSpan>>,
}

pub(crate) enum Ended {
    Succeeded,
    Failed(Error),
    Cancelled,
}

impl Trace {
    /// A collector is told of it where it is an `operation` that collectors know.
    pub(crate) fn new(inner: &Inner, call: &Call, operation: Option<Operation>) -> Self {
        let record = ModelCallRecord {
            id: call.id,
            at: inner.clock.now(),
            caller: call.caller.principal,
            job: call.caller.job,
            route: shortened(&call.route),
            dialect: call.asked.dialect.name().into(),
            stream: call.asked.peek.stream,
            state: ModelCallState::Running,
            provider: None,
            model: None,
            digest: None,
            attempts: Vec::new(),
            fallbacks: 0,
            candidates: Vec::new(),
            rule: String::new(),
            egress: call.egress,
            tokens: None,
            cost_microusd: None,
            first_token_ms: None,
            total_ms: None,
            quality: None,
            cache_hit: false,
            lost_fields: Vec::new(),
            redactions: 0,
            error: None,
        };
        Self {
            record: Arc::new(record),
            started: Instant::now(),
            fallbacks: Vec::new(),
            failures: Vec::new(),
            said: 0,
            last: None,
            first_token: None,
            output_tokens_before: 0,
            // Without a prompt a model is only loaded.
            prompt_tokens: if call.asked.peek.prompt_bytes == 0 { 0 } else { call.asked.peek.estimated_tokens() },
            usage: Usage::default(),
            is_counted: true,
            cost_microusd: Some(0),
            queued: Duration::ZERO,
            over: false,
            span: operation.and_then(|operation| inner.span(call, operation)),
        }
    }

    /// A target is asked now; what it may be told of that.
    pub(crate) fn attempt_begins(&mut self) -> Option<TraceContext> {
        self.span.as_mut().map(|span| span.attempt_begins())
    }

    /// Takes what the plan says for this record alone.
    pub(crate) fn planned(&mut self, plan: &mut Plan) {
        let record = self.record();
        record.rule = std::mem::take(&mut plan.rule);
        record.egress = plan.egress;
        record.candidates = std::mem::take(&mut plan.considered);
    }

    /// A candidate that was passed over when its turn came.
    pub(crate) fn left_out(&mut self, candidate: &Candidate, why: String) {
        if let Some(known) = self.record().candidates.iter_mut().find(|known| known.target == candidate.id()) {
            known.kept = false;
            known.why = why.clone();
        }
        self.gone(candidate, why.clone(), why);
    }

    pub(crate) fn tried_in_vain(
        &mut self,
        candidate: &Arc<Candidate>,
        mode: &Mode,
        begun: Instant,
        error: &Error,
        usage: Option<Usage>,
    ) {
        let outcome = match error {
            Error::Flawed { .. } => AttemptOutcome::Poor,
            _ => AttemptOutcome::Failed,
        };
        let mut spent = Usage::default();
        if let Some(usage) = usage {
            spent = self.add_partial(usage, candidate);
            if !matches!(mode, Mode::Fresh) {
                self.output_tokens_before += usage.output_tokens;
            }
        }
        let mode = mode.name();
        self.attempt(Tried { candidate, mode, outcome, error: Some(error), begun, usage: spent, answer: None });
        self.failed(candidate, error);
        self.last = Some(candidate.clone());
    }

    /// One of the provider's keys was not accepted, and the request went out with the next one.
    pub(crate) fn key_refused(&mut self, candidate: &Candidate, mode: &Mode, begun: Instant, refusal: String) {
        self.record().attempts.push(ModelAttempt {
            provider: candidate.model.provider.clone(),
            model: candidate.model.name.clone(),
            mode: mode.name().into(),
            outcome: AttemptOutcome::Failed,
            error: Some(refusal),
            ms: millis(begun.elapsed()),
        });
    }

    /// The failure just noted is not the target's last word.
    pub(crate) fn will_retry(&mut self) {
        self.fallbacks.pop();
        self.failures.pop();
    }

    pub(crate) fn cut(&mut self, failed: &Failed) {
        // The provider did not get to its count; what the caller has was generated all the same.
        let usage = failed.usage.unwrap_or_default();
        self.output_tokens_before += usage.output_tokens;
        let usage = self.add_partial(usage, &failed.candidate);
        self.attempt(Tried {
            candidate: &failed.candidate,
            mode: failed.mode.name(),
            outcome: AttemptOutcome::Cut,
            error: Some(&failed.error),
            begun: failed.begun,
            usage,
            answer: None,
        });
        self.failed(&failed.candidate, &failed.error);
        self.last = Some(failed.candidate.clone());
    }

    pub(crate) fn rescuing(&mut self, candidate: &Candidate, mode: &Mode) {
        tracing::info!(
            target = candidate.id(),
            trace_id = self.trace_id().map(tracing::field::display),
            how = mode.name(),
            "another target goes on with an answer that was cut"
        );
    }

    pub(crate) fn committed(&mut self, attempt: &Attempt, flaws: &[Flaw], lost: &[String]) {
        let model = &attempt.candidate.model;
        self.queued = attempt.waited;
        self.redacted(attempt.redactions);
        let record = self.record();
        record.provider = Some(model.provider.clone());
        record.model = Some(model.name.clone());
        record.digest.clone_from(&model.digest);
        self.lost(lost);
        self.flaws(flaws);
    }

    /// Of every target that answered a part.
    pub(crate) fn lost(&mut self, fields: &[String]) {
        if fields.is_empty() {
            return;
        }
        let record = self.record();
        for field in fields {
            if !record.lost_fields.contains(field) {
                record.lost_fields.push(field.clone());
            }
        }
    }

    /// By name alone: what they say quotes the answer.
    pub(crate) fn flaws(&mut self, flaws: &[Flaw]) {
        if !flaws.is_empty() {
            self.record().quality = Some(flaws.iter().map(Flaw::as_str).collect::<Vec<_>>().join(", "));
        }
    }

    pub(crate) fn answered_from_memory(&mut self, committed: &super::Committed) {
        let record = self.record();
        record.provider = Some(committed.model.provider.clone());
        record.model = Some(committed.model.name.clone());
        record.cache_hit = true;
    }

    /// In what words, where that is none of the dialects in which conversations are held.
    pub(crate) fn asked_in(&mut self, dialect: &'static str) {
        let record = self.record();
        (record.dialect, record.stream) = (dialect.into(), false);
    }

    /// A request that is not looked into: what it comes to stands in the answer, which nobody here reads.
    pub(crate) fn passes_on(&mut self, method: &http::Method, path: &str) {
        let rule = format!("{method} {} is passed on as it is", shortened(path));
        self.asked_in("pass_through");
        self.record().rule = rule;
        self.is_counted = false;
        self.cost_microusd = None;
    }

    /// Secrets that became placeholders before the body left.
    pub(crate) fn redacted(&mut self, redactions: u64) {
        self.record().redactions = u32::try_from(redactions).unwrap_or(u32::MAX);
    }

    /// A target answered at once, and used this.
    pub(crate) fn answered(&mut self, candidate: &Candidate, begun: Instant, usage: Usage) {
        let usage = if self.is_counted { self.with_prompt(usage) } else { usage };
        // What is passed on unread may go to any model, and its path is none.
        let model = self.is_counted.then(|| candidate.model.name.clone());
        let record = self.record();
        record.provider = Some(candidate.model.provider.clone());
        record.model = model;
        record.digest.clone_from(&candidate.model.digest);
        self.add(usage, candidate);
        let (mode, outcome) = (Mode::Fresh.name(), AttemptOutcome::Answered);
        self.attempt(Tried { candidate, mode, outcome, error: None, begun, usage, answer: None });
    }

    pub(crate) fn content(&mut self, events: &[Event]) {
        if let Some(span) = &mut self.span {
            span.heard(events);
        }
        if self.first_token.is_none() && events.iter().any(Event::is_content) {
            self.first_token = Some(self.started.elapsed());
        }
    }

    pub(crate) fn finished(&mut self, attempt: &Attempt) {
        if attempt.is_booked {
            return;
        }
        let usage = self.add_partial(attempt.used().unwrap_or_default(), &attempt.candidate);
        self.attempt(Tried {
            candidate: &attempt.candidate,
            mode: attempt.mode.name(),
            outcome: AttemptOutcome::Answered,
            error: None,
            begun: attempt.begun,
            usage,
            answer: Some(&attempt.whole),
        });
    }

    /// The caller left while this target was at work.
    pub(crate) fn abandoned(&mut self, attempt: &Attempt) {
        if attempt.is_booked {
            return;
        }
        let usage = self.add_partial(attempt.used().unwrap_or_default(), &attempt.candidate);
        self.cancelled(&attempt.candidate, &attempt.mode, attempt.begun, usage);
    }

    /// The caller left before this target said anything: it may have read the prompt.
    pub(crate) fn abandoned_unheard(&mut self, candidate: &Candidate, mode: &Mode, begun: Instant) {
        let usage = self.add_partial(Usage::default(), candidate);
        self.cancelled(candidate, mode, begun, usage);
    }

    fn cancelled(&mut self, candidate: &Candidate, mode: &Mode, begun: Instant, usage: Usage) {
        let (mode, outcome) = (mode.name(), AttemptOutcome::Cancelled);
        self.attempt(Tried { candidate, mode, outcome, error: None, begun, usage, answer: None });
    }

    /// The record, once.
    pub(crate) fn end(&mut self, ended: &Ended) -> Option<Arc<ModelCallRecord>> {
        if std::mem::replace(&mut self.over, true) {
            return None;
        }
        let record = Arc::make_mut(&mut self.record);
        (record.state, record.error) = match ended {
            Ended::Succeeded => (ModelCallState::Succeeded, None),
            Ended::Failed(error) => (ModelCallState::Failed, Some(error.recorded())),
            Ended::Cancelled => (ModelCallState::Cancelled, Some("the caller left".to_owned())),
        };
        // Where nobody was asked, nobody was left for another one.
        let fallbacks = if record.attempts.is_empty() { 0 } else { self.fallbacks.len() };
        record.fallbacks = u32::try_from(fallbacks).unwrap_or(u32::MAX);
        record.first_token_ms = self.first_token.map(millis);
        record.total_ms = Some(millis(self.started.elapsed()));
        record.tokens = self.is_counted.then_some(CallTokens {
            input: self.usage.input_tokens,
            cached_input: self.usage.cached_input_tokens,
            cache_write: self.usage.cache_write_tokens,
            output: self.usage.output_tokens,
            reasoning: self.usage.reasoning_tokens,
        });
        record.cost_microusd = self.cost_microusd;
        Some(self.record.clone())
    }

    pub(crate) fn spent(&self) -> Spent {
        Spent { tokens: self.usage.input_tokens + self.usage.output_tokens, microusd: self.cost_microusd.unwrap_or(0) }
    }

    pub(crate) fn is_counted(&self) -> bool {
        self.is_counted
    }

    pub(crate) fn asked_nobody(&self) -> bool {
        self.record.attempts.is_empty()
    }

    pub(crate) fn fallbacks(&self) -> usize {
        self.fallbacks.len()
    }

    /// The next one that the caller was not told of.
    pub(crate) fn unsaid(&mut self) -> Option<Fallback> {
        let fallback = self.fallbacks.get(self.said)?.clone();
        self.said += 1;
        Some(fallback)
    }

    pub(crate) fn flawed(&self) -> bool {
        self.record.quality.is_some()
    }

    pub(crate) fn last_candidate(&self) -> Option<Arc<Candidate>> {
        self.last.clone()
    }

    pub(crate) fn last_failure(&self) -> Option<String> {
        let (Fallback { provider, model, .. }, why) = (self.fallbacks.last()?, self.failures.last()?);
        Some(format!("{provider}/{model} did not answer ({why})"))
    }

    /// What every other target than this one came to.
    pub(crate) fn failures_beside(&self, target: &str) -> Vec<String> {
        let all = self.fallbacks.iter().zip(&self.failures);
        all.map(|(fallback, why)| (format!("{}/{}", fallback.provider, fallback.model), why))
            .filter(|(other, _)| other != target)
            .map(|(other, why)| format!("{other}: {why}"))
            .collect()
    }

    pub(crate) fn output_tokens_before(&self) -> u64 {
        self.output_tokens_before
    }

    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    /// So far, with every target that was asked.
    pub(crate) fn cost_microusd(&self) -> Option<u64> {
        self.cost_microusd
    }

    /// What the call comes to with this answer.
    pub(crate) fn cost_with_whole(&self, attempt: &Attempt) -> Option<u64> {
        if attempt.is_booked {
            return self.cost_microusd;
        }
        let usage = self.with_prompt(attempt.used().unwrap_or_default());
        self.cost_with(usage, attempt.candidate.price.as_ref())
    }

    fn cost_with(&self, usage: Usage, price: Option<&Price>) -> Option<u64> {
        let cost = price.map(|price| price.cost_microusd(&usage));
        self.cost_microusd.zip(cost).map(|(before, cost)| before.saturating_add(cost))
    }

    pub(crate) fn first_token(&self) -> Option<Duration> {
        self.first_token
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn queued(&self) -> Duration {
        self.queued
    }

    pub(crate) fn trace_id(&self) -> Option<TraceId> {
        self.span.as_ref().map(|span| span.trace_id())
    }

    /// To end it.
    pub(crate) fn take_span(&mut self) -> Option<Box<CallSpan>> {
        self.span.take()
    }

    /// Nobody else holds it before the call is over.
    fn record(&mut self) -> &mut ModelCallRecord {
        Arc::make_mut(&mut self.record)
    }

    /// Its caller gets the server's words, the record does not.
    fn failed(&mut self, candidate: &Candidate, error: &Error) {
        self.gone(candidate, error.to_string(), error.recorded());
    }

    fn gone(&mut self, candidate: &Candidate, error: String, own_words: String) {
        self.failures.push(own_words);
        let (provider, model) = (candidate.model.provider.clone(), candidate.model.name.clone());
        self.fallbacks.push(Fallback { provider, model, error });
    }

    fn attempt(&mut self, tried: Tried<'_>) {
        if let Some(span) = &mut self.span {
            span.attempt_over(&tried);
        }
        let Tried { candidate, mode, outcome, error, begun, .. } = tried;
        self.record().attempts.push(ModelAttempt {
            provider: candidate.model.provider.clone(),
            model: candidate.model.name.clone(),
            mode: mode.into(),
            outcome,
            error: error.map(Error::recorded),
            ms: millis(begun.elapsed()),
        });
    }

    /// Of a target that did not count: it read the prompt, whether or not it told how long that was.
    fn add_partial(&mut self, usage: Usage, candidate: &Candidate) -> Usage {
        let usage = self.with_prompt(usage);
        self.add(usage, candidate);
        usage
    }

    fn with_prompt(&self, mut usage: Usage) -> Usage {
        if usage.input_tokens == 0 {
            usage.input_tokens = self.prompt_tokens;
        }
        usage
    }

    fn add(&mut self, usage: Usage, candidate: &Candidate) {
        self.cost_microusd = self.cost_with(usage, candidate.price.as_ref());
        self.usage.input_tokens += usage.input_tokens;
        self.usage.cached_input_tokens += usage.cached_input_tokens;
        self.usage.cache_write_tokens += usage.cache_write_tokens;
        self.usage.cache_write_1h_tokens += usage.cache_write_1h_tokens;
        self.usage.output_tokens += usage.output_tokens;
        self.usage.reasoning_tokens += usage.reasoning_tokens;
    }
}

/// What a caller wrote, for a record that is kept.
fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_NAME).collect()
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
