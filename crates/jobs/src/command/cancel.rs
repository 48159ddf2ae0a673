//! Cancel a job: a durable command that also reaches what is running.

use super::audit;
use crate::{
    Caller, Error, Handle,
    approval::decision_name,
    event::draft,
    lifecycle::{Ending, close},
    live::StopCause,
    validate::Mistakes,
};
use domain::{JobId, JobState, Scope, Timestamp};
use protocol::{Actor, CancelJob, Decision, EventBody, Job};
use store::{ApprovalChange, ApprovalRow, Found, NewEvent, Urgency, Write};

impl Handle {
    /// A job that waits is closed at once. One that runs is told to stop and closed when its agent has, or without it
    /// after one lease time plus grace. Repeating the command is harmless.
    pub async fn cancel(&self, caller: &Caller, job: JobId, cancel: CancelJob) -> Result<Job, Error> {
        caller.must_be(Scope::User)?;
        let mut mistakes = Mistakes::default();
        mistakes.message("/message", cancel.message.as_deref().unwrap_or_default());
        mistakes.into_result()?;

        let (caller, now) = (*caller, self.shared.now());
        let cancel = move |found: &Found| {
            let mut row = found.job.clone();
            if !caller.sees(&row) {
                return Err(Error::no_job(job).into());
            }
            if row.cancel_requested || row.state == JobState::Cancelled {
                return Ok(None);
            }
            if row.state.is_terminal() {
                let detail = "it is over already, so there is nothing to cancel".into();
                return Err(Error::WrongState { job, state: row.state, detail }.into());
            }
            let message = cancel.message.clone();
            let mut events = vec![draft(Actor::User, row.attempt, now, EventBody::JobCancelRequested { message })?];
            row.cancel_requested = true;
            row.message = cancel.message.clone();
            row.updated_at = now;
            let mut approvals = Vec::new();
            for approval in &found.pending {
                let (withdrawn, event) = withdraw(approval, row.attempt, now)?;
                approvals.push(ApprovalChange::Decide(withdrawn));
                events.push(event);
            }
            if row.state != JobState::Running {
                events.push(close(&mut row, Actor::User, now, Ending::cancelled(cancel.message.clone()))?);
            }
            let audit = Some(audit(&caller, now, "job.cancel", job));
            Ok(Some(Write { job: row, events, approvals, audit }))
        };
        self.carry_through(async move |shared| {
            let row = shared.store.change_job(job, Urgency::Relief, Box::new(cancel)).await?.job;
            if row.state == JobState::Running {
                shared.live.stop(job, row.attempt, StopCause::Cancelled, shared.stop_grace());
            }
            shared.view(row)
        })
        .await
    }
}

/// What the job asked is answered with no, by nobody: it does not stay in anyone's list of things to decide.
fn withdraw(approval: &ApprovalRow, attempt: u32, now: Timestamp) -> Result<(ApprovalRow, NewEvent), Error> {
    let message = Some("the job was cancelled before anybody decided".to_owned());
    let withdrawn = ApprovalRow {
        decision: Some(decision_name(Decision::Denied).to_owned()),
        message: message.clone(),
        decided_at: Some(now),
        ..approval.clone()
    };
    let body = EventBody::ApprovalDecided {
        approval_id: approval.id,
        call_id: approval.call_id.clone(),
        decision: Decision::Denied,
        message,
        arguments_sha256: approval.arguments_sha256.clone(),
    };
    Ok((withdrawn, draft(Actor::System, attempt, now, body)?))
}
