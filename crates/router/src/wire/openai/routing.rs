//! What routing reads of a request: one pass over the body that skips everything it does not need.

use super::place::{self, Place};
use crate::{
    Error,
    dialect::{IMAGE_PROMPT_BYTES, Peek},
    http::failure::cut,
    json_object::Fields,
    wire::images,
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::borrow::Cow;

/// The most answers that OpenAI gives to one request.
const CHOICES: u64 = 128;
/// Where the prompts of these dialects show images.
const SHOWN: [&str; 2] = ["messages", "input"];
/// What parts with an image are called: of Chat Completions, of Responses, and of a computer that a model uses.
const IMAGES: [&str; 3] = ["image_url", "input_image", "computer_screenshot"];
/// `data:` and a media type come before the content; nobody's are longer.
const DATA_URL_HEAD_BYTES: usize = 128;

/// What all three dialects say alike.
pub(crate) fn peek(fields: &Fields<'_>, limits: &[&str], prompt: &[&str]) -> Result<Peek, Error> {
    let at = Place::Root;
    let mut peek = Peek {
        model: model(fields)?,
        stream: flag(fields, "stream")?,
        choices: choices(fields, "n")?,
        has_tools: ["tools", "functions"].iter().any(|name| said(fields, name).is_some_and(|tools| !is_empty(tools))),
        ..Peek::default()
    };
    for name in limits {
        // What 0 and -1 mean is for the server to say: here they are no limit.
        let is_open = said(fields, name).is_some_and(|limit| {
            serde_json::from_str::<f64>(limit.get()).is_ok_and(|limit| limit <= 0.0 && limit.fract() == 0.0)
        });
        let limit = if is_open { None } else { whole_number(fields, name)? };
        peek.max_output_tokens = peek.max_output_tokens.or(limit.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX)));
    }
    if let Some(options) = said(fields, "stream_options") {
        #[derive(Deserialize)]
        struct Options {
            include_usage: Option<bool>,
        }
        let options: Options = serde_json::from_str(options.get())
            .map_err(|error| at.field("stream_options").invalid(format!("cannot be read: {error}")))?;
        peek.wants_usage = options.include_usage.unwrap_or(false);
    }
    for (name, prompt) in prompt.iter().filter_map(|name| Some((*name, fields.get(name)?))) {
        let has_images = SHOWN.contains(&name) && images::shown(prompt, &IMAGES);
        peek.has_images |= has_images;
        let text = prompt.get();
        peek.prompt_bytes +=
            if has_images || text.contains("\"file_data\"") { text.len() - image_bytes(text) } else { text.len() };
    }
    Ok(peek)
}

/// The `type` of an object, where there is one.
pub(crate) fn kind<'a>(value: &'a RawValue) -> Option<Cow<'a, str>> {
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(rename = "type", borrow)]
        kind: Cow<'a, str>,
    }
    serde_json::from_str::<Kind<'a>>(value.get()).ok().map(|kind| kind.kind)
}

/// A field that is there and not `null`.
pub(crate) fn said<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a RawValue> {
    fields.get(name).filter(|value| value.get() != "null")
}

/// # Errors
/// [`Error::Invalid`] when it is not there.
pub(crate) fn required<'a>(fields: &Fields<'a>, name: &str) -> Result<&'a RawValue, Error> {
    said(fields, name).ok_or_else(|| Place::Root.field(name).invalid("is missing"))
}

/// Of an array or a string: nothing in it.
pub(crate) fn is_empty(value: &RawValue) -> bool {
    let text = value.get();
    text.get(1..text.len().saturating_sub(1)).is_none_or(|inside| inside.trim_start().is_empty())
}

/// # Errors
/// [`Error::Invalid`] when it is there and neither true, false nor null.
pub(crate) fn flag(fields: &Fields<'_>, name: &str) -> Result<bool, Error> {
    match said(fields, name).map(RawValue::get) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(Place::Root.field(name).invalid(format!("must be true or false and is {}", short(other)))),
    }
}

fn model(fields: &Fields<'_>) -> Result<String, Error> {
    let at = Place::Root;
    let at = at.field("model");
    let Some(value) = said(fields, "model") else {
        return Err(at.invalid("is missing. Name a route or a model; GET /v1/models lists them"));
    };
    let model: String = serde_json::from_str(value.get())
        .map_err(|_| at.invalid(format!("must be a string and is {}", short(value.get()))))?;
    if model.trim().is_empty() {
        return Err(at.invalid("is empty. Name a route or a model; GET /v1/models lists them"));
    }
    Ok(model)
}

pub(crate) fn choices(fields: &Fields<'_>, name: &str) -> Result<u32, Error> {
    match whole_number(fields, name)? {
        None => Ok(1),
        Some(n @ 1..=CHOICES) => Ok(u32::try_from(n).unwrap_or(u32::MAX)),
        Some(n) => Err(Place::Root.field(name).invalid(format!("is {n} and must be between 1 and {CHOICES}"))),
    }
}

fn whole_number(fields: &Fields<'_>, name: &str) -> Result<Option<u64>, Error> {
    let Some(value) = said(fields, name) else { return Ok(None) };
    let number = serde_json::from_str::<Value>(value.get()).ok().and_then(|value| place::whole(&value));
    number.map(Some).ok_or_else(|| {
        Place::Root
            .field(name)
            .invalid(format!("must be a whole number that is not negative and is {}", short(value.get())))
    })
}

/// How much of `text` is the content of inline images beyond what one counts for.
fn image_bytes(text: &str) -> usize {
    let mut beyond = 0;
    let mut rest = text;
    while let Some(at) = rest.find("\"data:") {
        rest = &rest[at + 1..];
        let end = rest.find('"').unwrap_or(rest.len());
        let head = &rest.as_bytes()[..end.min(DATA_URL_HEAD_BYTES)];
        if head.windows(8).any(|window| window == b";base64,") {
            beyond += end.saturating_sub(IMAGE_PROMPT_BYTES);
        }
        rest = &rest[end..];
    }
    beyond
}

fn short(text: &str) -> String {
    const SHOWN_CHARACTERS: usize = 40;
    cut(text.to_owned(), SHOWN_CHARACTERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inline_image_counts_for_some_tokens_whatever_its_size() {
        let image = "A".repeat(3_000_000);
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{image}"}}}}]}}]}}"#
        );
        let peek = peek(&Fields::of(body.as_bytes()).unwrap(), &[], &["messages"]).unwrap();
        assert!(peek.has_images);
        assert!((6_144..7_000).contains(&peek.prompt_bytes), "{}", peek.prompt_bytes);
    }

    #[test]
    fn text_about_images_is_text() {
        let body = br#"{"model":"m","messages":[{"role":"user","content":"the \"image_url\" field, \"data:image/png;base64,AAAA"}]}"#;
        let peek = peek(&Fields::of(body).unwrap(), &[], &["messages"]).unwrap();
        assert!(!peek.has_images);
        assert_eq!(peek.prompt_bytes, body.len() - r#"{"model":"m","messages":}"#.len());
    }
}
