//! What agents say to the backend. Every call names its attempt and the epoch it was leased in, because attempt numbers come
//! again after a restore; a stale one is answered with 409 `stale_attempt`.

use crate::{ChatMessage, CreateJob, Decision, EventBody, JobResult, ToolSpec, Usage};
use domain::{ApprovalId, Cursor, Epoch, FailureReason, JobId, WorkerId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Ask for work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaseRequest {
    #[schema(value_type = uuid::Uuid)]
    pub worker_id: WorkerId,
    /// Shown to people. At most 128 bytes.
    #[schema(min_length = 1, max_length = 128, example = "workshop")]
    pub worker_name: String,
    /// Wait this long for a job, in milliseconds, at most 30,000. Default 0.
    #[serde(default)]
    #[schema(maximum = 30_000)]
    pub wait_ms: u64,
}

/// A job to work on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Lease {
    #[schema(value_type = uuid::Uuid)]
    pub job_id: JobId,
    /// Together with `attempt` the fencing token: both go with every call for this job.
    #[schema(value_type = crate::schema::Epoch)]
    pub epoch: Epoch,
    pub attempt: u32,
    pub spec: CreateJob,
    /// Which folders of the agent's machine the job may be about.
    #[serde(default)]
    pub folders: Folders,
    /// The lease is lost without a heartbeat within this many milliseconds.
    pub lease_ms: u64,
    /// What earlier attempts used; limits count it.
    pub usage: Usage,
    /// Milliseconds left of the job's total time.
    pub time_left_ms: u64,
    #[schema(value_type = crate::schema::Cursor)]
    pub head: Cursor,
}

/// Which folders a job may be about: those its creator may read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Folders {
    /// Those under `agents.roots`.
    #[default]
    Roots,
    /// Any but home folders themselves and devmesh's own: the owner of the mesh asked.
    Any,
}

impl Folders {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Roots => "roots",
            Self::Any => "any",
        }
    }

    /// What is not understood is the tighter one.
    pub fn parse(name: &str) -> Self {
        if name == Self::Any.as_str() { Self::Any } else { Self::Roots }
    }
}

/// Keep the lease, and hear what changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// That of the lease.
    #[schema(value_type = crate::schema::Epoch)]
    pub epoch: Epoch,
    pub attempt: u32,
    /// Answer when there is something to say, or after this many milliseconds; at most a third of the lease. Default 0.
    #[serde(default)]
    pub wait_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeartbeatAnswer {
    pub lease_ms: u64,
    pub control: Control,
}

/// What the backend wants of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    Continue,
    /// Stop the tool and the model call, then finish as `cancelled`.
    Cancel,
    /// A time limit passed: stop, then finish as `failed` with reason `timed_out`.
    TimeOut,
}

/// Append events under an attempt. A repeat of a batch already stored is harmless.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AppendEvents {
    /// That of the lease.
    #[schema(value_type = crate::schema::Epoch)]
    pub epoch: Epoch,
    pub attempt: u32,
    /// 1, 2, 3 … per attempt, one per batch.
    #[schema(minimum = 1)]
    pub producer_seq: u64,
    /// 1 to 256 events of the kinds an agent writes.
    #[schema(min_items = 1, max_items = 256)]
    pub events: Vec<EventBody>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Appended {
    /// The durable end of the log.
    #[schema(value_type = crate::schema::Cursor)]
    pub head: Cursor,
    /// This batch was stored by an earlier try.
    pub repeated: bool,
}

/// Ask a person. The attempt ends with this: the job waits without a worker and is leased again once decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestApproval {
    /// That of the lease.
    #[schema(value_type = crate::schema::Epoch)]
    pub epoch: Epoch,
    pub attempt: u32,
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    pub call_id: String,
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    pub tool: String,
    pub arguments: serde_json::Value,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalRequestedAnswer {
    #[schema(value_type = uuid::Uuid)]
    pub approval_id: ApprovalId,
    /// Present when this very call was decided before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The attempt is over and so is the job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FinishJob {
    /// That of the lease.
    #[schema(value_type = crate::schema::Epoch)]
    pub epoch: Epoch,
    pub attempt: u32,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Outcome {
    Succeeded {
        result: JobResult,
    },
    Failed {
        #[schema(value_type = crate::schema::FailureReason)]
        reason: FailureReason,
        message: String,
        #[serde(default)]
        result: JobResult,
    },
    Cancelled {
        #[serde(default)]
        result: JobResult,
    },
}

/// The attempt is over and the job is not: somebody else goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseJob {
    /// That of the lease.
    #[schema(value_type = crate::schema::Epoch)]
    pub epoch: Epoch,
    pub attempt: u32,
    /// What to tell people. At most 2 KiB.
    #[schema(max_length = 2048)]
    pub message: String,
    /// `true`: the attempt failed and counts against `limits.attempts`, with backoff. `false`: a plain hand-back.
    pub failed: bool,
}

/// Ask which of these jobs are still there. What an agent keeps for one that is not, it may remove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KnownJobsRequest {
    /// At most 1,000.
    #[schema(value_type = Vec<uuid::Uuid>, max_items = 1_000)]
    pub job_ids: Vec<JobId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KnownJobs {
    /// Which mesh answers, since its last restore: what cursors begin with.
    #[schema(value_type = crate::schema::Epoch)]
    pub epoch: Epoch,
    /// Those that were not deleted, in the order asked; a job that is over is known.
    #[schema(value_type = Vec<uuid::Uuid>)]
    pub known: Vec<JobId>,
}

/// One model call made for an attempt. The answer streams as SSE of [`crate::ModelStreamItem`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelCall {
    /// That of the lease.
    #[schema(value_type = crate::schema::Epoch)]
    pub epoch: Epoch,
    pub attempt: u32,
    /// Chosen by the agent, unique in the job. 1 to 64 of `A-Z a-z 0-9 . _ -`.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    pub call_id: String,
    /// `provider/model`: this target of the job's route and no other. Default: whichever the route comes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 512)]
    pub target: Option<String>,
    pub messages: Vec<ChatMessage>,
    /// Tools the model may call natively.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolSpec>,
    /// The answer must be JSON of this schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_schema: Option<serde_json::Value>,
    /// The whole answer keeps to this grammar, in the Lark form that llguidance reads, where the model that answers says
    /// `grammar`. The others are not told of it: what they write may be anything. At most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 65_536)]
    pub grammar: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}
