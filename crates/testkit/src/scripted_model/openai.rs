//! The chat-completions dialect, after OpenAI's published API reference.

use super::{
    Dialect, Received, Shared, Turn,
    script::{Ending, openai_error},
    stream::respond,
};
use axum::{Json, extract::State, http::HeaderMap, response::Response};
use serde_json::{Value, json};
use std::sync::Arc;

const PATH: &str = "/v1/chat/completions";

pub(super) async fn models(State(shared): State<Arc<Shared>>) -> Json<Value> {
    shared.note("/v1/models");
    let data: Vec<Value> = shared
        .models
        .iter()
        .map(|model| json!({"id": model.name, "object": "model", "created": 1_767_323_045, "owned_by": "testkit"}))
        .collect();
    Json(json!({"object": "list", "data": data}))
}

pub(super) async fn chat(State(shared): State<Arc<Shared>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let received = Received::new(Dialect::OpenAi, PATH, &headers, body);
    let streamed = received.body["stream"] == json!(true);
    let wants_usage = received.body["stream_options"]["include_usage"] == json!(true);
    let model = received.model.clone();
    let mut turn = if shared.model(&model).is_some() {
        shared.turn(received)
    } else {
        shared.note(PATH);
        Turn::error(404, &format!("The model `{model}` does not exist"))
    };
    if !streamed && turn.status == 200 {
        turn = Turn::error(400, "the scripted model only streams");
    }
    if turn.status != 200 {
        let body = openai_error(turn.status, &turn.error).to_string();
        return respond(shared, turn, "application/json", vec![body]).await;
    }
    let pieces = stream(&turn, &model, wants_usage);
    respond(shared, turn, "text/event-stream", pieces).await
}

fn stream(turn: &Turn, model: &str, wants_usage: bool) -> Vec<String> {
    let chunk = |choices: Value, usage: Value| {
        let mut chunk = json!({
            "id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 1_767_323_045, "model": model,
            "choices": choices,
        });
        if wants_usage && turn.usage.is_some() {
            chunk["usage"] = usage;
        }
        format!("data: {chunk}\n\n")
    };
    let delta = |delta: Value| chunk(json!([{"index": 0, "delta": delta, "finish_reason": null}]), Value::Null);

    let mut pieces = vec![delta(json!({"role": "assistant", "content": ""}))];
    pieces.extend(turn.pieces(&turn.thinking).iter().map(|piece| delta(json!({"reasoning_content": piece}))));
    pieces.extend(turn.pieces(&turn.text).iter().map(|piece| delta(json!({"content": piece}))));
    for (index, call) in turn.tool_calls.iter().enumerate() {
        let mut opening = json!({"index": index, "type": "function", "function": {"name": call.name, "arguments": ""}});
        if !call.id.is_empty() {
            opening["id"] = json!(call.id);
        }
        pieces.push(delta(json!({"tool_calls": [opening]})));
        let arguments = call.arguments.to_string();
        pieces.extend(
            turn.pieces(&arguments)
                .iter()
                .map(|piece| delta(json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}))),
        );
    }
    match &turn.ending {
        Ending::Whole => {}
        Ending::Cut | Ending::Stall => return pieces,
        Ending::Error(message) => {
            pieces.push(format!("data: {}\n\n", openai_error(500, message)));
            return pieces;
        }
    }
    let reason = turn.finish_reason.as_str();
    pieces.push(chunk(json!([{"index": 0, "delta": {}, "finish_reason": reason}]), Value::Null));
    if let Some((input, output)) = turn.usage.filter(|_| wants_usage) {
        let usage = json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output});
        pieces.push(chunk(json!([]), usage));
    }
    pieces.push("data: [DONE]\n\n".to_owned());
    pieces
}
