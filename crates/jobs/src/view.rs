//! Rows as clients see them.

use crate::{Error, event::stored};
use domain::{Cursor, Epoch};
use protocol::{Approval, Artifact, Decision, Job};
use store::{ApprovalRow, ArtifactRow, JobRow};

/// `None` instead of what cannot be read, which is logged: a list goes on without it.
pub(crate) fn pass_over<T>(viewed: Result<T, Error>) -> Option<Result<T, Error>> {
    match viewed.as_ref().err().and_then(Error::unreadable) {
        Some(row) => {
            row.log_once();
            None
        }
        None => Some(viewed),
    }
}

pub(crate) fn job(row: JobRow, epoch: Epoch) -> Result<Job, Error> {
    Ok(Job {
        spec: stored(row.id, "specification", &row.spec)?,
        result: row.result.as_deref().map(|text| stored(row.id, "result", text)).transpose()?,
        id: row.id,
        state: row.state,
        reason: row.reason,
        message: row.message,
        waits_for: None,
        principal: row.principal,
        attempt: row.attempt,
        cancel_requested: row.cancel_requested,
        head: Cursor { epoch, seq: row.head_seq },
        retry_of: row.retry_of,
        created_at: row.created_at,
        updated_at: row.updated_at,
        started_at: row.started_at,
        finished_at: row.finished_at,
    })
}

pub(crate) fn approval(row: ApprovalRow) -> Result<Approval, Error> {
    Ok(Approval {
        arguments: stored(row.job_id, "approval", &row.arguments)?,
        decision: decision(&row)?,
        id: row.id,
        job_id: row.job_id,
        call_id: row.call_id,
        tool: row.tool,
        arguments_sha256: row.arguments_sha256,
        requested_at: row.requested_at,
        message: row.message,
        decided_at: row.decided_at,
    })
}

pub(crate) fn decision(row: &ApprovalRow) -> Result<Option<Decision>, Error> {
    let Some(text) = row.decision.as_deref() else { return Ok(None) };
    let quoted = serde_json::Value::from(text);
    serde_json::from_value(quoted).map(Some).map_err(|error| Error::Unreadable {
        job: row.job_id,
        what: "decision",
        detail: error.to_string(),
    })
}

pub(crate) fn artifact(row: ArtifactRow) -> Artifact {
    Artifact {
        job_id: row.job_id,
        name: row.name,
        media_type: row.media_type,
        bytes: row.bytes,
        sha256: row.sha256,
        created_at: row.created_at,
    }
}
