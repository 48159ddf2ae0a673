//! An agent asks a person.

use super::fence;
use crate::{
    Caller, Error, Handle,
    approval::arguments_sha256,
    event::{draft, to_store},
    validate::Mistakes,
    view,
};
use domain::{ApprovalId, Epoch, JobId, JobState, Timestamp};
use protocol::{Actor, ApprovalRequestedAnswer, EventBody, RequestApproval};
use store::{About, ApprovalChange, ApprovalRow, Ask, Asked, Fence, JobHead, JobRow, Write};

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
        let fence = fence(caller, job, request.epoch, request.attempt)?;
        let arguments = to_store(&request.arguments)?;
        check(&request, &arguments)?;
        let digest = arguments_sha256(&request.tool, &request.arguments)?;

        let (now, ran_ms) = (self.shared.now(), self.shared.live.ran_ms(job, request.attempt));
        let fresh_id = ApprovalId::new(now);
        let epoch = self.shared.store.epoch();
        let ask = Asking { fence, epoch, request, arguments, digest, fresh_id, now, ran_ms };
        self.carry_through(async move |shared| {
            let (approval, changed) = shared.store.ask_approval(ask.into_operation()).await?;
            if changed.job.state == JobState::WaitingApproval {
                shared.live.end(job, fence.attempt);
                shared.freed(&changed.job);
            } else {
                shared.live.heard(job, fence.attempt);
            }
            answer(&approval)
        })
        .await
    }
}

/// One question, and what becomes of it.
struct Asking {
    fence: Fence,
    /// Of now.
    epoch: Epoch,
    request: RequestApproval,
    arguments: String,
    digest: String,
    fresh_id: ApprovalId,
    now: Timestamp,
    ran_ms: Option<u64>,
}

impl Asking {
    fn into_operation(self) -> Ask {
        Ask {
            job: self.fence.job,
            call_id: self.request.call_id.clone(),
            arguments_sha256: self.digest.clone(),
            attempt: self.fence.attempt,
            decide: Box::new(move |asked| Ok(self.decide(asked)?)),
        }
    }

    fn decide(&self, asked: &Asked) -> Result<About, Error> {
        let (row, call_id) = (&asked.job, &self.request.call_id);
        // The question was recorded and its answer got lost on the way to the agent, which asks again. Not since a restore:
        // what the agent knows of the job may not have happened.
        if let Some(approval) = &asked.earlier
            && row.state == JobState::WaitingApproval
            && self.fence.epoch == self.epoch
            && self.fence.was_last(row)
            && approval.arguments_sha256 == self.digest
        {
            return Ok(About { approval: approval.clone(), write: None });
        }
        self.fence.check(&JobHead::from(row))?;
        if row.cancel_requested {
            let detail = "it is being cancelled; stop, and finish it as cancelled".into();
            return Err(Error::WrongState { job: row.id, state: row.state, detail });
        }
        match &asked.earlier {
            Some(approval) if approval.arguments_sha256 != self.digest => {
                let detail = format!(
                    "`{call_id}` was asked about before with other arguments (then {}, now {}); use a fresh call_id",
                    approval.arguments_sha256, self.digest
                );
                Err(Error::invalid("/call_id", detail))
            }
            Some(approval) if still_answers(approval, call_id, self.fence.attempt) => {
                let write = Write { approvals: vec![self.used(approval)], ..Write::new(row.clone(), Vec::new()) };
                Ok(About { approval: approval.clone(), write: Some(write) })
            }
            Some(approval) if approval.decision.is_none() => self.wait(row, approval.clone(), Vec::new()),
            _ => match &asked.unspent {
                Some(approval) => self.carry_over(row, approval),
                None => {
                    let approval = self.fresh();
                    let insert = vec![ApprovalChange::Insert(approval.clone())];
                    self.wait(row, approval, insert)
                }
            },
        }
    }

    fn fresh(&self) -> ApprovalRow {
        ApprovalRow {
            id: self.fresh_id,
            job_id: self.fence.job,
            call_id: self.request.call_id.clone(),
            tool: self.request.tool.clone(),
            arguments: self.arguments.clone(),
            arguments_sha256: self.digest.clone(),
            requested_at: self.now,
            decision: None,
            message: None,
            decided_by: None,
            decided_at: None,
            used_by: None,
            used_in: None,
            spent: false,
        }
    }

    fn used(&self, approval: &ApprovalRow) -> ApprovalChange {
        let (call_id, attempt) = (self.request.call_id.clone(), self.fence.attempt);
        ApprovalChange::Use { approval: approval.id, call_id, attempt }
    }

    /// The attempt is over, and the job waits for a person.
    fn wait(&self, row: &JobRow, approval: ApprovalRow, approvals: Vec<ApprovalChange>) -> Result<About, Error> {
        let body = EventBody::ApprovalRequested {
            approval_id: approval.id,
            call_id: self.request.call_id.clone(),
            tool: self.request.tool.clone(),
            arguments: self.request.arguments.clone(),
            arguments_sha256: self.digest.clone(),
        };
        let event = draft(Actor::Agent, row.attempt, self.now, body)?;
        let job = JobRow {
            state: JobState::WaitingApproval,
            message: Some(format!("waits for a decision on `{}`", approval.tool)),
            running_ms: self.ran_ms.unwrap_or(row.running_ms),
            updated_at: self.now,
            ..row.clone()
        };
        Ok(About { approval, write: Some(Write { approvals, ..Write::new(job, vec![event]) }) })
    }

    /// The decision on another call, which never began, answers this one. The log says so as it says everything decided.
    fn carry_over(&self, row: &JobRow, approval: &ApprovalRow) -> Result<About, Error> {
        let mut events = Vec::new();
        if let Some(decision) = view::decision(approval)? {
            let decided = EventBody::ApprovalDecided {
                approval_id: approval.id,
                call_id: self.request.call_id.clone(),
                decision,
                message: approval.message.clone(),
                arguments_sha256: approval.arguments_sha256.clone(),
            };
            events.push(draft(Actor::System, row.attempt, self.now, decided)?);
        }
        let write = Write { approvals: vec![self.used(approval)], ..Write::new(row.clone(), events) };
        Ok(About { approval: approval.clone(), write: Some(write) })
    }
}

/// Whether a decision is this call's: not another's meanwhile, and not one a call has begun with in an earlier attempt.
fn still_answers(approval: &ApprovalRow, call_id: &str, attempt: u32) -> bool {
    let is_its_own = approval.used_by.as_deref().is_none_or(|used_by| used_by == call_id);
    let may_begin = !approval.spent || approval.used_in == Some(attempt);
    approval.decision.is_some() && is_its_own && may_begin
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
