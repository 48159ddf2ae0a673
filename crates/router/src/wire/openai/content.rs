//! Content of messages, and tools: shared because Chat Completions and Responses differ only in names and nesting.

use super::place::Place;
use crate::{
    Error,
    conversation::{Document, Image, Part, Tool},
};
use serde_json::{Map, Value, json};

/// A text, an array of parts, or nothing.
pub(crate) fn parts(value: Value, at: &Place<'_>, lost: &mut Vec<String>) -> Result<Vec<Part>, Error> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(text) if text.is_empty() => Ok(Vec::new()),
        Value::String(text) => Ok(vec![Part::Text(text)]),
        Value::Array(items) => {
            let mut parts = Vec::with_capacity(items.len());
            for (index, item) in items.into_iter().enumerate() {
                parts.push(part(item, &at.index(index), lost)?);
            }
            Ok(parts)
        }
        _ => Err(at.invalid("must be a text or an array of parts")),
    }
}

/// What an assistant said: its thoughts may stand among the parts, as Mistral's servers write them.
pub(crate) fn of_assistant(value: Value, at: &Place<'_>, lost: &mut Vec<String>) -> Result<Vec<Part>, Error> {
    let Value::Array(items) = value else { return parts(value, at, lost) };
    let mut said = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let at = at.index(index);
        said.push(match item {
            Value::Object(fields) if fields.get("type").is_some_and(|kind| kind == "thinking") => {
                thinking(fields, &at, lost)?
            }
            item => part(item, &at, lost)?,
        });
    }
    Ok(said)
}

/// A text, or parts of one.
fn thinking(mut fields: Map<String, Value>, at: &Place<'_>, lost: &mut Vec<String>) -> Result<Part, Error> {
    fields.remove("type");
    // That the thought is over, which it is.
    fields.remove("closed");
    let inner = at.field("thinking");
    let thought = parts(at.required(&mut fields, "thinking")?, &inner, lost)?;
    let mut text = String::new();
    for (index, part) in thought.iter().enumerate() {
        match part {
            Part::Text(more) => text.push_str(more),
            _ => {
                return Err(inner
                    .index(index)
                    .invalid("is no text, and thoughts are. Send them as texts, or leave them out"));
            }
        }
    }
    at.leftovers(&fields, lost);
    Ok(Part::Thinking { text, signature: None })
}

fn part(value: Value, at: &Place<'_>, lost: &mut Vec<String>) -> Result<Part, Error> {
    let mut fields = match value {
        // Some clients write a text where a part belongs, and what they mean is plain.
        Value::String(text) => return Ok(Part::Text(text)),
        other => at.object(other)?,
    };
    let kind = at.field("type").string(at.required(&mut fields, "type")?)?;
    let part = match kind.as_str() {
        "text" | "input_text" | "output_text" => {
            Part::Text(at.field("text").string(at.required(&mut fields, "text")?)?)
        }
        "refusal" => Part::Text(at.field("refusal").string(at.required(&mut fields, "refusal")?)?),
        "image_url" | "input_image" => match image_url(&mut fields, at, lost)? {
            Some(url) => Part::Image(image(url, &at.field("image_url"))?),
            None => return Err(elsewhere(&at.field("file_id"))),
        },
        "file" | "input_file" => document(&mut fields, at, lost)?,
        // Audio, and whatever comes next. A prompt without it would be another prompt.
        other => return Err(at.field("type").invalid(format!(
            "is `{other}`, which no API but the one it was written for has a place for. Name a model of such a server, or leave it out"
        ))),
    };
    at.leftovers(&fields, lost);
    Ok(part)
}

fn elsewhere(at: &Place<'_>) -> Error {
    at.invalid("names a file that lies at another provider than the chosen model's. Send its content")
}

/// In an object of its own in one dialect, and without one in the other.
fn document(fields: &mut Map<String, Value>, at: &Place<'_>, lost: &mut Vec<String>) -> Result<Part, Error> {
    let Some(inner) = fields.remove("file").filter(|inner| !inner.is_null()) else { return file(fields, at) };
    let at = at.field("file");
    let mut inner = at.object(inner)?;
    let part = file(&mut inner, &at)?;
    at.leftovers(&inner, lost);
    Ok(part)
}

fn file(fields: &mut Map<String, Value>, at: &Place<'_>) -> Result<Part, Error> {
    let name = at.optional_string(fields, "filename")?;
    let place = at.field("file_data");
    let Some(data) = at.optional_string(fields, "file_data")?.or(at.optional_string(fields, "file_url")?) else {
        let id = at.field("file_id");
        return Err(if fields.contains_key("file_id") { elsewhere(&id) } else { place.invalid("is missing") });
    };
    let (media_type, content) = match image(data.clone(), &place) {
        Ok(Image::Base64 { media_type, data }) => (media_type, Document::Base64(data)),
        Ok(Image::Url(url)) => ("application/pdf".to_owned(), Document::Url(url)),
        Err(error) if data.starts_with("data:") => return Err(error),
        // Base64 alone: what it is stands in the name.
        Err(_) => (media_type_of(name.as_deref()).to_owned(), Document::Base64(data)),
    };
    Ok(Part::Document { name, media_type, content })
}

fn media_type_of(name: Option<&str>) -> &'static str {
    let ending = name.and_then(|name| name.rsplit_once('.')).map(|(_, ending)| ending.to_ascii_lowercase());
    match ending.as_deref() {
        Some("txt" | "md") => "text/plain",
        Some("csv") => "text/csv",
        Some("json") => "application/json",
        _ => "application/pdf",
    }
}

/// `image_url` is an object with a `url` in one dialect and the URL itself in the other.
fn image_url(fields: &mut Map<String, Value>, at: &Place<'_>, lost: &mut Vec<String>) -> Result<Option<String>, Error> {
    let is_auto = |name: &String, value: &mut Value| !(name == "detail" && *value == "auto");
    fields.retain(is_auto);
    match fields.remove("image_url") {
        Some(Value::String(url)) => Ok(Some(url)),
        Some(Value::Object(mut inner)) => {
            let at = at.field("image_url");
            let url = at.field("url").string(at.required(&mut inner, "url")?)?;
            inner.retain(is_auto);
            at.leftovers(&inner, lost);
            Ok(Some(url))
        }
        None | Some(Value::Null) if fields.contains_key("file_id") => Ok(None),
        None | Some(Value::Null) => Err(at.field("image_url").invalid("is missing")),
        Some(_) => Err(at.field("image_url").invalid("must be a URL or an object with one")),
    }
}

fn image(url: String, at: &Place<'_>) -> Result<Image, Error> {
    let begins = |scheme: &str| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    if begins("http://") || begins("https://") {
        return Ok(Image::Url(url));
    }
    if !begins("data:") {
        return Err(at.invalid("is neither an http(s) URL nor a data URL"));
    }
    let Some((head, data)) = url["data:".len()..].split_once(',') else {
        return Err(at.invalid("is a data URL without content"));
    };
    let Some(media_type) = head.strip_suffix(";base64") else {
        return Err(at.invalid("is a data URL that is not base64"));
    };
    // Parameters of the media type say nothing of an image.
    let media_type = media_type.split(';').next().unwrap_or_default();
    Ok(Image::Base64 { media_type: media_type.to_owned(), data: data.to_owned() })
}

/// A tool's fields, once they are out of their wrapping.
pub(crate) fn tool(mut fields: Map<String, Value>, at: &Place<'_>, lost: &mut Vec<String>) -> Result<Tool, Error> {
    let name = at.field("name").string(at.required(&mut fields, "name")?)?;
    let description = at.optional_string(&mut fields, "description")?.unwrap_or_default();
    let parameters = match fields.remove("parameters") {
        None | Some(Value::Null) => json!({"type": "object", "properties": {}}),
        Some(schema) => Value::Object(at.field("parameters").object(schema)?),
    };
    let strict = match fields.remove("strict") {
        None | Some(Value::Null) => None,
        Some(strict) => Some(at.field("strict").flag(&strict)?),
    };
    at.leftovers(&fields, lost);
    Ok(Tool { name, description, parameters, strict })
}

/// The arguments of a call: JSON text, or the object itself as some clients send it.
pub(crate) fn arguments(value: Option<Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text,
        Some(object) => object.to_string(),
    }
}
