//! Chat completions, after OpenAI's published API reference.

use super::{
    answer::{Answer, CREATED_S, Kind, Piece, fragments, words},
    reply::Refusal,
};
use serde_json::{Value, json};

pub(super) fn stream(answer: &Answer<'_>) -> Vec<Piece> {
    let id = answer.id("chatcmpl-");
    let wants_usage = answer.request["stream_options"]["include_usage"] == json!(true);
    let chunk = |choices: Value, usage: Value| {
        let mut chunk = json!({
            "id": id, "object": "chat.completion.chunk", "created": CREATED_S, "model": answer.model,
            "service_tier": "default", "system_fingerprint": "fp_testkit", "choices": choices,
        });
        if wants_usage {
            chunk["usage"] = usage;
        }
        chunk
    };
    let delta = |kind: Kind, delta: Value| {
        let choice = json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": null}]);
        Piece::data(kind, &chunk(choice, Value::Null))
    };
    let reply = answer.reply;
    let opening = if reply.tools.is_empty() || !reply.text.is_empty() { json!("") } else { Value::Null };
    let mut pieces = vec![delta(Kind::Metadata, json!({"role": "assistant", "content": opening, "refusal": null}))];
    pieces.extend(words(&reply.thinking).map(|word| delta(Kind::Token, json!({"reasoning_content": word}))));
    pieces.extend(words(&reply.text).map(|word| delta(Kind::Token, json!({"content": word}))));
    for (index, (name, arguments)) in reply.tools.iter().enumerate() {
        let function = json!({"name": name, "arguments": ""});
        let call =
            json!({"index": index, "id": answer.call_id("call_", index), "type": "function", "function": function});
        pieces.push(delta(Kind::Token, json!({"tool_calls": [call]})));
        for fragment in fragments(arguments) {
            let call = json!({"index": index, "function": {"arguments": fragment}});
            pieces.push(delta(Kind::Token, json!({"tool_calls": [call]})));
        }
    }
    let last = json!([{"index": 0, "delta": {}, "logprobs": null, "finish_reason": answer.finish().as_str()}]);
    pieces.push(Piece::data(Kind::Finish, &chunk(last, Value::Null)));
    if wants_usage {
        pieces.push(Piece::data(Kind::Finish, &chunk(json!([]), usage(answer))));
    }
    pieces.push(Piece::new(Kind::Done, "data: [DONE]\n\n"));
    pieces
}

pub(super) fn whole(answer: &Answer<'_>, done: bool) -> Value {
    let reply = answer.reply;
    let content = if reply.text.is_empty() && !reply.tools.is_empty() { Value::Null } else { json!(reply.text) };
    let mut message = json!({"role": "assistant", "content": content, "refusal": null, "annotations": []});
    if !reply.thinking.is_empty() {
        message["reasoning_content"] = json!(reply.thinking);
    }
    if !reply.tools.is_empty() {
        let calls = reply.tools.iter().enumerate().map(|(index, (name, arguments))| {
            let function = json!({"name": name, "arguments": arguments.to_string()});
            json!({"id": answer.call_id("call_", index), "type": "function", "function": function})
        });
        message["tool_calls"] = calls.collect();
    }
    let finish = if done { json!(answer.finish().as_str()) } else { Value::Null };
    json!({
        "id": answer.id("chatcmpl-"), "object": "chat.completion", "created": CREATED_S, "model": answer.model,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}],
        "usage": usage(answer), "service_tier": "default", "system_fingerprint": "fp_testkit",
    })
}

pub(super) fn usage(answer: &Answer<'_>) -> Value {
    let (input, output) = answer.usage();
    json!({
        "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": answer.thinking_tokens(), "audio_tokens": 0, "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    })
}

pub(super) fn failure(message: &str) -> Vec<Piece> {
    vec![Piece::data(Kind::Finish, &error(message, "server_error", Value::Null, Value::Null))]
}

pub(super) fn refuse(refusal: &Refusal, model: &str, window: u64) -> (u16, Value) {
    match refusal {
        Refusal::Overflow => {
            let message = format!(
                "This model's maximum context length is {window} tokens. However, your messages resulted in {} tokens. \
                 Please reduce the length of the messages.",
                window + 1000
            );
            (400, error(&message, "invalid_request_error", json!("messages"), json!("context_length_exceeded")))
        }
        Refusal::Filtered => {
            let message = "Your request was rejected as a result of our safety system.";
            (400, error(message, "invalid_request_error", Value::Null, json!("content_policy_violation")))
        }
        other => refuse_alike(other, model),
    }
}

/// What both of OpenAI's dialects say alike.
pub(super) fn refuse_alike(refusal: &Refusal, model: &str) -> (u16, Value) {
    let invalid = "invalid_request_error";
    match refusal {
        Refusal::RateLimited(_) => {
            let message = format!("Rate limit reached for {model} on requests per min (RPM): Limit 3, Used 3.");
            (429, error(&message, "requests", Value::Null, json!("rate_limit_exceeded")))
        }
        Refusal::BadKey => {
            (401, error("Incorrect API key provided: sk-te***.", invalid, Value::Null, json!("invalid_api_key")))
        }
        Refusal::UnknownModel => {
            let message = format!("The model `{model}` does not exist or you do not have access to it.");
            (404, error(&message, invalid, Value::Null, json!("model_not_found")))
        }
        Refusal::Failed(message) => (500, error(message, "server_error", Value::Null, Value::Null)),
        Refusal::Status(status @ 500..) => {
            let message = "The server had an error while processing your request.";
            (*status, error(message, "server_error", Value::Null, Value::Null))
        }
        Refusal::Status(402) => {
            let message = "You exceeded your current quota, please check your plan and billing details.";
            (402, error(message, "insufficient_quota", Value::Null, json!("insufficient_quota")))
        }
        Refusal::Status(status) => (*status, error("The request was refused.", invalid, Value::Null, Value::Null)),
        Refusal::Verbatim(..) | Refusal::Overflow | Refusal::Filtered => unreachable!("said by each dialect itself"),
    }
}

pub(super) fn error(message: &str, kind: &str, param: Value, code: Value) -> Value {
    json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
}
