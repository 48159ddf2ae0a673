//! One request through the model.
//!
//! ```text
//! render → encode → fits? → cut the cache back to the shared prefix → read the prompt in chunks
//!     → ┌ choose a token (format mask, sampling) → a stop token, stop text, or limit? → show its text → read it ┐
//!       └───────────────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```

use super::Engine;
use super::text::{Next, TextOut};
use crate::Error;
use crate::chat::Message;
use crate::format::{Constraint, Format, Formats};
use crate::sampler::{Sampler, Sampling};
use std::time::{Duration, Instant};

/// Prompt tokens read at once. Larger chunks are hardly faster (16 rows already share each weight read) and hold more
/// memory.
const PROMPT_CHUNK: usize = 128;

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
    /// Of the input, tokens remembered from the request before.
    pub reused_tokens: usize,
    pub output_tokens: usize,
    /// Loading the model; zero from the second answer on.
    pub load_ms: u64,
    /// From the request to the first token; `None` when none came.
    pub first_token_ms: Option<u64>,
    pub total_ms: u64,
}

impl Engine {
    /// Answers a conversation. `on_text` gets the answer as it grows, in whole characters; `cancelled` is asked several
    /// times per token, and between the layers of a long prompt.
    ///
    /// A prompt that does not fit the context is an error, never cut.
    pub fn generate(
        &mut self,
        request: &Request,
        cancelled: &(dyn Fn() -> bool + Sync),
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Output, Error> {
        let started = Instant::now();
        if request.max_output_tokens == Some(0) {
            let rule = "it must be at least 1";
            return Err(Error::InvalidOption { field: "max_output_tokens", value: "0".into(), rule });
        }
        if request.messages.is_empty() {
            let rule = "there must be at least one";
            return Err(Error::InvalidOption { field: "messages", value: "empty".into(), rule });
        }
        let mut sampler = Sampler::new(&request.sampling)?;
        let prompt = self.chat.render(&request.messages, request.now)?;
        let prompt = self.tokenizer.encode_prompt(&prompt.text, prompt.guard)?;
        let limit = self.info.context_tokens;
        if prompt.len() >= limit {
            return Err(Error::ContextExceeded { prompt_tokens: prompt.len(), limit });
        }
        let mut constraint = request.format.as_ref().map(|format| self.constraint(format)).transpose()?;
        let load_time = self.load_time.take().unwrap_or_default();
        // Inside JSON of a schema, or a block of a grammar, those texts are content.
        let own_stops = if request.format.is_some() { &[] } else { self.chat.stops() };
        let stops = request.stop.iter().map(String::as_str).chain(own_stops.iter().copied()).map(str::to_owned);
        let mut answer = Answer {
            out: TextOut::new(stops),
            text: String::new(),
            skip_space: self.tokenizer.has_leading_space() || !self.chat.has_template(),
            on_text,
            usage: Usage { input_tokens: prompt.len(), load_ms: milliseconds(load_time), ..Usage::default() },
            started,
        };
        let Some((mut scores, reused)) = self.read_prompt(&prompt, cancelled) else {
            return Ok(answer.finish(Finish::Cancelled));
        };
        answer.usage.reused_tokens = reused;
        let mut tokens = prompt;
        let finish = loop {
            if cancelled() {
                break Finish::Cancelled;
            }
            if let Some(constraint) = &mut constraint
                && !constraint.apply(&mut scores)?
            {
                break Finish::Stop;
            }
            let token = sampler.choose(&mut scores, &tokens);
            answer.usage.first_token_ms.get_or_insert_with(|| milliseconds(started.elapsed()));
            if self.tokenizer.stops().contains(&token) {
                break Finish::Stop;
            }
            if let Some(constraint) = &mut constraint {
                constraint.accept(token)?;
            }
            answer.usage.output_tokens += 1;
            if answer.show(self.tokenizer.text(token)) {
                break Finish::Stop;
            }
            tokens.push(token);
            if request.max_output_tokens.is_some_and(|most| answer.usage.output_tokens >= most) || tokens.len() >= limit
            {
                // The last token may have been the one that completed the format.
                let complete = constraint.as_mut().map(|constraint| constraint.apply(&mut scores)).transpose()?;
                break if complete == Some(false) { Finish::Stop } else { Finish::Length };
            }
            match self.read(&[token], cancelled) {
                Some(next) => scores = next,
                None => break Finish::Cancelled,
            }
        };
        Ok(answer.finish(finish))
    }

    /// Reads what the cache does not hold already. `None` when cancelled.
    fn read_prompt(&mut self, prompt: &[u32], cancelled: &(dyn Fn() -> bool + Sync)) -> Option<(Vec<f32>, usize)> {
        let shared = self.cached.iter().zip(prompt).take_while(|(cached, token)| cached == token).count();
        // The last token is read in any case: its scores are the beginning of the answer.
        let shared = shared.min(prompt.len().checked_sub(1)?);
        self.cached.truncate(shared);
        self.decoder.rewind(shared);
        let mut scores = Vec::new();
        for chunk in prompt[shared..].chunks(PROMPT_CHUNK) {
            scores = self.read(chunk, cancelled)?;
        }
        Some((scores, shared))
    }

    fn read(&mut self, tokens: &[u32], cancelled: &(dyn Fn() -> bool + Sync)) -> Option<Vec<f32>> {
        let decoder = &mut self.decoder;
        let scores = self.pool.install(|| decoder.read(tokens, cancelled)).ok()?;
        self.cached.extend_from_slice(tokens);
        debug_assert_eq!(self.cached.len(), self.decoder.position());
        Some(scores)
    }

    fn constraint(&self, format: &Format) -> Result<Constraint, Error> {
        let formats = match self.formats.get() {
            Some(formats) => formats,
            None => {
                let made = Formats::new(&self.tokenizer, self.decoder.vocabulary())?;
                self.formats.get_or_init(|| made)
            }
        };
        formats.constraint(format)
    }
}

struct Answer<'a> {
    out: TextOut,
    text: String,
    /// The next text loses the space in front.
    skip_space: bool,
    on_text: &'a mut dyn FnMut(&str),
    usage: Usage,
    started: Instant,
}

impl Answer<'_> {
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
            (self.on_text)(text);
        }
    }

    fn finish(mut self, finish: Finish) -> Output {
        let out = std::mem::replace(&mut self.out, TextOut::new([]));
        // After a stop text nothing is held back.
        self.emit(&out.finish());
        self.usage.total_ms = milliseconds(self.started.elapsed());
        Output { text: self.text, finish, usage: self.usage }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
