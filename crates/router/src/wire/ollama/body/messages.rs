//! The messages of a conversation, in the order in which templates take them.
//!
//! ```text
//!   every system message ─▶ one, at the beginning: many templates refuse a later one
//!   assistant ─▶ itself     its tools' results ─▶ right after it     what was said between them ─▶ after the last of them
//!   images of results and of assistants ─▶ a user's message behind them: there every model that sees looks for them
//! ```

use super::super::provider::{Details, Settings};
use crate::{
    Error,
    conversation::{Document, Image, Message, Part},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use protocol::Role;
use serde_json::{Value, json};

pub(super) fn messages(
    messages: &[Message],
    model: &str,
    details: &Details,
    settings: &Settings<'_>,
) -> Result<Vec<Value>, Error> {
    let target = Target { model, details, settings };
    let mut all = Vec::with_capacity(messages.len());
    all.extend(target.system(messages)?);
    // What waits until the results that belong to an assistant's calls are told.
    let mut after: Vec<Value> = Vec::new();
    for message in messages.iter().filter(|message| message.role != Role::System) {
        if message.role == Role::Assistant {
            all.append(&mut after);
            // What an assistant said goes on where it stopped; what others said in pieces are lines.
            let mut wire = target.wire(&message.parts, "")?;
            let shown = wire.take_images();
            all.push(wire.finish("assistant"));
            after.extend(shown);
            continue;
        }
        let results = message.parts.iter().filter_map(|part| match part {
            Part::ToolResult { call_id, parts, is_error } => Some((call_id, parts, *is_error)),
            _ => None,
        });
        let mut has_results = false;
        for (call_id, parts, is_error) in results {
            has_results = true;
            let mut wire = target.wire(parts, "\n")?;
            after.extend(wire.take_images());
            // There is no mark for a tool that failed.
            if is_error && !wire.content.to_lowercase().starts_with("error") {
                wire.content.insert_str(0, "Error: ");
            }
            let mut result = wire.finish("tool");
            result["tool_call_id"] = json!(call_id);
            if let Some(name) = name_of(messages, call_id) {
                result["tool_name"] = json!(name);
            }
            all.push(result);
        }
        let wire = target.wire(&message.parts, "\n")?;
        if !(has_results && wire.is_empty()) {
            after.push(wire.finish("user"));
        }
    }
    all.append(&mut after);
    Ok(all)
}

/// A result names its tool here and not only its call.
fn name_of<'a>(messages: &'a [Message], id: &str) -> Option<&'a str> {
    messages.iter().flat_map(|message| &message.parts).find_map(|part| match part {
        Part::ToolCall { id: at, name, .. } if at == id => Some(name.as_str()),
        _ => None,
    })
}

/// # Errors
/// [`Error::Refused`] for a model that is known not to.
pub(crate) fn can_look(model: &str, details: &Details, settings: &Settings<'_>) -> Result<(), Error> {
    if details.vision != Some(false) {
        return Ok(());
    }
    let message = format!("`{model}` cannot look at images. Take a model with the capability `vision`");
    Err(Error::Refused { provider: settings.provider.to_owned(), message: message.into() })
}

/// Who is to read it.
struct Target<'a> {
    model: &'a str,
    details: &'a Details,
    settings: &'a Settings<'a>,
}

impl Target<'_> {
    fn refused(&self, message: String) -> Error {
        Error::Refused { provider: self.settings.provider.to_owned(), message: message.into() }
    }

    /// All system messages as one, and what they show.
    fn system(&self, messages: &[Message]) -> Result<Vec<Value>, Error> {
        let mut texts = Vec::new();
        let mut shown = Vec::new();
        for message in messages.iter().filter(|message| message.role == Role::System) {
            let mut wire = self.wire(&message.parts, "\n")?;
            shown.extend(wire.take_images());
            texts.push(wire.content);
        }
        let is_said = !texts.is_empty();
        let system = is_said.then(|| json!({"role": "system", "content": texts.join("\n\n")}));
        Ok(system.into_iter().chain(shown).collect())
    }

    fn wire(&self, parts: &[Part], between: &'static str) -> Result<Wire, Error> {
        let mut wire = Wire { between, ..Wire::default() };
        for part in parts {
            match part {
                Part::Text(text) => wire.say(text),
                Part::Image(Image::Base64 { media_type, data }) => self.show(media_type, data, &mut wire)?,
                Part::Image(Image::Url(url)) => {
                    // What stands in the URL itself need not be fetched.
                    let inline = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
                    let (media_type, data) = inline.ok_or_else(|| {
                        self.refused("Ollama does not fetch images by URL. Send the image itself, as base64".to_owned())
                    })?;
                    self.show(media_type, data, &mut wire)?;
                }
                Part::Document { content: Document::Text(text), .. } => wire.say(text),
                Part::Document { media_type, content: Document::Base64(data), .. } => {
                    self.show(media_type, data, &mut wire)?;
                }
                Part::Document { content: Document::Url(_), .. } => {
                    let message = "Ollama does not fetch documents by URL. Send the text of the document".to_owned();
                    return Err(self.refused(message));
                }
                Part::Thinking { text, .. } => wire.thinking.push_str(text),
                // Only its own provider can read it.
                Part::RedactedThinking { .. } => {}
                Part::ToolCall { id, name, arguments } => wire.call(id, name, arguments),
                // Is a message of its own.
                Part::ToolResult { .. } => {}
            }
        }
        Ok(wire)
    }

    /// A file as what the model can take of it: an image as such, a text as its words.
    fn show(&self, media_type: &str, data: &str, wire: &mut Wire) -> Result<(), Error> {
        // `text/plain; charset=utf-8`.
        let kind = media_type.split(';').next().unwrap_or_default().trim().to_lowercase();
        let is_text = kind.starts_with("text/")
            || ["json", "xml", "yaml", "x-yaml", "toml", "javascript"]
                .iter()
                .any(|end| kind.strip_prefix("application/").is_some_and(|kind| kind == *end));
        if is_text {
            let bytes = BASE64_STANDARD.decode(data).ok();
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            let text = text.ok_or_else(|| self.refused(format!("a file of the type `{kind}` is no text in UTF-8")))?;
            wire.say(&text);
            return Ok(());
        }
        if !kind.starts_with("image/") && kind != "application/octet-stream" && !kind.is_empty() {
            let message = format!(
                "Ollama reads no files of the type `{kind}`. Send its text, or use a model of another provider"
            );
            return Err(self.refused(message));
        }
        can_look(self.model, self.details, self.settings)?;
        wire.images.push(data.to_owned());
        Ok(())
    }
}

/// One message as it grows from its parts.
#[derive(Default)]
struct Wire {
    between: &'static str,
    content: String,
    thinking: String,
    images: Vec<String>,
    tool_calls: Vec<Value>,
}

impl Wire {
    fn say(&mut self, text: &str) {
        if !self.content.is_empty() && !text.is_empty() {
            self.content.push_str(self.between);
        }
        self.content.push_str(text);
    }

    fn call(&mut self, id: &str, name: &str, arguments: &str) {
        // Ollama takes objects only; what a model got wrong once must still be sent back to it.
        let arguments = match serde_json::from_str::<Value>(arguments) {
            Ok(Value::Object(arguments)) => Value::Object(arguments),
            Ok(Value::Null) => json!({}),
            _ if arguments.trim().is_empty() => json!({}),
            _ => json!({"arguments": arguments}),
        };
        self.tool_calls.push(json!({"id": id, "function": {"name": name, "arguments": arguments}}));
    }

    fn is_empty(&self) -> bool {
        self.content.is_empty() && self.thinking.is_empty() && self.images.is_empty() && self.tool_calls.is_empty()
    }

    /// Its images as a message of their own.
    fn take_images(&mut self) -> Option<Value> {
        let images = std::mem::take(&mut self.images);
        (!images.is_empty()).then(|| json!({"role": "user", "content": "", "images": images}))
    }

    fn finish(self, role: &str) -> Value {
        let mut wire = json!({"role": role, "content": self.content});
        if !self.thinking.is_empty() {
            wire["thinking"] = json!(self.thinking);
        }
        if !self.images.is_empty() {
            wire["images"] = json!(self.images);
        }
        if !self.tool_calls.is_empty() {
            wire["tool_calls"] = json!(self.tool_calls);
        }
        wire
    }
}
