use crate::server::{Server, Then, event_stream, problem};
use axum::{
    Router,
    extract::Request,
    http,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use client::Error;
use domain::{ErrorCode, JobState};
use futures_util::StreamExt;
use protocol::{Egress, ListJobs};
use std::sync::{Arc, Mutex};

#[tokio::test]
async fn a_list_sends_its_filters_and_the_token() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = seen.clone();
    let route = get(move |request: Request| {
        let authorization = request.headers()["authorization"].to_str().unwrap().to_owned();
        record.lock().unwrap().push((request.uri().to_string(), authorization));
        async { axum::Json(serde_json::json!({"jobs": []})) }
    });
    let server = Server::start(Router::new().route("/api/v1/jobs", route)).await;
    let list = ListJobs { state: Some(JobState::Running), id_prefix: Some("019a".into()), ..ListJobs::default() };
    server.client().jobs(&list).await.unwrap();
    server.client().jobs(&ListJobs::default()).await.unwrap();
    let expected = ["/api/v1/jobs?state=running&id_prefix=019a", "/api/v1/jobs"];
    let bearer = "Bearer dm_user_secret".to_owned();
    assert_eq!(*seen.lock().unwrap(), expected.map(|uri| (uri.to_owned(), bearer.clone())));
}

#[tokio::test]
async fn a_call_of_a_person_is_made_once() {
    let calls = Arc::new(Mutex::new(0));
    let counter = calls.clone();
    let route = get(move || {
        *counter.lock().unwrap() += 1;
        async { problem(503, "unavailable") }
    });
    let server = Server::start(Router::new().route("/api/v1/models", route)).await;
    let error = server.client().models(Egress::LocalOnly).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::Unavailable));
    assert_eq!(error.to_string(), "What happened.");
    assert_eq!(*calls.lock().unwrap(), 1);
}

#[tokio::test]
async fn something_else_on_the_port_is_named_and_never_followed() {
    let router = Router::new()
        .route("/version", get(async || Redirect::temporary("/elsewhere")))
        .route("/elsewhere", get(async || -> Response { panic!("the token went to another address") }))
        .route("/healthz", get(async || "<html>welcome to nginx</html>".into_response()));
    let server = Server::start(router).await;
    for error in [server.client().version().await.unwrap_err(), server.client().health().await.unwrap_err()] {
        assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
        assert!(error.to_string().contains(&server.address.to_string()), "{error}");
    }
}

#[tokio::test]
async fn a_download_that_breaks_is_not_taken_for_whole() {
    let route = get(async || event_stream(vec!["first".into()], Then::Break));
    let server = Server::start(Router::new().route("/api/v1/backup", route)).await;
    let chunks: Vec<_> = server.client().backup().await.unwrap().collect().await;
    assert!(matches!(chunks.last(), Some(Err(Error::Interrupted { .. }))), "{chunks:?}");
    let mut file = Vec::new();
    assert!(server.client().backup().await.unwrap().copy_to(&mut file, |_| {}).await.is_err());
}

#[tokio::test]
async fn a_fetch_of_a_model_is_over_when_it_says_so_and_not_before() {
    let steps = async |lines: &'static str| {
        let server = Server::start(Router::new().route("/ollama/api/pull", post(async move || lines))).await;
        server.client().pull_model("m").await.unwrap().collect::<Vec<_>>().await
    };
    let layer =
        "{\"status\":\"pulling 6f85a640a97c\",\"digest\":\"sha256:6f85a640a97c\",\"total\":9,\"completed\":3}\n";
    let whole: &'static str = format!("{layer}{{\"status\":\"success\"}}\n").leak();
    let seen: Vec<_> = steps(whole).await.into_iter().map(Result::unwrap).collect();
    assert_eq!((seen.len(), seen[0].total, seen[0].completed), (2, Some(9), Some(3)));
    assert_eq!(seen[1].status, "success");

    assert!(matches!(steps(layer).await.last(), Some(Err(Error::Interrupted { .. }))), "it broke off");
    let refused = steps("{\"status\":\"pulling manifest\"}\n{\"error\":\"no such host\"}\n").await;
    assert_eq!(refused[1].as_ref().unwrap_err().to_string(), "no such host");
}

#[tokio::test]
async fn what_ollama_refuses_at_once_is_told_in_its_words() {
    let route = post(async || (http::StatusCode::NOT_FOUND, "{\"error\":\"there is no Ollama\"}"));
    let server = Server::start(Router::new().route("/ollama/api/pull", route)).await;
    let error = server.client().pull_model("m").await.err().unwrap();
    assert!(matches!(&error, Error::Refused { status: 404, message } if message == "there is no Ollama"), "{error:?}");
}
