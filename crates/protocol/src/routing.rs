//! Routes under a magnifying glass: dry runs, and the health of targets.

use crate::{Candidate, Egress, Location};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A call that is not made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExplainRoute {
    pub work: RouteWork,
    /// The call brings tools.
    pub tools: bool,
    /// The answer must fit a JSON schema.
    pub schema: bool,
    /// The call brings images.
    pub images: bool,
    /// Of the prompt; four make about one token. At most 1 GiB, far more than a call takes.
    #[schema(maximum = 1_073_741_824)]
    pub prompt_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u32>,
    /// Tighter than what the caller is allowed. Default: what the caller is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RouteWork {
    #[default]
    Chat,
    Embed,
}

/// Where such a call would go now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RouteExplanation {
    pub route: String,
    /// How the name was understood.
    pub rule: String,
    /// The egress that would hold, after route and caller.
    pub egress: Egress,
    /// In the order in which they would be asked.
    pub targets: Vec<ExplainedTarget>,
    /// Every target of the route, with why it would be asked or not.
    pub candidates: Vec<Candidate>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExplainedTarget {
    /// `provider/model`.
    pub target: String,
    pub why: String,
    pub location: Location,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
    /// In memory now. Absent where its provider does not know such a thing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loaded: Option<bool>,
    /// `closed`, `half_open` or `open`.
    pub breaker: String,
    pub in_flight: u64,
    /// Calls that wait for its provider.
    pub queue_waiting: u64,
    /// Until a call would begin, from how long calls took so far.
    pub queue_eta_ms: u64,
    /// How long it may be silent at first.
    pub first_token_timeout_ms: u64,
    /// Absent where the price is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_at_most_microusd: Option<u64>,
    /// Whether it goes on with an answer that another target began.
    pub continues_answers: bool,
    /// Why the caller's key may not use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_out: Option<String>,
}

/// How targets and queues do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Targets {
    /// Those that were asked since the backend started.
    pub targets: Vec<TargetHealth>,
    pub queues: Vec<QueueState>,
    /// Configured keys that their provider did not accept when it was last sent them.
    #[serde(default)]
    pub refused_keys: Vec<RefusedKey>,
}

/// Calls go out with the provider's other keys, where there are any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedKey {
    pub provider: String,
    /// Its place in the configuration, from 1.
    pub key: u64,
    pub of: u64,
    /// With which it is refused.
    pub status: u16,
    /// Since it was refused first.
    pub for_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TargetHealth {
    pub target: String,
    /// `closed`: it is asked. `open`: it is left alone. `half_open`: it is being probed.
    pub breaker: String,
    pub recent_calls: u64,
    pub recent_failures: u64,
    pub consecutive_failures: u64,
    /// Until it is probed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probed_in_ms: Option<u64>,
    pub times_opened: u64,
    /// It asked for a rest and has this much of it left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resting_ms: Option<u64>,
    pub in_flight: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueState {
    pub provider: String,
    pub active: u64,
    /// Calls it is given at once.
    pub slots: u64,
    pub waiting: u64,
    /// Until a call that came now would begin.
    pub eta_ms: u64,
}
