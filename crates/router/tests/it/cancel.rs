use crate::fixtures::{ask, ollama, openai, router};
use futures_util::StreamExt;
use protocol::{Location, ModelStreamItem};
use std::sync::Arc;
use testkit::{Gate, ScriptedModel, Turn};
use tokio_util::sync::CancellationToken;

const SCRIPTED: &str = ScriptedModel::MODEL;

#[tokio::test]
async fn dropping_the_answer_ends_it_upstream() {
    let gate = Gate::new();
    let turns = || [Turn::text("It begins and ").stall(), Turn::text("never").hold(&gate)];
    let model = ScriptedModel::start(turns()).await;
    let router = router(vec![ollama(&model), openai("two", &model.openai_url(), Location::Local)], vec![]);
    // In the middle of an answer, and before its first byte.
    let mut answer = router.call(ask(&format!("ollama/{SCRIPTED}")), CancellationToken::new());
    while !matches!(answer.next().await, Some(ModelStreamItem::Delta { .. })) {}
    drop(answer);
    model.wait_abandoned(1).await;

    let mut answer = router.call(ask(&format!("two/{SCRIPTED}")), CancellationToken::new());
    let waiting = tokio::spawn(async move { answer.next().await });
    gate.reached().await;
    waiting.abort();
    model.wait_abandoned(2).await;
}

#[tokio::test]
async fn cancelling_ends_it_upstream_and_says_so() {
    let gate = Gate::new();
    let model = ScriptedModel::start([Turn::text("never").hold(&gate), Turn::text("It begins and ").stall()]).await;
    let router = Arc::new(router(vec![ollama(&model)], vec![]));
    for round in 1..=2 {
        let cancel = CancellationToken::new();
        let mut answer = router.call(ask(&format!("ollama/{SCRIPTED}")), cancel.clone());
        let reading = tokio::spawn(async move {
            let mut last = None;
            while let Some(item) = answer.next().await {
                last = Some(item);
            }
            last
        });
        model.wait_received(round).await;
        cancel.cancel();
        model.wait_abandoned(round).await;
        let last = reading.await.unwrap();
        let cancelled = matches!(&last, Some(ModelStreamItem::Failed { message, .. }) if message.contains("cancelled"));
        assert!(cancelled, "{last:?}");
    }
}

#[tokio::test]
async fn a_provider_asked_directly_hears_the_token_too() {
    let model = ScriptedModel::start([Turn::text("It begins and ").stall()]).await;
    let cancel = CancellationToken::new();
    let request = router::ChatRequest {
        model: SCRIPTED.to_owned(),
        messages: Vec::new(),
        tools: Vec::new(),
        response_schema: None,
        max_output_tokens: None,
        temperature: None,
        seed: None,
        egress: protocol::Egress::LocalOnly,
    };
    let mut stream = ollama(&model).chat(request, cancel.clone()).await.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    cancel.cancel();
    assert_eq!(stream.next().await, Some(Err(router::Error::Cancelled)));
    assert_eq!(stream.next().await, None);
    model.wait_abandoned(1).await;
}
