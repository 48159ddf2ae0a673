//! Requests that ask for no answer: without messages (or with an empty prompt) Ollama loads the model, or with a
//! `keep_alive` of 0 lets it go.
//!
//! Both dialects give such a request, and no other, a [`Peek`] with `prompt_bytes` of 0. An Ollama that is sent one loads
//! the model under the router's settings. How long models stay is not the callers' to choose, so nobody is let go.

use super::answer::{self, Said, Shape};
use crate::dialect::{Dialect, Envelope, Peek};
use bytes::Bytes;
use domain::Timestamp;
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loading {
    Load,
    Unload,
}

/// What `body` asks for, when it is not an answer.
pub fn asked(dialect: Dialect, peek: &Peek, body: &Bytes) -> Option<Loading> {
    if !matches!(dialect, Dialect::OllamaChat | Dialect::OllamaGenerate) || peek.prompt_bytes > 0 {
        return None;
    }
    let keep_alive: Option<Value> = super::read::fields(body).ok()?.read("keep_alive");
    let none = match keep_alive {
        Some(Value::Number(seconds)) => seconds.as_f64() == Some(0.0),
        // `0`, `0s`, `0m`: a duration without any digit but zeros.
        Some(Value::String(text)) => text.starts_with('0') && !text.contains(|c: char| ('1'..='9').contains(&c)),
        _ => false,
    };
    Some(if none { Loading::Unload } else { Loading::Load })
}

/// The one object that answers it, streamed or not.
pub fn answer(dialect: Dialect, envelope: &Envelope, loading: Loading) -> Value {
    let shape = if dialect == Dialect::OllamaGenerate { Shape::Generate } else { Shape::Chat };
    let created_at = Timestamp::from_millis(envelope.created_s.saturating_mul(1000));
    let mut object = answer::object(shape, &envelope.model, created_at, Said::default());
    object.insert("done".to_owned(), json!(true));
    let reason = match loading {
        Loading::Load => "load",
        // Nobody is let go, and the answer does not claim it.
        Loading::Unload => "stop",
    };
    object.insert("done_reason".to_owned(), json!(reason));
    Value::Object(object)
}
