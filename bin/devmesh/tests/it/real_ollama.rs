//! A real Ollama with a real model behind a mesh: what only the real server shows.
//!
//! Ollama comes from `cargo xtask test`, SmolLM2 from the mesh's own bill of materials, checked by its digest. Both are
//! made once and kept in the user's cache.

mod server;

use crate::{
    command::{Home, Up},
    sdks,
};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use server::Ollama;
use std::time::{Duration, Instant};
use testkit::{skipped_part, tool, users_cache};

const MODEL: &str = "ollama/smollm2:135m";
/// A small context, so that too long a prompt is soon there.
const CONTEXT_TOKENS: &str = "2048";
/// Loading a model again takes a few tenths of a second; asking a loaded one for its state takes less than this.
const RELOAD_NS: u64 = 150_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_real_ollama_serves_every_dialect() {
    let Some(stage) = Stage::set("a_real_ollama_serves_every_dialect", &[]).await else { return };
    let variables = [("GATEWAY_MODEL", MODEL)];
    if let Err(why) = tool("python-sdks") {
        skipped_part("the vendors' libraries against a real Ollama", &why);
        return;
    }
    for script in ["openai_sdk.py", "anthropic_sdk.py", "ollama_sdk.py"] {
        sdks::run(script, &stage.url, &stage.token, &variables).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn different_requests_do_not_load_the_model_again() {
    let Some(stage) = Stage::set("different_requests_do_not_load_the_model_again", &[]).await else { return };
    // Warm, then as different as requests get: another dialect's limits, a schema, another length.
    stage.chat(json!({"messages": user("Hi."), "max_tokens": 4})).await;
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
    let format = json!({"type": "json_schema", "json_schema": {"name": "person", "schema": schema}});
    stage.chat(json!({"messages": user("Name a person."), "max_tokens": 24, "response_format": format})).await;
    let native = json!({"model": MODEL, "messages": user("Bye."), "stream": false,
        "options": {"num_predict": 4, "temperature": 0.9, "num_ctx": 512}});
    let answer: Value = stage.post("/ollama/api/chat", &native).await.json().await.unwrap();
    let load_ns = answer["load_duration"].as_u64().unwrap_or_else(|| panic!("no load_duration: {answer}"));
    assert!(load_ns < RELOAD_NS, "the runner was loaded again: {load_ns} ns");
    assert_eq!(stage.ollama.runners_started(), 1, "{}", stage.ollama.log());
    assert_eq!(stage.ollama.loaded_context().await, CONTEXT_TOKENS.parse::<u64>().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_offered_to_a_model_without_them_are_refused_in_plain_words_or_used() {
    let test = "tools_offered_to_a_model_without_them_are_refused_in_plain_words_or_used";
    let Some(stage) = Stage::set(test, &[]).await else { return };
    let tool = json!({"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}});
    let body = json!({"model": MODEL, "messages": user("What time is it?"), "tools": [tool], "max_tokens": 16});
    let response = stage.post("/v1/chat/completions", &body).await;
    let status = response.status();
    let answer: Value = response.json().await.unwrap();
    match status {
        StatusCode::OK => assert!(answer["choices"][0]["message"].is_object(), "{answer}"),
        StatusCode::BAD_REQUEST => {
            assert!(answer["error"]["message"].as_str().is_some_and(|said| said.contains("tools")), "{answer}");
        }
        other => panic!("{other}: {answer}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_frees_the_model() {
    let Some(stage) = Stage::set("a_caller_who_leaves_frees_the_model", &[]).await else { return };
    stage.chat(json!({"messages": user("Hi."), "max_tokens": 4})).await;
    // Far more than is made while anybody waits.
    let endless = json!({"model": MODEL, "messages": user("Count as far as you can: one, two, three,"), "stream": true,
        "max_tokens": 1800, "temperature": 0});
    let mut left = stage.post("/v1/chat/completions", &endless).await;
    assert!(left.chunk().await.unwrap().is_some());
    drop(left);
    // One request at a time is all this Ollama serves, so an answer to the next one means that the first has ended.
    let asked = Instant::now();
    stage.chat(json!({"messages": user("Hi again."), "max_tokens": 2})).await;
    let waited = asked.elapsed();
    assert!(waited < Duration::from_secs(8), "the next answer took {waited:?}: the abandoned one went on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_that_does_not_fit_is_refused_and_never_cut() {
    let Some(stage) = Stage::set("a_prompt_that_does_not_fit_is_refused_and_never_cut", &[]).await else { return };
    let long = "word ".repeat(4_000);
    for stream in [false, true] {
        let body = json!({"model": MODEL, "messages": user(&long), "max_tokens": 4, "stream": stream});
        let response = stage.post("/v1/chat/completions", &body).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["error"]["code"], "context_length_exceeded", "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_ollama_lacks_is_answered_by_the_next_target() {
    let test = "a_model_that_ollama_lacks_is_answered_by_the_next_target";
    let route = ("DEVMESH_ROUTES__RESCUED__TARGETS", "ollama/never-pulled:7b,embedded/smollm2-135m-instruct");
    let Some(stage) = Stage::set(test, &[route]).await else { return };
    let body = json!({"model": "rescued", "messages": user("Hi."), "max_tokens": 4});
    let response = stage.post("/v1/chat/completions", &body).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["x-devmesh-provider"], "embedded");
    let answer: Value = response.json().await.unwrap();
    assert!(answer["choices"][0]["message"]["content"].as_str().is_some_and(|text| !text.is_empty()), "{answer}");
}

fn user(text: &str) -> Value {
    json!([{"role": "user", "content": text}])
}

/// A mesh before an Ollama that has the model.
struct Stage {
    ollama: Ollama,
    url: String,
    token: String,
    http: Client,
    _up: Up,
    _home: Home,
}

impl Stage {
    /// `None` when this machine lacks something, which is said.
    async fn set(test: &str, variables: &[(&str, &str)]) -> Option<Self> {
        let skipped = |why: &str| skipped_part(test, why);
        let program = match tool("ollama-0.24.0") {
            Ok(folder) => folder.join("ollama"),
            Err(why) => {
                skipped(&why);
                return None;
            }
        };
        let mut home = Home::new();
        home.set("DEVMESH_EMBEDDED__CACHE", users_cache().to_str().unwrap());
        home.set("DEVMESH_OLLAMA__CONTEXT_TOKENS", CONTEXT_TOKENS);
        for (name, value) in variables {
            home.set(name, value);
        }
        let pulled = home.run(&["models", "pull"]).await;
        if pulled.code != 0 {
            skipped(&pulled.stderr);
            return None;
        }
        let ollama = Ollama::start(&program, &home.path("ollama")).await;
        ollama.create("smollm2:135m", &server::weights()).await;
        home.set("OLLAMA_BASE_URL", &ollama.url);
        let up = Up::start(&home, &["--agents", "0"]).await;
        let url = up.ready["url"].as_str().unwrap().to_owned();
        let token = std::fs::read_to_string(home.data().join("admin-token")).unwrap().trim().to_owned();
        Some(Self { ollama, url, token, http: Client::new(), _up: up, _home: home })
    }

    async fn post(&self, path: &str, body: &Value) -> Response {
        let request = self.http.post(format!("{}{path}", self.url)).bearer_auth(&self.token).json(body);
        request.send().await.unwrap()
    }

    /// A chat that has to succeed.
    async fn chat(&self, mut body: Value) -> Value {
        body["model"] = json!(MODEL);
        let response = self.post("/v1/chat/completions", &body).await;
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    }
}
