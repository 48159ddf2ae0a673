use super::*;
use crate::{Event, answer::Finish, answer::Usage, conversation::Tool};
use serde_json::json;

fn answer(events: Vec<Event>, reason: FinishReason) -> Whole {
    let mut whole = Whole::default();
    events.iter().for_each(|event| whole.add(event));
    whole.add(&Event::Finished(Finish::new(reason, Usage::default())));
    whole
}

fn text(text: &str) -> Whole {
    answer(vec![Event::Text(text.into())], FinishReason::Stop)
}

fn call(name: &str, arguments: &str) -> Whole {
    answer(
        vec![
            Event::ToolCall { index: 0, id: "c1".into(), name: name.into() },
            Event::ToolArguments { index: 0, fragment: arguments.into() },
        ],
        FinishReason::ToolCalls,
    )
}

fn with_schema(schema: Value) -> Conversation {
    let format = Format::Schema { name: "city".into(), schema, strict: None };
    Conversation { format, ..Conversation::default() }
}

fn city() -> Conversation {
    with_schema(json!({
        "type": "object",
        "properties": {"name": {"type": "string"}, "size": {"$ref": "#/$defs/size"}},
        "required": ["name"],
        "additionalProperties": false,
        "$defs": {"size": {"type": "integer", "minimum": 1}}
    }))
}

fn with_tools() -> Conversation {
    let tool =
        |name: &str, parameters| Tool { name: name.into(), description: String::new(), parameters, strict: None };
    let path = json!({"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]});
    Conversation {
        tools: vec![tool("read", path), tool("now", json!({"type": "object", "properties": {}}))],
        ..Conversation::default()
    }
}

fn places(flaws: &[Flaw]) -> Vec<&str> {
    flaws
        .iter()
        .map(|flaw| match flaw {
            Flaw::SchemaBroken { pointer, .. } | Flaw::ToolArguments { pointer, .. } => pointer.as_str(),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_good_answer_has_no_flaws() {
    assert_eq!(judge(&Conversation::default(), &text("Hello.")), []);
    assert_eq!(judge(&city(), &text(" {\"name\":\"Bern\",\"size\":3}\n")), []);
    assert_eq!(judge(&with_tools(), &call("read", r#"{"path":"a"}"#)), []);
    assert_eq!(judge(&with_tools(), &call("now", "")), []);
    let json = Conversation { format: Format::Json, ..Conversation::default() };
    assert_eq!(judge(&json, &text("{}")), []);
}

#[test]
fn a_broken_schema_is_told_with_its_place() {
    let flaws = judge(&city(), &text(r#"{"name":7,"size":0}"#));
    let mut found = places(&flaws);
    found.sort_unstable();
    assert_eq!(found, ["/name", "/size"]);
    assert_eq!(places(&judge(&city(), &text("{}"))), [""]);
    assert!(judge(&city(), &text("{}"))[0].to_string().contains("name"), "{}", judge(&city(), &text("{}"))[0]);
    assert_eq!(places(&judge(&city(), &text(r#"{"name":"Bern","mayor":"x"}"#))), [""]);
}

#[test]
fn many_breaches_are_told_as_a_few_and_long_ones_short() {
    let conversation = with_schema(json!({"type": "array", "items": {"type": "string", "maxLength": 1}}));
    let long = format!("[{}\"{}\"]", "1,".repeat(500), "x".repeat(5000));
    let flaws = judge(&conversation, &text(&long));
    assert_eq!(flaws.len(), 8);
    assert!(flaws.iter().all(|flaw| flaw.to_string().len() < 500));
    let conversation = with_schema(json!({"const": "y".repeat(5000)}));
    assert!(judge(&conversation, &text("1"))[0].to_string().len() < 500);
}

#[test]
fn text_instead_of_json_is_none() {
    assert!(matches!(judge(&city(), &text("Bern is a city."))[..], [Flaw::NotJson { .. }]));
    let json = Conversation { format: Format::Json, ..Conversation::default() };
    assert!(matches!(judge(&json, &text("[1]"))[..], [Flaw::NotJson { .. }]));
    assert!(matches!(judge(&json, &text("{\"a\":1} and more"))[..], [Flaw::NotJson { .. }]));
}

#[test]
fn a_code_fence_breaks_the_schema() {
    let fenced = text("```json\n{\"name\":\"Bern\"}\n```");
    assert!(matches!(judge(&city(), &fenced)[..], [Flaw::SchemaBroken { .. }]));
    let talk = text("Here it is:\n```json\n{\"name\":\"Bern\"}\n```");
    assert!(matches!(judge(&city(), &talk)[..], [Flaw::NotJson { .. }]));
}

#[test]
fn form_is_judged_only_where_both_sides_were_understood() {
    let losing = |place: &str| Conversation { lost: vec![place.to_owned()], ..with_tools() };
    for (what, conversation, opaque, flaws) in [
        ("everything was understood", with_tools(), false, 1),
        ("the answer was not", with_tools(), true, 0),
        ("a tool of the server's own", losing("/tools/1"), false, 0),
        ("tools of another server", losing("/mcp_servers"), false, 0),
        ("functions of an older kind", losing("/functions"), false, 0),
        ("something that declares no tool", losing("/toolset"), false, 1),
    ] {
        let whole = Whole { opaque, ..call("write", "{}") };
        assert_eq!(judge(&conversation, &whole).len(), flaws, "{what}");
    }
    for whole in [text("I cannot help with that."), text("")] {
        assert_eq!(judge(&city(), &Whole { opaque: true, ..whole }), []);
    }
}

#[test]
fn tool_calls_are_held_against_their_tools() {
    let tools = with_tools();
    assert_eq!(judge(&tools, &call("write", "{}")), [Flaw::ToolUnknown { name: "write".into() }]);
    for (arguments, place) in [("{\"path\":1}", "/path"), ("{}", ""), ("{\"path\":", ""), ("[]", ""), ("null", "")] {
        let flaws = judge(&tools, &call("read", arguments));
        assert_eq!(places(&flaws), [place], "{arguments}");
        assert!(matches!(&flaws[0], Flaw::ToolArguments { name, .. } if name == "read"));
    }
    // What is said beside a tool call is no answer yet.
    let both = Conversation { format: city().format, ..with_tools() };
    let mut whole = call("now", "{}");
    whole.blocks.insert(0, Block::Text("Let me see.".into()));
    assert_eq!(judge(&both, &whole), []);
}

#[test]
fn nothing_at_all_is_a_flaw() {
    assert_eq!(judge(&Conversation::default(), &text("")), [Flaw::Empty]);
    assert_eq!(judge(&Conversation::default(), &text(" \n")), [Flaw::Empty]);
    assert_eq!(judge(&Conversation::default(), &answer(vec![], FinishReason::ToolCalls)), [Flaw::Empty]);
    let thought = answer(vec![Event::Thinking("hm".into())], FinishReason::Stop);
    assert_eq!(judge(&Conversation::default(), &thought), [Flaw::Empty]);
}

#[test]
fn an_answer_that_says_it_was_cut_is_not_judged_by_its_form() {
    for reason in [FinishReason::Length, FinishReason::ContentFilter] {
        assert_eq!(judge(&city(), &answer(vec![Event::Text("{\"name\":".into())], reason)), []);
        assert_eq!(judge(&city(), &answer(vec![], reason)), []);
    }
}

#[test]
fn a_loop_is_a_flaw_even_when_the_limit_ended_it() {
    let endless = "I will now read the file. ".repeat(1000);
    for event in [Event::Text(endless.clone()), Event::Thinking(endless)] {
        let flaws = judge(&Conversation::default(), &answer(vec![event], FinishReason::Length));
        assert!(matches!(&flaws[..], [Flaw::Looping(Loop { times, .. })] if *times > 8), "{flaws:?}");
    }
    // Where grammar allows nothing else, models go on with white space.
    let blank = call("read", &format!("{{\"path\":\"a\",{}", "\n ".repeat(4000)));
    assert!(judge(&with_tools(), &blank).iter().any(|flaw| matches!(flaw, Flaw::Looping(_))));
}

#[test]
fn a_schema_that_is_none_or_leads_elsewhere_is_not_held_against_the_answer() {
    for schema in [
        json!({"type": 7}),
        json!("x"),
        json!({"$ref": "https://example.com/schema.json"}),
        json!({"$ref": "file:///etc/passwd"}),
        json!({"$ref": "#/nowhere"}),
        json!({"$schema": "https://example.com/meta"}),
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}]}),
        json!({"pattern": "("}),
        json!({"$id": "::"}),
        json!({"properties": {"name": {"$ref": "#/properties/name"}}}),
    ] {
        let _ = judge(&with_schema(schema.clone()), &text("{\"name\":\"a\"}"));
    }
    assert_eq!(judge(&with_schema(json!({"$ref": "https://example.com/s"})), &text("{}")), []);
    assert_eq!(judge(&with_schema(json!({"type": 7})), &text("{}")), []);
}

#[test]
fn a_schema_says_which_draft_it_is_of() {
    let old = json!({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}]});
    assert_eq!(places(&judge(&with_schema(old), &text("[1]"))), ["/0"]);
}

#[test]
fn patterns_take_linear_time() {
    let evil = with_schema(json!({"type": "string", "pattern": "^(a+)+$"}));
    let value = format!("\"{}!\"", "a".repeat(10_000));
    assert_eq!(places(&judge(&evil, &text(&value))), [""]);
}
