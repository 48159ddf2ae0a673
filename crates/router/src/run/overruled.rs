//! What a caller's own body says and an Ollama is told otherwise.
//!
//! How long a model stays and how much it holds are the server's settings here: one caller's would load the model anew for
//! everybody. Whoever said something else is told that it was not done.

use crate::{
    dialect::{Asked, Dialect},
    json_object::Fields,
};
use serde_json::value::RawValue;

/// Options of the loaded model, which all its callers share.
const OF_THE_MODEL: [&str; 6] = ["num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread"];

/// Pointers into a request of Ollama's dialects; `context_tokens` is what the model holds.
pub(crate) fn overruled(body: &[u8], context_tokens: Option<u64>) -> Vec<String> {
    let Ok(fields) = Fields::of(body) else { return Vec::new() };
    let is_said = |value: &&RawValue| value.get() != "null";
    let mut places = Vec::new();
    if fields.get("keep_alive").filter(is_said).is_some() {
        places.push("/keep_alive".to_owned());
    }
    // A prompt that does not fit is refused, and never cut.
    for name in ["truncate", "shift"] {
        if fields.read::<bool>(name) == Some(true) {
            places.push(format!("/{name}"));
        }
    }
    let options = fields.get("options").and_then(|options| Fields::of(options.get().as_bytes()).ok());
    for name in OF_THE_MODEL {
        let Some(value) = options.as_ref().and_then(|options| options.get(name)).filter(is_said) else { continue };
        let is_done = name == "num_ctx" && serde_json::from_str::<u64>(value.get()).ok() == context_tokens;
        if !is_done {
            places.push(format!("/options/{name}"));
        }
    }
    places
}

/// The same of a request that passes on as it came.
pub(super) fn in_passing(asked: &Asked, context_tokens: Option<u64>) -> Vec<String> {
    match asked.dialect {
        Dialect::OllamaChat | Dialect::OllamaGenerate => overruled(&asked.body, context_tokens),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_callers_to_choose_is_named() {
        for (body, places) in [
            (r#"{"model":"m"}"#, &[][..]),
            (r#"{"keep_alive":null,"truncate":false,"options":null}"#, &[]),
            (r#"{"keep_alive":0}"#, &["/keep_alive"]),
            (r#"{"keep_alive":"5m","truncate":true}"#, &["/keep_alive", "/truncate"]),
            (r#"{"options":{"num_ctx":4096,"temperature":0}}"#, &[]),
            (r#"{"options":{"num_ctx":131072,"num_gpu":0}}"#, &["/options/num_ctx", "/options/num_gpu"]),
            ("no JSON", &[]),
        ] {
            assert_eq!(overruled(body.as_bytes(), Some(4096)), places, "{body}");
        }
    }
}
