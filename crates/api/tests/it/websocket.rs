//! Many logs over one socket, and everything a client can do wrong on it.

use crate::{
    raw,
    support::{TestApp, options, parsed, problem, problem_of},
};
use domain::{ErrorCode, JobId, Scope};
use futures_util::{SinkExt, StreamExt};
use protocol::WebSocketTicket;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest, protocol::frame::coding::CloseCode},
};

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

async fn ticket(app: &TestApp, scope: Scope) -> String {
    let ticket: WebSocketTicket =
        parsed(app.request(Method::POST, "/api/v1/websocket-tickets", scope), StatusCode::CREATED).await;
    assert!(ticket.expires_in_ms <= 30_000);
    ticket.ticket
}

async fn open(app: &TestApp, scope: Scope) -> Socket {
    let url = format!("ws://{}/api/v1/ws?ticket={}", app.address, ticket(app, scope).await);
    let (socket, response) = connect_async(url).await.unwrap();
    assert!(response.headers().contains_key("x-request-id"));
    Socket(socket)
}

/// Of a client whose machine takes little and then nothing at all, until it is read from again.
async fn open_narrowly(app: &TestApp, scope: Scope) -> Socket {
    let narrow = TcpSocket::new_v4().unwrap();
    narrow.set_recv_buffer_size(4 * 1024).unwrap();
    let stream = MaybeTlsStream::Plain(narrow.connect(app.address).await.unwrap());
    let url = format!("ws://{}/api/v1/ws?ticket={}", app.address, ticket(app, scope).await);
    Socket(tokio_tungstenite::client_async(url, stream).await.unwrap().0)
}

impl Socket {
    async fn say(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn subscribe(&mut self, topic: &str, after: Option<&str>) {
        self.say(&json!({"type": "subscribe", "topic": topic, "after": after})).await;
    }

    async fn frame(&mut self) -> Message {
        let frame = tokio::time::timeout(Duration::from_secs(20), self.0.next()).await;
        frame.expect("the server says nothing").expect("the socket ended").expect("the socket broke")
    }

    /// The next message, passing over pings.
    async fn hear(&mut self) -> Value {
        loop {
            match self.frame().await {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The code the server closes with, passing over everything before.
    async fn closed(&mut self) -> Option<CloseCode> {
        loop {
            match tokio::time::timeout(Duration::from_secs(20), self.0.next()).await.expect("the server does not close")
            {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}

fn topic(job: JobId) -> String {
    format!("job:{job}")
}

#[tokio::test]
async fn logs_of_many_jobs_come_over_one_socket() {
    let app = TestApp::start().await;
    let first = app.leased_job().await;
    let second = app.create_job("second").await;
    let mut socket = open(&app, Scope::User).await;
    socket.subscribe(&topic(first.job_id), None).await;
    let subscribed = socket.hear().await;
    assert_eq!(
        subscribed,
        json!({"type": "subscribed", "topic": topic(first.job_id), "head": format!("{}.2", app.epoch())})
    );
    for expected in ["job.created", "job.leased"] {
        let event = socket.hear().await;
        assert_eq!((&event["topic"], &event["event"]["type"]), (&json!(topic(first.job_id)), &json!(expected)));
    }
    socket.subscribe(&topic(second.id), None).await;
    assert_eq!(socket.hear().await["type"], "subscribed");
    assert_eq!(socket.hear().await["event"]["job_id"], json!(second.id));
    app.append_notes(&first, 1, 500, 10).await;
    app.finish(&first).await;
    let mut seq = 2;
    loop {
        let message = socket.hear().await;
        if message["type"] == "closed" {
            assert_eq!(message["topic"], topic(first.job_id));
            break;
        }
        seq += 1;
        assert_eq!(message["event"]["seq"], seq, "dense and in order");
    }
    assert_eq!(seq, 503);
    // The same events as everywhere, byte for byte.
    let page: Value =
        parsed(app.get(&format!("/api/v1/jobs/{}/events?limit=1", first.job_id), Scope::User), StatusCode::OK).await;
    socket.subscribe(&topic(first.job_id), None).await;
    assert_eq!(socket.hear().await["type"], "subscribed");
    assert_eq!(socket.hear().await["event"], page["events"][0]);
}

#[tokio::test]
async fn a_topic_goes_on_after_its_cursor_and_says_when_it_cannot() {
    let app = TestApp::start().await;
    let lease = app.leased_job().await;
    app.append_notes(&lease, 1, 5, 10).await;
    app.finish(&lease).await;
    let name = topic(lease.job_id);
    let mut socket = open(&app, Scope::User).await;
    socket.subscribe(&name, Some(&format!("{}.6", app.epoch()))).await;
    assert_eq!(socket.hear().await["type"], "subscribed");
    assert_eq!(socket.hear().await["event"]["seq"], 7);
    assert_eq!(socket.hear().await["event"]["type"], "closed");
    assert_eq!(socket.hear().await["type"], "closed");

    socket.subscribe(&name, Some(&format!("{:08x}.1", app.epoch().0.wrapping_add(1)))).await;
    assert_eq!(socket.hear().await["type"], "subscribed");
    let reset = socket.hear().await;
    assert_eq!((&reset["type"], &reset["reset"]["reason"]), (&json!("reset"), &json!("epoch_changed")));

    for (after, code) in [(format!("{}.99", app.epoch()), "cursor_ahead"), ("x".into(), "invalid_cursor")] {
        socket.subscribe(&name, Some(&after)).await;
        let error = socket.hear().await;
        assert_eq!(
            (&error["type"], &error["topic"], &error["problem"]["code"]),
            (&json!("error"), &json!(name), &json!(code))
        );
    }
}

#[tokio::test]
async fn the_list_of_jobs_is_kept_fresh_and_shows_nobody_elses() {
    let app = TestApp::start().await;
    let mut mine = open(&app, Scope::User).await;
    mine.subscribe("jobs", None).await;
    assert_eq!(mine.hear().await["type"], "subscribed");
    let other = app.new_token(Scope::User).await.secret;
    let foreign =
        app.http.post(app.url("/api/v1/jobs")).bearer_auth(other).json(&json!({"kind": "ask", "task": "not mine"}));
    let _: Value = parsed(foreign, StatusCode::ACCEPTED).await;
    let job = app.create_job("mine").await;
    let told = mine.hear().await;
    assert_eq!((&told["type"], &told["job"]["id"]), (&json!("job"), &json!(job.id)), "the first thing told is its own");
    let cancel = app.request(Method::POST, &format!("/api/v1/jobs/{}/cancel", job.id), Scope::User);
    assert_eq!(cancel.send().await.unwrap().status(), 202);
    loop {
        let told = mine.hear().await;
        assert_eq!(told["job"]["id"], json!(job.id));
        if told["job"]["state"] == "cancelled" {
            break;
        }
    }
}

#[tokio::test]
async fn unsubscribing_ends_a_topic_and_quiet_ones_say_where_they_stand() {
    let mut options = options();
    options.limits.heartbeat = Duration::from_millis(50);
    let app = TestApp::with(options).await;
    let job = app.create_job("x").await;
    let mut socket = open(&app, Scope::User).await;
    socket.subscribe(&topic(job.id), None).await;
    assert_eq!(socket.hear().await["type"], "subscribed");
    assert_eq!(socket.hear().await["type"], "event");
    let beat = socket.hear().await;
    assert_eq!(beat, json!({"type": "heartbeat", "topic": topic(job.id), "head": format!("{}.1", app.epoch())}));
    socket.say(&json!({"type": "unsubscribe", "topic": topic(job.id)})).await;
    // The place is free again, which the answer to the next subscription shows.
    socket.subscribe(&topic(job.id), Some(&format!("{}.1", app.epoch()))).await;
    loop {
        let message = socket.hear().await;
        match message["type"].as_str().unwrap() {
            "heartbeat" => {}
            "subscribed" => break,
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_topic_whose_job_goes_away_says_so() {
    let app = TestApp::start().await;
    let (doomed, quiet) = (app.leased_job().await, app.create_job("stays").await);
    app.append_notes(&doomed, 1, 256, 32 * 1024).await;
    let mut socket = open_narrowly(&app, Scope::User).await;
    socket.subscribe(&topic(doomed.job_id), None).await;
    assert_eq!(socket.hear().await["type"], "subscribed");
    // Far more of the log is left than fits into the socket.
    app.finish(&doomed).await;
    let delete = app.request(Method::DELETE, &format!("/api/v1/jobs/{}", doomed.job_id), Scope::User);
    assert_eq!(delete.send().await.unwrap().status(), 204);
    let mut events = 0;
    let last = loop {
        let message = socket.hear().await;
        if message["type"] != "event" {
            break message;
        }
        events += 1;
    };
    assert!(events < 258, "the log was cut");
    assert_eq!((&last["type"], &last["topic"]), (&json!("error"), &json!(topic(doomed.job_id))));
    assert_eq!(last["problem"]["code"], "not_found", "{last}");
    // The socket goes on, and the name is free again.
    socket.subscribe(&topic(doomed.job_id), None).await;
    assert_eq!(socket.hear().await["problem"]["code"], "not_found");
    socket.subscribe(&topic(quiet.id), None).await;
    assert_eq!(socket.hear().await["type"], "subscribed");
    assert_eq!(socket.hear().await["event"]["type"], "job.created");
}

#[tokio::test]
async fn a_client_that_does_not_read_takes_nobody_elses_turn_at_the_store() {
    let app = TestApp::start().await;
    let mut topics = Vec::new();
    for _ in 0..60 {
        topics.push(topic(app.create_job(&"x".repeat(200_000)).await.id));
    }
    let other = app.create_job("read by others").await;
    let mut suspended = open_narrowly(&app, Scope::User).await;
    for topic in &topics {
        let subscribe = json!({"type": "subscribe", "topic": topic});
        suspended.0.feed(Message::text(subscribe.to_string())).await.unwrap();
    }
    suspended.0.flush().await.unwrap();
    let reads = async {
        for _ in 0..200 {
            let _: Value = parsed(app.get(&format!("/api/v1/jobs/{}", other.id), Scope::Viewer), StatusCode::OK).await;
        }
    };
    // Well below what one of them would wait for a turn before it is refused.
    tokio::time::timeout(Duration::from_secs(8), reads).await.expect("reads wait for a client that does not read");
    // Nothing was lost on the way: once it reads, all of it comes.
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < topics.len() {
        let message = suspended.hear().await;
        if message["type"] == "event" {
            seen.insert(message["topic"].as_str().unwrap().to_owned());
        }
    }
}

#[tokio::test]
async fn a_ticket_opens_once_and_only_for_allowed_pages() {
    let app = TestApp::start().await;
    let good = ticket(&app, Scope::Viewer).await;
    let attempt = async |ticket: &str, origin: Option<&str>, host: Option<&str>| {
        let url = format!("ws://{}/api/v1/ws?ticket={ticket}", app.address);
        let mut request = url.into_client_request().unwrap();
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().unwrap());
        }
        if let Some(host) = host {
            request.headers_mut().insert("host", host.parse().unwrap());
        }
        match connect_async(request).await {
            Ok(_) => 101,
            Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
            Err(other) => panic!("{other}"),
        }
    };
    let mut tampered = good.clone().into_bytes();
    tampered[0] = if tampered[0] == b'A' { b'B' } else { b'A' };
    assert_eq!(attempt(std::str::from_utf8(&tampered).unwrap(), None, None).await, 401);
    assert_eq!(attempt("", None, None).await, 401);
    assert_eq!(attempt(app.token(Scope::Admin), None, None).await, 401, "a token is no ticket");
    assert_eq!(attempt(&good, Some("http://evil.example"), None).await, 403, "refused before the ticket is used");
    assert_eq!(attempt(&good, None, Some("evil.example")).await, 421);
    assert_eq!(attempt(&good, Some("http://localhost:3000"), None).await, 101);
    assert_eq!(attempt(&good, Some("http://localhost:3000"), None).await, 401, "used");

    let not_an_upgrade = app.http.get(app.url(&format!("/api/v1/ws?ticket={}", ticket(&app, Scope::Viewer).await)));
    assert_eq!(problem(not_an_upgrade).await.code, ErrorCode::InvalidRequest);
    let header_only = app.get("/api/v1/ws", Scope::Admin).send().await.unwrap();
    assert_eq!(problem_of(header_only).await.code, ErrorCode::Unauthorized);
}

#[tokio::test]
async fn topics_are_checked_and_counted() {
    let app = TestApp::start().await;
    let stranger = app.new_token(Scope::User).await.secret;
    let foreign: Value = parsed(
        app.http.post(app.url("/api/v1/jobs")).bearer_auth(stranger).json(&json!({"kind": "ask", "task": "x"})),
        StatusCode::ACCEPTED,
    )
    .await;
    let mut socket = open(&app, Scope::User).await;
    let foreign = format!("job:{}", foreign["id"].as_str().unwrap());
    for (name, code) in [
        ("weather", "invalid_request"),
        ("job:17", "invalid_request"),
        (&foreign, "not_found"),
        ("\"\n", "invalid_request"),
    ] {
        socket.subscribe(name, None).await;
        assert_eq!(socket.hear().await["problem"]["code"], code, "{name:?}");
    }
    for bad in [
        "{",
        "[]",
        r#"["subscribe",{"topic":"jobs"}]"#,
        r#"{"type":"dance"}"#,
        r#"{"type":"subscribe"}"#,
        r#"{"type":"subscribe","topic":"jobs","x":1}"#,
    ] {
        socket.0.send(Message::text(bad)).await.unwrap();
        let error = socket.hear().await;
        assert_eq!((&error["type"], error.get("topic")), (&json!("error"), None), "{bad}");
    }
    socket.subscribe("jobs", None).await;
    assert_eq!(socket.hear().await["type"], "subscribed");
    socket.subscribe("jobs", None).await;
    assert_eq!(socket.hear().await["problem"]["code"], "invalid_request", "twice");
    let mut accepted = 1;
    loop {
        let job = app.create_job("x").await;
        socket.subscribe(&topic(job.id), Some(&format!("{}.1", app.epoch()))).await;
        let answer = loop {
            let message = socket.hear().await;
            if matches!(message["type"].as_str(), Some("subscribed" | "error")) {
                break message;
            }
        };
        if answer["type"] == "error" {
            assert!(answer["problem"]["detail"].as_str().unwrap().contains("64"), "{answer}");
            break;
        }
        accepted += 1;
    }
    assert_eq!(accepted, 64);
}

#[tokio::test]
async fn a_flood_of_messages_ends_the_socket() {
    let app = TestApp::start().await;
    for message in
        [Message::text("{}"), Message::Ping(Vec::new().into()), Message::text(r#"{"type":"unsubscribe","topic":"x"}"#)]
    {
        let mut socket = open(&app, Scope::User).await;
        for _ in 0..2_000 {
            // The server may close while there is still something to send.
            if socket.0.feed(message.clone()).await.is_err() {
                break;
            }
        }
        let _ = socket.0.flush().await;
        let code = socket.closed().await;
        assert!(matches!(code, Some(CloseCode::Policy) | None), "{code:?}");
    }
    assert_eq!(app.get("/version", Scope::User).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn too_large_and_binary_messages_end_the_socket() {
    let app = TestApp::start().await;
    let mut socket = open(&app, Scope::User).await;
    let _ = socket.0.send(Message::text("x".repeat(70_000))).await;
    assert!(matches!(socket.closed().await, Some(CloseCode::Size) | None));
    let mut socket = open(&app, Scope::User).await;
    socket.0.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(socket.closed().await, Some(CloseCode::Unsupported));
}

#[tokio::test]
async fn revoking_the_token_and_stopping_the_server_close_the_socket() {
    let app = TestApp::start().await;
    let doomed = app.new_token(Scope::Viewer).await;
    let ticket: WebSocketTicket =
        parsed(app.http.post(app.url("/api/v1/websocket-tickets")).bearer_auth(&doomed.secret), StatusCode::CREATED)
            .await;
    let (socket, _) = connect_async(format!("ws://{}/api/v1/ws?ticket={}", app.address, ticket.ticket)).await.unwrap();
    let mut socket = Socket(socket);
    let unused: WebSocketTicket =
        parsed(app.http.post(app.url("/api/v1/websocket-tickets")).bearer_auth(&doomed.secret), StatusCode::CREATED)
            .await;
    let revoke = app.request(Method::DELETE, &format!("/api/v1/tokens/{}", doomed.token.id), Scope::Admin);
    assert_eq!(revoke.send().await.unwrap().status(), 204);
    assert_eq!(socket.closed().await, Some(CloseCode::Policy));
    let late = connect_async(format!("ws://{}/api/v1/ws?ticket={}", app.address, unused.ticket)).await;
    assert!(late.is_err(), "its tickets are gone too");

    let mut socket = open(&app, Scope::Viewer).await;
    app.shutdown.cancel();
    assert_eq!(socket.closed().await, Some(CloseCode::Away));
    app.stop().await;
}

#[tokio::test]
async fn a_silent_client_is_pinged_and_then_let_go() {
    let mut options = options();
    options.limits.ping = Duration::from_millis(50);
    let app = TestApp::with(options).await;
    let mut lively = open(&app, Scope::Viewer).await;
    for _ in 0..5 {
        // Reading answers the pings.
        assert!(matches!(lively.frame().await, Message::Ping(_)));
    }
    // Bytes are read and nothing is answered: the server closes by itself.
    let MaybeTlsStream::Plain(mut dead) = open(&app, Scope::Viewer).await.0.into_inner() else { panic!("no TLS here") };
    let received = raw::read_to_end(&mut dead).await;
    assert!(received.contains("no answer to two pings"), "{received:?}");
}
