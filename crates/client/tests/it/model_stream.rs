use crate::server::{Server, Then, event_stream};
use axum::{Router, routing::post};
use client::{Error, Result};
use futures_util::StreamExt;
use protocol::{ModelCall, ModelStreamItem};

async fn answer(chunks: Vec<String>) -> Vec<Result<ModelStreamItem>> {
    let route = post(async move || event_stream(chunks.clone(), Then::End));
    let server = Server::start(Router::new().route("/api/v1/leases/{id}/model-calls", route)).await;
    let call: ModelCall =
        serde_json::from_value(serde_json::json!({"epoch": "5f0c21ab", "attempt": 1, "call_id": "c1", "messages": []}))
            .unwrap();
    let job = "019a2b3c-0000-7000-8000-000000000001".parse().unwrap();
    server.client().model_call(job, &call).await.unwrap().collect().await
}

fn frame(item: serde_json::Value) -> String {
    format!("data: {item}\n\n")
}

fn delta(text: &str) -> String {
    frame(serde_json::json!({"type": "delta", "text": text}))
}

#[tokio::test]
async fn a_whole_answer_ends_with_finished() {
    let finished = serde_json::json!({"type": "finished", "answer": {
        "provider": "p", "model": "m", "content": "hi there", "finish_reason": "stop", "input_tokens": 1, "output_tokens": 2,
        "cost_microusd": 0, "first_token_ms": 1, "total_ms": 2}});
    let heartbeat = "event: heartbeat\ndata: {}\n\n".to_owned();
    let items = answer(vec![delta("hi "), heartbeat, delta("there"), frame(finished), delta("never read")]).await;
    assert_eq!(items.len(), 3);
    let Ok(ModelStreamItem::Finished { answer }) = &items[2] else { panic!("{items:?}") };
    assert_eq!(answer.content, "hi there");
}

#[tokio::test]
async fn an_answer_that_is_cut_is_an_error() {
    let items = answer(vec![delta("hi ")]).await;
    assert!(matches!(items[1], Err(Error::Interrupted { .. })), "{items:?}");
    assert_eq!(items.len(), 2);
}

#[tokio::test]
async fn rubbish_is_named() {
    let items = answer(vec!["data: {\"type\":\"surprise\"}\n\n".into()]).await;
    assert!(matches!(&items[0], Err(Error::Protocol { detail, .. }) if detail.contains("surprise")), "{items:?}");
}
