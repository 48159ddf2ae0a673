//! One model call for an attempt: streamed to the agent and recorded in the job's log at the same time.
//!
//! ```text
//!   router ── items ──▶ recorder ──▶ agent (Server-Sent Events)
//!                          │
//!                          ▼
//!                       the job's log: model.started, model.delta …, model.finished | model.failed
//! ```
//! The recorder is a task of its own, so that a call whose agent went away still ends in the log. The agent sees
//! `finished` only once the event is durable. Cancelling the job, losing the lease, revoking the token, closing the
//! connection and stopping the server all stop the call upstream.

use crate::{
    app::App,
    auth::Identity,
    live::frame,
    problem::{Failure, Result},
};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use domain::{ErrorCode, JobId, ModelCallId};
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderName, header};
use jobs::Attempt;
use protocol::{Egress, EventBody, Fallback, ModelAnswer, ModelCall, ModelStreamItem};
use router::{Call, Caller, OwnRequest, Router, accounts::JobBudget};
use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

/// Items that wait for a slow agent. Beyond it, the model waits too.
const WAITING: usize = 64;
/// Text of an answer is recorded when this much has come, in bytes, or this long has passed since it began to come: a
/// person reads along without waiting, and a token does not cost a commit.
const DELTA_BYTES: usize = 1024;
const DELTA_AGE: Duration = Duration::from_millis(40);
/// Characters of a call's id.
const CALL_ID: std::ops::RangeInclusive<usize> = 1..=64;

pub async fn stream(app: &Arc<App>, asker: &Identity, job: JobId, call: ModelCall) -> Result<Response> {
    check_call_id(&call.call_id)?;
    let attempt = app.jobs.attempt(&asker.caller, job, (call.epoch, call.attempt)).await?;
    let route = attempt.spec().route.clone().unwrap_or_else(|| router::DEFAULT_ROUTE.to_owned());
    let (sender, receiver) = mpsc::channel(WAITING);
    let recorder = Recorder {
        router: app.router.clone(),
        call_id: call.call_id.clone(),
        route: route.clone(),
        over: attempt.cancelled(),
        revoked: asker.token.revoked.clone(),
        stopping: app.stopping.clone(),
        upstream: CancellationToken::new(),
        attempt,
        agent: sender,
        pending: String::new(),
        pending_since: Instant::now(),
    };
    let asked = OwnRequest {
        messages: call.messages,
        tools: call.tools,
        response_schema: call.response_schema,
        grammar: call.grammar,
        max_output_tokens: call.max_output_tokens,
        temperature: call.temperature,
        seed: call.seed,
    };
    let limits = &recorder.attempt.spec().limits;
    let budget = JobBudget { tokens: Some(limits.tokens), microusd: Some(limits.cost_microusd) };
    app.router.books().open_job(job, None, budget).await?;
    // A job may do no more than its owner.
    let (owner, allowed) = app.router.books().caller(recorder.attempt.owner(), Egress::Allowed);
    let caller = Caller { job: Some(job), ..owner };
    let id = ModelCallId::new(app.clock.now());
    let mut request = Call::new(id, route.clone(), Arc::new(asked.asked(&route)), caller);
    request.target = call.target;
    request.egress = recorder.attempt.spec().egress.min(allowed);
    let items = app.router.call(request).take_until(recorder.upstream.clone().cancelled_owned());
    app.tasks.spawn(recorder.run(items));
    let told = stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) });
    Ok(respond(Box::pin(told), app.options.limits.heartbeat))
}

/// The items of an answer on their way out.
pub fn respond(items: impl Stream<Item = ModelStreamItem> + Send + Unpin + 'static, heartbeat: Duration) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (HeaderName::from_static("x-accel-buffering"), "no")];
    (headers, Body::from_stream(frames(items, heartbeat))).into_response()
}

fn check_call_id(id: &str) -> Result<()> {
    let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if plain && CALL_ID.contains(&id.len()) {
        return Ok(());
    }
    Err(Failure::field("/call_id", "A call id has 1 to 64 of `A-Z a-z 0-9 . _ -`."))
}

/// Comments keep the connection from looking dead while a model thinks.
fn frames(
    items: impl Stream<Item = ModelStreamItem> + Send + Unpin + 'static,
    heartbeat: Duration,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    stream::unfold(items, move |mut items| async move {
        let text = match tokio::time::timeout(heartbeat, items.next()).await {
            Ok(Some(item)) => frame::sse(name(&item), &item),
            Ok(None) => return None,
            Err(_) => ": waiting for the model\n\n".to_owned(),
        };
        Some((Ok(Bytes::from(text)), items))
    })
}

fn name(item: &ModelStreamItem) -> &'static str {
    match item {
        ModelStreamItem::Started { .. } => "started",
        ModelStreamItem::Delta { .. } => "delta",
        ModelStreamItem::Finished { .. } => "finished",
        ModelStreamItem::Failed { .. } => "failed",
    }
}

struct Recorder {
    router: Arc<Router>,
    attempt: Attempt,
    call_id: String,
    route: String,
    over: CancellationToken,
    revoked: CancellationToken,
    stopping: CancellationToken,
    /// Stops the provider.
    upstream: CancellationToken,
    agent: mpsc::Sender<ModelStreamItem>,
    /// Text the agent has and the log does not yet.
    pending: String,
    pending_since: Instant,
}

/// Why a call ends early.
struct End {
    code: ErrorCode,
    message: String,
    fallbacks: Vec<Fallback>,
}

impl End {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), fallbacks: Vec::new() }
    }
}

impl Recorder {
    async fn run(mut self, items: impl Stream<Item = ModelStreamItem>) {
        let mut items = pin!(items);
        let ended = loop {
            let flush_at = self.pending_since + DELTA_AGE;
            let step = tokio::select! {
                biased;
                end = self.reason_to_stop() => Err(end),
                item = items.next() => self.take(item).await,
                () = tokio::time::sleep_until(flush_at), if !self.pending.is_empty() => self.flush(Vec::new()).await.map(|()| Step::GoOn),
            };
            match step {
                Ok(Step::GoOn) => {}
                Ok(Step::Done) => return,
                Err(end) => break end,
            }
        };
        self.upstream.cancel();
        self.fail(ended).await;
    }

    async fn reason_to_stop(&self) -> End {
        tokio::select! {
            () = self.over.cancelled() => End::new(ErrorCode::StaleAttempt, "the attempt was stopped, or lost its lease"),
            () = self.revoked.cancelled() => End::new(ErrorCode::Unauthorized, "the agent's token was revoked or expired"),
            () = self.stopping.cancelled() => End::new(ErrorCode::Unavailable, "the server stops"),
            () = self.agent.closed() => End::new(ErrorCode::Unavailable, "the agent closed the connection"),
        }
    }

    async fn take(&mut self, item: Option<ModelStreamItem>) -> Result<Step, End> {
        match item {
            Some(ModelStreamItem::Started { provider, model, why }) => {
                let notice = self.notice(&provider, &model).await;
                let started = EventBody::ModelStarted {
                    call_id: self.call_id.clone(),
                    route: self.route.clone(),
                    provider: provider.clone(),
                    model: model.clone(),
                    why: why.clone(),
                    notice,
                };
                self.flush(vec![started]).await?;
                self.tell(ModelStreamItem::Started { provider, model, why }).await
            }
            Some(ModelStreamItem::Delta { text }) => {
                if self.pending.is_empty() {
                    self.pending_since = Instant::now();
                }
                self.pending.push_str(&text);
                self.tell(ModelStreamItem::Delta { text }).await?;
                if self.pending.len() >= DELTA_BYTES {
                    self.flush(Vec::new()).await?;
                }
                Ok(Step::GoOn)
            }
            Some(ModelStreamItem::Finished { answer }) => {
                let finished = self.finished(&answer);
                self.flush(vec![finished]).await?;
                // An agent that left in the meantime finds the answer in the log.
                let _ = self.agent.send(ModelStreamItem::Finished { answer }).await;
                Ok(Step::Done)
            }
            Some(ModelStreamItem::Failed { code, message, fallbacks }) => {
                Err(End { code: code.parse().unwrap_or(ErrorCode::ModelFailed), message, fallbacks })
            }
            None => Err(End::new(ErrorCode::ModelFailed, "the answer ended without saying that it is whole")),
        }
    }

    /// Hands an item to the agent, unless there is a reason to stop while it is not taken.
    async fn tell(&self, item: ModelStreamItem) -> Result<Step, End> {
        tokio::select! {
            biased;
            sent = self.agent.send(item) => match sent {
                Ok(()) => Ok(Step::GoOn),
                Err(_) => Err(End::new(ErrorCode::Unavailable, "the agent closed the connection")),
            },
            end = self.reason_to_stop() => Err(end),
        }
    }

    /// Records the text that waits, then `events`, in one commit.
    async fn flush(&mut self, mut events: Vec<EventBody>) -> Result<(), End> {
        if !self.pending.is_empty() {
            let text = std::mem::take(&mut self.pending);
            events.insert(0, EventBody::ModelDelta { call_id: self.call_id.clone(), text });
        }
        if events.is_empty() {
            return Ok(());
        }
        match self.attempt.record(events).await {
            Ok(_) => Ok(()),
            Err(error) => Err(End::new(error.code(), error.to_string())),
        }
    }

    /// What to know about a model before relying on it. Nice to have, so it is not waited for long.
    async fn notice(&self, provider: &str, model: &str) -> Option<String> {
        const PATIENCE: Duration = Duration::from_millis(200);
        let egress = self.attempt.spec().egress;
        let route = tokio::time::timeout(PATIENCE, self.router.route(&self.route, egress)).await.ok()?.ok()?;
        route.targets.into_iter().find(|target| target.provider == provider && target.name == model)?.notice
    }

    fn finished(&self, answer: &ModelAnswer) -> EventBody {
        EventBody::ModelFinished {
            call_id: self.call_id.clone(),
            route: self.route.clone(),
            provider: answer.provider.clone(),
            model: answer.model.clone(),
            content: answer.content.clone(),
            tool_calls: answer.tool_calls.clone(),
            finish_reason: answer.finish_reason.as_str().into(),
            input_tokens: answer.input_tokens,
            output_tokens: answer.output_tokens,
            cost_microusd: answer.cost_microusd,
            first_token_ms: answer.first_token_ms,
            total_ms: answer.total_ms,
            fallbacks: answer.fallbacks.clone(),
        }
    }

    async fn fail(mut self, end: End) {
        let End { code, message, fallbacks } = end;
        let failed = EventBody::ModelFailed {
            call_id: self.call_id.clone(),
            code: code.to_string(),
            message: message.clone(),
            fallbacks: fallbacks.clone(),
        };
        if let Err(refused) = self.flush(vec![failed]).await {
            // A stale attempt writes nothing: then the log says elsewhere why it is over.
            tracing::debug!(call_id = %self.call_id, code = %refused.code, "a failed model call was not recorded");
        }
        // An agent that left does not need to hear of it.
        let _ = self.agent.send(ModelStreamItem::Failed { code: code.to_string(), message, fallbacks }).await;
    }
}

enum Step {
    GoOn,
    Done,
}
