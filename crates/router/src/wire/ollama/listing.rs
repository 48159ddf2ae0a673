//! What stands around answers: which models there are, what is loaded, embeddings, and downloads.

pub mod embedding;

use super::read;
use crate::{
    Error,
    providers::{Loaded, PullStep},
};
use bytes::{BufMut, Bytes, BytesMut};
use protocol::{Model, Models};
use serde_json::{Map, Value, json};

/// The version of Ollama whose API this is. Clients ask before they use what came lately.
const VERSION: &str = "0.24.0";
/// When a model changed is known to its provider alone; some clients insist on a date.
const UNKNOWN_TIME: &str = "1970-01-01T00:00:00Z";
/// Clients cut a digest to its first twelve characters without looking how many there are.
const UNKNOWN_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

pub fn version() -> Value {
    json!({"version": VERSION})
}

/// `GET /api/tags`: routes first, under the names that callers use, then every model that can answer at once.
pub fn tags(models: &Models) -> Value {
    let routes = models.routes.iter().filter_map(|route| {
        let first = route.targets.iter().find(|target| target.available)?;
        Some(entry(&route.name, first))
    });
    let available = models.models.iter().filter(|model| model.available);
    let models: Vec<Value> = routes.chain(available.map(|model| entry(&model.id, model))).collect();
    json!({"models": models})
}

fn entry(name: &str, model: &Model) -> Value {
    json!({
        "name": name,
        "model": name,
        "modified_at": UNKNOWN_TIME,
        "size": model.size_bytes.unwrap_or(0),
        "digest": digest(model.digest.as_deref()),
        "details": details(&model.provider),
    })
}

fn digest(digest: Option<&str>) -> &str {
    digest
        .map(|digest| digest.strip_prefix("sha256:").unwrap_or(digest))
        .filter(|digest| digest.len() >= 12)
        .unwrap_or(UNKNOWN_DIGEST)
}

fn details(provider: &str) -> Value {
    json!({
        "parent_model": "",
        "format": "",
        "family": provider,
        "families": [provider],
        "parameter_size": "",
        "quantization_level": "",
    })
}

/// `GET /api/ps`: what each provider has loaded.
pub fn ps(loaded: Vec<(String, Loaded)>) -> Value {
    let models: Vec<Value> = loaded
        .into_iter()
        .map(|(provider, model)| {
            let name = format!("{provider}/{}", model.model);
            json!({
                "name": name,
                "model": name,
                "size": model.size_bytes.unwrap_or(0),
                "digest": digest(model.digest.as_deref()),
                "details": details(&provider),
                "expires_at": model.expires_at.as_deref().unwrap_or(UNKNOWN_TIME),
                "size_vram": model.vram_bytes.unwrap_or(0),
                "context_length": model.context_tokens.unwrap_or(0),
            })
        })
        .collect();
    json!({"models": models})
}

/// `POST /api/show`
pub fn show(model: &Model) -> Value {
    // Clients look for `<architecture>.context_length`.
    let architecture = "devmesh";
    let mut info = Map::new();
    info.insert("general.architecture".to_owned(), json!(architecture));
    info.insert("general.basename".to_owned(), json!(model.name));
    if let Some(tokens) = model.context_tokens {
        info.insert(format!("{architecture}.context_length"), json!(tokens));
    }
    json!({
        "modelfile": "",
        "parameters": "",
        "template": "{{ .Prompt }}",
        "details": details(&model.provider),
        "model_info": info,
        "capabilities": capabilities(model),
        "modified_at": UNKNOWN_TIME,
    })
}

fn capabilities(model: &Model) -> Vec<&'static str> {
    let mut all = vec!["completion"];
    if model.native_tools {
        all.push("tools");
    }
    all
}

/// The model that `/api/show`, `/api/pull` and `/api/delete` are about, also under its old name.
///
/// # Errors
/// [`Error::Invalid`] when none is named.
pub fn model_of(body: &Bytes) -> Result<String, Error> {
    let fields = read::fields(body)?;
    let named = ["model", "name"].iter().find_map(|name| fields.read::<String>(name));
    named.filter(|name| !name.trim().is_empty()).ok_or_else(|| Error::invalid("/model", "model is required"))
}

/// Whether the answer to `body` is to be streamed, as it is unless it says otherwise.
pub fn streams(body: &Bytes) -> bool {
    read::fields(body).ok().and_then(|fields| fields.read("stream")).unwrap_or(true)
}

/// One line of a download's progress.
pub fn pull_line(step: &PullStep) -> Bytes {
    let mut line = json!({"status": step.status});
    // Progress bars go by the layer's digest, of which the words tell the beginning.
    let layer = step.status.strip_prefix("pulling ").filter(|layer| layer.chars().all(|c| c.is_ascii_hexdigit()));
    if let Some(layer) = layer {
        line["digest"] = json!(format!("sha256:{layer}"));
    }
    if let Some(total) = step.total_bytes {
        line["total"] = json!(total);
    }
    if let Some(completed) = step.completed_bytes {
        line["completed"] = json!(completed);
    }
    ended(&line)
}

/// The last line of a download that failed.
pub fn pull_failed(error: &Error) -> Bytes {
    ended(&super::error::body(error))
}

fn ended(line: &Value) -> Bytes {
    let mut bytes = BytesMut::from(line.to_string().as_bytes());
    bytes.put_u8(b'\n');
    bytes.freeze()
}

#[cfg(test)]
mod tests;
