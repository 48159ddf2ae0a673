//! Going on in the middle of an answer.
//!
//! ```text
//!   cut after content ─▶ a tool call was begun? ──yes──▶ the caller is told, in band
//!        │ no
//!        ▼ next target
//!   continues a begun answer? ──yes──▶ prefill: the answer so far ends the conversation, and the target goes on with it
//!        │ no
//!        ▼
//!   splice: the target answers anew, and is swallowed as long as it says the same; another word ends it, in band
//! ```
//! What stays cut is asked of another target first when the same caller asks again (see [`crate::targets`]).
//! A tool call is never rescued: half of one and half of another is a call nobody asked for.

use super::{Failure, Phase, Run, Step, Trying, seam::Seam};
use crate::{Error, Event, answer::estimated_tokens, conversation::Format, plan::Candidate, splice::Splice};

/// Targets that may go on with one answer, one after the other. Each reads the whole prompt again, while the caller waits.
const RESCUES: u32 = 2;

/// How a target's words become the caller's.
#[derive(Clone, Debug)]
pub(crate) enum Mode {
    /// As they are.
    Fresh,
    /// The caller has these words already, and the target goes on after them.
    Prefill(Seam),
    /// The caller has the beginning already, and the target says all of it again.
    Splice(Splice),
    /// The caller has no word of the answer, but thoughts or white space: this target answers anew, and what it thinks is not
    /// passed on too.
    WithoutThinking(Seam),
}

/// What the caller has.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) text: String,
    /// Of text and thoughts.
    bytes: usize,
    tool_call: bool,
}

impl Sent {
    pub(crate) fn note(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::Text(text) => {
                    self.text.push_str(text);
                    self.bytes += text.len();
                }
                Event::Thinking(text) => self.bytes += text.len(),
                // Nor can anybody go on with what only its own vendor understands.
                Event::ToolCall { .. } | Event::ToolArguments { .. } | Event::Opaque(_) => self.tool_call = true,
                Event::Started { .. }
                | Event::ThinkingSignature(_)
                | Event::RedactedThinking(_)
                | Event::Finished(_) => {}
            }
        }
    }

    /// Estimated: nobody counted an answer that broke off.
    pub(super) fn tokens(&self) -> u32 {
        u32::try_from(estimated_tokens(self.bytes)).unwrap_or(u32::MAX)
    }
}

impl Run {
    pub(super) fn rescue(&mut self, error: Error) -> Option<Step> {
        // Of several answers at once only the first one is followed.
        let alone = self.call.asked.peek.choices <= 1;
        if !alone || self.sent.tool_call || self.rescues >= RESCUES || !worth_rescuing(&error) || self.is_overdue() {
            return Some(self.stays_cut(error));
        }
        let again = self.booking.trace.last_candidate().filter(|_| self.rescues == 0);
        let broken_off = self.broke_off.as_ref().map(|candidate| candidate.id().to_owned()).unwrap_or_default();
        // The same target once more is better than a broken answer, when there is no other.
        let next = self.next_candidate();
        let again = again.filter(|again| next.is_none() && self.hold_for(again).is_ok());
        let Some(candidate) = next.or(again) else { return Some(self.stays_cut(error)) };
        self.rescues += 1;
        let mode = self.mode_for(&candidate);
        self.booking.trace.rescuing(&candidate, &mode);
        self.phase = Phase::Trying(Box::new(Trying { candidate, retries: 0, not_before: None, mode }));
        // What is told should this come to nothing.
        self.first_error = Some(Failure { target: broken_off, error });
        None
    }

    /// The caller's client will ask again, and is not to be cut off once more where another target could answer.
    fn stays_cut(&mut self, error: Error) -> Step {
        if let Some(candidate) = self.broke_off.take().filter(|_| worth_rescuing(&error)) {
            self.inner.targets.left_unfinished(&candidate, &self.call.caller);
        }
        self.fail(error)
    }

    fn mode_for(&self, candidate: &Candidate) -> Mode {
        if self.sent.text.trim().is_empty() {
            return Mode::WithoutThinking(Seam::after(&self.sent.text));
        }
        let free_text = self.call.asked.conversation().is_ok_and(|conversation| conversation.format == Format::Text);
        if free_text && candidate.provider.continues_prefill(&candidate.model.name) {
            return Mode::Prefill(Seam::after(&self.sent.text));
        }
        Mode::Splice(Splice::new(self.sent.text.clone()))
    }
}

fn worth_rescuing(error: &Error) -> bool {
    matches!(
        error,
        Error::Cut { .. }
            | Error::Failed { .. }
            | Error::TimedOut { .. }
            | Error::Malformed { .. }
            | Error::Unreachable { .. }
            | Error::Unavailable { .. }
            | Error::Denied { .. }
            | Error::Forbidden { .. }
            | Error::RateLimited { .. }
            | Error::Overloaded { .. }
    )
}

impl Mode {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Prefill(_) => "prefill",
            Self::Splice(_) => "splice",
            Self::WithoutThinking(_) => "restart",
        }
    }

    /// What of a target's events the caller is to get.
    pub(super) fn adapt(&mut self, events: Vec<Event>, provider: &str) -> Result<Vec<Event>, Error> {
        if matches!(self, Self::Fresh) {
            return Ok(events);
        }
        let mut adapted = Vec::with_capacity(events.len());
        for event in events {
            match event {
                // It goes on with an answer whose head and thoughts the caller has.
                Event::Started { .. }
                | Event::Thinking(_)
                | Event::ThinkingSignature(_)
                | Event::RedactedThinking(_) => {}
                Event::Text(text) => {
                    let text = self.text(text, provider)?;
                    if !text.is_empty() {
                        adapted.push(Event::Text(text));
                    }
                }
                Event::ToolCall { .. } | Event::Finished(_) => {
                    if let Self::Splice(splice) = self
                        && !splice.caught_up()
                    {
                        return Err(diverged(provider));
                    }
                    adapted.push(event);
                }
                Event::ToolArguments { .. } | Event::Opaque(_) => adapted.push(event),
            }
        }
        Ok(adapted)
    }

    fn text(&mut self, text: String, provider: &str) -> Result<String, Error> {
        match self {
            Self::Fresh => Ok(text),
            Self::Splice(splice) => splice.push(&text).map(Option::unwrap_or_default).map_err(|_| diverged(provider)),
            Self::Prefill(seam) | Self::WithoutThinking(seam) => Ok(seam.push(text)),
        }
    }
}

fn diverged(provider: &str) -> Error {
    Error::Cut {
        provider: provider.to_owned(),
        message: "another target was asked to go on and began differently".to_owned(),
    }
}
