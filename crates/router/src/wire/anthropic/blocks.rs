//! The blocks that messages consist of.
//!
//! Content that is understood becomes parts. Content that only the vendor understands (its tools, its files, newer kinds) is
//! noted as [`Conversation::foreign`]: it is never left out. Marks beside content that others have no word for are `lost`.

use super::request::{Object, one_text, strings_or_blocks};
use crate::{
    Conversation, Error,
    conversation::{Document, Image, Message, Part},
};
use protocol::Role;
use serde_json::value::RawValue;

pub(crate) fn system(content: &RawValue, pointer: &str, found: &mut Conversation) -> Result<Vec<Part>, Error> {
    each(content, pointer, found, |kind, object, found| match kind {
        "text" => Ok(vec![text(object, found)?]),
        _ => foreign(kind, object, found),
    })
}

/// Results of tools become messages of their own, before what else was said: they belong to the calls before them.
pub(crate) fn user(content: &RawValue, pointer: &str, found: &mut Conversation) -> Result<(), Error> {
    let parts = each(content, pointer, found, |kind, object, found| match kind {
        "tool_result" => Ok(vec![tool_result(object, found)?]),
        _ => shown(kind, object, found),
    })?;
    let (results, said): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| matches!(part, Part::ToolResult { .. }));
    found.messages.extend(results.into_iter().map(|result| Message { role: Role::Tool, parts: vec![result] }));
    if !said.is_empty() {
        found.messages.push(Message { role: Role::User, parts: said });
    }
    Ok(())
}

pub(crate) fn assistant(content: &RawValue, pointer: &str, found: &mut Conversation) -> Result<Vec<Part>, Error> {
    each(content, pointer, found, |kind, object, found| match kind {
        "text" => Ok(vec![text(object, found)?]),
        "thinking" => {
            object.report_others(&["type", "thinking", "signature"], &mut found.lost);
            let signature = object.text("signature")?.filter(|signature| !signature.is_empty());
            Ok(vec![Part::Thinking { text: object.need_text("thinking")?, signature }])
        }
        "redacted_thinking" => {
            object.report_others(&["type", "data"], &mut found.lost);
            Ok(vec![Part::RedactedThinking { data: object.need_text("data")? }])
        }
        "tool_use" => {
            object.report_others(&["type", "id", "name", "input"], &mut found.lost);
            let input = object.need("input")?.get();
            if !input.starts_with('{') {
                return Err(Error::invalid(object.at("input"), "must be an object"));
            }
            let (id, name) = (object.need_text("id")?, object.need_text("name")?);
            Ok(vec![Part::ToolCall { id, name, arguments: input.to_owned() }])
        }
        _ => foreign(kind, object, found),
    })
}

/// Every block, in order.
fn each(
    content: &RawValue,
    pointer: &str,
    found: &mut Conversation,
    mut block: impl FnMut(&str, &Object<'_>, &mut Conversation) -> Result<Vec<Part>, Error>,
) -> Result<Vec<Part>, Error> {
    let blocks = match strings_or_blocks(content, pointer)? {
        Ok(text) => return Ok(one_text(text)),
        Err(blocks) => blocks,
    };
    let mut parts = Vec::with_capacity(blocks.len());
    for (at, value) in blocks.into_iter().enumerate() {
        let object = Object::of(value, format!("{pointer}/{at}"))?;
        parts.extend(block(&object.need_text("type")?, &object, found)?);
    }
    Ok(parts)
}

/// What users and tools show to a model.
fn shown(kind: &str, object: &Object<'_>, found: &mut Conversation) -> Result<Vec<Part>, Error> {
    match kind {
        "text" => Ok(vec![text(object, found)?]),
        "image" => image(object, found),
        "document" => document(object, found),
        "search_result" => search_result(object, found),
        _ => foreign(kind, object, found),
    }
}

fn foreign(kind: &str, object: &Object<'_>, found: &mut Conversation) -> Result<Vec<Part>, Error> {
    found.foreign.push(format!("`{}` (a block `{kind}`)", object.pointer));
    Ok(Vec::new())
}

fn text(object: &Object<'_>, found: &mut Conversation) -> Result<Part, Error> {
    object.report_others(&["type", "text"], &mut found.lost);
    Ok(Part::Text(object.need_text("text")?))
}

fn image(object: &Object<'_>, found: &mut Conversation) -> Result<Vec<Part>, Error> {
    let source = Object::of(object.need("source")?, object.at("source"))?;
    object.report_others(&["type", "source"], &mut found.lost);
    Ok(vec![Part::Image(match source.need_text("type")?.as_str() {
        "base64" => Image::Base64 { media_type: source.need_text("media_type")?, data: source.need_text("data")? },
        "url" => Image::Url(source.need_text("url")?),
        // A file that lies at the vendor.
        _ => return foreign("image", &source, found),
    })])
}

/// One that is text is told as text, under its title: everybody can read that.
fn document(object: &Object<'_>, found: &mut Conversation) -> Result<Vec<Part>, Error> {
    let source = Object::of(object.need("source")?, object.at("source"))?;
    object.report_others(&["type", "source", "title", "context"], &mut found.lost);
    let (title, context) = (object.text("title")?, object.text("context")?);
    let heading = |parts: Vec<Part>| {
        let heading = [title.clone(), context.clone()].into_iter().flatten().filter(|text| !text.is_empty());
        heading.map(Part::Text).chain(parts).collect::<Vec<_>>()
    };
    let with_context = |media_type: String, source: Document| {
        let about = context.clone().filter(|text| !text.is_empty()).map(Part::Text);
        about
            .into_iter()
            .chain([Part::Document { name: title.clone(), media_type, content: source }])
            .collect::<Vec<_>>()
    };
    match source.need_text("type")?.as_str() {
        "text" => Ok(heading(vec![Part::Text(source.need_text("data")?)])),
        "content" => Ok(heading(each(source.need("content")?, &source.at("content"), found, shown)?)),
        "base64" => Ok(with_context(source.need_text("media_type")?, Document::Base64(source.need_text("data")?))),
        "url" => Ok(with_context("application/pdf".to_owned(), Document::Url(source.need_text("url")?))),
        // A file that lies at the vendor.
        _ => foreign("document", &source, found),
    }
}

/// Where it was found stands above what was found.
fn search_result(object: &Object<'_>, found: &mut Conversation) -> Result<Vec<Part>, Error> {
    object.report_others(&["type", "source", "title", "content"], &mut found.lost);
    let heading = [object.text("title")?, object.text("source")?].into_iter().flatten().map(Part::Text);
    let heading: Vec<_> = heading.collect();
    let content = each(object.need("content")?, &object.at("content"), found, shown)?;
    Ok(heading.into_iter().chain(content).collect())
}

fn tool_result(object: &Object<'_>, found: &mut Conversation) -> Result<Part, Error> {
    object.report_others(&["type", "tool_use_id", "content", "is_error"], &mut found.lost);
    let parts = match object.get("content") {
        None => Vec::new(),
        Some(content) => each(content, &object.at("content"), found, |kind, object, found| match kind {
            // Tools are all told of from the beginning.
            "tool_reference" => Ok(vec![Part::Text(object.need_text("tool_name")?)]),
            _ => shown(kind, object, found),
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
        assert_eq!(
            got.lost,
            ["/system/0/cache_control", "/thinking/budget_tokens"],
            "marks and bounds, and no content"
        );
        assert_eq!(got.foreign, Vec::<String>::new());
    }

    #[test]
    fn what_has_no_place_is_named() {
        let mut got = of(r#"{"model":"m","max_tokens":1,"mcp_servers":[],"container":"c","service_tier":null,
            "tools":[{"type":"web_search_20250305","name":"web_search"},{"name":"t","input_schema":{},"input_examples":[]}],
            "output_config":{"effort":"low"},"thinking":{"type":"disabled"},
            "cache_control":{"type":"ephemeral"},
            "messages":[{"role":"user","content":[{"type":"text","text":"x","citations":[]}]}]}"#)
        .unwrap();
        got.lost.sort();
        assert_eq!(
            got.lost,
            [
                "/cache_control",
                "/container",
                "/mcp_servers",
                "/messages/0/content/0/citations",
                "/output_config/effort",
                "/tools/0",
                "/tools/1/input_examples",
            ]
        );
        assert_eq!((got.tools.len(), got.thinking), (1, Thinking::Off));
    }

    #[test]
    fn content_becomes_parts_or_is_foreign_and_is_never_left_out() {
        let pdf = r#"{"type":"base64","media_type":"application/pdf","data":"JVBERi0x"}"#;
        let file = |source: Document, name: Option<&str>| Part::Document {
            name: name.map(str::to_owned),
            media_type: "application/pdf".into(),
            content: source,
        };
        let pdf_part = |name| file(Document::Base64("JVBERi0x".into()), name);
        let texts = |texts: &[&str]| texts.iter().map(|&text| Part::Text(text.into())).collect::<Vec<_>>();
        let document = |source: &str, more: &str| format!(r#"{{"type":"document","source":{source}{more}}}"#);
        let about = r#","title":"T","context":"C","cache_control":{}"#;
        let found =
            r#"{"type":"search_result","source":"https://x","title":"t","content":[{"type":"text","text":"42"}]}"#;
        let gone = "`/messages/0/content/0";
        for (block, parts, foreign) in [
            (document(pdf, ""), vec![pdf_part(None)], None),
            (document(pdf, about), [texts(&["C"]), vec![pdf_part(Some("T"))]].concat(), None),
            (
                document(r#"{"type":"url","url":"https://x/a.pdf"}"#, ""),
                vec![file(Document::Url("https://x/a.pdf".into()), None)],
                None,
            ),
            (document(r#"{"type":"text","media_type":"text/plain","data":"d"}"#, about), texts(&["T", "C", "d"]), None),
            (document(r#"{"type":"content","content":[{"type":"text","text":"d"}]}"#, ""), texts(&["d"]), None),
            (
                document(r#"{"type":"file","file_id":"f"}"#, ""),
                vec![],
                Some(format!("{gone}/source` (a block `document`)")),
            ),
            (
                r#"{"type":"image","source":{"type":"file","file_id":"f"}}"#.into(),
                vec![],
                Some(format!("{gone}/source` (a block `image`)")),
            ),
            (found.into(), texts(&["t", "https://x", "42"]), None),
            (
                r#"{"type":"container_upload","file_id":"f"}"#.into(),
                vec![],
                Some(format!("{gone}` (a block `container_upload`)")),
            ),
        ] {
            let said = of(&format!(r#"{{"messages":[{{"role":"user","content":[{block}]}}]}}"#)).unwrap();
            let got: Vec<_> = said.messages.iter().flat_map(|message| message.parts.clone()).collect();
            assert_eq!((&got, said.foreign.first()), (&parts, foreign.as_ref()), "{block}");
            let result = format!(r#"{{"type":"tool_result","tool_use_id":"t","content":[{block}]}}"#);
            let told = of(&format!(r#"{{"messages":[{{"role":"user","content":[{result}]}}]}}"#)).unwrap();
            let result = Part::ToolResult { call_id: "t".into(), parts, is_error: false };
            assert_eq!(
                (told.messages[0].parts[0].clone(), told.foreign.len()),
                (result, said.foreign.len()),
                "{block}"
            );
        }
        for block in ["server_tool_use", "web_search_tool_result", "novel"] {
            let body = format!(r#"{{"messages":[{{"role":"assistant","content":[{{"type":"{block}"}}]}}]}}"#);
            assert_eq!(of(&body).unwrap().foreign, [format!("{gone}` (a block `{block}`)")]);
        }
    }

    #[test]
    fn results_stand_with_their_calls_whatever_was_said_between() {
        let got = of(r#"{"messages":[
            {"role":"user","content":"go"},
            {"role":"assistant","content":[{"type":"tool_use","id":"a","name":"n","input":{}},{"type":"tool_use","id":"b","name":"n","input":{}}]},
            {"role":"user","content":[{"type":"text","text":"wait"},{"type":"tool_result","tool_use_id":"a","content":"1"},{"type":"text","text":"so"}]},
            {"role":"system","content":"be kind"},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"b","content":"2"}]},
            {"role":"assistant","content":"done"}]}"#)
        .unwrap();
        let roles: Vec<_> = got.messages.iter().map(|message| message.role).collect();
        assert_eq!(
            roles,
            [Role::User, Role::Assistant, Role::Tool, Role::Tool, Role::User, Role::System, Role::Assistant]
        );
        assert_eq!((got.messages[4].plain().as_str(), got.messages[5].plain().as_str()), ("waitso", "be kind"));
    }

    #[test]
    fn a_choice_keeps_its_meaning() {
        for (choice, expected, parallel) in [
            (r#"{"type":"none"}"#, ToolChoice::None, None),
            (r#"{"type":"auto"}"#, ToolChoice::Auto, None),
            (r#"{"type":"auto","disable_parallel_tool_use":true}"#, ToolChoice::Auto, Some(false)),
            (r#"{"type":"any","disable_parallel_tool_use":false}"#, ToolChoice::Required, Some(true)),
        ] {
            let got = of(&format!(r#"{{"messages":[],"tool_choice":{choice}}}"#)).unwrap();
            assert_eq!((got.tool_choice, got.parallel_tool_calls, got.lost.len()), (expected, parallel, 0), "{choice}");
        }
    }

    #[test]
    fn tools_of_the_vendor_are_not_lost_where_they_are_all_or_chosen() {
        let search = r#"{"type":"web_search_20250305","name":"web_search"}"#;
        let read = r#"{"name":"read","input_schema":{"type":"object"}}"#;
        let both = format!("{search},{read}");
        let chosen = |name: &str| format!(r#"{{"type":"tool","name":"{name}"}}"#);
        for (tools, choice, expected) in [
            (search, "null", Err("/tools")),
            (search, r#"{"type":"any"}"#, Err("/tools")),
            (search, &chosen("web_search"), Err("/tools")),
            (&both, &chosen("web_search"), Err("/tool_choice/name")),
            (&both, &chosen("read"), Ok(ToolChoice::Named("read".into()))),
            (&both, r#"{"type":"any"}"#, Ok(ToolChoice::Required)),
            ("", "null", Ok(ToolChoice::Auto)),
        ] {
            match (of(&format!(r#"{{"messages":[],"tools":[{tools}],"tool_choice":{choice}}}"#)), expected) {
                (Ok(got), Ok(choice)) => assert_eq!(got.tool_choice, choice, "{tools}"),
                (Err(Error::Invalid { pointer, .. }), Err(place)) => assert_eq!(pointer, place, "{tools} {choice}"),
                (got, _) => panic!("{tools} {choice}: {got:?}"),
            }
        }
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
