use protocol::Role;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{Dialect, Gate, Script, ScriptedModel, ServedModel, Turn};

fn http() -> reqwest::Client {
    // The first to come installs it; the others find it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().tls_certs_only([]).no_proxy().build().unwrap()
}

async fn ask(model: &ScriptedModel, path: &str, body: Value) -> reqwest::Response {
    http().post(format!("{}{path}", model.base_url())).json(&body).send().await.unwrap()
}

fn question(text: &str) -> Value {
    json!({
        "model": "scripted:latest", "stream": true, "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": text}],
    })
}

fn events(body: &str) -> Vec<Value> {
    body.split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .filter_map(|data| serde_json::from_str(data).ok())
        .collect()
}

#[tokio::test]
async fn one_script_speaks_both_dialects() {
    let script = [Turn::text("Hello there").usage(5, 2), Turn::tool("shell", json!({"command": "ls"})).usage(9, 4)];
    let model = ScriptedModel::start(script).await;

    let body = ask(&model, "/v1/chat/completions", question("hi")).await.text().await.unwrap();
    let events = events(&body);
    let text: String = events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, "Hello there");
    assert_eq!(events.last().unwrap()["usage"]["prompt_tokens"], 5);
    assert!(body.ends_with("data: [DONE]\n\n"));

    let body = ask(&model, "/api/chat", question("look")).await.text().await.unwrap();
    let lines: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["message"]["tool_calls"][0]["function"]["arguments"]["command"], "ls");
    assert_eq!((&lines[1]["done"], &lines[1]["eval_count"]), (&json!(true), &json!(4)));

    let received = model.received();
    assert_eq!((received[0].dialect, received[1].dialect), (Dialect::OpenAi, Dialect::Ollama));
    assert_eq!(received[1].last("user"), "look");
    assert_eq!(received[1].messages[0].role, Role::User);
    assert_eq!(model.finished(), 2);
    assert!(model.violations().is_empty());
}

#[tokio::test]
async fn one_request_too_many_is_told() {
    let model = ScriptedModel::start([]).await;
    let answer = ask(&model, "/api/chat", question("hi")).await;
    assert_eq!(answer.status(), 500);
    assert_eq!(model.violations(), ["request 1: the script ends after 0 turns"]);
}

#[tokio::test]
async fn json_needs_a_schema_that_it_keeps() {
    let turns = [Turn::json(&json!({"ok": true})), Turn::json(&json!({"ok": "yes"})), Turn::json(&json!({}))];
    let model = ScriptedModel::start(turns).await;
    let mut with_schema = question("hi");
    with_schema["format"] = json!({"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]});
    assert_eq!(ask(&model, "/api/chat", with_schema.clone()).await.status(), 200);
    assert_eq!(ask(&model, "/api/chat", with_schema).await.status(), 500);
    assert_eq!(ask(&model, "/api/chat", question("hi")).await.status(), 500);
    assert_eq!(model.violations().len(), 2);
}

#[tokio::test]
async fn an_answer_waits_at_its_gate_and_a_client_that_leaves_is_noticed() {
    let (before, within) = (Gate::new(), Gate::new());
    let turns = [Turn::text("12345678 90").hold(&before).hold_after(1, &within), Turn::text("never").stall()];
    let model = ScriptedModel::start(turns).await;
    let asking = tokio::spawn(http().post(format!("{}/api/chat", model.base_url())).json(&question("hi")).send());
    before.reached().await;
    assert!(!asking.is_finished());
    before.open();
    let mut answer = asking.await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&answer.chunk().await.unwrap().unwrap()).contains("12345678"));
    within.reached().await;
    drop(answer);
    model.wait_abandoned(1).await;
    within.open();

    let mut stalled = ask(&model, "/api/chat", question("hi")).await;
    assert!(String::from_utf8_lossy(&stalled.chunk().await.unwrap().unwrap()).contains("never"));
    assert!(tokio::time::timeout(Duration::from_millis(50), stalled.chunk()).await.is_err());
    drop(stalled);
    model.wait_abandoned(2).await;
    assert_eq!(model.finished(), 0);
}

#[tokio::test]
async fn answers_can_depend_on_the_conversation() {
    let model = ScriptedModel::start(Script::each(|received| Turn::text(received.last("user").to_uppercase()))).await;
    for _ in 0..2 {
        let body = ask(&model, "/api/chat", question("again")).await.text().await.unwrap();
        assert!(body.contains("AGAIN"));
    }
    let model = ScriptedModel::start(Script::by_conversation([Turn::text("first"), Turn::text("second")])).await;
    let mut later = question("hi");
    later["messages"] = json!([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "first"}]);
    assert!(ask(&model, "/api/chat", later).await.text().await.unwrap().contains("second"));
    assert!(ask(&model, "/api/chat", question("hi")).await.text().await.unwrap().contains("first"));
}

#[tokio::test]
async fn it_lists_its_models_as_each_dialect_does() {
    let models = [
        ServedModel::new("small:1b").context_tokens(2048).capabilities(&["completion"]),
        ServedModel::new("far:cloud").remote("https://models.example.invalid"),
    ];
    let model = ScriptedModel::serve(models, []).await;
    let get = async |path: &str| -> Value {
        http().get(format!("{}{path}", model.base_url())).send().await.unwrap().json().await.unwrap()
    };
    assert_eq!(get("/v1/models").await["data"][1]["id"], "far:cloud");
    assert_eq!(get("/api/tags").await["models"][1]["remote_host"], "https://models.example.invalid");
    assert_eq!(get("/api/ps").await["models"], json!([]));
    let shown: Value = ask(&model, "/api/show", json!({"model": "small:1b"})).await.json().await.unwrap();
    assert_eq!(
        (&shown["model_info"]["llama.context_length"], &shown["capabilities"]),
        (&json!(2048), &json!(["completion"]))
    );
    assert_eq!(ask(&model, "/api/show", json!({"model": "absent"})).await.status(), 404);
    assert_eq!(model.paths(), ["/v1/models", "/api/tags", "/api/ps", "/api/show", "/api/show"]);
}
