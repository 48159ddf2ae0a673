//! The body of `POST /api/chat`.

use crate::ChatRequest;
use crate::provider::plain_number;
use protocol::{ChatMessage, Role};
use serde_json::{Value, json};
use std::time::Duration;

pub(super) fn body(request: &ChatRequest, context_tokens: u64, keep_alive: Duration, remote: bool) -> Value {
    let mut options = json!({"num_ctx": context_tokens});
    if let Some(tokens) = request.max_output_tokens {
        options["num_predict"] = json!(tokens);
    }
    if let Some(temperature) = request.temperature {
        options["temperature"] = plain_number(temperature);
    }
    if let Some(seed) = request.seed {
        options["seed"] = json!(seed);
    }
    let mut body = json!({
        "model": request.model,
        "messages": messages(&request.messages),
        "stream": true,
        "truncate": false,
        "shift": false,
        "keep_alive": format!("{}s", keep_alive.as_secs()),
        "options": options,
    });
    if !request.tools.is_empty() {
        let tools = request.tools.iter().map(|tool| json!({"type": "function", "function": tool}));
        body["tools"] = tools.collect();
        // Ollama says nothing while it gathers a tool call, which can take minutes. With this each token gives a line,
        // so that a model at work can be told from one that hangs. Hosts in the cloud need not know the field.
        if !remote {
            body["logprobs"] = json!(true);
        }
    }
    if let Some(schema) = &request.response_schema {
        body["format"] = schema.clone();
    }
    body
}

fn messages(messages: &[ChatMessage]) -> Value {
    // A result names its tool here and not only its call.
    let name_of = |id: &str| {
        let mut calls = messages.iter().flat_map(|message| &message.tool_calls);
        calls.find(|call| call.id == id).map(|call| call.name.clone())
    };
    messages
        .iter()
        .map(|message| {
            let mut wire = json!({"role": message.role.as_str(), "content": message.content});
            if !message.tool_calls.is_empty() {
                let calls = message.tool_calls.iter().map(|call| {
                    // Ollama takes objects only; what a model got wrong once must still be sent back to it.
                    let arguments = if call.arguments.is_object() {
                        call.arguments.clone()
                    } else {
                        json!({"arguments": call.arguments})
                    };
                    json!({"id": call.id, "function": {"name": call.name, "arguments": arguments}})
                });
                wire["tool_calls"] = calls.collect();
            }
            if let (Role::Tool, Some(id)) = (message.role, &message.tool_call_id) {
                wire["tool_call_id"] = json!(id);
                if let Some(name) = name_of(id) {
                    wire["tool_name"] = json!(name);
                }
            }
            wire
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{Egress, ToolCall, ToolSpec};

    #[test]
    fn a_conversation_with_tools_in_ollamas_words() {
        let call = |id: &str, arguments: Value| ToolCall { id: id.to_owned(), name: "shell".to_owned(), arguments };
        let request = ChatRequest {
            model: "qwen3:8b".to_owned(),
            messages: vec![
                ChatMessage::new(Role::System, "Be brief."),
                ChatMessage::new(Role::User, "Look."),
                ChatMessage {
                    tool_calls: vec![call("a", json!({"command": "ls"})), call("b", json!("not { json"))],
                    ..ChatMessage::new(Role::Assistant, "")
                },
                ChatMessage { tool_call_id: Some("a".to_owned()), ..ChatMessage::new(Role::Tool, "README.md") },
            ],
            tools: vec![ToolSpec {
                name: "shell".to_owned(),
                description: "Runs a command.".to_owned(),
                parameters: json!({"type": "object"}),
            }],
            response_schema: Some(json!({"type": "object"})),
            max_output_tokens: Some(100),
            temperature: Some(0.2),
            seed: Some(7),
            egress: Egress::LocalOnly,
        };
        let expected = json!({
            "model": "qwen3:8b",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Look."},
                {"role": "assistant", "content": "", "tool_calls": [
                    {"id": "a", "function": {"name": "shell", "arguments": {"command": "ls"}}},
                    {"id": "b", "function": {"name": "shell", "arguments": {"arguments": "not { json"}}},
                ]},
                {"role": "tool", "content": "README.md", "tool_call_id": "a", "tool_name": "shell"},
            ],
            "stream": true, "truncate": false, "shift": false, "keep_alive": "1800s", "logprobs": true,
            "options": {"num_ctx": 16384, "num_predict": 100, "temperature": 0.2, "seed": 7},
            "tools": [{"type": "function", "function": {
                "name": "shell", "description": "Runs a command.", "parameters": {"type": "object"},
            }}],
            "format": {"type": "object"},
        });
        assert_eq!(body(&request, 16384, Duration::from_secs(1800), false), expected);
    }
}
