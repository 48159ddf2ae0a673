//! Calls of the model under examination, and the time they take.

use super::{Error, Verdict};
use crate::{
    model::{Profile, Prompt},
    prompt::Dialect,
};
use client::Client;
use domain::ErrorCode;
use futures_util::StreamExt;
use protocol::{CreateModelCall, Egress, FinishReason, Location, Model, ModelAnswer, ModelStreamItem};
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Longest wait for one answer: a prompt of 1,000 tokens and an answer of 300 at 10 and 4 tokens/s, as on a machine that is busy
/// with other things.
const ANSWER_TAKES: Duration = Duration::from_secs(180);
/// Longest answer while nothing is known of the model's speed, and the shortest limit, in tokens: any question's answer fits
/// twice. Fast models get more, because the fast ones that think need it.
const ANSWER_TOKENS: u64 = 512;
const MOST_ANSWER_TOKENS: u64 = 4_096;
/// What a model may write for, in seconds of its own speed.
const WRITES_FOR: f64 = 40.;
const SEED: u64 = 1;

/// Why a question has no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It says something about the model.
    Question(Verdict),
    /// It says nothing about the model, so there is no exam.
    Exam(Error),
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Exam(error.into())
    }
}

/// How long an answer took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    input_tokens: u64,
    output_tokens: u64,
    first_token_ms: u64,
    total_ms: u64,
}

impl Timing {
    fn reads_per_second(self) -> Option<f64> {
        const LEAST_TOKENS: u64 = 50;
        let tells = self.input_tokens >= LEAST_TOKENS && self.first_token_ms > 0;
        tells.then(|| self.input_tokens as f64 * 1_000. / self.first_token_ms as f64)
    }
}

pub(super) struct Asker<'a> {
    client: &'a Client,
    pub(super) model: &'a Model,
    egress: Egress,
    /// As a job would have it.
    pub(super) profile: Profile,
    ends_at: Instant,
    timings: Vec<Timing>,
    /// Of a prompt that no cache knew.
    pub(super) unknown_prompt: Option<Timing>,
    pub(super) kept_tokens: Option<u64>,
    cut: u32,
}

impl<'a> Asker<'a> {
    pub(super) fn new(client: &'a Client, model: &'a Model, egress: Egress, ends_at: Instant) -> Self {
        Self {
            client,
            model,
            egress,
            profile: profile(model, model.native_tools),
            ends_at,
            timings: Vec::new(),
            unknown_prompt: None,
            kept_tokens: None,
            cut: 0,
        }
    }

    /// From now on actions are read from its words.
    pub(super) fn give_up_native_calls(&mut self) {
        self.profile = profile(self.model, false);
    }

    pub(super) fn is_native(&self) -> bool {
        self.profile.dialect == Dialect::Native
    }

    /// A whole answer; one that ran into its limit is a failure.
    pub(super) async fn ask(&mut self, prompt: Prompt, schema: Option<Value>) -> Result<ModelAnswer, Trouble> {
        let left = self.ends_at.saturating_duration_since(Instant::now());
        let time_is_over = || Trouble::Question(Verdict::skipped("the exam's time was over"));
        if left.is_zero() {
            return Err(time_is_over());
        }
        let call = self.call(prompt, schema);
        let limit = call.max_output_tokens.unwrap_or_default();
        let answer = match timeout(ANSWER_TAKES.min(left), self.answer_at_last(&call)).await {
            Ok(answer) => answer?,
            Err(_) if left < ANSWER_TAKES => return Err(time_is_over()),
            Err(_) => {
                let why = format!("no whole answer came within {} s", ANSWER_TAKES.as_secs());
                return Err(Trouble::Question(Verdict::skipped(why)));
            }
        };
        let ModelAnswer { input_tokens, output_tokens, first_token_ms, total_ms, .. } = answer;
        self.timings.push(Timing { input_tokens, output_tokens, first_token_ms, total_ms });
        match answer.finish_reason {
            FinishReason::Length => {
                self.cut += 1;
                let why = format!("the answer did not end within {limit} tokens: {}", excerpt(&answer.content));
                Err(Trouble::Question(Verdict::failed(why)))
            }
            _ => Ok(answer),
        }
    }

    fn call(&self, prompt: Prompt, response_schema: Option<Value>) -> CreateModelCall {
        let of_speed = self.writes_per_second().map_or(ANSWER_TOKENS, |rate| (rate * WRITES_FOR) as u64);
        let limit = of_speed.clamp(ANSWER_TOKENS, MOST_ANSWER_TOKENS);
        let most = self.profile.answer_tokens_after(prompt.estimated_tokens()).min(limit);
        // Models in the cloud choose for themselves, and some refuse to be told.
        let is_local = self.model.location == Location::Local;
        CreateModelCall {
            route: self.model.id.clone(),
            egress: self.egress,
            messages: prompt.messages,
            tools: prompt.tools,
            response_schema,
            grammar: prompt.grammar,
            max_output_tokens: Some(u32::try_from(most).unwrap_or(u32::MAX)),
            temperature: is_local.then_some(0.),
            seed: is_local.then_some(SEED),
        }
    }

    /// A call that fails is made once more, as agents do: what a slow model read of the prompt it may know by then.
    async fn answer_at_last(&self, call: &CreateModelCall) -> Result<ModelAnswer, Trouble> {
        match self.answer(call).await {
            Err(Trouble::Question(_)) => self.answer(call).await,
            answer => answer,
        }
    }

    async fn answer(&self, call: &CreateModelCall) -> Result<ModelAnswer, Trouble> {
        let ended = |error: client::Error| match &error {
            client::Error::Problem(problem) => self.failed(Some(problem.code), problem.detail.clone()),
            _ => Trouble::Exam(error.into()),
        };
        let mut stream = self.client.create_model_call(call).await.map_err(ended)?;
        while let Some(item) = stream.next().await {
            match item.map_err(ended)? {
                ModelStreamItem::Started { .. } | ModelStreamItem::Delta { .. } => {}
                ModelStreamItem::Finished { answer } => return Ok(answer),
                ModelStreamItem::Failed { code, message, .. } => return Err(self.failed(code.parse().ok(), message)),
            }
        }
        Err(self.failed(None, "the answer was cut off before its end".into()))
    }

    fn failed(&self, code: Option<ErrorCode>, message: String) -> Trouble {
        match code {
            // Of this call alone: it may be the tools, the schema, the length, or the pace that its server does not stand. What the
            // model would have answered is not known.
            Some(ErrorCode::ModelFailed | ErrorCode::ContextLengthExceeded | ErrorCode::InvalidRequest) => {
                Trouble::Question(Verdict::skipped(format!("the call failed: {message}")))
            }
            _ => Trouble::Exam(Error::NotAsked { model: self.model.id.clone(), message }),
        }
    }

    pub(super) fn answered(&self) -> usize {
        self.timings.len()
    }

    pub(super) fn cut_answers(&self) -> u32 {
        self.cut
    }

    pub(super) fn newest_timing(&self) -> Option<Timing> {
        self.timings.last().copied()
    }

    /// Where no unknown prompt was read: the middle of all, because prompts that begin alike are read once, which makes a model look
    /// faster than it is. Without the first, which may have waited for the model to be loaded.
    pub(super) fn reads_per_second(&self) -> Option<f64> {
        let middle = || {
            let warm = if self.timings.len() > 1 { &self.timings[1..] } else { &self.timings[..] };
            let mut rates: Vec<f64> = warm.iter().filter_map(|timing| timing.reads_per_second()).collect();
            rates.sort_by(f64::total_cmp);
            rates.get(rates.len() / 2).copied()
        };
        self.unknown_prompt.and_then(Timing::reads_per_second).or_else(middle)
    }

    pub(super) fn writes_per_second(&self) -> Option<f64> {
        let mut written = (0, 0);
        for timing in self.timings.iter().filter(|timing| timing.output_tokens > 1) {
            written.0 += timing.output_tokens - 1;
            written.1 += timing.total_ms.saturating_sub(timing.first_token_ms);
        }
        // A server that hands its answers over whole tells nothing of its speed.
        (written.1 > 0).then(|| written.0 as f64 * 1_000. / written.1 as f64)
    }
}

/// What an agent knows of a model that was never examined, with or without tools of its own.
fn profile(model: &Model, native_tools: bool) -> Profile {
    Profile::of_model(&Model { native_tools, profile: None, ..model.clone() })
}

/// The beginning of what a model wrote, on one line.
pub(super) fn excerpt(text: &str) -> String {
    const CHARACTERS: usize = 80;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None if line.is_empty() => "nothing".to_owned(),
        None => line,
    }
}
