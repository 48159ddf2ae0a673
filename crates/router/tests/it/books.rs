//! What is left of a call once it is over.

use crate::stage::{CHAIN, MODEL, Stage, unstreamed};
use router::{accounts::Pending, dialect::Dialect};
use serde_json::json;
use testkit::{FaultyModel, Reply, Wire};

#[tokio::test]
async fn a_calls_record_and_spend_are_on_disk_before_the_journal_ends() {
    let model = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text("one two three").usage(7, 3));
    let stage = Stage::over(&[&model]).await;
    let answer = stage.ask(Dialect::OpenAiChat, &unstreamed(Dialect::OpenAiChat), &[]).await;
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "one two three");
    let record = stage.record(&answer).await;

    stage.books.flush().await;
    let stored = stage.store.model_call(record.id).await.unwrap().expect("it is on disk");
    assert_eq!(serde_json::from_str::<protocol::ModelCallRecord>(&stored).unwrap(), record);
    assert_eq!(record.tokens.map(|tokens| (tokens.input, tokens.output)), Some((7, 3)));
    let spent = stage.books.accounts().account(stage.principal).unwrap().total;
    assert_eq!((spent.tokens, spent.requests), (10, 1));
    assert_eq!(stage.close().await, Pending::default(), "nothing waits any more");
}

#[tokio::test]
async fn what_a_caller_names_is_a_label_only_where_it_is_a_route_and_on_record_only_so_long() {
    let model = FaultyModel::start(Wire::OpenAiChat).await;
    let stage = Stage::over(&[&model]).await;
    let ask = async |name: &str| {
        let mut body = unstreamed(Dialect::OpenAiChat);
        body["model"] = json!(name);
        stage.ask(Dialect::OpenAiChat, &body, &[]).await
    };
    let by_name = format!("a/{MODEL}");
    for (name, label) in [(CHAIN, CHAIN), (by_name.as_str(), "other"), (MODEL, "other")] {
        let answer = ask(name).await;
        assert_eq!((answer.status, stage.record(&answer).await.route.as_str()), (200, name), "{answer:?}");
        let metrics = stage.router.metrics();
        assert!(metrics.contains(&format!(r#"route="{label}",provider="a""#)), "{name}: {metrics}");
        assert!(name == CHAIN || !metrics.contains(&format!(r#"route="{name}""#)), "{name}: {metrics}");
    }
    let unknown = ask(&"x".repeat(100_000)).await;
    assert!((400..500).contains(&unknown.status), "{}", unknown.status);
    assert_eq!(stage.record(&unknown).await.route, "x".repeat(256));
    assert!(!stage.router.metrics().contains("xxx"), "nor is it a label");
}
