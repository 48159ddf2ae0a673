//! What servers answer that is not what they were asked for, and what is sent to those that take less.

use super::{MODEL, Verbatim, frames, gathered, options, original, provider, request};
use protocol::Role;
use router::{
    Conversation,
    conversation::{Document, Message, Part},
    dialect::{Asked, Dialect},
    providers::{ChatRequest, openai::OpenAi},
};
use serde_json::{Value, json};

const BODY: &str = r#"{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"one two"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
const STREAM: &str = "data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one \"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"two\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";

#[tokio::test]
async fn an_answer_is_one_in_whatever_manner_it_comes() {
    for (asked_stream, media_type, body) in [
        (true, "application/json", BODY),
        (true, "application/json; charset=utf-8", STREAM),
        (true, "text/event-stream", STREAM),
        (false, "text/event-stream", STREAM),
        (false, "application/json", BODY),
    ] {
        let server = Verbatim::start(200, media_type, body).await;
        let provider = provider(&server.url("/v1"));
        let asked =
            original(Dialect::OpenAiChat, r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#, asked_stream);
        let got = gathered(&frames(&provider, asked).await.unwrap());
        let what = format!("{media_type}, a stream asked for: {asked_stream}");
        assert_eq!((got.text().as_str(), got.usage().input_tokens), ("one two", 3), "{what}");
        assert!(got.finish.is_some(), "{what}");
    }
}

async fn sent(request: ChatRequest) -> Value {
    let server = Verbatim::start(200, "text/event-stream", STREAM).await;
    let provider = OpenAi::new(options(&server.url("/v1"))).unwrap();
    frames(&provider, request).await.unwrap();
    let request = server.seen().remove(0);
    serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()
}

fn asking(messages: Vec<Message>) -> ChatRequest {
    let conversation = Conversation { messages, ..Conversation::default() };
    request(Asked::own(MODEL.to_owned(), conversation, 6), true)
}

#[tokio::test]
async fn a_template_that_takes_one_system_message_first_gets_one() {
    let got = sent(asking(vec![
        Message::text(Role::System, "Be brief."),
        Message::text(Role::User, "x"),
        Message::text(Role::System, "Agents: none."),
    ]))
    .await;
    let expected = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "x\n[System note]\nAgents: none."},
    ]);
    assert_eq!(got["messages"], expected);
    let body = r#"{"model":"m","stream":true,"messages":[{"role":"developer", "content":"Be \"developer\"."},{"role":"user","content":"x"}]}"#;
    let got = sent(original(Dialect::OpenAiChat, body, true)).await;
    let expected = json!([{"role": "system", "content": "Be \"developer\"."}, {"role": "user", "content": "x"}]);
    assert_eq!(got["messages"], expected);
}

#[tokio::test]
async fn a_document_arrives() {
    let document = |media_type: &str, content| Part::Document {
        name: Some("a".to_owned()),
        media_type: media_type.to_owned(),
        content,
    };
    let pdf = || document("application/pdf", Document::Base64("AAAA".to_owned()));
    let note = document("text/plain", Document::Text("the answer is 42".to_owned()));
    let result = Part::ToolResult { call_id: "t".to_owned(), parts: vec![pdf()], is_error: false };
    let got = sent(asking(vec![
        Message { role: Role::User, parts: vec![pdf(), note] },
        Message { role: Role::Tool, parts: vec![result] },
    ]))
    .await;
    let file = json!({"type": "file", "file": {"filename": "a", "file_data": "data:application/pdf;base64,AAAA"}});
    let expected = json!([
        {"role": "user", "content": [file, {"type": "text", "text": "the answer is 42"}]},
        {"role": "tool", "tool_call_id": "t", "content": ""},
        {"role": "user", "content": [file]},
    ]);
    assert_eq!(got["messages"], expected);
}
