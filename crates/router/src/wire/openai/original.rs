//! The caller's own request for a server of the same dialect: its bytes, with a field or two changed.

use super::provider::OutputLimit;
use crate::{
    Error,
    dialect::Dialect,
    json_object::Fields,
    providers::{ChatRequest, Edits},
    wire::effort::Efforts,
};
use bytes::Bytes;
use memchr::memmem;
use serde_json::{Value, value::RawValue};

/// `output_limit` is what the server calls the limit on an answer, where the caller set none.
pub(crate) fn body(request: &ChatRequest, original: &Bytes, output_limit: OutputLimit) -> Result<Bytes, Error> {
    let peek = &request.asked.peek;
    // Streams of the older APIs tell token counts only when they are asked to.
    let counts = request.asked.dialect != Dialect::OpenAiResponses && request.stream && !peek.wants_usage;
    let is_edited = request.edits != Edits::default();
    if peek.model == request.model && peek.stream == request.stream && !counts && !is_edited {
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
    let edits = request.edits.named(limit_name(&fields, request.asked.dialect, output_limit), "temperature");
    changes.extend(edits.iter().map(|(name, json)| (*name, json.as_str())));
    Ok(fields.with(&changes))
}

/// The same request with `system` where a message's role is `developer`: the older name of it, which every server knows.
pub(crate) fn without_developers(body: Bytes) -> Bytes {
    if memmem::find(&body, b"\"developer\"").is_none() {
        return body;
    }
    let renamed = || {
        let fields = Fields::of(&body).ok()?;
        let messages: Vec<&RawValue> = serde_json::from_str(fields.get("messages")?.get()).ok()?;
        let mut has_any = false;
        let messages = messages.into_iter().map(|message| {
            let is_developer = |of: &Fields<'_>| of.read::<String>("role").is_some_and(|role| role == "developer");
            let renamed = Fields::of(message.get().as_bytes()).ok().filter(is_developer);
            has_any |= renamed.is_some();
            let renamed = renamed.map(|of| of.with(&[("role", "\"system\"")]));
            renamed.and_then(|it| String::from_utf8(it.to_vec()).ok()).unwrap_or_else(|| message.get().to_owned())
        });
        let messages = messages.collect::<Vec<_>>().join(",");
        has_any.then(|| fields.with(&[("messages", &format!("[{messages}]"))]))
    };
    renamed().unwrap_or(body)
}

/// The same request with the nearest of the levels that the server takes where it asks for another one.
pub(crate) fn with_effort(body: Bytes, dialect: Dialect, efforts: &Efforts) -> Bytes {
    const NAME: &str = "reasoning_effort";
    const INNER: (&str, &str) = ("reasoning", "effort");
    let is_inner = dialect == Dialect::OpenAiResponses;
    if memmem::find(&body, if is_inner { INNER.0 } else { NAME }.as_bytes()).is_none() {
        return body;
    }
    let nearest = |fields: &Fields<'_>, name| {
        let asked = fields.read::<String>(name)?;
        let nearest = efforts.nearest(&asked).filter(|nearest| *nearest != asked)?;
        Some(fields.with(&[(name, &format!("\"{nearest}\""))]))
    };
    let mapped = || {
        let fields = Fields::of(&body).ok()?;
        if !is_inner {
            return nearest(&fields, NAME);
        }
        let inner = nearest(&Fields::of(fields.get(INNER.0)?.get().as_bytes()).ok()?, INNER.1)?;
        Some(fields.with(&[(INNER.0, std::str::from_utf8(&inner).ok()?)]))
    };
    mapped().unwrap_or(body)
}

/// The limit under the name the caller has for it.
fn limit_name(fields: &Fields<'_>, dialect: Dialect, output_limit: OutputLimit) -> &'static str {
    const NAMES: [&str; 2] = ["max_completion_tokens", "max_tokens"];
    match dialect {
        Dialect::OpenAiResponses => "max_output_tokens",
        Dialect::OpenAiCompletions => "max_tokens",
        _ => NAMES.into_iter().find(|name| fields.get(name).is_some()).unwrap_or(match output_limit {
            OutputLimit::MaxTokens => "max_tokens",
            OutputLimit::MaxCompletionTokens => "max_completion_tokens",
        }),
    }
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
        dialect::Asked,
        providers::{Patience, Refusals},
        wire::effort::EffortsByModel,
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
            edits: Edits::default(),
            stream,
            checkpoint: None,
            patience: Patience { headers: Duration::from_secs(1) },
            trace: None,
            refusals: Refusals::default(),
        };
        let body = body(&request, request.original(Dialect::OpenAiChat).unwrap(), OutputLimit::MaxTokens).unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[test]
    fn a_level_that_few_servers_take_becomes_the_nearest_one() {
        for (asked, sent) in [
            (r#"{"reasoning_effort" : "xhigh", "n":1.0}"#, r#"{"reasoning_effort" : "high", "n":1.0}"#),
            (r#"{"reasoning_effort":"minimal"}"#, r#"{"reasoning_effort":"low"}"#),
            (r#"{"reasoning_effort":"medium"}"#, r#"{"reasoning_effort":"medium"}"#),
            (r#"{"reasoning_effort":"none"}"#, r#"{"reasoning_effort":"none"}"#),
            (r#"{"reasoning_effort":null}"#, r#"{"reasoning_effort":null}"#),
            (r#"{"model":"a"}"#, r#"{"model":"a"}"#),
        ] {
            let told = with_effort(Bytes::from(asked), Dialect::OpenAiChat, &Efforts::COMMON);
            assert_eq!(told, sent, "{asked}");
        }
        let taken = EffortsByModel::of(["high", "xhigh"]).unwrap();
        let taken = taken.get("m").unwrap();
        for (asked, sent) in [("max", "xhigh"), ("xhigh", "xhigh"), ("low", "high"), ("none", "none")] {
            let body = |effort| {
                Bytes::from(format!(r#"{{"input":"a", "reasoning": {{"summary":"auto","effort" :"{effort}"}}}}"#))
            };
            assert_eq!(with_effort(body(asked), Dialect::OpenAiResponses, taken), body(sent), "{asked}");
        }
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
