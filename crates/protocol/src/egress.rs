//! What left the machine, for those who keep watch over it.

use domain::{JobId, ModelCallId, PrincipalId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One body that went to a cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EgressEntry {
    /// Dense, from 1.
    pub seq: u64,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    #[schema(value_type = uuid::Uuid)]
    pub call_id: ModelCallId,
    #[schema(value_type = uuid::Uuid)]
    pub principal: PrincipalId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub job: Option<JobId>,
    pub provider: String,
    pub model: String,
    /// Of the bytes that left, after redaction.
    #[schema(value_type = crate::schema::Sha256)]
    pub body_sha256: String,
    pub body_bytes: u64,
    /// Secrets that became placeholders in it.
    pub redactions: u32,
    /// Why it went there.
    pub reason: String,
    pub prev_hash: String,
    /// SHA-256 over the entry, `prev_hash` and `seq` in canonical JSON (RFC 8785).
    pub hash: String,
}

/// Whether the ledger is what was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EgressVerification {
    pub intact: bool,
    /// That are sound, from the first one on.
    pub entries: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}
