//! Requests from Codex on providers of other wires, and what it gets back.

use super::*;
use crate::{conversation::Called, dialect::Asked};
use std::sync::Arc;

/// A request as Codex writes it.
fn of_codex(tool_choice: &Value) -> String {
    let grammar = json!({"type": "grammar", "syntax": "lark", "definition": "start: patch"});
    let function = |name: &str| json!({"type": "function", "name": name, "parameters": {"type": "object"}});
    let within = [json!({"type": "custom", "name": "write"}), function(&"long".repeat(30))];
    json!({
        "model": "m", "tool_choice": tool_choice,
        "tools": [
            function("shell"),
            {"type": "custom", "name": "apply_patch", "description": "Patches.", "format": grammar},
            {"type": "namespace", "name": "mcp__git", "description": "Git.", "tools": [function("log"), function("status")]},
            {"type": "web_search"},
        ],
        "input": [
            {"type": "additional_tools", "role": "developer", "tools": [{"type": "namespace", "name": "fs", "tools": within}]},
            {"role": "user", "content": "Mend it."},
            {"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": "*** Begin\n\"x\""},
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "done"},
            {"type": "function_call", "call_id": "c2", "namespace": "mcp__git", "name": "log", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "a1"}]},
        ],
    })
    .to_string()
}

#[test]
fn every_tool_is_a_function_elsewhere() {
    let got = translated(&of_codex(&json!("auto"))).unwrap();
    let mut names: Vec<&str> = got.tools.iter().map(|tool| tool.name.as_str()).collect();
    names.sort_unstable();
    let long = tools::flat(Some("fs"), &"long".repeat(30));
    assert!(long.len() == 64 && long.starts_with("fs__long"), "{long}");
    let expected = ["apply_patch", &long, "fs__write", "mcp__git__log", "mcp__git__status", "shell"];
    assert_eq!(names, expected);
    let patch = got.tools.iter().find(|tool| tool.name == "apply_patch").unwrap();
    assert_eq!(patch.parameters["required"], json!(["input"]));
    assert_eq!(patch.parameters["properties"]["input"]["type"], "string");
    assert!(patch.description.starts_with("Patches.") && patch.description.contains("start: patch"));
    let calls = got.messages.iter().flat_map(|message| &message.parts).filter_map(|part| match part {
        Part::ToolCall { id, name, arguments } => Some((id.as_str(), name.as_str(), arguments.as_str())),
        _ => None,
    });
    let expected = [("c1", "apply_patch", r#"{"input":"*** Begin\n\"x\""}"#), ("c2", "mcp__git__log", "{}")];
    assert_eq!(calls.collect::<Vec<_>>(), expected);
    let results = got.messages.iter().filter(|message| message.role == Role::Tool).count();
    assert_eq!((results, got.lost), (2, vec!["/tools/2/description".to_owned(), "/tools/3".to_owned()]));
}

#[test]
fn two_tools_never_have_one_name() {
    let function = |name: &str| json!({"type": "function", "name": name});
    let tools = [function("a__b"), json!({"type": "namespace", "name": "a", "tools": [function("b")]})];
    let got = translated(&json!({"model": "m", "input": "x", "tools": tools}).to_string()).unwrap();
    let names: Vec<&str> = got.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["a__b", "a__b_2"]);
    assert_eq!((got.renamed[0].name.as_str(), got.renamed[0].called.name.as_str()), ("a__b_2", "b"));
}

#[test]
fn a_choice_of_tools_keeps_its_meaning_or_is_refused() {
    let named = |name: &str| Some(ToolChoice::Named(name.to_owned()));
    let cases = [
        (json!("none"), Some(ToolChoice::None), 6),
        (json!({"type": "none"}), Some(ToolChoice::None), 6),
        (json!({"type": "auto"}), Some(ToolChoice::Auto), 6),
        (json!({"type": "any"}), Some(ToolChoice::Required), 6),
        (json!({"type": "required"}), Some(ToolChoice::Required), 6),
        (json!({"type": "tool", "name": "shell"}), named("shell"), 6),
        (json!({"type": "function", "name": "shell"}), named("shell"), 6),
        (json!({"type": "function", "name": "log"}), named("mcp__git__log"), 6),
        (json!({"type": "function", "namespace": "mcp__git", "name": "status"}), named("mcp__git__status"), 6),
        (json!({"type": "custom", "name": "apply_patch"}), named("apply_patch"), 6),
        (
            json!({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "shell"}]}),
            Some(ToolChoice::Required),
            1,
        ),
        (json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}), None, 0),
        (json!({"type": "function", "name": "unheard_of"}), None, 0),
        (json!({"type": "web_search"}), None, 0),
        (json!({"type": "from_tomorrow"}), None, 0),
        (json!({}), None, 0),
        (json!(5), None, 0),
    ];
    for (choice, expected, tools) in cases {
        let got = translated(&of_codex(&choice));
        match expected {
            Some(expected) => {
                let got = got.unwrap();
                assert_eq!((got.tool_choice, got.tools.len()), (expected, tools), "{choice}");
            }
            None => {
                let error = got.unwrap_err();
                let at_it = |pointer: &str| pointer.starts_with("/tool_choice");
                assert!(matches!(&error, Error::Invalid { pointer, .. } if at_it(pointer)), "{choice}: {error}");
            }
        }
    }
}

#[test]
fn what_cannot_be_carried_is_refused_and_never_left_out() {
    let with = |content: Value| json!({"model": "m", "input": [{"role": "user", "content": [content]}]});
    let cases = [
        (json!({"model": "m", "input": "x", "tools": [{"type": "web_search"}]}), "/tools"),
        (with(json!({"type": "input_file", "file_id": "file_1"})), "/input/0/content/0"),
        (with(json!({"type": "input_image", "file_id": "file_1"})), "/input/0/content/0"),
        (with(json!({"type": "input_from_tomorrow"})), "/input/0/content/0"),
    ];
    for (body, place) in cases {
        let error = translated(&body.to_string()).unwrap_err();
        assert!(matches!(&error, Error::Invalid { pointer, .. } if pointer.starts_with(place)), "{body}: {error}");
    }
    let empty = json!({"model": "m", "input": "x", "tools": []});
    assert_eq!(translated(&empty.to_string()).unwrap().tools.len(), 0, "none were asked for");
}

fn answering_codex() -> Envelope {
    let asked = Asked::new(Dialect::OpenAiResponses, of_codex(&json!("auto")).into(), http::HeaderMap::new());
    Envelope { asked: Some(Arc::new(asked.unwrap())), ..envelope(true) }
}

#[test]
fn a_call_comes_back_as_its_tool_was_declared() {
    let long = "long".repeat(30);
    let flat = tools::flat(Some("fs"), &long);
    let custom = |name: &str, input: &str| json!({"type": "custom_tool_call", "name": name, "input": input});
    let function = |namespace: &str, name: &str| json!({"type": "function_call", "namespace": namespace, "name": name, "arguments": "{}"});
    let mut within = custom("write", "x");
    within["namespace"] = json!("fs");
    let cases = [
        (vec![r#"{"input":"*** Be"#, r#"gin\n"}"#], "apply_patch", custom("apply_patch", "*** Begin\n")),
        // A model that writes the text itself.
        (vec!["*** Begin"], "apply_patch", custom("apply_patch", "*** Begin")),
        (vec![r#"{"input":"x"}"#], "fs__write", within),
        (vec!["{", "}"], "mcp__git__log", function("mcp__git", "log")),
        (vec!["{}"], &flat, function("fs", &long)),
        (vec!["{}"], "shell", json!({"type": "function_call", "name": "shell", "arguments": "{}"})),
    ];
    for (fragments, name, expected) in cases {
        let mut events = vec![call(0, "call_1", name)];
        events.extend(fragments.into_iter().map(|fragment| arguments(0, fragment)));
        events.push(finished(FinishReason::ToolCalls));
        let whole = whole(&answering_codex(), &gathered(&events));
        let mut out = BytesMut::new();
        let mut encoder = encoder(answering_codex());
        events.into_iter().for_each(|event| encoder.frame(event.into(), &mut out));
        let told = read(std::str::from_utf8(&out).unwrap());
        assert_sound(&told);
        assert_eq!(told.last().unwrap()["response"], whole, "{name}");
        let mut item = whole["output"][0].clone();
        let done = told.iter().find(|event| event["type"] == "response.output_item.done").unwrap();
        assert_eq!(done["item"], item);
        let fields = item.as_object_mut().unwrap();
        assert!(fields.remove("id").is_some() && fields.remove("status").is_some());
        assert_eq!(fields.remove("call_id"), Some(json!("call_1")));
        assert_eq!(item, expected);
        if expected["type"] == "custom_tool_call" {
            let delta = told.iter().find(|event| event["type"] == "response.custom_tool_call_input.delta").unwrap();
            assert_eq!(delta["delta"], expected["input"]);
        }
    }
    assert_eq!(items::called(&answering_codex(), "unheard_of"), Called::plain("unheard_of"));
}

/// What a redacted route does with an answer of OpenAI's own: its bytes do not pass, and Codex reads the same.
#[test]
fn the_same_vendors_calls_and_seals_survive_without_their_bytes() {
    let items = [
        json!({"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "gAAA"}),
        json!({"type": "custom_tool_call", "id": "ctc", "call_id": "c1", "name": "apply_patch", "input": "*** Begin"}),
        json!({"type": "function_call", "id": "fc", "call_id": "c2", "namespace": "mcp__git", "name": "log", "arguments": "{}"}),
    ];
    let mut said = String::new();
    for (at, item) in items.iter().enumerate() {
        for kind in ["added", "done"] {
            let event = json!({"type": format!("response.output_item.{kind}"), "output_index": at, "item": item});
            said += &format!("data: {event}\n\n");
        }
    }
    said += &format!("data: {}\n\n", json!({"type": "response.completed", "response": {"output": items}}));
    let reader = reader::ResponsesReader::new(origin(), false).keeping_seals(true);
    let frames = collect(decode(origin(), reader, split(said.as_bytes(), &[]))).frames;
    let mut out = BytesMut::new();
    let mut encoder = encoder(answering_codex());
    frames.into_iter().for_each(|frame| encoder.frame(frame, &mut out));
    let told = read(std::str::from_utf8(&out).unwrap());
    let output = told.last().unwrap()["response"]["output"].clone();
    assert_eq!(output.as_array().unwrap().len(), 3, "{output}");
    assert_eq!(output[0]["encrypted_content"], "gAAA");
    assert_eq!((&output[1]["type"], &output[1]["input"]), (&json!("custom_tool_call"), &json!("*** Begin")));
    assert_eq!((&output[2]["namespace"], &output[2]["name"]), (&json!("mcp__git"), &json!("log")));
}
