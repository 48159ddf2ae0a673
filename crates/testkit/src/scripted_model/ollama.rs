//! Ollama's native dialect, after its published API documentation.

use super::{Dialect, Received, ServedModel, Shared, Turn, script::Ending, stream::respond, text};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use protocol::FinishReason;
use serde_json::{Value, json};
use std::sync::Arc;

const PATH: &str = "/api/chat";
pub(crate) const TIME: &str = "2026-01-02T03:04:05.678Z";

pub(super) async fn version(State(shared): State<Arc<Shared>>) -> Json<Value> {
    shared.note("/api/version");
    Json(json!({"version": "0.0.0"}))
}

pub(super) async fn tags(State(shared): State<Arc<Shared>>) -> Json<Value> {
    shared.note("/api/tags");
    let models: Vec<Value> = shared.models.iter().map(entry).collect();
    Json(json!({"models": models}))
}

/// A model is loaded once it was asked something.
pub(super) async fn ps(State(shared): State<Arc<Shared>>) -> Json<Value> {
    shared.note("/api/ps");
    let asked: Vec<String> = shared.log.borrow().received.iter().map(|received| received.model.clone()).collect();
    let loaded = |model: &&ServedModel| model.loaded || asked.iter().any(|name| model.answers_to(name));
    let models: Vec<Value> = shared.models.iter().filter(loaded).map(running).collect();
    Json(json!({"models": models}))
}

pub(super) async fn show(State(shared): State<Arc<Shared>>, Json(body): Json<Value>) -> Response {
    shared.note("/api/show");
    let name = text(&body, "/model");
    let Some(model) = shared.model(&name) else {
        return (StatusCode::NOT_FOUND, Json(json!({"error": format!("model '{name}' not found")}))).into_response();
    };
    Json(description(model)).into_response()
}

/// A model as `/api/show` tells it.
pub(crate) fn description(model: &ServedModel) -> Value {
    let mut info = json!({"general.architecture": "llama", "general.parameter_count": 1_000_000});
    if let Some(tokens) = model.context_tokens {
        info["llama.context_length"] = json!(tokens);
    }
    let mut answer = json!({
        "modified_at": TIME, "details": details(), "model_info": info, "capabilities": model.capabilities,
        "template": "{{ .Prompt }}",
    });
    if let Some(host) = &model.remote_host {
        answer["remote_host"] = json!(host);
        answer["remote_model"] = json!(model.name);
    }
    answer
}

pub(super) async fn chat(State(shared): State<Arc<Shared>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let received = Received::new(Dialect::Ollama, PATH, &headers, body);
    // Streaming is this dialect's default.
    let streamed = received.body["stream"] != json!(false);
    let asked_tools = !received.tools.is_empty();
    let name = received.model.clone();
    let mut turn = match shared.model(&name) {
        None => {
            shared.note(PATH);
            Turn::error(404, &format!("model '{name}' not found"))
        }
        Some(model) if asked_tools && !model.capabilities.iter().any(|capability| capability == "tools") => {
            shared.note(PATH);
            Turn::error(400, &format!("{name} does not support tools"))
        }
        Some(_) => shared.turn(received),
    };
    if !streamed && turn.status == 200 {
        turn = Turn::error(400, "the scripted model only streams");
    }
    if turn.status != 200 {
        let body = json!({"error": turn.error}).to_string();
        return respond(shared, turn, "application/json", vec![body]).await;
    }
    let pieces = stream(&turn, &name);
    respond(shared, turn, "application/x-ndjson", pieces).await
}

fn stream(turn: &Turn, model: &str) -> Vec<String> {
    let line = |message: Value| {
        let line = json!({"model": model, "created_at": TIME, "message": message, "done": false});
        format!("{line}\n")
    };
    let mut pieces = Vec::new();
    let thinking = turn.pieces(&turn.thinking);
    pieces.extend(thinking.iter().map(|piece| line(json!({"role": "assistant", "content": "", "thinking": piece}))));
    let text = turn.pieces(&turn.text);
    pieces.extend(text.iter().map(|piece| line(json!({"role": "assistant", "content": piece}))));
    for (index, call) in turn.tool_calls.iter().enumerate() {
        let mut wire = json!({"function": {"index": index, "name": call.name, "arguments": call.arguments}});
        if !call.id.is_empty() {
            wire["id"] = json!(call.id);
        }
        pieces.push(line(json!({"role": "assistant", "content": "", "tool_calls": [wire]})));
    }
    match &turn.ending {
        Ending::Whole => {}
        Ending::Cut | Ending::Stall => return pieces,
        Ending::Error(message) => {
            pieces.push(format!("{}\n", json!({"error": message})));
            return pieces;
        }
    }
    // This dialect calls the end of an answer with tool calls `stop` too.
    let reason = if turn.finish_reason == FinishReason::Length { "length" } else { "stop" };
    let mut last = json!({
        "model": model, "created_at": TIME, "message": {"role": "assistant", "content": ""}, "done": true,
        "done_reason": reason, "total_duration": 3_000_000, "load_duration": 1_000_000,
    });
    if let Some((input, output)) = turn.usage {
        last["prompt_eval_count"] = json!(input);
        last["prompt_eval_duration"] = json!(1_000_000);
        last["eval_count"] = json!(output);
        last["eval_duration"] = json!(1_000_000);
    }
    pieces.push(format!("{last}\n"));
    pieces
}

/// A loaded model as `/api/ps` lists it.
pub(crate) fn running(model: &ServedModel) -> Value {
    let mut entry = entry(model);
    entry["expires_at"] = json!(TIME);
    entry["size_vram"] = json!(0);
    entry["context_length"] = json!(model.context_tokens);
    entry
}

/// A model as `/api/tags` lists it.
pub(crate) fn entry(model: &ServedModel) -> Value {
    let mut entry = json!({
        "name": model.name, "model": model.name, "modified_at": TIME, "size": model.size_bytes,
        "digest": model.digest, "details": details(),
    });
    if let Some(host) = &model.remote_host {
        entry["remote_host"] = json!(host);
        entry["remote_model"] = json!(model.name);
    }
    entry
}

fn details() -> Value {
    json!({
        "parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"], "parameter_size": "1M",
        "quantization_level": "Q4_1",
    })
}
