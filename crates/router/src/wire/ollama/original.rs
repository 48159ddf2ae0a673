//! The caller's own body for an Ollama, changed only where what runs models must have its way.

use super::provider::{Details, Settings};
use crate::{Error, json_object::Fields, providers::Edits};
use bytes::Bytes;
use memchr::memmem;
use serde_json::{Map, Value};

/// Options that belong to the loaded model and not to one request: another value makes Ollama load the model anew.
const OF_THE_RUNNER: &[&str] = &["num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread"];

pub(crate) struct Original {
    pub(crate) body: Bytes,
    /// Whether the caller asked for log probabilities itself. If not, answers are freed of them.
    pub(crate) logprobs: bool,
    /// Without anything to answer: the model is only loaded.
    pub(crate) only_loads: bool,
}

/// `model` and streaming, the context and how long the model stays are the router's; everything else is the caller's.
pub(crate) fn merged(
    body: &Bytes,
    model: &str,
    edits: &Edits,
    details: &Details,
    settings: &Settings<'_>,
    prompt: &'static str,
) -> Result<Original, Error> {
    let fields = Fields::of(body)?;
    let mut options: Map<String, Value> = fields.read("options").unwrap_or_default();
    options.retain(|name, _| !OF_THE_RUNNER.contains(&name.as_str()));
    options.insert("num_ctx".to_owned(), settings.context_tokens.into());
    if let Some(tokens) = edits.max_output_tokens {
        options.insert("num_predict".to_owned(), tokens.into());
    }
    if let Some(degrees) = edits.temperature {
        options.insert("temperature".to_owned(), degrees.into());
    }
    let options = Value::Object(options).to_string();
    let model = Value::from(model).to_string();
    let keep_alive = Value::from(settings.keep_alive()).to_string();
    let mut changes = vec![
        ("model", model.as_str()),
        ("stream", "true"),
        ("truncate", "false"),
        ("shift", "false"),
        ("keep_alive", &keep_alive),
        ("options", &options),
    ];
    // A model that cannot think refuses to be told to; a route should not fail for that.
    let think = fields.get("think").is_some_and(|think| !matches!(think.get(), "false" | "null"));
    if think && !details.thinking {
        changes.push(("think", "null"));
    }
    let logprobs = fields.read::<bool>("logprobs").unwrap_or(false);
    let tools = fields.read::<Vec<&serde_json::value::RawValue>>("tools").is_some_and(|tools| !tools.is_empty());
    // See `request::body`.
    if tools && !details.remote {
        changes.push(("logprobs", "true"));
    }
    let only_loads = fields.get(prompt).is_none_or(|value| match value.get() {
        "null" | "\"\"" => true,
        text => text.strip_prefix('[').is_some_and(|rest| rest.trim_start() == "]"),
    });
    Ok(Original { body: fields.with(&changes), logprobs, only_loads })
}

/// The same of a request for vectors.
pub(crate) fn embedding(body: &[u8], model: &str, settings: &Settings<'_>) -> Result<Bytes, Error> {
    let fields = Fields::of(body)?;
    let mut options: Map<String, Value> = fields.read("options").unwrap_or_default();
    options.retain(|name, _| !OF_THE_RUNNER.contains(&name.as_str()));
    options.insert("num_ctx".to_owned(), settings.context_tokens.into());
    let changes = [
        ("model", Value::from(model).to_string()),
        ("truncate", "false".to_owned()),
        ("keep_alive", Value::from(settings.keep_alive()).to_string()),
        ("options", Value::Object(options).to_string()),
    ];
    Ok(fields.with(&changes.each_ref().map(|(name, json)| (*name, json.as_str()))))
}

/// A line of an answer without the log probabilities that its reader did not ask for; everything else byte for byte.
pub(crate) fn without_logprobs(line: &Bytes) -> Bytes {
    const NAME: &[u8] = b"\"logprobs\"";
    if memmem::find(line, NAME).is_none() {
        return line.clone();
    }
    let Ok(fields) = Fields::of(line) else { return line.clone() };
    Bytes::from(fields.only(|name| name != "logprobs") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    fn merge(body: &str, details: &Details) -> String {
        let settings = Settings { provider: "ollama", context_tokens: 4096, keep_alive: Duration::from_secs(60) };
        let body = Bytes::copy_from_slice(body.as_bytes());
        let merged = merged(&body, "real:7b", &Edits::default(), details, &settings, "messages").unwrap();
        String::from_utf8(merged.body.to_vec()).unwrap()
    }

    #[test]
    fn only_what_is_not_the_callers_to_choose_changes() {
        let body = r#"{"model":"fast", "messages":[{"role":"user","content":"Gr\u00fc\u00dfe"}],"unheard_of":[1.50],
            "options":{"temperature":0.10,"num_ctx":131072,"num_gpu":0,"mirostat":1},"keep_alive":0,"stream":false,"truncate":true}"#;
        insta::assert_snapshot!(merge(body, &Details::default()), @r#"
        {"shift":false,"model":"real:7b", "messages":[{"role":"user","content":"Gr\u00fc\u00dfe"}],"unheard_of":[1.50],
                    "options":{"temperature":0.1,"mirostat":1,"num_ctx":4096},"keep_alive":"60s","stream":true,"truncate":false}
        "#);
    }

    #[test]
    fn tools_bring_signs_of_life_and_thinking_only_where_a_model_can() {
        let body = r#"{"model":"m","messages":[],"tools":[{}],"think":true}"#;
        let merged: Value = serde_json::from_str(&merge(body, &Details::default())).unwrap();
        assert_eq!((&merged["logprobs"], &merged["think"]), (&json!(true), &Value::Null));
        let able = Details { thinking: true, remote: true, ..Details::default() };
        let merged: Value = serde_json::from_str(&merge(body, &able)).unwrap();
        assert_eq!((merged.get("logprobs"), &merged["think"]), (None, &json!(true)));
    }

    #[test]
    fn log_probabilities_are_taken_out_and_nothing_else() {
        let line = Bytes::from(
            "{\"model\":\"m\",\"logprobs\":[{\"token\":\"a\",\"logprob\":-0.10}],\"x\":1.50,\"done\":false}\n",
        );
        assert_eq!(&without_logprobs(&line)[..], b"{\"model\":\"m\",\"x\":1.50,\"done\":false}\n");
        let said = Bytes::from("{\"message\":{\"content\":\"\\\"logprobs\\\"\"}}\n");
        assert_eq!(without_logprobs(&said), said);
    }
}
