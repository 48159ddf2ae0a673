//! Many connections with one valid token: they crowd nobody else out, and end with the token.

use crate::{
    raw,
    support::{TestApp, options, parsed, problem},
};
use domain::{ErrorCode, Scope};
use futures_util::{StreamExt, stream::FuturesUnordered};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Of 256 connections.
const SHARE: usize = 128;
const CROWD: usize = 200;

async fn app() -> TestApp {
    let mut options = options();
    options.limits.connections = 256;
    // Nothing but what is tested closes a connection.
    options.limits.header_timeout = Duration::from_secs(120);
    options.limits.body_timeout = Duration::from_secs(120);
    TestApp::with(options).await
}

/// A request that ends only when the server ends it, by a connection that says nothing after it.
fn request(line: &str, secret: &str, rest: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {secret}\r\n{rest}").into_bytes()
}

/// A crowd of connections with these requests takes its token's share, everybody else gets in, and an admin ends it.
async fn keeps_nobody_out(app: &TestApp, scope: Scope, request: impl Fn(&str) -> Vec<u8>) {
    let token = app.new_token(scope).await;
    let request = request(&token.secret);
    let mut crowd = FuturesUnordered::new();
    for _ in 0..CROWD {
        let mut socket = TcpStream::connect(app.address).await.unwrap();
        socket.write_all(&request).await.unwrap();
        crowd.push(async move { raw::read_to_end(&mut socket).await });
    }
    for _ in SHARE..CROWD {
        let refused = crowd.next().await.unwrap();
        assert_eq!(raw::status(&refused), 503, "{scope}: {refused}");
        assert!(refused.contains(r#""code":"too_many_connections""#), "{scope}: {refused}");
        assert!(refused.contains(&format!("This token has {SHARE} connections open")), "{scope}: {refused}");
    }
    let fresh = || Client::builder().no_proxy().build().unwrap();
    for other in [Scope::Viewer, Scope::User] {
        let version = fresh().get(app.url("/version")).bearer_auth(app.token(other));
        let _: Value = parsed(version, StatusCode::OK).await;
    }
    let known = fresh().post(app.url("/api/v1/jobs/known")).bearer_auth(app.token(Scope::Agent));
    let _: Value = parsed(known.json(&json!({"job_ids": []})), StatusCode::OK).await;
    let revoke = fresh().delete(app.url(&format!("/api/v1/tokens/{}", token.token.id)));
    assert_eq!(revoke.bearer_auth(app.token(Scope::Admin)).send().await.unwrap().status(), 204);
    let ended = crowd.collect::<Vec<_>>().await;
    assert_eq!(ended.len(), SHARE, "{scope}");
    assert!(ended.iter().all(|answer| !answer.contains("too_many_connections")), "{scope}: {ended:?}");
}

#[tokio::test]
async fn streams_of_one_token_keep_nobody_out() {
    let app = app().await;
    let job = app.create_job("follow me").await;
    let line = format!("GET /api/v1/jobs/{}/events", job.id);
    keeps_nobody_out(&app, Scope::Viewer, |secret| request(&line, secret, "accept: text/event-stream\r\n\r\n")).await;
}

#[tokio::test]
async fn hundreds_of_streams_that_one_program_opens_at_once_are_all_answered() {
    let app = TestApp::start().await;
    let job = app.create_job("follow me").await;
    let line = format!("GET /api/v1/jobs/{}/events", job.id);
    let request = request(&line, app.token(Scope::Viewer), "accept: text/event-stream\r\n\r\n");
    // All are there before the first one says a word.
    let mut sockets = Vec::new();
    for _ in 0..500 {
        sockets.push(TcpStream::connect(app.address).await.unwrap());
    }
    let answers = sockets.into_iter().map(async |mut socket| {
        socket.write_all(&request).await.unwrap();
        let mut status = [0; 12];
        socket.read_exact(&mut status).await.unwrap();
        (String::from_utf8_lossy(&status).into_owned(), socket)
    });
    let answers = futures_util::future::join_all(answers).await;
    assert!(answers.iter().all(|(status, _)| status == "HTTP/1.1 200"), "{answers:?}");
}

#[tokio::test]
async fn half_sent_requests_of_one_token_keep_nobody_out() {
    let app = app().await;
    let rest = "content-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    keeps_nobody_out(&app, Scope::Model, |secret| request("POST /v1/chat/completions", secret, rest)).await;
    keeps_nobody_out(&app, Scope::User, |secret| request("POST /api/v1/jobs", secret, rest)).await;
}

#[tokio::test]
async fn agents_that_wait_for_work_with_one_token_keep_nobody_out() {
    let app = app().await;
    let body = r#"{"worker_id":"019a2b3c-0000-7000-8000-0000000000aa","worker_name":"test","wait_ms":30000}"#;
    let rest = format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    keeps_nobody_out(&app, Scope::Agent, |secret| request("POST /api/v1/leases", secret, &rest)).await;
}

#[tokio::test]
async fn idle_connections_of_one_token_keep_nobody_out() {
    let app = app().await;
    keeps_nobody_out(&app, Scope::Viewer, |secret| request("GET /version", secret, "\r\n")).await;
}

#[tokio::test]
async fn many_tokens_together_leave_room_for_admins() {
    let app = app().await;
    let job = app.create_job("follow me").await;
    let line = format!("GET /api/v1/jobs/{}/events", job.id);
    let mut crowd = Vec::new();
    for _ in 0..4 {
        let token = app.new_token(Scope::Viewer).await;
        let request = request(&line, &token.secret, "accept: text/event-stream\r\n\r\n");
        for _ in 0..SHARE {
            let mut socket = TcpStream::connect(app.address).await.unwrap();
            socket.write_all(&request).await.unwrap();
            let mut first = [0; 12];
            tokio::io::AsyncReadExt::read_exact(&mut socket, &mut first).await.unwrap();
            crowd.push((socket, first));
        }
    }
    let let_in = crowd.iter().filter(|(_, first)| first == b"HTTP/1.1 200").count();
    assert!(let_in < 192, "{let_in} of 192 known connections");
    let fresh = || Client::builder().no_proxy().build().unwrap();
    let refused = problem(fresh().get(app.url("/version")).bearer_auth(app.token(Scope::User))).await;
    assert_eq!(refused.code, ErrorCode::TooManyConnections);
    let jobs = fresh().get(app.url("/api/v1/jobs")).bearer_auth(app.token(Scope::Admin));
    let _: Value = parsed(jobs, StatusCode::OK).await;
}
