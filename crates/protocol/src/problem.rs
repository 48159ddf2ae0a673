//! RFC 9457 problems: every error of `/api` has this shape.

use domain::ErrorCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The media type of a [`Problem`].
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The page that explains the code: `/api/errors/<code>`.
    pub r#type: String,
    pub title: String,
    pub status: u16,
    /// What happened, the value seen, and what to do next.
    pub detail: String,
    #[schema(value_type = crate::schema::ErrorCode)]
    pub code: ErrorCode,
    /// The same id stands in the answer's `x-request-id` and in the log.
    pub request_id: String,
    /// Where in the request, one entry per mistake.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// `invalid_cursor` and `cursor_ahead`: where reading can start again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<crate::Reset>,
    /// `producer_gap`: the `producer_seq` expected next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_producer_seq: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// RFC 6901 pointer into the body, or the parameter's name.
    pub pointer: String,
    pub detail: String,
}
