//! What `/api/tags` and `/api/show` tell of models.

use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
pub(super) struct Tags {
    #[serde(default)]
    pub(super) models: Vec<Tag>,
}

#[derive(Deserialize)]
pub(super) struct Tag {
    pub(super) name: String,
    pub(super) digest: Option<String>,
    pub(super) size: Option<u64>,
    pub(super) remote_host: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Show {
    /// Servers before mid 2025 do not tell.
    capabilities: Option<Vec<String>>,
    #[serde(default)]
    model_info: Option<Map<String, Value>>,
    remote_host: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Details {
    /// What the model was made for.
    pub(super) context_tokens: Option<u64>,
    /// Chats at all; embedding models do not.
    pub(super) chats: bool,
    pub(super) tools: bool,
    /// Ollama forwards its prompts to another host.
    pub(super) remote: bool,
}

impl Default for Details {
    fn default() -> Self {
        Self { context_tokens: None, chats: true, tools: false, remote: false }
    }
}

impl From<Show> for Details {
    fn from(show: Show) -> Self {
        let info = show.model_info.unwrap_or_default();
        // The key is `<architecture>.context_length`. Models with an encoder have several; the architecture tells which.
        let architecture = info.get("general.architecture").and_then(Value::as_str).unwrap_or_default();
        let named = info.get(&format!("{architecture}.context_length"));
        let any = || info.iter().find(|(key, _)| key.ends_with(".context_length")).map(|(_, value)| value);
        let can = |name: &str| show.capabilities.as_ref().map(|all| all.iter().any(|capability| capability == name));
        Self {
            context_tokens: named.or_else(any).and_then(Value::as_u64).filter(|&tokens| tokens > 0),
            chats: can("completion").unwrap_or(true),
            tools: can("tools").unwrap_or(false),
            remote: show.remote_host.is_some_and(|host| !host.is_empty()),
        }
    }
}

/// Ollama runs a model in its cloud by the tag alone, whether or not it was ever pulled: `name:cloud`, `name:120b-cloud`.
pub(super) fn named_as_cloud(model: &str) -> bool {
    let tag = model.rsplit_once(':').map_or("", |(_, tag)| tag).to_lowercase();
    tag == "cloud" || tag.ends_with("-cloud")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn details(show: Value) -> Details {
        serde_json::from_value::<Show>(show).unwrap().into()
    }

    #[test]
    fn the_context_is_that_of_the_architecture() {
        let shown = details(json!({
            "capabilities": ["completion", "tools", "vision"],
            "model_info": {
                "clip.context_length": 77, "general.architecture": "qwen2", "qwen2.context_length": 32768,
            },
        }));
        assert_eq!(shown, Details { context_tokens: Some(32768), chats: true, tools: true, remote: false });
    }

    #[test]
    fn embedding_models_do_not_chat_and_old_servers_do_not_tell() {
        assert!(!details(json!({"capabilities": ["embedding"], "model_info": {}})).chats);
        assert_eq!(details(json!({"model_info": null})), Details::default());
    }

    #[test]
    fn a_model_that_runs_elsewhere_is_known_by_its_host_or_its_tag() {
        assert!(details(json!({"capabilities": ["completion"], "remote_host": "https://elsewhere.invalid"})).remote);
        assert!(named_as_cloud("gpt-oss:120b-cloud") && named_as_cloud("glm:cloud") && named_as_cloud("a/b:7b:Cloud"));
        assert!(!named_as_cloud("cloud") && !named_as_cloud("mistral:7b") && !named_as_cloud("cloud-writer:latest"));
    }
}
