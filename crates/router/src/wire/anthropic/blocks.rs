//! The blocks that messages consist of.

use super::request::{Object, one_text, strings_or_blocks};
use crate::{
    Conversation, Error,
    conversation::{Image, Message, Part},
};
use protocol::Role;
use serde_json::value::RawValue;

pub(crate) fn system(content: &RawValue, pointer: &str, lost: &mut Vec<String>) -> Result<Vec<Part>, Error> {
    each(content, pointer, |kind, object| match kind {
        "text" => text(object, lost).map(Some),
        _ => left_out(object, lost),
    })
}

/// Results of tools become messages of their own; what stands between them stays where it stood.
pub(crate) fn user(content: &RawValue, pointer: &str, conversation: &mut Conversation) -> Result<(), Error> {
    let lost = &mut conversation.lost;
    let parts = each(content, pointer, |kind, object| match kind {
        "text" => text(object, lost).map(Some),
        "image" => image(object, lost),
        "tool_result" => tool_result(object, lost).map(Some),
        _ => left_out(object, lost),
    })?;
    let mut said = Vec::new();
    for part in parts {
        if matches!(part, Part::ToolResult { .. }) {
            if !said.is_empty() {
                conversation.messages.push(Message { role: Role::User, parts: std::mem::take(&mut said) });
            }
            conversation.messages.push(Message { role: Role::Tool, parts: vec![part] });
        } else {
            said.push(part);
        }
    }
    if !said.is_empty() {
        conversation.messages.push(Message { role: Role::User, parts: said });
    }
    Ok(())
}

pub(crate) fn assistant(content: &RawValue, pointer: &str, lost: &mut Vec<String>) -> Result<Vec<Part>, Error> {
    each(content, pointer, |kind, object| match kind {
        "text" => text(object, lost).map(Some),
        "thinking" => {
            object.report_others(&["type", "thinking", "signature", "cache_control"], lost);
            let signature = object.text("signature")?.filter(|signature| !signature.is_empty());
            Ok(Some(Part::Thinking { text: object.need_text("thinking")?, signature }))
        }
        "redacted_thinking" => {
            object.report_others(&["type", "data", "cache_control"], lost);
            Ok(Some(Part::RedactedThinking { data: object.need_text("data")? }))
        }
        "tool_use" => {
            object.report_others(&["type", "id", "name", "input", "cache_control"], lost);
            let input = object.need("input")?.get();
            if !input.starts_with('{') {
                return Err(Error::invalid(object.at("input"), "must be an object"));
            }
            let (id, name) = (object.need_text("id")?, object.need_text("name")?);
            Ok(Some(Part::ToolCall { id, name, arguments: input.to_owned() }))
        }
        _ => left_out(object, lost),
    })
}

/// Every block that has a place, in order.
fn each(
    content: &RawValue,
    pointer: &str,
    mut block: impl FnMut(&str, &Object<'_>) -> Result<Option<Part>, Error>,
) -> Result<Vec<Part>, Error> {
    let blocks = match strings_or_blocks(content, pointer)? {
        Ok(text) => return Ok(one_text(text)),
        Err(blocks) => blocks,
    };
    let mut parts = Vec::with_capacity(blocks.len());
    for (at, value) in blocks.into_iter().enumerate() {
        let object = Object::of(value, format!("{pointer}/{at}"))?;
        parts.extend(block(&object.need_text("type")?, &object)?);
    }
    Ok(parts)
}

fn left_out(object: &Object<'_>, lost: &mut Vec<String>) -> Result<Option<Part>, Error> {
    lost.push(object.pointer.clone());
    Ok(None)
}

fn text(object: &Object<'_>, lost: &mut Vec<String>) -> Result<Part, Error> {
    object.report_others(&["type", "text", "cache_control"], lost);
    Ok(Part::Text(object.need_text("text")?))
}

fn image(object: &Object<'_>, lost: &mut Vec<String>) -> Result<Option<Part>, Error> {
    let source = Object::of(object.need("source")?, object.at("source"))?;
    object.report_others(&["type", "source", "cache_control"], lost);
    Ok(Some(Part::Image(match source.need_text("type")?.as_str() {
        "base64" => Image::Base64 { media_type: source.need_text("media_type")?, data: source.need_text("data")? },
        "url" => Image::Url(source.need_text("url")?),
        // A file that lies at the vendor.
        _ => return left_out(object, lost),
    })))
}

fn tool_result(object: &Object<'_>, lost: &mut Vec<String>) -> Result<Part, Error> {
    object.report_others(&["type", "tool_use_id", "content", "is_error", "cache_control"], lost);
    let parts = match object.get("content") {
        None => Vec::new(),
        Some(content) => each(content, &object.at("content"), |kind, object| match kind {
            "text" => text(object, lost).map(Some),
            "image" => image(object, lost),
            _ => left_out(object, lost),
        })?,
    };
    let is_error = object.flag("is_error")?.unwrap_or(false);
    Ok(Part::ToolResult { call_id: object.need_text("tool_use_id")?, parts, is_error })
}

#[cfg(test)]
mod tests {
    use super::super::conversation;
    use super::*;
    use crate::conversation::{Format, Thinking, ToolChoice};
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::json;

    fn of(body: &str) -> Result<Conversation, Error> {
        conversation(&Bytes::copy_from_slice(body.as_bytes()))
    }

    #[test]
    fn every_kind_of_block_has_its_place() {
        let got = of(r#"{
            "model": "m", "max_tokens": 100, "temperature": 0.5, "top_k": 3, "stop_sequences": ["END"],
            "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            "metadata": {"user_id": "u"},
            "thinking": {"type": "enabled", "budget_tokens": 2048},
            "tool_choice": {"type": "tool", "name": "read", "disable_parallel_tool_use": true},
            "tools": [{"name": "read", "description": "d", "input_schema": {"type": "object"}}],
            "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
            "messages": [
                {"role": "user", "content": "Hello"},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "hm\u00e9", "signature": "EqQB+/a=="},
                    {"type": "redacted_thinking", "data": "b64"},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"b": 1, "a":[ ]}}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": true, "content": "no file"},
                    {"type": "tool_result", "tool_use_id": "toolu_2", "content": [
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}]},
                    {"type": "text", "text": "And?"},
                    {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}]}]}"#)
        .unwrap();
        let parts: Vec<_> = got.messages.iter().map(|message| (message.role, message.parts.clone())).collect();
        let png = Image::Base64 { media_type: "image/png".into(), data: "aGk=".into() };
        assert_eq!(
            parts,
            [
                (Role::System, one_text("Be brief.".into())),
                (Role::User, one_text("Hello".into())),
                (
                    Role::Assistant,
                    vec![
                        Part::Thinking { text: "hmé".into(), signature: Some("EqQB+/a==".into()) },
                        Part::RedactedThinking { data: "b64".into() },
                        Part::Text("I look.".into()),
                        Part::ToolCall {
                            id: "toolu_1".into(),
                            name: "read".into(),
                            arguments: r#"{"b": 1, "a":[ ]}"#.into()
                        },
                    ]
                ),
                (
                    Role::Tool,
                    vec![Part::ToolResult {
                        call_id: "toolu_1".into(),
                        parts: one_text("no file".into()),
                        is_error: true
                    }]
                ),
                (
                    Role::Tool,
                    vec![Part::ToolResult {
                        call_id: "toolu_2".into(),
                        parts: vec![Part::Image(png)],
                        is_error: false
                    }]
                ),
                (Role::User, vec![Part::Text("And?".into()), Part::Image(Image::Url("https://x/y.png".into()))]),
            ]
        );
        assert_eq!((got.max_output_tokens, got.temperature, got.top_k), (Some(100), Some(0.5), Some(3)));
        assert_eq!((got.stop, got.user, got.parallel_tool_calls), (vec!["END".into()], Some("u".into()), Some(false)));
        assert_eq!((got.tool_choice, got.thinking), (ToolChoice::Named("read".into()), Thinking::BudgetTokens(2048)));
        let schema = Format::Schema { name: "answer".into(), schema: json!({"type": "object"}), strict: Some(true) };
        assert_eq!(got.format, schema);
        assert_eq!(got.tools[0].parameters, json!({"type": "object"}));
        assert_eq!(got.lost, Vec::<String>::new(), "nothing of it is lost");
    }

    #[test]
    fn what_has_no_place_is_named() {
        let mut got = of(r#"{"model":"m","max_tokens":1,"mcp_servers":[],"container":"c","service_tier":null,
            "tools":[{"type":"web_search_20250305","name":"web_search"},{"name":"t","input_schema":{},"input_examples":[]}],
            "output_config":{"effort":"low"},"thinking":{"type":"disabled"},
            "messages":[{"role":"user","content":[{"type":"document","source":{}},{"type":"text","text":"x","citations":[]}]},
                {"role":"assistant","content":[{"type":"server_tool_use","id":"s"}]}]}"#)
        .unwrap();
        got.lost.sort();
        assert_eq!(
            got.lost,
            [
                "/container",
                "/mcp_servers",
                "/messages/0/content/0",
                "/messages/0/content/1/citations",
                "/messages/1/content/0",
                "/output_config/effort",
                "/tools/0",
                "/tools/1/input_examples",
            ]
        );
        assert_eq!((got.tools.len(), got.thinking), (1, Thinking::Off));
    }

    #[test]
    fn effort_counts_where_the_model_thinks_as_it_likes() {
        let got = of(r#"{"messages":[],"thinking":{"type":"adaptive"},"output_config":{"effort":"low"}}"#).unwrap();
        assert_eq!((got.thinking, got.lost.len()), (Thinking::Effort("low".into()), 0));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (body, place) in [
            (r#"{"messages":[{"role":"robot","content":""}]}"#, "/messages/0/role"),
            (r#"{"messages":[{"role":"user"}]}"#, "/messages/0/content"),
            (r#"{"messages":[{"role":"user","content":[{"text":"x"}]}]}"#, "/messages/0/content/0/type"),
            (r#"{"messages":[{"role":"user","content":[{"type":"text"}]}]}"#, "/messages/0/content/0/text"),
            (
                r#"{"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"b","input":3}]}]}"#,
                "/messages/0/content/0/input",
            ),
            (r#"{"messages":[],"tools":[{"name":"t"}]}"#, "/tools/0/input_schema"),
            (r#"{"messages":[],"tool_choice":{"type":"some"}}"#, "/tool_choice/type"),
            (r#"{"messages":[],"thinking":"yes"}"#, "/thinking"),
            (r#"{"messages":[],"temperature":"hot"}"#, "/temperature"),
        ] {
            let error = of(body).unwrap_err();
            assert!(matches!(&error, Error::Invalid { pointer, .. } if pointer == place), "{body}: {error}");
        }
    }

    /// JSON that resembles a request, wrong in places.
    fn almost() -> impl Strategy<Value = String> {
        let words = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "null",
            "1",
            "-0.5",
            "true",
            "\"messages\"",
            "\"role\"",
            "\"user\"",
            "\"content\"",
            "\"type\"",
            "\"text\"",
            "\"tool_use\"",
            "\"input\"",
            "\"tools\"",
            "\"system\"",
            "\"assistant\"",
            "\"image\"",
            "\"source\"",
            "\"thinking\"",
            "\"tool_result\"",
            "\"\\ud800\"",
        ]);
        prop::collection::vec(words, 0..60).prop_map(|words| words.concat())
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in almost(), other in "\\PC*") {
            let _ = of(&body);
            let _ = of(&format!(r#"{{"messages":[{{"role":"user","content":{body}}}]}}"#));
            let _ = of(&other);
        }
    }
}
