//! The engine and the embedder on real models, fetched as a user would fetch them, and on files no model is in.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod chat;
mod embedding;
mod files;
mod hubs;
mod models;
mod ollama;
mod together;
mod tokens;
