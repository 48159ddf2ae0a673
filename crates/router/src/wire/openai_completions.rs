//! `POST /v1/completions`: the older API that goes on with a text. Editors still complete code with it.
//!
//! Translated, the text becomes one message of the user. Thinking and tool calls have no place in it.

use crate::{
    Conversation, Error, Event, Frame,
    answer::Whole,
    conversation::Message,
    dialect::{Encoder, Envelope, Peek},
    json_object::Fields,
    wire::openai::{
        self,
        passage::Passage,
        place::{self, Place},
        routing, sampling, sse,
    },
};
use bytes::{Bytes, BytesMut};
use protocol::{FinishReason, Role};
use serde_json::{Value, json, value::RawValue};

pub(crate) use super::openai::error;

pub(crate) fn peek(body: &Bytes) -> Result<Peek, Error> {
    let fields = Fields::of(body)?;
    let prompt = routing::required(&fields, "prompt")?;
    let prompts = match prompt.get().as_bytes().first() {
        Some(b'"') => 1,
        Some(b'[') => prompts(prompt)?,
        _ => return Err(Place::Root.field("prompt").invalid("must be a text or an array of texts")),
    };
    let mut peek = routing::peek(&fields, &["max_tokens"], &["prompt", "suffix"])?;
    // Every prompt is answered `n` times, and where the best of more is asked for, all of them are made and paid.
    let made = routing::choices(&fields, "best_of")?;
    peek.choices = peek.choices.max(made).saturating_mul(prompts);
    Ok(peek)
}

/// How many prompts an array holds: numbers are the tokens of a single one.
fn prompts(prompt: &RawValue) -> Result<u32, Error> {
    let at = Place::Root;
    let at = at.field("prompt");
    let items: Vec<&RawValue> =
        serde_json::from_str(prompt.get()).map_err(|error| at.invalid(format!("cannot be read: {error}")))?;
    match items.first().map(|first| first.get().as_bytes()) {
        None => Err(at.invalid("is an empty array: there is nothing to go on with")),
        Some([b'"' | b'[', ..]) => Ok(u32::try_from(items.len()).unwrap_or(u32::MAX)),
        Some(_) => Ok(1),
    }
}

pub(crate) fn conversation(body: &Bytes) -> Result<Conversation, Error> {
    let root = Place::Root;
    let mut to = Conversation::default();
    for (name, value) in place::body(body)? {
        let at = root.field(&name);
        if value.is_null() {
            continue;
        }
        let Some(value) = sampling::take(&mut to, &name, value, &at)? else { continue };
        match name.as_str() {
            "prompt" => to.messages.push(Message::text(Role::User, only_prompt(value, &at)?)),
            "max_tokens" => to.max_output_tokens = at.limit(&value)?,
            _ if sampling::is_default(&name, &value) => {}
            _ => to.lost.push(at.to_string()),
        }
    }
    if to.messages.is_empty() {
        return Err(root.field("prompt").invalid("is missing"));
    }
    Ok(to)
}

fn only_prompt(value: Value, at: &Place<'_>) -> Result<String, Error> {
    match value {
        Value::String(text) => Ok(text),
        Value::Array(mut items) => match (items.len(), items.pop()) {
            (1, Some(Value::String(text))) => Ok(text),
            (_, Some(Value::String(_))) => Err(at.invalid(
                "holds several texts, which the chosen model cannot answer at once. Send one request for each",
            )),
            _ => Err(at.invalid("holds tokens, which mean nothing to another model. Send the text")),
        },
        _ => Err(at.invalid("must be a text or an array of texts")),
    }
}

/// This dialect has fewer reasons to stop.
fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop | FinishReason::ToolCalls => FinishReason::Stop.as_str(),
        FinishReason::Length | FinishReason::ContentFilter => reason.as_str(),
    }
}

pub(crate) fn whole(envelope: &Envelope, whole: &Whole) -> Value {
    let reason = whole.finish.as_ref().map_or(FinishReason::Stop, |finish| finish.reason);
    let mut body = chunk(&format!("cmpl-{}", envelope.id), envelope, &whole.text(), Some(finish_reason(reason)));
    body["usage"] = openai::usage(&whole.usage());
    body
}

fn chunk(id: &str, envelope: &Envelope, text: &str, finish_reason: Option<&str>) -> Value {
    json!({
        "id": id,
        "object": "text_completion",
        "created": envelope.created_s,
        "model": envelope.model,
        "choices": [{"index": 0, "text": text, "logprobs": null, "finish_reason": finish_reason}],
    })
}

pub(crate) fn encoder(envelope: Envelope) -> Box<dyn Encoder> {
    let passage = Passage::new(format!("cmpl-{}", envelope.id));
    Box::new(CompletionEncoder { envelope, passage })
}

struct CompletionEncoder {
    envelope: Envelope,
    passage: Passage,
}

impl CompletionEncoder {
    fn write(&mut self, event: &Event, out: &mut BytesMut) {
        match event {
            Event::Text(text) if !text.is_empty() => {
                self.passage.speak();
                self.chunk(text, None, out);
            }
            Event::Finished(finish) => {
                if !self.passage.finished {
                    self.chunk("", Some(finish_reason(finish.reason)), out);
                }
                if self.envelope.wants_usage && !self.passage.counted {
                    let mut last = chunk(&self.passage.id, &self.envelope, "", None);
                    last["choices"] = json!([]);
                    last["usage"] = openai::usage(&finish.usage);
                    sse::data(out, &last);
                }
                out.extend_from_slice(sse::DONE);
                self.passage.end();
            }
            Event::Text(_)
            | Event::Opaque(_)
            | Event::Started { .. }
            | Event::Thinking(_)
            | Event::ThinkingSignature(_)
            | Event::RedactedThinking(_)
            | Event::ToolCall { .. }
            | Event::ToolArguments { .. } => {}
        }
    }

    fn chunk(&self, text: &str, finish_reason: Option<&str>, out: &mut BytesMut) {
        let mut chunk = chunk(&self.passage.id, &self.envelope, text, finish_reason);
        if self.envelope.wants_usage {
            chunk["usage"] = Value::Null;
        }
        sse::data(out, &chunk);
    }
}

impl Encoder for CompletionEncoder {
    fn frame(&mut self, frame: Frame, out: &mut BytesMut) {
        let passed = self.passage.pass(&frame, out);
        for event in &frame.events {
            if !self.passage.ended() && (!passed || matches!(event, Event::Finished(_))) {
                self.write(event, out);
            }
        }
    }

    fn fail(&mut self, error: &Error, out: &mut BytesMut) {
        self.passage.fail(error, out);
    }

    fn heartbeat(&mut self, out: &mut BytesMut) {
        self.passage.heartbeat(out);
    }
}

#[cfg(test)]
mod tests;
