//! Which model works for a job, and calls to it.

mod route;
mod size;
#[cfg(test)]
mod tests;

pub(crate) use route::{next_after, profile};

use crate::{
    answer,
    attempt::Attempt,
    call_id::ModelCallId,
    context::estimated_tokens,
    conversation::{Conversation, Manner},
    halt::{Halt, refused},
    prompt::Dialect,
    tool::Tool,
};
use domain::{ErrorCode, FailureReason};
use futures_util::StreamExt;
use protocol::{
    ApprovalPolicies, Calls, ChatMessage, EditForm, Egress, EventBody, Location, Model, ModelAnswer, ModelCall,
    ModelStreamItem, Route, ToolSpec, WorkMode,
};
use std::time::Duration;

/// How often a call that failed is repeated, beyond what the router does by itself.
const RETRIES: u32 = 3;
/// Longest answer of one call, in tokens: a file of some 600 lines. Without a bound a small model that repeats itself
/// would go on until its context is full.
const ANSWER_TOKENS: u64 = 8_192;
/// Shortest limit of an answer, in tokens: one step with a file of some 100 lines.
const LEAST_ANSWER_TOKENS: u64 = 1_024;
/// How much chance there is in a local model's words.
const TEMPERATURE: f32 = 0.2;
/// The route of a job that names none.
const DEFAULT_ROUTE: &str = "default";

/// What the agent has to know about the model that will most likely answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Profile {
    /// `provider/model`.
    pub(crate) model: String,
    pub(crate) dialect: Dialect,
    /// Its answers can be held to a grammar.
    pub(crate) grammar: bool,
    /// It needs fewer tools, hints, and rules that hold it: see [`size`].
    pub(crate) is_small: bool,
    /// For code the likeliest words are the best. Models in the cloud choose for themselves, and some refuse to be told.
    pub(crate) temperature: Option<f32>,
    /// Tokens that prompt and answer share, where that is known.
    pub(crate) context_tokens: Option<u64>,
    /// The longest answer that does it good, in tokens, where that was found out.
    pub(crate) longest_answer: Option<u32>,
    /// Who decides what comes next, where that was found out.
    pub(crate) mode: Option<WorkMode>,
    /// How it changes files best, where that was found out.
    pub(crate) edits: Option<EditForm>,
}

impl Profile {
    /// The first target that may be used and is there; where none is there, the first that may be used, because the
    /// router knows best why it cannot be reached.
    ///
    /// `target`: the one that took over from it, as long as the route has it.
    fn of(route: &Route, egress: Egress, target: Option<&str>) -> Option<Self> {
        let allowed = |model: &&Model| egress == Egress::Allowed || model.location == Location::Local;
        let named = route.targets.iter().filter(allowed).find(|model| Some(model.id.as_str()) == target);
        let model = named.or_else(|| route.targets.iter().filter(allowed).find(|model| model.available));
        let model = model.or_else(|| route.targets.iter().find(allowed))?;
        Some(Self::of_model(model))
    }

    /// What was found out about the model, and where nothing was, what its kind and size suggest.
    pub(crate) fn of_model(model: &Model) -> Self {
        let found = model.profile.as_ref();
        let is_native = model.native_tools && found.is_none_or(|found| found.calls == Calls::Native);
        let is_local = model.location == Location::Local;
        Self {
            model: model.id.clone(),
            dialect: if is_native { Dialect::Native } else { Dialect::Text },
            grammar: model.grammar && !is_native,
            is_small: size::is_small(model),
            temperature: is_local.then(|| found.and_then(|found| found.temperature).unwrap_or(TEMPERATURE)),
            context_tokens: model.context_tokens,
            longest_answer: found.and_then(|found| found.answer_tokens),
            mode: found.map(|found| found.mode).or_else(|| size::is_tiny(model).then_some(WorkMode::Guided)),
            edits: found.map(|found| found.edits),
        }
    }

    /// How its conversations are held, where a job allows this.
    pub(crate) fn manner(&self, approvals: &ApprovalPolicies) -> Manner {
        Manner {
            dialect: self.dialect,
            offered: Tool::offered(approvals, self.is_small),
            prompt_tokens: self.prompt_tokens(),
            gives_hints: self.is_small,
        }
    }

    /// Tokens kept free for the answer: half of a small context.
    pub(crate) fn answer_tokens(&self) -> u64 {
        let longest = self.longest_answer.map_or(ANSWER_TOKENS, u64::from);
        self.context_tokens.map_or(longest, |context| (context / 2).min(longest))
    }

    /// Most tokens of a prompt. Before anything of a conversation is dropped, answers become shorter, down to what one step
    /// takes.
    pub(crate) fn prompt_tokens(&self) -> Option<u64> {
        self.context_tokens.map(|context| context - (context / 4).min(LEAST_ANSWER_TOKENS))
    }

    /// Most tokens of the answer to a prompt of this size.
    pub(crate) fn answer_tokens_after(&self, prompt_tokens: u64) -> u64 {
        let Some(context) = self.context_tokens else { return self.answer_tokens() };
        let most = self.answer_tokens();
        let least = (context / 4).min(LEAST_ANSWER_TOKENS).min(most);
        context.saturating_sub(prompt_tokens).clamp(least, most)
    }

    /// Fails where a text alone is certainly more than the model can take. What is merely likely is left to the model,
    /// which counts exactly: eight bytes a token is more than any tokenizer gets out of ordinary text.
    pub(crate) fn check_fits(&self, what: &str, text: &str) -> Result<(), Halt> {
        const MOST_BYTES_PER_TOKEN: u64 = 8;
        let Some(limit) = self.context_tokens else { return Ok(()) };
        let least = text.len() as u64 / MOST_BYTES_PER_TOKEN;
        match least > limit {
            false => Ok(()),
            true => Err(Halt::error(format!(
                "{what} has {} bytes, at least {least} tokens, and the model's context holds {limit} tokens for prompt and \
                 answer together. Make it shorter, or choose a route whose model has a larger context (`devmesh models list`)",
                text.len()
            ))),
        }
    }
}

/// What to send.
pub(crate) struct Prompt {
    pub(crate) messages: Vec<ChatMessage>,
    pub(crate) tools: Vec<ToolSpec>,
    /// What the answer keeps to, where the model can be held to it.
    pub(crate) grammar: Option<String>,
    pub(crate) sampling: Sampling,
}

/// How an answer is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sampling {
    /// For a model that may be told. Default: that of its profile.
    pub(crate) temperature: Option<f32>,
    /// The same one gives the same answer again, as far as its engine can.
    pub(crate) seed: Option<u64>,
    /// Most tokens of the answer, where less than the model's own limit is enough.
    pub(crate) most_tokens: Option<u64>,
}

impl Prompt {
    /// Nothing but words.
    pub(crate) fn plain(messages: Vec<ChatMessage>) -> Self {
        Self { messages, tools: Vec::new(), grammar: None, sampling: Sampling::default() }
    }

    /// What comes next in a conversation.
    pub(crate) fn of(conversation: &Conversation, profile: &Profile, steps_left: Option<u32>) -> Self {
        let offered = conversation.offered();
        let (tools, grammar) = match conversation.dialect() {
            Dialect::Native => (offered.iter().map(|tool| tool.spec()).collect(), None),
            Dialect::Text => (Vec::new(), profile.grammar.then(|| answer::grammar(offered))),
        };
        Self { messages: conversation.messages(steps_left), tools, grammar, sampling: Sampling::default() }
    }

    /// About how many tokens it takes.
    pub(crate) fn estimated_tokens(&self) -> u64 {
        let of = |value: &serde_json::Value| estimated_tokens(&value.to_string());
        let messages = self.messages.iter().map(|message| {
            estimated_tokens(&message.content) + message.tool_calls.iter().map(|call| of(&call.arguments)).sum::<u64>()
        });
        messages.sum::<u64>() + self.tools.iter().map(|tool| of(&tool.parameters)).sum::<u64>()
    }
}

#[derive(Debug)]
pub(crate) enum CallError {
    Halt(Halt),
    /// The prompt is too long for the model; the message has the figures.
    DidNotFit(String),
}

impl From<Halt> for CallError {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

/// What one try came to.
enum Tried {
    Answered(ModelAnswer),
    Failed {
        code: Option<ErrorCode>,
        message: String,
    },
    /// The backend went away, not the model.
    Unreachable,
}

impl Attempt {
    /// A whole answer. Everything the log holds so far is durable before the model is asked.
    pub(crate) async fn ask_model(&mut self, turn: u32, prompt: Prompt) -> Result<ModelAnswer, CallError> {
        if let Some(message) = self.budget.exhausted() {
            return Err(Halt::Failed { reason: FailureReason::BudgetExhausted, message }.into());
        }
        self.appender.flush().await?;
        let Sampling { temperature, seed, most_tokens } = prompt.sampling;
        let most = self.profile.answer_tokens_after(prompt.estimated_tokens()).min(self.budget.tokens_left());
        let most = most_tokens.map_or(most, |enough| enough.min(most));
        let mut call = ModelCall {
            epoch: self.epoch,
            attempt: self.number,
            call_id: String::new(),
            target: self.target.clone(),
            messages: prompt.messages,
            tools: prompt.tools,
            response_schema: None,
            grammar: prompt.grammar,
            max_output_tokens: Some(u32::try_from(most).unwrap_or(u32::MAX)),
            temperature: self.profile.temperature.map(|own| temperature.unwrap_or(own)),
            seed,
        };
        let mut failures = 0;
        loop {
            call.call_id = self.name_call(turn);
            let stop = self.stop.clone();
            let outcome = tokio::select! {
                biased;
                () = stop.requested().cancelled() => return Err(Halt::Stopped.into()),
                // Dropping the stream cancels the call upstream.
                outcome = self.try_model(&call) => outcome?,
            };
            match outcome {
                Tried::Answered(answer) => {
                    self.budget.count_answer(&answer);
                    self.remember_model(&answer);
                    return Ok(answer);
                }
                Tried::Failed { code: Some(ErrorCode::ContextLengthExceeded), message } => {
                    return Err(CallError::DidNotFit(message));
                }
                Tried::Failed { code, message } => {
                    failures += 1;
                    if !code.is_some_and(may_pass) || failures > RETRIES {
                        return Err(given_up(code, &message, failures).into());
                    }
                    self.note(format!("the model call failed ({message}); trying again")).await?;
                    self.pause(self.options.model_retry_pause * 2_u32.pow(failures - 1)).await?;
                }
                Tried::Unreachable => self.pause(self.options.model_retry_pause).await?,
            }
        }
    }

    fn name_call(&mut self, turn: u32) -> String {
        let tried = match self.newest_call {
            Some(newest) if newest.turn == turn => newest.tried + 1,
            _ => 1,
        };
        self.newest_call.insert(ModelCallId { attempt: self.number, turn, tried }).to_string()
    }

    async fn try_model(&self, call: &ModelCall) -> Result<Tried, Halt> {
        let mut stream = match self.client.model_call(self.job, call).await {
            Ok(stream) => stream,
            Err(error) => return self.failed(&error),
        };
        while let Some(item) = stream.next().await {
            match item {
                // The backend records them; the answer comes whole at the end.
                Ok(ModelStreamItem::Started { .. } | ModelStreamItem::Delta { .. }) => {}
                Ok(ModelStreamItem::Finished { answer }) => return Ok(Tried::Answered(answer)),
                Ok(ModelStreamItem::Failed { code, message, .. }) => {
                    return Ok(Tried::Failed { code: code.parse().ok(), message });
                }
                Err(error) => return self.failed(&error),
            }
        }
        Ok(Tried::Failed {
            code: Some(ErrorCode::ModelFailed),
            message: "the answer was cut off before its end".into(),
        })
    }

    fn failed(&self, error: &client::Error) -> Result<Tried, Halt> {
        match error {
            client::Error::Unreachable { .. } => Ok(Tried::Unreachable),
            client::Error::Interrupted { .. } => {
                Ok(Tried::Failed { code: Some(ErrorCode::ModelFailed), message: error.to_string() })
            }
            client::Error::Problem(problem) => match problem.code {
                ErrorCode::StaleAttempt | ErrorCode::WrongState | ErrorCode::Unauthorized => {
                    Err(refused(&self.stop, error))
                }
                code => Ok(Tried::Failed { code: Some(code), message: error.to_string() }),
            },
            _ => Ok(Tried::Failed { code: None, message: error.to_string() }),
        }
    }

    /// Waits, unless the attempt has to stop.
    async fn pause(&self, duration: Duration) -> Result<(), Halt> {
        // Up to half as long again, so that many agents do not come back at once.
        let duration = duration.mul_f64(rand::random_range(1.0..1.5));
        tokio::select! {
            biased;
            () = self.stop.requested().cancelled() => Err(Halt::Stopped),
            () = tokio::time::sleep(duration) => Ok(()),
        }
    }

    fn remember_model(&mut self, answer: &ModelAnswer) {
        let model = format!("{}/{}", answer.provider, answer.model);
        if !self.models.contains(&model) {
            self.models.push(model);
        }
    }

    pub(crate) async fn note(&self, message: impl Into<String>) -> Result<(), Halt> {
        let message = message.into();
        tracing::info!(job = %self.job, %message, "note");
        self.appender.append(vec![EventBody::AgentNote { message }]).await
    }
}

/// The same call may succeed a little later.
fn may_pass(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::ModelFailed
            | ErrorCode::ModelUnavailable
            | ErrorCode::RateLimited
            | ErrorCode::TooManyConnections
            | ErrorCode::RequestTimeout
            | ErrorCode::Unavailable
            | ErrorCode::StorageFull
            | ErrorCode::Internal
    )
}

fn given_up(code: Option<ErrorCode>, message: &str, failures: u32) -> Halt {
    let reason = match code {
        Some(ErrorCode::EgressRefused) => FailureReason::Refused,
        _ => FailureReason::Error,
    };
    let message = match failures {
        1 => format!(
            "the model call failed: {message}. `devmesh doctor` checks the models; `devmesh jobs retry` starts over"
        ),
        _ => format!(
            "the model call failed {failures} times in a row, the last time like this: {message}. `devmesh doctor` checks the \
             models; `devmesh jobs retry` starts over"
        ),
    };
    Halt::Failed { reason, message }
}
