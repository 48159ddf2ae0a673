//! Ollama's native API.

pub(crate) mod chat;
pub(crate) mod generate;
