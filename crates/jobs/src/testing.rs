//! Rows for the unit tests of this crate.

use domain::{EventHash, JobId, JobState, PrincipalId, Timestamp};
use protocol::CreateJob;
use store::JobRow;

/// A job in its first attempt.
pub(crate) fn row(spec: serde_json::Value) -> JobRow {
    let now = Timestamp::from_millis(0);
    let spec: CreateJob = serde_json::from_value(spec).unwrap();
    JobRow {
        id: JobId::new(now),
        principal: PrincipalId::new(now),
        kind: spec.kind,
        state: JobState::Running,
        reason: None,
        message: None,
        spec: serde_json::to_string(&spec).unwrap(),
        result: None,
        usage: "{}".into(),
        priority: spec.priority.level(),
        rank: 0,
        not_before: None,
        attempt: 1,
        attempts_failed: 0,
        worker: None,
        worker_principal: None,
        producer_seq: 0,
        cancel_requested: false,
        retry_of: None,
        folders: "roots".into(),
        running_ms: 0,
        lease_epoch: None,
        head_seq: 2,
        head_hash: EventHash::START,
        revision: 1,
        created_at: now,
        updated_at: now,
        started_at: Some(now),
        finished_at: None,
    }
}
