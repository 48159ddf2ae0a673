//! One target at work on one call.

use super::{Run, left_out::LeftOut, may_have_read, overruled, rescue::Mode};
use crate::{
    Awaited, Error, Event, Frame,
    admission::Slot,
    answer::{Usage, Whole, estimated_tokens},
    departure,
    dialect::{Asked, Dialect},
    egress::Checkpoint,
    plan::Candidate,
    providers::{ChatRequest, ChatStream, Patience, Refusals},
    redaction::Restorer,
    router::Inner,
    seals::{Sealing, Seals},
    targets::Permit,
};
use futures_util::StreamExt;
use protocol::Location;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};

pub(crate) struct Attempt {
    pub(crate) candidate: Arc<Candidate>,
    pub(crate) mode: Mode,
    /// Further tries of this target.
    pub(crate) retries: u32,
    pub(crate) begun: Instant,
    /// What it said, as the caller gets it.
    pub(crate) whole: Whole,
    pub(crate) left_out: LeftOut,
    pub(crate) waited: Duration,
    /// It has begun to answer, whether or not the caller gets what it said.
    speaks: bool,
    /// Of what it said, whether or not the caller got it.
    heard_bytes: usize,
    /// Answers at once.
    choices: u64,
    /// What it told of the prompt when it began.
    told: Usage,
    pub(crate) redactions: u64,
    stream: ChatStream,
    /// What it used is on the call's account already.
    pub(crate) is_booked: bool,
    /// Its place among the provider's calls, and the breaker's leave. Both end with the attempt.
    slot: Option<Slot>,
    permit: Option<Permit>,
    restorer: Option<Restorer>,
    /// Of what it thinks, where it speaks another API than the caller.
    sealing: Option<Sealing>,
    seals: Arc<Seals>,
    /// The provider speaks the caller's dialect and was sent the caller's own bytes: its bytes may go to the caller.
    passes_raw: bool,
    /// When the next sign of life is due, and what it would be.
    due: Instant,
    awaited: Awaited,
    first_token_timeout: Duration,
    inter_token_timeout: Duration,
    /// How long the answer may take, and when it must be there.
    total: Duration,
    whole_due: Instant,
    /// The most of an answer, and what is left of that.
    answer_bytes: usize,
    answer_bytes_left: usize,
}

/// An attempt that came to nothing.
pub(crate) struct Failed {
    pub(crate) candidate: Arc<Candidate>,
    pub(crate) retries: u32,
    pub(crate) mode: Mode,
    pub(crate) begun: Instant,
    pub(crate) error: Error,
    /// What it used all the same, where that is known.
    pub(crate) usage: Option<Usage>,
}

pub(crate) enum Heard {
    /// Empty for a sign of life that says nothing.
    Frame(Frame),
    Failed(Error),
}

impl Run {
    /// Asks a target. Everything that may refuse a call is asked first: breaker, money, queue.
    pub(super) async fn begin(
        &mut self,
        candidate: &Arc<Candidate>,
        retries: u32,
        mode: Mode,
    ) -> Result<Attempt, Error> {
        let inner = self.inner.clone();
        let begun = Instant::now();
        let provider = || candidate.model.provider.clone();
        let trace = self.booking.trace.attempt_begins();
        let (slot, permit) = inner.enter(&self.call, candidate, self.deadline, &self.standing).await?;
        let edits = self.edits(candidate)?;
        let asked = inner.seals.told_to(&candidate.model.provider, &self.call.asked);
        let changed = self.begun_answer(&asked, &mode, &edits)?;
        // Not everything can be said elsewhere; who speaks the caller's dialect is told it as it is.
        let is_translated = changed.is_some() || !candidate.provider.speaks(self.call.asked.dialect);
        if is_translated
            && !self.left.is_empty()
            && let Err(Error::Invalid { pointer, message }) = self.call.asked.conversation()
        {
            return Err(Error::Refused { provider: provider(), message: format!("{pointer} {message}").into() });
        }
        let checkpoint = inner.departures(&self.call, candidate);
        let redacts = checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.redacts());
        let dialect = self.call.asked.dialect;
        let passes_raw =
            matches!(mode, Mode::Fresh) && changed.is_none() && !redacts && candidate.provider.speaks(dialect);
        // A body of another dialect is streamed, so that a stall can be seen.
        let stream = self.call.asked.peek.stream || !passes_raw;
        // An Ollama is always asked for a stream.
        let in_one_body = !stream && !matches!(dialect, Dialect::OllamaChat | Dialect::OllamaGenerate);
        let first_token_timeout = if in_one_body {
            inner.limits.one_body
        } else {
            inner.first_token_timeout(&self.call, candidate, self.policy())
        };
        let timeouts = inner.timeouts(candidate);
        let total = timeouts.total.unwrap_or(inner.limits.total);
        let whole_due = Instant::now() + total;
        let due = self.within(Instant::now() + first_token_timeout).min(whole_due);
        let headers = timeouts.headers.unwrap_or(match candidate.model.location {
            Location::Cloud if !in_one_body => inner.limits.headers_cloud.min(first_token_timeout),
            Location::Cloud | Location::Local => first_token_timeout,
        });
        let refusals = Refusals::default();
        let request = ChatRequest {
            model: candidate.model.name.clone(),
            asked,
            changed,
            edits,
            stream,
            checkpoint: checkpoint.clone().map(|checkpoint| checkpoint as Arc<dyn Checkpoint>),
            patience: Patience { headers },
            trace,
            refusals: refusals.clone(),
        };
        self.booking.asking(candidate, &mode, begun);
        let started = timeout_at(due, candidate.provider.chat(request)).await;
        for refusal in refusals.take() {
            self.booking.trace.key_refused(candidate, &mode, begun, refusal);
        }
        let started = match started {
            Ok(started) => started,
            Err(_) if self.is_overdue() => Err(self.overdue()),
            Err(_) if whole_due <= Instant::now() => {
                Err(Error::TimedOut { provider: provider(), awaited: Awaited::End, after: total })
            }
            Err(_) => {
                Err(Error::TimedOut { provider: provider(), awaited: Awaited::Headers, after: first_token_timeout })
            }
        };
        let stream = match started {
            Ok(stream) => stream,
            Err(error) => {
                if let Some(checkpoint) = &checkpoint {
                    checkpoint.came_to(&error);
                }
                // Nobody else tells the breaker: there is no attempt yet that could.
                permit.report(&error, candidate.loaded);
                return Err(if passes_raw { error } else { error.retold() });
            }
        };
        Ok(Attempt {
            candidate: candidate.clone(),
            mode,
            retries,
            begun,
            whole: Whole::default(),
            left_out: LeftOut::default(),
            waited: slot.waited,
            speaks: false,
            heard_bytes: 0,
            choices: u64::from(self.call.asked.peek.choices.max(1)),
            told: Usage::default(),
            redactions: checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.redactions()),
            stream,
            is_booked: false,
            slot: Some(slot),
            permit: Some(permit),
            restorer: checkpoint.and_then(|checkpoint| checkpoint.restorer()),
            passes_raw,
            sealing: (!candidate.provider.speaks(dialect)).then(Sealing::default),
            seals: inner.seals.clone(),
            due,
            awaited: Awaited::FirstToken,
            first_token_timeout,
            inter_token_timeout: timeouts.inter_token.unwrap_or(inner.limits.inter_token),
            total,
            whole_due,
            answer_bytes: inner.limits.answer_bytes,
            answer_bytes_left: inner.limits.answer_bytes,
        })
    }

    fn within(&self, at: Instant) -> Instant {
        self.deadline.map_or(at, |deadline| deadline.min(at))
    }

    pub(super) fn is_overdue(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    pub(super) fn overdue(&self) -> Error {
        Error::Overdue { after: self.call.deadline.unwrap_or_default() }
    }
}

impl Attempt {
    /// The next thing it says, as far as it concerns the caller.
    pub(crate) async fn hear(&mut self, deadline: Option<Instant>) -> Heard {
        let due = deadline.map_or(self.due, |deadline| deadline.min(self.due));
        let frame = match timeout_at(due, self.stream.next()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => return Heard::Failed(if self.passes_raw { error } else { error.retold() }),
            Ok(None) => {
                return Heard::Failed(Error::Cut {
                    provider: self.candidate.model.provider.clone(),
                    message: "its stream ended without a result".to_owned(),
                });
            }
            Err(_) if deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                return Heard::Failed(Error::Overdue { after: self.begun.elapsed() });
            }
            Err(_) => return Heard::Failed(self.silent()),
        };
        self.took(frame).map_or_else(Heard::Failed, Heard::Frame)
    }

    fn silent(&self) -> Error {
        let (awaited, after) = match self.awaited {
            _ if self.whole_due <= Instant::now() => (Awaited::End, self.total),
            Awaited::NextToken => (Awaited::NextToken, self.inter_token_timeout),
            awaited => (awaited, self.first_token_timeout),
        };
        Error::TimedOut { provider: self.candidate.model.provider.clone(), awaited, after }
    }

    fn took(&mut self, mut frame: Frame) -> Result<Frame, Error> {
        if !self.passes_raw {
            frame.raw = None;
        }
        frame.events = departure::restored(&mut self.restorer, std::mem::take(&mut frame.events));
        if let Some(sealing) = &mut self.sealing {
            frame.events = sealing.sealed(frame.events, &self.candidate.model.provider);
        }
        for event in &frame.events {
            self.speaks |= event.is_content();
            self.heard_bytes += event.text_bytes();
            if let Event::Started { usage, .. } = event {
                self.told = *usage;
            }
        }
        frame.events = self.mode.adapt(std::mem::take(&mut frame.events), &self.candidate.model.provider)?;
        if self.speaks {
            if let Some(permit) = self.permit.as_mut().filter(|_| self.awaited != Awaited::NextToken) {
                permit.answers();
            }
            self.awaited = Awaited::NextToken;
            self.due = (Instant::now() + self.inter_token_timeout).min(self.whole_due);
        }
        self.left_out.note(&frame);
        for event in &frame.events {
            let bytes = event.text_bytes();
            self.answer_bytes_left = self.answer_bytes_left.checked_sub(bytes).ok_or_else(|| Error::TooLarge {
                provider: self.candidate.model.provider.clone(),
                what: "an answer",
                limit_bytes: self.answer_bytes,
            })?;
            self.whole.add(event);
        }
        if self.whole.finish.is_some() {
            self.seals.note(&self.whole, &self.candidate.model.provider);
        }
        Ok(frame)
    }

    /// What the caller's request said and this target was not told.
    pub(crate) fn lost(&self, asked: &Asked) -> Vec<String> {
        if self.passes_raw {
            return overruled::in_passing(asked, self.candidate.model.context_tokens);
        }
        let Ok(conversation) = asked.conversation() else { return Vec::new() };
        let model = &self.candidate.model.name;
        let fields = self.candidate.provider.not_carried(model, conversation);
        let fields = fields.into_iter().map(|field| field.pointer(asked.dialect).to_owned());
        conversation.lost.iter().cloned().chain(fields).collect()
    }

    pub(crate) fn failed(mut self: Box<Self>, error: Error) -> Failed {
        if let Some(permit) = self.permit.take() {
            permit.report(&error, self.candidate.loaded);
        }
        let usage = self.used().or_else(|| may_have_read(&error).then(Usage::default));
        let Self { candidate, retries, mode, begun, .. } = *self;
        Failed { candidate, retries, mode, begun, error, usage }
    }

    /// What it used until now, where it has begun to answer. Providers count at the end, and some never do: what was not told
    /// is estimated from what was heard. No input tokens mean that nobody knows.
    pub(crate) fn used(&self) -> Option<Usage> {
        // Of several answers at once only the first one is heard.
        let heard = estimated_tokens(self.heard_bytes).saturating_mul(self.choices);
        if let Some(finish) = &self.whole.finish {
            let told = finish.usage;
            return Some(Usage {
                output_tokens: if told.output_tokens == 0 { heard } else { told.output_tokens },
                ..told
            });
        }
        let told = Usage { output_tokens: heard.max(self.told.output_tokens), ..self.told };
        (told != Usage::default()).then_some(told)
    }

    /// That its answer, which is whole, is of no use.
    pub(crate) fn poor(&self, error: Error) -> Failed {
        Failed {
            candidate: self.candidate.clone(),
            retries: self.retries,
            mode: self.mode.clone(),
            begun: self.begun,
            error,
            usage: self.used(),
        }
    }

    /// It did its work, whatever is thought of it.
    pub(crate) fn done(mut self: Box<Self>, inner: &Inner) {
        if let Some(permit) = self.permit.take() {
            permit.succeeded();
        }
        let load = self.whole.finish.as_ref().and_then(|finish| finish.load_ms).map(Duration::from_millis);
        inner.targets.learn(&self.candidate, load);
    }

    /// Lets go of its place and its connection and keeps what it said, after it was booked.
    pub(crate) fn over(mut self: Box<Self>) -> Self {
        if let Some(permit) = self.permit.take() {
            permit.succeeded();
        }
        self.slot = None;
        self.is_booked = true;
        self.stream = Box::pin(futures_util::stream::empty());
        *self
    }
}
