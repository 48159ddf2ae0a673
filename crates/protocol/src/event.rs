//! The typed events of a job's log.

use crate::{CheckOutcome, Decision, JobResult, Limits, ToolCall, Usage};
use domain::{ApprovalId, Cursor, Epoch, EventHash, FailureReason, JobId, JobState, Timestamp, WorkerId};
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::{IntoParams, ToSchema};

/// One entry of a job's log as it travels: the type stays text and the payload stays JSON, so a reader passes on types
/// it has never heard of. [`Event::body`] is the typed view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub cursor: Cursor,
    pub job_id: JobId,
    /// The epoch it was written in, which its hash covers. Another one than the cursor's after a restore.
    pub epoch: Epoch,
    pub seq: u64,
    pub at: Timestamp,
    pub actor: Actor,
    /// The attempt it was written for; 0 for what happened outside any attempt.
    pub attempt: u32,
    #[serde(rename = "type")]
    pub event_type: String,
    pub payload: serde_json::Value,
    /// The hash of the event before this one.
    pub previous: EventHash,
    pub hash: EventHash,
}

impl Event {
    /// The typed payload; `None` for a type or shape this build does not know.
    pub fn body(&self) -> Option<EventBody> {
        EventBody::from_parts(&self.event_type, self.payload.clone()).ok()
    }
}

/// How [`Event`] is described in the OpenAPI file: the same object with its type and payload spelled out.
#[derive(ToSchema)]
#[schema(as = Event)]
#[expect(dead_code, reason = "exists for its schema")]
pub struct EventSchema {
    /// `epoch.seq` of this event: read on after it.
    #[schema(example = "5f0c21ab.17")]
    cursor: String,
    job_id: uuid::Uuid,
    /// The epoch it was written in, which its hash covers. Another one than the cursor's after a restore.
    #[schema(example = "5f0c21ab")]
    epoch: String,
    /// 1, 2, 3 … without gaps.
    seq: u64,
    #[schema(format = DateTime)]
    at: String,
    #[schema(inline)]
    actor: Actor,
    attempt: u32,
    /// SHA-256 of the event before, 64 hex digits; zeros for the first.
    previous: String,
    /// SHA-256 over the RFC 8785 form of all other stored fields.
    hash: String,
    #[schema(inline)]
    #[serde(flatten)]
    body: EventBody,
}

/// Who wrote an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A person or their program, through the API.
    User,
    /// The agent that holds the attempt.
    Agent,
    /// The backend itself.
    System,
}

impl Actor {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Agent => "agent",
            Self::System => "system",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::User, Self::Agent, Self::System].into_iter().find(|actor| actor.as_str() == text)
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", content = "payload")]
pub enum EventBody {
    /// A user asked for a job. Its specification is in the job itself.
    #[serde(rename = "job.created")]
    JobCreated { kind: String, task: String, priority: u8, limits: Limits, retry_of: Option<String> },
    /// A worker took the job: a new attempt begins.
    #[serde(rename = "job.leased")]
    JobLeased {
        #[schema(value_type = uuid::Uuid)]
        worker_id: WorkerId,
        worker_name: String,
        /// How long the lease holds without a heartbeat, in milliseconds.
        lease_ms: u64,
    },
    /// The attempt ended without a result and the job waits again.
    #[serde(rename = "job.requeued")]
    JobRequeued {
        cause: RequeueCause,
        message: String,
        /// Not before this many milliseconds have passed.
        delay_ms: u64,
    },
    /// Somebody wants the job to end. The agent stops what it is doing; `closed` follows.
    #[serde(rename = "job.cancel_requested")]
    JobCancelRequested { message: Option<String> },
    /// What protects the machine from this attempt's tool calls, and what does not.
    #[serde(rename = "sandbox.ready")]
    SandboxReady { kind: String, protections: Vec<Protection> },
    /// The working copy is there.
    #[serde(rename = "workspace.prepared")]
    WorkspacePrepared {
        /// Commit the patch will apply to.
        base_commit: String,
        /// Step commit of an earlier attempt this one goes on from.
        resumed_from: Option<String>,
        branch: String,
        files: u64,
        /// Where the step commits of this attempt live, on the agent's machine.
        location: String,
    },
    /// The workspace after a tool call, kept under a hidden ref: a crash loses no more than the step after it.
    #[serde(rename = "workspace.checkpoint")]
    WorkspaceCheckpoint { commit: String, step: u32 },
    /// A model call begins.
    #[serde(rename = "model.started")]
    ModelStarted {
        call_id: String,
        route: String,
        provider: String,
        model: String,
        /// Why this target: the rule that decided, in words.
        why: String,
        /// Said of a model that is not meant for real work.
        notice: Option<String>,
    },
    /// More of the answer: 20–50 ms or 1 KiB of it.
    #[serde(rename = "model.delta")]
    ModelDelta { call_id: String, text: String },
    /// The whole answer and what it took.
    #[serde(rename = "model.finished")]
    ModelFinished {
        call_id: String,
        route: String,
        provider: String,
        model: String,
        content: String,
        tool_calls: Vec<ToolCall>,
        finish_reason: String,
        input_tokens: u64,
        output_tokens: u64,
        cost_microusd: u64,
        first_token_ms: u64,
        total_ms: u64,
        fallbacks: Vec<Fallback>,
    },
    /// The call gave no whole answer. Nothing partial is ever reported as finished.
    #[serde(rename = "model.failed")]
    ModelFailed { call_id: String, code: String, message: String, fallbacks: Vec<Fallback> },
    /// A tool call begins. The arguments are what was approved and what is run.
    #[serde(rename = "tool.started")]
    ToolStarted { call_id: String, tool: String, arguments: serde_json::Value },
    /// What the tool printed.
    #[serde(rename = "tool.output")]
    ToolOutput { call_id: String, stream: OutputStream, text: String },
    /// A tool call ended.
    #[serde(rename = "tool.finished")]
    ToolFinished {
        call_id: String,
        outcome: ToolOutcome,
        /// Exit code of the command, when it ended by itself.
        exit_code: Option<i32>,
        duration_ms: u64,
        /// What the model is shown: head and tail past 10,000 characters.
        output: String,
        /// Bytes the model is not shown.
        omitted_bytes: u64,
        /// The artifact with all of it, when something was left out.
        artifact: Option<String>,
    },
    /// The job's check begins: before the work, and after each change.
    #[serde(rename = "check.started")]
    CheckStarted {
        check_id: String,
        command: String,
        /// Who named it, or what it was found by, in words.
        why: String,
        /// The workspace it is about, as `workspace.checkpoint` names it.
        commit: String,
    },
    /// The check ended.
    #[serde(rename = "check.finished")]
    CheckFinished {
        check_id: String,
        commit: String,
        outcome: CheckOutcome,
        /// Exit code of the command, when it ended by itself.
        exit_code: Option<i32>,
        duration_ms: u64,
        /// Tests that passed and that did not, where the output says so.
        passed: Option<u64>,
        failed: Option<u64>,
        /// What the model is shown of its output: where the first failure begins, and the end.
        output: String,
        /// Bytes the model is not shown.
        omitted_bytes: u64,
        /// Files it changed or made that are part of the work; they were put back.
        undone_files: u64,
    },
    /// The agent guides the model from here on: it chose what the model sees, asks for whole files and does the rest by itself.
    #[serde(rename = "guided.started")]
    GuidedStarted {
        /// The workspace it begins at, as `workspace.checkpoint` names it.
        commit: String,
        /// What the model is shown, the most important last.
        files: Vec<GuidedFile>,
        /// How many are tried at most.
        candidates: u32,
    },
    /// Another answer is asked for, in the workspace of this step.
    #[serde(rename = "candidate.started")]
    CandidateStarted {
        /// From 1.
        candidate: u32,
        /// How many are tried at most.
        of: u32,
        /// 1 for a fresh one; above that, what failed is handed back to its model.
        round: u32,
        /// The one function that it writes anew. Absent where it may change all files that may change.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        function: Option<GuidedFunction>,
        /// How much chance there is in the words. Absent for a model that chooses by itself.
        temperature: Option<f64>,
        commit: String,
    },
    /// No candidate passed: the files are those of this one, or as they were where none is named.
    #[serde(rename = "candidate.kept")]
    CandidateKept { candidate: Option<u32>, round: Option<u32>, commit: String },
    /// A model did not get on, and the next one of the job's route takes over.
    #[serde(rename = "model.escalated")]
    ModelEscalated {
        /// `provider/model`.
        from: String,
        to: String,
        /// What the first one came to.
        why: String,
        /// The workspace the second one begins at.
        commit: String,
    },
    /// The job waits for a person.
    #[serde(rename = "approval.requested")]
    ApprovalRequested {
        #[schema(value_type = uuid::Uuid)]
        approval_id: ApprovalId,
        call_id: String,
        tool: String,
        arguments: serde_json::Value,
        /// SHA-256 over the RFC 8785 form of `{"arguments", "tool"}`: the decision holds for exactly these.
        #[schema(value_type = crate::schema::Sha256)]
        arguments_sha256: String,
    },
    /// A person decided.
    #[serde(rename = "approval.decided")]
    ApprovalDecided {
        #[schema(value_type = uuid::Uuid)]
        approval_id: ApprovalId,
        call_id: String,
        decision: Decision,
        message: Option<String>,
        #[schema(value_type = crate::schema::Sha256)]
        arguments_sha256: String,
    },
    /// A file the job produced.
    #[serde(rename = "artifact.created")]
    ArtifactCreated { name: String, media_type: String, bytes: u64, sha256: String },
    /// What the job used so far.
    #[serde(rename = "budget.updated")]
    BudgetUpdated { usage: Usage },
    /// The agent tells what it does beyond model and tools: a nudge to the model, an interrupted call, a retry.
    #[serde(rename = "agent.note")]
    AgentNote { message: String },
    /// The last event of every log.
    #[serde(rename = "closed")]
    Closed {
        #[schema(value_type = crate::schema::JobState)]
        state: JobState,
        #[schema(value_type = Option<String>)]
        reason: Option<FailureReason>,
        message: Option<String>,
        result: Option<JobResult>,
    },
}

impl EventBody {
    /// The type name and the payload apart, as the log stores them.
    pub fn into_parts(self) -> Result<(String, serde_json::Value), serde_json::Error> {
        #[derive(Deserialize)]
        struct Parts {
            r#type: String,
            payload: serde_json::Value,
        }
        let Parts { r#type, payload } = serde_json::from_value(serde_json::to_value(self)?)?;
        Ok((r#type, payload))
    }

    /// The event of these parts.
    pub fn from_parts(event_type: &str, payload: serde_json::Value) -> Result<Self, serde_json::Error> {
        serde_json::from_value(serde_json::json!({"type": event_type, "payload": payload}))
    }

    /// Whether an agent may append this. Everything else is written by the backend as part of what it decided.
    pub fn is_agents_to_write(&self) -> bool {
        matches!(
            self,
            Self::SandboxReady { .. }
                | Self::WorkspacePrepared { .. }
                | Self::WorkspaceCheckpoint { .. }
                | Self::ToolStarted { .. }
                | Self::ToolOutput { .. }
                | Self::ToolFinished { .. }
                | Self::CheckStarted { .. }
                | Self::CheckFinished { .. }
                | Self::GuidedStarted { .. }
                | Self::CandidateStarted { .. }
                | Self::CandidateKept { .. }
                | Self::ModelEscalated { .. }
                | Self::BudgetUpdated { .. }
                | Self::AgentNote { .. }
        )
    }
}

/// A file that a guided model is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GuidedFile {
    pub path: String,
    /// `false`: it is only read, as tests are.
    pub may_change: bool,
}

/// A function that a guided model writes anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GuidedFunction {
    pub path: String,
    pub name: String,
}

/// Why a job waits again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequeueCause {
    /// No heartbeat within the lease.
    LeaseLost,
    /// The worker is going away and handed the job back.
    Released,
    /// The attempt failed in a way that another one may not.
    AttemptFailed,
    /// A person decided; the job can go on.
    Decided,
}

/// One layer of the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Protection {
    /// `landlock`, `seccomp`, `sockets`, `network`, `user`, `rlimits`, `memory`, `processes`, `environment`.
    pub name: String,
    pub active: bool,
    /// What it holds back, or why it is not active here.
    pub detail: String,
}

/// A target that was tried and did not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fallback {
    pub provider: String,
    pub model: String,
    pub error: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputStream {
    Stdout,
    Stderr,
}

/// How a tool call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolOutcome {
    Succeeded,
    Failed,
    TimedOut,
    Cancelled,
    /// A person or the policy said no.
    Denied,
    /// The agent died while it ran; whether it had an effect is not known.
    Interrupted,
}

/// Which events to read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListEvents {
    /// Everything after this cursor. Default: from the start. `Last-Event-ID` says the same for SSE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(pattern = "^[0-9a-f]{8}\\.(0|[1-9][0-9]*)$", example = "5f0c21ab.17")]
    pub after: Option<String>,
    /// JSON pages only: at most this many events, 1 to 1,000. Default 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 1_000)]
    pub limit: Option<u32>,
    /// JSON pages only: with nothing to read yet, wait this long for something, in milliseconds, at most 30,000. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(maximum = 30_000)]
    pub wait_ms: Option<u64>,
}

/// A stretch of a job's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventPage {
    #[schema(value_type = Vec<EventSchema>)]
    pub events: Vec<Event>,
    /// Read on from here.
    #[schema(value_type = crate::schema::Cursor)]
    pub next_cursor: Cursor,
    /// Where the log ended when this page was read.
    #[schema(value_type = crate::schema::Cursor)]
    pub head: Cursor,
    /// `events` ends with the `closed` event: there will never be more.
    pub closed: bool,
}

/// The reader's cursor cannot be honoured. Nothing was skipped silently: begin again from `resume_from`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Reset {
    pub reason: ResetReason,
    /// The oldest position that can be read from.
    #[schema(value_type = crate::schema::Cursor)]
    pub resume_from: Cursor,
    #[schema(value_type = crate::schema::Cursor)]
    pub head: Cursor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResetReason {
    /// The data was restored from a backup, or its folder copied, since the cursor was handed out.
    EpochChanged,
}

/// After "because".
impl fmt::Display for ResetReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EpochChanged => f.write_str("the data was restored from a backup or a copy"),
        }
    }
}

/// The chain of one job, recomputed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VerifyReport {
    #[schema(value_type = uuid::Uuid)]
    pub job_id: JobId,
    pub intact: bool,
    /// How many events were recomputed.
    pub events: u64,
    /// How many artifacts were read and found whole.
    #[serde(default)]
    pub artifacts: u64,
    #[schema(value_type = crate::schema::Cursor)]
    pub head: Cursor,
    /// Hash of the last event.
    #[schema(value_type = crate::schema::Sha256)]
    pub head_hash: EventHash,
    /// The first event that does not fit, or artifact that is not what was handed in, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken_at: Option<BrokenLink>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BrokenLink {
    /// Of the event; of an artifact, the one it was handed in with, or 0 where the log has none.
    pub seq: u64,
    /// Set when it is an artifact's content that is broken, and not the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<String>,
    pub detail: String,
}
