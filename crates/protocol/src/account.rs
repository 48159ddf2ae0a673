//! What a key may do, and what it has used.

use crate::Egress;
use domain::{PrincipalId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the holder of a key may do with models. A field that is absent limits nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeyPolicy {
    /// The only models it may use: `provider/model`, or a beginning of it and `*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<crate::schema::Names>>)]
    pub models: Option<Vec<String>>,
    /// The only routes it may ask for by name; a `*` at the end stands for any ending.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<crate::schema::Names>>)]
    pub routes: Option<Vec<String>>,
    /// How far its prompts may go. Only ever tightens what route and caller allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
    /// Calls begun within a minute. At least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub requests_per_minute: Option<u64>,
    /// Input and output tokens of the calls begun within a minute. At least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub tokens_per_minute: Option<u64>,
    /// Calls that run at once. At least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub concurrent_requests: Option<u32>,
    /// Longest answer of one call: more is lowered to this. At least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub max_output_tokens: Option<u32>,
    /// Input and output tokens within `budget_window`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_tokens: Option<u64>,
    /// Millionths of a US dollar within `budget_window`. 0: nothing that costs money.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_microusd: Option<u64>,
    /// When both budgets begin anew. Default `total`.
    pub budget_window: BudgetWindow,
    /// From then on the token opens nothing, model calls or otherwise; lies ahead when the policy is put.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

/// When a budget begins anew; days and months are those of UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BudgetWindow {
    /// Never.
    #[default]
    Total,
    Day,
    Month,
}

impl BudgetWindow {
    pub const ALL: [Self; 3] = [Self::Total, Self::Day, Self::Month];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

/// What was used within a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Spend {
    /// Input and output.
    pub tokens: u64,
    pub microusd: u64,
    pub requests: u64,
}

impl Spend {
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(other.tokens),
            microusd: self.microusd.saturating_add(other.microusd),
            requests: self.requests.saturating_add(other.requests),
        }
    }
}

/// What a key may do and how much of it is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyAccount {
    #[schema(value_type = uuid::Uuid)]
    pub principal: PrincipalId,
    pub policy: KeyPolicy,
    pub total: Spend,
    pub day: Spend,
    pub month: Spend,
    /// Held back for the calls that run now.
    pub reserved_tokens: u64,
    pub reserved_microusd: u64,
    pub running_requests: u32,
}

impl KeyAccount {
    /// Of a key that nobody limited and nobody used.
    pub fn unused(principal: PrincipalId) -> Self {
        Self {
            principal,
            policy: KeyPolicy::default(),
            total: Spend::default(),
            day: Spend::default(),
            month: Spend::default(),
            reserved_tokens: 0,
            reserved_microusd: 0,
            running_requests: 0,
        }
    }
}
