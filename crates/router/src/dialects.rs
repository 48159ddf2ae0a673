//! One module per dialect, each with the same functions: see [`crate::dialect`].

pub(crate) mod anthropic;
pub(crate) mod ollama;
pub(crate) mod openai;
pub(crate) mod openai_chat;
pub(crate) mod openai_completions;
pub(crate) mod openai_embeddings;
pub(crate) mod openai_models;
pub(crate) mod openai_responses;
