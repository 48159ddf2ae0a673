//! A person decides on one tool call.
//!
//! The decision is bound to the SHA-256 of exactly what was shown, holds for one call of one job, is made once, and is a
//! row like any other: it survives restarts, and the attempt that asked need not be there any more.

use crate::{
    Caller, Error, Handle,
    command::audit,
    event::draft,
    lifecycle::{Failure, requeue},
    validate::{Mistakes, shortened},
    view,
};
use domain::{ApprovalId, CanonicalJson, JobState, Scope};
use protocol::{Actor, Approval, ApprovalPage, DecideApproval, Decision, EventBody, List, ListApprovals, RequeueCause};
use sha2::{Digest, Sha256};
use std::time::Duration;
use store::{About, ApprovalChange, ApprovalFilter, ApprovalRow, JobRow, Write};
use tokio::time::Instant;

/// SHA-256 over the RFC 8785 form of `{"arguments", "tool"}`, 64 hex digits: what a decision is bound to.
pub fn arguments_sha256(tool: &str, arguments: &serde_json::Value) -> Result<String, Error> {
    let canonical = CanonicalJson::of(&serde_json::json!({"arguments": arguments, "tool": tool}))?;
    Ok(hex::encode(Sha256::digest(canonical.as_str())))
}

impl Handle {
    /// Newest first.
    pub async fn approvals(&self, caller: &Caller, query: ListApprovals) -> Result<ApprovalPage, Error> {
        let page = List::Approvals.query(query.limit, query.cursor.as_deref())?;
        let filter = ApprovalFilter {
            principal: caller.lists_only()?,
            job: query.job_id,
            pending: query.pending,
            before: page.after,
            limit: page.limit,
        };
        let found = self.shared.store.page_of_approvals(filter).await?;
        let next_cursor = found.last_if_more().map(|last| List::Approvals.cursor_after(last.id));
        let approvals =
            found.rows.into_iter().filter_map(|row| view::pass_over(view::approval(row))).collect::<Result<_, _>>()?;
        Ok(ApprovalPage { approvals, next_cursor })
    }

    /// Decides, once. The job goes back into the queue at the place it had. The same decision again is harmless.
    pub async fn decide(&self, caller: &Caller, id: ApprovalId, decide: DecideApproval) -> Result<Approval, Error> {
        caller.must_be(Scope::User)?;
        let mut mistakes = Mistakes::default();
        mistakes.message("/message", decide.message.as_deref().unwrap_or_default());
        mistakes.into_result()?;

        let (caller, now) = (*caller, self.shared.now());
        let (here, at) = (self.shared.clone(), Instant::now());
        let decide = move |row: &JobRow, approval: &ApprovalRow| {
            if !caller.sees(row) {
                return Err(no_approval(id).into());
            }
            if decide.arguments_sha256 != approval.arguments_sha256 {
                let (given, shown) = (shortened(&decide.arguments_sha256), &approval.arguments_sha256);
                let detail = format!(
                    "is `{given}`, but this approval is about `{shown}`; look at its tool and arguments again and send that"
                );
                return Err(Error::invalid("/arguments_sha256", detail).into());
            }
            let wrong_state = |detail: String| Error::WrongState { job: row.id, state: row.state, detail };
            if let Some(earlier) = view::decision(approval)? {
                if earlier == decide.decision && approval.message == decide.message {
                    return Ok(About { approval: approval.clone(), write: None });
                }
                let earlier = decision_name(earlier);
                let detail = format!("approval {id} was decided already ({earlier}), and a decision is made once");
                return Err(wrong_state(detail).into());
            }
            if row.state != JobState::WaitingApproval {
                return Err(wrong_state(format!("it does not wait for approval {id} any more")).into());
            }
            let approval = ApprovalRow {
                decision: Some(decision_name(decide.decision).to_owned()),
                message: decide.message.clone(),
                decided_by: Some(caller.principal),
                decided_at: Some(now),
                ..approval.clone()
            };
            let decided = EventBody::ApprovalDecided {
                approval_id: id,
                call_id: approval.call_id.clone(),
                decision: decide.decision,
                message: decide.message.clone(),
                arguments_sha256: approval.arguments_sha256.clone(),
            };
            let decided = draft(Actor::User, row.attempt, now, decided)?;
            let message = format!("{} `{}`", decision_name(decide.decision), approval.tool);
            let again = Failure { cause: RequeueCause::Decided, message: &message, delay: Duration::ZERO };
            let mut job = row.clone();
            let requeued = requeue(&mut job, now, &again)?;
            here.keep_back(&mut job, now, at);
            let write = Write {
                job,
                events: vec![decided, requeued],
                approvals: vec![ApprovalChange::Decide(approval.clone())],
                audit: Some(audit(
                    &caller,
                    now,
                    "approval.decide",
                    format_args!("{id} ({}, job {})", decision_name(decide.decision), row.id),
                )),
            };
            Ok(About { approval, write: Some(write) })
        };
        self.carry_through(async move |shared| {
            let decided = shared.store.decide_approval(id, Box::new(decide)).await?;
            let (approval, changed) = decided.ok_or_else(|| no_approval(id))?;
            if changed.wrote {
                shared.kept_back(&changed.job);
                shared.queued(&changed.job);
            }
            view::approval(approval)
        })
        .await
    }
}

fn no_approval(id: ApprovalId) -> Error {
    Error::NotFound { what: "approval", id: id.to_string() }
}

pub(crate) fn decision_name(decision: Decision) -> &'static str {
    match decision {
        Decision::Approved => "approved",
        Decision::Denied => "denied",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_digest_is_that_of_the_canonical_object() {
        let digest = arguments_sha256("run", &json!({"command": "ls", "a": 1.0})).unwrap();
        let canonical = r#"{"arguments":{"a":1,"command":"ls"},"tool":"run"}"#;
        assert_eq!(digest, hex::encode(Sha256::digest(canonical)));
        assert_ne!(digest, arguments_sha256("run", &json!({"command": "ls ", "a": 1})).unwrap());
        assert_ne!(digest, arguments_sha256("write_file", &json!({"command": "ls", "a": 1})).unwrap());
    }
}
