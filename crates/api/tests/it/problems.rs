//! What every refusal looks like.

use crate::{
    raw,
    support::{TestApp, parsed, problem, problem_of},
};
use domain::{ErrorCode, JobId, Scope, Timestamp};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// A snapshot without what differs between runs.
fn shown(problem: &protocol::Problem) -> Value {
    let mut value = serde_json::to_value(problem).unwrap();
    value["request_id"] = json!("[request id]");
    value
}

#[tokio::test]
async fn problems_say_what_where_and_what_now() {
    let app = TestApp::start().await;
    let get = |path| app.get(path, Scope::User);
    let post = |body: &'static str| {
        app.request(Method::POST, "/api/v1/jobs", Scope::User).header("content-type", "application/json").body(body)
    };
    insta::assert_json_snapshot!("unknown_route", shown(&problem(get("/api/v2/jobs")).await));
    insta::assert_json_snapshot!("no_token", shown(&problem(app.http.get(app.url("/version"))).await));
    insta::assert_json_snapshot!("wrong_scope", shown(&problem(get("/api/v1/tokens")).await));
    insta::assert_json_snapshot!(
        "unknown_job",
        shown(&problem(get("/api/v1/jobs/019a2b3c-0000-7000-8000-000000000001")).await)
    );
    insta::assert_json_snapshot!("not_an_id", shown(&problem(get("/api/v1/jobs/17")).await));
    insta::assert_json_snapshot!("unknown_parameter", shown(&problem(get("/api/v1/jobs?colour=red")).await));
    insta::assert_json_snapshot!("bad_parameter", shown(&problem(get("/api/v1/jobs?limit=many")).await));
    insta::assert_json_snapshot!("not_json", shown(&problem(post("{")).await));
    insta::assert_json_snapshot!(
        "unknown_field",
        shown(&problem(post(r#"{"kind":"ask","task":"x","limits":{"step":1}}"#)).await)
    );
    insta::assert_json_snapshot!(
        "duplicate_field",
        shown(&problem(post(r#"{"kind":"ask","task":"x","task":"y"}"#)).await)
    );
    insta::assert_json_snapshot!(
        "invalid_fields",
        shown(&problem(post(r#"{"kind":"ask","task":"","limits":{"steps":0}}"#)).await)
    );
    insta::assert_json_snapshot!(
        "bad_cursor",
        shown(&problem(get("/api/v1/jobs/019a2b3c-0000-7000-8000-000000000001/events?after=17")).await)
    );
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let app = TestApp::start().await;
    let response = app.request(Method::PUT, "/api/v1/jobs", Scope::Admin).send().await.unwrap();
    let allow = response.headers()["allow"].to_str().unwrap().to_owned();
    assert_eq!(problem_of(response).await.code, ErrorCode::MethodNotAllowed);
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
}

#[tokio::test]
async fn every_answer_has_an_id_of_ours_and_safe_headers() {
    let app = TestApp::start().await;
    let mut seen = std::collections::BTreeSet::new();
    for path in ["/healthz", "/version", "/nowhere", "/api/docs/", "/api/errors/not_found", "/api/v1/jobs"] {
        let response = app.get(path, Scope::Viewer).header("x-request-id", "mine").send().await.unwrap();
        let headers = response.headers();
        let id: JobId = headers["x-request-id"].to_str().unwrap().parse().unwrap();
        assert!(seen.insert(id), "ids are unique");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(!policy.contains("http"), "nothing comes from elsewhere: {policy}");
    }
}

#[tokio::test]
async fn the_page_of_a_problem_explains_it() {
    let app = TestApp::start().await;
    let problem = problem(app.get("/api/v1/tokens", Scope::Viewer)).await;
    let page = app.get(&problem.r#type, Scope::Viewer).send().await.unwrap();
    assert_eq!(page.headers()["content-type"], "text/markdown; charset=utf-8");
    assert!(page.text().await.unwrap().contains("## What to do"));
    let html = app.get(&problem.r#type, Scope::Viewer).header("accept", "text/html,*/*").send().await.unwrap();
    assert_eq!(html.headers()["content-type"], "text/html; charset=utf-8");
    assert_eq!(app.get("/api/errors/no_such_code", Scope::Viewer).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn the_documentation_comes_from_this_server_and_asks_a_browser_for_a_token() {
    let app = TestApp::start().await;
    let stranger = app.http.get(app.url("/api/docs/")).send().await.unwrap();
    assert_eq!(stranger.status(), 401);
    assert!(stranger.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic "));
    let as_browser = |path: &str| app.http.get(app.url(path)).basic_auth("me", Some(app.token(Scope::Viewer)));
    let page = as_browser("/api/docs/").send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert_eq!(page.headers()["content-type"], "text/html");
    let html = page.text().await.unwrap();
    for part in html.split('"').filter(|part| part.ends_with(".js") || part.ends_with(".css")) {
        assert!(!part.contains("//"), "{part} comes from elsewhere");
        let answer = as_browser(&format!("/api/docs/{}", part.trim_start_matches("./"))).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{part}");
    }
    let document: Value = parsed(as_browser("/api/openapi.json"), StatusCode::OK).await;
    assert_eq!(document["openapi"], "3.1.0");
    // A browser repeats Basic credentials by itself, so they open nothing that matters.
    let elsewhere = as_browser("/api/v1/jobs").send().await.unwrap();
    assert_eq!(elsewhere.status(), 401);
    assert!(elsewhere.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer "));
}

#[tokio::test]
async fn malformed_bodies_are_refused_and_the_server_goes_on() {
    let app = TestApp::start().await;
    let deep = format!(r#"{{"kind":"ask","task":{}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let bodies: Vec<(&str, Vec<u8>, ErrorCode)> = vec![
        ("application/json", b"".to_vec(), ErrorCode::InvalidJson),
        ("application/json", b"{\"kind\"".to_vec(), ErrorCode::InvalidJson),
        ("application/json", b"\xff\xfe".to_vec(), ErrorCode::InvalidJson),
        ("application/json", b"{\"kind\":\"ask\",\"task\":\"\xc3\x28\"}".to_vec(), ErrorCode::InvalidJson),
        ("application/json", b"{\"kind\":\"ask\",\"task\":\"\\ud800\"}".to_vec(), ErrorCode::InvalidJson),
        ("application/json", br#"{"kind":"ask","task":"x","priority":1e999}"#.to_vec(), ErrorCode::InvalidRequest),
        ("application/json", br#"{"kind":"ask","task":"x","priority":NaN}"#.to_vec(), ErrorCode::InvalidJson),
        ("application/json", br#"{"kind":"ask","task":"x","priority":10}"#.to_vec(), ErrorCode::InvalidRequest),
        (
            "application/json",
            br#"{"kind":"ask","task":"x","priority":99999999999999999999}"#.to_vec(),
            ErrorCode::InvalidRequest,
        ),
        ("application/json", b"[]".to_vec(), ErrorCode::InvalidRequest),
        ("application/json", b"null".to_vec(), ErrorCode::InvalidRequest),
        ("text/plain", br#"{"kind":"ask","task":"x"}"#.to_vec(), ErrorCode::UnsupportedMediaType),
        ("application/x-www-form-urlencoded", b"kind=ask".to_vec(), ErrorCode::UnsupportedMediaType),
    ];
    for (media_type, body, expected) in bodies {
        let request = app.request(Method::POST, "/api/v1/jobs", Scope::User).header("content-type", media_type);
        let shown = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(problem(request.body(body)).await.code, expected, "{media_type} {shown}");
    }
    let request = app.request(Method::POST, "/api/v1/jobs", Scope::User).header("content-type", "application/json");
    let refused = problem(request.body(deep)).await;
    assert!(matches!(refused.code, ErrorCode::InvalidJson | ErrorCode::InvalidRequest), "{refused:?}");
    let packed = |name: &str| {
        app.post("/api/v1/jobs", Scope::User, &json!({"kind": "ask", "task": "x"})).header("content-encoding", name)
    };
    assert_eq!(problem(packed("br")).await.code, ErrorCode::UnsupportedMediaType);
    assert_eq!(problem(packed("gzip")).await.code, ErrorCode::InvalidRequest, "it says so and is not");
    app.create_job("still here").await;
}

#[tokio::test]
async fn ten_thousand_levels_inside_an_event_are_refused() {
    let app = TestApp::start().await;
    let lease = app.leased_job().await;
    let deep = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    let body = format!(
        r#"{{"epoch":"00000000","attempt":1,"producer_seq":1,"events":[{{"type":"tool.started","payload":{{"call_id":"1","tool":"run","arguments":{deep}}}}}]}}"#
    );
    let path = format!("/api/v1/leases/{}/events", lease.job_id);
    let request = app.request(Method::POST, &path, Scope::Agent).header("content-type", "application/json").body(body);
    let refused = problem(request).await;
    assert_eq!(refused.code, ErrorCode::InvalidRequest);
    assert!(refused.errors[0].detail.contains("64 levels"), "{refused:?}");
    assert_eq!(app.log(lease.job_id).await.events.len(), 2);
}

#[tokio::test]
async fn a_panic_is_a_problem_and_not_the_end() {
    let app = TestApp::start().await;
    app.calls.panic_when_listed();
    let refused = problem(app.get("/api/v1/models", Scope::Viewer)).await;
    assert_eq!(refused.code, ErrorCode::Internal);
    assert!(!refused.detail.contains("on purpose"), "the cause stays in the log: {}", refused.detail);
    app.create_job("still here").await;
}

#[tokio::test]
async fn line_breaks_cannot_be_smuggled_into_headers_or_ids() {
    let app = TestApp::start().await;
    let token = app.token(Scope::User);
    for (name, request) in [
        ("header value", format!("GET /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nlast-event-id: a\rb\r\nconnection: close\r\n\r\n")),
        ("header name", "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx y: 1\r\nconnection: close\r\n\r\n".into()),
        ("folded header", "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: 1\r\n y\r\nconnection: close\r\n\r\n".into()),
        ("two lengths", "POST /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\nconnection: close\r\n\r\nxx".into()),
        ("bare line", "GET /healthz\r\n\r\n".into()),
    ] {
        let answer = raw::exchange(app.address, request.as_bytes()).await;
        let status = raw::status(&answer);
        assert!((400..500).contains(&status), "{name}: {answer}");
    }
    let encoded = app.get("/api/v1/jobs/%0d%0aset-cookie:%20x=1", Scope::User).send().await.unwrap();
    assert!(encoded.headers().get("set-cookie").is_none());
    assert_eq!(encoded.status(), 400);
    let event_id = app.get("/api/v1/jobs/%ff%fe", Scope::User).send().await.unwrap();
    assert_eq!(event_id.status(), 400);
}

#[tokio::test]
async fn readiness_and_version_are_told() {
    let app = TestApp::start().await;
    let health: Value = parsed(app.http.get(app.url("/healthz")), StatusCode::OK).await;
    assert_eq!(health, json!({"status": "ok"}));
    let ready: Value = parsed(app.http.get(app.url("/readyz")), StatusCode::OK).await;
    assert_eq!(ready, json!({"status": "ok"}));
    let version: Value = parsed(app.get("/version", Scope::Viewer), StatusCode::OK).await;
    assert_eq!(version["name"], "devmesh");
    assert!(version["sqlite"].as_str().unwrap().starts_with("3."));
}

#[tokio::test]
async fn an_idempotency_key_makes_repeats_harmless() {
    let app = TestApp::start().await;
    let create = |key: &str, task: &str| {
        app.post("/api/v1/jobs", Scope::User, &json!({"kind": "ask", "task": task})).header("idempotency-key", key)
    };
    let first: Value = parsed(create("k1", "a"), StatusCode::ACCEPTED).await;
    let second: Value = parsed(create("k1", "a"), StatusCode::ACCEPTED).await;
    let third: Value = parsed(create("k2", "a"), StatusCode::ACCEPTED).await;
    assert_eq!(first["id"], second["id"]);
    assert_ne!(first["id"], third["id"]);
    assert_eq!(problem(create("k1", "b")).await.code, ErrorCode::IdempotencyConflict);
    assert_eq!(problem(create("two words", "b")).await.code, ErrorCode::InvalidRequest);
    let repeated = create("k1", "a").header("idempotency-key", "k2");
    assert_eq!(problem(repeated).await.code, ErrorCode::InvalidRequest);

    let lease = app.lease().await;
    app.finish(&lease).await;
    let retry = || {
        app.request(Method::POST, &format!("/api/v1/jobs/{}/retry", lease.job_id), Scope::User)
            .header("idempotency-key", "r1")
    };
    let again: Value = parsed(retry(), StatusCode::ACCEPTED).await;
    let repeated: Value = parsed(retry(), StatusCode::ACCEPTED).await;
    assert_eq!(again["id"], repeated["id"]);
    assert_eq!(again["retry_of"], json!(lease.job_id));
}

#[tokio::test]
async fn a_created_job_can_be_found_where_the_answer_says() {
    let app = TestApp::start().await;
    let response = app.post("/api/v1/jobs", Scope::User, &json!({"kind": "ask", "task": "x"})).send().await.unwrap();
    assert_eq!(response.status(), 202);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let job: protocol::Job = parsed(app.get(&location, Scope::User), StatusCode::OK).await;
    assert!(job.created_at > Timestamp::from_millis(0));
    // Nothing is sent, whatever type it is said to have.
    let mut cancelled = json!(null);
    for media_type in [None, Some("application/json"), Some("text/plain"), Some("application/x-www-form-urlencoded")] {
        let mut cancel = app.request(Method::POST, &format!("{location}/cancel"), Scope::User);
        if let Some(media_type) = media_type {
            cancel = cancel.header("content-type", media_type);
        }
        cancelled = parsed(cancel, StatusCode::ACCEPTED).await;
    }
    let with_text = app.request(Method::POST, &format!("{location}/cancel"), Scope::User).body("because");
    assert_eq!(problem(with_text).await.code, ErrorCode::UnsupportedMediaType);
    assert_eq!(cancelled["state"], "cancelled");
    assert_eq!(app.request(Method::DELETE, &location, Scope::User).send().await.unwrap().status(), 204);
    assert_eq!(problem(app.get(&location, Scope::User)).await.code, ErrorCode::NotFound);
}

#[tokio::test]
async fn a_repository_the_token_may_not_have_read_is_forbidden_and_named() {
    let app = TestApp::start().await;
    let body = json!({"kind": "code", "task": "x", "repository": {"path": "/srv/code"}});
    let refused = problem(app.post("/api/v1/jobs", Scope::User, &body)).await;
    assert_eq!((refused.code, refused.status), (ErrorCode::Forbidden, 403));
    assert_eq!(refused.errors[0].pointer, "/repository/path");
    assert!(refused.detail.contains("`agents.roots` is empty"), "{}", refused.detail);
    let accepted = app.post("/api/v1/jobs", Scope::Admin, &body).send().await.unwrap();
    assert_eq!(accepted.status(), StatusCode::ACCEPTED);
    let body = json!({"kind": "code", "task": "x", "repository": {"path": "ext::sh -c id"}});
    let refused = problem(app.post("/api/v1/jobs", Scope::Admin, &body)).await;
    assert_eq!((refused.code, refused.errors[0].pointer.as_str()), (ErrorCode::InvalidRequest, "/repository/path"));
}
