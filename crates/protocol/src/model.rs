//! Models, messages and streamed answers.

use crate::{Egress, Fallback, ModelProfile};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    System,
    User,
    Assistant,
    Tool,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChatMessage {
    pub role: Role,
    #[serde(default)]
    pub content: String,
    /// Of an assistant: what it asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Of a tool: which call this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

impl ChatMessage {
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), tool_calls: Vec::new(), tool_call_id: None }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    pub arguments: serde_json::Value,
}

/// A tool as a model is told of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolSpec {
    pub name: String,
    pub description: String,
    /// JSON Schema of the arguments.
    pub parameters: serde_json::Value,
}

/// Why a model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    Stop,
    /// `max_output_tokens` was reached: the answer is whole up to there and says so.
    Length,
    ToolCalls,
    ContentFilter,
}

impl FinishReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
        }
    }
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelAnswer {
    pub provider: String,
    pub model: String,
    pub content: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    pub finish_reason: FinishReason,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cost_microusd: u64,
    pub first_token_ms: u64,
    pub total_ms: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<Fallback>,
}

/// What a streamed model call is made of: one `started` per target that begins to answer, deltas, and exactly one of
/// `finished` and `failed` last. A stream that ends without either was cut and is no answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ModelStreamItem {
    Started { provider: String, model: String, why: String },
    Delta { text: String },
    Finished { answer: ModelAnswer },
    Failed { code: String, message: String, fallbacks: Vec<Fallback> },
}

/// One model that could answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Model {
    /// `provider/name`.
    pub id: String,
    pub provider: String,
    pub name: String,
    /// Where its prompts go.
    pub location: Location,
    /// Tokens that prompt and answer share; absent where the provider does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
    /// Answers conversations.
    pub chats: bool,
    /// Turns texts into vectors.
    pub embeds: bool,
    /// Looks at images.
    pub vision: bool,
    /// Understands tool calls by itself.
    pub native_tools: bool,
    /// Answers in a given JSON schema.
    pub structured_output: bool,
    /// Can be held to a grammar for its whole answer.
    #[serde(default)]
    pub grammar: bool,
    /// Ready to answer without a download.
    pub available: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// How it is built, as its file says: `qwen2`, `llama`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// What to know before using it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
    /// How to work with it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ModelProfile>,
}

impl Model {
    /// A model that chats, of which nothing else is known yet.
    pub fn new(provider: impl Into<String>, name: impl Into<String>, location: Location) -> Self {
        let (provider, name) = (provider.into(), name.into());
        Self {
            id: format!("{provider}/{name}"),
            provider,
            name,
            location,
            context_tokens: None,
            chats: true,
            embeds: false,
            vision: false,
            native_tools: false,
            structured_output: false,
            grammar: false,
            available: true,
            digest: None,
            architecture: None,
            size_bytes: None,
            notice: None,
            profile: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Location {
    /// On this machine or the private network.
    Local,
    Cloud,
}

/// A logical model name and where it leads, best first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Route {
    pub name: String,
    pub targets: Vec<Model>,
    /// Why the first target is the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Models {
    pub models: Vec<Model>,
    pub routes: Vec<Route>,
    /// Providers that are configured and did not answer, and why.
    pub unavailable: Vec<UnavailableProvider>,
    /// Providers in the cloud that are configured and were not asked, because the request's egress does not reach there.
    #[serde(default)]
    pub not_asked: Vec<String>,
}

/// How far a question about models goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AskModels {
    /// With `redacted` or `allowed`, providers in the cloud are asked too, as far as the token may. Default `local_only`: no
    /// request leaves the machine.
    #[serde(default)]
    pub egress: Egress,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnavailableProvider {
    pub provider: String,
    pub error: String,
}
