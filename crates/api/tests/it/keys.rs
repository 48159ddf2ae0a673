//! What a key may use: held before a call, settled after it, and told in each vendor's words.

use crate::{
    provider::MODEL,
    sse::SseStream,
    support::{TestApp, parsed, problem},
};
use domain::{ErrorCode, Scope};
use protocol::{CreatedToken, KeyAccount};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";

struct Key<'a> {
    app: &'a TestApp,
    key: CreatedToken,
}

impl<'a> Key<'a> {
    async fn with(app: &'a TestApp, policy: Value) -> Self {
        let key = Self { app, key: app.new_token(Scope::Model).await };
        key.put(policy).await;
        key
    }

    fn policy(&self, method: Method) -> RequestBuilder {
        self.app.request(method, &format!("/api/v1/tokens/{}/policy", self.key.token.id), Scope::Admin)
    }

    async fn put(&self, policy: Value) {
        let _: Value = parsed(self.policy(Method::PUT).json(&policy), StatusCode::OK).await;
    }

    async fn account(&self) -> KeyAccount {
        parsed(self.policy(Method::GET), StatusCode::OK).await
    }

    fn ask(&self, path: &str) -> RequestBuilder {
        let question = json!({"model": MODEL, "max_tokens": 16, "messages": [{"role": "user", "content": "hello"}]});
        self.app.http.post(self.app.url(path)).bearer_auth(&self.key.secret).json(&question)
    }

    /// The answer of a model that says hello: seven tokens in and three out.
    async fn answered(&self, path: &str) -> Response {
        let sent = tokio::spawn(self.ask(path).send());
        let asked = self.app.calls.next().await;
        asked.say("Hello.").await;
        asked.done().await;
        let response = sent.await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
        response
    }

    /// Without a model being asked.
    async fn refused(&self, path: &str, status: u16) -> (http::HeaderMap, Value) {
        let response = self.ask(path).send().await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        (response.headers().clone(), response.json().await.unwrap())
    }
}

fn text<'a>(headers: &'a http::HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_budget_is_held_while_a_call_runs_and_settled_when_it_is_over() {
    let app = TestApp::start().await;
    let key = Key::with(&app, json!({"budget_tokens": 45})).await;
    let sent = tokio::spawn(key.ask(CHAT).send());
    let asked = app.calls.next().await;
    let running = key.account().await;
    assert_eq!((running.running_requests, running.total.tokens), (1, 0));
    assert!((17..45).contains(&running.reserved_tokens), "the bound of its answer and its prompt: {running:?}");

    let (headers, body) = key.refused(CHAT, 429).await;
    assert_eq!(
        (&body["error"]["type"], &body["error"]["code"]),
        (&json!("insufficient_quota"), &json!("insufficient_quota"))
    );
    assert!(body["error"]["message"].as_str().unwrap().contains("45"), "{body}");
    // Waiting alone does not help.
    assert_eq!((text(&headers, "retry-after"), text(&headers, "x-should-retry")), (None, Some("false")));
    let (_, body) = key.refused(MESSAGES, 429).await;
    assert_eq!((&body["type"], &body["error"]["type"]), (&json!("error"), &json!("rate_limit_error")));

    asked.say("Hello.").await;
    asked.done().await;
    assert_eq!(sent.await.unwrap().unwrap().status(), 200);
    let settled = key.account().await;
    assert_eq!((settled.running_requests, settled.reserved_tokens), (0, 0));
    assert_eq!((settled.total.tokens, settled.total.requests), (10, 1));
    key.answered(CHAT).await;
    let (_, body) = key.refused(CHAT, 429).await;
    assert!(body["error"]["message"].as_str().unwrap().contains("20 tokens spent"), "{body}");
    key.put(json!({"budget_tokens": 1_000})).await;
    key.answered(CHAT).await;
    assert_eq!(key.account().await.total.tokens, 30, "what was used stays counted");
}

#[tokio::test]
async fn whose_limit_it_is_is_said_as_people_know_it() {
    let app = TestApp::start().await;
    for policy in [json!({"budget_tokens": 1}), json!({"tokens_per_minute": 1})] {
        let key = Key::with(&app, policy.clone()).await;
        let token = &key.key.token;
        for path in [CHAT, MESSAGES, "/api/chat"] {
            let (_, body) = key.refused(path, 429).await;
            let message = body.pointer("/error/message").unwrap_or(&body["error"]).as_str().unwrap();
            let who = format!("token `{}` ({})", token.name, token.id);
            assert!(message.contains(&who), "{policy} at {path}: {message}");
            assert!(!message.contains(&token.principal.to_string()), "{policy} at {path}: {message}");
        }
    }
}

#[tokio::test]
async fn rates_are_told_in_each_vendors_headers_and_refused_in_each_vendors_words() {
    let app = TestApp::start().await;
    let key = Key::with(&app, json!({"requests_per_minute": 2, "tokens_per_minute": 10_000})).await;
    let first = key.answered(CHAT).await.headers().clone();
    assert_eq!(text(&first, "x-ratelimit-limit-requests"), Some("2"), "{first:?}");
    assert_eq!(text(&first, "x-ratelimit-remaining-requests"), Some("1"));
    assert!(text(&first, "x-ratelimit-reset-requests").is_some_and(|reset| reset.ends_with('s')), "{first:?}");
    assert_eq!(text(&first, "x-ratelimit-limit-tokens"), Some("10000"));
    let second = key.answered(MESSAGES).await.headers().clone();
    assert_eq!(text(&second, "anthropic-ratelimit-requests-limit"), Some("2"), "{second:?}");
    assert_eq!(text(&second, "anthropic-ratelimit-requests-remaining"), Some("0"));
    assert!(text(&second, "anthropic-ratelimit-requests-reset").is_some_and(|reset| reset.ends_with('Z')));
    assert!(text(&second, "anthropic-ratelimit-tokens-remaining").is_some());

    for (path, kind, left) in [
        (CHAT, "rate_limit_error", "x-ratelimit-remaining-requests"),
        (MESSAGES, "rate_limit_error", "anthropic-ratelimit-requests-remaining"),
    ] {
        let (headers, body) = key.refused(path, 429).await;
        assert_eq!(text(&headers, left), Some("0"), "{path}: {headers:?}");
        assert_eq!(body["error"]["type"], kind, "{path}: {body}");
        let wait: u64 = text(&headers, "retry-after").unwrap().parse().unwrap();
        assert!((1..=30).contains(&wait), "{path}: {wait}");
        assert_eq!(text(&headers, "x-should-retry"), None, "{path}: it may come back");
    }
    let (headers, body) = key.refused("/ollama/api/chat", 429).await;
    assert!(body["error"].is_string() && headers.contains_key("retry-after"), "{body}");

    key.put(json!({"requests_per_minute": 1_000})).await;
    key.answered(CHAT).await;
}

#[tokio::test]
async fn a_change_of_policy_holds_from_the_next_call_on() {
    let app = TestApp::start().await;
    let key = Key::with(&app, json!({})).await;
    key.answered(CHAT).await;
    for (policy, status) in
        [(json!({"routes": ["fast"], "models": ["other/*"]}), 403), (json!({"tokens_per_minute": 5}), 429)]
    {
        key.put(policy.clone()).await;
        let (_, body) = key.refused(CHAT, status).await;
        assert!(body["error"]["message"].is_string(), "{policy}: {body}");
    }
    key.put(json!({"concurrent_requests": 1, "max_output_tokens": 8})).await;
    let sent = tokio::spawn(key.ask(CHAT).send());
    let asked = app.calls.next().await;
    assert_eq!(asked.request.conversation().unwrap().max_output_tokens, Some(8), "less than it asked for");
    key.refused(CHAT, 429).await;
    asked.say("Hello.").await;
    asked.done().await;
    assert_eq!(sent.await.unwrap().unwrap().status(), 200);
    key.answered(CHAT).await;
}

#[tokio::test]
async fn an_array_is_no_policy_and_changes_nothing() {
    let app = TestApp::start().await;
    let policy = json!({"egress": "local_only", "budget_tokens": 1_000, "routes": ["code"]});
    let key = Key::with(&app, policy).await;
    let before = key.account().await.policy;
    for (body, pointer) in [("[]", ""), (r#"[null,["cloud"],"allowed"]"#, "")] {
        let put = key.policy(Method::PUT).header("content-type", "application/json").body(body);
        let refused = problem(put).await;
        assert_eq!((refused.code, refused.errors[0].pointer.as_str()), (ErrorCode::InvalidRequest, pointer), "{body}");
    }
    assert_eq!(key.account().await.policy, before);
}

#[tokio::test]
async fn a_job_keeps_to_its_own_budget_and_its_account_ends_with_it() {
    let app = TestApp::start().await;
    let spec = json!({"kind": "ask", "task": "say something", "limits": {"tokens": 100}});
    let call = |job: domain::JobId, attempt: u32, most: u32| {
        let messages = json!([{"role": "user", "content": "hello"}]);
        let body = json!({"epoch": app.epoch(), "attempt": attempt, "call_id": "c1", "messages": messages, "max_output_tokens": most});
        app.post(&format!("/api/v1/leases/{job}/model-calls"), Scope::Agent, &body)
    };
    let answered = async |job, attempt| {
        let sent = tokio::spawn(call(job, attempt, 50).send());
        let asked = app.calls.next().await;
        asked.say("Hello.").await;
        asked.done().await;
        SseStream::new(sent.await.unwrap().unwrap()).rest().await
    };
    let spent = |job| app.router.books().accounts().job_spend(job);

    let first = app.leased(spec.clone()).await;
    assert_eq!(answered(first.job_id, first.attempt).await.last().unwrap().event, "finished");
    assert_eq!(spent(first.job_id).map(|spend| spend.tokens), Some(10));
    let refused = SseStream::new(call(first.job_id, first.attempt, 95).send().await.unwrap()).rest().await;
    assert_eq!((refused[0].event.as_str(), &refused[0].json()["code"]), ("failed", &json!("rate_limited")));

    let second = app.leased(spec.clone()).await;
    answered(second.job_id, second.attempt).await;
    assert!(spent(first.job_id).is_some(), "it runs");
    app.finish(&first).await;
    let third = app.leased(spec).await;
    answered(third.job_id, third.attempt).await;
    assert_eq!(spent(first.job_id), None, "it is over");
    assert!(spent(second.job_id).is_some() && spent(third.job_id).is_some());
}
