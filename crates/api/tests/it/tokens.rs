//! Tokens: made, shown once, revoked.

use crate::{
    sse::SseStream,
    support::{TestApp, parsed, problem},
};
use domain::{Clock, ErrorCode, Scope, SystemClock, Timestamp};
use protocol::{CreatedToken, KeyAccount, TokenPage};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::{os::unix::fs::PermissionsExt, time::Instant};
use store::Store;

#[tokio::test]
async fn the_first_admin_token_is_made_once_and_readable_by_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(store::Options::new(directory.path())).await.unwrap();
    let file = directory.path().join("admin-token");
    // A stale file of another data folder, open to everybody.
    std::fs::write(&file, "dm_admin_old").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();

    let made = api::ensure_admin_token(&store, &SystemClock, &file).await.unwrap().unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.trim(), made.expose());
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(api::ensure_admin_token(&store, &SystemClock, &file).await.unwrap().is_none(), "only once");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);

    store.clone().close().await;
    let secret = made.expose();
    for entry in std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_file() && entry != file {
            let content = std::fs::read(&entry).unwrap();
            assert!(!content.windows(secret.len()).any(|window| window == secret.as_bytes()), "{}", entry.display());
        }
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_written_down_is_not_made() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(store::Options::new(directory.path())).await.unwrap();
    let nowhere = directory.path().join("no-such-folder/admin-token");
    let refused = api::ensure_admin_token(&store, &SystemClock, &nowhere).await.unwrap_err();
    assert!(refused.to_string().contains("no-such-folder"), "{refused}");
    assert!(store.tokens().await.unwrap().is_empty());
}

#[tokio::test]
async fn tokens_are_listed_without_secrets_and_survive_a_restart() {
    let app = TestApp::start().await;
    let made = app.new_token(Scope::Viewer).await;
    assert!(made.secret.starts_with("dm_viewer_"));
    let response = app.get("/api/v1/tokens", Scope::Admin).send().await.unwrap();
    let text = response.text().await.unwrap();
    assert!(!text.contains("secret") && !text.contains("dm_"), "{text}");
    let page: TokenPage = serde_json::from_str(&text).unwrap();
    assert!(page.tokens.iter().any(|token| token.id == made.token.id));

    let folder = app.folder().to_owned();
    let directory = app.stop().await;
    let app = TestApp::on(folder, crate::support::options()).await;
    let version = app.http.get(app.url("/version")).bearer_auth(&made.secret);
    assert_eq!(version.send().await.unwrap().status(), 200);
    app.stop().await;
    drop(directory);
}

#[tokio::test]
async fn a_repeated_creation_gives_the_same_secret_to_the_same_bearer_only() {
    let app = TestApp::start().await;
    let body = json!({"name": "laptop", "scope": "user"});
    let create = |secret: &str, body: &Value| {
        app.http.post(app.url("/api/v1/tokens")).bearer_auth(secret).header("idempotency-key", "once").json(body)
    };
    let admin = app.token(Scope::Admin);
    let first: CreatedToken = parsed(create(admin, &body), StatusCode::CREATED).await;
    let again: CreatedToken = parsed(create(admin, &body), StatusCode::CREATED).await;
    assert_eq!(first, again);
    assert_eq!(
        problem(create(admin, &json!({"name": "other", "scope": "user"}))).await.code,
        ErrorCode::IdempotencyConflict
    );
    // The key belongs to its principal: another admin makes another token.
    let second_admin = app.new_token(Scope::Admin).await.secret;
    let other: CreatedToken = parsed(create(&second_admin, &body), StatusCode::CREATED).await;
    assert_ne!(other.token.id, first.token.id);
    // Once the token is gone, the key does not bring it back.
    let path = format!("/api/v1/tokens/{}", first.token.id);
    assert_eq!(app.request(Method::DELETE, &path, Scope::Admin).send().await.unwrap().status(), 204);
    let gone = problem(create(admin, &body)).await;
    assert_eq!(gone.code, ErrorCode::Gone);
    assert!(gone.detail.contains(&format!("made token {} before", first.token.id)), "{}", gone.detail);
    assert!(!format!("{} {}", gone.title, gone.detail).contains("job"), "{gone:?}");
}

#[tokio::test]
async fn a_policy_given_at_once_holds_from_the_first_call_on_and_over_a_restart() {
    let app = TestApp::start().await;
    let body = json!({"name": "editor", "scope": "model", "policy": {"models": ["*"], "budget_tokens": 9}});
    let create = |app: &TestApp, body: &Value| {
        let request = app.http.post(app.url("/api/v1/tokens")).header("idempotency-key", "with-a-policy");
        request.bearer_auth(app.token(Scope::Admin)).json(body)
    };
    let made: CreatedToken = parsed(create(&app, &body), StatusCode::CREATED).await;
    let ask = |app: &TestApp| {
        let question = json!({"model": crate::provider::MODEL, "messages": [{"role": "user", "content": "hello"}]});
        app.http.post(app.url("/v1/chat/completions")).bearer_auth(&made.secret).json(&question)
    };
    assert_eq!(ask(&app).send().await.unwrap().status(), 429, "no call fits into nine tokens");
    let other = json!({"name": "editor", "scope": "model", "policy": {"models": ["*"]}});
    assert_eq!(problem(create(&app, &other)).await.code, ErrorCode::IdempotencyConflict);

    // A repeat finds the token, and leaves a policy alone that was changed since.
    let path = format!("/api/v1/tokens/{}/policy", made.token.id);
    let changed = json!({"routes": ["code"]});
    let _: Value = parsed(app.request(Method::PUT, &path, Scope::Admin).json(&changed), StatusCode::OK).await;
    let again: CreatedToken = parsed(create(&app, &body), StatusCode::CREATED).await;
    assert_eq!(again, made);
    let account: KeyAccount = parsed(app.get(&path, Scope::Admin), StatusCode::OK).await;
    assert_eq!(account.policy.routes, Some(vec!["code".to_owned()]));

    let bad = json!({"name": "editor", "scope": "model", "policy": {"concurrent_requests": 0}});
    let refused = problem(app.post("/api/v1/tokens", Scope::Admin, &bad)).await;
    assert_eq!(refused.errors[0].pointer, "/policy");

    let second = json!({"name": "second", "scope": "model", "policy": {"budget_tokens": 9}});
    let second: CreatedToken = parsed(app.post("/api/v1/tokens", Scope::Admin, &second), StatusCode::CREATED).await;
    let folder = app.folder().to_owned();
    let directory = app.stop().await;
    let app = TestApp::on(folder, crate::support::options()).await;
    let path = format!("/api/v1/tokens/{}/policy", second.token.id);
    let account: KeyAccount = parsed(app.get(&path, Scope::Admin), StatusCode::OK).await;
    assert_eq!(account.policy.budget_tokens, Some(9));
    app.stop().await;
    drop(directory);
}

#[tokio::test]
async fn names_are_checked_and_the_last_admin_stays() {
    let app = TestApp::start().await;
    for name in ["", "a\nb", &"x".repeat(65)] {
        let refused = problem(app.post("/api/v1/tokens", Scope::Admin, &json!({"name": name, "scope": "user"}))).await;
        assert_eq!(refused.errors[0].pointer, "/name", "{name:?}");
    }
    let page: TokenPage = parsed(app.get("/api/v1/tokens", Scope::Admin), StatusCode::OK).await;
    let admin = page.tokens.iter().find(|token| token.scope == Scope::Admin).unwrap();
    let refused = problem(app.request(Method::DELETE, &format!("/api/v1/tokens/{}", admin.id), Scope::Admin)).await;
    assert_eq!(refused.code, ErrorCode::WrongState);
    let unknown = app.request(Method::DELETE, "/api/v1/tokens/019a2b3c-0000-7000-8000-000000000001", Scope::Admin);
    assert_eq!(problem(unknown).await.code, ErrorCode::NotFound);
}

#[tokio::test]
async fn revoking_a_token_refuses_it_and_ends_what_it_has_open() {
    let app = TestApp::start().await;
    let job = app.create_job("wait").await;
    let doomed = app.new_token(Scope::Viewer).await;
    let path = format!("/api/v1/jobs/{}/events", job.id);
    let stream = app.http.get(app.url(&path)).bearer_auth(&doomed.secret).header("accept", "text/event-stream");
    let mut stream = SseStream::new(stream.send().await.unwrap());
    assert_eq!(stream.next().await.unwrap().event, "job.created");
    let head = format!("{}.1", app.epoch());
    let waiting = app.http.get(app.url(&format!("{path}?wait_ms=30000&after={head}"))).bearer_auth(&doomed.secret);
    let waiting = tokio::spawn(waiting.send());

    let revoke = app.request(Method::DELETE, &format!("/api/v1/tokens/{}", doomed.token.id), Scope::Admin);
    assert_eq!(revoke.send().await.unwrap().status(), 204);
    let revoked = Instant::now();
    let last = stream.next().await.unwrap();
    assert_eq!((last.event.as_str(), &last.json()["code"]), ("error", &json!("unauthorized")));
    assert_eq!(stream.next().await, None, "the stream ends");
    assert_eq!(waiting.await.unwrap().unwrap().status(), 401);
    assert!(revoked.elapsed().as_secs() < 2, "{:?}", revoked.elapsed());
    let after = app.http.get(app.url("/version")).bearer_auth(&doomed.secret);
    assert_eq!(problem(after).await.code, ErrorCode::Unauthorized);
}

#[tokio::test]
async fn an_expired_token_opens_nothing_ends_what_it_has_open_and_may_be_given_more_time() {
    let app = TestApp::start().await;
    let job = app.create_job("wait").await;
    let short = app.new_token(Scope::Viewer).await;
    let put = async |id, in_ms: i64| {
        let at = Timestamp::from_millis(SystemClock.now().as_millis() + in_ms);
        let path = format!("/api/v1/tokens/{id}/policy");
        app.request(Method::PUT, &path, Scope::Admin).json(&json!({"expires_at": at})).send().await.unwrap().status()
    };
    assert_eq!(put(short.token.id, -1).await, 400, "a time that is past");
    assert_eq!(put(short.token.id, 1_500).await, 200);
    let path = format!("/api/v1/jobs/{}/events", job.id);
    let stream = app.http.get(app.url(&path)).bearer_auth(&short.secret).header("accept", "text/event-stream");
    let mut stream = SseStream::new(stream.send().await.unwrap());
    assert_eq!(stream.next().await.unwrap().event, "job.created");
    let last = stream.next().await.unwrap();
    assert_eq!((last.event.as_str(), &last.json()["code"]), ("error", &json!("unauthorized")));
    assert_eq!(stream.next().await, None, "the stream ends");
    for path in ["/version", "/api/v1/jobs", "/v1/models", path.as_str()] {
        let refused = app.http.get(app.url(path)).bearer_auth(&short.secret).send().await.unwrap();
        assert_eq!(refused.status(), 401, "{path}");
        assert!(refused.text().await.unwrap().contains("expired at"), "{path}");
    }
    let page: TokenPage = parsed(app.get("/api/v1/tokens", Scope::Admin), StatusCode::OK).await;
    assert!(page.tokens.iter().any(|token| token.id == short.token.id && token.expires_at.is_some()));

    let folder = app.folder().to_owned();
    let directory = app.stop().await;
    let app = TestApp::on(folder, crate::support::options()).await;
    let version = || app.http.get(app.url("/version")).bearer_auth(&short.secret).send();
    assert_eq!(version().await.unwrap().status(), 401, "after a restart too");
    let at = Timestamp::from_millis(SystemClock.now().as_millis() + 600_000);
    let more = app.request(Method::PUT, &format!("/api/v1/tokens/{}/policy", short.token.id), Scope::Admin);
    assert_eq!(more.json(&json!({"expires_at": at})).send().await.unwrap().status(), 200);
    assert_eq!(version().await.unwrap().status(), 200);
    let stream = app.http.get(app.url(&path)).bearer_auth(&short.secret).header("accept", "text/event-stream");
    assert_eq!(SseStream::new(stream.send().await.unwrap()).next().await.unwrap().event, "job.created");
    app.stop().await;
    drop(directory);
}

#[tokio::test]
async fn an_admin_token_that_does_not_expire_stays() {
    let app = TestApp::start().await;
    let page: TokenPage = parsed(app.get("/api/v1/tokens", Scope::Admin), StatusCode::OK).await;
    let admins: Vec<_> = page.tokens.iter().filter(|token| token.scope == Scope::Admin).collect();
    let first = admins.first().unwrap().id;
    assert_eq!(admins.len(), 1);
    let at = Timestamp::from_millis(SystemClock.now().as_millis() + 600_000);
    let policy = |id| {
        let put = app.request(Method::PUT, &format!("/api/v1/tokens/{id}/policy"), Scope::Admin);
        put.json(&json!({"expires_at": at}))
    };
    let delete = |id| app.request(Method::DELETE, &format!("/api/v1/tokens/{id}"), Scope::Admin);
    assert_eq!(problem(policy(first)).await.code, ErrorCode::WrongState);
    let second = app.new_token(Scope::Admin).await.token.id;
    assert_eq!(policy(second).send().await.unwrap().status(), 200, "the first one stays");
    assert_eq!(problem(policy(first)).await.code, ErrorCode::WrongState);
    assert_eq!(problem(delete(first)).await.code, ErrorCode::WrongState);
    assert_eq!(delete(second).send().await.unwrap().status(), 204, "one that expires may go");
}

#[tokio::test]
async fn an_agent_token_made_by_the_program_replaces_the_one_before_and_keeps_its_work() {
    let app = TestApp::start().await;
    let first = app.app.mint_agent_token("built in").await.unwrap().expose();
    app.create_job("x").await;
    let lease = json!({"worker_id": "019a2b3c-0000-7000-8000-0000000000aa", "worker_name": "test", "wait_ms": 10_000});
    let leased: protocol::Lease =
        parsed(app.http.post(app.url("/api/v1/leases")).bearer_auth(&first).json(&lease), StatusCode::OK).await;
    let second = app.app.mint_agent_token("built in").await.unwrap().expose();
    assert_ne!(first, second);
    let beat = |secret: &str| {
        let path = app.url(&format!("/api/v1/leases/{}/heartbeat", leased.job_id));
        app.http.post(path).bearer_auth(secret).json(&json!({"epoch": app.epoch(), "attempt": leased.attempt}))
    };
    assert_eq!(problem(beat(&first)).await.code, ErrorCode::Unauthorized);
    let _: Value = parsed(beat(&second), StatusCode::OK).await;
    let page: TokenPage = parsed(app.get("/api/v1/tokens", Scope::Admin), StatusCode::OK).await;
    assert_eq!(page.tokens.iter().filter(|token| token.name == "built in").count(), 1);
}

#[tokio::test]
async fn what_is_no_bearer_token_is_refused_with_a_challenge() {
    let app = TestApp::start().await;
    let token = app.token(Scope::Admin).to_owned();
    for header in [
        "",
        "Bearer",
        "Bearer ",
        "Basic abc",
        "Token x",
        "Bearer dm_admin_",
        &format!("Bearer {token}x"),
        &format!("bearer{token}"),
        &token,
    ] {
        let response = app.http.get(app.url("/version")).header("authorization", header).send().await.unwrap();
        assert_eq!(response.status(), 401, "{header:?}");
        assert_eq!(response.headers()["www-authenticate"], r#"Bearer realm="devmesh""#);
    }
    let twice = app.http.get(app.url("/version")).bearer_auth(&token).header("authorization", "Bearer x");
    assert_eq!(twice.send().await.unwrap().status(), 401);
    let in_the_address = app.http.get(app.url(&format!("/version?token={token}")));
    assert_eq!(in_the_address.send().await.unwrap().status(), 401);
}
