//! An agent's life over HTTP.

use crate::support::{TestApp, artifact_path, parsed, problem, problem_of};
use domain::{ErrorCode, Scope};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

#[tokio::test]
async fn a_job_goes_from_question_to_answer() {
    let app = TestApp::start().await;
    let lease = app.leased_job().await;
    let path = |verb: &str| format!("/api/v1/leases/{}/{verb}", lease.job_id);
    let attempt = lease.attempt;
    let beat: Value = parsed(
        app.post(&path("heartbeat"), Scope::Agent, &json!({"epoch": app.epoch(), "attempt": attempt})),
        StatusCode::OK,
    )
    .await;
    assert_eq!(beat["control"], "continue");

    let batch = json!({"epoch": app.epoch(), "attempt": attempt, "producer_seq": 1, "events": [{"type": "agent.note", "payload": {"message": "hi"}}]});
    let appended: Value = parsed(app.post(&path("events"), Scope::Agent, &batch), StatusCode::OK).await;
    let repeated: Value = parsed(app.post(&path("events"), Scope::Agent, &batch), StatusCode::OK).await;
    assert_eq!(appended["head"], repeated["head"]);
    assert_eq!((&appended["repeated"], &repeated["repeated"]), (&json!(false), &json!(true)));

    let gap = json!({"epoch": app.epoch(), "attempt": attempt, "producer_seq": 3, "events": [{"type": "agent.note", "payload": {"message": "hi"}}]});
    let refused = problem(app.post(&path("events"), Scope::Agent, &gap)).await;
    assert_eq!((refused.code, refused.expected_producer_seq), (ErrorCode::ProducerGap, Some(2)));
    let stale = json!({"epoch": app.epoch(), "attempt": attempt + 1, "producer_seq": 2, "events": [{"type": "agent.note", "payload": {"message": "hi"}}]});
    assert_eq!(problem(app.post(&path("events"), Scope::Agent, &stale)).await.code, ErrorCode::StaleAttempt);
    let not_its_own = json!({"epoch": app.epoch(), "attempt": attempt, "producer_seq": 2, "events": [{"type": "job.requeued", "payload": {"cause": "released", "message": "", "delay_ms": 0}}]});
    assert_eq!(problem(app.post(&path("events"), Scope::Agent, &not_its_own)).await.code, ErrorCode::InvalidRequest);

    let done = app.finish(&lease).await;
    assert_eq!(done.state.as_str(), "succeeded");
    let late = json!({"epoch": app.epoch(), "attempt": attempt, "producer_seq": 2, "events": [{"type": "agent.note", "payload": {"message": "late"}}]});
    assert_eq!(problem(app.post(&path("events"), Scope::Agent, &late)).await.code, ErrorCode::StaleAttempt);
    let report: Value =
        parsed(app.get(&format!("/api/v1/jobs/{}/verify", lease.job_id), Scope::Viewer), StatusCode::OK).await;
    assert_eq!((&report["intact"], &report["events"]), (&json!(true), &json!(4)));
}

#[tokio::test]
async fn nothing_to_do_is_no_content_and_a_released_job_goes_to_the_next() {
    let app = TestApp::start().await;
    let ask = json!({"worker_id": "019a2b3c-0000-7000-8000-0000000000aa", "worker_name": "test"});
    assert_eq!(app.post("/api/v1/leases", Scope::Agent, &ask).send().await.unwrap().status(), 204);
    let lease = app.leased_job().await;
    let release = json!({"epoch": app.epoch(), "attempt": lease.attempt, "message": "going away", "failed": false});
    let path = format!("/api/v1/leases/{}/release", lease.job_id);
    let job: Value = parsed(app.post(&path, Scope::Agent, &release), StatusCode::OK).await;
    assert_eq!(job["state"], "queued");
    let next = app.lease().await;
    assert_eq!((next.job_id, next.attempt), (lease.job_id, lease.attempt + 1));
}

#[tokio::test]
async fn an_agent_learns_which_jobs_were_deleted() {
    let app = TestApp::start().await;
    let (over, deleted) = (app.leased_job().await, app.leased_job().await);
    app.finish(&over).await;
    app.finish(&deleted).await;
    let path = format!("/api/v1/jobs/{}", deleted.job_id);
    let gone = app.request(Method::DELETE, &path, Scope::Admin).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    let running = app.leased_job().await;
    let ask = json!({"job_ids": [running.job_id, deleted.job_id, over.job_id]});
    let answer: Value = parsed(app.post("/api/v1/jobs/known", Scope::Agent, &ask), StatusCode::OK).await;
    assert_eq!(answer["known"], json!([running.job_id, over.job_id]));
    assert_eq!(answer["epoch"], json!(running.head.epoch));

    let too_many = json!({"job_ids": vec![over.job_id; 1_001]});
    let refused = problem(app.post("/api/v1/jobs/known", Scope::Agent, &too_many)).await;
    assert_eq!((refused.code, refused.errors[0].pointer.as_str()), (ErrorCode::InvalidRequest, "/job_ids"));
}

#[tokio::test]
async fn a_cancelled_job_tells_the_agent_at_its_next_heartbeat() {
    let app = TestApp::start().await;
    let lease = app.leased_job().await;
    let beat = json!({"epoch": app.epoch(), "attempt": lease.attempt, "wait_ms": 5_000});
    let beat =
        tokio::spawn(app.post(&format!("/api/v1/leases/{}/heartbeat", lease.job_id), Scope::Agent, &beat).send());
    let cancel = json!({"message": "changed my mind"});
    let path = format!("/api/v1/jobs/{}/cancel", lease.job_id);
    let job: Value = parsed(app.post(&path, Scope::User, &cancel), StatusCode::ACCEPTED).await;
    assert_eq!(job["cancel_requested"], true);
    let beat: Value = beat.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(beat["control"], "cancel");
}

#[tokio::test]
async fn a_person_decides_on_exactly_what_was_shown() {
    let app = TestApp::start().await;
    let lease = app.leased(json!({"kind": "code", "task": "x", "approvals": {"run": "ask"}})).await;
    let ask = json!({"epoch": app.epoch(), "attempt": lease.attempt, "call_id": "1", "tool": "run", "arguments": {"command": "make"}});
    let path = format!("/api/v1/leases/{}/approvals", lease.job_id);
    let asked: Value = parsed(app.post(&path, Scope::Agent, &ask), StatusCode::OK).await;
    assert_eq!(asked.get("decision"), None);
    let page: Value = parsed(app.get("/api/v1/approvals?pending=true", Scope::User), StatusCode::OK).await;
    let shown = &page["approvals"][0];
    let decide = format!("/api/v1/approvals/{}/decision", shown["id"].as_str().unwrap());
    let other = json!({"decision": "approved", "arguments_sha256": "0".repeat(64)});
    assert!(matches!(
        problem(app.post(&decide, Scope::User, &other)).await.code,
        ErrorCode::WrongState | ErrorCode::InvalidRequest
    ));
    let yes = json!({"decision": "approved", "arguments_sha256": shown["arguments_sha256"]});
    let decided: Value = parsed(app.post(&decide, Scope::User, &yes), StatusCode::OK).await;
    assert_eq!(decided["decision"], "approved");
    let next = app.lease().await;
    let again = json!({"epoch": app.epoch(), "attempt": next.attempt, "call_id": "1", "tool": "run", "arguments": {"command": "make"}});
    let answer: Value = parsed(app.post(&path, Scope::Agent, &again), StatusCode::OK).await;
    assert_eq!(answer["decision"], "approved");
}

#[tokio::test]
async fn arguments_that_some_reader_would_change_are_never_asked_about() {
    let app = TestApp::start().await;
    let lease = app.leased(json!({"kind": "code", "task": "x", "approvals": {"run": "ask"}})).await;
    let path = format!("/api/v1/leases/{}/approvals", lease.job_id);
    let ask = |arguments: &str| {
        let body = format!(
            r#"{{"epoch":"{}","attempt":{},"call_id":"1","tool":"run","arguments":{arguments}}}"#,
            lease.epoch, lease.attempt
        );
        app.request(Method::POST, &path, Scope::Agent).header("content-type", "application/json").body(body)
    };
    let nested = |levels: usize| format!("{}{}", r#"{"a":"#.repeat(levels - 1) + "{}", "}".repeat(levels - 1));
    for (arguments, pointer) in [
        (r#"{"amount":9007199254740993}"#.to_owned(), "/arguments/amount".to_owned()),
        (r#"{"amount":9007199254740992}"#.to_owned(), "/arguments/amount".to_owned()),
        (r#"{"pi":3.14159265358979323846}"#.to_owned(), "/arguments/pi".to_owned()),
        (nested(64), format!("/arguments{}", "/a".repeat(63))),
    ] {
        let refused = problem(ask(&arguments)).await;
        assert_eq!((refused.status, &refused.errors[0].pointer), (400, &pointer), "{arguments}");
    }
    let _: Value = parsed(ask(&nested(63)), StatusCode::OK).await;
    // The deepest there is, as the command line reads it.
    let page = app.get("/api/v1/approvals?pending=true", Scope::User).send().await.unwrap().bytes().await.unwrap();
    let page: protocol::ApprovalPage = serde_json::from_slice(&page).unwrap();
    let asked: Value = serde_json::from_str(&nested(63)).unwrap();
    assert_eq!(page.approvals.iter().map(|approval| &approval.arguments).collect::<Vec<_>>(), [&asked]);
    assert_eq!(app.log(lease.job_id).await.events.len(), 3);
}

#[tokio::test]
async fn artifacts_come_back_byte_for_byte_and_never_as_a_page() {
    let app = TestApp::start().await;
    let lease = app.leased_job().await;
    let content: Vec<u8> = (0..300_000u32).map(|number| (number % 251) as u8).collect();
    let path = artifact_path(&lease, "page.html");
    let put = app.request(Method::PUT, &path, Scope::Agent).header("content-type", "text/html").body(content.clone());
    let stored: Value = parsed(put, StatusCode::OK).await;
    let sha256 = hex::encode(Sha256::digest(&content));
    assert_eq!((&stored["bytes"], &stored["sha256"]), (&json!(content.len()), &json!(sha256)));

    let response =
        app.get(&format!("/api/v1/jobs/{}/artifacts/page.html", lease.job_id), Scope::Viewer).send().await.unwrap();
    assert_eq!(response.headers()["content-disposition"], r#"attachment; filename="page.html""#);
    assert_eq!(response.headers()["etag"], format!("\"{sha256}\"").as_str());
    assert!(response.headers()["content-security-policy"].to_str().unwrap().contains("sandbox"));
    assert_eq!(response.bytes().await.unwrap(), content);

    let part = async |headers: &[(&'static str, String)]| {
        let mut get = app.get(&format!("/api/v1/jobs/{}/artifacts/page.html", lease.job_id), Scope::Viewer);
        for (name, value) in headers {
            get = get.header(*name, value);
        }
        get.send().await.unwrap()
    };
    let etag = || format!("\"{sha256}\"");
    let rest = part(&[("range", "bytes=299990-".into()), ("if-range", etag())]).await;
    assert_eq!(
        (rest.status(), &rest.headers()["content-range"]),
        (StatusCode::PARTIAL_CONTENT, &"bytes 299990-299999/300000".parse().unwrap())
    );
    assert_eq!(rest.bytes().await.unwrap(), content[299_990..]);
    let another = part(&[("range", "bytes=299990-".into()), ("if-range", "\"other\"".into())]).await;
    assert_eq!((another.status(), another.bytes().await.unwrap().len()), (StatusCode::OK, content.len()));
    let known = part(&[("if-none-match", etag())]).await;
    assert_eq!((known.status(), &known.headers()["etag"]), (StatusCode::NOT_MODIFIED, &etag().parse().unwrap()));
    assert!(known.bytes().await.unwrap().is_empty());
    let beyond = part(&[("range", "bytes=300000-".into())]).await;
    assert_eq!(beyond.headers()["content-range"], "bytes */300000");
    assert_eq!(problem_of(beyond).await.code, ErrorCode::RangeNotSatisfiable);

    for unread in ["garbage", &sha256, ""] {
        let whole = part(&[("range", "bytes=0-4".into()), ("if-range", unread.to_owned())]).await;
        assert_eq!((whole.status(), whole.bytes().await.unwrap().len()), (StatusCode::OK, content.len()), "{unread}");
    }

    for name in [".hidden", "a%2Fb", "..", "%2e%2e%2fx"] {
        let path = artifact_path(&lease, name);
        let status = app.request(Method::PUT, &path, Scope::Agent).body("x").send().await.unwrap().status();
        assert!(status.is_client_error(), "{name}: {status}");
    }
    let without =
        app.request(Method::PUT, &format!("/api/v1/leases/{}/artifacts/x", lease.job_id), Scope::Agent).body("x");
    assert_eq!(problem(without).await.errors[0].detail, "missing field `epoch`");
}

#[tokio::test]
async fn no_part_of_a_damaged_artifact_is_passed_off_as_good() {
    let app = TestApp::start().await;
    let lease = app.leased_job().await;
    let content: Vec<u8> = (0..1u32 << 20).map(|number| (number % 251) as u8).collect();
    let put = app.request(Method::PUT, &artifact_path(&lease, "large"), Scope::Agent).body(content.clone());
    let _: Value = parsed(put, StatusCode::OK).await;
    let file = app.store.blobs().path(&hex::encode(Sha256::digest(&content))).unwrap();
    let part = async |range: &str| {
        let get = app.get(&format!("/api/v1/jobs/{}/artifacts/large", lease.job_id), Scope::Viewer);
        let response = get.header("range", range).send().await.unwrap();
        (response.status(), response.bytes().await)
    };
    let good = async |range: &str, expected: &[u8]| {
        let (status, bytes) = part(range).await;
        assert_eq!((status, &bytes.unwrap()[..]), (StatusCode::PARTIAL_CONTENT, expected), "{range}");
    };
    let ranges = ["bytes=0-4", "bytes=1-1", "bytes=-3", "bytes=524288-", "bytes=0-524287", "bytes=300000-300001"];
    for damaged in [0, content.len() / 2, content.len() - 1] {
        let mut bytes = content.clone();
        bytes[damaged] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        for range in ranges {
            let (status, bytes) = part(range).await;
            // Before its first byte it is refused, and after that cut off.
            let is_told = status == StatusCode::GONE || (status == StatusCode::PARTIAL_CONTENT && bytes.is_err());
            assert!(is_told, "{range} with byte {damaged} changed: {status} {bytes:?}");
        }
        assert_eq!(part("bytes=0-4").await.0, StatusCode::GONE);
    }
    std::fs::write(&file, &content).unwrap();
    good("bytes=0-4", &content[..5]).await;
    good("bytes=300000-300001", &content[300_000..300_002]).await;
    good("bytes=-3", &content[content.len() - 3..]).await;
}
