//! Servers that give one body to who asked for a stream, or a stream to who asked for one body: nothing of it is lost.

use crate::stage::{Ends, Stage, question};
use router::dialect::Dialect;
use serde_json::{Value, json};
use testkit::{FaultyModel, Reply, Wire};

const USAGE: &str = r#"{"prompt_tokens":1,"completion_tokens":2,"input_tokens":1,"output_tokens":2,"novel":1}"#;

fn usage() -> Value {
    serde_json::from_str(USAGE).unwrap()
}

fn message() -> Value {
    json!({
        "role": "assistant", "content": "Look.", "refusal": "No more.", "images": [{"type": "image_url", "x": "data:y"}],
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"q\":1}"}}],
    })
}

fn completion() -> Value {
    json!({
        "id": "1", "object": "chat.completion", "created": 1, "model": "m", "provider": "novel", "usage": usage(),
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message()}],
    })
}

fn output() -> Value {
    json!([
        {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "gAAA"},
        {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": "aGk="},
        {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [
            {"type": "output_text", "text": "Look.", "annotations": [{"type": "url_citation", "url": "https://x"}]},
            {"type": "refusal", "refusal": "No more."}]},
        {"id": "fc_1", "type": "function_call", "call_id": "c1", "name": "f", "arguments": "{\"q\":1}", "status": "completed"},
    ])
}

fn response() -> Value {
    json!({"id": "r", "object": "response", "status": "completed", "model": "m", "output": output(), "usage": usage()})
}

fn tools(dialect: Dialect, stream: bool) -> Value {
    let mut body = question(dialect, stream);
    body["tools"] = match dialect {
        Dialect::OpenAiResponses => json!([{"type": "function", "name": "f", "parameters": {"type": "object"}}]),
        _ => json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]),
    };
    body
}

#[tokio::test(start_paused = true)]
async fn one_body_comes_whole_to_who_asked_for_a_stream() {
    for pretty in [true, false] {
        let text = |body: &Value| if pretty { format!("{body:#}") } else { body.to_string() };
        let reply = |body: &Value| Reply::verbatim(text(body)).media_type("application/json");
        let model = FaultyModel::start(Wire::OpenAiChat).await.then(reply(&completion()));
        let chat = tools(Dialect::OpenAiChat, true);
        let answer = Stage::over(&[&model]).await.ask(Dialect::OpenAiChat, &chat, &[]).await;
        assert!(
            answer.is_whole() && answer.header("content-type").unwrap().starts_with("text/event-stream"),
            "{answer:?}"
        );
        let delta = &answer.frames()[0]["choices"][0]["delta"];
        let mut expected = message();
        expected["tool_calls"][0]["index"] = json!(0);
        assert_eq!((delta, &answer.frames()[0]["provider"]), (&expected, &json!("novel")), "{answer:?}");

        let model = FaultyModel::start(Wire::OpenAiResponses).await.then(reply(&response()));
        let asked = tools(Dialect::OpenAiResponses, true);
        let answer = Stage::over(&[&model]).await.ask(Dialect::OpenAiResponses, &asked, &[]).await;
        assert_eq!(answer.ends(), Ends::of_a_whole(Dialect::OpenAiResponses), "{answer:?}");
        let frames = answer.frames();
        assert_eq!(frames.last().unwrap()["response"]["output"], output(), "{answer:?}");
        let done: Vec<_> = frames.iter().filter(|frame| frame["type"] == "response.output_item.done").collect();
        assert_eq!(done.iter().map(|frame| frame["item"].clone()).collect::<Value>(), output(), "each item, once");
        let deltas = |kind: &str| -> String {
            let those = frames.iter().filter(|frame| frame["type"] == kind);
            those.filter_map(|frame| frame["delta"].as_str()).collect()
        };
        assert_eq!(deltas("response.output_text.delta"), "Look.", "{answer:?}");
        assert_eq!(deltas("response.refusal.delta"), "No more.", "{answer:?}");
        assert_eq!(deltas("response.function_call_arguments.delta"), "{\"q\":1}", "{answer:?}");
        let numbers: Vec<_> = frames.iter().filter_map(|frame| frame["sequence_number"].as_u64()).collect();
        assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>(), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_comes_whole_to_who_asked_for_one_body() {
    let chunk = |delta: Value, reason: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": reason});
        format!(
            "data: {}\n\n",
            json!({"id": "1", "object": "chat.completion.chunk", "model": "m", "choices": [choice]})
        )
    };
    let mut rest = message();
    rest.as_object_mut().unwrap().remove("content");
    rest["tool_calls"][0]["index"] = json!(0);
    let stream = chunk(json!({"content": "Lo"}), Value::Null)
        + &chunk(json!({"content": "ok."}), Value::Null)
        + &chunk(rest, json!("tool_calls"))
        + &format!("data: {{\"choices\":[],\"usage\":{USAGE}}}\n\ndata: [DONE]\n\n");
    let model =
        FaultyModel::start(Wire::OpenAiChat).await.then(Reply::verbatim(stream).media_type("text/event-stream"));
    let chat = tools(Dialect::OpenAiChat, false);
    let answer = Stage::over(&[&model]).await.ask(Dialect::OpenAiChat, &chat, &[]).await;
    let body = answer.json();
    assert_eq!((&body["choices"][0]["message"], &body["usage"]), (&message(), &usage()), "{answer:?}");

    let events = json!({"type": "response.completed", "response": response()});
    let reply = Reply::verbatim(format!("data: {events}\n\n")).media_type("text/event-stream");
    let model = FaultyModel::start(Wire::OpenAiResponses).await.then(reply);
    let asked = tools(Dialect::OpenAiResponses, false);
    let answer = Stage::over(&[&model]).await.ask(Dialect::OpenAiResponses, &asked, &[]).await;
    assert_eq!(answer.json()["output"], output(), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn events_that_one_line_feed_parts_are_events_in_one_body_as_well() {
    let delta = json!({"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "delta": "Look."});
    let whole = json!({"status": "completed", "output": [{"id": "m", "type": "message", "role": "assistant", "content": [
        {"type": "output_text", "text": "Look.", "annotations": [{"type": "url_citation", "url": "https://x"}]}]}]});
    let end = json!({"type": "response.completed", "response": whole});
    let chat =
        |delta: Value, reason: Value| json!({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
    let chat = [chat(json!({"content": "Look.", "novel": 1}), Value::Null), chat(json!({}), json!("stop"))];
    for (dialect, wire, [first, last], novel) in [
        (Dialect::OpenAiResponses, Wire::OpenAiResponses, [delta, end], "url_citation"),
        (Dialect::OpenAiChat, Wire::OpenAiChat, chat, "novel"),
    ] {
        for body in [
            format!("data: {first}\ndata: {last}\n"),
            format!("data: {first}\ndata: {last}"),
            format!(": hi\n\ndata: {first}\n\ndata: {last}\ndata: [DONE]\n\n"),
            format!("data: {first}\ndata: {last}\n\ndata: [DONE]\n"),
        ] {
            for stream in [true, false] {
                let reply = Reply::verbatim(body.clone()).media_type("text/event-stream");
                let model = FaultyModel::start(wire).await.then(reply);
                let answer = Stage::over(&[&model]).await.ask(dialect, &question(dialect, stream), &[]).await;
                let what = format!("{dialect:?} {stream} {body}: {answer:?}");
                assert_eq!((answer.status, answer.said().as_str()), (200, "Look."), "{what}");
                assert!(answer.body.contains(novel), "everything else comes along: {what}");
                assert_eq!(model.received().len(), 1, "{what}");
            }
        }
    }
}

/// What a server of that wire says, in the bytes it says it with.
async fn sound(wire: Wire, stream: bool) -> (String, &'static str) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let model = FaultyModel::start(wire).await.then(Reply::text("Forty two."));
    let asked = wire.question(FaultyModel::MODEL, "What is the answer?", stream);
    let answer = reqwest::Client::new().post(model.url()).body(asked.to_string()).send().await.unwrap();
    let kind = match wire {
        Wire::Ollama if stream => "application/x-ndjson",
        _ if stream => "text/event-stream",
        _ => "application/json",
    };
    (answer.text().await.unwrap(), kind)
}

#[tokio::test]
async fn a_byte_order_mark_before_an_answer_or_a_piece_of_it_is_no_part_of_it() {
    const MARK: &str = "\u{feff}";
    for wire in Wire::ALL {
        for streams in [true, false] {
            let (body, kind) = sound(wire, streams).await;
            let parting = if wire == Wire::Ollama { "\n" } else { "\n\n" };
            let each: String = body.split_inclusive(parting).map(|piece| format!("{MARK}{piece}")).collect();
            for marked in [format!("{MARK}{body}"), each] {
                for dialect in [Dialect::OpenAiChat, Dialect::OpenAiResponses, Dialect::Anthropic, Dialect::OllamaChat]
                {
                    for stream in [true, false] {
                        let model =
                            FaultyModel::start(wire).await.then(Reply::verbatim(marked.clone()).media_type(kind));
                        let answer = Stage::over(&[&model]).await.ask(dialect, &question(dialect, stream), &[]).await;
                        let what = format!("{wire:?} {streams} to {dialect:?} {stream}: {answer:?}");
                        assert_eq!((answer.status, answer.said().as_str()), (200, "Forty two."), "{what}");
                        assert!(!answer.body.contains(MARK) && (!stream || answer.is_whole()), "{what}");
                    }
                }
            }
        }
    }
}
