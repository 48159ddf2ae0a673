//! What a stranger, or a client gone wild, cannot do.

use crate::{
    raw,
    support::{TestApp, artifact_path, options, parsed, problem, problem_of},
};
use domain::{ErrorCode, Scope};
use futures_util::stream;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use reqwest::{Body, Method, StatusCode};
use serde_json::{Value, json};
use std::{io, time::Duration};
use testkit::eventually;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

#[tokio::test]
async fn huge_bodies_are_refused_before_they_are_read() {
    let app = TestApp::start().await;
    let head = format!(
        "POST /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 1073741824\r\nconnection: close\r\n\r\n",
        app.token(Scope::User)
    );
    let answer = raw::exchange(app.address, head.as_bytes()).await;
    assert_eq!(raw::status(&answer), 413, "{answer}");
    assert!(answer.contains(r#""code":"body_too_large""#), "{answer}");
}

#[tokio::test]
async fn a_body_that_grows_without_saying_so_is_stopped() {
    let mut options = options();
    options.limits.json_bytes = 10_000;
    let app = TestApp::with(options).await;
    let endless = stream::unfold((), |()| async { Some((Ok::<_, io::Error>(vec![b' '; 1024]), ())) });
    let request = app
        .request(Method::POST, "/api/v1/jobs", Scope::User)
        .header("content-type", "application/json")
        .body(Body::wrap_stream(endless));
    // Either the answer arrives, or the connection ends while there is still something to send.
    if let Ok(response) = request.send().await {
        assert_eq!(problem_of(response).await.code, ErrorCode::BodyTooLarge);
    }
    let exact = json!({"kind": "ask", "task": "x".repeat(9_000)});
    let _: Value = parsed(app.post("/api/v1/jobs", Scope::User, &exact), StatusCode::ACCEPTED).await;
    let beyond = json!({"kind": "ask", "task": "x".repeat(10_000)});
    assert_eq!(problem(app.post("/api/v1/jobs", Scope::User, &beyond)).await.code, ErrorCode::BodyTooLarge);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_times_out() {
    let mut options = options();
    options.limits.body_timeout = Duration::from_millis(100);
    let app = TestApp::with(options).await;
    let head = format!(
        "POST /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{\"kind\"",
        app.token(Scope::User)
    );
    let answer = raw::exchange(app.address, head.as_bytes()).await;
    assert_eq!(raw::status(&answer), 408, "{answer}");
}

#[tokio::test]
async fn headers_that_do_not_arrive_close_the_connection() {
    let mut options = options();
    options.limits.header_timeout = Duration::from_millis(100);
    let app = TestApp::with(options).await;
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: local").await.unwrap();
    let answer = raw::read_to_end(&mut stream).await;
    assert!(matches!(raw::status(&answer), 0 | 408), "{answer}");
    // A connection that never says anything is closed as well.
    let mut silent = TcpStream::connect(app.address).await.unwrap();
    assert_eq!(raw::read_to_end(&mut silent).await, "");
}

#[tokio::test]
async fn too_many_or_too_long_headers_are_refused() {
    let app = TestApp::start().await;
    let mut many = app.get("/version", Scope::Viewer);
    for number in 0..65 {
        many = many.header(format!("x-{number}"), "1");
    }
    assert_eq!(problem(many).await.code, ErrorCode::HeadersTooLarge);
    let long = app.get("/version", Scope::Viewer).header("x-long", "x".repeat(20_000));
    assert_eq!(problem(long).await.code, ErrorCode::HeadersTooLarge);
    for absurd in [
        format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(200_000)),
        format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: 1\r\n".repeat(1_000)),
    ] {
        let status = raw::status(&raw::exchange(app.address, absurd.as_bytes()).await);
        assert!(matches!(status, 431 | 0), "{status}");
    }
    let long_address = format!("GET /{} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", "x".repeat(200_000));
    let status = raw::status(&raw::exchange(app.address, long_address.as_bytes()).await);
    assert!(matches!(status, 414 | 431 | 0), "{status}");
    assert_eq!(app.get("/version", Scope::Viewer).send().await.unwrap().status(), 200, "and the server goes on");
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_so_and_places_come_back() {
    let mut options = options();
    options.limits.connections = 32;
    let app = TestApp::with(options).await;
    let ask = |scope| {
        format!("GET /version HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n", app.token(scope))
    };
    let mut held = Vec::new();
    let refused = eventually("a refused connection", async || {
        let mut stream = TcpStream::connect(app.address).await.unwrap();
        stream.write_all(ask(Scope::Viewer).as_bytes()).await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        if &first == b"HTTP/1.1 503" {
            stream.shutdown().await.unwrap();
            return Some(raw::read_to_end(&mut stream).await);
        }
        held.push(stream);
        None
    })
    .await;
    assert!(held.len() < 24, "{} connections were let in", held.len());
    assert!(refused.contains(r#""code":"too_many_connections""#) && refused.contains("retry-after: 1"), "{refused}");
    let agent = app.http.post(app.url("/api/v1/jobs/known")).bearer_auth(app.token(Scope::Agent));
    let _: Value = parsed(agent.json(&json!({"job_ids": []})), StatusCode::OK).await;
    drop(held);
    eventually("a free place", async || {
        let closing = ask(Scope::Viewer).replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
        (raw::status(&raw::exchange(app.address, closing.as_bytes()).await) == 200).then_some(())
    })
    .await;
}

/// Sockets that say nothing, or begin to say something, from the address of everybody.
async fn silent(app: &TestApp, count: usize) -> Vec<TcpStream> {
    let mut sockets = Vec::with_capacity(count);
    for number in 0..count {
        let mut socket = TcpStream::connect(app.address).await.unwrap();
        if number % 2 == 0 {
            // It may have had to leave already.
            let _ = socket.write_all(b"POST /api/v1/jobs HTTP/1.1\r\nhost: local").await;
        }
        sockets.push(socket);
    }
    sockets
}

#[tokio::test]
async fn eleven_hundred_silent_connections_keep_nobody_out() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if hard < 4_000 {
        testkit::skipped("fewer than 4,000 open files are allowed");
        return;
    }
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(4_000), hard).unwrap();
    let app = TestApp::start().await;
    let job = app.create_job("follow me").await;
    let stream = app.get(&format!("/api/v1/jobs/{}/events", job.id), Scope::User).header("accept", "text/event-stream");
    let mut stream = crate::sse::SseStream::new(stream.send().await.unwrap());
    assert_eq!(stream.next().await.unwrap().event, "job.created");
    let crowd = silent(&app, 1_100).await;

    let knock = async || {
        let fresh = || reqwest::Client::builder().no_proxy().build().unwrap();
        let begun = Instant::now();
        let version = fresh().get(app.url("/version")).bearer_auth(app.token(Scope::Viewer));
        let _: Value = parsed(version, StatusCode::OK).await;
        let known = fresh().post(app.url("/api/v1/jobs/known")).bearer_auth(app.token(Scope::Agent));
        let _: Value = parsed(known.json(&json!({"job_ids": [job.id]})), StatusCode::OK).await;
        let health: Value = parsed(fresh().get(app.url("/healthz")), StatusCode::OK).await;
        assert_eq!(health, json!({"status": "ok"}));
        begun.elapsed()
    };
    let waited = knock().await;
    assert!(waited < Duration::from_secs(3), "{waited:?}");
    // Also while they keep coming.
    let (again, waited) = tokio::join!(silent(&app, 1_100), async {
        let mut longest = Duration::ZERO;
        for _ in 0..10 {
            longest = longest.max(knock().await);
        }
        longest
    });
    assert!(waited < Duration::from_secs(3), "{waited:?}");
    // Whoever showed a token before is not disturbed.
    let cancel = app.http.post(app.url(&format!("/api/v1/jobs/{}/cancel", job.id))).bearer_auth(app.token(Scope::User));
    assert_eq!(cancel.send().await.unwrap().status(), 202);
    let rest: Vec<_> = stream.rest().await.into_iter().map(|event| event.event).collect();
    assert_eq!(rest.last().map(String::as_str), Some("closed"));
    drop((crowd, again));
}

#[tokio::test]
async fn one_token_asking_too_often_does_not_slow_another() {
    let mut options = options();
    options.rates.token = api::Rate::new(1, 20);
    let app = TestApp::with(options).await;
    let mut limited = None;
    for _ in 0..40 {
        let response = app.get("/version", Scope::Viewer).send().await.unwrap();
        if response.status() == 429 {
            limited = Some(response);
            break;
        }
    }
    let response = limited.expect("forty requests at once are too many");
    let wait: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(wait >= 1);
    assert_eq!(problem_of(response).await.code, ErrorCode::RateLimited);
    assert_eq!(app.get("/version", Scope::User).send().await.unwrap().status(), 200);
    // Agents have a rate of their own.
    let lease = app.leased_job().await;
    app.append_notes(&lease, 1, 64 * 40, 10).await;
}

#[tokio::test]
async fn guessing_tokens_is_slowed_and_locks_nobody_out() {
    let app = TestApp::start().await;
    let mut statuses = Vec::new();
    for number in 0..25 {
        let guess = app.http.get(app.url("/version")).bearer_auth(format!("dm_admin_{number}"));
        statuses.push(guess.send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 20, "{statuses:?}");
    let limited = app.http.get(app.url("/version")).bearer_auth("dm_admin_x").send().await.unwrap();
    assert!(limited.headers().contains_key("retry-after"));
    assert_eq!(problem_of(limited).await.code, ErrorCode::RateLimited);
    assert_eq!(app.get("/version", Scope::Viewer).send().await.unwrap().status(), 200, "same address, good token");
}

#[tokio::test]
async fn an_artifact_beyond_its_limit_is_refused_and_a_pause_ends_it() {
    let mut options = options();
    options.limits.artifact_bytes = 1_000;
    options.limits.upload_pause = Duration::from_millis(100);
    let app = TestApp::with(options).await;
    let lease = app.leased_job().await;
    let put = |name: &str| app.request(Method::PUT, &artifact_path(&lease, name), Scope::Agent);
    assert_eq!(put("fits").body(vec![7; 1_000]).send().await.unwrap().status(), 200);
    assert_eq!(problem(put("long").body(vec![7; 1_001])).await.code, ErrorCode::BodyTooLarge);
    let chunks = stream::iter((0..3).map(|_| Ok::<_, io::Error>(vec![7; 500])));
    assert_eq!(problem(put("longer").body(Body::wrap_stream(chunks))).await.code, ErrorCode::BodyTooLarge);
    let stuck = stream::unfold(false, |said| async move {
        if said {
            std::future::pending::<()>().await;
        }
        Some((Ok::<_, io::Error>(vec![7; 10]), true))
    });
    assert_eq!(problem(put("stuck").body(Body::wrap_stream(stuck))).await.code, ErrorCode::RequestTimeout);
    let page: Value =
        parsed(app.get(&format!("/api/v1/jobs/{}/artifacts", lease.job_id), Scope::User), StatusCode::OK).await;
    assert_eq!(page["artifacts"].as_array().unwrap().len(), 1, "only what arrived whole is kept");
}
