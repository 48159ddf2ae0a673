//! API tokens.

use crate::KeyPolicy;
use domain::{PrincipalId, Scope, Timestamp, TokenId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A token without its secret, which exists only in the answer that made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    #[schema(value_type = uuid::Uuid)]
    pub id: TokenId,
    #[schema(value_type = uuid::Uuid)]
    pub principal: PrincipalId,
    pub name: String,
    #[schema(value_type = crate::schema::Scope)]
    pub scope: Scope,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// From then on it opens nothing. Absent: it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// 1 to 64 printable characters.
    #[schema(min_length = 1, max_length = 64, example = "laptop")]
    pub name: String,
    #[schema(value_type = crate::schema::Scope)]
    pub scope: Scope,
    /// What it may do with models, from its first call on. Absent: whatever its scope may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<KeyPolicy>,
}

impl CreateToken {
    /// One that may do with models whatever its scope may.
    pub fn new(name: impl Into<String>, scope: Scope) -> Self {
        Self { name: name.into(), scope, policy: None }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedToken {
    #[serde(flatten)]
    pub token: Token,
    /// Shown this once.
    pub secret: String,
}
