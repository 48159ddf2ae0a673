//! One answer: what is asked for, and how far it has come.

use super::text::{Next, TextOut};
use crate::Error;
use crate::chat::Message;
use crate::format::{Constraint, Format};
use crate::sampler::{Sampler, Sampling};
use crate::tokenizer::Tokenizer;
use std::time::{Duration, Instant};

#[derive(Clone, Debug, Default)]
pub struct Request {
    pub messages: Vec<Message>,
    pub sampling: Sampling,
    /// Most tokens to write; up to the end of the context when `None`.
    pub max_output_tokens: Option<usize>,
    /// The answer ends before the first of these texts.
    pub stop: Vec<String>,
    /// What the answer must be.
    pub format: Option<Format>,
    /// Seconds since 1970 (UTC), for templates that tell the model the date.
    pub now: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model ended its answer, came to a stop text, or completed the format.
    Stop,
    /// `max_output_tokens` or the context is used up: the answer is unfinished.
    Length,
    /// The caller asked to stop: the answer is unfinished.
    Cancelled,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    pub text: String,
    pub finish: Finish,
    pub usage: Usage,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub input_tokens: usize,
    /// Of the input, tokens that an earlier request, or another under way, had read already.
    pub reused_tokens: usize,
    pub output_tokens: usize,
    /// Loading the model; zero from the second answer on.
    pub load_ms: u64,
    /// From the request to the first token; `None` when none came.
    pub first_token_ms: Option<u64>,
    pub total_ms: u64,
}

/// An answer in the making, without what the decoder keeps of it.
pub(super) struct Answer {
    /// The prompt and what was written.
    pub tokens: Vec<u32>,
    pub usage: Usage,
    /// Most tokens of prompt and answer.
    pub limit: usize,
    sampler: Sampler,
    constraint: Option<Constraint>,
    out: TextOut,
    text: String,
    /// Of the text, what the caller has.
    told: usize,
    /// The next text loses the space in front.
    skip_space: bool,
    started: Instant,
}

/// What an answer is made of besides the request's numbers.
pub(super) struct Beginning {
    pub prompt: Vec<u32>,
    pub sampler: Sampler,
    pub constraint: Option<Constraint>,
    pub out: TextOut,
    pub skip_space: bool,
    pub limit: usize,
    pub load_time: Duration,
    pub started: Instant,
}

impl Answer {
    pub(super) fn new(beginning: Beginning) -> Answer {
        let Beginning { prompt, sampler, constraint, out, skip_space, limit, load_time, started } = beginning;
        let usage = Usage { input_tokens: prompt.len(), load_ms: milliseconds(load_time), ..Usage::default() };
        let text = String::new();
        Answer { tokens: prompt, usage, limit, sampler, constraint, out, text, told: 0, skip_space, started }
    }

    /// Takes the next token from the scores. `Some` when it was the last.
    pub(super) fn write(&mut self, tokenizer: &Tokenizer, scores: &mut [f32]) -> Result<Option<Finish>, Error> {
        if let Some(constraint) = &mut self.constraint
            && !constraint.apply(scores)?
        {
            return Ok(Some(Finish::Stop));
        }
        let token = self.sampler.choose(scores, &self.tokens);
        let elapsed = self.started.elapsed();
        self.usage.first_token_ms.get_or_insert_with(|| milliseconds(elapsed));
        if tokenizer.stops().contains(&token) {
            return Ok(Some(Finish::Stop));
        }
        if let Some(constraint) = &mut self.constraint {
            constraint.accept(token)?;
        }
        self.usage.output_tokens += 1;
        if self.show(tokenizer.text(token)) {
            return Ok(Some(Finish::Stop));
        }
        self.tokens.push(token);
        if self.tokens.len() < self.limit {
            return Ok(None);
        }
        // The last token may have been the one that completed the format.
        let complete = self.constraint.as_mut().map(|constraint| constraint.apply(scores)).transpose()?;
        Ok(Some(if complete == Some(false) { Finish::Stop } else { Finish::Length }))
    }

    /// The text since this was asked last.
    pub(super) fn news(&mut self) -> String {
        let news = self.text[self.told..].to_owned();
        self.told = self.text.len();
        news
    }

    pub(super) fn finish(&mut self, finish: Finish) -> Output {
        let out = std::mem::replace(&mut self.out, TextOut::new([]));
        // After a stop text nothing is held back.
        self.emit(&out.finish());
        self.usage.total_ms = milliseconds(self.started.elapsed());
        Output { text: self.text.clone(), finish, usage: self.usage.clone() }
    }

    /// `true` when a stop text was reached.
    fn show(&mut self, bytes: &[u8]) -> bool {
        match self.out.push(bytes) {
            Next::Show(text) => {
                self.emit(&text);
                false
            }
            Next::Stopped(text) => {
                self.emit(&text);
                true
            }
        }
    }

    fn emit(&mut self, text: &str) {
        let text = if self.skip_space { text.strip_prefix(' ').unwrap_or(text) } else { text };
        if !text.is_empty() {
            self.skip_space = false;
            self.text.push_str(text);
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
