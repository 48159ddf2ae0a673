//! The body of `POST /chat/completions`.

use super::OutputLimit;
use crate::ChatRequest;
use crate::provider::plain_number;
use protocol::{ChatMessage, Role};
use serde_json::{Value, json};

pub(super) fn body(request: &ChatRequest, output_limit: OutputLimit) -> Value {
    let mut body = json!({
        "model": request.model,
        "messages": request.messages.iter().map(message).collect::<Value>(),
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    if !request.tools.is_empty() {
        body["tools"] = request.tools.iter().map(|tool| json!({"type": "function", "function": tool})).collect();
    }
    if let Some(schema) = &request.response_schema {
        // `strict` holds the model to the schema, and is refused for schemas outside the strict subset.
        body["response_format"] = json!({
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema, "strict": is_strict(schema)},
        });
    }
    if let Some(tokens) = request.max_output_tokens {
        let key = match output_limit {
            OutputLimit::MaxTokens => "max_tokens",
            OutputLimit::MaxCompletionTokens => "max_completion_tokens",
        };
        body[key] = json!(tokens);
    }
    if let Some(temperature) = request.temperature {
        body["temperature"] = plain_number(temperature);
    }
    if let Some(seed) = request.seed {
        body["seed"] = json!(seed);
    }
    body
}

fn message(message: &ChatMessage) -> Value {
    let mut wire = json!({"role": message.role.as_str(), "content": message.content});
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().map(|call| {
            // What was not JSON when the model said it goes back as it was.
            let arguments = match &call.arguments {
                Value::String(text) => text.clone(),
                arguments => arguments.to_string(),
            };
            json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
        });
        wire["tool_calls"] = calls.collect();
        if message.content.is_empty() {
            wire["content"] = Value::Null;
        }
    }
    if let (Role::Tool, Some(id)) = (message.role, &message.tool_call_id) {
        wire["tool_call_id"] = json!(id);
    }
    wire
}

/// Whether every object says that it has all its properties and no others: the strict subset's rule for objects.
fn is_strict(schema: &Value) -> bool {
    let own = schema["type"] != "object" || {
        let properties = schema["properties"].as_object();
        let required = schema["required"].as_array();
        schema["additionalProperties"] == json!(false)
            && properties.is_none_or(|properties| {
                properties.keys().all(|name| required.is_some_and(|all| all.iter().any(|one| one == name.as_str())))
            })
    };
    own && match schema {
        Value::Object(parts) => parts.values().all(is_strict),
        Value::Array(parts) => parts.iter().all(is_strict),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{Egress, ToolCall, ToolSpec};

    fn request() -> ChatRequest {
        ChatRequest {
            model: "gpt".to_owned(),
            messages: vec![ChatMessage::new(Role::User, "Look.")],
            tools: Vec::new(),
            response_schema: None,
            max_output_tokens: Some(100),
            temperature: Some(0.7),
            seed: None,
            egress: Egress::Allowed,
        }
    }

    #[test]
    fn a_conversation_with_tools_in_openais_words() {
        let mut request = request();
        let call = |id: &str, arguments| ToolCall { id: id.to_owned(), name: "shell".to_owned(), arguments };
        request.messages.push(ChatMessage {
            tool_calls: vec![call("a", json!({"command": "ls"})), call("b", json!("not { json"))],
            ..ChatMessage::new(Role::Assistant, "")
        });
        request
            .messages
            .push(ChatMessage { tool_call_id: Some("a".to_owned()), ..ChatMessage::new(Role::Tool, "README.md") });
        request.tools = vec![ToolSpec {
            name: "shell".to_owned(),
            description: "Runs a command.".to_owned(),
            parameters: json!({"type": "object"}),
        }];
        let expected = json!({
            "model": "gpt", "stream": true, "stream_options": {"include_usage": true},
            "max_tokens": 100, "temperature": 0.7,
            "messages": [
                {"role": "user", "content": "Look."},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "shell", "arguments": "{\"command\":\"ls\"}"}},
                    {"id": "b", "type": "function", "function": {"name": "shell", "arguments": "not { json"}},
                ]},
                {"role": "tool", "content": "README.md", "tool_call_id": "a"},
            ],
            "tools": [{"type": "function", "function": {
                "name": "shell", "description": "Runs a command.", "parameters": {"type": "object"},
            }}],
        });
        assert_eq!(body(&request, OutputLimit::MaxTokens), expected);
        assert_eq!(body(&request, OutputLimit::MaxCompletionTokens)["max_completion_tokens"], 100);
    }

    #[test]
    fn a_schema_is_strict_where_it_can_be() {
        let strict = json!({
            "type": "object", "required": ["a"], "additionalProperties": false,
            "properties": {"a": {"type": "array", "items": {"type": "string"}}},
        });
        let mut loose = strict.clone();
        loose["required"] = json!([]);
        let sent = |schema: &Value| {
            let request = ChatRequest { response_schema: Some(schema.clone()), ..request() };
            body(&request, OutputLimit::MaxTokens)["response_format"]["json_schema"].clone()
        };
        assert_eq!(sent(&strict), json!({"name": "answer", "schema": strict, "strict": true}));
        assert_eq!(sent(&loose)["strict"], false);
    }
}
