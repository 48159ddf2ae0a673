//! What clients of OpenAI, Anthropic and Ollama call, in their own words.

pub mod chat_completions;
pub mod completions;
pub mod count_tokens;
pub mod embeddings;
pub mod messages;
pub mod model;
pub mod models;
pub mod ollama_chat;
pub mod ollama_delete;
pub mod ollama_embed;
pub mod ollama_embeddings;
pub mod ollama_generate;
pub mod ollama_ps;
pub mod ollama_pull;
pub mod ollama_show;
pub mod ollama_tags;
pub mod ollama_version;
pub mod pass_through;
pub mod responses;
pub mod responses_upgrade;
