//! Whether the files jobs produced are still what was stored.

use domain::JobId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CheckContent {
    /// Read all of it and compare it with its SHA-256. Otherwise only whether it is there in its full length.
    #[serde(default)]
    pub deep: bool,
    /// The `next_cursor` of an earlier page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A stretch of all content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContentCheck {
    /// How many artifacts were looked at.
    pub artifacts: u64,
    pub lost: Vec<LostContent>,
    /// Absent on the last page. A page may be short, or have none that are lost, and not be the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// An artifact whose content is missing or damaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LostContent {
    #[schema(value_type = uuid::Uuid)]
    pub job_id: JobId,
    pub artifact: String,
    pub bytes: u64,
    pub sha256: String,
    /// `missing`, or `damaged` and how that shows.
    pub condition: String,
}
