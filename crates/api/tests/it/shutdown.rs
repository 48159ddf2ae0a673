//! Stopping: streams and long-polls are told, answers in flight finish, and nothing hangs.

use crate::{sse::SseStream, support::TestApp};
use domain::Scope;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[tokio::test]
async fn streams_and_long_polls_end_and_the_server_is_gone_soon() {
    let app = TestApp::start().await;
    let lease = app.leased_job().await;
    let path = format!("/api/v1/jobs/{}/events", lease.job_id);
    let stream = app.get(&path, Scope::User).header("accept", "text/event-stream").send().await.unwrap();
    let mut stream = SseStream::new(stream);
    stream.next().await.unwrap();
    stream.next().await.unwrap();
    let page = tokio::spawn(app.get(&format!("{path}?wait_ms=30000&after={}.2", app.epoch()), Scope::User).send());
    let ask = json!({"worker_id": "019a2b3c-0000-7000-8000-0000000000bb", "worker_name": "other", "wait_ms": 30_000});
    let waiting = tokio::spawn(app.post("/api/v1/leases", Scope::Agent, &ask).send());
    let beat = json!({"epoch": app.epoch(), "attempt": lease.attempt, "wait_ms": 5_000});
    let beat =
        tokio::spawn(app.post(&format!("/api/v1/leases/{}/heartbeat", lease.job_id), Scope::Agent, &beat).send());
    testkit::eventually("three long-polls", async || (app.app.requests_in_flight() == 3).then_some(())).await;

    let begun = Instant::now();
    app.shutdown.cancel();
    let last = stream.next().await.unwrap();
    assert_eq!((last.event.as_str(), &last.json()["code"]), ("error", &json!("unavailable")));
    assert_eq!(stream.next().await, None);
    let page: Value = page.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(page["events"], json!([]));
    assert_eq!(waiting.await.unwrap().unwrap().status(), 204);
    let beat: Value = beat.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(beat["control"], "continue");
    let address = app.address;
    app.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
}
