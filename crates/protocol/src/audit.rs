//! Who did what, for those who keep watch over it.

use domain::{EventHash, PrincipalId, RequestId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// One change that somebody made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Dense; the first entries go when they are older than `audit.retention_days`.
    pub seq: u64,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who did it.
    #[schema(value_type = uuid::Uuid)]
    pub principal: PrincipalId,
    /// What was done, such as `job.create`.
    #[schema(example = "token.create")]
    pub action: String,
    /// What it was done to.
    pub object: String,
    /// The `x-request-id` it was answered with.
    #[schema(value_type = uuid::Uuid)]
    pub request_id: RequestId,
    #[schema(value_type = String)]
    pub previous: EventHash,
    /// SHA-256 over the entry, `previous` and `seq` in canonical JSON (RFC 8785).
    #[schema(value_type = String)]
    pub hash: EventHash,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListAudit {
    /// Only this action, such as `token.create`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Only what this principal did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<uuid::Uuid>)]
    pub principal: Option<PrincipalId>,
    /// Only what was done to this object: the first word of it, such as a job's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// At most this many, 1 to 200. Default 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// Go on after an earlier page's `next_cursor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Whether the audit trail is what was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditVerification {
    pub intact: bool,
    /// That are sound, from the first one kept on.
    pub entries: u64,
    /// Entries up to here were removed by retention; 0 when none were. The chain is taken up from the hash of that one.
    pub removed_through: u64,
    /// The last sound entry. Kept elsewhere, it shows later whether the trail was cut short.
    pub head_seq: u64,
    #[schema(value_type = String)]
    pub head_hash: EventHash,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}
