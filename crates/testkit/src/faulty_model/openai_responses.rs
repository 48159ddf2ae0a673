//! Responses, after OpenAI's published API reference: numbered events, exactly one of them terminal.

use super::{
    answer::{Answer, CREATED_S, Kind, Piece, fragments, words},
    conversation::offered,
    openai_chat,
    reply::Refusal,
};
use protocol::FinishReason;
use serde_json::{Value, json};

pub(super) fn stream(answer: &Answer<'_>) -> Vec<Piece> {
    let reply = answer.reply;
    let mut events = Events::default();
    let begun = response(answer, "in_progress", json!([]), Value::Null);
    events.say(Kind::Metadata, json!({"type": "response.created", "response": begun}));
    events.say(Kind::Metadata, json!({"type": "response.in_progress", "response": begun}));
    if !reply.thinking.is_empty() {
        events.reasoning(answer);
    }
    if !reply.text.is_empty() {
        events.message(answer);
    }
    for index in 0..reply.tools.len() {
        events.call(answer, index);
    }
    let last = whole(answer, true);
    let name = format!("response.{}", last["status"].as_str().unwrap_or_default());
    events.say(Kind::Done, json!({"type": name, "response": last}));
    events.pieces
}

/// Numbers every event, and the items they are about.
#[derive(Default)]
struct Events {
    pieces: Vec<Piece>,
    output_index: usize,
}

impl Events {
    fn say(&mut self, kind: Kind, mut event: Value) {
        event["sequence_number"] = json!(self.pieces.len());
        self.pieces.push(Piece::event(kind, &event));
    }

    /// About a part of the item that is being made.
    fn about(&mut self, kind: Kind, item: &str, mut event: Value) {
        event["item_id"] = json!(item);
        event["output_index"] = json!(self.output_index);
        self.say(kind, event);
    }

    fn added(&mut self, kind: Kind, item: Value) {
        let index = self.output_index;
        self.say(kind, json!({"type": "response.output_item.added", "output_index": index, "item": item}));
    }

    fn done(&mut self, item: Value) {
        let index = self.output_index;
        self.say(Kind::Metadata, json!({"type": "response.output_item.done", "output_index": index, "item": item}));
        self.output_index += 1;
    }

    fn reasoning(&mut self, answer: &Answer<'_>) {
        let (id, text) = (answer.id("rs_"), &answer.reply.thinking);
        self.added(Kind::Metadata, json!({"id": id, "type": "reasoning", "summary": []}));
        let part = |text: &str| json!({"type": "summary_text", "text": text});
        let event = |name: &str, field: &str, value: Value| json!({"type": format!("response.reasoning_summary_{name}"), "summary_index": 0, field: value});
        self.about(Kind::Metadata, &id, event("part.added", "part", part("")));
        words(text).for_each(|word| self.about(Kind::Token, &id, event("text.delta", "delta", json!(word))));
        self.about(Kind::Metadata, &id, event("text.done", "text", json!(text)));
        self.about(Kind::Metadata, &id, event("part.done", "part", part(text)));
        self.done(reasoning_item(answer));
    }

    fn message(&mut self, answer: &Answer<'_>) {
        let (id, text) = (answer.id("msg_"), &answer.reply.text);
        let item = json!({"id": id, "type": "message", "status": "in_progress", "role": "assistant", "content": []});
        self.added(Kind::Metadata, item);
        let event = |name: &str, field: &str, value: Value| json!({"type": format!("response.{name}"), "content_index": 0, field: value});
        self.about(Kind::Metadata, &id, event("content_part.added", "part", output_text("")));
        for word in words(text) {
            let mut delta = event("output_text.delta", "delta", json!(word));
            delta["logprobs"] = json!([]);
            self.about(Kind::Token, &id, delta);
        }
        let mut whole = event("output_text.done", "text", json!(text));
        whole["logprobs"] = json!([]);
        self.about(Kind::Metadata, &id, whole);
        self.about(Kind::Metadata, &id, event("content_part.done", "part", output_text(text)));
        self.done(message_item(answer));
    }

    fn call(&mut self, answer: &Answer<'_>, index: usize) {
        let (name, arguments) = &answer.reply.tools[index];
        let whole = call_item(answer, index);
        let mut opening = whole.clone();
        opening["status"] = json!("in_progress");
        if whole["type"] == "custom_tool_call" {
            opening["input"] = json!("");
            self.added(Kind::Token, opening);
            self.custom_input(&answer.call_id("ctc_", index), &whole["input"]);
            return self.done(whole);
        }
        opening["arguments"] = json!("");
        self.added(Kind::Token, opening);
        let id = answer.call_id("fc_", index);
        for fragment in fragments(arguments) {
            let delta = json!({"type": "response.function_call_arguments.delta", "delta": fragment});
            self.about(Kind::Token, &id, delta);
        }
        let done = json!({
            "type": "response.function_call_arguments.done", "name": name, "arguments": arguments.to_string(),
        });
        self.about(Kind::Metadata, &id, done);
        self.done(whole);
    }

    fn custom_input(&mut self, id: &str, input: &Value) {
        for word in words(input.as_str().unwrap_or_default()) {
            self.about(Kind::Token, id, json!({"type": "response.custom_tool_call_input.delta", "delta": word}));
        }
        self.about(Kind::Metadata, id, json!({"type": "response.custom_tool_call_input.done", "input": input}));
    }
}

pub(super) fn whole(answer: &Answer<'_>, done: bool) -> Value {
    let reply = answer.reply;
    let mut output = Vec::new();
    if !reply.thinking.is_empty() {
        output.push(reasoning_item(answer));
    }
    if !reply.text.is_empty() {
        output.push(message_item(answer));
    }
    output.extend((0..reply.tools.len()).map(|index| call_item(answer, index)));
    let (status, reason) = match answer.finish() {
        _ if !done => ("in_progress", None),
        FinishReason::Stop | FinishReason::ToolCalls => ("completed", None),
        FinishReason::Length => ("incomplete", Some("max_output_tokens")),
        FinishReason::ContentFilter => ("incomplete", Some("content_filter")),
    };
    let mut response = response(answer, status, json!(output), if done { usage(answer) } else { Value::Null });
    if let Some(reason) = reason {
        response["incomplete_details"] = json!({"reason": reason});
    }
    response
}

fn reasoning_item(answer: &Answer<'_>) -> Value {
    let summary = json!([{"type": "summary_text", "text": answer.reply.thinking}]);
    json!({"id": answer.id("rs_"), "type": "reasoning", "summary": summary})
}

fn message_item(answer: &Answer<'_>) -> Value {
    let status = match answer.finish() {
        FinishReason::Stop | FinishReason::ToolCalls => "completed",
        FinishReason::Length | FinishReason::ContentFilter => "incomplete",
    };
    let content = json!([output_text(&answer.reply.text)]);
    json!({"id": answer.id("msg_"), "type": "message", "status": status, "role": "assistant", "content": content})
}

fn call_item(answer: &Answer<'_>, index: usize) -> Value {
    let (name, arguments) = &answer.reply.tools[index];
    let offered = offered(answer.request).into_iter().find(|tool| tool.name == *name);
    let (namespace, is_custom) = offered.map_or((None, false), |tool| (tool.namespace, tool.is_custom));
    let mut item = json!({
        "id": answer.call_id(if is_custom { "ctc_" } else { "fc_" }, index), "status": "completed", "name": name,
        "call_id": answer.call_id("call_", index),
    });
    if let Some(namespace) = namespace {
        item["name"] = json!(name.strip_prefix(namespace.as_str()).unwrap_or(name).trim_start_matches("__"));
        item["namespace"] = json!(namespace);
    }
    if is_custom {
        (item["type"], item["input"]) = (json!("custom_tool_call"), arguments["input"].clone());
    } else {
        (item["type"], item["arguments"]) = (json!("function_call"), json!(arguments.to_string()));
    }
    item
}

fn output_text(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

fn response(answer: &Answer<'_>, status: &str, output: Value, usage: Value) -> Value {
    let asked = |field: &str, default: Value| answer.request.get(field).cloned().unwrap_or(default);
    json!({
        "id": answer.id("resp_"), "object": "response", "created_at": CREATED_S, "status": status, "error": null,
        "incomplete_details": null, "instructions": asked("instructions", Value::Null),
        "max_output_tokens": asked("max_output_tokens", Value::Null), "model": answer.model, "output": output,
        "parallel_tool_calls": asked("parallel_tool_calls", json!(true)), "previous_response_id": null,
        "reasoning": {"effort": null, "summary": null}, "service_tier": "default",
        "store": asked("store", json!(true)), "temperature": asked("temperature", json!(1.0)),
        "text": asked("text", json!({"format": {"type": "text"}})), "tool_choice": asked("tool_choice", json!("auto")),
        "tools": asked("tools", json!([])), "top_p": asked("top_p", json!(1.0)), "truncation": "disabled",
        "usage": usage, "metadata": {},
    })
}

fn usage(answer: &Answer<'_>) -> Value {
    let (input, output) = answer.usage();
    json!({
        "input_tokens": input, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": answer.thinking_tokens()}, "total_tokens": input + output,
    })
}

/// An error event, and the one terminal event, which says the same.
pub(super) fn failure(answer: &Answer<'_>, sent: usize, message: &str) -> Vec<Piece> {
    let mut failed = response(answer, "failed", json!([]), Value::Null);
    failed["error"] = json!({"code": "server_error", "message": message});
    let event = json!({
        "type": "error", "code": "server_error", "message": message, "param": null, "sequence_number": sent,
    });
    let last = json!({"type": "response.failed", "response": failed, "sequence_number": sent + 1});
    vec![Piece::event(Kind::Finish, &event), Piece::event(Kind::Done, &last)]
}

pub(super) fn refuse(refusal: &Refusal, model: &str, _window: u64) -> (u16, Value) {
    let refused = |message: &str, param: &str, code: &str| {
        (400, openai_chat::error(message, "invalid_request_error", json!(param), json!(code)))
    };
    match refusal {
        Refusal::Overflow => refused(
            "Your input exceeds the context window of this model. Please adjust your input and try again.",
            "input",
            "context_length_exceeded",
        ),
        Refusal::Filtered => refused(
            "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
            "input",
            "invalid_prompt",
        ),
        other => openai_chat::refuse_alike(other, model),
    }
}
