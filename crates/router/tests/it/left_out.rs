//! Answers with content that the caller's API has no words for: never an empty success.

use crate::stage::{Answer, CALLERS, Stage, own_wire, question};
use serde_json::{Value, json};
use testkit::{FaultyModel, Reply, Wire};

const LOST: &str = "x-devmesh-lost-fields";

/// What a server of that wire streams: a picture, after what else it says.
fn picture(wire: Wire, thought: &str, text: &str) -> Reply {
    let events = |events: Vec<Value>| -> String {
        let named = events.into_iter().map(|event| match event["type"].as_str() {
            Some(name) => format!("event: {name}\ndata: {event}\n\n"),
            None => format!("data: {event}\n\n"),
        });
        named.collect()
    };
    let body = match wire {
        Wire::OpenAiChat => {
            let delta =
                json!({"reasoning_content": thought, "content": text, "images": [{"image_url": {"url": "data:,"}}]});
            events(vec![
                json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]}),
                json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
            ]) + "data: [DONE]\n\n"
        }
        Wire::OpenAiResponses => {
            let output = json!([
                {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": thought}]},
                {"type": "message", "id": "msg", "role": "assistant", "content": [{"type": "output_text", "text": text}]},
                {"type": "image_generation_call", "id": "ig", "status": "completed", "result": "AAAA"},
            ]);
            events(vec![json!({"type": "response.completed", "response": {"status": "completed", "output": output}})])
        }
        Wire::Anthropic => events(vec![
            json!({"type": "message_start", "message": {"id": "msg", "usage": {}}}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": thought}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": text}}),
            json!({"type": "content_block_stop", "index": 1}),
            json!({"type": "content_block_start", "index": 2, "content_block": {"type": "web_search_tool_result"}}),
            json!({"type": "content_block_stop", "index": 2}),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}),
            json!({"type": "message_stop"}),
        ]),
        Wire::Ollama => {
            let message = json!({"role": "assistant", "thinking": thought, "content": text, "images": ["AAAA"]});
            format!(
                "{}\n{}\n",
                json!({"message": message, "done": false}),
                json!({"message": {"content": ""}, "done": true})
            )
        }
    };
    let kind = if wire == Wire::Ollama { "application/x-ndjson" } else { "text/event-stream" };
    Reply::verbatim(body).media_type(kind)
}

fn told_lost(answer: &Answer) -> String {
    answer.header(LOST).map_or_else(|| answer.notes(LOST).join(", "), str::to_owned)
}

#[tokio::test(start_paused = true)]
async fn content_without_words_is_named_beside_a_text_and_alone_is_no_answer() {
    for wire in Wire::ALL {
        for dialect in CALLERS.into_iter().filter(|dialect| own_wire(*dialect) != wire) {
            for stream in [true, false] {
                let ask = |reply: Reply| async move {
                    let model = FaultyModel::start(wire).await.then(reply);
                    let stage = Stage::over(&[&model]).await;
                    let answer = stage.ask(dialect, &question(dialect, stream), &[]).await;
                    assert_eq!(model.received().len(), 1, "{wire:?} to {dialect:?}: the same again costs the same");
                    answer
                };
                let alone = ask(picture(wire, "", "")).await;
                let what = format!("{wire:?} to {dialect:?} {stream}: {alone:?}");
                assert_eq!(alone.status, 502, "{what}");
                assert!(alone.error().contains("this API has no words for"), "{what}");

                let thought = ask(picture(wire, "Hm.", "")).await;
                let what = format!("{wire:?} to {dialect:?} {stream}: {thought:?}");
                assert!(
                    (thought.status == 502 || stream && !thought.is_whole())
                        && thought.body.contains("this API has no words for"),
                    "{what}"
                );

                let beside = ask(picture(wire, "", "Look.")).await;
                let what = format!("{wire:?} to {dialect:?} {stream}: {beside:?}");
                assert_eq!((beside.status, beside.said().as_str()), (200, "Look."), "{what}");
                assert!((!stream || beside.is_whole()) && told_lost(&beside).contains("answer: "), "{what}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_spoken_is_text_and_another_target_may_answer_in_words() {
    let audio = json!({"id": "a", "data": "AAAA", "transcript": "Forty two."});
    let body = format!(
        "data: {}\n\ndata: {}\n\n",
        json!({"choices": [{"index": 0, "delta": {"audio": audio}, "finish_reason": null}]}),
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
    );
    for dialect in CALLERS.into_iter().filter(|dialect| own_wire(*dialect) != Wire::OpenAiChat) {
        for stream in [true, false] {
            let spoken = Reply::verbatim(body.clone()).media_type("text/event-stream");
            let model = FaultyModel::start(Wire::OpenAiChat).await.then(spoken);
            let answer = Stage::over(&[&model]).await.ask(dialect, &question(dialect, stream), &[]).await;
            let got = (answer.said(), told_lost(&answer));
            assert_eq!(got, ("Forty two.".into(), "answer: audio".into()), "{dialect:?}: {answer:?}");

            let shows = FaultyModel::start(Wire::OpenAiChat).await.then(picture(Wire::OpenAiChat, "", ""));
            let says = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text("In words."));
            let answer = Stage::over(&[&shows, &says]).await.ask(dialect, &question(dialect, stream), &[]).await;
            assert_eq!((answer.status, answer.said().as_str()), (200, "In words."), "{dialect:?}: {answer:?}");
        }
    }
}
