//! What became of one model call, and why.

use crate::{ChatMessage, Egress, ToolSpec};
use domain::{JobId, ModelCallId, PrincipalId, Timestamp};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use utoipa::{IntoParams, ToSchema};

/// One call with everything that was decided about it. No word of prompt or answer is in here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelCallRecord {
    #[schema(value_type = uuid::Uuid)]
    pub id: ModelCallId,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    #[schema(value_type = uuid::Uuid)]
    pub caller: PrincipalId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub job: Option<JobId>,
    /// The route or `provider/model` that was asked for.
    pub route: String,
    /// What the caller spoke: `openai_chat`, `anthropic`, …
    pub dialect: Cow<'static, str>,
    pub stream: bool,
    pub state: ModelCallState,
    /// Who answered, or is answering. Absent while nobody has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Every request that was made, in order.
    #[serde(default)]
    pub attempts: Vec<ModelAttempt>,
    /// Targets that were left for the next one.
    #[serde(default)]
    pub fallbacks: u32,
    /// Every target of the route, with why it was asked or not.
    #[serde(default)]
    pub candidates: Vec<Candidate>,
    /// The rule by which the answering target was chosen, as a sentence.
    #[serde(default)]
    pub rule: String,
    /// The egress rule that held, after route, key and caller.
    pub egress: Egress,
    /// Absent where nobody told and nobody could count, as for a request that was passed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<CallTokens>,
    /// Absent where the price is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_microusd: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_ms: Option<u64>,
    /// What was wrong with the answer itself: a broken schema, a malformed tool call, emptiness, a loop. Absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<String>,
    /// Answered from the response cache.
    #[serde(default)]
    pub cache_hit: bool,
    /// Fields of the request that could not be carried across dialects, by JSON pointer.
    #[serde(default)]
    pub lost_fields: Vec<String>,
    /// Secrets that became placeholders before the body left.
    #[serde(default)]
    pub redactions: u32,
    /// Why it failed; only in states `failed` and `cancelled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModelCallState {
    Running,
    Succeeded,
    Failed,
    /// The caller went, or its job was cancelled.
    Cancelled,
}

impl ModelCallState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A call of a model outside of a job. The answer streams as SSE of [`crate::ModelStreamItem`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateModelCall {
    /// A route or `provider/model`.
    #[schema(min_length = 1, max_length = 300)]
    pub route: String,
    /// How far its words may go; the token may allow less. Default `local_only`.
    #[serde(default)]
    pub egress: Egress,
    pub messages: Vec<ChatMessage>,
    /// Tools the model may call natively.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolSpec>,
    /// The answer must be JSON of this schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_schema: Option<serde_json::Value>,
    /// As in [`crate::ModelCall`].
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

/// One request to one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelAttempt {
    pub provider: String,
    pub model: String,
    /// How its words became the caller's: `fresh` as they are; `prefill` after what another target had said; `splice`
    /// once it had repeated that; `restart` without its thoughts.
    #[serde(default)]
    pub mode: Cow<'static, str>,
    pub outcome: AttemptOutcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    Answered,
    /// Failed before anything of it was passed on.
    Failed,
    /// Began to answer and was cut; what came was passed on.
    Cut,
    /// Answered, and the answer was not good enough.
    Poor,
    Cancelled,
}

impl AttemptOutcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Cut => "cut",
            Self::Poor => "poor",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A target that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Candidate {
    /// `provider/model`.
    pub target: String,
    /// Whether it passed every filter.
    pub kept: bool,
    /// The filter that dropped it, or what the score is made of.
    pub why: String,
    /// Higher is asked earlier. Absent for one that was dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

/// Tokens as the provider counted them, over all attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CallTokens {
    /// Of the whole prompt, cached parts included.
    pub input: u64,
    /// Of it, read from the provider's cache.
    pub cached_input: u64,
    /// Of it, written to the provider's cache.
    pub cache_write: u64,
    /// Of the answer, thinking included.
    pub output: u64,
    /// Of it, thinking.
    pub reasoning: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListModelCalls {
    /// Only those made for this job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<uuid::Uuid>)]
    pub job_id: Option<JobId>,
    /// Only calls whose id begins with this (hex digits and dashes).
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
