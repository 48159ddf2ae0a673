//! `POST /api/generate`
//!
//! A prompt without roles. Text that is filled in between a beginning and an end, a template of the caller's own, a prompt
//! as the model sees it, and the tokens of an earlier answer are things only an Ollama understands: a translated request
//! loses them.

use super::{
    answer::{self, Shape},
    error as errors, read,
    writer::Lines,
};
use crate::{
    Error,
    answer::Whole,
    conversation::{Conversation, Message, Part},
    dialect::{Encoder, Envelope, Peek},
};
use bytes::Bytes;
use http::StatusCode;
use protocol::Role;
use serde_json::Value;

/// `prompt_bytes` is 0 for a request to load the model and for no other: see [`super::loading`].
pub(crate) fn peek(body: &Bytes) -> Result<Peek, Error> {
    let fields = read::fields(body)?;
    let mut peek = read::peek(&fields)?;
    peek.has_tools = false;
    peek.has_images = read::holds_something(fields.get("images"));
    if read::holds_something(fields.get("prompt")) {
        let read = ["prompt", "system", "suffix", "context"];
        peek.prompt_bytes = read.iter().filter_map(|name| fields.get(name)).map(|value| value.get().len()).sum();
        let images = fields.get("images").filter(|_| peek.has_images);
        peek.prompt_bytes += images.map_or(0, |images| images.get().len() - read::image_bytes(images));
    }
    Ok(peek)
}

pub(crate) fn conversation(body: &Bytes) -> Result<Conversation, Error> {
    let body = read::whole_body(body)?;
    let mut conversation = Conversation::default();
    read::rest(&body, &["prompt", "system", "images"], &mut conversation)?;
    let system = read::text(&body, "", "system")?;
    if !system.is_empty() {
        conversation.messages.push(Message::text(Role::System, system));
    }
    let prompt = read::text(&body, "", "prompt")?;
    if !prompt.is_empty() {
        let mut message = Message::text(Role::User, prompt);
        message.parts.extend(read::images(&body, "")?.into_iter().map(Part::Image));
        conversation.messages.push(message);
    }
    Ok(conversation)
}

pub(crate) fn encoder(envelope: Envelope) -> Box<dyn Encoder> {
    Box::new(Lines::new(Shape::Generate, envelope))
}

pub(crate) fn whole(envelope: &Envelope, whole: &Whole) -> Value {
    answer::whole(Shape::Generate, envelope, whole)
}

pub(crate) fn error(error: &Error, _request_id: &str) -> (StatusCode, Value) {
    errors::error(error)
}
