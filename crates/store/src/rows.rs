//! What the tables hold, as the features see it. Ids, times and states are decided outside; nothing here has defaults.

mod models;
mod page;
mod profiles;

pub use models::{
    AccountSpend, BatchNumber, KeyPolicyRow, LedgerRow, ModelCallFilter, ModelCallRow, SpendCount, SpendKey,
};
pub use page::Page;
pub use profiles::ModelProfileRow;

use crate::limits;
use domain::{
    ApprovalId, CanonicalJson, Cursor, Epoch, EventHash, FailureReason, JobId, JobKind, JobState, PrincipalId,
    RequestId, Scope, Timestamp, TokenId, WorkerId,
};

#[derive(Clone, Debug, PartialEq)]
pub struct JobRow {
    pub id: JobId,
    pub principal: PrincipalId,
    pub kind: JobKind,
    pub state: JobState,
    pub reason: Option<FailureReason>,
    pub message: Option<String>,
    /// JSON. Never changes.
    pub spec: String,
    /// JSON.
    pub result: Option<String>,
    /// JSON.
    pub usage: String,
    pub priority: u8,
    /// `queued_at_ms - priority * Priority::LEVEL_MS`, lowest first: every job ages without its row being rewritten.
    pub rank: i64,
    /// Set: waits for that time (backoff). Not set: ready.
    pub not_before: Option<Timestamp>,
    pub attempt: u32,
    pub attempts_failed: u32,
    pub worker: Option<WorkerId>,
    pub worker_principal: Option<PrincipalId>,
    pub producer_seq: u64,
    pub cancel_requested: bool,
    pub retry_of: Option<JobId>,
    /// Which folders it may be about, by name. Never changes.
    pub folders: String,
    /// Running time of all finished attempts together, in milliseconds.
    pub running_ms: u64,
    /// The epoch its current or last attempt was leased in; `None` before the first.
    pub lease_epoch: Option<Epoch>,
    /// The last event's seq; 0 before the first. Kept by the store.
    pub head_seq: u64,
    /// The last event's hash. Kept by the store.
    pub head_hash: EventHash,
    /// Goes up with every insert and update of any job, never with an append. Kept by the store.
    pub revision: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
}

impl JobRow {
    /// Where the log ends, for a reader of this data folder.
    pub fn head(&self, epoch: Epoch) -> Cursor {
        Cursor { epoch, seq: self.head_seq }
    }
}

/// What appending to a job and reading its log need to know of it: its row without the documents, which may be megabytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobHead {
    pub principal: PrincipalId,
    pub state: JobState,
    pub attempt: u32,
    pub worker_principal: Option<PrincipalId>,
    pub producer_seq: u64,
    pub head_seq: u64,
    pub lease_epoch: Option<Epoch>,
}

impl From<&JobRow> for JobHead {
    fn from(job: &JobRow) -> Self {
        Self {
            principal: job.principal,
            state: job.state,
            attempt: job.attempt,
            worker_principal: job.worker_principal,
            producer_seq: job.producer_seq,
            head_seq: job.head_seq,
            lease_epoch: job.lease_epoch,
        }
    }
}

/// Which jobs to list, newest first.
#[derive(Clone, Debug)]
pub struct JobFilter {
    pub principal: Option<PrincipalId>,
    pub state: Option<JobState>,
    pub kind: Option<JobKind>,
    /// The beginning of an id as it is printed. What no id can begin with finds nothing.
    pub id_prefix: Option<String>,
    /// Only jobs older than this one: the last of the page before.
    pub before: Option<JobId>,
    /// At most, and by default, [`limits::ROWS_PER_PAGE`].
    pub limit: usize,
}

impl Default for JobFilter {
    fn default() -> Self {
        let limit = limits::ROWS_PER_PAGE;
        Self { principal: None, state: None, kind: None, id_prefix: None, before: None, limit }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    pub event_type: String,
    pub actor: &'static str,
    pub attempt: u32,
    pub at: Timestamp,
    pub payload: CanonicalJson,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    pub job_id: JobId,
    /// The epoch it was written in, which its hash covers. After a restore, older than the epoch of cursors.
    pub epoch: Epoch,
    pub seq: u64,
    pub event_type: String,
    pub actor: String,
    pub attempt: u32,
    pub at: Timestamp,
    pub payload: CanonicalJson,
    pub previous: EventHash,
    pub hash: EventHash,
}

impl EventRow {
    /// What the hash covers, for [`domain::verify_link`].
    pub fn link(&self) -> domain::Link<'_> {
        domain::Link {
            job_id: self.job_id,
            epoch: self.epoch,
            seq: self.seq,
            event_type: &self.event_type,
            actor: &self.actor,
            attempt: self.attempt,
            at: self.at,
            payload: &self.payload,
            previous: self.previous,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalRow {
    pub id: ApprovalId,
    pub job_id: JobId,
    pub call_id: String,
    pub tool: String,
    /// JSON.
    pub arguments: String,
    pub arguments_sha256: String,
    pub requested_at: Timestamp,
    pub decision: Option<String>,
    pub message: Option<String>,
    pub decided_by: Option<PrincipalId>,
    pub decided_at: Option<Timestamp>,
    /// The call the decision answered last. Kept by [`crate::Transaction::use_approval`].
    pub used_by: Option<String>,
    /// The attempt that was told of it then.
    pub used_in: Option<u32>,
    /// A call began on the strength of it, or ended: it answers no other. Kept by [`crate::Transaction::spend_approvals`].
    pub spent: bool,
}

/// Which approvals to list, newest first.
#[derive(Clone, Debug)]
pub struct ApprovalFilter {
    /// The principal whose job asks.
    pub principal: Option<PrincipalId>,
    pub job: Option<JobId>,
    /// `true`: only what waits for a decision. `false`: only what is decided.
    pub pending: Option<bool>,
    /// Only approvals older than this one: the last of the page before.
    pub before: Option<ApprovalId>,
    /// At most, and by default, [`limits::ROWS_PER_PAGE`].
    pub limit: usize,
}

impl Default for ApprovalFilter {
    fn default() -> Self {
        Self { principal: None, job: None, pending: None, before: None, limit: limits::ROWS_PER_PAGE }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactRow {
    pub job_id: JobId,
    pub name: String,
    pub media_type: String,
    pub bytes: u64,
    /// 64 lower-case hex digits; the name of a file in [`crate::Blobs`].
    pub sha256: String,
    pub attempt: u32,
    pub created_at: Timestamp,
}

/// Where an artifact stands in the order of content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentPlace {
    pub sha256: String,
    pub job_id: JobId,
    pub name: String,
}

impl ArtifactRow {
    pub fn place(&self) -> ContentPlace {
        ContentPlace { sha256: self.sha256.clone(), job_id: self.job_id, name: self.name.clone() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    pub id: TokenId,
    pub principal: PrincipalId,
    pub name: String,
    pub scope: Scope,
    pub secret_sha256: [u8; 32],
    pub created_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyRow {
    pub principal: PrincipalId,
    pub key: String,
    pub request_sha256: [u8; 32],
    pub answer: String,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    pub at: Timestamp,
    pub principal: PrincipalId,
    pub action: String,
    pub object: String,
    pub request_id: RequestId,
}

/// An audit row at its place in the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Dense.
    pub seq: u64,
    pub row: AuditRow,
    /// The hash of the entry before.
    pub previous: EventHash,
    pub hash: EventHash,
}

/// Which audit entries to list, newest first.
#[derive(Clone, Debug)]
pub struct AuditFilter {
    pub principal: Option<PrincipalId>,
    pub action: Option<String>,
    /// The first word of the object.
    pub object: Option<String>,
    /// Only entries before this seq: the last of the page before.
    pub before: Option<u64>,
    /// At most, and by default, [`limits::ROWS_PER_PAGE`].
    pub limit: usize,
}

impl Default for AuditFilter {
    fn default() -> Self {
        Self { principal: None, action: None, object: None, before: None, limit: limits::ROWS_PER_PAGE }
    }
}
