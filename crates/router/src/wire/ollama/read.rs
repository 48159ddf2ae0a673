//! Reading what `/api/chat` and `/api/generate` have in common.

use crate::{
    Error,
    conversation::{Conversation, Format, Image, Thinking},
    dialect::{IMAGE_PROMPT_BYTES, Peek},
    json_object::{Fields, kind},
};
use bytes::Bytes;
use serde_json::{Map, Value, value::RawValue};

pub(crate) fn fields(body: &Bytes) -> Result<Fields<'_>, Error> {
    if body.trim_ascii().is_empty() {
        return Err(Error::invalid("", "missing request body"));
    }
    Fields::of(body)
}

/// The name of the model asked for.
pub(crate) fn model(fields: &Fields<'_>) -> Result<String, Error> {
    let name = fields.get("model").map(|value| serde_json::from_str::<String>(value.get()));
    match name {
        Some(Ok(name)) if !name.trim().is_empty() => Ok(name),
        Some(Err(_)) => Err(Error::invalid("/model", "it must be a string")),
        _ => Err(Error::invalid("/model", "model is required")),
    }
}

/// Whether there is anything in an array, an object or a string.
pub(crate) fn holds_something(value: Option<&RawValue>) -> bool {
    value.map(RawValue::get).is_some_and(|text| match text {
        "null" | "\"\"" | "{}" => false,
        text => text.strip_prefix('[').is_none_or(|rest| rest.trim_start() != "]"),
    })
}

/// How much of `images` is their content beyond what each counts for.
pub(super) fn image_bytes(images: &RawValue) -> usize {
    let images: Vec<&RawValue> = serde_json::from_str(images.get()).unwrap_or_default();
    images.iter().map(|image| image.get().len().saturating_sub(IMAGE_PROMPT_BYTES)).sum()
}

/// What is the same in both. `prompt_bytes` is left to the caller.
pub(crate) fn peek(fields: &Fields<'_>) -> Result<Peek, Error> {
    let options: Option<Map<String, Value>> = fields.read("options");
    let limit = options.as_ref().and_then(|options| options.get("num_predict")).and_then(Value::as_u64);
    Ok(Peek {
        model: model(fields)?,
        stream: fields.read::<bool>("stream").unwrap_or(true),
        wants_usage: true,
        max_output_tokens: limit.filter(|&tokens| tokens > 0).and_then(|tokens| u32::try_from(tokens).ok()),
        has_tools: holds_something(fields.get("tools")),
        has_schema: holds_something(fields.get("format")),
        has_images: false,
        choices: 1,
        prompt_bytes: 0,
    })
}

pub(crate) fn whole_body(body: &Bytes) -> Result<Map<String, Value>, Error> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(body)) => Ok(body),
        Ok(other) => Err(Error::invalid("", format!("the body is {}, not an object", kind(&other)))),
        Err(error) => Err(Error::invalid("", format!("the body is not JSON: {error}"))),
    }
}

/// Text at `name`; nothing where there is nothing.
pub(crate) fn text(object: &Map<String, Value>, place: &str, name: &str) -> Result<String, Error> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => {
            Err(Error::invalid(format!("{place}/{name}"), format!("{} where a string belongs", kind(other))))
        }
    }
}

pub(crate) fn list<'a>(object: &'a Map<String, Value>, place: &str, name: &str) -> Result<&'a [Value], Error> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(list)) => Ok(list),
        Some(other) => {
            Err(Error::invalid(format!("{place}/{name}"), format!("{} where an array belongs", kind(other))))
        }
    }
}

/// Images are bare base64 here; what kind they are shows in their first bytes.
pub(crate) fn images(object: &Map<String, Value>, place: &str) -> Result<Vec<Image>, Error> {
    let images = list(object, place, "images")?.iter().enumerate();
    images
        .map(|(at, image)| match image {
            Value::String(data) => Ok(image_of(data)),
            other => {
                Err(Error::invalid(format!("{place}/images/{at}"), format!("{} where base64 belongs", kind(other))))
            }
        })
        .collect()
}

fn image_of(data: &str) -> Image {
    if let Some((media_type, data)) = data.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
        return Image::Base64 { media_type: media_type.to_owned(), data: data.to_owned() };
    }
    let starts = [
        ("iVBORw0KGgo", "image/png"),
        ("/9j/", "image/jpeg"),
        ("R0lGOD", "image/gif"),
        ("UklGR", "image/webp"),
        ("JVBERi0", "application/pdf"),
    ];
    let known = starts.iter().find(|(start, _)| data.starts_with(start));
    let media_type = known.map_or("application/octet-stream", |(_, media_type)| media_type);
    Image::Base64 { media_type: media_type.to_owned(), data: data.to_owned() }
}

/// Everything but what is said: options, format, thinking, and what is lost of all fields that are not `known`.
pub(crate) fn rest(body: &Map<String, Value>, known: &[&str], conversation: &mut Conversation) -> Result<(), Error> {
    conversation.format = format(body.get("format"))?;
    conversation.thinking = thinking(body.get("think"))?;
    for (name, value) in body {
        let told = match name.as_str() {
            "model" | "stream" | "format" | "think" | "options" => true,
            // Switched off, as they are everywhere here, they are no loss.
            "truncate" | "shift" | "logprobs" | "raw" | "_debug_render_only" => value == false,
            "top_logprobs" => value == 0,
            name => known.contains(&name),
        };
        let empty = match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            _ => false,
        };
        if !told && !empty {
            conversation.lost.push(pointer(name));
        }
    }
    match body.get("options") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(given)) => options(given, conversation),
        Some(other) => Err(Error::invalid("/options", format!("{} where an object belongs", kind(other)))),
    }
}

fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn format(format: Option<&Value>) -> Result<Format, Error> {
    match format {
        None | Some(Value::Null) => Ok(Format::Text),
        Some(Value::String(name)) if name.is_empty() => Ok(Format::Text),
        Some(Value::String(name)) if name == "json" => Ok(Format::Json),
        Some(schema @ Value::Object(_)) => {
            Ok(Format::Schema { name: "answer".to_owned(), schema: schema.clone(), strict: None })
        }
        Some(other) => {
            Err(Error::invalid("/format", format!("invalid format: {other}; expected \"json\" or a JSON schema")))
        }
    }
}

fn thinking(think: Option<&Value>) -> Result<Thinking, Error> {
    match think {
        None | Some(Value::Null) => Ok(Thinking::Default),
        Some(Value::Bool(true)) => Ok(Thinking::On),
        Some(Value::Bool(false)) => Ok(Thinking::Off),
        // Other providers know nothing above `high`.
        Some(Value::String(level)) if level == "max" => Ok(Thinking::Effort("high".to_owned())),
        Some(Value::String(level)) if matches!(level.as_str(), "low" | "medium" | "high") => {
            Ok(Thinking::Effort(level.clone()))
        }
        Some(other) => {
            let message =
                format!("invalid think value: {other}; expected true, false, \"low\", \"medium\" or \"high\"");
            Err(Error::invalid("/think", message))
        }
    }
}

fn options(given: &Map<String, Value>, conversation: &mut Conversation) -> Result<(), Error> {
    for (name, value) in given {
        let place = format!("/options{}", pointer(name));
        if value.is_null() {
            continue;
        }
        // Clients send whole numbers as 1.0 too.
        let integer = || {
            let whole =
                value.as_i64().or_else(|| value.as_f64().filter(|number| number.fract() == 0.0).map(|n| n as i64));
            whole.ok_or_else(|| Error::invalid(&*place, format!("{value} where a whole number belongs")))
        };
        let number = || {
            let number = value.as_f64().map(|number| number as f32);
            number.ok_or_else(|| Error::invalid(&*place, format!("{value} where a number belongs"))).map(Some)
        };
        match name.as_str() {
            // Zero and less mean no limit.
            "num_predict" => {
                conversation.max_output_tokens = u32::try_from(integer()?).ok().filter(|&tokens| tokens > 0);
            }
            "temperature" => conversation.temperature = number()?,
            "top_p" => conversation.top_p = number()?,
            "top_k" => conversation.top_k = u32::try_from(integer()?).ok(),
            "frequency_penalty" => conversation.frequency_penalty = number()?,
            "presence_penalty" => conversation.presence_penalty = number()?,
            // Less than zero means any.
            "seed" => conversation.seed = u64::try_from(integer()?).ok(),
            "stop" => conversation.stop = stop(value, &place)?,
            _ => conversation.lost.push(place),
        }
    }
    Ok(())
}

fn stop(value: &Value, place: &str) -> Result<Vec<String>, Error> {
    let list = match value {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    list.iter()
        .map(|text| match text {
            Value::String(text) => Ok(text.clone()),
            other => Err(Error::invalid(place, format!("{} where a string belongs", kind(other)))),
        })
        .collect()
}
