//! One call: through the candidates until one answers.
//!
//! ```text
//!   planning ──▶ trying ──▶ answering ──▶ over
//!                  ▲  │        │ │
//!                  └──┴────────┘ └─ after the first byte of text every failure is final
//!                   failed before the first byte of text: recorded as a fallback, next candidate
//! ```
//! Nothing runs in the background: the stream is polled and does its work then, so whoever reads slowly slows the model
//! down, and whoever drops the stream ends it.

use crate::{
    Awaited, ChatRequest, ChatStream, Chunk, Error,
    catalogue::Freshness,
    plan::{Candidate, Needs},
    router::Inner,
};
use futures_util::{Stream, StreamExt, stream};
use protocol::{ChatMessage, Egress, Fallback, ModelAnswer, ModelStreamItem, ToolSpec};
use serde_json::Value;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What is asked, of whom, and how far it may go.
#[derive(Clone, Debug)]
pub struct Call {
    /// A configured route, `default`, or `provider/model`.
    pub route: String,
    pub egress: Egress,
    pub messages: Vec<ChatMessage>,
    pub tools: Vec<ToolSpec>,
    pub response_schema: Option<Value>,
    pub max_output_tokens: Option<u32>,
    pub temperature: Option<f32>,
    pub seed: Option<u64>,
}

impl Call {
    /// With everything else at its default and no way out of the machine.
    pub fn new(route: impl Into<String>, messages: Vec<ChatMessage>) -> Self {
        Self {
            route: route.into(),
            egress: Egress::LocalOnly,
            messages,
            tools: Vec::new(),
            response_schema: None,
            max_output_tokens: None,
            temperature: None,
            seed: None,
        }
    }

    fn request(&self, candidate: &Candidate) -> ChatRequest {
        ChatRequest {
            model: candidate.model.name.clone(),
            messages: self.messages.clone(),
            tools: self.tools.clone(),
            response_schema: self.response_schema.clone(),
            max_output_tokens: self.max_output_tokens,
            temperature: self.temperature,
            seed: self.seed,
            egress: candidate.egress,
        }
    }

    fn prompt_bytes(&self) -> usize {
        let json = |value: &Value| value.to_string().len();
        let messages = self.messages.iter().map(|message| {
            message.content.len() + message.tool_calls.iter().map(|call| json(&call.arguments)).sum::<usize>()
        });
        let tools = self.tools.iter().map(|tool| tool.description.len() + json(&tool.parameters));
        messages.chain(tools).sum()
    }
}

pub(crate) struct Answer {
    inner: Arc<Inner>,
    call: Call,
    cancel: CancellationToken,
    started: Instant,
    first_token_timeout: Duration,
    fallbacks: Vec<Fallback>,
    last_error: Option<Error>,
    /// What the caller can mend by itself, whatever went wrong afterwards.
    overflow: Option<Error>,
    /// The largest window a prompt did not fit in: what is not larger is not asked.
    overflowed_tokens: Option<u64>,
    phase: Phase,
}

enum Phase {
    Planning,
    Trying(VecDeque<Candidate>),
    Answering(Box<Attempt>),
    Over,
}

/// A candidate that accepted the request.
struct Attempt {
    candidate: Candidate,
    rest: VecDeque<Candidate>,
    stream: ChatStream,
    /// Stops the provider's work when this attempt is dropped, whether or not it notices its stream being gone.
    _stop: DropGuard,
    /// When the next sign of life is due, and what it would be.
    due: Instant,
    awaited: Awaited,
    content: String,
    first_token: Option<Duration>,
}

impl Answer {
    pub(crate) fn stream(
        inner: Arc<Inner>,
        call: Call,
        cancel: CancellationToken,
    ) -> impl Stream<Item = ModelStreamItem> + Send + Unpin + 'static {
        let first_token_timeout = inner.limits.first_token(call.prompt_bytes());
        let answer = Self {
            inner,
            call,
            cancel,
            started: Instant::now(),
            first_token_timeout,
            fallbacks: Vec::new(),
            last_error: None,
            overflow: None,
            overflowed_tokens: None,
            phase: Phase::Planning,
        };
        Box::pin(stream::unfold(answer, |mut answer| async move { Some((answer.next().await?, answer)) }))
    }

    async fn next(&mut self) -> Option<ModelStreamItem> {
        let cancel = self.cancel.clone();
        loop {
            if matches!(self.phase, Phase::Over) {
                return None;
            }
            let step = tokio::select! {
                biased;
                // The step is dropped with all it holds: the upstream request ends here.
                () = cancel.cancelled() => None,
                step = self.step() => step,
            };
            match step {
                Some(Step::Item(item)) => return Some(item),
                Some(Step::On) => {}
                None => {
                    self.phase = Phase::Over;
                    return Some(self.failed(&Error::Cancelled));
                }
            }
        }
    }

    /// Leaves [`Phase::Over`] behind unless it says otherwise, so that a step which is dropped is the last one.
    async fn step(&mut self) -> Option<Step> {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Planning => Some(self.plan().await),
            Phase::Trying(candidates) => Some(self.try_next(candidates).await),
            Phase::Answering(attempt) => Some(self.listen(attempt).await),
            Phase::Over => None,
        }
    }

    async fn plan(&mut self) -> Step {
        let needs = Needs {
            egress: self.call.egress,
            tools: !self.call.tools.is_empty(),
            schema: self.call.response_schema.is_some(),
        };
        match self.inner.table.plan(&self.call.route, needs, Freshness::CALL).await {
            Ok(candidates) => self.go_on(Phase::Trying(candidates.into())),
            Err(error) => Step::Item(self.failed(&error)),
        }
    }

    async fn try_next(&mut self, mut candidates: VecDeque<Candidate>) -> Step {
        let Some(mut candidate) = candidates.pop_front() else { return Step::Item(self.exhausted()) };
        if let (Some(overflowed), Some(window)) = (self.overflowed_tokens, candidate.model.context_tokens)
            && window <= overflowed
        {
            return self.go_on(Phase::Trying(candidates));
        }
        if let Some(fallback) = self.fallbacks.last() {
            let Fallback { provider, model, error } = fallback;
            candidate.why = format!("{provider}/{model} did not answer ({error}); {}", candidate.why);
        }
        let stop = self.cancel.child_token();
        let stop_guard = stop.clone().drop_guard();
        let due = Instant::now() + self.first_token_timeout;
        let starting = candidate.provider.chat(self.call.request(&candidate), stop);
        let started = timeout_at(due, starting).await;
        match started.unwrap_or_else(|_| Err(self.timed_out(&candidate, Awaited::FirstToken))) {
            Ok(stream) => {
                let item = ModelStreamItem::Started {
                    provider: candidate.model.provider.clone(),
                    model: candidate.model.name.clone(),
                    why: candidate.why.clone(),
                };
                self.phase = Phase::Answering(Box::new(Attempt {
                    candidate,
                    rest: candidates,
                    stream,
                    _stop: stop_guard,
                    due,
                    awaited: Awaited::FirstToken,
                    content: String::new(),
                    first_token: None,
                }));
                Step::Item(item)
            }
            Err(error) => self.fall_back(&candidate, candidates, error),
        }
    }

    async fn listen(&mut self, mut attempt: Box<Attempt>) -> Step {
        let chunk = match timeout_at(attempt.due, attempt.stream.next()).await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => Err(Error::Cut {
                provider: attempt.candidate.model.provider.clone(),
                message: "its stream ended without a result".to_owned(),
            }),
            Err(_) => Err(self.timed_out(&attempt.candidate, attempt.awaited)),
        };
        attempt.due = Instant::now() + self.inner.limits.inter_token;
        attempt.awaited = Awaited::NextToken;
        match chunk.and_then(|chunk| self.bounded(&attempt, chunk)) {
            Ok(Chunk::Text(text)) if !text.is_empty() => {
                attempt.first_token.get_or_insert_with(|| self.started.elapsed());
                attempt.content.push_str(&text);
                self.phase = Phase::Answering(attempt);
                Step::Item(ModelStreamItem::Delta { text })
            }
            Ok(Chunk::Text(_) | Chunk::Progress) => self.go_on(Phase::Answering(attempt)),
            Ok(Chunk::Done { tool_calls, finish_reason, input_tokens, output_tokens }) => {
                let total = self.started.elapsed();
                let answer = ModelAnswer {
                    provider: attempt.candidate.model.provider.clone(),
                    model: attempt.candidate.model.name.clone(),
                    content: std::mem::take(&mut attempt.content),
                    tool_calls,
                    finish_reason,
                    input_tokens,
                    output_tokens,
                    // Nothing here has a price yet.
                    cost_microusd: 0,
                    first_token_ms: millis(attempt.first_token.unwrap_or(total)),
                    total_ms: millis(total),
                    fallbacks: std::mem::take(&mut self.fallbacks),
                };
                Step::Item(ModelStreamItem::Finished { answer })
            }
            Err(error) if attempt.content.is_empty() => {
                let Attempt { candidate, rest, stream, .. } = *attempt;
                drop(stream);
                self.fall_back(&candidate, rest, error)
            }
            Err(error) => {
                self.record(&attempt.candidate, &error);
                Step::Item(self.failed(&error))
            }
        }
    }

    fn bounded(&self, attempt: &Attempt, chunk: Chunk) -> Result<Chunk, Error> {
        match &chunk {
            Chunk::Text(text) if attempt.content.len() + text.len() > self.inner.limits.answer_bytes => {
                Err(Error::TooLarge {
                    provider: attempt.candidate.model.provider.clone(),
                    what: "an answer",
                    limit_bytes: self.inner.limits.answer_bytes,
                })
            }
            _ => Ok(chunk),
        }
    }

    fn go_on(&mut self, phase: Phase) -> Step {
        self.phase = phase;
        Step::On
    }

    fn timed_out(&self, candidate: &Candidate, awaited: Awaited) -> Error {
        let after = match awaited {
            Awaited::NextToken => self.inner.limits.inter_token,
            Awaited::Headers | Awaited::FirstToken | Awaited::Listing => self.first_token_timeout,
        };
        Error::TimedOut { provider: candidate.model.provider.clone(), awaited, after }
    }

    fn fall_back(&mut self, candidate: &Candidate, rest: VecDeque<Candidate>, error: Error) -> Step {
        tracing::info!(target = candidate.model.id, %error, "a target did not answer");
        self.record(candidate, &error);
        if !error.leads_on() {
            return Step::Item(self.failed(&error));
        }
        if matches!(error, Error::ContextLengthExceeded { .. }) {
            self.overflowed_tokens = self.overflowed_tokens.max(candidate.model.context_tokens);
            self.overflow = Some(error.clone());
        }
        self.last_error = Some(error);
        self.go_on(Phase::Trying(rest))
    }

    fn record(&mut self, candidate: &Candidate, error: &Error) {
        self.fallbacks.push(Fallback {
            provider: candidate.model.provider.clone(),
            model: candidate.model.name.clone(),
            error: error.to_string(),
        });
    }

    /// No candidate is left. A prompt that is too long is what the caller can do something about, so that comes first.
    fn exhausted(&mut self) -> ModelStreamItem {
        let error = self.overflow.take().or(self.last_error.take());
        let error = error.unwrap_or_else(|| Error::NoModel(format!("route `{}` has no target", self.call.route)));
        let mut item = self.failed(&error);
        if let ModelStreamItem::Failed { message, fallbacks, .. } = &mut item
            && fallbacks.len() > 1
        {
            *message = format!("none of {} targets of `{}` answered: {message}", fallbacks.len(), self.call.route);
        }
        item
    }

    fn failed(&mut self, error: &Error) -> ModelStreamItem {
        ModelStreamItem::Failed {
            code: error.code().to_string(),
            message: error.to_string(),
            fallbacks: std::mem::take(&mut self.fallbacks),
        }
    }
}

enum Step {
    /// Tell the caller.
    Item(ModelStreamItem),
    /// Nothing to tell; take the next step.
    On,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
