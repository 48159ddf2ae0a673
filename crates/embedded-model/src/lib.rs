//! Models run inside the process: chat models from GGUF files and text embeddings, on the CPU, without a server.
//!
//! - [`Engine`] loads a GGUF file and answers conversations, several at once: streamed, seeded, stopped, cancelled, or
//!   held to a JSON schema or a grammar. What a conversation has read is kept for what begins alike.
//! - [`Embedder`] turns texts into vectors.
//! - [`bill`] says which models devmesh knows where to get, and [`fetch`] gets them: from their vendor, through Python's
//!   package client, or whatever else a hub or a registry has; [`pulled`] remembers the latter.
//! - [`ollama_store`] finds the models an Ollama on this machine has already.
//! - [`cpu_check`] tells a binary built for another CPU before an illegal instruction does.
//!
//! Everything is synchronous and the environment is never read: callers say where files are, and run it on a thread
//! they can spare.

mod about;
pub mod bill;
mod chat;
mod cpu;
mod decoder;
mod embedder;
mod engine;
mod error;
pub mod fetch;
mod format;
mod gguf;
mod memory;
pub mod ollama_store;
pub mod pulled;
mod sampler;
mod threads;
mod tokenizer;
mod weights;

pub use about::{About, about};
pub use chat::{Message, Role};
pub use cpu::cpu_check;
pub use embedder::{Embedder, Embedding};
pub use engine::{AnswerId, Engine, Finish, Info, Options, Output, Progress, Reader, Request, Usage};
pub use error::Error;
pub use format::Format;
pub use sampler::Sampling;
