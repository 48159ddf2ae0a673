use bytes::Bytes;
use futures_util::StreamExt;
use http::HeaderMap;
use protocol::Location;
use router::{
    Error, Event, Frame,
    dialect::{Asked, Dialect},
    providers::{
        ChatRequest, Edits, EmbedRequest, Patience, Provider, Refusals,
        ollama::{Ollama, Options},
    },
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use testkit::{ScriptedModel, ServedModel, Turn};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const PATIENCE: Patience = Patience { headers: Duration::from_secs(10) };

fn ollama(base_url: &str) -> Ollama {
    Ollama::new(Options { base_url: base_url.to_owned(), ..Options::default() }).unwrap()
}

fn request(dialect: Dialect, model: &str, body: &Value) -> ChatRequest {
    let asked = Asked::new(dialect, Bytes::from(body.to_string()), HeaderMap::new()).unwrap();
    ChatRequest {
        model: model.to_owned(),
        asked: Arc::new(asked),
        changed: None,
        edits: Edits::default(),
        stream: false,
        checkpoint: None,
        patience: PATIENCE,
        trace: None,
        refusals: Refusals::default(),
    }
}

fn hello() -> Value {
    json!({"model": "fast", "messages": [{"role": "user", "content": "Hello?"}], "options": {"num_ctx": 999, "top_k": 5}})
}

async fn frames(ollama: &Ollama, request: ChatRequest) -> Vec<Frame> {
    let answer = ollama.chat(request).await.unwrap();
    answer.map(Result::unwrap).collect().await
}

#[tokio::test]
async fn a_callers_own_bytes_and_a_translation_ask_for_the_same_context() {
    let server = ScriptedModel::serve(
        [ServedModel::new("scripted:latest").context_tokens(10_000)],
        [Turn::text("One."), Turn::text("Two.")],
    )
    .await;
    let ollama = ollama(&server.base_url());
    let own = frames(&ollama, request(Dialect::OllamaChat, "scripted", &hello())).await;
    let raw = own.iter().all(|frame| frame.raw.as_ref().is_some_and(|raw| raw.ends_with(b"\n")));
    assert!(raw, "{own:?}");
    let mut translated = request(Dialect::OllamaChat, "scripted:latest", &hello());
    translated.changed = Some(Arc::new(translated.asked.conversation().unwrap().clone()));
    let answer = frames(&ollama, translated).await;
    assert!(matches!(answer.last().unwrap().events.last(), Some(Event::Finished(_))), "{answer:?}");
    for received in server.received() {
        let body = &received.body;
        assert_eq!((&body["options"]["num_ctx"], &body["options"]["top_k"]), (&json!(10_000), &json!(5)));
        assert_eq!((&body["truncate"], &body["shift"], &body["stream"]), (&json!(false), &json!(false), &json!(true)));
        assert_eq!(body["keep_alive"], "1800s");
    }
    assert!(server.violations().is_empty());
}

#[tokio::test]
async fn a_model_in_the_cloud_gets_nothing_without_a_checkpoint() {
    let models =
        [ServedModel::new("here:latest"), ServedModel::new("there:latest").remote("https://elsewhere.invalid")];
    let server = ScriptedModel::serve(models, []).await;
    let ollama = ollama(&server.base_url());
    for model in ["gpt-oss:120b-cloud", "glm:cloud ", "there"] {
        let refused = ollama.chat(request(Dialect::OllamaChat, model, &hello())).await.err();
        assert!(matches!(refused, Some(Error::EgressRefused { .. })), "{model}: {refused:?}");
    }
    assert_eq!(server.paths(), ["/api/show"], "nobody hears of models whose name tells where they are");
    let listed = ollama.models().await.unwrap();
    let locations: Vec<_> = listed.iter().map(|model| model.location).collect();
    assert_eq!(locations, [Location::Local, Location::Cloud]);
}

#[tokio::test]
async fn images_for_a_model_that_cannot_look_are_refused_before_they_are_sent() {
    let server = ScriptedModel::start([]).await;
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "What?", "images": ["iVBORw0KGgo="]}]});
    let refused =
        ollama(&server.base_url()).chat(request(Dialect::OllamaChat, ScriptedModel::MODEL, &body)).await.err();
    assert!(matches!(refused, Some(Error::Refused { .. })), "{refused:?}");
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn embedding_models_are_listed_and_a_cut_answer_is_an_error() {
    let models = [ServedModel::new("chat:1b"), ServedModel::new("vectors:1b").capabilities(&["embedding"])];
    let server = ScriptedModel::serve(models, [Turn::text("It beg").cut()]).await;
    let ollama = ollama(&server.base_url());
    let listed: Vec<_> = ollama.models().await.unwrap().into_iter().map(|model| model.name).collect();
    assert_eq!(listed, ["chat:1b", "vectors:1b"]);
    assert!(ollama.details("vectors:1b").await.unwrap().embeds);
    let answer: Vec<_> = ollama.chat(request(Dialect::OllamaChat, "chat:1b", &hello())).await.unwrap().collect().await;
    assert!(matches!(answer.last(), Some(Err(Error::Cut { .. }))), "{answer:?}");
    let loaded = ollama.loaded().await.unwrap();
    assert_eq!((loaded.len(), loaded[0].model.as_str(), loaded[0].context_tokens), (1, "chat:1b", Some(8192)));
}

/// A server that answers every path with one thing, one connection after the other. Gives what it was sent.
async fn canned(
    answers: &'static [(&'static str, u16, &'static str, &'static str)],
) -> (String, Arc<std::sync::Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let bodies = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = bodies.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut read = Vec::new();
            let (head, body) = loop {
                if socket.read_buf(&mut read).await.unwrap_or(0) == 0 {
                    return;
                }
                let text = String::from_utf8_lossy(&read).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head
                    .to_lowercase()
                    .split_once("content-length: ")
                    .map_or(0, |(_, rest)| rest.lines().next().and_then(|line| line.trim().parse().ok()).unwrap_or(0));
                if body.len() >= length {
                    break (head.to_owned(), body.to_owned());
                }
            };
            let path = head.split(' ').nth(1).unwrap_or_default();
            seen.lock().unwrap().push(serde_json::from_str(&body).unwrap_or(Value::Null));
            let (_, status, kind, body) = answers.iter().find(|(at, ..)| *at == path).unwrap();
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status} Any\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    (url, bodies)
}

const SHOW: (&str, u16, &str, &str) = (
    "/api/show",
    200,
    "application/json",
    r#"{"capabilities":["embedding"],"model_info":{"bert.context_length":512}}"#,
);

fn texts() -> EmbedRequest {
    let input = vec!["a".to_owned(), "b".to_owned()];
    EmbedRequest {
        model: "vectors".to_owned(),
        input,
        dimensions: None,
        checkpoint: None,
        patience: PATIENCE,
        trace: None,
    }
}

#[tokio::test]
async fn embeddings_come_with_the_same_context_and_are_never_of_a_cut_text() {
    let body = r#"{"model":"vectors","embeddings":[[0.5,1],[2,3]],"prompt_eval_count":4}"#;
    let (url, sent) = canned(Box::leak(Box::new([SHOW, ("/api/embed", 200, "application/json", body)]))).await;
    let embeddings = ollama(&url).embed(texts()).await.unwrap();
    assert_eq!((embeddings.vectors, embeddings.input_tokens), (vec![vec![0.5, 1.0], vec![2.0, 3.0]], 4));
    let expected = json!({"model": "vectors", "input": ["a", "b"], "truncate": false, "keep_alive": "1800s",
        "options": {"num_ctx": 512}});
    assert_eq!(sent.lock().unwrap()[1], expected);
}

#[tokio::test]
async fn a_text_that_does_not_fit_and_a_vector_too_few_are_errors() {
    let words = r#"{"error":"the input length exceeds the context length"}"#;
    let (url, _) = canned(Box::leak(Box::new([SHOW, ("/api/embed", 400, "application/json", words)]))).await;
    let error = ollama(&url).embed(texts()).await.unwrap_err();
    assert!(matches!(error, Error::ContextLengthExceeded { .. }), "{error}");
    let few = r#"{"embeddings":[[0.5]]}"#;
    let (url, _) = canned(Box::leak(Box::new([SHOW, ("/api/embed", 200, "application/json", few)]))).await;
    assert!(matches!(ollama(&url).embed(texts()).await, Err(Error::Malformed { .. })));
}

#[tokio::test]
async fn a_download_tells_its_progress_and_ends_with_success_or_an_error() {
    const NDJSON: &str = "application/x-ndjson";
    let whole = "{\"status\":\"pulling 6f85a640a97c\",\"total\":9,\"completed\":3}\n{\"status\":\"success\"}\n";
    let (url, _) = canned(Box::leak(Box::new([("/api/pull", 200, NDJSON, whole), ("/api/delete", 200, "", "")]))).await;
    let ollama_here = ollama(&url);
    let steps: Vec<_> = ollama_here.pull("m").await.unwrap().map(Result::unwrap).collect().await;
    assert_eq!((steps.len(), steps[0].total_bytes, steps[1].status.as_str()), (2, Some(9), "success"));
    ollama_here.delete("m").await.unwrap();
    for (body, words) in [
        ("{\"status\":\"pulling manifest\"}\n{\"error\":\"no such host\"}\n", "no such host"),
        ("{\"status\":\"pulling manifest\"}\n", "before the download was whole"),
    ] {
        let (url, _) = canned(Box::leak(Box::new([("/api/pull", 200, NDJSON, body)]))).await;
        let steps: Vec<_> = ollama(&url).pull("m").await.unwrap().collect().await;
        assert!(matches!(steps.last(), Some(Err(error)) if error.to_string().contains(words)), "{steps:?}");
    }
}

#[tokio::test]
async fn a_load_is_answered_without_text() {
    let body = r#"{"model":"m","created_at":"2026-11-24T15:31:34.95Z","message":{"role":"assistant","content":""},"done":true,"done_reason":"load"}"#;
    let answers = [SHOW, ("/api/chat", 200, "application/json; charset=utf-8", body)];
    let (url, sent) = canned(Box::leak(Box::new(answers))).await;
    let answer =
        frames(&ollama(&url), request(Dialect::OllamaChat, "m", &json!({"model": "m", "keep_alive": 0}))).await;
    assert_eq!(answer.len(), 1);
    assert!(matches!(answer[0].events.last(), Some(Event::Finished(_))), "{answer:?}");
    assert_eq!(sent.lock().unwrap()[1]["keep_alive"], "1800s", "nobody unloads what others use");
}

#[tokio::test]
async fn filling_in_goes_to_the_endpoint_that_can() {
    let body = "{\"model\":\"m\",\"response\":\"}\",\"done\":false}\n{\"model\":\"m\",\"response\":\"\",\"done\":true,\"done_reason\":\"stop\"}\n";
    let (url, sent) = canned(Box::leak(Box::new([SHOW, ("/api/generate", 200, "application/x-ndjson", body)]))).await;
    let asked = json!({"model": "fast", "prompt": "fn main() {", "suffix": "\n", "options": {"num_predict": 9}});
    let answer = frames(&ollama(&url), request(Dialect::OllamaGenerate, "m", &asked)).await;
    let raw: String = answer.iter().map(|frame| std::str::from_utf8(frame.raw.as_ref().unwrap()).unwrap()).collect();
    assert_eq!(raw, body.replace("\"m\"", "\"fast\""), "the name that was asked for, and every other byte");
    let sent = sent.lock().unwrap();
    assert_eq!((&sent[1]["suffix"], &sent[1]["model"]), (&json!("\n"), &json!("m")));
    assert_eq!(sent[1]["options"], json!({"num_predict": 9, "num_ctx": 512}));
}

#[tokio::test]
async fn a_stream_that_is_answered_in_one_body_is_an_answer_however_it_is_called() {
    const LOOKS: &str = r#"{"capabilities":["completion"],"model_info":{}}"#;
    const BODY: &str = "{\n  \"model\": \"m\",\n  \"message\": {\"role\": \"assistant\", \"content\": \"Hello.\"},\n  \"done\": true\n}\n";
    for answers in [
        &[("/api/show", 200, "application/json", LOOKS), ("/api/chat", 200, "application/json; charset=utf-8", BODY)],
        &[("/api/show", 200, "application/json", LOOKS), ("/api/chat", 200, "application/jsonl", BODY)],
    ] {
        let (url, _) = canned(answers).await;
        let frames = frames(&ollama(&url), request(Dialect::OllamaChat, "m", &hello())).await;
        let events: Vec<_> = frames.iter().flat_map(|frame| &frame.events).collect();
        assert!(
            matches!(events[..], [Event::Started { .. }, Event::Text(text), Event::Finished(_)] if text == "Hello.")
        );
    }
    let page =
        &[("/api/show", 200, "application/json", LOOKS), ("/api/chat", 200, "text/html", "<html>Sign in</html>")];
    let (url, _) = canned(page).await;
    let refused = ollama(&url).chat(request(Dialect::OllamaChat, "m", &hello())).await.err();
    assert!(matches!(&refused, Some(Error::Malformed { message, .. }) if message.contains("text/html")), "{refused:?}");
}
