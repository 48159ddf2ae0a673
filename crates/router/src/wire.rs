//! What vendors say to callers and providers alike: one module per wire, read and written in one place.
//!
//! ```text
//!   caller's request ─▶ peek, conversation        conversation ─▶ body ─▶ provider
//!   caller ◀─ encoder, whole, error               reader ◀─ provider's answer
//! ```
//! Each wire has the same functions for callers ([`crate::dialect`] is the switch between them) and, under `provider`, what
//! runs models and speaks it.

pub(crate) mod anthropic;
mod effort;
mod images;
pub(crate) mod lenient;
mod lines;
pub(crate) mod ollama;
pub(crate) mod openai;
pub(crate) mod openai_chat;
pub(crate) mod openai_completions;
pub(crate) mod openai_responses;
pub(crate) mod renamed;
mod stream;
mod system;
