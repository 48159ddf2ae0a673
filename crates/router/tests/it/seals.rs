//! What a model thought goes back to who thought it, and sealed thoughts to nobody else.

use crate::stage::{CHAIN, Stage, mounted, own_wire, question};
use protocol::Location;
use router::dialect::Dialect;
use serde_json::{Value, json};
use testkit::{FaultyModel, Reply, Wire};

/// An answer with a sealed thought, as the vendor gives it in one body.
fn sealed(dialect: Dialect, seal: &str) -> Value {
    match dialect {
        Dialect::Anthropic => json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": seal},
                {"type": "redacted_thinking", "data": format!("{seal}-2")},
                {"type": "text", "text": "Yes."},
            ],
            "usage": {"input_tokens": 1, "output_tokens": 2},
        }),
        _ => json!({
            "id": "resp_1", "object": "response", "status": "completed", "model": "m",
            "output": [
                {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": seal},
                {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
                 "content": [{"type": "output_text", "text": "Yes.", "annotations": []}]},
            ],
            "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        }),
    }
}

/// The next question, after that answer came.
fn next(dialect: Dialect, answer: &Value) -> Value {
    match dialect {
        Dialect::Anthropic => json!({"model": CHAIN, "max_tokens": 99, "messages": [
            {"role": "user", "content": "Is it?"},
            {"role": "assistant", "content": answer["content"]},
            {"role": "user", "content": "Why?"},
        ]}),
        _ => {
            let mut input = vec![json!({"role": "user", "content": "Is it?"})];
            input.extend(answer["output"].as_array().unwrap().iter().cloned());
            input.push(json!({"role": "user", "content": "Why?"}));
            json!({"model": CHAIN, "input": input})
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_vendors_of_one_api_never_get_each_others_seals() {
    for dialect in [Dialect::OpenAiResponses, Dialect::Anthropic] {
        let wire = own_wire(dialect);
        let seal = "EqQBCkYI-of-a";
        let told = sealed(dialect, seal);
        let a = FaultyModel::start(wire).await.then(Reply::verbatim(told.to_string())).then(Reply::text("Because."));
        let b = FaultyModel::start(wire).await.then(Reply::text("Because."));
        let stage = Stage::over(&[&a, &b]).await;
        let first = stage.ask(dialect, &question(dialect, false), &[]).await;
        assert_eq!(first.status, 200, "{dialect:?}: {first:?}");

        let again = next(dialect, &first.json());
        stage.ask(dialect, &again, &[]).await;
        assert!(a.received()[1].body.to_string().contains(seal), "who made it gets it: {dialect:?}");

        a.push(Reply::status(400));
        let answer = stage.ask(dialect, &again, &[]).await;
        let sent = b.received().pop().expect("b is next").body.to_string();
        assert_eq!((answer.status, answer.said().as_str()), (200, "Because."), "{dialect:?}: {answer:?}");
        assert!(!sent.contains(seal) && !sent.contains("devmesh"), "{dialect:?}: {sent}");
        assert!(sent.contains("Yes.") && sent.contains("Why?"), "{dialect:?}: {sent}");
    }
}

#[tokio::test(start_paused = true)]
async fn thoughts_without_a_seal_come_back_to_their_provider_and_to_no_other_cloud() {
    for dialect in [Dialect::Anthropic, Dialect::OpenAiResponses] {
        for stream in [true, false] {
            let call = Reply::text("").thinking("Let me look.").tool("search", json!({"query": "q"}));
            let a = FaultyModel::start(Wire::OpenAiChat).await.then(call).then(Reply::text("Found."));
            let b = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text("Found."));
            let c = FaultyModel::start(own_wire(dialect)).await.then(Reply::text("Found."));
            let cloud = |name, model: &FaultyModel| mounted(name, model.wire(), &model.base_url(), Location::Cloud);
            let stage = Stage::of(vec![cloud("a", &a), cloud("b", &b), cloud("c", &c)], |_| ()).await;
            let mut body = question(dialect, stream);
            body["tools"] = match dialect {
                Dialect::Anthropic => json!([{"name": "search", "input_schema": {"type": "object"}}]),
                _ => json!([{"type": "function", "name": "search", "parameters": {"type": "object"}}]),
            };
            let first = stage.ask(dialect, &body, &[]).await;
            let (thought, seal) = thought(dialect, stream, &first.frames());
            assert_eq!((thought.as_str(), seal.is_empty()), ("Let me look.", false), "{dialect:?}: {first:?}");

            let call_id = "call_1";
            match dialect {
                Dialect::Anthropic => {
                    body["messages"] = json!([
                        {"role": "user", "content": "Is it?"},
                        {"role": "assistant", "content": [
                            {"type": "thinking", "thinking": thought, "signature": seal},
                            {"type": "tool_use", "id": call_id, "name": "search", "input": {"query": "q"}},
                        ]},
                        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call_id, "content": "x"}]},
                    ]);
                }
                _ => {
                    body["input"] = json!([
                        {"role": "user", "content": "Is it?"},
                        {"type": "reasoning", "summary": [{"type": "summary_text", "text": thought}],
                         "encrypted_content": seal},
                        {"type": "function_call", "call_id": call_id, "name": "search", "arguments": "{\"query\":\"q\"}"},
                        {"type": "function_call_output", "call_id": call_id, "output": "x"},
                    ]);
                }
            }
            stage.ask(dialect, &body, &[]).await;
            let sent = a.received()[1].body.clone();
            assert_eq!(sent["messages"][1]["reasoning_content"], "Let me look.", "{dialect:?}: {sent}");
            for reply in [Reply::status(400), Reply::status(400)] {
                a.push(reply.clone());
                b.push(reply);
                stage.ask(dialect, &body, &[]).await;
            }
            for other in [&b, &c] {
                let sent = other.received().pop().expect("the next one is asked").body.to_string();
                assert!(!sent.contains("Let me look.") && !sent.contains("devmesh"), "{dialect:?}: {sent}");
            }
        }
    }
}

/// What the client keeps of a thought: its text and its seal.
fn thought(dialect: Dialect, stream: bool, frames: &[Value]) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match (dialect, stream) {
        (Dialect::Anthropic, true) => {
            let all = |place: &str| frames.iter().filter_map(|frame| frame.pointer(place)?.as_str()).collect();
            (all("/delta/thinking"), all("/delta/signature"))
        }
        (Dialect::Anthropic, false) => {
            let block = &frames[0]["content"][0];
            (text(&block["thinking"]), text(&block["signature"]))
        }
        _ => {
            let last = frames.last().unwrap();
            let item = &last.get("response").unwrap_or(last)["output"][0];
            (text(&item["summary"][0]["text"]), text(&item["encrypted_content"]))
        }
    }
}

/// A chat's message with a thought, in each place that servers made for one.
fn thoughtful(place: &str) -> Value {
    let call = json!([{"id": "call_1", "type": "function", "function": {"name": "search", "arguments": "{\"q\":1}"}}]);
    let mut message = json!({"role": "assistant", "content": "I look.", "tool_calls": call});
    match place {
        "reasoning_details" => message[place] = json!([{"type": "reasoning.text", "text": "Hm. 🌍", "signature": "s"}]),
        "thinking" => {
            let thought = json!({"type": "thinking", "thinking": [{"type": "text", "text": "Hm. 🌍"}]});
            message["content"] = json!([thought, {"type": "text", "text": "I look."}]);
        }
        "both" => {
            message["reasoning"] = json!("Hm. 🌍");
            message["reasoning_content"] = json!("Hm. 🌍");
        }
        place => message[place] = json!("Hm. 🌍"),
    }
    message
}

#[tokio::test(start_paused = true)]
async fn a_chat_vendors_thoughts_go_back_to_it_and_to_no_other() {
    const CHAT: Dialect = Dialect::OpenAiChat;
    for place in ["reasoning_content", "reasoning", "both", "reasoning_details", "thinking"] {
        for (stream, location) in [(true, Location::Cloud), (false, Location::Cloud), (true, Location::Local)] {
            let said = thoughtful(place);
            let mut delta = said.clone();
            delta["tool_calls"][0]["index"] = json!(0);
            let body = if stream {
                let choice = json!({"index": 0, "delta": delta, "finish_reason": "tool_calls"});
                format!("data: {}\n\ndata: [DONE]\n\n", json!({"id": "1", "choices": [choice]}))
            } else {
                let choice = json!({"index": 0, "message": said, "finish_reason": "tool_calls"});
                json!({"id": "1", "choices": [choice]}).to_string()
            };
            let kind = if stream { "text/event-stream" } else { "application/json" };
            let first = Reply::verbatim(body).media_type(kind);
            let a = FaultyModel::start(Wire::OpenAiChat).await.then(first).then(Reply::text("Found."));
            let b = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text("Found."));
            let at = |name, model: &FaultyModel| mounted(name, model.wire(), &model.base_url(), location);
            let stage = Stage::of(vec![at("a", &a), at("b", &b)], |_| ()).await;
            let mut body = question(CHAT, stream);
            body["tools"] =
                json!([{"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}]);
            let what = format!("{place} {stream} {location:?}");
            assert_eq!(stage.ask(CHAT, &body, &[]).await.status, 200, "{what}");

            let result = json!({"role": "tool", "tool_call_id": "call_1", "content": "x"});
            body["messages"] = json!([{"role": "user", "content": "Is it?"}, said, result]);
            assert_eq!(stage.ask(CHAT, &body, &[]).await.said(), "Found.", "{what}");
            assert_eq!(a.received()[1].body["messages"], body["messages"], "who thought it gets it as it was: {what}");

            a.push(Reply::status(400));
            let answer = stage.ask(CHAT, &body, &[]).await;
            assert_eq!((answer.status, answer.said().as_str()), (200, "Found."), "{what}: {answer:?}");
            let told = b.received()[0].body["messages"].clone();
            let sent = told.to_string();
            assert!(!sent.contains("Hm.") && !sent.contains("reasoning"), "{what}: {sent}");
            assert_eq!(told[1]["tool_calls"], said["tool_calls"], "{what}: {sent}");
            assert!(sent.contains("I look.") && told[2] == result, "{what}: {sent}");

            // Of a conversation that was held elsewhere nobody here knows whose the thoughts are.
            body["messages"][1] = thoughtful("reasoning_content");
            body["messages"][1]["reasoning_content"] = json!("Never heard.");
            a.push(Reply::status(400));
            stage.ask(CHAT, &body, &[]).await;
            assert!(b.received()[1].body.to_string().contains("Never heard."), "{what}");
        }
    }
}
