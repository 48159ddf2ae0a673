//! Cancel a job: a durable command that also reaches what is running.

use super::audit;
use crate::{
    Caller, Error, Handle,
    approval::decision_name,
    event::draft,
    handle::{found, record},
    lifecycle::{Ending, close},
    live::StopCause,
    validate::Mistakes,
};
use domain::{JobId, JobState, Scope, Timestamp};
use protocol::{Actor, CancelJob, Decision, EventBody, Job};
use store::{JobRow, NewEvent, Transaction};

impl Handle {
    /// A job that waits is closed at once. One that runs is told to stop and closed when its agent has, or without it
    /// after one lease time plus grace. Repeating the command is harmless.
    pub async fn cancel(&self, caller: &Caller, job: JobId, cancel: CancelJob) -> Result<Job, Error> {
        caller.must_be(Scope::User)?;
        let mut mistakes = Mistakes::default();
        mistakes.message("/message", cancel.message.as_deref().unwrap_or_default());
        mistakes.into_result()?;

        let (caller, now) = (*caller, self.shared.now());
        let cancel = move |transaction: &mut Transaction<'_>| {
            let mut row = found(transaction, job)?;
            if !caller.sees(&row) {
                return Err(Error::no_job(job));
            }
            if row.cancel_requested || row.state == JobState::Cancelled {
                return Ok(row);
            }
            if row.state.is_terminal() {
                let detail = "it is over already, so there is nothing to cancel".into();
                return Err(Error::WrongState { job, state: row.state, detail });
            }
            let message = cancel.message.clone();
            let mut events = vec![draft(Actor::User, row.attempt, now, EventBody::JobCancelRequested { message })?];
            row.cancel_requested = true;
            row.message = cancel.message.clone();
            row.updated_at = now;
            if row.state == JobState::WaitingApproval {
                events.extend(withdraw_approvals(transaction, &row, now)?);
            }
            if row.state != JobState::Running {
                events.push(close(&mut row, Actor::User, now, Ending::cancelled(cancel.message.clone()))?);
            }
            transaction.audit(&audit(&caller, now, "job.cancel", job))?;
            record(transaction, &row, &events)
        };
        self.carry_through(async move |shared| {
            let row = shared.store.relieve(cancel).await?;
            if row.state == JobState::Running {
                shared.live.stop(job, row.attempt, StopCause::Cancelled, shared.stop_grace());
            }
            shared.view(row)
        })
        .await
    }
}

/// What the job asked is answered with no, by nobody: it does not stay in anyone's list of things to decide.
fn withdraw_approvals(transaction: &mut Transaction<'_>, row: &JobRow, now: Timestamp) -> Result<Vec<NewEvent>, Error> {
    let mut events = Vec::new();
    for mut approval in transaction.pending_approvals(row.id)? {
        let message = Some("the job was cancelled before anybody decided".to_owned());
        approval.decision = Some(decision_name(Decision::Denied).to_owned());
        approval.message = message.clone();
        approval.decided_at = Some(now);
        transaction.update_approval(&approval)?;
        let body = EventBody::ApprovalDecided {
            approval_id: approval.id,
            call_id: approval.call_id,
            decision: Decision::Denied,
            message,
            arguments_sha256: approval.arguments_sha256,
        };
        events.push(draft(Actor::System, row.attempt, now, body)?);
    }
    Ok(events)
}
