//! What the server tells of itself and its models, and the answers no script is needed for.

use super::{FaultyModel, Wire, answer::CREATED_S};
use crate::{ServedModel, scripted_model::ollama};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The answer to a request about the models, `Err` with the name of one that is not there; `None` when the request is about
/// something else. `path` is without the prefix `/v1`.
pub(super) fn answer(
    wire: Wire,
    models: &[ServedModel],
    asked: &BTreeSet<String>,
    path: &str,
    body: &Value,
) -> Option<Result<Value, String>> {
    let named = |name: &str| models.iter().find(|model| model.answers_to(name)).ok_or_else(|| name.to_owned());
    if wire == Wire::Ollama {
        let loaded = |model: &&ServedModel| model.loaded || asked.contains(&model.name);
        return match path {
            "/api/version" => Some(Ok(json!({"version": "0.0.0"}))),
            "/api/tags" => Some(Ok(json!({"models": models.iter().map(ollama::entry).collect::<Vec<_>>()}))),
            "/api/ps" => {
                Some(Ok(json!({"models": models.iter().filter(loaded).map(ollama::running).collect::<Vec<_>>()})))
            }
            "/api/show" => Some(named(body["model"].as_str().unwrap_or_default()).map(ollama::description)),
            _ => None,
        };
    }
    let entry = if wire == Wire::Anthropic { anthropic } else { openai };
    if path == "/models" {
        let data: Vec<Value> = models.iter().map(entry).collect();
        let mut list = json!({"data": data});
        if wire == Wire::Anthropic {
            list["first_id"] = json!(models.first().map(|model| &model.name));
            list["last_id"] = json!(models.last().map(|model| &model.name));
            list["has_more"] = json!(false);
        } else {
            list["object"] = json!("list");
        }
        return Some(Ok(list));
    }
    path.strip_prefix("/models/").map(|name| named(name).map(entry))
}

fn openai(model: &ServedModel) -> Value {
    json!({"id": model.name, "object": "model", "created": CREATED_S, "owned_by": "testkit"})
}

fn anthropic(model: &ServedModel) -> Value {
    json!({
        "type": "model", "id": model.name, "display_name": model.name, "created_at": "2026-01-02T03:04:05Z",
    })
}

/// Vectors for each text of `input`, the same for the same text.
pub(super) fn embeddings(wire: Wire, model: &str, input: &Value) -> Value {
    let texts: Vec<&str> = match input {
        Value::Array(texts) => texts.iter().map(|text| text.as_str().unwrap_or_default()).collect(),
        text => vec![text.as_str().unwrap_or_default()],
    };
    if wire == Wire::Ollama {
        let vectors: Vec<[f64; 4]> = texts.iter().map(|text| vector(text)).collect();
        return json!({
            "model": model, "embeddings": vectors, "total_duration": 2_000_000, "load_duration": 1_000_000,
            "prompt_eval_count": FaultyModel::INPUT_TOKENS,
        });
    }
    let data: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| json!({"object": "embedding", "index": index, "embedding": vector(text)}))
        .collect();
    let usage = json!({"prompt_tokens": FaultyModel::INPUT_TOKENS, "total_tokens": FaultyModel::INPUT_TOKENS});
    json!({"object": "list", "data": data, "model": model, "usage": usage})
}

/// Of length one, as real ones are.
fn vector(text: &str) -> [f64; 4] {
    let mut vector = [1.0; 4];
    for (index, byte) in text.bytes().enumerate() {
        vector[index % 4] += f64::from(byte);
    }
    let length = vector.iter().map(|number| number * number).sum::<f64>().sqrt();
    vector.map(|number| number / length)
}
