//! Ollama's native API, as its own clients speak it: `/api/chat`, `/api/generate` and what stands around them.
//!
//! Streaming is the default here. A request without messages, or with an empty prompt, asks for no answer but for the model
//! to be loaded: see [`loading`].

mod answer;
mod body;
pub(crate) mod chat;
mod error;
pub(crate) mod generate;
pub(crate) mod joined;
pub mod listing;
pub mod loading;
mod original;
pub mod provider;
mod read;
mod reader;
mod writer;
