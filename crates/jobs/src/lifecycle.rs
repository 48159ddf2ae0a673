//! What each thing that can happen does to a job, and which events say so. No I/O: the callers run these inside the
//! transaction that records them.
//!
//! ```text
//!   create            ─▶ queued                                    job.created
//!   lease             queued ─▶ running, attempt + 1               job.leased
//!   release           running ─▶ queued at once                    job.requeued (released)
//!   attempt failed    running ─▶ queued after a backoff            job.requeued (attempt_failed)   ┐ or, when
//!   lease lost        running ─▶ queued after a short backoff      job.requeued (lease_lost)       ┘ attempts are
//!                                                                  used up: failed/error, closed
//!   approval asked    running ─▶ waiting_approval                  approval.requested
//!   approval decided  waiting_approval ─▶ queued, place kept       approval.decided, job.requeued (decided)
//!   finish            running ─▶ succeeded | failed | cancelled    closed
//!   time out          running ─▶ failed/timed_out                  closed
//!   cancel            queued | waiting_approval ─▶ cancelled       job.cancel_requested, closed
//!                     running: stays running, agent is told        job.cancel_requested
//!                     … until it finishes, or lease + grace later  closed
//! ```
//! A job with `cancel_requested` never goes back into the queue and never ends otherwise than cancelled. A terminal job
//! takes no event: `closed` is the last of every log.

use crate::{
    Error,
    event::{draft, stored, to_store},
};
use domain::{FailureReason, JobState, Timestamp};
use protocol::{Actor, CreateJob, EventBody, JobResult, Limits, RequeueCause, Usage};
use std::time::Duration;
use store::{JobRow, NewEvent};

/// How a job ends.
#[derive(Debug, PartialEq)]
pub(crate) struct Ending {
    pub state: JobState,
    pub reason: Option<FailureReason>,
    pub message: Option<String>,
    pub result: Option<JobResult>,
}

impl Ending {
    pub fn failed(reason: FailureReason, message: impl Into<String>) -> Self {
        Self { state: JobState::Failed, reason: Some(reason), message: Some(message.into()), result: None }
    }

    pub fn cancelled(message: Option<String>) -> Self {
        Self { state: JobState::Cancelled, reason: None, message, result: None }
    }
}

/// An attempt that ended without a result.
pub(crate) struct Failure<'a> {
    pub cause: RequeueCause,
    /// What happened, for people.
    pub message: &'a str,
    pub delay: Duration,
}

pub(crate) fn close(row: &mut JobRow, actor: Actor, now: Timestamp, ending: Ending) -> Result<NewEvent, Error> {
    let mut usage: Usage = stored(row.id, "usage", &row.usage)?;
    let result = ending.result.map(|mut result| {
        usage = at_least(usage, result.usage);
        result.usage = usage;
        result
    });
    row.state = ending.state;
    row.reason = ending.reason;
    row.message = ending.message.clone();
    row.result = result.as_ref().map(to_store).transpose()?;
    row.usage = to_store(&usage)?;
    row.not_before = None;
    row.updated_at = now;
    row.finished_at = Some(now);
    let (state, reason, message) = (ending.state, ending.reason, ending.message);
    draft(actor, row.attempt, now, EventBody::Closed { state, reason, message, result })
}

/// Back into the queue, at the place its age and priority give it.
pub(crate) fn requeue(row: &mut JobRow, now: Timestamp, failure: &Failure<'_>) -> Result<NewEvent, Error> {
    let delay_ms = u64::try_from(failure.delay.as_millis()).unwrap_or(u64::MAX);
    row.state = JobState::Queued;
    row.message = Some(failure.message.to_owned()).filter(|message| !message.is_empty());
    row.not_before = (delay_ms > 0).then(|| now.plus_millis(i64::try_from(delay_ms).unwrap_or(i64::MAX)));
    row.updated_at = now;
    let message = failure.message.to_owned();
    draft(Actor::System, row.attempt, now, EventBody::JobRequeued { cause: failure.cause, message, delay_ms })
}

/// A worker hands the job back, which is no failure: the next one goes on at once.
pub(crate) fn hand_back(row: &mut JobRow, now: Timestamp, message: &str) -> Result<NewEvent, Error> {
    if row.cancel_requested {
        return close(row, Actor::System, now, Ending::cancelled(row.message.clone()));
    }
    requeue(row, now, &Failure { cause: RequeueCause::Released, message, delay: Duration::ZERO })
}

/// An attempt failed, or its worker vanished: the job waits for another one, unless it has had all it may have.
pub(crate) fn fail_attempt(row: &mut JobRow, now: Timestamp, failure: &Failure<'_>) -> Result<NewEvent, Error> {
    row.attempts_failed = row.attempts_failed.saturating_add(1);
    if row.cancel_requested {
        return close(row, Actor::System, now, Ending::cancelled(row.message.clone()));
    }
    let limits = limits_of(row)?;
    if row.running_ms >= limits.total_timeout_ms {
        return close(row, Actor::System, now, out_of_time(&limits));
    }
    if row.attempts_failed >= limits.attempts {
        let message = format!(
            "gave up after {} of {} allowed attempts; the last one: {}",
            row.attempts_failed, limits.attempts, failure.message
        );
        return close(row, Actor::System, now, Ending::failed(FailureReason::Error, message));
    }
    requeue(row, now, failure)
}

pub(crate) fn out_of_time(limits: &Limits) -> Ending {
    let total = Duration::from_millis(limits.total_timeout_ms);
    Ending::failed(
        FailureReason::TimedOut,
        format!(
            "ran for longer than its total time of {total:?}; create it again with a higher limits.total_timeout_ms"
        ),
    )
}

pub(crate) fn too_silent(limits: &Limits) -> Ending {
    let idle = Duration::from_millis(limits.idle_timeout_ms);
    Ending::failed(
        FailureReason::TimedOut,
        format!("nothing happened for {idle:?}, its idle limit; see the end of its log for what it waited for"),
    )
}

pub(crate) fn limits_of(row: &JobRow) -> Result<Limits, Error> {
    Ok(stored::<CreateJob>(row.id, "specification", &row.spec)?.limits)
}

/// What a batch of events says about what the job used.
pub(crate) fn count(usage: Usage, event: &EventBody) -> Usage {
    match event {
        // The agent reports totals over all attempts, the backend counts calls it made itself: the higher one holds.
        EventBody::BudgetUpdated { usage: reported } => at_least(usage, *reported),
        EventBody::ModelFinished { input_tokens, output_tokens, cost_microusd, total_ms, .. } => Usage {
            steps: usage.steps.saturating_add(1),
            input_tokens: usage.input_tokens.saturating_add(*input_tokens),
            output_tokens: usage.output_tokens.saturating_add(*output_tokens),
            cost_microusd: usage.cost_microusd.saturating_add(*cost_microusd),
            model_ms: usage.model_ms.saturating_add(*total_ms),
            ..usage
        },
        EventBody::ToolFinished { duration_ms, .. } | EventBody::CheckFinished { duration_ms, .. } => {
            Usage { tool_ms: usage.tool_ms.saturating_add(*duration_ms), ..usage }
        }
        _ => usage,
    }
}

/// Usage never goes down.
fn at_least(usage: Usage, other: Usage) -> Usage {
    Usage {
        steps: usage.steps.max(other.steps),
        input_tokens: usage.input_tokens.max(other.input_tokens),
        output_tokens: usage.output_tokens.max(other.output_tokens),
        cost_microusd: usage.cost_microusd.max(other.cost_microusd),
        model_ms: usage.model_ms.max(other.model_ms),
        tool_ms: usage.tool_ms.max(other.tool_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::row;
    use serde_json::json;

    fn now() -> Timestamp {
        Timestamp::from_millis(1_000)
    }

    fn lost(delay_ms: u64) -> Failure<'static> {
        Failure { cause: RequeueCause::LeaseLost, message: "no heartbeat", delay: Duration::from_millis(delay_ms) }
    }

    #[test]
    fn attempts_are_used_up_one_by_one() {
        let mut job = row(json!({"kind": "ask", "task": "x", "limits": {"attempts": 2}}));
        let event = fail_attempt(&mut job, now(), &lost(700)).unwrap();
        assert_eq!((job.state, event.event_type.as_str()), (JobState::Queued, "job.requeued"));
        assert_eq!(job.not_before, Some(now().plus_millis(700)));
        let event = fail_attempt(&mut job, now(), &lost(700)).unwrap();
        assert_eq!((job.state, job.reason), (JobState::Failed, Some(FailureReason::Error)));
        assert_eq!(event.event_type, "closed");
        assert_eq!(job.message.as_deref(), Some("gave up after 2 of 2 allowed attempts; the last one: no heartbeat"));
        assert_eq!(job.not_before, None);
    }

    #[test]
    fn a_job_that_is_to_be_cancelled_is_not_queued_again() {
        let mut job = row(json!({"kind": "ask", "task": "x"}));
        job.cancel_requested = true;
        job.message = Some("not needed".into());
        let mut handed_back = job.clone();
        fail_attempt(&mut job, now(), &lost(0)).unwrap();
        assert_eq!((job.state, job.message.as_deref()), (JobState::Cancelled, Some("not needed")));
        hand_back(&mut handed_back, now(), "going away").unwrap();
        assert_eq!(handed_back.state, JobState::Cancelled);
    }

    #[test]
    fn a_job_without_time_left_is_not_queued_again() {
        let mut job = row(json!({"kind": "ask", "task": "x", "limits": {"total_timeout_ms": 5000}}));
        job.running_ms = 5000;
        fail_attempt(&mut job, now(), &lost(0)).unwrap();
        assert_eq!((job.state, job.reason), (JobState::Failed, Some(FailureReason::TimedOut)));
    }

    #[test]
    fn the_result_carries_the_higher_count() {
        let mut job = row(json!({"kind": "ask", "task": "x"}));
        job.usage = to_store(&Usage { input_tokens: 10, steps: 3, ..Usage::default() }).unwrap();
        let usage = Usage { input_tokens: 7, output_tokens: 2, ..Usage::default() };
        let result = Some(JobResult { usage, ..JobResult::default() });
        close(
            &mut job,
            Actor::Agent,
            now(),
            Ending { state: JobState::Succeeded, reason: None, message: None, result },
        )
        .unwrap();
        let result: JobResult = serde_json::from_str(job.result.as_deref().unwrap()).unwrap();
        assert_eq!(result.usage, Usage { input_tokens: 10, output_tokens: 2, steps: 3, ..Usage::default() });
    }

    #[test]
    fn repeated_totals_are_not_added_up() {
        let reported = Usage { steps: 1, input_tokens: 100, ..Usage::default() };
        let event = EventBody::BudgetUpdated { usage: reported };
        assert_eq!(count(count(Usage::default(), &event), &event), reported);
    }
}
