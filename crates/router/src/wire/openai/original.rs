//! The caller's own request for a server of the same dialect: its bytes, with a field or two changed.

use crate::{Error, json_object::Fields, providers::ChatRequest};
use bytes::Bytes;
use serde_json::{Value, value::RawValue};

/// `counts` for APIs whose streams tell token counts only when they are asked to.
pub(crate) fn body(request: &ChatRequest, original: &Bytes, counts: bool) -> Result<Bytes, Error> {
    let peek = &request.asked.peek;
    let counts = counts && request.stream && !peek.wants_usage;
    if peek.model == request.model && peek.stream == request.stream && !counts {
        return Ok(original.clone());
    }
    let fields = Fields::of(original)?;
    let model = Value::from(request.model.as_str()).to_string();
    let mut changes: Vec<(&str, &str)> = Vec::new();
    if peek.model != request.model {
        changes.push(("model", &model));
    }
    if peek.stream != request.stream {
        changes.push(("stream", if request.stream { "true" } else { "false" }));
    }
    let options;
    if counts {
        options = fields.get("stream_options").map_or_else(asking_for_counts, with_counts);
        changes.push(("stream_options", &options));
    }
    Ok(fields.with(&changes))
}

fn asking_for_counts() -> String {
    r#"{"include_usage":true}"#.to_owned()
}

/// What else is asked for stays as it is.
fn with_counts(options: &RawValue) -> String {
    let merged = Fields::of(options.get().as_bytes()).map(|options| options.with(&[("include_usage", "true")]));
    merged.ok().and_then(|merged| String::from_utf8(merged.to_vec()).ok()).unwrap_or_else(asking_for_counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Conversation,
        dialect::{Asked, Dialect},
        providers::Patience,
    };
    use std::{sync::Arc, time::Duration};

    fn sent(original: &str, peeked: (&str, bool, bool), model: &str, stream: bool) -> String {
        let mut asked = Asked::own(peeked.0.to_owned(), Conversation::default(), 0);
        asked.dialect = Dialect::OpenAiChat;
        asked.body = Bytes::copy_from_slice(original.as_bytes());
        (asked.peek.stream, asked.peek.wants_usage) = (peeked.1, peeked.2);
        let request = ChatRequest {
            model: model.to_owned(),
            asked: Arc::new(asked),
            changed: None,
            stream,
            checkpoint: None,
            patience: Patience { headers: Duration::from_secs(1) },
            trace: None,
        };
        let body = body(&request, request.original(Dialect::OpenAiChat).unwrap(), true).unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[test]
    fn only_the_model_and_the_wish_for_counts_change() {
        let plain = r#"{ "model":"a" , "messages": [1.50, 2e3], "unknown":{"x":null}}"#;
        assert_eq!(sent(plain, ("a", false, false), "a", false), plain);
        assert_eq!(sent(plain, ("a", false, false), "b", false), plain.replace(r#""a""#, r#""b""#));
        let stream = r#"{"stream":true, "stream_options": {"include_obfuscation" :false}, "model":"a"}"#;
        let merged =
            r#"{"stream":true, "stream_options": {"include_usage":true,"include_obfuscation" :false}, "model":"a"}"#;
        assert_eq!(sent(stream, ("a", true, false), "a", true), merged);
        let refused = r#"{"stream":true,"stream_options":{"include_usage":false},"model":"a"}"#;
        assert_eq!(sent(refused, ("a", true, false), "a", true), refused.replace("false", "true"));
        assert_eq!(sent(refused, ("a", true, true), "a", true), refused, "as the peek says");
        let absent = r#"{"stream":true,"model":"a"}"#;
        let expected = r#"{"stream_options":{"include_usage":true},"stream":true,"model":"a"}"#;
        assert_eq!(sent(absent, ("a", true, false), "a", true), expected);
        let null = r#"{"stream":true,"stream_options":null,"model":"a"}"#;
        assert_eq!(sent(null, ("a", true, false), "a", true), null.replace("null", r#"{"include_usage":true}"#));
    }
}
