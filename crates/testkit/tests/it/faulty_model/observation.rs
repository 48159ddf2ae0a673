//! What the server tells about its clients.

use super::{ask, http, server};
use std::time::Duration;
use testkit::{FaultyModel, Reply, Tripwire, Wire};
use tokio::{net::TcpStream, time::timeout};

const MOMENT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn requests_are_kept_as_they_came() {
    let model = FaultyModel::start(Wire::Anthropic).await;
    let question = model.wire().question(FaultyModel::MODEL, "hi", false);
    http().post(model.url()).header("x-api-key", "k").json(&question).send().await.unwrap();
    let received = &model.wait_for(1).await[0];
    assert_eq!((received.method.as_str(), received.path.as_str()), ("POST", "/v1/messages"));
    assert_eq!((received.headers["x-api-key"].as_str(), &received.body), ("k", &question));
    assert_eq!(received.bytes, question.to_string());
    assert_eq!((model.finished(), model.disconnected()), (1, Vec::new()));
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_is_noticed() {
    for wire in Wire::ALL {
        let model = server(wire, Reply::never_answers()).await;
        assert!(timeout(MOMENT, ask(&model, true)).await.is_err(), "{wire:?}");
        let gone = model.wait_for_disconnect().await;
        assert_eq!((gone.request, gone.after_last_piece, gone.tokens_sent), (0, None, 0));
        assert!(gone.after_request < testkit::DEADLINE / 2, "{gone:?}");
        model.wait_for_no_connection().await;
        assert_eq!((model.connections(), model.finished()), (1, 0));
    }
}

#[tokio::test]
async fn a_client_that_leaves_after_the_head_is_noticed() {
    let model = server(Wire::OpenAiChat, Reply::hang_after_head()).await;
    let mut answer = ask(&model, true).await;
    assert_eq!(answer.status(), 200);
    assert!(timeout(MOMENT, answer.chunk()).await.is_err());
    assert!(model.disconnected().is_empty());
    drop(answer);
    assert_eq!(model.wait_for_disconnect().await.after_last_piece, None);
}

#[tokio::test]
async fn a_client_that_leaves_while_the_model_loads_or_between_tokens_is_noticed() {
    let long = 60_000;
    let model = server(Wire::Ollama, Reply::text("a b").load_ms(long)).await;
    model.push(Reply::text("a b").between(Duration::from_millis(long)));
    assert!(timeout(MOMENT, ask(&model, true)).await.is_err());
    assert_eq!(model.wait_for_disconnect().await.tokens_sent, 0);
    let mut answer = ask(&model, true).await;
    answer.chunk().await.unwrap().unwrap();
    drop(answer);
    let gone = model.wait_for_disconnects(2).await[1];
    assert_eq!((gone.request, gone.tokens_sent), (1, 1));
    assert!(gone.after_last_piece.unwrap() <= gone.after_request);
}

#[tokio::test]
async fn a_dropped_server_takes_its_connections_along() {
    let model = server(Wire::OpenAiChat, Reply::hang_after_head()).await;
    let address = model.address();
    let answer = ask(&model, true).await;
    drop(model);
    assert!(answer.bytes().await.is_err());
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn nobody_is_at_a_refusing_address() {
    let nobody = FaultyModel::refusing();
    let error = TcpStream::connect(nobody.address()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(nobody.base_url(Wire::OpenAiChat).ends_with("/v1"));
}

#[tokio::test]
async fn a_tripwire_feels_a_bare_connection() {
    let wire = Tripwire::start().await;
    assert!(!wire.touched().await);
    assert!(!wire.touched().await, "looking is no touching");
    let _silent = TcpStream::connect(wire.address()).await.unwrap();
    assert!(wire.touched().await);
    assert_eq!(wire.connections().await, 1);
}
