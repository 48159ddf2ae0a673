//! Clients of OpenAI, Anthropic and Ollama, pointed at this server.

use crate::{
    provider::MODEL,
    support::{TestApp, options, parsed},
};
use domain::Scope;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

fn chat(app: &TestApp, scope: Scope, stream: bool) -> RequestBuilder {
    app.post("/v1/chat/completions", scope, &question(stream))
}

fn question(stream: bool) -> Value {
    json!({"model": MODEL, "stream": stream, "max_tokens": 16, "messages": [{"role": "user", "content": "hello"}]})
}

async fn refusal(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/json");
    (status, response.json().await.unwrap())
}

/// Whether the body is an error as the vendor of this path words it.
fn has_the_vendors_shape(path: &str, body: &Value) -> bool {
    if path.starts_with("/ollama/api/") || path.starts_with("/api/") {
        body["error"].is_string()
    } else if path.starts_with("/v1/messages") {
        body["type"] == "error" && body["error"]["message"].is_string()
    } else {
        body["error"]["message"].is_string() && body["error"]["type"].is_string()
    }
}

#[tokio::test]
async fn an_answer_comes_in_each_vendors_words_and_its_record_can_be_read_at_once() {
    let app = TestApp::start().await;
    for (path, text) in [
        ("/v1/chat/completions", "/choices/0/message/content"),
        ("/v1/messages", "/content/0/text"),
        ("/ollama/api/chat", "/message/content"),
        ("/api/chat", "/message/content"),
        ("/ollama/v1/chat/completions", "/choices/0/message/content"),
    ] {
        let request = tokio::spawn(app.post(path, Scope::Model, &question(false)).send());
        let asked = app.calls.next().await;
        asked.say("Hello.").await;
        asked.done().await;
        let response = request.await.unwrap().unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["x-devmesh-model"], "parrot");
        let id = response.headers()["x-devmesh-request-id"].to_str().unwrap().to_owned();
        assert_eq!(response.headers()["x-request-id"], id.as_str());
        let body: Value = response.json().await.unwrap();
        assert_eq!(body.pointer(text), Some(&json!("Hello.")), "{path}: {body}");

        let record = format!("/api/v1/model-calls/{id}");
        let told: Value = parsed(app.get(&record, Scope::Model), StatusCode::OK).await;
        assert_eq!((&told["state"], &told["provider"]), (&json!("succeeded"), &json!("scripted")));
        assert_eq!(told["tokens"]["output"], 3);
        assert_eq!(app.get(&record, Scope::User).send().await.unwrap().status(), 404, "not this user's");
        assert_eq!(app.get(&record, Scope::Viewer).send().await.unwrap().status(), 200);
    }
    let page: Value = parsed(app.get("/api/v1/model-calls?limit=2", Scope::Model), StatusCode::OK).await;
    assert_eq!(page["model_calls"].as_array().unwrap().len(), 2);
    let rest = format!("/api/v1/model-calls?limit=3&cursor={}", page["next_cursor"].as_str().unwrap());
    let rest: Value = parsed(app.get(&rest, Scope::Model), StatusCode::OK).await;
    assert_eq!(rest["model_calls"].as_array().unwrap().len(), 3);
    assert_eq!(rest.get("next_cursor"), None);
    let of_another: Value = parsed(app.get("/api/v1/model-calls", Scope::User), StatusCode::OK).await;
    assert_eq!(of_another["model_calls"], json!([]));
}

#[tokio::test]
async fn a_client_that_tries_a_websocket_for_responses_is_told_to_post() {
    let app = TestApp::start().await;
    for upgrades in [true, false] {
        let mut request = app.get("/v1/responses", Scope::Model);
        if upgrades {
            request = request
                .header("connection", "Upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-version", "13")
                .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        }
        let (status, body) = refusal(request).await;
        assert_eq!(status, 426);
        assert!(has_the_vendors_shape("/v1/responses", &body), "{body}");
        assert!(body["error"]["message"].as_str().unwrap().contains("POST"), "{body}");
    }
}

#[tokio::test]
async fn models_are_listed_in_the_shape_the_client_reads() {
    let app = TestApp::start().await;
    let openai: Value = parsed(app.get("/v1/models", Scope::Model), StatusCode::OK).await;
    assert_eq!(openai["object"], "list");
    let anthropic = app.get("/v1/models", Scope::Model).header("anthropic-version", "2023-06-01");
    let anthropic: Value = parsed(anthropic, StatusCode::OK).await;
    assert_eq!(anthropic["data"][0]["type"], "model");
    for place in ["/ollama", ""] {
        let tags: Value = parsed(app.get(&format!("{place}/api/tags"), Scope::Model), StatusCode::OK).await;
        assert!(tags["models"].is_array());
        let version: Value = parsed(app.get(&format!("{place}/api/version"), Scope::Model), StatusCode::OK).await;
        assert!(version["version"].is_string());
    }
}

#[tokio::test]
async fn every_listed_model_is_there_by_itself() {
    let app = TestApp::start().await;
    for place in ["/v1/models", "/ollama/v1/models"] {
        let list: Value = parsed(app.get(place, Scope::Model), StatusCode::OK).await;
        let listed = list["data"].as_array().unwrap();
        assert!(listed.iter().any(|model| model["id"].as_str().unwrap().contains('/')), "{list}");
        for model in listed {
            let id = model["id"].as_str().unwrap();
            for id in [id.to_owned(), id.replace('/', "%2F").replace(':', "%3A").replace('@', "%40")] {
                let one: Value = parsed(app.get(&format!("{place}/{id}"), Scope::Model), StatusCode::OK).await;
                assert_eq!(&one, model, "{place}/{id}");
            }
        }
    }
    let anthropic = app.get(&format!("/v1/models/{MODEL}"), Scope::Model).header("anthropic-version", "2023-06-01");
    let anthropic: Value = parsed(anthropic, StatusCode::OK).await;
    assert_eq!((&anthropic["type"], &anthropic["id"]), (&json!("model"), &json!(MODEL)));
    let (status, body) = refusal(app.get("/v1/models/a/b:c@d", Scope::Model)).await;
    assert_eq!((status, has_the_vendors_shape("/v1/models", &body)), (404, true), "{body}");
    assert!(body["error"]["message"].as_str().unwrap().contains("`a/b:c@d`"), "{body}");
}

#[tokio::test]
async fn a_client_of_ollama_finds_one_at_the_root_and_a_browser_the_documentation() {
    let app = TestApp::start().await;
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    for (method, accept, status, text) in [
        (Method::GET, None, 200, "Ollama is running"),
        (Method::GET, Some("*/*"), 200, "Ollama is running"),
        (Method::HEAD, Some("application/json"), 200, ""),
        (Method::GET, Some("text/html,application/xhtml+xml,*/*;q=0.8"), 303, ""),
    ] {
        for path in ["/", "/ollama/"] {
            let mut request = http.request(method.clone(), app.url(path));
            if let Some(accept) = accept {
                request = request.header("accept", accept);
            }
            let response = request.send().await.unwrap();
            assert_eq!(response.status().as_u16(), status, "{method} {path} {accept:?}");
            let to = response.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
            assert_eq!(to.as_deref(), (status == 303).then_some("/api/docs/"));
            assert_eq!(response.text().await.unwrap(), text);
        }
    }
}

fn zipped(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, body).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn packed_questions_are_read_within_the_limit_on_what_comes_out() {
    let mut options = options();
    options.limits.model_call_bytes = 100_000;
    let app = TestApp::with(options).await;
    let asked = question(false).to_string();
    let bomb = format!("{{\"model\":\"{MODEL}\",\"x\":\"{}\"}}", " ".repeat(10_000_000));
    for path in ["/v1/chat/completions", "/v1/messages", "/ollama/api/chat", "/ollama/v1/chat/completions"] {
        let post = |encoding: &str, body: Vec<u8>| {
            app.request(Method::POST, path, Scope::Model).header("content-encoding", encoding).body(body)
        };
        for (encoding, body) in [("gzip", zipped(asked.as_bytes())), ("identity", asked.clone().into_bytes())] {
            let request = tokio::spawn(post(encoding, body).send());
            let call = app.calls.next().await;
            call.say("Hello.").await;
            call.done().await;
            assert_eq!(request.await.unwrap().unwrap().status(), 200, "{encoding} to {path}");
        }
        for (encoding, body, expected, word) in [
            ("gzip", zipped(bomb.as_bytes()), 413, "100000"),
            ("gzip", asked.clone().into_bytes(), 400, "gzip"),
            ("br", asked.clone().into_bytes(), 415, "`br`"),
            ("gzip, gzip", zipped(&zipped(asked.as_bytes())), 415, "gzip"),
        ] {
            let (status, body) = refusal(post(encoding, body)).await;
            assert_eq!(status, expected, "{encoding} to {path}: {body}");
            assert!(has_the_vendors_shape(path, &body) && body.to_string().contains(word), "{path}: {body}");
        }
    }
}

#[tokio::test]
async fn refusals_have_the_vendors_shape_on_every_path() {
    let mut options = options();
    options.limits.model_call_bytes = 1_000;
    options.rates.failed_authentications_per_minute = 4;
    let app = TestApp::with(options).await;
    for path in ["/v1/chat/completions", "/v1/messages", "/ollama/api/chat", "/ollama/v1/chat/completions"] {
        let wrong_scope = app.post(path, Scope::Viewer, &question(false));
        let agent = app.post(path, Scope::Agent, &question(false));
        let no_json = app.request(Method::POST, path, Scope::Model).body("{");
        let long = app.request(Method::POST, path, Scope::Model).body("x".repeat(1_001));
        let wrong_method = app.request(Method::PUT, path, Scope::Model);
        let no_route = app.get(&format!("{path}/nowhere"), Scope::Model);
        let anonymous = app.http.post(app.url(path)).json(&question(false));
        for (request, expected) in [
            (wrong_scope, 403),
            (agent, 403),
            (no_json, 400),
            (long, 413),
            (wrong_method, 405),
            (no_route, 404),
            (anonymous, 401),
        ] {
            let (status, body) = refusal(request).await;
            assert_eq!(status, expected, "{path}: {body}");
            assert!(has_the_vendors_shape(path, &body), "{path} {status}: {body}");
        }
    }
    let (status, body) = refusal(app.http.post(app.url("/v1/messages")).json(&question(false))).await;
    assert_eq!((status, &body["error"]["type"]), (429, &json!("rate_limit_error")));
}

#[tokio::test]
async fn a_key_is_read_from_where_anthropics_clients_put_it_and_authorization_wins() {
    let app = TestApp::start().await;
    let list = || app.http.get(app.url("/v1/models"));
    let key = app.token(Scope::Model);
    assert_eq!(list().header("x-api-key", key).send().await.unwrap().status(), 200);
    assert_eq!(list().header("x-api-key", "wrong").bearer_auth(key).send().await.unwrap().status(), 200);
    assert_eq!(list().header("x-api-key", key).bearer_auth("wrong").send().await.unwrap().status(), 401);
    let elsewhere = app.http.get(app.url("/version")).header("x-api-key", app.token(Scope::Admin));
    assert_eq!(elsewhere.send().await.unwrap().status(), 401, "only for calls of models");
}

#[tokio::test]
async fn model_calls_are_not_counted_by_the_limit_on_requests() {
    let mut options = options();
    options.rates.token = api::Rate::new(1, 10);
    let app = TestApp::with(options).await;
    for _ in 0..30 {
        assert_eq!(app.get("/v1/models", Scope::Model).send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_client_that_goes_away_stops_the_model_streaming_or_not() {
    let app = TestApp::start().await;
    for stream in [true, false] {
        let request = tokio::spawn(chat(&app, Scope::Model, stream).send());
        let asked = app.calls.next().await;
        asked.say("On and on").await;
        if stream {
            let response = request.await.unwrap().unwrap();
            drop(response);
        } else {
            request.abort();
        }
        tokio::time::timeout(testkit::DEADLINE, asked.stopped()).await.expect("the model is stopped");
    }
}

#[tokio::test]
async fn revoking_the_key_ends_its_stream() {
    let app = TestApp::start().await;
    let key = app.new_token(Scope::Model).await;
    let request = app.http.post(app.url("/v1/chat/completions")).bearer_auth(&key.secret).json(&question(true));
    let request = tokio::spawn(request.send());
    let asked = app.calls.next().await;
    asked.say("On and on").await;
    let response = request.await.unwrap().unwrap();
    let path = format!("/api/v1/tokens/{}", key.token.id);
    assert_eq!(app.request(Method::DELETE, &path, Scope::Admin).send().await.unwrap().status(), 204);
    asked.stopped().await;
    // Its client must not take what came for a whole answer.
    let told = response.text().await.unwrap();
    assert!(told.contains("revoked") && !told.contains("\"finish_reason\":\"stop\""), "{told}");
}

#[tokio::test]
async fn a_policy_names_its_mistakes_survives_a_restart_and_goes_with_its_token() {
    let app = TestApp::start().await;
    let key = app.new_token(Scope::Model).await.token;
    let path = format!("/api/v1/tokens/{}/policy", key.id);
    let put = |body: Value| app.request(Method::PUT, &path, Scope::Admin).json(&body);
    assert_eq!(put(json!({"requests_per_minute": 0})).send().await.unwrap().status(), 400);
    let _: Value = parsed(put(json!({"requests_per_minute": 5})), StatusCode::OK).await;
    let folder = app.folder().to_owned();
    let directory = app.stop().await;

    let app = TestApp::on(folder, options()).await;
    let account: Value = parsed(app.get(&path, Scope::Admin), StatusCode::OK).await;
    assert_eq!(account["policy"]["requests_per_minute"], 5);
    let token = format!("/api/v1/tokens/{}", key.id);
    assert_eq!(app.request(Method::DELETE, &token, Scope::Admin).send().await.unwrap().status(), 204);
    assert!(matches!(app.store.key_policy(key.principal).await, Ok(None)), "the policy went with its token");
    app.stop().await;
    drop(directory);
}

#[tokio::test]
async fn pages_of_allowed_origins_may_say_and_read_what_concerns_models() {
    let app = TestApp::start().await;
    let origin = "http://localhost:3000";
    let preflight = app
        .http
        .request(Method::OPTIONS, app.url("/v1/chat/completions"))
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "x-devmesh-route,x-devmesh-deadline-ms,x-api-key");
    let preflight = preflight.send().await.unwrap();
    let allowed = preflight.headers()["access-control-allow-headers"].to_str().unwrap();
    for name in ["x-devmesh-route", "x-devmesh-deadline-ms", "x-api-key"] {
        assert!(allowed.contains(name), "{allowed}");
    }
    let answer = app.get("/v1/models", Scope::Model).header("origin", origin).send().await.unwrap();
    let exposed = answer.headers()["access-control-expose-headers"].to_str().unwrap();
    for name in ["x-devmesh-request-id", "x-devmesh-model", "x-ratelimit-remaining-requests", "retry-after"] {
        assert!(exposed.contains(name), "{exposed}");
    }
    let foreign = app.get("/v1/models", Scope::Model).header("origin", "http://evil.example");
    assert_eq!(refusal(foreign).await.0, 403);
}

#[tokio::test]
async fn routes_explain_themselves_and_the_ledger_is_sound() {
    let app = TestApp::start().await;
    let told: Value =
        parsed(app.post("/api/v1/routes/default/explain", Scope::Model, &json!({})), StatusCode::OK).await;
    assert_eq!(told["targets"][0]["target"], MODEL, "{told}");
    let page: Value = parsed(app.get("/api/v1/egress", Scope::Admin), StatusCode::OK).await;
    assert_eq!(page["entries"], json!([]), "nothing left the machine");
    let sound: Value = parsed(app.get("/api/v1/egress/verify", Scope::Admin), StatusCode::OK).await;
    assert_eq!((&sound["intact"], &sound["entries"]), (&json!(true), &json!(0)));
}

#[tokio::test]
async fn a_target_that_keeps_failing_shows_as_left_alone_with_the_time_until_it_is_probed() {
    let app = TestApp::start().await;
    let target = async || -> Value {
        let targets: Value = parsed(app.get("/api/v1/targets", Scope::Viewer), StatusCode::OK).await;
        targets["targets"][0].clone()
    };
    assert_eq!(target().await, Value::Null, "nobody was asked yet");
    let ask = async || {
        let request = app.request(Method::POST, "/v1/chat/completions", Scope::Model).json(&question(true));
        let asking = async { request.send().await.unwrap().text().await.unwrap() };
        tokio::pin!(asking);
        loop {
            tokio::select! {
                answer = &mut asking => return answer,
                asked = app.calls.next() => asked.cut(),
            }
        }
    };
    for _ in 0..5 {
        ask().await;
    }
    let failing = target().await;
    assert_eq!(
        (&failing["target"], &failing["breaker"], &failing["times_opened"]),
        (&json!(MODEL), &json!("open"), &json!(1))
    );
    assert!((1..=60_000).contains(&failing["probed_in_ms"].as_u64().unwrap()), "{failing}");
}
