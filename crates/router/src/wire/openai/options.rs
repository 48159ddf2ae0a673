//! How a server of this API is reached, and what a person knows of its models.

pub use crate::wire::effort::EffortsByModel;
use crate::{Secret, http::CONNECT_TIMEOUT};
use protocol::Location;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Options {
    /// How routes call it.
    pub name: String,
    /// With the version: `https://api.openai.com/v1`, `http://127.0.0.1:8000/v1`.
    pub base_url: String,
    pub location: Location,
    /// Used in turn. None for servers that want no key.
    pub api_keys: Vec<Secret>,
    /// What conversations are written for. Requests that came in the other dialect are translated.
    pub api: Api,
    /// `/models` tells names and nothing else, so what is known of models stands here. Models that are named here and not
    /// listed by the server are offered all the same.
    pub models: Vec<ModelOptions>,
    pub output_limit: OutputLimit,
    pub connect_timeout: Duration,
    /// Of models that say nothing else.
    pub prefill: Prefill,
    /// How much models can be told to think. Where nothing is said: what all servers take, and in the cloud whatever a caller of the same API
    /// says, because vendors have words of their own and say which.
    pub efforts: EffortsByModel,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Api {
    /// `/chat/completions`: what every compatible server knows.
    #[default]
    ChatCompletions,
    /// `/responses`
    Responses,
}

/// What a person knows of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelOptions {
    pub name: String,
    pub context_tokens: Option<u64>,
    pub native_tools: bool,
    pub structured_output: bool,
    pub vision: bool,
    /// It makes vectors and does not chat. `None`: its name tells, by holding `embed`.
    pub embeds: Option<bool>,
    /// `None`: as its server.
    pub prefill: Option<Prefill>,
}

impl ModelOptions {
    /// A chatting model with tools and structured output.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            context_tokens: None,
            native_tools: true,
            structured_output: true,
            vision: false,
            embeds: None,
            prefill: None,
        }
    }

    /// Whether it makes vectors and does not chat.
    pub fn embeds(&self) -> bool {
        self.embeds.unwrap_or_else(|| self.name.to_lowercase().contains("embed"))
    }
}

/// How the server calls the limit on output tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputLimit {
    /// `max_tokens`: what every compatible server knows.
    #[default]
    MaxTokens,
    /// `max_completion_tokens`: what OpenAI's reasoning models insist on.
    MaxCompletionTokens,
}

/// How the server is told to go on with an assistant's last message instead of answering it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prefill {
    /// It cannot.
    #[default]
    None,
    /// It does so without being told: llama.cpp, OpenRouter for models that can.
    LastMessage,
    /// `prefix: true` in that message: DeepSeek, Mistral.
    PrefixField,
    /// `continue_final_message` and no `add_generation_prompt`: vLLM, SGLang.
    VllmFlags,
}

impl Options {
    /// A server with tools and structured output at its defaults.
    pub fn new(name: impl Into<String>, base_url: impl Into<String>, location: Location) -> Self {
        let base_url = base_url.into();
        let output_limit = if base_url.starts_with("https://api.openai.com/") {
            OutputLimit::MaxCompletionTokens
        } else {
            OutputLimit::MaxTokens
        };
        Self {
            name: name.into(),
            base_url,
            location,
            api_keys: Vec::new(),
            api: Api::default(),
            models: Vec::new(),
            output_limit,
            connect_timeout: CONNECT_TIMEOUT,
            prefill: Prefill::None,
            efforts: EffortsByModel::default(),
        }
    }
}
