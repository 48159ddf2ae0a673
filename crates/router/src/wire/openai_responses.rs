//! `POST /v1/responses`, without its memory: every request brings its whole conversation.

pub(crate) mod body;
mod conversation;
pub(crate) mod either;
mod encoder;
mod items;
pub(crate) mod original;
pub(crate) mod reader;
mod retold;
mod seen;
pub(crate) mod tools;

use crate::{
    Error,
    answer::Whole,
    dialect::{Encoder, Envelope, Peek},
    json_object::Fields,
    wire::openai::{place::Place, routing},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

pub(crate) use super::openai::error;
pub(crate) use conversation::conversation;
pub use seen::Seen;

/// Begins what another vendor sealed, in the answers written here: so that it comes back to who can open it, and to nobody
/// else.
pub(crate) const FOREIGN_SEAL: &str = "sealed-elsewhere.";
/// Begins what a provider of this dialect sealed, between its reader and the encoder of the same dialect.
pub(crate) const OWN_SEAL: &str = "sealed-here.";

pub(crate) fn peek(body: &Bytes) -> Result<Peek, Error> {
    let fields = Fields::of(body)?;
    let at = Place::Root;
    for name in ["previous_response_id", "conversation"] {
        if routing::said(&fields, name).is_some() {
            return Err(at.field(name).invalid(conversation::NOT_STORED));
        }
    }
    let input = routing::required(&fields, "input")?;
    if !input.get().starts_with(['[', '"']) || input.get().starts_with('[') && routing::is_empty(input) {
        return Err(at.field("input").invalid("must be a text or an array of at least one item"));
    }
    let mut peek = routing::peek(&fields, &["max_output_tokens"], &["instructions", "input", "tools", "text"])?;
    // The terminal event always has them.
    peek.wants_usage = true;
    peek.has_schema = routing::said(&fields, "text").is_some_and(has_schema);
    Ok(peek)
}

fn has_schema(text: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Text<'a> {
        #[serde(borrow)]
        format: &'a RawValue,
    }
    serde_json::from_str::<Text<'_>>(text.get())
        .is_ok_and(|text| routing::kind(text.format).is_some_and(|kind| kind == "json_schema"))
}

pub(crate) fn encoder(envelope: Envelope) -> Box<dyn Encoder> {
    Box::new(encoder::ResponsesEncoder::new(envelope))
}

pub(crate) fn whole(envelope: &Envelope, whole: &Whole) -> Value {
    items::whole(envelope, whole)
}

#[cfg(test)]
mod tests;
