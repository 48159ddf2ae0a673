//! Several answers over one model, a step at a time.
//!
//! ```text
//! begin ─▶ waiting ──memory for its tokens──▶ reading its prompt, a chunk a turn ─▶ writing, a token a step ─▶ output
//! ```
//! A step reads everything together: the last token of every answer that is being written and the next chunk of one
//! prompt, of each in turn. Weights are fetched from memory once for all of it, so two answers take little longer than
//! one. What an answer becomes does not depend on its company.

use super::Engine;
use super::answer::{Answer, Beginning, Finish, Output, Request};
use super::sequences::{Sequence, shared};
use super::text::TextOut;
use crate::Error;
use crate::decoder::Part;
use crate::format::{Constraint, Format, Formats};
use crate::sampler::Sampler;
use std::time::Instant;

/// Prompt tokens read at once. Larger chunks are hardly faster and hold more memory.
const PROMPT_CHUNK: usize = 128;
/// As many beside answers that are being written, which come to a stop for as long as a chunk takes.
const SHARED_CHUNK: usize = 32;
/// Tokens that another prompt is about to read: fewer are read twice rather than waited for.
const WORTH_WAITING: usize = 32;
/// Answers under way at once.
const TOGETHER: usize = 8;

/// Names an answer under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnswerId(u64);

/// How the one who asked is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    Ready,
    /// Has not taken yet what was written: the answer waits, others go on.
    Busy,
    /// Does not want the answer any more.
    Gone,
}

/// What a step brought an answer.
#[derive(Debug)]
pub struct Progress {
    pub answer: AnswerId,
    /// Whole characters, what came since the step before.
    pub text: String,
    /// The answer is over.
    pub output: Option<Result<Output, Error>>,
}

pub(super) struct UnderWay {
    id: AnswerId,
    answer: Answer,
    /// `None` while it waits.
    sequence: Option<Sequence>,
}

impl UnderWay {
    /// Tokens still to be read before the next can be chosen.
    fn unread(&self) -> &[u32] {
        let read = self.sequence.as_ref().map_or(0, |sequence| sequence.tokens.len());
        &self.answer.tokens[read..]
    }

    fn is_reading(&self) -> bool {
        self.sequence.is_none() || self.answer.usage.output_tokens == 0
    }
}

impl Engine {
    /// Takes a request on. What cannot be answered is an error at once: a prompt that does not fit the context is never
    /// cut.
    pub fn begin(&mut self, request: &Request) -> Result<AnswerId, Error> {
        let started = Instant::now();
        if request.max_output_tokens == Some(0) {
            let rule = "it must be at least 1";
            return Err(Error::InvalidOption { field: "max_output_tokens", value: "0".into(), rule });
        }
        if request.messages.is_empty() {
            let rule = "there must be at least one";
            return Err(Error::InvalidOption { field: "messages", value: "empty".into(), rule });
        }
        let sampler = Sampler::new(&request.sampling)?;
        let prompt = self.chat.render(&request.messages, request.now)?;
        let prompt = self.tokenizer.encode_prompt(&prompt.text, prompt.guard)?;
        let context = self.info.context_tokens;
        if prompt.len() >= context {
            return Err(Error::ContextExceeded { prompt_tokens: prompt.len(), limit: context });
        }
        let constraint = request.format.as_ref().map(|format| self.constraint(format)).transpose()?;
        // Inside JSON of a schema, or a block of a grammar, those texts are content.
        let own_stops = if request.format.is_some() { &[] } else { self.chat.stops() };
        let stops = request.stop.iter().map(String::as_str).chain(own_stops.iter().copied()).map(str::to_owned);
        let limit = request.max_output_tokens.map_or(context, |most| context.min(prompt.len().saturating_add(most)));
        let answer = Answer::new(Beginning {
            limit,
            prompt,
            sampler,
            constraint,
            out: TextOut::new(stops),
            skip_space: self.tokenizer.has_leading_space() || !self.chat.has_template(),
            load_time: self.load_time.take().unwrap_or_default(),
            started,
        });
        self.begun += 1;
        let id = AnswerId(self.begun);
        self.under_way.push(UnderWay { id, answer, sequence: None });
        Ok(id)
    }

    /// Whether it takes on another request. More than a few at once would each be slower than a reader.
    pub fn has_room(&self) -> bool {
        self.under_way.len() < TOGETHER
    }

    /// Takes every answer a token further, and one prompt by a chunk. `reader` is asked about each at first, and about
    /// those whose prompts are being read between the model's layers.
    ///
    /// Nothing comes back when all wait for their readers.
    pub fn step(&mut self, reader: &(dyn Fn(AnswerId) -> Reader + Sync)) -> Vec<Progress> {
        let mut news = Vec::new();
        let (gone, under_way) = std::mem::take(&mut self.under_way)
            .into_iter()
            .partition::<Vec<_>, _>(|under_way| reader(under_way.id) == Reader::Gone);
        self.under_way = under_way;
        gone.into_iter().for_each(|gone| news.push(self.end(gone, Ok(Finish::Cancelled))));
        let ready: Vec<AnswerId> =
            self.under_way.iter().map(|under_way| under_way.id).filter(|id| reader(*id) == Reader::Ready).collect();
        self.admit(&ready);
        let mut scored = self.read(&ready, reader);
        let mut index = 0;
        while index < self.under_way.len() {
            let under_way = &mut self.under_way[index];
            let Some(at) = scored.iter().position(|(id, _)| *id == under_way.id) else {
                index += 1;
                continue;
            };
            let (_, mut scores) = scored.swap_remove(at);
            match under_way.answer.write(&self.tokenizer, &mut scores) {
                Ok(None) => {
                    let text = under_way.answer.news();
                    news.push(Progress { answer: under_way.id, text, output: None });
                    index += 1;
                }
                last => {
                    let ended = self.under_way.remove(index);
                    let finish = last.map(|finish| finish.unwrap_or(Finish::Stop));
                    news.push(self.end(ended, finish));
                }
            }
        }
        news
    }

    /// Gives sequences to those that wait, in order, while there is memory for all their tokens.
    fn admit(&mut self, ready: &[AnswerId]) {
        for index in 0..self.under_way.len() {
            let UnderWay { id, answer, sequence } = &self.under_way[index];
            if sequence.is_some() || !ready.contains(id) {
                continue;
            }
            let others = || self.under_way.iter().filter(|other| other.sequence.is_some());
            let reserved = answer.limit + others().map(|other| other.answer.limit).sum::<usize>();
            if reserved > self.most_tokens && others().count() > 0 {
                return;
            }
            // What another is about to read and this one needs as well is read once: this one waits for it.
            let prompt = &answer.tokens;
            let ahead = others().filter(|other| ready.contains(&other.id) && other.is_reading());
            let ahead = ahead.map(|other| {
                let read = other.sequence.as_ref().map_or(0, |sequence| sequence.tokens.len());
                shared(&other.answer.tokens, prompt).saturating_sub(read)
            });
            if ahead.max().unwrap_or(0) >= WORTH_WAITING {
                continue;
            }
            let running: Vec<&Sequence> = others().filter_map(|other| other.sequence.as_ref()).collect();
            let decoder = &self.decoder;
            let sequence = self.kept.take(prompt, &running, reserved, || decoder.cache());
            let under_way = &mut self.under_way[index];
            under_way.answer.usage.reused_tokens = sequence.tokens.len();
            under_way.sequence = Some(sequence);
        }
    }

    /// Reads what comes next. Returns the scores of those that are to choose a token.
    fn read(&mut self, ready: &[AnswerId], reader: &(dyn Fn(AnswerId) -> Reader + Sync)) -> Vec<(AnswerId, Vec<f32>)> {
        let can = |under_way: &&UnderWay| under_way.sequence.is_some() && ready.contains(&under_way.id);
        let reading = |under_way: &&UnderWay| can(under_way) && under_way.is_reading();
        let writing = self.under_way.iter().any(|under_way| can(&under_way) && !under_way.is_reading());
        // The one after the one whose turn it was.
        let turn = self.under_way.iter().filter(reading).map(|under_way| under_way.id);
        let turn = turn.clone().find(|id| id.0 > self.turn.0).or_else(|| turn.clone().next());
        let chunk = if writing { SHARED_CHUNK } else { PROMPT_CHUNK };
        let mut parts = Vec::new();
        let mut read = Vec::new();
        for under_way in &mut self.under_way {
            let is_reading = under_way.is_reading();
            if !ready.contains(&under_way.id) || is_reading && turn != Some(under_way.id) {
                continue;
            }
            let Some(sequence) = &mut under_way.sequence else { continue };
            let unread = &under_way.answer.tokens[sequence.tokens.len()..];
            let tokens = &unread[..unread.len().min(chunk)];
            parts.push(Part { cache: &mut sequence.cache, tokens, scored: tokens.len() == unread.len() });
            read.push((under_way.id, tokens.len(), tokens.len() == unread.len()));
        }
        if parts.is_empty() {
            return Vec::new();
        }
        self.turn = turn.unwrap_or(self.turn);
        let decoder = &self.decoder;
        let interrupted = || turn.is_some_and(|id| reader(id) == Reader::Gone);
        let scores = self.pool.install(|| decoder.read(&mut parts, &interrupted));
        // The one that is gone is taken out in the next step, and the others read again.
        let Ok(scores) = scores else { return Vec::new() };
        for (id, count, _) in &read {
            for under_way in self.under_way.iter_mut().filter(|under_way| under_way.id == *id) {
                let next: Vec<u32> = under_way.unread()[..*count].to_vec();
                if let Some(sequence) = &mut under_way.sequence {
                    sequence.tokens.extend(next);
                }
            }
        }
        let scored = read.into_iter().filter(|(.., scored)| *scored).map(|(id, ..)| id);
        scored.zip(scores).collect()
    }

    fn end(&mut self, mut ended: UnderWay, finish: Result<Finish, Error>) -> Progress {
        let output = finish.map(|finish| ended.answer.finish(finish));
        if let Some(sequence) = ended.sequence {
            let others = self.under_way.iter().filter(|other| other.sequence.is_some());
            let reserved = others.map(|other| other.answer.limit).sum();
            self.kept.put(sequence, reserved);
        }
        Progress { answer: ended.id, text: ended.answer.news(), output: Some(output) }
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

    /// Answers one conversation. `on_text` gets the answer as it grows, in whole characters; `cancelled` is asked once
    /// or more per token, and between the layers while a prompt is read.
    pub fn generate(
        &mut self,
        request: &Request,
        cancelled: &(dyn Fn() -> bool + Sync),
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Output, Error> {
        let id = self.begin(request)?;
        loop {
            let reader = |answer| match answer == id && cancelled() {
                true => Reader::Gone,
                false => Reader::Ready,
            };
            for progress in self.step(&reader).into_iter().filter(|progress| progress.answer == id) {
                if !progress.text.is_empty() {
                    on_text(&progress.text);
                }
                if let Some(output) = progress.output {
                    return output;
                }
            }
        }
    }
}
