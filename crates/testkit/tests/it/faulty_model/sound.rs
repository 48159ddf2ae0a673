//! Answers without a fault, and what the server says of its models.

use super::{ask, http, server, streamed};
use protocol::FinishReason;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{FaultyModel, Reply, ServedModel, Wire};
use tokio::time::Instant;

const TEXT: &str = "one two three";

fn rich() -> Reply {
    Reply::text(TEXT).thinking("Let me see.").tool("shell", json!({"command": "ls -l"})).usage(11, 5)
}

#[tokio::test]
async fn every_dialect_streams_text_and_its_last_word() {
    for wire in Wire::ALL {
        let got = streamed(&server(wire, Reply::text(TEXT)).await).await;
        assert_eq!((got.text(wire).as_str(), got.done(wire), got.ended), (TEXT, true, true), "{wire:?}");
    }
}

#[tokio::test]
async fn chat_chunks_are_openais() {
    let got = streamed(&server(Wire::OpenAiChat, rich()).await).await;
    assert_eq!(got.frames[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(got.gather("/choices/0/delta/reasoning_content"), "Let me see.");
    assert_eq!(got.gather("/choices/0/delta/tool_calls/0/function/name"), "shell");
    assert_eq!(got.gather("/choices/0/delta/tool_calls/0/function/arguments"), r#"{"command":"ls -l"}"#);
    assert_eq!(got.finish(Wire::OpenAiChat), Some("tool_calls"));
    let last = got.frames.last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]["total_tokens"]), (&json!([]), &json!(16)));
    assert_eq!(got.others, ["[DONE]"]);
}

#[tokio::test]
async fn messages_events_come_in_anthropics_order() {
    let got = streamed(&server(Wire::Anthropic, rich()).await).await;
    let mut types = got.types();
    types.dedup();
    let block = ["content_block_start", "content_block_delta", "content_block_stop"];
    let mut expected = vec!["message_start", block[0], "ping", block[1], block[2]];
    expected.extend(block.iter().cycle().take(6));
    expected.extend(["message_delta", "message_stop"]);
    assert_eq!(types, expected);
    assert_eq!(got.frames[0]["message"]["usage"]["input_tokens"], 11);
    assert_eq!(got.gather("/delta/thinking"), "Let me see.");
    assert!(!got.gather("/delta/signature").is_empty());
    assert_eq!(got.gather("/delta/partial_json"), r#"{"command":"ls -l"}"#);
    let last = &got.frames[got.frames.len() - 2];
    assert_eq!((&last["delta"]["stop_reason"], &last["usage"]["output_tokens"]), (&json!("tool_use"), &json!(5)));
}

#[tokio::test]
async fn response_events_are_numbered_and_one_is_terminal() {
    let got = streamed(&server(Wire::OpenAiResponses, rich()).await).await;
    let numbers: Vec<u64> = got.frames.iter().filter_map(|frame| frame["sequence_number"].as_u64()).collect();
    assert_eq!(numbers, (0..got.frames.len() as u64).collect::<Vec<_>>());
    let types = got.types();
    assert_eq!(types[..2], ["response.created", "response.in_progress"]);
    for (name, count) in [
        ("response.output_item.added", 3),
        ("response.output_item.done", 3),
        ("response.reasoning_summary_text.done", 1),
        ("response.content_part.done", 1),
        ("response.function_call_arguments.done", 1),
        ("response.completed", 1),
    ] {
        assert_eq!(types.iter().filter(|&&found| found == name).count(), count, "{name}");
    }
    let response = &got.frames.last().unwrap()["response"];
    assert_eq!(response["status"], "completed");
    assert_eq!(response["output"][1]["content"][0]["text"], TEXT);
    assert_eq!(response["output"][2]["arguments"], r#"{"command":"ls -l"}"#);
    assert_eq!(response["usage"]["total_tokens"], 16);
    let cut_short =
        streamed(&server(Wire::OpenAiResponses, Reply::text(TEXT).finish(FinishReason::Length)).await).await;
    assert_eq!(cut_short.types().last(), Some(&"response.incomplete"));
    assert_eq!(cut_short.finish(Wire::OpenAiResponses), Some("max_output_tokens"));
}

#[tokio::test]
async fn ollama_lines_give_whole_calls_and_nanoseconds() {
    let model = server(Wire::Ollama, rich().load_ms(3)).await;
    let got = streamed(&model).await;
    assert_eq!(got.gather("/message/thinking"), "Let me see.");
    let call = got.frames.iter().find_map(|frame| frame.pointer("/message/tool_calls/0/function")).unwrap();
    assert_eq!((&call["name"], &call["arguments"]), (&json!("shell"), &json!({"command": "ls -l"})));
    let last = got.frames.last().unwrap();
    assert_eq!((&last["load_duration"], &last["eval_count"]), (&json!(3_000_000), &json!(5)));

    let url = format!("{}/api/generate", model.base_url());
    let asked = json!({"model": "faulty", "prompt": "hi"});
    let body = http().post(url).json(&asked).send().await.unwrap().text().await.unwrap();
    let lines = body.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let text: String = lines.filter_map(|line| Some(line["response"].as_str()?.to_owned())).collect();
    assert_eq!(text, TEXT);
}

#[tokio::test]
async fn one_body_says_the_same() {
    for (wire, text, arguments, finish, tokens) in [
        (
            Wire::OpenAiChat,
            "/choices/0/message/content",
            "/choices/0/message/tool_calls/0/function/arguments",
            "/choices/0/finish_reason",
            "/usage/completion_tokens",
        ),
        (Wire::OpenAiResponses, "/output/1/content/0/text", "/output/2/arguments", "/status", "/usage/output_tokens"),
        (Wire::Anthropic, "/content/1/text", "/content/2/input", "/stop_reason", "/usage/output_tokens"),
        (Wire::Ollama, "/message/content", "/message/tool_calls/0/function/arguments", "/done_reason", "/eval_count"),
    ] {
        let model = server(wire, rich()).await;
        let body: Value = ask(&model, false).await.json().await.unwrap();
        let at = |pointer: &str| body.pointer(pointer).unwrap_or_else(|| panic!("{wire:?}: no {pointer} in {body}"));
        assert_eq!((at(text), at(tokens)), (&json!(TEXT), &json!(5)), "{wire:?}");
        assert!(at(finish).is_string(), "{wire:?}");
        assert!(at(arguments).to_string().contains("ls -l"), "{wire:?}");
    }
}

#[tokio::test]
async fn replies_follow_each_other_and_the_last_one_repeats() {
    let model = server(Wire::Ollama, Reply::text("a")).await.then(Reply::loops("b ", 2));
    let mut said = Vec::new();
    for _ in 0..3 {
        said.push(streamed(&model).await.text(Wire::Ollama));
    }
    model.push(Reply::empty());
    said.push(streamed(&model).await.text(Wire::Ollama));
    assert_eq!(said, ["a", "b b ", "b b ", ""]);
}

#[tokio::test(start_paused = true)]
async fn tokens_take_their_time_on_tokios_clock() {
    let minute = Duration::from_secs(60);
    for wire in Wire::ALL {
        let model = server(wire, Reply::text(TEXT).first_after(minute)).await;
        model.push(Reply::text(TEXT).between(minute));
        model.push(Reply::text(TEXT).load_ms(60_000).between(minute));
        for minutes in [1, 2, 3] {
            let start = Instant::now();
            assert!(streamed(&model).await.done(wire));
            assert_eq!(start.elapsed().as_secs(), 60 * minutes, "{wire:?}");
        }
    }
}

#[tokio::test]
async fn models_are_listed_as_each_vendor_does() {
    let models =
        || [ServedModel::new("small:1b").context_tokens(2048).digest("abc").loaded(), ServedModel::new("cold")];
    let get = async |url: String| -> Value { http().get(url).send().await.unwrap().json().await.unwrap() };
    for wire in [Wire::OpenAiChat, Wire::OpenAiResponses, Wire::Anthropic] {
        let model = FaultyModel::serve(wire, models()).await;
        let list = get(format!("http://{}/v1/models", model.address())).await;
        assert_eq!(list["data"][1]["id"], "cold", "{wire:?}");
        assert!(model.received().is_empty());
        assert_eq!(model.paths(), ["/v1/models"]);
    }
    let model = FaultyModel::serve(Wire::Ollama, models()).await;
    let at = |path: &str| format!("{}{path}", model.base_url());
    assert_eq!(get(at("/api/tags")).await["models"][0]["digest"], "abc");
    assert!(get(at("/api/version")).await["version"].is_string());
    let shown = http().post(at("/api/show")).json(&json!({"model": "small:1b"})).send().await.unwrap();
    assert_eq!(shown.json::<Value>().await.unwrap()["model_info"]["llama.context_length"], 2048);
    assert_eq!(http().post(at("/api/show")).json(&json!({"model": "no"})).send().await.unwrap().status(), 404);

    let loaded = async || get(at("/api/ps")).await["models"].as_array().unwrap().len();
    assert_eq!(loaded().await, 1);
    let asked = http().post(model.url()).json(&model.wire().question("cold", "hi", true)).send().await.unwrap();
    asked.text().await.unwrap();
    assert_eq!(loaded().await, 2);
    model.unload();
    assert_eq!(loaded().await, 1);
}

#[tokio::test]
async fn vectors_counts_and_other_paths_are_answered_too() {
    let openai = FaultyModel::start(Wire::OpenAiChat).await;
    let asked = json!({"model": FaultyModel::MODEL, "input": ["a", "b"]});
    let vectors = http().post(format!("{}/embeddings", openai.base_url())).json(&asked).send().await.unwrap();
    assert_eq!(vectors.json::<Value>().await.unwrap()["data"][1]["index"], 1);
    let ollama = FaultyModel::start(Wire::Ollama).await;
    let vectors = http().post(format!("{}/api/embed", ollama.base_url())).json(&asked).send().await.unwrap();
    let vectors: Value = vectors.json().await.unwrap();
    assert_ne!(vectors["embeddings"][0], vectors["embeddings"][1]);
    let anthropic = FaultyModel::start(Wire::Anthropic).await;
    let url = format!("{}/v1/messages/count_tokens", anthropic.base_url());
    let counted = http().post(url).json(&json!({"messages": []})).send().await.unwrap();
    assert_eq!(counted.json::<Value>().await.unwrap()["input_tokens"], FaultyModel::INPUT_TOKENS);

    let sound = vec![0, 159, 146, 150];
    let url = format!("{}/audio/transcriptions?language=de", openai.base_url());
    let heard = http().post(url).header("content-type", "audio/wav").body(sound.clone()).send().await.unwrap();
    assert_eq!(heard.headers()["content-type"], "audio/wav");
    assert_eq!(heard.bytes().await.unwrap(), sound);
    let received = openai.received().pop().unwrap();
    assert_eq!(received.path, "/v1/audio/transcriptions?language=de");
    assert_eq!((received.bytes.to_vec(), received.body), (sound, Value::Null));
}
