//! Files a job produced, kept by their digest.

use domain::{JobId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Artifact {
    #[schema(value_type = uuid::Uuid)]
    pub job_id: JobId,
    /// 1 to 128 of `A-Z a-z 0-9 . _ -`, not beginning with a dot.
    pub name: String,
    pub media_type: String,
    pub bytes: u64,
    /// 64 hex digits.
    #[schema(value_type = crate::schema::Sha256)]
    pub sha256: String,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}
