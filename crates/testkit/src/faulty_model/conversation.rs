//! What a request offers and tells, the same whatever its dialect. For replies that depend on it.

use super::Received;
use serde_json::Value;

/// A tool as a request declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// As a function is called: within a namespace `namespace__name`.
    pub name: String,
    /// Of Responses: where the function lies.
    pub namespace: Option<String>,
    /// Of Responses: its input is a text.
    pub is_custom: bool,
}

impl Received {
    /// The tools offered, in their order.
    pub fn tools(&self) -> Vec<Offered> {
        offered(&self.body)
    }

    /// What tools answered so far, in their order.
    pub fn results(&self) -> Vec<String> {
        let turns = self.body.get("messages").or_else(|| self.body.get("input"));
        let mut results = Vec::new();
        for turn in list(turns.unwrap_or(&Value::Null)) {
            if turn["role"] == "tool" {
                results.push(text(&turn["content"]));
            } else if turn["type"] == "function_call_output" || turn["type"] == "custom_tool_call_output" {
                results.push(text(&turn["output"]));
            } else {
                let of_anthropic = list(&turn["content"]).iter().filter(|part| part["type"] == "tool_result");
                results.extend(of_anthropic.map(|part| text(&part["content"])));
            }
        }
        results
    }
}

pub(super) fn offered(request: &Value) -> Vec<Offered> {
    let mut tools = Vec::new();
    for tool in list(&request["tools"]) {
        let named = tool["function"]["name"].as_str().or(tool["name"].as_str()).unwrap_or_default();
        if tool["type"] == "namespace" {
            for inner in list(&tool["tools"]) {
                let name = inner["name"].as_str().unwrap_or_default();
                let name = format!("{}__{name}", named.trim_end_matches("__"));
                let is_custom = inner["type"] == "custom";
                tools.push(Offered { name, namespace: Some(named.to_owned()), is_custom });
            }
        } else if !named.is_empty() {
            tools.push(Offered { name: named.to_owned(), namespace: None, is_custom: tool["type"] == "custom" });
        }
    }
    tools
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        parts => list(parts).iter().filter_map(|part| part["text"].as_str()).collect(),
    }
}
