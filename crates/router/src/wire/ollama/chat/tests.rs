use super::*;
use crate::{
    Event, Frame,
    answer::{Finish, Usage},
    conversation::{Format, Image, Thinking},
    dialect::{Asked, Dialect},
};
use bytes::BytesMut;
use http::HeaderMap;
use proptest::prelude::*;
use protocol::FinishReason;
use std::time::Duration;

fn of(body: &Value) -> Bytes {
    Bytes::from(body.to_string())
}

fn envelope() -> Envelope {
    Envelope { id: "id".to_owned(), created_s: 1_767_323_045, estimated_input_tokens: 9, ..crate::testing::envelope() }
}

fn finished(reason: FinishReason) -> Frame {
    let usage = Usage { input_tokens: 12, output_tokens: 34, ..Usage::default() };
    Frame::from(Event::Finished(Finish { load_ms: Some(2), ..Finish::new(reason, usage) }))
}

fn call(index: usize, name: &str) -> Frame {
    Frame::from(Event::ToolCall { index, id: format!("call_{index}"), name: name.to_owned() })
}

fn arguments(index: usize, fragment: &str) -> Frame {
    Frame::from(Event::ToolArguments { index, fragment: fragment.to_owned() })
}

fn text(text: &str) -> Frame {
    Frame::from(Event::Text(text.to_owned()))
}

fn encoded(mut encoder: Box<dyn Encoder>, frames: Vec<Frame>) -> String {
    let mut out = BytesMut::new();
    for frame in frames {
        encoder.frame(frame, &mut out);
    }
    String::from_utf8(out.to_vec()).unwrap()
}

#[test]
fn a_sign_of_life_is_a_line_without_a_word_until_the_answer_is_over() {
    let mut encoder = encoder(envelope());
    let mut out = BytesMut::new();
    encoder.heartbeat(&mut out);
    let line: Value = serde_json::from_slice(&out.split()).unwrap();
    assert_eq!((&line["message"], &line["done"]), (&json!({"role": "assistant", "content": ""}), &json!(false)));
    encoder.frame(finished(FinishReason::Stop), &mut out);
    out.clear();
    encoder.heartbeat(&mut out);
    assert!(out.is_empty(), "nothing follows the end");
}

#[test]
fn streaming_is_the_default_and_nothing_to_answer_shows_in_the_peek() {
    let messages = json!([{"role": "user", "content": "Hi"}]);
    let asked = peek(&of(&json!({"model": "m", "messages": messages, "options": {"num_predict": 9}}))).unwrap();
    assert!(asked.stream && asked.prompt_bytes > 0 && !asked.has_tools && !asked.has_images);
    assert_eq!((asked.max_output_tokens, asked.choices), (Some(9), 1));
    assert!(!peek(&of(&json!({"model": "m", "messages": messages, "stream": false}))).unwrap().stream);
    for body in [json!({"model": "m"}), json!({"model": "m", "messages": []}), json!({"model": "m", "messages": null})]
    {
        assert_eq!(peek(&of(&body)).unwrap().prompt_bytes, 0, "{body}");
    }
    let told = json!([{"role": "user", "content": "\"images\":[1]"}]);
    assert!(!peek(&of(&json!({"model": "m", "messages": told}))).unwrap().has_images);
    let shown = json!([{"role": "user", "content": "", "images": ["AAAA"]}]);
    assert!(peek(&of(&json!({"model": "m", "messages": shown, "format": "json"}))).unwrap().has_images);
}

#[test]
fn what_a_client_sends_becomes_a_conversation() {
    let body = json!({
        "model": "m", "think": "max", "format": {"type": "object"}, "keep_alive": "5m", "stream": false,
        "messages": [
            {"role": "System", "content": "Be brief."},
            {"role": "user", "content": "What is it?", "images": ["iVBORw0KGgoAAA"]},
            {"role": "assistant", "content": "", "thinking": "Hm.", "tool_calls": [
                {"function": {"name": "look", "arguments": {"at": 1.50}}},
                {"id": "given", "function": {"name": "zoom", "arguments": {}}},
            ]},
            {"role": "tool", "content": "near", "tool_name": "zoom"},
            {"role": "tool", "content": "a cat"},
        ],
        "tools": [{"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}}],
        "options": {"num_predict": 50.0, "temperature": 0, "top_p": 0.9, "top_k": 40, "seed": -1, "stop": ["END"],
            "num_ctx": 131_072, "repeat_penalty": 1.1, "presence_penalty": 1},
        "truncate": false, "surprise": {"a": 1},
    });
    let read = conversation(&of(&body)).unwrap();
    let roles: Vec<_> = read.messages.iter().map(|message| message.role.as_str()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "tool"]);
    let png = Image::Base64 { media_type: "image/png".to_owned(), data: "iVBORw0KGgoAAA".to_owned() };
    assert_eq!(read.messages[1].parts, [Part::Text("What is it?".to_owned()), Part::Image(png)]);
    let [Part::Thinking { .. }, Part::ToolCall { id, arguments, .. }, Part::ToolCall { id: given, .. }] =
        read.messages[2].parts.as_slice()
    else {
        panic!("{:?}", read.messages[2])
    };
    assert_eq!((id.as_str(), arguments.as_str(), given.as_str()), ("call_1", r#"{"at":1.5}"#, "given"));
    let answered = |at: usize| match &read.messages[at].parts[0] {
        Part::ToolResult { call_id, .. } => call_id.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((answered(3).as_str(), answered(4).as_str()), ("given", "call_1"), "by name, then by order");
    assert_eq!(read.thinking, Thinking::Effort("high".to_owned()));
    assert!(matches!(read.format, Format::Schema { .. }));
    assert_eq!(
        (read.max_output_tokens, read.temperature, read.top_k, read.seed),
        (Some(50), Some(0.0), Some(40), None)
    );
    assert_eq!((read.presence_penalty, read.stop.as_slice()), (Some(1.0), &["END".to_owned()][..]));
    assert_eq!(read.lost, ["/keep_alive", "/surprise", "/options/num_ctx", "/options/repeat_penalty"]);
}

#[test]
fn mistakes_are_told_with_their_place() {
    let place =
        |body: &str| match Asked::new(Dialect::OllamaChat, Bytes::copy_from_slice(body.as_bytes()), HeaderMap::new())
            .and_then(|asked| asked.conversation().map(|_| ()))
        {
            Err(Error::Invalid { pointer, .. }) => pointer,
            other => panic!("{body}: {other:?}"),
        };
    assert_eq!(place(""), "");
    assert_eq!(place("[]"), "");
    assert_eq!(place(r#"{"messages":[]}"#), "/model");
    assert_eq!(place(r#"{"model":1}"#), "/model");
    assert_eq!(place(r#"{"model":"m","messages":{}}"#), "/messages");
    assert_eq!(place(r#"{"model":"m","messages":[{"role":"king"}]}"#), "/messages/0/role");
    assert_eq!(place(r#"{"model":"m","messages":[{"role":"user","content":[]}]}"#), "/messages/0/content");
    assert_eq!(place(r#"{"model":"m","messages":[{"role":"user","images":[1]}]}"#), "/messages/0/images/0");
    assert_eq!(place(r#"{"model":"m","format":"xml"}"#), "/format");
    assert_eq!(place(r#"{"model":"m","think":"hard"}"#), "/think");
    assert_eq!(place(r#"{"model":"m","options":{"top_k":1.5}}"#), "/options/top_k");
    assert_eq!(place(r#"{"model":"m","tools":[{}]}"#), "/tools/0/function");
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_any_provider_becomes_lines() {
    let mut encoder = encoder(envelope());
    let mut out = BytesMut::new();
    encoder.frame(Frame::from(Event::Started { id: None, model: None, usage: Usage::default() }), &mut out);
    tokio::time::advance(Duration::from_millis(250)).await;
    for frame in [
        Frame::from(Event::Thinking("Hm.".to_owned())),
        text("Grüße"),
        call(0, "shell"),
        arguments(0, "{\"command\""),
        arguments(0, ": \"ls\"}"),
        call(1, "read"),
        arguments(1, "not json"),
    ] {
        encoder.frame(frame, &mut out);
    }
    tokio::time::advance(Duration::from_millis(750)).await;
    encoder.frame(finished(FinishReason::ToolCalls), &mut out);
    encoder.frame(text("too late"), &mut out);
    encoder.fail(&Error::Cancelled, &mut out);
    insta::assert_snapshot!(std::str::from_utf8(&out).unwrap(), @r#"
    {"model":"fast","created_at":"2026-01-02T03:04:05.250Z","message":{"role":"assistant","content":"","thinking":"Hm."},"done":false}
    {"model":"fast","created_at":"2026-01-02T03:04:05.250Z","message":{"role":"assistant","content":"Grüße"},"done":false}
    {"model":"fast","created_at":"2026-01-02T03:04:05.250Z","message":{"role":"assistant","content":"","tool_calls":[{"function":{"index":0,"name":"shell","arguments":{"command":"ls"}},"id":"call_0"}]},"done":false}
    {"model":"fast","created_at":"2026-01-02T03:04:06.000Z","message":{"role":"assistant","content":"","tool_calls":[{"function":{"index":1,"name":"read","arguments":{"arguments":"not json"}},"id":"call_1"}]},"done":false}
    {"model":"fast","created_at":"2026-01-02T03:04:06.000Z","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":1000000000,"load_duration":2000000,"prompt_eval_count":12,"prompt_eval_duration":248000000,"eval_count":34,"eval_duration":750000000}
    "#);
}

#[test]
fn calls_that_take_turns_keep_their_arguments_and_everything_its_order() {
    let said = |frames: Vec<Frame>, failure: Option<Error>| {
        let mut encoder = encoder(envelope());
        let mut out = BytesMut::new();
        let mut seen: Vec<String> = Vec::new();
        let mut note = |out: &mut BytesMut| {
            let piece = out.split();
            let lines = std::str::from_utf8(&piece).unwrap().lines();
            let pieces = lines.map(|line| {
                let line: Value = serde_json::from_str(line).unwrap();
                let message = &line["message"];
                match message["tool_calls"].as_array() {
                    Some(calls) => calls
                        .iter()
                        .map(|call| format!("{}{}", call["function"]["name"], call["function"]["arguments"]))
                        .collect(),
                    None if line["error"].is_string() => "error".to_owned(),
                    None if line["done"] == true => "end".to_owned(),
                    None => format!(
                        "{}{}",
                        message["content"].as_str().unwrap(),
                        message["thinking"].as_str().unwrap_or_default()
                    ),
                }
            });
            seen.push(pieces.collect::<Vec<_>>().join(" "));
        };
        for frame in frames {
            encoder.frame(frame, &mut out);
            note(&mut out);
        }
        if let Some(failure) = failure {
            encoder.fail(&failure, &mut out);
            note(&mut out);
        }
        seen.join("|")
    };
    let end = || finished(FinishReason::ToolCalls);
    let cut = || Error::Cut { provider: "up".to_owned(), message: "it ended".to_owned() };
    let think = || Frame::from(Event::Thinking("Hm.".to_owned()));
    let own = || {
        let raw = Bytes::from("{\"message\":{\"content\":\"own\"}}\n");
        Frame::new(Some(raw), vec![Event::Text("own".to_owned())])
    };
    for (frames, failure, expected) in [
        (
            vec![
                call(0, "read"),
                call(1, "list"),
                arguments(0, r#"{"p":"#),
                arguments(1, r#"{"p":"#),
                arguments(0, r#""}a"}"#),
                arguments(1, r#""b"}"#),
                end(),
            ],
            None,
            r#"||||"read"{"p":"}a"}|"list"{"p":"b"}|end"#,
        ),
        // The second is whole first, and waits for the first.
        (
            vec![call(0, "read"), call(1, "list"), arguments(1, "{}"), arguments(0, "{}"), end()],
            None,
            r#"|||"read"{} "list"{}|end"#,
        ),
        (
            vec![call(0, "read"), text("a"), text("b"), think(), arguments(0, "{}"), text("c"), end()],
            None,
            r#"||||"read"{} ab Hm.|c|end"#,
        ),
        (vec![call(0, "read"), text("a"), end()], None, r#"||"read"{} a end"#),
        (vec![call(0, "read"), arguments(0, "{"), text("a"), own()], None, r#"|||"read"{"arguments":"{"} a own"#),
        (vec![call(0, ""), arguments(0, "{}"), text("a"), end()], None, "|||a error"),
        (vec![call(0, "read"), arguments(0, "{"), text("a")], Some(cut()), "|||a error"),
    ] {
        assert_eq!(said(frames, failure), expected);
    }
}

#[test]
fn a_line_that_nobody_could_read_passes() {
    let odd = Frame::new(Some(Bytes::from("<odd>\n")), vec![Event::Opaque("a line".to_owned())]);
    let seen = encoded(encoder(envelope()), vec![odd, finished(FinishReason::Stop)]);
    assert!(seen.starts_with("<odd>\n{\"model\":\"fast\""), "{seen}");
}

#[test]
fn an_ollamas_own_lines_pass_and_another_provider_can_go_on() {
    let line =
        "{\"model\":\"real\",\"message\":{\"role\":\"assistant\",\"content\":\"1, \"},\"x\":1.50,\"done\":false}\n";
    let own = Frame::new(Some(Bytes::from(line)), vec![Event::Text("1, ".to_owned())]);
    let foreign = Frame::new(Some(Bytes::from("data: {}\n\n")), vec![Event::Text("2".to_owned())]);
    let seen = encoded(encoder(envelope()), vec![own, foreign, finished(FinishReason::Length)]);
    assert!(seen.starts_with(line), "{seen}");
    assert!(!seen.contains("data:"), "{seen}");
    let lines: Vec<Value> = seen.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1]["message"]["content"], "2");
    assert_eq!((&lines[2]["done"], &lines[2]["done_reason"]), (&json!(true), &json!("length")));
    assert_eq!(lines.iter().filter(|line| line["done"] == true).count(), 1);
}

#[test]
fn a_failure_is_one_line_and_the_last() {
    let mut encoder = encoder(envelope());
    let mut out = BytesMut::new();
    encoder.frame(call(0, "shell"), &mut out);
    let error = Error::Cut { provider: "ollama".to_owned(), message: "it ended".to_owned() };
    encoder.fail(&error, &mut out);
    encoder.frame(finished(FinishReason::Stop), &mut out);
    assert_eq!(&out[..], b"{\"error\":\"the answer of ollama was cut: it ended\"}\n");
}

#[test]
fn a_whole_answer_and_one_that_only_loads() {
    let mut answer = Whole::default();
    for frame in
        [Frame::from(Event::Thinking("Hm.".to_owned())), text("Hi"), call(0, "a"), finished(FinishReason::Stop)]
    {
        frame.events.iter().for_each(|event| answer.add(event));
    }
    insta::assert_snapshot!(whole(&envelope(), &answer), @r#"{"model":"fast","created_at":"2026-01-02T03:04:05.000Z","message":{"role":"assistant","content":"Hi","thinking":"Hm.","tool_calls":[{"function":{"index":0,"name":"a","arguments":{}},"id":"call_0"}]},"done":true,"done_reason":"stop","total_duration":0,"load_duration":2000000,"prompt_eval_count":12,"prompt_eval_duration":0,"eval_count":34,"eval_duration":0}"#);
    insta::assert_snapshot!(super::super::generate::whole(&envelope(), &answer), @r#"{"model":"fast","created_at":"2026-01-02T03:04:05.000Z","response":"Hi","thinking":"Hm.","tool_calls":[{"function":{"index":0,"name":"a","arguments":{}},"id":"call_0"}],"done":true,"done_reason":"stop","total_duration":0,"load_duration":2000000,"prompt_eval_count":12,"prompt_eval_duration":0,"eval_count":34,"eval_duration":0}"#);
    use crate::wire::ollama::loading::{self, Loading};
    let loads = |dialect: Dialect, body: Value| {
        let asked = Asked::new(dialect, of(&body), HeaderMap::new()).unwrap();
        loading::asked(dialect, &asked.peek, &asked.body)
    };
    assert_eq!(loads(Dialect::OllamaChat, json!({"model": "m"})), Some(Loading::Load));
    assert_eq!(loads(Dialect::OllamaChat, json!({"model": "m", "keep_alive": "10m"})), Some(Loading::Load));
    assert_eq!(loads(Dialect::OllamaChat, json!({"model": "m", "keep_alive": 0})), Some(Loading::Unload));
    assert_eq!(
        loads(Dialect::OllamaGenerate, json!({"model": "m", "system": "s", "keep_alive": "0s"})),
        Some(Loading::Unload)
    );
    assert_eq!(loads(Dialect::OllamaGenerate, json!({"model": "m", "prompt": " "})), None);
    insta::assert_snapshot!(loading::answer(Dialect::OllamaChat, &envelope(), Loading::Load), @r#"{"model":"fast","created_at":"2026-01-02T03:04:05.000Z","message":{"role":"assistant","content":""},"done":true,"done_reason":"load"}"#);
    insta::assert_snapshot!(loading::answer(Dialect::OllamaGenerate, &envelope(), Loading::Unload), @r#"{"model":"fast","created_at":"2026-01-02T03:04:05.000Z","response":"","done":true,"done_reason":"stop"}"#);
}

#[test]
fn a_prompt_without_roles_becomes_a_conversation_and_says_what_it_lost() {
    use super::super::generate;
    let body = json!({"model": "m", "system": "Be brief.", "prompt": "fn main() {", "suffix": "}", "raw": true,
        "context": [1, 2], "template": "", "images": ["/9j/AA"], "think": false});
    let asked = generate::peek(&of(&body)).unwrap();
    assert!(asked.stream && asked.has_images && asked.prompt_bytes > 20);
    let read = generate::conversation(&of(&body)).unwrap();
    assert_eq!(
        (read.messages[0].plain(), read.messages[1].plain()),
        ("Be brief.".to_owned(), "fn main() {".to_owned())
    );
    assert_eq!(read.messages[1].parts.len(), 2);
    assert_eq!(
        (read.thinking, read.lost),
        (Thinking::Off, vec!["/suffix".to_owned(), "/raw".to_owned(), "/context".to_owned()])
    );
    let seen = encoded(generate::encoder(envelope()), vec![text("}"), finished(FinishReason::Stop)]);
    let first: Value = serde_json::from_str(seen.lines().next().unwrap()).unwrap();
    assert_eq!((&first["response"], &first["done"]), (&json!("}"), &json!(false)));
    assert!(seen.lines().last().unwrap().contains(r#""response":"","done":true,"done_reason":"stop""#), "{seen}");
}

#[test]
fn errors_have_the_status_a_client_acts_on() {
    let provider = || "ollama".to_owned();
    let message = || "why".to_owned();
    let status = |failure: Error| error(&failure, "id").0.as_u16();
    assert_eq!(
        status(Error::Denied { provider: provider(), message: message().into() }),
        502,
        "not the caller's own key"
    );
    assert_eq!(status(Error::EgressRefused { route: "fast".to_owned() }), 403);
    assert_eq!(status(Error::RateLimited { provider: provider(), message: message().into(), retry_after: None }), 429);
    assert_eq!(status(Error::Unavailable { provider: provider(), message: message().into(), missing: false }), 503);
    let unknown = Error::UnknownRoute { name: "x".to_owned(), known: "fast".to_owned() };
    assert_eq!(
        error(&unknown, "id"),
        (StatusCode::NOT_FOUND, json!({"error": "model 'x' not found. Known here: fast"}))
    );
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(body in ".{0,200}", inner in ".{0,40}") {
        let half = format!(r#"{{"model":"m","messages":[{{"role":"user","content":{inner}}}],"options":{{"stop":{body}}}}}"#);
        for body in [body.clone(), half, json!({"model": inner, "messages": [{"role": "tool", "tool_calls": [body]}]}).to_string()] {
            let body = Bytes::from(body);
            for dialect in [Dialect::OllamaChat, Dialect::OllamaGenerate] {
                let _ = dialect.peek(&body);
                let _ = dialect.conversation(&body);
            }
        }
    }
}
