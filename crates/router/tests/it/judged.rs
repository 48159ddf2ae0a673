//! Form is judged only where everything was understood, and a refusal is an answer.

use crate::stage::{CHAIN, DIALECTS, Stage};
use router::dialect::Dialect;
use serde_json::{Value, json};
use testkit::{FaultyModel, Reply, Wire};

fn schema() -> Value {
    json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": false})
}

fn asking_for_form(dialect: Dialect) -> Value {
    match dialect {
        Dialect::OpenAiResponses => json!({"model": CHAIN, "input": "Go.", "text": {"format": {
            "type": "json_schema", "name": "n", "schema": schema(), "strict": true}}}),
        Dialect::Anthropic => {
            json!({"model": CHAIN, "max_tokens": 99, "messages": [{"role": "user", "content": "Go."}],
            "output_config": {"format": {"type": "json_schema", "schema": schema()}}})
        }
        Dialect::OllamaChat => {
            json!({"model": CHAIN, "messages": [{"role": "user", "content": "Go."}], "stream": false,
            "format": schema()})
        }
        _ => json!({"model": CHAIN, "messages": [{"role": "user", "content": "Go."}], "response_format": {
            "type": "json_schema", "json_schema": {"name": "n", "schema": schema(), "strict": true}}}),
    }
}

/// A refusal in one body, or in the events of a stream.
fn refusal(wire: Wire, stream: bool) -> String {
    let usage = json!({"prompt_tokens": 1, "completion_tokens": 1, "input_tokens": 1, "output_tokens": 1});
    match (wire, stream) {
        (Wire::OpenAiChat, false) => json!({"id": "1", "object": "chat.completion", "model": "m", "usage": usage,
            "choices": [{"index": 0, "finish_reason": "stop",
                         "message": {"role": "assistant", "content": null, "refusal": "I will not."}}]})
        .to_string(),
        (Wire::OpenAiChat, true) => {
            let chunk = |delta: Value, reason: Value| {
                let choice = json!({"index": 0, "delta": delta, "finish_reason": reason});
                format!("data: {}\n\n", json!({"id": "1", "model": "m", "choices": [choice]}))
            };
            chunk(json!({"role": "assistant", "refusal": "I will "}), Value::Null)
                + &chunk(json!({"refusal": "not."}), Value::Null)
                + &chunk(json!({}), json!("stop"))
                + "data: [DONE]\n\n"
        }
        _ => {
            let item = json!({"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
                              "content": [{"type": "refusal", "refusal": "I will not."}]});
            let response =
                json!({"id": "r", "status": "completed", "model": "m", "output": [item.clone()], "usage": usage});
            if !stream {
                return response.to_string();
            }
            let events = [
                json!({"type": "response.created", "response": {"id": "r", "model": "m"}}),
                json!({"type": "response.output_item.added", "output_index": 0, "item": {"id": "msg_1", "type": "message"}}),
                json!({"type": "response.refusal.delta", "output_index": 0, "item_id": "msg_1", "delta": "I will not."}),
                json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
                json!({"type": "response.completed", "response": response}),
            ];
            events.iter().map(|event| format!("data: {event}\n\n")).collect()
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_what_has_a_form_is_an_answer() {
    for wire in [Wire::OpenAiChat, Wire::OpenAiResponses] {
        for dialect in DIALECTS {
            // A body of another API is always streamed.
            let streams =
                dialect != if wire == Wire::OpenAiChat { Dialect::OpenAiChat } else { Dialect::OpenAiResponses };
            let a = FaultyModel::start(wire).await.then(Reply::verbatim(refusal(wire, streams)));
            let b = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text(r#"{"a":1}"#));
            let answer = Stage::over(&[&a, &b]).await.ask(dialect, &asking_for_form(dialect), &[]).await;
            let what = format!("{dialect:?} over {wire:?}: {answer:?}");
            assert_eq!((answer.status, a.received().len(), b.received().len()), (200, 1, 0), "{what}");
            assert_eq!(answer.header("x-devmesh-quality"), None, "{what}");
            assert!(answer.body.contains("I will not."), "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_form_leads_on_and_calls_of_tools_that_were_not_understood_do_not() {
    let call = || Reply::call("lookup", json!({"q": 1}));
    let plain = json!({"model": CHAIN, "messages": [{"role": "user", "content": "Go."}]});
    let with = |name: &str, value: Value| {
        let mut body = plain.clone();
        body[name] = value;
        body
    };
    let other = json!([{"type": "function", "function": {"name": "other", "parameters": {"type": "object"}}}]);
    for (what, body, reply, asked) in [
        ("no JSON", asking_for_form(Dialect::OpenAiChat), Reply::text("Nope."), [2, 1]),
        ("an unknown tool", with("tools", other), call(), [2, 1]),
        ("no tools at all", plain.clone(), call(), [2, 1]),
        ("tools of the vendor's", with("plugins", json!([{"id": "web"}])), call(), [1, 0]),
        ("tools of another shape", with("tools", json!([{"type": "novel", "of": 1}])), call(), [1, 0]),
    ] {
        let a = FaultyModel::start(Wire::OpenAiChat).await.then(reply);
        let b = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text(r#"{"a":1}"#));
        let answer = Stage::over(&[&a, &b]).await.ask(Dialect::OpenAiChat, &body, &[]).await;
        assert_eq!([a.received().len(), b.received().len()], asked, "{what}: {answer:?}");
    }
}
