//! Which of a route's targets comes first where a request needs what not all of them have.

use crate::stage::{CHAIN, DIALECTS, Stage, question, streamed};
use router::dialect::Dialect;
use serde_json::{Value, json};
use testkit::{FaultyModel, Reply, Wire};

const PNG: &str = "iVBORw0KGgo=";

/// Tools of coding clients have parameters with such names; so have the calls of them.
fn about_images(dialect: Dialect) -> Value {
    let schema =
        json!({"type": "object", "properties": {"image_url": {"type": "string"}, "image": {"type": "string"}}});
    let arguments = json!({"image": "nginx:1", "image_url": "none"});
    let mut body = streamed(dialect);
    let (list, tool, said) = match dialect {
        Dialect::OpenAiResponses => (
            "input",
            json!({"type": "function", "name": "run", "parameters": schema}),
            vec![
                json!({"type": "function_call", "call_id": "c1", "name": "run", "arguments": arguments.to_string()}),
                json!({"type": "function_call_output", "call_id": "c1", "output": "done"}),
            ],
        ),
        Dialect::Anthropic => (
            "messages",
            json!({"name": "run", "input_schema": schema}),
            vec![
                json!({"role": "assistant", "content": [
                    {"type": "tool_use", "id": "c1", "name": "run", "input": arguments}]}),
                json!({"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": "done"}]}),
            ],
        ),
        _ => {
            let arguments = if dialect == Dialect::OllamaChat { arguments } else { json!(arguments.to_string()) };
            (
                "messages",
                json!({"type": "function", "function": {"name": "run", "description": "", "parameters": schema}}),
                vec![
                    json!({"role": "assistant", "content": "", "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "run", "arguments": arguments}}]}),
                    json!({"role": "tool", "tool_call_id": "c1", "content": "done"}),
                ],
            )
        }
    };
    if let Value::String(text) = &body[list] {
        body[list] = json!([{"role": "user", "content": text}]);
    }
    body[list].as_array_mut().unwrap().extend(said);
    body["tools"] = json!([tool]);
    body
}

fn with_an_image(dialect: Dialect) -> Value {
    let url = format!("data:image/png;base64,{PNG}");
    let (list, message) = match dialect {
        Dialect::OpenAiResponses => {
            ("input", json!({"role": "user", "content": [{"type": "input_image", "image_url": url}]}))
        }
        Dialect::Anthropic => {
            let source = json!({"type": "base64", "media_type": "image/png", "data": PNG});
            ("messages", json!({"role": "user", "content": [{"type": "image", "source": source}]}))
        }
        Dialect::OllamaChat => ("messages", json!({"role": "user", "content": "What is this?", "images": [PNG]})),
        _ => ("messages", json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]})),
    };
    let mut body = question(dialect, false);
    body["model"] = json!(CHAIN);
    body[list] = json!([message]);
    body
}

#[tokio::test]
async fn a_tool_with_an_image_for_a_parameter_is_no_image() {
    for wire in [Wire::Ollama, Wire::OpenAiChat] {
        for dialect in DIALECTS {
            let a = FaultyModel::start(wire).await.then(Reply::text("From a."));
            let b = FaultyModel::start(Wire::Anthropic).await.then(Reply::text("From b."));
            let stage = Stage::over(&[&a, &b]).await;
            let answer = stage.ask(dialect, &about_images(dialect), &[]).await;
            assert_eq!(
                (answer.status, answer.said().as_str()),
                (200, "From a."),
                "{dialect:?} over {wire:?}: {answer:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_may_not_look_comes_last_and_is_asked_all_the_same() {
    for dialect in DIALECTS {
        for (reply, said) in [(Reply::text("From b."), "From b."), (Reply::status(503), "From a.")] {
            // Servers of this kind do not tell whether a model looks at images.
            let a = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text("From a."));
            let b = FaultyModel::start(Wire::Anthropic).await.then(reply);
            let stage = Stage::over(&[&a, &b]).await;
            let answer = stage.ask(dialect, &with_an_image(dialect), &[]).await;
            assert_eq!((answer.status, answer.said().as_str()), (200, said), "{dialect:?}: {answer:?}");
            let record = stage.record(&answer).await;
            let order: Vec<_> = record.candidates.iter().map(|candidate| candidate.target.as_str()).collect();
            assert_eq!(order, ["b/faulty:latest", "a/faulty:latest"], "{dialect:?}");
            assert!(record.candidates[1].why.contains("does not look at images"), "{:?}", record.candidates);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn that_nobody_else_could_look_is_not_why_the_call_failed() {
    for dialect in DIALECTS {
        // It says that it cannot, and refuses.
        let a = FaultyModel::start(Wire::Ollama).await;
        let b = FaultyModel::start(Wire::Anthropic).await.then(Reply::status(503));
        let stage = Stage::over(&[&a, &b]).await;
        let answer = stage.ask(dialect, &with_an_image(dialect), &[]).await;
        assert!(answer.status >= 500, "{dialect:?}: the request is right, b is down: {answer:?}");
        assert!(a.received().is_empty() && !b.received().is_empty());
    }
}
