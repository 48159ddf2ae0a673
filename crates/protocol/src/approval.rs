//! A person's decision on one tool call.

use domain::{ApprovalId, JobId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    Approved,
    Denied,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Approval {
    #[schema(value_type = uuid::Uuid)]
    pub id: ApprovalId,
    #[schema(value_type = uuid::Uuid)]
    pub job_id: JobId,
    pub call_id: String,
    pub tool: String,
    pub arguments: serde_json::Value,
    /// SHA-256 over the RFC 8785 form of `{"arguments", "tool"}`.
    #[schema(value_type = crate::schema::Sha256)]
    pub arguments_sha256: String,
    #[schema(value_type = String, format = DateTime)]
    pub requested_at: Timestamp,
    /// Absent while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub decided_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListApprovals {
    /// Only those of this job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<uuid::Uuid>)]
    pub job_id: Option<JobId>,
    /// `true`: only those still waiting. `false`: only those decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<bool>,
    /// At most this many, 1 to 200. Default 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// Go on after an earlier page's `next_cursor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// The decision. `arguments_sha256` must be the one that was shown, so nobody approves something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecideApproval {
    pub decision: Decision,
    #[schema(value_type = crate::schema::Sha256)]
    pub arguments_sha256: String,
    /// Handed to the model: with a denial it says what to do instead. At most 2 KiB.
    #[schema(max_length = 2048)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
