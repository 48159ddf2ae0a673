//! What is asked, by whom, and how far it may go.

use crate::{
    Conversation,
    conversation::{Format, Message, Part, Tool},
    dialect::Asked,
    plan::Placement,
    telemetry::TraceContext,
};
use domain::{JobId, ModelCallId, PrincipalId};
use protocol::{ChatMessage, Egress, Role, ToolSpec};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// One call of a model.
#[derive(Clone, Debug)]
pub struct Call {
    pub id: ModelCallId,
    /// A configured route, `default`, `provider/model`, or a model's bare name.
    pub route: String,
    /// `provider/model`: this target of the route and no other.
    pub target: Option<String>,
    pub asked: Arc<Asked>,
    /// What the caller allows; the route may allow less.
    pub egress: Egress,
    pub placement: Placement,
    /// For everything, from now.
    pub deadline: Option<Duration>,
    /// An equal request that was answered a while ago may answer this one, where the route keeps answers.
    pub use_cache: bool,
    /// Nothing is passed on before the answer is whole and verified.
    pub buffered: bool,
    pub caller: Caller,
    /// The span of the caller that this call is part of.
    pub parent: Option<TraceContext>,
}

/// On whose account.
#[derive(Clone, Debug)]
pub struct Caller {
    pub principal: PrincipalId,
    pub job: Option<JobId>,
    /// What the key allows at most.
    pub max_output_tokens: Option<u32>,
    /// Once it is cancelled nothing more is answered. A new one where nothing can be revoked.
    pub revoked: CancellationToken,
}

impl Caller {
    /// With nothing but their own account.
    pub fn new(principal: PrincipalId) -> Self {
        Self { principal, job: None, max_output_tokens: None, revoked: CancellationToken::new() }
    }
}

impl Call {
    /// With everything else at its default and no way out of the machine.
    pub fn new(id: ModelCallId, route: impl Into<String>, asked: Arc<Asked>, caller: Caller) -> Self {
        Self {
            id,
            route: route.into(),
            target: None,
            asked,
            egress: Egress::LocalOnly,
            placement: Placement::Auto,
            deadline: None,
            use_cache: false,
            buffered: false,
            caller,
            parent: None,
        }
    }
}

/// A conversation as devmesh's own agents hold it.
#[derive(Clone, Debug, Default)]
pub struct OwnRequest {
    pub messages: Vec<ChatMessage>,
    pub tools: Vec<ToolSpec>,
    pub response_schema: Option<Value>,
    /// Only where there is no schema.
    pub grammar: Option<String>,
    pub max_output_tokens: Option<u32>,
    pub temperature: Option<f32>,
    pub seed: Option<u64>,
}

impl OwnRequest {
    /// For `route`.
    pub fn asked(self, route: &str) -> Asked {
        let json = |value: &Value| value.to_string().len();
        let messages = self.messages.iter().map(|message| {
            message.content.len() + message.tool_calls.iter().map(|call| json(&call.arguments)).sum::<usize>()
        });
        let tools = self.tools.iter().map(|tool| tool.description.len() + json(&tool.parameters));
        let prompt_bytes = messages.chain(tools).sum();
        let conversation = Conversation {
            messages: self.messages.into_iter().map(message).collect(),
            tools: self
                .tools
                .into_iter()
                .map(|tool| Tool {
                    name: tool.name,
                    description: tool.description,
                    parameters: tool.parameters,
                    strict: None,
                })
                .collect(),
            format: match (self.response_schema, self.grammar) {
                (Some(schema), _) => Format::Schema { name: "answer".to_owned(), schema, strict: None },
                (None, Some(grammar)) => Format::Grammar(grammar),
                (None, None) => Format::Text,
            },
            max_output_tokens: self.max_output_tokens,
            temperature: self.temperature,
            seed: self.seed,
            ..Conversation::default()
        };
        Asked::own(route.to_owned(), conversation, prompt_bytes)
    }
}

fn message(message: ChatMessage) -> Message {
    if let (Role::Tool, Some(call_id)) = (message.role, message.tool_call_id) {
        let result = Part::ToolResult { call_id, parts: vec![Part::Text(message.content)], is_error: false };
        return Message { role: Role::Tool, parts: vec![result] };
    }
    let mut parts = Vec::new();
    if !message.content.is_empty() || message.tool_calls.is_empty() {
        parts.push(Part::Text(message.content));
    }
    parts.extend(message.tool_calls.into_iter().map(|call| Part::ToolCall {
        id: call.id,
        name: call.name,
        arguments: match call.arguments {
            // What a model got wrong once is kept as the text it wrote.
            Value::String(text) => text,
            other => other.to_string(),
        },
    }));
    Message { role: message.role, parts }
}
