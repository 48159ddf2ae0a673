//! One module per dialect, each with the same functions: see [`crate::dialect`].

pub(crate) mod anthropic;
pub(crate) mod ollama;
pub(crate) mod openai_chat;
pub(crate) mod openai_completions;
pub(crate) mod openai_responses;
