//! One call on its way through the targets: the stream commit protocol.
//!
//! ```text
//!   planning ─▶ trying ─▶ held ─▶ committed ─▶ over
//!                 ▲ │       │         │ cut, stalled, broken
//!                 └─┴───────┘         ▼
//!             any failure, nothing   rescuing ─▶ committed (the next target goes on) │ over (the caller is told)
//!             was passed on yet
//! ```
//! *Held*: a target has accepted and so far said only who it is. Its frames are kept back until the first content, so that
//! until then every failure is a clean retry. *Committed*: the caller has something. From here on another target may only go
//! on exactly where this one stopped: see [`rescue`]. A buffered call is held until the answer is whole and found good.
//!
//! Nothing runs in the background: the run is polled and does its work then, so whoever reads slowly slows the model down,
//! and whoever drops the run ends it upstream.

mod attempt;
mod booking;
mod changes;
mod choice;
mod left_out;
mod overruled;
mod own;
mod rescue;
mod retry;
mod seam;
mod step;
mod trace;

use crate::{
    Awaited, Conversation, Error, Event, Frame,
    accounts::Refusal,
    admission::Standing,
    answer::{Block, Finish, Usage},
    call::Call,
    kept::KeptAnswer,
    plan::{Candidate, Plan},
    quality::{self, Flaw},
    route::Policy,
    router::Inner,
    telemetry::Operation,
};
use attempt::{Attempt, Failed, Heard};
pub(crate) use booking::Booking;
use futures_util::{Stream, stream};
pub(crate) use overruled::overruled;
pub(crate) use own::items;
use protocol::FinishReason;
pub(crate) use rescue::Mode;
use rescue::Sent;
use std::{collections::VecDeque, sync::Arc};
pub(crate) use step::{Committed, Step};
use tokio::time::Instant;
pub(crate) use trace::{Ended, Trace, millis};

pub(crate) struct Run {
    pub(crate) inner: Arc<Inner>,
    pub(crate) call: Call,
    deadline: Option<Instant>,
    plan: Option<Plan>,
    /// Not tried yet, best first.
    left: VecDeque<Candidate>,
    phase: Phase,
    /// The target that is being listened to.
    attempt: Option<Box<Attempt>>,
    /// What it said that was not passed on yet.
    held: VecDeque<Frame>,
    sent: Sent,
    /// A frame went to the caller.
    has_told: bool,
    booking: Booking,
    /// What the next target may come to is held already.
    is_reserved: bool,
    /// What is told when nobody answers: of the first target that could not.
    first_error: Option<Failure>,
    /// What the caller can mend comes first, whatever went wrong afterwards.
    callers_fault: Option<Failure>,
    /// When the first of the targets that were asked in vain may answer, if any may.
    may_pass_at: Option<Instant>,
    /// The largest window a prompt did not fit in: what is not larger is not asked.
    overflowed_tokens: Option<u64>,
    /// The first answer that had a flaw, in case nobody does better.
    flawed: Option<Flawed>,
    rescues: u32,
    /// The first target that broke off in the middle of the answer.
    broke_off: Option<Arc<Candidate>>,
    /// Of the queue it waits in.
    pub(crate) standing: Standing,
}

enum Phase {
    Planning,
    Trying(Box<Trying>),
    Held,
    /// The head was said; the frames that were held follow. What comes after them depends on whether they are all.
    PassingHeld {
        whole: bool,
    },
    Committed,
    Rescuing(Error),
    Over,
}

/// One target and how often it may still be tried.
struct Trying {
    candidate: Arc<Candidate>,
    retries: u32,
    not_before: Option<Instant>,
    mode: Mode,
}

/// What a target came to.
struct Failure {
    target: String,
    error: Error,
}

impl Failure {
    fn of(candidate: &Candidate, error: Error) -> Self {
        Self { target: candidate.id().to_owned(), error }
    }
}

struct Flawed {
    attempt: Box<Attempt>,
    frames: VecDeque<Frame>,
    flaws: Vec<Flaw>,
}

impl Run {
    pub(crate) fn new(inner: Arc<Inner>, call: Call) -> Self {
        let deadline = call.deadline.map(|deadline| Instant::now() + deadline);
        let booking = Booking::new(inner.clone(), &call, Some(Operation::of(call.asked.dialect)));
        Self {
            inner,
            call,
            deadline,
            plan: None,
            left: VecDeque::new(),
            phase: Phase::Planning,
            attempt: None,
            held: VecDeque::new(),
            sent: Sent::default(),
            has_told: false,
            booking,
            is_reserved: false,
            first_error: None,
            callers_fault: None,
            may_pass_at: None,
            overflowed_tokens: None,
            flawed: None,
            rescues: 0,
            broke_off: None,
            standing: Standing::default(),
        }
    }

    /// The steps of this run. Dropping the stream ends the call upstream.
    pub(crate) fn steps(self) -> impl Stream<Item = Step> + Send + Unpin + 'static {
        Box::pin(stream::unfold(self, |mut run| async move { Some((run.next().await?, run)) }))
    }

    async fn next(&mut self) -> Option<Step> {
        let revoked = self.call.caller.revoked.clone();
        tokio::select! {
            biased;
            () = revoked.cancelled(), if !matches!(self.phase, Phase::Over) => Some(self.revoke()),
            step = self.go() => step,
        }
    }

    /// The caller is told, in its dialect: an answer that merely ended could be taken for a whole one.
    fn revoke(&mut self) -> Step {
        self.booking.stops_listening();
        if let Some(failed) = self.give_up(Error::revoked()) {
            self.booking.trace.cut(&failed);
        }
        self.fail(Error::revoked())
    }

    async fn go(&mut self) -> Option<Step> {
        loop {
            if let Some(fallback) = self.booking.trace.unsaid() {
                return Some(Step::Gave(fallback));
            }
            // A step that is dropped is the last one.
            let step = match std::mem::replace(&mut self.phase, Phase::Over) {
                Phase::Planning => self.plan().await,
                Phase::Trying(trying) => self.try_one(*trying).await,
                Phase::Held => self.hold().await,
                Phase::PassingHeld { whole } => self.pass_held(whole),
                Phase::Committed => self.pass().await,
                Phase::Rescuing(error) => self.rescue(error),
                Phase::Over => return None,
            };
            if step.is_some() {
                return step;
            }
        }
    }

    /// What is told when nobody answers: what the target said that the route prefers, unless only another one may answer when
    /// it is asked again.
    fn note(&mut self, candidate: &Candidate, error: Error) {
        if error.may_pass() {
            let at = Instant::now() + error.retry_after().unwrap_or_default();
            self.may_pass_at = Some(self.may_pass_at.map_or(at, |known| known.min(at)));
        }
        if self.first_error.as_ref().is_none_or(|first| !first.error.may_pass() && error.may_pass()) {
            self.first_error = Some(Failure::of(candidate, error));
        }
    }

    fn policy(&self) -> Option<&Policy> {
        self.plan.as_ref().map(|plan| &plan.policy)
    }

    /// Holds what this target may come to.
    fn hold_for(&mut self, candidate: &Candidate) -> Result<(), Refusal> {
        let policy = self.plan.as_ref().map(|plan| &plan.policy);
        self.booking.hold(&self.call, candidate, policy)
    }

    async fn try_one(&mut self, trying: Trying) -> Option<Step> {
        let Trying { candidate, retries, not_before, mode } = trying;
        if let Some(not_before) = not_before {
            if self.deadline.is_some_and(|deadline| deadline <= not_before) {
                return Some(self.fail(self.overdue()));
            }
            tokio::time::sleep_until(not_before).await;
        }
        let begun = Instant::now();
        let begun_attempt = self.begin(&candidate, retries, mode.clone()).await;
        let was_asked = self.booking.heard();
        match begun_attempt {
            Ok(attempt) => {
                let step = Step::Accepted { model: candidate.model.clone(), why: candidate.why.clone() };
                self.attempt = Some(Box::new(attempt));
                self.phase = Phase::Held;
                Some(step)
            }
            Err(error) => {
                // Nobody knows how far it came; how long the prompt was is estimated.
                let usage = (was_asked && may_have_read(&error)).then(Usage::default);
                self.failed_before_content(Failed { candidate, retries, mode, begun, error, usage })
            }
        }
    }

    async fn hold(&mut self) -> Option<Step> {
        let until_whole = self.holds_until_whole();
        while let Some(attempt) = &mut self.attempt {
            match attempt.hear(self.deadline).await {
                Heard::Frame(frame) => {
                    let content = frame.has_content();
                    let finished = is_last(&frame);
                    if frame.raw.is_some() || !frame.events.is_empty() {
                        self.held.push_back(frame);
                    }
                    if finished {
                        return self.held_whole();
                    }
                    if content && !until_whole {
                        return self.commit(false, &[]);
                    }
                }
                Heard::Failed(error) => {
                    let failed = self.give_up(error)?;
                    return self.failed_before_content(failed);
                }
            }
        }
        None
    }

    /// Whether nothing may be passed on before the answer is whole.
    fn holds_until_whole(&self) -> bool {
        !self.call.asked.peek.stream || self.call.buffered || self.policy().is_some_and(|policy| policy.buffered)
    }

    /// The answer is whole and nothing of it was passed on yet: the moment to look at it.
    fn held_whole(&mut self) -> Option<Step> {
        if let Some(error) = self.left_out() {
            let attempt = self.attempt.take()?;
            self.held.clear();
            // It would say the same again.
            let failed = attempt.poor(error);
            attempt.done(&self.inner);
            return self.failed_before_content(Failed { retries: 0, ..failed });
        }
        if self.rescues > 0 {
            // Half an answer cannot be judged.
            return self.commit(true, &[]);
        }
        let flaws = self.attempt.as_ref().map(|attempt| self.judge(attempt)).unwrap_or_default();
        let enforce = self.policy().is_some_and(|policy| policy.enforce_quality);
        if flaws.is_empty() || !enforce {
            return self.commit(true, &flaws);
        }
        let attempt = self.attempt.take()?;
        let message = flaws.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let failed = attempt.poor(Error::Flawed { provider: attempt.candidate.model.provider.clone(), message });
        self.booking.trace.flaws(&flaws);
        let frames = std::mem::take(&mut self.held);
        if self.flawed.is_none() {
            self.flawed = Some(Flawed { attempt: Box::new(attempt.over()), frames, flaws });
        }
        self.failed_before_content(failed)
    }

    /// Why the answer is none for this caller, whose API has no words for any of it.
    fn left_out(&self) -> Option<Error> {
        let attempt = self.attempt.as_ref()?;
        attempt.left_out.is_all_of(&attempt.whole, &self.sent.text, &attempt.candidate.model.provider)
    }

    fn judge(&self, attempt: &Attempt) -> Vec<Flaw> {
        if self.call.asked.peek.prompt_bytes == 0 {
            // Nothing was asked: a model is only to be loaded.
            return Vec::new();
        }
        let reason = attempt.whole.finish.as_ref().map(|finish| finish.reason);
        if matches!(reason, Some(FinishReason::Length | FinishReason::ContentFilter)) {
            // It says by itself that it is not all there.
            return Vec::new();
        }
        let peek = &self.call.asked.peek;
        let calls = attempt.whole.blocks.iter().any(|block| matches!(block, Block::ToolCall { .. }));
        // A vendor's own tools may stand where only the whole request tells.
        if !peek.has_tools && !peek.has_schema && !calls {
            return quality::judge(&Conversation::default(), &attempt.whole);
        }
        // What cannot be read here was promised to nobody that could be held to it.
        self.call.asked.conversation().map(|declared| quality::judge(declared, &attempt.whole)).unwrap_or_default()
    }

    fn commit(&mut self, whole: bool, flaws: &[Flaw]) -> Option<Step> {
        let mut lost = self.attempt.as_ref()?.lost(&self.call.asked);
        // A rescue goes on where the caller's answer stopped: its head went out long ago.
        if self.rescues == 0 {
            lost.extend(self.attempt.as_mut()?.left_out.untold());
        }
        let attempt = self.attempt.as_ref()?;
        self.booking.trace.committed(attempt, flaws, &lost);
        let head = (self.rescues == 0).then(|| Step::Committed(Box::new(self.committed(attempt, flaws, lost))));
        self.phase = Phase::PassingHeld { whole };
        head
    }

    fn committed(&self, attempt: &Attempt, flaws: &[Flaw], lost: Vec<String>) -> Committed {
        let committed = Committed {
            lost,
            flaws: flaws.iter().map(ToString::to_string).collect(),
            rates: self.booking.rates(),
            ..Committed::by(&attempt.candidate, self.booking.trace.fallbacks())
        };
        match &attempt.whole.finish {
            Some(finish) => committed.counted(finish.usage, self.booking.trace.cost_with_whole(attempt)),
            None => committed,
        }
    }

    fn pass_held(&mut self, whole: bool) -> Option<Step> {
        let Some(frame) = self.held.pop_front() else {
            if !whole {
                self.phase = Phase::Committed;
            }
            return None;
        };
        if is_last(&frame) {
            return Some(self.finish(frame));
        }
        self.phase = Phase::PassingHeld { whole };
        self.tell(frame)
    }

    async fn pass(&mut self) -> Option<Step> {
        match self.attempt.as_mut()?.hear(self.deadline).await {
            Heard::Frame(frame) if is_last(&frame) => Some(self.finish(frame)),
            Heard::Frame(frame) => {
                self.phase = Phase::Committed;
                self.tell(frame)
            }
            Heard::Failed(error) => {
                let failed = self.give_up(error)?;
                self.booking.trace.cut(&failed);
                self.broke_off.get_or_insert(failed.candidate);
                self.phase = Phase::Rescuing(failed.error);
                None
            }
        }
    }

    /// Ends the attempt: dropping it ends the work upstream.
    fn give_up(&mut self, error: Error) -> Option<Failed> {
        let attempt = self.attempt.take()?;
        self.held.clear();
        Some(attempt.failed(error))
    }

    /// Passes on what there is to pass on; a bare sign of life is not.
    fn tell(&mut self, frame: Frame) -> Option<Step> {
        if frame.raw.is_none() && frame.events.is_empty() {
            return None;
        }
        self.has_told = true;
        self.sent.note(&frame.events);
        self.booking.trace.content(&frame.events);
        Some(Step::Frame(frame))
    }

    fn finish(&mut self, mut frame: Frame) -> Step {
        if let Some(error) = self.left_out()
            && let Some(attempt) = self.attempt.take()
        {
            self.booking.trace.cut(&attempt.poor(error.clone()));
            attempt.done(&self.inner);
            return self.fail(error);
        }
        let is_first = !std::mem::replace(&mut self.has_told, true);
        for event in &mut frame.events {
            if let Event::Finished(Finish { usage, .. }) = event {
                // The caller paid for what a target said before it broke off, too.
                usage.output_tokens += self.booking.trace.output_tokens_before();
            }
        }
        self.booking.trace.content(&frame.events);
        let mut lost = Vec::new();
        if let Some(mut attempt) = self.attempt.take() {
            lost = attempt.left_out.untold();
            self.booking.trace.lost(&lost);
            if let Some(plan) = &self.plan
                && self.rescues == 0
                && !self.booking.trace.flawed()
            {
                // A body that came whole is the caller's own, to the byte.
                let body = frame.raw.as_ref().filter(|_| !self.call.asked.peek.stream && is_first);
                self.inner.kept.keep(&self.call, plan, &attempt.candidate.model, &attempt.whole, body);
            }
            self.booking.trace.finished(&attempt);
            attempt.done(&self.inner);
        }
        self.booking.end(Ended::Succeeded);
        Step::Finished { frame, cost_microusd: self.booking.trace.cost_microusd(), lost }
    }

    fn answer_from_memory(&mut self, kept: KeptAnswer) -> Step {
        let committed = kept.committed();
        self.booking.trace.answered_from_memory(&committed);
        self.held = VecDeque::from([kept.into_frame(&self.call)]);
        self.phase = Phase::PassingHeld { whole: true };
        Step::Committed(Box::new(committed))
    }

    fn exhausted(&mut self) -> Option<Step> {
        if let Some(Flawed { attempt, frames, flaws }) = self.flawed.take() {
            // Better an answer that says what is wrong with it than none.
            self.attempt = Some(attempt);
            self.held = frames;
            return self.commit(true, &flaws);
        }
        let route = &self.call.route;
        let told = self.callers_fault.take().or(self.first_error.take());
        let others = told.as_ref().map(|told| self.booking.trace.failures_beside(&told.target)).unwrap_or_default();
        let mut error = told.map(|told| told.error).unwrap_or_else(|| {
            let last = self.booking.trace.last_failure().map_or_else(String::new, |last| format!(": {last}"));
            Error::NoModel(format!("route `{route}` has no target that may be asked now{last}"))
        });
        if let Some(at) = self.may_pass_at {
            error = error.may_pass_elsewhere(at.saturating_duration_since(Instant::now()));
        }
        if !others.is_empty() {
            error = error.beside(route, &others);
        }
        Some(self.fail(error))
    }

    fn fail(&mut self, error: Error) -> Step {
        self.phase = Phase::Over;
        self.booking.end(Ended::Failed(error.clone()));
        let fallbacks = std::iter::from_fn(|| self.booking.trace.unsaid()).collect();
        Step::Failed { error, fallbacks }
    }
}

/// Whether who failed so before it said anything may have read the prompt, and charges for it.
pub(crate) fn may_have_read(error: &Error) -> bool {
    match error {
        Error::TimedOut { awaited, .. } => !matches!(awaited, Awaited::Queue | Awaited::Listing),
        Error::Cut { .. } | Error::Malformed { .. } | Error::TooLarge { .. } | Error::Overdue { .. } => true,
        _ => false,
    }
}

fn is_last(frame: &Frame) -> bool {
    frame.events.iter().any(|event| matches!(event, Event::Finished(_)))
}

/// Whoever drops a run ends it: what was used until then is booked all the same.
impl Drop for Run {
    fn drop(&mut self) {
        if let Some(attempt) = &self.attempt {
            self.booking.trace.abandoned(attempt);
        }
    }
}
