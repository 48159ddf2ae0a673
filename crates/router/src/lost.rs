//! What a provider has no words for, told in the caller's.

use crate::{
    Conversation,
    conversation::{Thinking, ToolChoice},
    dialect::Dialect,
};

/// A field of a [`Conversation`] that some providers cannot be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    ToolChoice,
    ParallelToolCalls,
    Temperature,
    TopP,
    TopK,
    FrequencyPenalty,
    PresencePenalty,
    Seed,
    Stop,
    Thinking,
    User,
}

impl Field {
    /// Whether the caller asked for anything but what happens anyway.
    pub(crate) fn is_said(self, conversation: &Conversation) -> bool {
        match self {
            // Without tools it says nothing.
            Self::ToolChoice => conversation.tool_choice != ToolChoice::Auto && !conversation.tools.is_empty(),
            Self::ParallelToolCalls => {
                conversation.parallel_tool_calls == Some(false) && !conversation.tools.is_empty()
            }
            Self::Temperature => conversation.temperature.is_some(),
            Self::TopP => conversation.top_p.is_some(),
            Self::TopK => conversation.top_k.is_some(),
            Self::FrequencyPenalty => conversation.frequency_penalty.is_some(),
            Self::PresencePenalty => conversation.presence_penalty.is_some(),
            Self::Seed => conversation.seed.is_some(),
            Self::Stop => !conversation.stop.is_empty(),
            // Not to think is what most models do anyway.
            Self::Thinking => !matches!(conversation.thinking, Thinking::Default | Thinking::Off),
            Self::User => conversation.user.is_some(),
        }
    }

    /// Its place in a request of that dialect, as a JSON pointer.
    pub(crate) fn pointer(self, dialect: Dialect) -> &'static str {
        let is_ollama = matches!(dialect, Dialect::OllamaChat | Dialect::OllamaGenerate);
        match self {
            Self::ToolChoice => "/tool_choice",
            Self::ParallelToolCalls if dialect == Dialect::Anthropic => "/tool_choice/disable_parallel_tool_use",
            Self::ParallelToolCalls => "/parallel_tool_calls",
            Self::Temperature if is_ollama => "/options/temperature",
            Self::Temperature => "/temperature",
            Self::TopP if is_ollama => "/options/top_p",
            Self::TopP => "/top_p",
            Self::TopK if is_ollama => "/options/top_k",
            Self::TopK => "/top_k",
            Self::FrequencyPenalty if is_ollama => "/options/frequency_penalty",
            Self::FrequencyPenalty => "/frequency_penalty",
            Self::PresencePenalty if is_ollama => "/options/presence_penalty",
            Self::PresencePenalty => "/presence_penalty",
            Self::Seed if is_ollama => "/options/seed",
            Self::Seed => "/seed",
            Self::Stop if is_ollama => "/options/stop",
            Self::Stop if dialect == Dialect::Anthropic => "/stop_sequences",
            Self::Stop => "/stop",
            Self::User if dialect == Dialect::Anthropic => "/metadata/user_id",
            Self::User => "/user",
            Self::Thinking if is_ollama => "/think",
            Self::Thinking => match dialect {
                Dialect::OpenAiResponses => "/reasoning",
                Dialect::Anthropic => "/thinking",
                _ => "/reasoning_effort",
            },
        }
    }
}
