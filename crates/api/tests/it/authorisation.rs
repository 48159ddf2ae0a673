//! Which scope may do what, for every route there is.
//!
//! A new route fails `every_route_stands_in_the_table` until it has a row here.

use crate::support::{TestApp, options};
use domain::{JobId, Scope};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Who may: `none` is a request without any token.
struct Row {
    method: &'static str,
    path: &'static str,
    allowed: &'static [Scope],
    anonymous: bool,
}

const fn row(method: &'static str, path: &'static str, allowed: &'static [Scope]) -> Row {
    Row { method, path, allowed, anonymous: false }
}

const READS: &[Scope] = &[Scope::Viewer, Scope::User, Scope::Admin];
const COMMANDS: &[Scope] = &[Scope::User, Scope::Admin];
const ADMIN: &[Scope] = &[Scope::Admin];
const AGENT: &[Scope] = &[Scope::Agent];
/// What an agent needs to go on with a job it leased.
const READS_AND_AGENTS: &[Scope] = &[Scope::Viewer, Scope::User, Scope::Admin, Scope::Agent];
const ANYONE: &[Scope] = &[Scope::Viewer, Scope::User, Scope::Admin, Scope::Agent, Scope::Model];
const MODEL_CALLS: &[Scope] = &[Scope::Model, Scope::User, Scope::Admin];
const MODEL_READS: &[Scope] = &[Scope::Model, Scope::Viewer, Scope::User, Scope::Admin];

const TABLE: &[Row] = &[
    Row { method: "get", path: "/", allowed: ANYONE, anonymous: true },
    Row { method: "get", path: "/ollama/", allowed: ANYONE, anonymous: true },
    Row { method: "get", path: "/healthz", allowed: ANYONE, anonymous: true },
    Row { method: "get", path: "/readyz", allowed: ANYONE, anonymous: true },
    row("get", "/version", READS),
    row("get", "/api/openapi.json", ANYONE),
    row("get", "/api/docs", ANYONE),
    row("get", "/api/docs/", ANYONE),
    row("get", "/api/docs/{file}", ANYONE),
    row("get", "/api/errors/{code}", ANYONE),
    row("post", "/api/v1/jobs", COMMANDS),
    row("get", "/api/v1/jobs", READS),
    row("get", "/api/v1/jobs/{id}", READS),
    row("delete", "/api/v1/jobs/{id}", COMMANDS),
    row("post", "/api/v1/jobs/known", AGENT),
    row("post", "/api/v1/jobs/{id}/cancel", COMMANDS),
    row("post", "/api/v1/jobs/{id}/retry", COMMANDS),
    row("get", "/api/v1/jobs/{id}/events", READS_AND_AGENTS),
    row("get", "/api/v1/jobs/{id}/verify", READS),
    row("get", "/api/v1/jobs/{id}/artifacts", READS_AND_AGENTS),
    row("get", "/api/v1/jobs/{id}/artifacts/{name}", READS_AND_AGENTS),
    row("get", "/api/v1/approvals", READS),
    row("post", "/api/v1/approvals/{id}/decision", COMMANDS),
    row("get", "/api/v1/models", READS),
    row("get", "/api/v1/routes/{name}", &[Scope::Viewer, Scope::User, Scope::Admin, Scope::Agent]),
    row("post", "/api/v1/routes/{name}/explain", MODEL_READS),
    row("get", "/api/v1/targets", READS),
    row("get", "/api/v1/models/{id}/profile", READS),
    row("put", "/api/v1/models/{id}/profile", ADMIN),
    row("delete", "/api/v1/models/{id}/profile", ADMIN),
    row("get", "/api/v1/model-calls", MODEL_READS),
    row("post", "/api/v1/model-calls", MODEL_CALLS),
    row("get", "/api/v1/model-calls/{id}", MODEL_READS),
    row("get", "/api/v1/egress", ADMIN),
    row("get", "/api/v1/egress/verify", ADMIN),
    row("get", "/api/v1/audit", ADMIN),
    row("get", "/api/v1/audit/verify", ADMIN),
    row("get", "/api/v1/tokens/{id}/policy", ADMIN),
    row("put", "/api/v1/tokens/{id}/policy", ADMIN),
    row("post", "/v1/chat/completions", MODEL_CALLS),
    row("post", "/v1/completions", MODEL_CALLS),
    row("post", "/v1/responses", MODEL_CALLS),
    row("get", "/v1/responses", MODEL_CALLS),
    row("post", "/v1/embeddings", MODEL_CALLS),
    row("get", "/v1/models", MODEL_READS),
    row("get", "/v1/models/{id}", MODEL_READS),
    row("post", "/ollama/v1/chat/completions", MODEL_CALLS),
    row("post", "/ollama/v1/completions", MODEL_CALLS),
    row("post", "/ollama/v1/responses", MODEL_CALLS),
    row("get", "/ollama/v1/responses", MODEL_CALLS),
    row("post", "/ollama/v1/embeddings", MODEL_CALLS),
    row("get", "/ollama/v1/models", MODEL_READS),
    row("get", "/ollama/v1/models/{id}", MODEL_READS),
    row("post", "/v1/messages", MODEL_CALLS),
    row("post", "/v1/messages/count_tokens", MODEL_CALLS),
    row("post", "/ollama/api/chat", MODEL_CALLS),
    row("post", "/ollama/api/generate", MODEL_CALLS),
    row("post", "/ollama/api/embed", MODEL_CALLS),
    row("post", "/ollama/api/embeddings", MODEL_CALLS),
    row("get", "/ollama/api/tags", MODEL_READS),
    row("get", "/ollama/api/ps", MODEL_READS),
    row("post", "/ollama/api/show", MODEL_READS),
    row("get", "/ollama/api/version", MODEL_READS),
    row("post", "/api/chat", MODEL_CALLS),
    row("post", "/api/generate", MODEL_CALLS),
    row("post", "/api/embed", MODEL_CALLS),
    row("post", "/api/embeddings", MODEL_CALLS),
    row("get", "/api/tags", MODEL_READS),
    row("get", "/api/ps", MODEL_READS),
    row("post", "/api/show", MODEL_READS),
    row("get", "/api/version", MODEL_READS),
    row("post", "/ollama/api/pull", ADMIN),
    row("delete", "/ollama/api/delete", ADMIN),
    row("get", "/providers/{provider}/{path}", MODEL_CALLS),
    row("post", "/providers/{provider}/{path}", MODEL_CALLS),
    row("delete", "/providers/{provider}/{path}", MODEL_CALLS),
    row("get", "/api/v1/tokens", ADMIN),
    row("post", "/api/v1/tokens", ADMIN),
    row("delete", "/api/v1/tokens/{id}", ADMIN),
    row("get", "/api/v1/backup", ADMIN),
    row("get", "/api/v1/content/check", ADMIN),
    row("post", "/api/v1/websocket-tickets", READS),
    // Opened by a ticket alone: no token lets anybody in.
    row("get", "/api/v1/ws", &[]),
    row("post", "/api/v1/leases", AGENT),
    row("post", "/api/v1/leases/{job_id}/heartbeat", AGENT),
    row("post", "/api/v1/leases/{job_id}/events", AGENT),
    row("post", "/api/v1/leases/{job_id}/approvals", AGENT),
    row("post", "/api/v1/leases/{job_id}/model-calls", AGENT),
    row("post", "/api/v1/leases/{job_id}/finish", AGENT),
    row("post", "/api/v1/leases/{job_id}/release", AGENT),
    row("put", "/api/v1/leases/{job_id}/artifacts/{name}", AGENT),
];

impl Row {
    /// A request as this route expects it, about things that do not exist: nobody changes anything, and whoever is let
    /// in hears that there is no such thing.
    fn address(&self) -> String {
        let path = self
            .path
            .replace("{id}", "019a2b3c-0000-7000-8000-000000000001")
            .replace("{job_id}", "019a2b3c-0000-7000-8000-000000000001")
            .replace("{name}", "nothing")
            .replace("{file}", "swagger-ui.css")
            .replace("{code}", "not_found")
            .replace("{provider}", "nobody")
            .replace("{path}", "audio/speech");
        if self.path.ends_with("/artifacts/{name}") && self.method == "put" {
            path + "?epoch=00000000&attempt=1"
        } else {
            path
        }
    }

    fn body(&self) -> Option<Value> {
        let usage = json!({"epoch": "00000000", "attempt": 1, "call_id": "1", "tool": "run", "arguments": {}});
        let is_ours = self.path.starts_with("/api/v1/");
        let of_vendors = ["/v1/", "/ollama/", "/api/", "/providers/"];
        if self.method == "post" && !is_ours && of_vendors.iter().any(|start| self.path.starts_with(start)) {
            return Some(
                json!({"model": "nobody/nothing", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}),
            );
        }
        Some(match self.path {
            "/api/v1/jobs" if self.method == "post" => json!({"kind": "ask", "task": "x"}),
            "/api/v1/jobs/known" => json!({"job_ids": []}),
            "/api/v1/tokens" if self.method == "post" => json!({"name": "x", "scope": "viewer"}),
            "/api/v1/tokens/{id}/policy" if self.method == "put" => json!({"requests_per_minute": 1}),
            "/api/v1/routes/{name}/explain" => json!({}),
            "/api/v1/models/{id}/profile" if self.method == "put" => crate::profiles::put(None),
            "/api/v1/model-calls" if self.method == "post" => json!({"route": "nothing", "messages": []}),
            "/ollama/api/delete" => json!({"model": "nobody/nothing"}),
            "/api/v1/approvals/{id}/decision" => json!({"decision": "approved", "arguments_sha256": "0".repeat(64)}),
            "/api/v1/leases" => json!({"worker_id": "019a2b3c-0000-7000-8000-000000000002", "worker_name": "x"}),
            "/api/v1/leases/{job_id}/heartbeat" => json!({"epoch": "00000000", "attempt": 1}),
            "/api/v1/leases/{job_id}/events" => {
                json!({"epoch": "00000000", "attempt": 1, "producer_seq": 1, "events": [{"type": "agent.note", "payload": {"message": "x"}}]})
            }
            "/api/v1/leases/{job_id}/approvals" => usage,
            "/api/v1/leases/{job_id}/model-calls" => {
                json!({"epoch": "00000000", "attempt": 1, "call_id": "1", "messages": []})
            }
            "/api/v1/leases/{job_id}/finish" => {
                json!({"epoch": "00000000", "attempt": 1, "outcome": {"state": "cancelled"}})
            }
            "/api/v1/leases/{job_id}/release" => {
                json!({"epoch": "00000000", "attempt": 1, "message": "x", "failed": false})
            }
            _ => return None,
        })
    }
}

#[tokio::test]
async fn every_route_lets_in_exactly_the_scopes_of_the_table() {
    let mut options = options();
    options.rates.failed_authentications_per_minute = 10_000;
    let app = TestApp::with(options).await;
    for row in TABLE {
        let method: Method = row.method.to_uppercase().parse().unwrap();
        for scope in [None].into_iter().chain(Scope::ALL.iter().copied().map(Some)) {
            let mut request = match scope {
                Some(scope) => app.request(method.clone(), &row.address(), scope),
                None => app.http.request(method.clone(), app.url(&row.address())),
            };
            if let Some(body) = row.body() {
                request = request.json(&body);
            }
            let response = request.send().await.unwrap();
            let (status, expected) =
                (response.status(), scope.map_or(row.anonymous, |scope| row.allowed.contains(&scope)));
            let allowed = !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
            assert_eq!(allowed, expected, "{} {} as {scope:?}: {status}", row.method, row.path);
            assert!(!status.is_server_error(), "{} {} as {scope:?}: {status}", row.method, row.path);
            if scope.is_none() && !row.anonymous {
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{} {}", row.method, row.path);
            }
        }
    }
}

#[test]
fn every_route_stands_in_the_table() {
    let document: Value = serde_json::from_str(&api::openapi_json()).unwrap();
    let mut routes = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            routes.insert((method.clone(), path.clone()));
            let Some(row) = TABLE.iter().find(|row| row.method == method && row.path == path) else {
                panic!("{method} {path} has no row in the authorisation table of crates/api/tests/it/authorisation.rs");
            };
            let documented: BTreeSet<Scope> = operation["security"][0]["bearer"]
                .as_array()
                .map(|scopes| scopes.iter().map(|scope| scope.as_str().unwrap().parse().unwrap()).collect())
                .unwrap_or_default();
            let tested: BTreeSet<Scope> =
                if row.anonymous { BTreeSet::new() } else { row.allowed.iter().copied().collect() };
            assert_eq!(documented, tested, "{method} {path}: the document and the table disagree");
        }
    }
    for row in TABLE {
        assert!(routes.contains(&(row.method.into(), row.path.into())), "{} {} is no route", row.method, row.path);
    }
}

#[tokio::test]
async fn a_user_sees_its_own_jobs_only_and_an_agent_only_what_it_leased() {
    let app = TestApp::start().await;
    let lease = app.leased_job().await;
    let job = lease.job_id;
    let status = async |secret: &str, path: String| {
        app.http.get(app.url(&path)).bearer_auth(secret).send().await.unwrap().status()
    };
    let stranger = app.new_token(Scope::User).await.secret;
    let other_agent = app.new_token(Scope::Agent).await.secret;
    for suffix in ["/events", "/artifacts"] {
        let path = format!("/api/v1/jobs/{job}{suffix}");
        assert_eq!(status(&stranger, path.clone()).await, 404, "{suffix}");
        assert_eq!(status(&other_agent, path.clone()).await, 404, "{suffix}");
        for scope in [Scope::Agent, Scope::User, Scope::Viewer, Scope::Admin] {
            assert_eq!(status(app.token(scope), path.clone()).await, 200, "{suffix} as {scope}");
        }
    }
    assert_eq!(status(&stranger, format!("/api/v1/jobs/{job}")).await, 404);
    let page: Value =
        app.http.get(app.url("/api/v1/jobs")).bearer_auth(&stranger).send().await.unwrap().json().await.unwrap();
    assert_eq!(page["jobs"], json!([]));

    app.finish(&lease).await;
    let path = format!("/api/v1/jobs/{job}/events");
    assert_eq!(status(app.token(Scope::Agent), path).await, 404, "the attempt is over");
}

#[tokio::test]
async fn another_agent_cannot_write_for_an_attempt() {
    let app = TestApp::start().await;
    let lease = app.leased_job().await;
    let other = app.new_token(Scope::Agent).await.secret;
    for row in TABLE.iter().filter(|row| row.path.starts_with("/api/v1/leases/")) {
        let path = row.address().replace("019a2b3c-0000-7000-8000-000000000001", &lease.job_id.to_string());
        let mut request =
            app.http.request(row.method.to_uppercase().parse().unwrap(), app.url(&path)).bearer_auth(&other);
        if let Some(body) = row.body() {
            request = request.json(&body);
        }
        let status = request.send().await.unwrap().status();
        assert!(status == 404 || status == 409, "{} {}: {status}", row.method, row.path);
    }
    assert_eq!(app.log(lease.job_id).await.events.len(), 2, "created and leased, nothing of the other agent's");
    let job: JobId = lease.job_id;
    let page = app
        .http
        .get(app.url(&format!("/api/v1/jobs/{job}")))
        .bearer_auth(app.token(Scope::Admin))
        .send()
        .await
        .unwrap();
    assert_eq!(page.json::<Value>().await.unwrap()["state"], "running");
}
