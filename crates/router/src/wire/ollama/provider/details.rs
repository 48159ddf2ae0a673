//! What `/api/tags`, `/api/show` and `/api/ps` tell of models.

use crate::providers::Loaded;
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
pub(crate) struct Tags {
    #[serde(default)]
    pub(crate) models: Vec<Tag>,
}

#[derive(Deserialize)]
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) digest: Option<String>,
    pub(crate) size: Option<u64>,
    pub(crate) remote_host: Option<String>,
    #[serde(default)]
    pub(crate) details: TagDetails,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct TagDetails {
    /// Its architecture.
    pub(crate) family: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Running {
    #[serde(default)]
    models: Vec<RunningModel>,
}

#[derive(Deserialize)]
struct RunningModel {
    name: String,
    digest: Option<String>,
    size: Option<u64>,
    size_vram: Option<u64>,
    /// Servers before mid 2025 do not tell.
    context_length: Option<u64>,
    expires_at: Option<String>,
}

impl Running {
    pub(crate) fn loaded(self) -> Vec<Loaded> {
        self.models
            .into_iter()
            .map(|model| Loaded {
                model: model.name,
                digest: model.digest,
                context_tokens: model.context_length.filter(|&tokens| tokens > 0),
                vram_bytes: model.size_vram,
                size_bytes: model.size,
                expires_at: model.expires_at,
            })
            .collect()
    }
}

#[derive(Deserialize)]
pub(crate) struct Show {
    /// Servers before mid 2025 do not tell.
    capabilities: Option<Vec<String>>,
    #[serde(default)]
    model_info: Option<Map<String, Value>>,
    remote_host: Option<String>,
    #[serde(default)]
    template: Option<String>,
    /// Of models whose prompts Ollama writes with code of its own instead of the template.
    #[serde(default)]
    renderer: Option<String>,
}

/// Renderers that leave an assistant's last message open.
const OPEN_RENDERERS: &[&str] = &["qwen3-coder", "qwen3-vl-instruct"];

/// What is known of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// What the model was made for.
    pub context_tokens: Option<u64>,
    /// What the cache takes for each token of the context, in bytes; at most, because some models share parts of it. `None`:
    /// the server does not tell enough.
    pub cache_bytes_per_token: Option<u64>,
    pub chats: bool,
    pub embeds: bool,
    /// `None`: the server does not tell.
    pub vision: Option<bool>,
    pub thinking: bool,
    /// Thinks at a level (`low`, `medium`, `high`) rather than on or off.
    pub thinks_by_level: bool,
    pub tools: bool,
    /// Its prompt ends within an assistant's last message, so that an answer that was begun is gone on with.
    pub continues: bool,
    /// Ollama forwards its prompts to another host.
    pub remote: bool,
}

impl Default for Details {
    fn default() -> Self {
        Self {
            context_tokens: None,
            cache_bytes_per_token: None,
            chats: true,
            embeds: false,
            vision: None,
            thinking: false,
            thinks_by_level: false,
            tools: false,
            continues: false,
            remote: false,
        }
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
        let thinking = can("thinking").unwrap_or(false);
        let chats = can("completion").unwrap_or(true);
        let open = match show.renderer.as_deref().filter(|renderer| !renderer.is_empty()) {
            Some(renderer) => OPEN_RENDERERS.contains(&renderer),
            None => show.template.as_deref().is_some_and(leaves_open),
        };
        Self {
            context_tokens: named.or_else(any).and_then(Value::as_u64).filter(|&tokens| tokens > 0),
            cache_bytes_per_token: cache_bytes_per_token(&info, architecture),
            chats,
            embeds: can("embedding").unwrap_or(false),
            vision: can("vision"),
            thinking,
            thinks_by_level: matches!(architecture, "gptoss" | "gpt-oss"),
            tools: can("tools").unwrap_or(false),
            // Thinking comes before an answer, which is then no longer at its beginning.
            continues: chats && !thinking && open,
            remote: show.remote_host.is_some_and(|host| !host.is_empty()),
        }
    }
}

/// Keys and values of every layer, as the model's file describes it, in 16 bits each.
fn cache_bytes_per_token(info: &Map<String, Value>, architecture: &str) -> Option<u64> {
    const BYTES: u64 = 2;
    let told = |name: &str| info.get(&format!("{architecture}.{name}"));
    let number = |name: &str| told(name).and_then(Value::as_u64).filter(|&number| number > 0);
    let (layers, heads) = (number("block_count")?, number("attention.head_count"));
    // Some models have a number for each layer.
    let kept_heads = match told("attention.head_count_kv") {
        Some(Value::Array(of_layers)) => of_layers.iter().map(Value::as_u64).sum::<Option<u64>>()?,
        Some(one) => layers.checked_mul(one.as_u64()?)?,
        None => layers.checked_mul(heads?)?,
    };
    let usual = || number("embedding_length")?.checked_div(heads?);
    let key = number("attention.key_length").or_else(usual)?;
    let value = number("attention.value_length").or_else(usual)?;
    kept_heads.checked_mul(key.checked_add(value)?)?.checked_mul(BYTES).filter(|&bytes| bytes > 0)
}

/// Whether a template ends an assistant's last message without closing it. A template for one prompt and one response is cut
/// off after the response by Ollama itself; one that goes over the messages must ask which is the last, and those that close
/// every message answer a begun answer with a second one.
fn leaves_open(template: &str) -> bool {
    if !template.contains(".Messages") {
        return !template.is_empty();
    }
    template.contains("$last")
}

/// Ollama runs a model in its cloud by the tag alone, whether or not it was ever pulled: `name:cloud`, `name:120b-cloud`. It
/// looks past spaces, and so must this.
pub(crate) fn named_as_cloud(model: &str) -> bool {
    let tag = model.rsplit_once(':').map_or("", |(_, tag)| tag).trim().to_lowercase();
    tag == "cloud" || tag.ends_with("-cloud")
}

/// The name with its tag, which is `latest` where none is given: one model has one entry however it is called.
pub(crate) fn tagged(model: &str) -> String {
    let model = model.trim();
    let last = model.rsplit_once('/').map_or(model, |(_, last)| last);
    if last.contains(':') { model.to_owned() } else { format!("{model}:latest") }
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
            "capabilities": ["completion", "tools", "vision", "thinking"],
            "model_info": {
                "clip.context_length": 77, "general.architecture": "qwen2", "qwen2.context_length": 32768,
            },
        }));
        let expected = Details {
            context_tokens: Some(32768),
            vision: Some(true),
            thinking: true,
            tools: true,
            ..Details::default()
        };
        assert_eq!(shown, expected);
        assert!(details(json!({"model_info": {"general.architecture": "gptoss"}})).thinks_by_level);
    }

    #[test]
    fn what_a_token_takes_in_the_cache_is_worked_out_from_the_models_shape() {
        let takes = |info: Value| details(json!({"model_info": info})).cache_bytes_per_token;
        let eight_billion = json!({
            "general.architecture": "llama", "llama.block_count": 32, "llama.embedding_length": 4096,
            "llama.attention.head_count": 32, "llama.attention.head_count_kv": 8,
        });
        assert_eq!(takes(eight_billion), Some(128 << 10));
        let with_lengths = json!({
            "general.architecture": "qwen3moe", "qwen3moe.block_count": 48, "qwen3moe.embedding_length": 2048,
            "qwen3moe.attention.head_count": 32, "qwen3moe.attention.head_count_kv": 4,
            "qwen3moe.attention.key_length": 128, "qwen3moe.attention.value_length": 128,
        });
        assert_eq!(takes(with_lengths), Some(96 << 10));
        let by_layer = json!({
            "general.architecture": "x", "x.block_count": 3, "x.attention.head_count_kv": [1, 0, 2],
            "x.attention.key_length": 64, "x.attention.value_length": 64,
        });
        assert_eq!(takes(by_layer), Some(3 * 128 * 2));
        for nothing in [
            json!({"general.architecture": "x"}),
            json!({"general.architecture": "x", "x.block_count": 3, "x.attention.head_count_kv": null}),
            json!({"general.architecture": "x", "x.block_count": "3", "x.attention.head_count": 4}),
        ] {
            assert_eq!(takes(nothing.clone()), None, "{nothing}");
        }
    }

    #[test]
    fn embedding_models_do_not_chat_and_old_servers_do_not_tell() {
        let shown = details(json!({"capabilities": ["embedding"], "model_info": {}}));
        assert!(!shown.chats && shown.embeds);
        assert_eq!(details(json!({"model_info": null})), Details::default());
    }

    #[test]
    fn only_templates_that_leave_the_last_message_open_go_on_with_it() {
        let open = |template: &str| details(json!({"capabilities": ["completion"], "template": template})).continues;
        assert!(open("<|user|>{{ .Prompt }}<|assistant|>{{ .Response }}<|end|>"));
        assert!(open(
            "{{ range $i, $_ := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 }}{{ .Content }}{{ if not $last }}<end>{{ end }}{{ end }}"
        ));
        // What Ollama makes of a ChatML model that comes as a bare file.
        assert!(!open(
            "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
        ));
        assert!(!details(json!({"capabilities": ["completion", "thinking"], "template": "{{ .Prompt }}"})).continues);
        assert!(details(json!({"renderer": "qwen3-coder", "template": "{{ .Prompt }}"})).continues);
        assert!(!details(json!({"renderer": "other", "template": "{{ .Prompt }}"})).continues);
    }

    #[test]
    fn a_model_that_runs_elsewhere_is_known_by_its_host_or_its_tag() {
        assert!(details(json!({"capabilities": ["completion"], "remote_host": "https://elsewhere.invalid"})).remote);
        for name in ["gpt-oss:120b-cloud", "glm:cloud", "a/b:7b:Cloud", "glm:cloud ", "glm: cloud", "\tq:1b-cloud\n"] {
            assert!(named_as_cloud(name), "{name:?}");
        }
        assert!(!named_as_cloud("cloud") && !named_as_cloud("mistral:7b") && !named_as_cloud("cloud-writer:latest"));
    }

    #[test]
    fn a_name_without_a_tag_is_the_latest() {
        assert_eq!(tagged("m"), "m:latest");
        assert_eq!(tagged("host:5000/m"), "host:5000/m:latest");
        assert_eq!(tagged("a/m:7b "), "a/m:7b");
    }
}
