//! What is left of a call once it is over.

use crate::stage::{Stage, unstreamed};
use router::{accounts::Pending, dialect::Dialect};
use testkit::{FaultyModel, Reply, Wire};

#[tokio::test]
async fn a_calls_record_and_spend_are_on_disk_before_the_journal_ends() {
    let model = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text("one two three").usage(7, 3));
    let stage = Stage::over(&[&model]).await;
    let answer = stage.ask(Dialect::OpenAiChat, &unstreamed(Dialect::OpenAiChat), &[]).await;
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "one two three");
    let record = stage.record(&answer).await;

    stage.books.flush().await;
    let stored = stage.store.read(move |reader| reader.model_call(record.id)).await.unwrap().expect("it is on disk");
    assert_eq!(serde_json::from_str::<protocol::ModelCallRecord>(&stored).unwrap(), record);
    assert_eq!(record.tokens.map(|tokens| (tokens.input, tokens.output)), Some((7, 3)));
    let spent = stage.books.accounts().account(stage.principal).unwrap().total;
    assert_eq!((spent.tokens, spent.requests), (10, 1));
    assert_eq!(stage.close().await, Pending::default(), "nothing waits any more");
}
