//! Messages, after Anthropic's published API reference.

use super::{
    answer::{Answer, Kind, Piece, fragments, words},
    reply::Refusal,
};
use protocol::FinishReason;
use serde_json::{Value, json};

/// Opaque to everybody but the vendor.
const SIGNATURE: &str = "EqQBCgIYAhIM/testkit+signature/byte+for+byte==";

pub(super) fn stream(answer: &Answer<'_>) -> Vec<Piece> {
    let reply = answer.reply;
    let mut start = message(answer, json!([]), false);
    start["usage"]["output_tokens"] = json!(1);
    let mut blocks = Blocks::default();
    blocks.say(Kind::Metadata, &json!({"type": "message_start", "message": start}));
    if !reply.thinking.is_empty() {
        blocks.open(Kind::Metadata, json!({"type": "thinking", "thinking": "", "signature": ""}));
        words(&reply.thinking).for_each(|word| blocks.token(json!({"type": "thinking_delta", "thinking": word})));
        blocks.delta(Kind::Metadata, json!({"type": "signature_delta", "signature": SIGNATURE}));
        blocks.close();
    }
    if !reply.text.is_empty() {
        blocks.open(Kind::Metadata, json!({"type": "text", "text": ""}));
        words(&reply.text).for_each(|word| blocks.token(json!({"type": "text_delta", "text": word})));
        blocks.close();
    }
    for (index, (name, arguments)) in reply.tools.iter().enumerate() {
        let id = answer.call_id("toolu_", index);
        blocks.open(Kind::Token, json!({"type": "tool_use", "id": id, "name": name, "input": {}}));
        blocks.delta(Kind::Metadata, json!({"type": "input_json_delta", "partial_json": ""}));
        for fragment in fragments(arguments) {
            blocks.token(json!({"type": "input_json_delta", "partial_json": fragment}));
        }
        blocks.close();
    }
    let (_, output) = answer.usage();
    let delta = json!({"stop_reason": stop_reason(answer.finish()), "stop_sequence": null});
    let last = json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": output}});
    blocks.say(Kind::Finish, &last);
    blocks.say(Kind::Done, &json!({"type": "message_stop"}));
    blocks.pieces
}

/// Content blocks are numbered, and one is closed before the next opens.
#[derive(Default)]
struct Blocks {
    pieces: Vec<Piece>,
    index: usize,
}

impl Blocks {
    fn say(&mut self, kind: Kind, event: &Value) {
        self.pieces.push(Piece::event(kind, event));
    }

    fn open(&mut self, kind: Kind, block: Value) {
        self.say(kind, &json!({"type": "content_block_start", "index": self.index, "content_block": block}));
        if self.index == 0 {
            self.say(Kind::Metadata, &json!({"type": "ping"}));
        }
    }

    fn delta(&mut self, kind: Kind, delta: Value) {
        self.say(kind, &json!({"type": "content_block_delta", "index": self.index, "delta": delta}));
    }

    fn token(&mut self, delta: Value) {
        self.delta(Kind::Token, delta);
    }

    fn close(&mut self) {
        self.say(Kind::Metadata, &json!({"type": "content_block_stop", "index": self.index}));
        self.index += 1;
    }
}

pub(super) fn whole(answer: &Answer<'_>, done: bool) -> Value {
    let reply = answer.reply;
    let mut content = Vec::new();
    if !reply.thinking.is_empty() {
        content.push(json!({"type": "thinking", "thinking": reply.thinking, "signature": SIGNATURE}));
    }
    if !reply.text.is_empty() {
        content.push(json!({"type": "text", "text": reply.text}));
    }
    content.extend(reply.tools.iter().enumerate().map(|(index, (name, arguments))| {
        json!({"type": "tool_use", "id": answer.call_id("toolu_", index), "name": name, "input": arguments})
    }));
    message(answer, json!(content), done)
}

fn message(answer: &Answer<'_>, content: Value, done: bool) -> Value {
    let (input, output) = answer.usage();
    json!({
        "id": answer.id("msg_"), "type": "message", "role": "assistant", "model": answer.model, "content": content,
        "stop_reason": done.then(|| stop_reason(answer.finish())), "stop_sequence": null,
        "usage": {
            "input_tokens": input, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
            "output_tokens": output, "service_tier": "standard",
        },
    })
}

fn stop_reason(finish: FinishReason) -> &'static str {
    match finish {
        FinishReason::Stop => "end_turn",
        FinishReason::Length => "max_tokens",
        FinishReason::ToolCalls => "tool_use",
        FinishReason::ContentFilter => "refusal",
    }
}

pub(super) fn failure(message: &str) -> Vec<Piece> {
    let event = json!({"type": "error", "error": {"type": "api_error", "message": message}});
    vec![Piece::event(Kind::Finish, &event)]
}

pub(super) fn refuse(refusal: &Refusal, model: &str, window: u64) -> (u16, Value) {
    let (status, kind, message) = match refusal {
        Refusal::Overflow => {
            let message = format!("prompt is too long: {} tokens > {window} maximum", window + 1000);
            (400, "invalid_request_error", message)
        }
        Refusal::Filtered => (400, "invalid_request_error", "Output blocked by content filtering policy".to_owned()),
        Refusal::RateLimited(_) => {
            let message = "This request would exceed your organization's rate limit of 5 requests per minute.";
            (429, "rate_limit_error", message.to_owned())
        }
        Refusal::BadKey => (401, "authentication_error", "invalid x-api-key".to_owned()),
        Refusal::UnknownModel => (404, "not_found_error", format!("model: {model}")),
        Refusal::Failed(message) => (500, "api_error", message.clone()),
        Refusal::Status(status) => {
            let (kind, message) = match status {
                402 => ("billing_error", "Your credit balance is too low to access the Anthropic API."),
                403 => ("permission_error", "Your API key does not have permission to use the specified resource."),
                529 => ("overloaded_error", "Overloaded"),
                500.. => ("api_error", "Internal server error"),
                _ => ("invalid_request_error", "The request was refused."),
            };
            (*status, kind, message.to_owned())
        }
        Refusal::Verbatim(..) => unreachable!("sent as it is"),
    };
    (status, json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_faulty"}))
}
