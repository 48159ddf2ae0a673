//! Jobs as clients see them.

use crate::{CheckResult, WorkMode};
use domain::{Cursor, FailureReason, JobId, JobKind, JobState, PrincipalId, Priority, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What a user asks for. Only `kind` and `task` are required.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateJob {
    #[schema(value_type = crate::schema::JobKind)]
    pub kind: JobKind,
    /// What to do, in the user's words. At most 2 MiB of UTF-8.
    #[schema(min_length = 1, max_length = 2_097_152, example = "Explain what this program does.")]
    pub task: String,
    /// The source tree to work on. Without one the job starts in an empty workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
    /// `ask` only: write the answer to this file of the workspace (relative, inside it) and hand back the patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 4096)]
    pub write_file: Option<String>,
    /// `code` only: a command that makes the workspace ready, such as `npm ci`, as for `sh -c`. It runs once per workspace before
    /// everything else, with a network where the agent's configuration (`agents.setup_network`) and the job's `egress` allow it.
    /// What it leaves in ignored folders stays; what else it changes is put back. Where it fails the job fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 4096, example = "npm ci")]
    pub setup: Option<String>,
    /// `code` only: the command that tells whether the work is right, such as `pytest -q`, as for `sh -c`. It runs before the work
    /// and after each change, in the job's sandbox, and the job succeeds only when it passes. Default: found in the workspace by
    /// what lies there, where tools may run without asking (`approvals.run` is `auto`). `none`: no check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 4096, example = "pytest -q")]
    pub check: Option<String>,
    /// Logical model name (`default`, `code`, …) or `provider/model`. Default: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[!-~]{1,200}$")]
    pub route: Option<String>,
    /// `code` only: who decides what comes next. `free`: the model, in a loop of turns. `guided`: the agent, which shows the files,
    /// asks for new ones and checks them. Default: what does the model best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<WorkMode>,
    /// 0 to 9, higher first; one level is worth a minute of waiting. Default: 4.
    #[serde(default)]
    #[schema(value_type = u8, minimum = 0, maximum = 9, default = 4)]
    pub priority: Priority,
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    pub approvals: ApprovalPolicies,
    /// May this job's prompts leave the machine? May only tighten what the route allows. Default: `local_only`.
    #[serde(default)]
    pub egress: Egress,
}

impl CreateJob {
    /// A job with every default.
    pub fn new(kind: JobKind, task: impl Into<String>) -> Self {
        Self {
            kind,
            task: task.into(),
            repository: None,
            write_file: None,
            setup: None,
            check: None,
            route: None,
            mode: None,
            priority: Priority::DEFAULT,
            limits: Limits::default(),
            approvals: ApprovalPolicies::default(),
            egress: Egress::default(),
        }
    }
}

/// Where the work comes from. The agent clones or copies it and never writes to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// Absolute path, on the agent's machine, of a git repository or a plain folder; or the address of a git repository
    /// elsewhere, `https://…` or `ssh://…`, without a password or token in it (`http://…` from the machine itself only).
    ///
    /// A path is read with the rights of who asks. A token of scope `admin` may name any folder but a home folder itself and
    /// what is, contains or lies in a folder of devmesh's own; any other token only what lies under `agents.roots`, which is
    /// empty by default. An address must begin with one of `agents.remotes`, which is empty by default, whoever asks; and one
    /// of another machine needs an `egress` other than `local_only`. Otherwise: 403 `forbidden`.
    #[schema(max_length = 4096, pattern = "^(/|[A-Za-z]+://)", example = "/home/me/project")]
    pub path: String,
    /// Branch, tag or commit to start from. Default: what is checked out (`HEAD`). Not allowed for a plain folder.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub reference: Option<String>,
}

/// Where one job stops. Every limit has a default and a maximum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Model turns over all attempts. Default 50, at most 1,000.
    #[schema(minimum = 1, maximum = 1_000)]
    pub steps: u32,
    /// Input plus output tokens over all attempts. Default 1,000,000.
    #[schema(minimum = 1, maximum = 100_000_000)]
    pub tokens: u64,
    /// Money over all attempts, in millionths of a US dollar. Default 0: nothing that costs money.
    #[schema(maximum = 1_000_000_000)]
    pub cost_microusd: u64,
    /// From lease to end, over all attempts, in milliseconds. Default one hour, at most seven days.
    #[schema(minimum = 100, maximum = 604_800_000)]
    pub total_timeout_ms: u64,
    /// Longest silence of a running job (no event), in milliseconds. Default 10 minutes.
    #[schema(minimum = 100, maximum = 604_800_000)]
    pub idle_timeout_ms: u64,
    /// Longest run of one tool call, in milliseconds. Default 2 minutes.
    #[schema(minimum = 100, maximum = 86_400_000)]
    pub tool_timeout_ms: u64,
    /// Longest run of the job's check, and of its setup, in milliseconds; nine tenths of `idle_timeout_ms` where that is less.
    /// Default 5 minutes: a suite that takes longer is no answer to each change.
    #[schema(minimum = 100, maximum = 86_400_000)]
    pub check_timeout_ms: u64,
    /// How often the job may be started, the first time included. Default 5, at most 20.
    #[schema(minimum = 1, maximum = 20)]
    pub attempts: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            steps: 50,
            tokens: 1_000_000,
            cost_microusd: 0,
            total_timeout_ms: 3_600_000,
            idle_timeout_ms: 600_000,
            tool_timeout_ms: 120_000,
            check_timeout_ms: 300_000,
            attempts: 5,
        }
    }
}

/// Who decides on a tool call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalPolicy {
    /// The sandbox is enough; go ahead.
    #[default]
    Auto,
    /// A person decides on each call.
    Ask,
    /// The tool is not offered.
    Never,
}

/// One policy per tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalPolicies {
    /// Shell commands.
    pub run: ApprovalPolicy,
    /// Writing a file of the workspace.
    pub write_file: ApprovalPolicy,
}

/// May prompts leave the machine?
/// From the tightest to the widest: of two, the smaller one holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Egress {
    /// Only models on this machine or the private network.
    #[default]
    LocalOnly,
    /// Cloud models too, where the route allows them, with secrets replaced by placeholders. What cannot be checked for
    /// secrets does not leave.
    Redacted,
    /// Cloud models too, where the route allows them.
    Allowed,
}

impl Egress {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LocalOnly => "local_only",
            Self::Redacted => "redacted",
            Self::Allowed => "allowed",
        }
    }
}

/// One job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    #[schema(value_type = uuid::Uuid)]
    pub id: JobId,
    #[schema(value_type = crate::schema::JobState)]
    pub state: JobState,
    /// Why it failed; only in state `failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub reason: Option<FailureReason>,
    /// What to tell a person about the state it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What a queued job waits for besides its turn. Only told of one job, not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<WaitsFor>,
    #[schema(value_type = uuid::Uuid)]
    pub principal: PrincipalId,
    pub spec: CreateJob,
    /// How often it was started so far; the number of the latest attempt.
    pub attempt: u32,
    pub cancel_requested: bool,
    /// Where its log ends now.
    #[schema(value_type = crate::schema::Cursor)]
    pub head: Cursor,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<JobResult>,
    /// The job this one repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub retry_of: Option<JobId>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
}

impl Job {
    /// It was to change files, is over, and did not.
    pub fn changed_nothing(&self) -> bool {
        let has_patch = self.result.as_ref().is_some_and(|result| result.patch_artifact.is_some());
        self.spec.kind == JobKind::Code && self.state == JobState::Succeeded && !has_patch
    }
}

/// What keeps a queued job from being worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitsFor {
    /// No agent is connected to the backend.
    Agent,
}

/// What a job hands back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JobResult {
    /// The answer of an `ask`, or the closing words of a `code` job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Name of the artifact that holds the patch, when the workspace changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch_artifact: Option<String>,
    /// Commit the patch applies to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_commit: Option<String>,
    /// The branch name proposed for the patch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Where in the repository the job worked, relative to its top; absent for the top itself. The patch is always
    /// relative to the top.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subfolder: Option<String>,
    /// How the job's check ended; absent for a job without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckResult>,
    /// `provider/model` of every model that answered.
    pub models: Vec<String>,
    pub usage: Usage,
}

/// What a job used, over all attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Usage {
    pub steps: u32,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cost_microusd: u64,
    /// Time spent waiting for models, in milliseconds.
    pub model_ms: u64,
    /// Time spent in tool calls, in milliseconds.
    pub tool_ms: u64,
}

/// Filters of the job list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListJobs {
    /// Only jobs in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub state: Option<JobState>,
    /// Only jobs of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub kind: Option<JobKind>,
    /// Only jobs whose id begins with this (hex digits and dashes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(pattern = "^[0-9a-fA-F-]{0,36}$")]
    pub id_prefix: Option<String>,
    /// At most this many, 1 to 200. Default 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// Go on after an earlier page's `next_cursor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Why a job is being cancelled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelJob {
    /// Shown with the job. At most 2 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2048)]
    pub message: Option<String>,
}
