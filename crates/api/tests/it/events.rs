//! Reading a log: pages, streams, and every way a cursor can go wrong.

use crate::{
    sse::SseStream,
    support::{TestApp, options, parsed, problem, problem_of},
};
use domain::{ErrorCode, JobId, Scope};
use protocol::{EventPage, Lease};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::{io::AsyncWriteExt, net::TcpStream};

fn stream(app: &TestApp, job: JobId) -> RequestBuilder {
    stream_after(app, job, "")
}

fn stream_after(app: &TestApp, job: JobId, query: &str) -> RequestBuilder {
    app.get(&format!("/api/v1/jobs/{job}/events{query}"), Scope::User).header("accept", "text/event-stream")
}

async fn open(request: RequestBuilder) -> SseStream {
    SseStream::new(request.send().await.unwrap())
}

async fn finished_job(app: &TestApp, notes: usize) -> Lease {
    let lease = app.leased_job().await;
    app.append_notes(&lease, 1, notes, 20).await;
    app.finish(&lease).await;
    lease
}

#[tokio::test]
async fn a_stream_tells_the_whole_log_in_order_and_ends_after_closed() {
    let app = TestApp::start().await;
    let lease = finished_job(&app, 1_500).await;
    let events = open(stream(&app, lease.job_id)).await.rest().await;
    assert_eq!(events.len(), 1_503, "created, leased, notes, closed");
    for (number, event) in events.iter().enumerate() {
        let cursor = format!("{}.{}", app.epoch(), number + 1);
        let data = event.json();
        assert_eq!(event.id.as_deref(), Some(cursor.as_str()));
        assert_eq!((&data["cursor"], &data["seq"]), (&json!(cursor), &json!(number + 1)));
        assert_eq!(data["type"], event.event.as_str());
    }
    assert_eq!(events.last().unwrap().event, "closed");

    // Pages say the same, word for word.
    let mut paged = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/api/v1/jobs/{}/events?limit=700{after}", lease.job_id);
        let page: Value = parsed(app.get(&path, Scope::User), StatusCode::OK).await;
        paged.extend(page["events"].as_array().unwrap().iter().cloned());
        after = format!("&after={}", page["next_cursor"].as_str().unwrap());
        if page["closed"] == json!(true) {
            break;
        }
    }
    let streamed: Vec<Value> = events.iter().map(|event| event.json()).collect();
    assert_eq!(paged, streamed);
}

#[tokio::test]
async fn events_arrive_as_they_happen() {
    let app = TestApp::start().await;
    let lease = app.leased_job().await;
    let mut events = open(stream(&app, lease.job_id)).await;
    assert_eq!(events.next().await.unwrap().event, "job.created");
    assert_eq!(events.next().await.unwrap().event, "job.leased");
    for batch in 1..=3 {
        app.append_notes(&lease, batch, 1, 5).await;
        assert_eq!(events.next().await.unwrap().event, "agent.note");
    }
    app.finish(&lease).await;
    assert_eq!(events.next().await.unwrap().event, "closed");
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn reading_goes_on_after_the_last_event_id() {
    let app = TestApp::start().await;
    let lease = finished_job(&app, 10).await;
    let epoch = app.epoch();
    let seqs = async |request: RequestBuilder| -> Vec<u64> {
        open(request).await.rest().await.iter().map(|event| event.json()["seq"].as_u64().unwrap()).collect()
    };
    let resumed = stream(&app, lease.job_id).header("last-event-id", format!("{epoch}.10"));
    assert_eq!(seqs(resumed).await, [11, 12, 13]);
    let with_both =
        stream_after(&app, lease.job_id, &format!("?after={epoch}.2")).header("last-event-id", format!("{epoch}.11"));
    assert_eq!(seqs(with_both).await, [12, 13], "a client that comes back has read further than its address says");
    let after = stream_after(&app, lease.job_id, &format!("?after={epoch}.12")).header("last-event-id", "");
    assert_eq!(seqs(after).await, [13]);
    let at_the_end = stream(&app, lease.job_id).header("last-event-id", format!("{epoch}.13"));
    assert_eq!(seqs(at_the_end).await, Vec::<u64>::new(), "a closed log read to its end ends at once");
}

#[tokio::test]
async fn a_cursor_from_the_future_is_an_error() {
    let app = TestApp::start().await;
    let job = app.create_job("x").await;
    let ahead = format!("?after={}.99", app.epoch());
    for request in
        [stream_after(&app, job.id, &ahead), app.get(&format!("/api/v1/jobs/{}/events{ahead}", job.id), Scope::User)]
    {
        assert_eq!(problem(request).await.code, ErrorCode::CursorAhead);
    }
    for bad in ["x", "1", "5f0c21ab.", "5f0c21ab.-1"] {
        let header = stream(&app, job.id).header("last-event-id", bad);
        assert_eq!(problem(header).await.code, ErrorCode::InvalidCursor, "{bad}");
    }
}

#[tokio::test]
async fn a_cursor_of_another_epoch_is_reset_and_never_guessed() {
    let app = TestApp::start().await;
    let job = app.create_job("x").await;
    let foreign = format!("{:08x}.1", app.epoch().0.wrapping_add(1));
    let events = open(stream(&app, job.id).header("last-event-id", &foreign)).await.rest().await;
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].event.as_str(), &events[0].id), ("reset", &None));
    let reset = events[0].json();
    assert_eq!(reset["reason"], "epoch_changed");
    assert_eq!(reset["resume_from"], format!("{}.0", app.epoch()));

    let page = problem(app.get(&format!("/api/v1/jobs/{}/events?after={foreign}", job.id), Scope::User)).await;
    assert_eq!(page.code, ErrorCode::InvalidCursor);
    assert_eq!(serde_json::to_value(page.reset.unwrap()).unwrap(), reset);
}

#[tokio::test]
async fn a_quiet_stream_says_where_the_log_ends() {
    let mut options = options();
    options.limits.heartbeat = Duration::from_millis(50);
    let app = TestApp::with(options).await;
    let lease = app.leased_job().await;
    let mut events = open(stream(&app, lease.job_id)).await;
    for expected in ["job.created", "job.leased"] {
        assert_eq!(events.next().await.unwrap().event, expected);
    }
    for _ in 0..2 {
        let beat = events.next().await.unwrap();
        assert_eq!((beat.event.as_str(), &beat.id), ("heartbeat", &None), "a heartbeat is no place in the log");
        assert_eq!(beat.json(), json!({"head": format!("{}.2", app.epoch())}));
    }
}

#[tokio::test]
async fn a_page_waits_for_something_to_read() {
    let app = TestApp::start().await;
    let lease = app.leased_job().await;
    let after = format!("{}.2", app.epoch());
    let path = format!("/api/v1/jobs/{}/events?after={after}", lease.job_id);
    let nothing: EventPage = parsed(app.get(&path, Scope::User), StatusCode::OK).await;
    assert_eq!((nothing.events.len(), nothing.closed), (0, false));
    assert_eq!(nothing.next_cursor.to_string(), after);
    let waiting = tokio::spawn(app.get(&format!("{path}&wait_ms=30000"), Scope::User).send());
    app.append_notes(&lease, 1, 1, 5).await;
    let page: EventPage = waiting.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(page.events[0].event_type, "agent.note");
    for bad in ["limit=0", "limit=1001", "wait_ms=30001", "wait_ms=-1"] {
        assert_eq!(
            problem(app.get(&format!("{path}&{bad}"), Scope::User)).await.code,
            ErrorCode::InvalidRequest,
            "{bad}"
        );
    }
}

#[tokio::test]
async fn what_is_neither_page_nor_stream_is_not_acceptable() {
    let app = TestApp::start().await;
    let job = app.create_job("x").await;
    let request = app.get(&format!("/api/v1/jobs/{}/events", job.id), Scope::User).header("accept", "text/csv");
    assert_eq!(problem(request).await.code, ErrorCode::NotAcceptable);
}

#[tokio::test]
async fn a_client_that_goes_away_stops_nothing() {
    let app = TestApp::start().await;
    let lease = app.leased_job().await;
    let mut events = open(stream(&app, lease.job_id)).await;
    events.next().await.unwrap();
    drop(events);
    app.append_notes(&lease, 1, 3, 5).await;
    let job = app.finish(&lease).await;
    assert_eq!(job.state.as_str(), "succeeded");
    assert_eq!(app.log(lease.job_id).await.events.len(), 6);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_let_go_and_delays_nobody() {
    let mut options = options();
    options.limits.write_stall = Duration::from_millis(300);
    let app = TestApp::with(options).await;
    let lease = app.leased_job().await;
    // More than the buffers of both ends of a loopback socket hold.
    app.append_notes(&lease, 1, 640, 50_000).await;
    let mut stuck = TcpStream::connect(app.address).await.unwrap();
    let request = format!(
        "GET /api/v1/jobs/{}/events HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\nauthorization: Bearer {}\r\n\r\n",
        lease.job_id,
        app.token(Scope::User)
    );
    stuck.write_all(request.as_bytes()).await.unwrap();
    let begun = Instant::now();
    app.append_notes(&lease, 11, 1, 5).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "a stuck reader delays no writer");
    // Nothing was read for longer than the limit: what the sockets still hold comes, and then the connection is cut.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let received = crate::raw::read_to_end(&mut stuck).await;
    assert!(received.len() < 30_000_000, "{} bytes", received.len());
    assert!(!received.contains("\nevent: heartbeat"));
    app.finish(&lease).await;
}

#[tokio::test]
async fn a_stream_that_cannot_go_on_says_why_as_its_last_event() {
    let app = TestApp::start().await;
    let lease = app.leased_job().await;
    // More than the buffers of both ends of a loopback socket hold.
    app.append_notes(&lease, 1, 640, 50_000).await;
    let events = open(stream(&app, lease.job_id)).await;
    app.finish(&lease).await;
    let delete = app.request(reqwest::Method::DELETE, &format!("/api/v1/jobs/{}", lease.job_id), Scope::User);
    assert_eq!(delete.send().await.unwrap().status(), 204);
    let told = events.rest().await;
    let (last, before) = told.split_last().unwrap();
    assert!(before.len() < 642 && before.iter().all(|event| event.id.is_some()));
    assert_eq!((last.event.as_str(), &last.id), ("error", &None));
    assert_eq!(last.json()["code"], "not_found");

    let revoked = app.new_token(Scope::Viewer).await;
    let job = app.create_job("x").await;
    let path = app.url(&format!("/api/v1/jobs/{}/events", job.id));
    let request = app.http.get(path).bearer_auth(&revoked.secret).header("accept", "text/event-stream");
    let mut events = open(request).await;
    assert_eq!(events.next().await.unwrap().event, "job.created");
    let revoke = app.request(reqwest::Method::DELETE, &format!("/api/v1/tokens/{}", revoked.token.id), Scope::Admin);
    assert_eq!(revoke.send().await.unwrap().status(), 204);
    let told = events.rest().await;
    assert_eq!(told.iter().map(|event| event.event.as_str()).collect::<Vec<_>>(), ["error"]);
    assert_eq!(told[0].json()["code"], "unauthorized");
}

#[tokio::test]
async fn a_stream_of_a_deleted_job_ends() {
    let mut options = options();
    options.limits.heartbeat = Duration::from_millis(50);
    let app = TestApp::with(options).await;
    let job = app.create_job("x").await;
    let cancel = app.request(reqwest::Method::POST, &format!("/api/v1/jobs/{}/cancel", job.id), Scope::User);
    assert_eq!(cancel.send().await.unwrap().status(), 202);
    let verify: Value =
        parsed(app.get(&format!("/api/v1/jobs/{}/verify", job.id), Scope::Viewer), StatusCode::OK).await;
    assert_eq!(verify["intact"], true);
    let delete = app.request(reqwest::Method::DELETE, &format!("/api/v1/jobs/{}", job.id), Scope::User);
    assert_eq!(delete.send().await.unwrap().status(), 204);
    let response = stream(&app, job.id).send().await.unwrap();
    assert_eq!(problem_of(response).await.code, ErrorCode::NotFound);
}
