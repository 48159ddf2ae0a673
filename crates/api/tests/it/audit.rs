//! Who did what.

use crate::support::{TestApp, parsed};
use domain::{RequestId, Scope};
use protocol::{AuditEntry, AuditPage, AuditVerification, CreatedToken};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn entries(app: &TestApp, query: &str) -> Vec<AuditEntry> {
    let page: AuditPage = parsed(app.get(&format!("/api/v1/audit{query}"), Scope::Admin), StatusCode::OK).await;
    page.entries
}

async fn verified(app: &TestApp) -> AuditVerification {
    parsed(app.get("/api/v1/audit/verify", Scope::Admin), StatusCode::OK).await
}

#[tokio::test]
async fn every_command_leaves_an_entry_that_says_who_and_what() {
    let app = TestApp::start().await;
    let before = entries(&app, "").await.first().map_or(0, |entry| entry.seq);
    let token = app.new_token(Scope::Model).await.token;
    let of_token = format!("/api/v1/tokens/{}", token.id);
    let policy = app.request(Method::PUT, &format!("{of_token}/policy"), Scope::Admin);
    let _: Value = parsed(policy.json(&json!({"requests_per_minute": 5})), StatusCode::OK).await;
    assert_eq!(app.request(Method::DELETE, &of_token, Scope::Admin).send().await.unwrap().status(), 204);
    let job = app.create_job("x").await.id;
    let of_job = format!("/api/v1/jobs/{job}");
    let _: Value = parsed(app.post(&format!("{of_job}/cancel"), Scope::User, &json!({})), StatusCode::ACCEPTED).await;
    let again: Value =
        parsed(app.post(&format!("{of_job}/retry"), Scope::User, &json!({})), StatusCode::ACCEPTED).await;
    assert_eq!(app.request(Method::DELETE, &of_job, Scope::User).send().await.unwrap().status(), 204);
    assert!(app.get("/api/v1/backup", Scope::Admin).send().await.unwrap().bytes().await.is_ok());
    for (method, path) in [(Method::POST, "/ollama/api/pull"), (Method::DELETE, "/ollama/api/delete")] {
        let asked = app.request(method, path, Scope::Admin).json(&json!({"model": "nobody/nothing"}));
        asked.send().await.unwrap();
    }

    let mut told = entries(&app, "").await;
    told.retain(|entry| entry.seq > before);
    told.reverse();
    let told_objects: Vec<_> = told.iter().map(|entry| (entry.action.as_str(), entry.object.as_str())).collect();
    let named = format!("token:{} (model, {})", token.id, token.name);
    let (token_object, job, again) = (format!("token:{}", token.id), job.to_string(), again["id"].as_str().unwrap());
    assert_eq!(
        told_objects,
        [
            ("token.create", named.as_str()),
            ("key_policy.put", &token_object),
            ("token.delete", &named),
            ("job.create", &job),
            ("job.cancel", &job),
            ("job.retry", again),
            ("job.delete", &job),
            ("backup.read", "everything"),
            ("model.pull", "nobody/nothing"),
            ("model.delete", "nobody/nothing"),
        ]
    );
    assert!(told.windows(2).all(|pair| pair[1].previous == pair[0].hash && pair[1].seq == pair[0].seq + 1));
    let of_the_token: Vec<_> =
        entries(&app, &format!("?object={token_object}")).await.into_iter().map(|entry| entry.action).collect();
    assert_eq!(of_the_token, ["token.delete", "key_policy.put", "token.create"]);
    let admin = told[0].principal;
    let by_the_admin = entries(&app, &format!("?principal={admin}&action=backup.read")).await;
    assert_eq!(by_the_admin.len(), 1);
    assert!(entries(&app, "?action=nothing").await.is_empty());

    let verification = verified(&app).await;
    let last = told.last().unwrap();
    assert!(verification.intact, "{verification:?}");
    assert_eq!((verification.head_seq, verification.head_hash), (last.seq, last.hash));
}

#[tokio::test]
async fn an_entry_leads_to_its_request() {
    let app = TestApp::start().await;
    let asked = app.post("/api/v1/tokens", Scope::Admin, &json!({"name": "x", "scope": "viewer"}));
    let response = asked.send().await.unwrap();
    let request: RequestId = response.headers()["x-request-id"].to_str().unwrap().parse().unwrap();
    let made: CreatedToken = response.json().await.unwrap();
    let entry = entries(&app, &format!("?object=token:{}", made.token.id)).await.remove(0);
    assert_eq!(entry.request_id, request);
}

#[tokio::test]
async fn what_is_refused_leaves_no_entry() {
    let app = TestApp::start().await;
    let before = verified(&app).await.head_seq;
    for body in [json!({"name": "", "scope": "user"}), json!({"name": "x", "scope": "god"})] {
        let refused = app.post("/api/v1/tokens", Scope::Admin, &body).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    }
    assert_eq!(app.get("/api/v1/backup", Scope::User).send().await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(verified(&app).await.head_seq, before);
}
