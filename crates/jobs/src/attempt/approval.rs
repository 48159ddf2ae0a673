//! An agent asks a person.

use super::Fence;
use crate::{
    Caller, Error, Handle,
    approval::arguments_sha256,
    event::{draft, to_store},
    handle::{found, record},
    validate::Mistakes,
    view,
};
use domain::{ApprovalId, JobId, JobState, Timestamp};
use protocol::{Actor, ApprovalRequestedAnswer, EventBody, RequestApproval};
use store::{ApprovalRow, JobRow, Reader, Transaction};

/// Arguments of one tool call, as JSON (bytes). The whole of them is shown to a person and kept in the log.
const ARGUMENTS_BYTES: usize = 1 << 20;

impl Handle {
    /// Asks for a decision on one tool call. Decided before: the decision, and the attempt goes on. Otherwise the
    /// attempt is over and the job waits, without a worker, for as long as it takes.
    ///
    /// A decision is about a tool and its arguments, and answers one call: the one it was asked for, or, when no call began
    /// on the strength of it because the agent was lost, the next one for the very same in a later attempt.
    pub async fn request_approval(
        &self,
        caller: &Caller,
        job: JobId,
        request: RequestApproval,
    ) -> Result<ApprovalRequestedAnswer, Error> {
        let fence = Fence::new(caller, job, request.attempt)?;
        let arguments = to_store(&request.arguments)?;
        check(&request, &arguments)?;
        let digest = arguments_sha256(&request.tool, &request.arguments)?;

        let (now, ran_ms) = (self.shared.now(), self.shared.live.ran_ms(job, request.attempt));
        let fresh_id = ApprovalId::new(now);
        let ask = move |transaction: &mut Transaction<'_>| {
            let earlier = answered_before(transaction, job, &request.call_id)?;
            let row = found(transaction, job)?;
            // The question was recorded and its answer got lost on the way to the agent, which asks again.
            if let Some(approval) = &earlier
                && row.state == JobState::WaitingApproval
                && fence.was_last(&row)
                && approval.arguments_sha256 == digest
            {
                return Ok((answer(approval)?, None));
            }
            let mut row = fence.check(transaction)?;
            if row.cancel_requested {
                let detail = "it is being cancelled; stop, and finish it as cancelled".into();
                return Err(Error::WrongState { job, state: row.state, detail });
            }
            let approval = match earlier {
                Some(approval) if approval.arguments_sha256 != digest => {
                    let detail = format!(
                        "`{}` was asked about before with other arguments (then {}, now {digest}); use a fresh call_id",
                        request.call_id, approval.arguments_sha256
                    );
                    return Err(Error::invalid("/call_id", detail));
                }
                Some(approval) if still_answers(&approval, &request.call_id, fence.attempt) => {
                    transaction.use_approval(approval.id, &request.call_id, fence.attempt)?;
                    return Ok((answer(&approval)?, None));
                }
                Some(approval) if approval.decision.is_none() => approval,
                _ => {
                    if let Some(approval) = transaction.unspent_approval(job, &digest, fence.attempt)? {
                        carry_over(transaction, &approval, &request.call_id, &row, now)?;
                        return Ok((answer(&approval)?, None));
                    }
                    let approval = ApprovalRow {
                        id: fresh_id,
                        job_id: job,
                        call_id: request.call_id.clone(),
                        tool: request.tool.clone(),
                        arguments,
                        arguments_sha256: digest.clone(),
                        requested_at: now,
                        decision: None,
                        message: None,
                        decided_by: None,
                        decided_at: None,
                        used_by: None,
                        used_in: None,
                        spent: false,
                    };
                    transaction.insert_approval(&approval)?;
                    approval
                }
            };
            let body = EventBody::ApprovalRequested {
                approval_id: approval.id,
                call_id: request.call_id,
                tool: request.tool,
                arguments: request.arguments,
                arguments_sha256: digest,
            };
            row.state = JobState::WaitingApproval;
            row.message = Some(format!("waits for a decision on `{}`", approval.tool));
            row.running_ms = ran_ms.unwrap_or(row.running_ms);
            row.updated_at = now;
            let event = draft(Actor::Agent, row.attempt, now, body)?;
            let row = record(transaction, &row, &[event])?;
            Ok::<_, Error>((answer(&approval)?, Some(row)))
        };
        self.carry_through(async move |shared| {
            let (answer, waiting) = shared.store.write(ask).await?;
            if let Some(row) = waiting {
                shared.live.end(job, fence.attempt);
                shared.freed(&row);
            } else {
                shared.live.heard(job, fence.attempt);
            }
            Ok(answer)
        })
        .await
    }
}

/// What this call was asked about or answered with before.
fn answered_before(reader: &Reader<'_>, job: JobId, call_id: &str) -> Result<Option<ApprovalRow>, Error> {
    match reader.approval_for_call(job, call_id)? {
        Some(approval) => Ok(Some(approval)),
        None => Ok(reader.approval_carried_over(job, call_id)?),
    }
}

/// Whether a decision is this call's: not another's meanwhile, and not one a call has begun with in an earlier attempt.
fn still_answers(approval: &ApprovalRow, call_id: &str, attempt: u32) -> bool {
    let is_its_own = approval.used_by.as_deref().is_none_or(|used_by| used_by == call_id);
    let may_begin = !approval.spent || approval.used_in == Some(attempt);
    approval.decision.is_some() && is_its_own && may_begin
}

/// The decision on another call, which never began, answers this one. The log says so as it says everything decided.
fn carry_over(
    transaction: &mut Transaction<'_>,
    approval: &ApprovalRow,
    call_id: &str,
    row: &JobRow,
    now: Timestamp,
) -> Result<(), Error> {
    transaction.use_approval(approval.id, call_id, row.attempt)?;
    let Some(decision) = view::decision(approval)? else { return Ok(()) };
    let decided = EventBody::ApprovalDecided {
        approval_id: approval.id,
        call_id: call_id.to_owned(),
        decision,
        message: approval.message.clone(),
        arguments_sha256: approval.arguments_sha256.clone(),
    };
    transaction.append(row.id, &[draft(Actor::System, row.attempt, now, decided)?])?;
    Ok(())
}

fn answer(approval: &ApprovalRow) -> Result<ApprovalRequestedAnswer, Error> {
    let decision = view::decision(approval)?;
    Ok(ApprovalRequestedAnswer { approval_id: approval.id, decision, message: approval.message.clone() })
}

fn check(request: &RequestApproval, arguments: &str) -> Result<(), Error> {
    let mut mistakes = Mistakes::default();
    mistakes.call_id("/call_id", &request.call_id);
    mistakes.tool("/tool", &request.tool);
    if arguments.len() > ARGUMENTS_BYTES {
        mistakes.add("/arguments", format!("are {} bytes; {ARGUMENTS_BYTES} are allowed", arguments.len()));
    }
    mistakes.into_result()
}
