//! Anthropic's provider over a socket.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{HeaderMap, HeaderValue, Method};
use protocol::{FinishReason, Location, Role};
use router::{
    Conversation, Error, Event, Frame, Secret,
    answer::Whole,
    conversation::{Message, Thinking},
    dialect::{Asked, Dialect},
    egress::Checkpoint,
    providers::{
        ChatRequest, Edits, Forward, Patience, Provider, Refusals,
        anthropic::{Anthropic, ModelOptions, Options},
    },
};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

const KEY: &str = "sk-ant-do-not-print-me";
const TEXT: &str = include_str!("../../src/wire/anthropic/golden/text.sse");
const PATIENCE: Patience = Patience { headers: Duration::from_secs(10) };

/// Answers one request after the other with what a test wrote, and keeps what it was sent.
struct Vendor {
    address: String,
    received: Arc<Mutex<Vec<Received>>>,
    task: JoinHandle<()>,
}

struct Received {
    line: String,
    headers: Vec<String>,
    body: Vec<u8>,
}

impl Received {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|header| header.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Vendor {
    async fn start(answers: Vec<(u16, &'static str, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let received = Arc::<Mutex<Vec<Received>>>::default();
        let (kept, mut answers) = (received.clone(), VecDeque::from(answers));
        let task = tokio::spawn(async move {
            while let Some((status, media_type, body)) = answers.pop_front() {
                let (mut connection, _) = listener.accept().await.unwrap();
                let request = Self::read(&mut connection).await;
                kept.lock().unwrap().push(request);
                let head = format!(
                    "HTTP/1.1 {status} Said\r\ncontent-type: {media_type}\r\nrequest-id: req_9\r\nconnection: close\r\n\r\n"
                );
                connection.write_all((head + &body).as_bytes()).await.unwrap();
                connection.shutdown().await.unwrap();
            }
        });
        Self { address, received, task }
    }

    async fn read(connection: &mut TcpStream) -> Received {
        let mut reader = BufReader::new(connection);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).await.unwrap();
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let line = lines.remove(0);
        let mut received = Received { line, headers: lines, body: Vec::new() };
        let length = received.header("content-length").map_or(0, |length| length.parse().unwrap());
        received.body = vec![0; length];
        reader.read_exact(&mut received.body).await.unwrap();
        received
    }

    fn provider(&self) -> Anthropic {
        self.provider_with(|options| options)
    }

    fn provider_with(&self, change: impl FnOnce(Options) -> Options) -> Anthropic {
        let options = Options::new("anthropic", vec![Secret::new(KEY)]);
        let options = Options { base_url: self.address.clone(), location: Location::Local, ..options };
        Anthropic::new(change(options)).unwrap()
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn sse(body: &str) -> (u16, &'static str, String) {
    (200, "text/event-stream; charset=utf-8", body.to_owned())
}

fn json_answer(status: u16, body: &Value) -> (u16, &'static str, String) {
    (status, "application/json", body.to_string())
}

fn request(asked: Asked) -> ChatRequest {
    ChatRequest {
        model: "claude-sonnet-4-5".into(),
        stream: asked.peek.stream,
        asked: Arc::new(asked),
        changed: None,
        edits: Edits::default(),
        checkpoint: None,
        patience: PATIENCE,
        trace: None,
        refusals: Refusals::default(),
    }
}

fn asked(body: &'static str) -> Asked {
    let mut headers = HeaderMap::new();
    headers.append("anthropic-beta", HeaderValue::from_static("one-2025-01-01"));
    headers.append("anthropic-beta", HeaderValue::from_static("two-2025-01-01"));
    Asked::new(Dialect::Anthropic, Bytes::from_static(body.as_bytes()), headers).unwrap()
}

fn own() -> Asked {
    let messages = vec![Message::text(Role::User, "Hello?")];
    Asked::own("fast".into(), Conversation { messages, ..Conversation::default() }, 6)
}

async fn frames(provider: &Anthropic, request: ChatRequest) -> Result<Vec<Frame>, Error> {
    provider.chat(request).await?.try_collect().await
}

fn gathered(frames: &[Frame]) -> Whole {
    let mut whole = Whole::default();
    frames.iter().flat_map(|frame| &frame.events).for_each(|event| whole.add(event));
    whole
}

fn raw(frames: &[Frame]) -> Vec<u8> {
    frames.iter().filter_map(|frame| frame.raw.clone()).collect::<Vec<_>>().concat()
}

const STREAMED: &str = r#"{ "stream":true, "model": "fast", "max_tokens" : 5, "messages":[{"role":"user","content":"Hello?"}], "novel":[1, 2] }"#;
const PLAIN: &str = r#"{"model": "fast","max_tokens":5,"messages":[{"role":"user","content":"Hello?"}]}"#;

#[tokio::test]
async fn a_caller_of_the_same_dialect_is_passed_on_to_the_byte_both_ways() {
    let vendor = Vendor::start(vec![sse(TEXT)]).await;
    let got = frames(&vendor.provider(), request(asked(STREAMED))).await.unwrap();
    assert_eq!(String::from_utf8(raw(&got)).unwrap(), TEXT.replace("claude-sonnet-4-5-20250929", "fast"));
    assert_eq!(gathered(&got).text(), "Grüße, 🌍!");
    let received = vendor.received.lock().unwrap();
    let sent = &received[0];
    assert_eq!(String::from_utf8_lossy(&sent.body), STREAMED.replace("fast", "claude-sonnet-4-5"));
    assert_eq!(sent.line, "POST /v1/messages HTTP/1.1");
    assert_eq!((sent.header("x-api-key"), sent.header("anthropic-version")), (Some(KEY), Some("2023-06-01")));
    let betas: Vec<_> = sent.headers.iter().filter(|header| header.starts_with("anthropic-beta")).collect();
    assert_eq!(betas, ["anthropic-beta: one-2025-01-01", "anthropic-beta: two-2025-01-01"]);
    assert_eq!(sent.header("authorization"), None);
}

#[tokio::test]
async fn an_answer_that_need_not_stream_comes_as_it_is() {
    let body = json!({"type": "message", "id": "msg_1", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 1}});
    let vendor = Vendor::start(vec![json_answer(200, &body)]).await;
    let got = frames(&vendor.provider(), request(asked(PLAIN))).await.unwrap();
    assert_eq!((got.len(), raw(&got)), (1, body.to_string().into_bytes()));
    assert_eq!((gathered(&got).text().as_str(), gathered(&got).usage().input_tokens), ("Hi", 3));
}

#[tokio::test]
async fn an_answer_that_is_to_be_watched_streams_though_the_caller_did_not_ask_for_it() {
    let vendor = Vendor::start(vec![sse(TEXT), sse(TEXT)]).await;
    let streamed = ChatRequest { stream: true, ..request(asked(PLAIN)) };
    assert_eq!(gathered(&frames(&vendor.provider(), streamed).await.unwrap()).text(), "Grüße, 🌍!");
    let translated = ChatRequest { stream: false, ..request(own()) };
    assert_eq!(gathered(&frames(&vendor.provider(), translated).await.unwrap()).text(), "Grüße, 🌍!");
    let received = vendor.received.lock().unwrap();
    assert_eq!((&received[0].json()["stream"], &received[1].json()["stream"]), (&json!(true), &json!(true)));
    assert_eq!(received[1].json()["messages"], json!([{"role": "user", "content": "Hello?"}]));
    assert_eq!(received[1].header("anthropic-beta"), None, "what another dialect's caller says is not for the vendor");
}

#[derive(Debug)]
struct Redacting;

#[async_trait]
impl Checkpoint for Redacting {
    async fn clear(&self, body: Bytes) -> Result<Bytes, Error> {
        Ok(String::from_utf8_lossy(&body).replace("Hello", "[secret]").into())
    }

    fn redacts(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn nothing_leaves_for_the_cloud_unchecked() {
    let vendor = Vendor::start(vec![sse(TEXT), json_answer(200, &json!({"input_tokens": 7}))]).await;
    let provider = vendor.provider_with(|options| Options { location: Location::Cloud, ..options });
    let refused = provider.chat(request(asked(STREAMED))).await.err();
    assert!(matches!(refused, Some(Error::EgressRefused { .. })), "{refused:?}");
    assert!(provider.count_tokens(&request(own())).await.is_err());
    assert!(vendor.received.lock().unwrap().is_empty());
    let checked = || ChatRequest { checkpoint: Some(Arc::new(Redacting)), ..request(asked(STREAMED)) };
    let got = frames(&provider, checked()).await.unwrap();
    assert_eq!(
        (raw(&got), gathered(&got).text().as_str()),
        (Vec::new(), "Grüße, 🌍!"),
        "placeholders are not passed on"
    );
    provider.count_tokens(&checked()).await.unwrap();
    for received in vendor.received.lock().unwrap().iter() {
        assert_eq!(received.json()["messages"][0]["content"], "[secret]?");
    }
}

#[tokio::test]
async fn tokens_are_counted_by_the_vendor() {
    let vendor = Vendor::start(vec![json_answer(200, &json!({"input_tokens": 7})), json_answer(404, &json!({}))]).await;
    let provider = vendor.provider();
    assert_eq!(provider.count_tokens(&request(asked(STREAMED))).await, Ok(Some(7)));
    assert_eq!(provider.count_tokens(&request(own())).await, Ok(None), "a server without it cannot tell");
    let received = vendor.received.lock().unwrap();
    assert_eq!(received[0].line, "POST /v1/messages/count_tokens HTTP/1.1");
    let expected = json!({"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "Hello?"}]});
    assert_eq!(received[0].json(), expected);
}

#[tokio::test]
async fn every_failure_says_what_can_be_done() {
    let error = |kind: &str, message: &str| json!({"type": "error", "error": {"type": kind, "message": message}});
    let leaked = format!("invalid x-api-key {KEY}");
    let vendor = Vendor::start(vec![
        json_answer(529, &error("overloaded_error", "Overloaded")),
        json_answer(400, &error("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum")),
        json_answer(400, &error("invalid_request_error", "Your credit balance is too low")),
        json_answer(400, &error("invalid_request_error", "messages: wrong")),
        json_answer(404, &error("not_found_error", "model: claude-x")),
        json_answer(500, &error("api_error", "Internal server error")),
        sse(&TEXT[..TEXT.len() / 2]),
        json_answer(200, &error("rate_limit_error", "slow down")),
        json_answer(401, &error("authentication_error", &leaked)),
    ])
    .await;
    let provider = vendor.provider();
    let mut errors = Vec::new();
    for _ in 0..9 {
        errors.push(frames(&provider, request(asked(STREAMED))).await.unwrap_err());
    }
    assert!(matches!(errors[0], Error::Overloaded { .. }), "{errors:?}");
    assert!(matches!(errors[1], Error::ContextLengthExceeded { .. }), "{errors:?}");
    assert!(matches!(errors[2], Error::Denied { .. }), "{errors:?}");
    assert!(matches!(errors[3], Error::Refused { .. }), "{errors:?}");
    assert!(matches!(errors[4], Error::Unavailable { .. }), "{errors:?}");
    assert!(matches!(errors[5], Error::Failed { .. }), "{errors:?}");
    assert!(matches!(errors[6], Error::Cut { .. }), "{errors:?}");
    assert!(matches!(errors[7], Error::RateLimited { .. }), "{errors:?}");
    assert!(matches!(errors[8], Error::Denied { .. }), "{errors:?}");
    assert!(!format!("{errors:?}").contains(KEY));
}

#[tokio::test]
async fn models_come_page_by_page_and_from_the_configuration() {
    let page = |ids: &[&str], has_more: bool| {
        let data: Vec<_> = ids.iter().map(|id| json!({"type": "model", "id": id})).collect();
        json_answer(200, &json!({"data": data, "has_more": has_more, "last_id": ids.last()}))
    };
    let missing = json_answer(404, &json!({"type": "error", "error": {"type": "not_found_error", "message": "no"}}));
    let vendor = Vendor::start(vec![
        page(&["claude-opus-5"], true),
        page(&["claude-sonnet-4-5"], false),
        missing.clone(),
        missing,
    ])
    .await;
    let known = ModelOptions { name: "glm".into(), context_tokens: Some(9), ..ModelOptions::default() };
    let provider = vendor.provider_with(|options| Options { models: vec![known], ..options });
    let models = provider.models().await.unwrap();
    let names: Vec<_> = models.iter().map(|model| (model.id.as_str(), model.context_tokens)).collect();
    let expected = [
        ("anthropic/claude-opus-5", Some(200_000)),
        ("anthropic/claude-sonnet-4-5", Some(200_000)),
        ("anthropic/glm", Some(9)),
    ];
    assert_eq!(names, expected);
    assert_eq!(provider.models().await.unwrap().len(), 1, "a server without a listing has what is configured");
    assert!(vendor.provider().models().await.is_err(), "or nothing");
    let received = vendor.received.lock().unwrap();
    assert_eq!(received[1].line, "GET /v1/models?limit=1000&after_id=claude-opus-5 HTTP/1.1");
    assert_eq!(received[0].header("anthropic-version"), Some("2023-06-01"));
}

#[tokio::test]
async fn what_the_vendor_tells_of_a_model_goes_before_its_name() {
    let no = json!({"supported": false});
    let capabilities = json!({"structured_outputs": no, "thinking": {"supported": true,
        "types": {"adaptive": {"supported": true}, "enabled": no, "disabled": no}}});
    let listing =
        json!({"data": [{"id": "claude-sonnet-4-5", "capabilities": capabilities, "max_input_tokens": 1_000_000}]});
    let vendor = Vendor::start(vec![json_answer(200, &listing), sse(TEXT), sse(TEXT)]).await;
    let provider = vendor.provider();
    let model = provider.models().await.unwrap().remove(0);
    assert_eq!((model.context_tokens, model.structured_output), (Some(1_000_000), false));
    for thinking in [Thinking::On, Thinking::Off] {
        let messages = vec![Message::text(Role::User, "Hello?")];
        let changed = Arc::new(Conversation { messages, thinking, ..Conversation::default() });
        frames(&provider, ChatRequest { changed: Some(changed), ..request(asked(STREAMED)) }).await.unwrap();
    }
    let received = vendor.received.lock().unwrap();
    assert_eq!(received[1].json()["thinking"], json!({"type": "adaptive"}));
    assert_eq!(received[2].json().get("thinking"), None, "it always thinks");
}

#[tokio::test]
async fn other_endpoints_pass_under_our_key() {
    let vendor = Vendor::start(vec![json_answer(404, &json!({"gone": true}))]).await;
    let forward = Forward {
        method: Method::GET,
        path: "/v1/messages/batches/b".into(),
        query: Some("limit=2".into()),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        checkpoint: None,
        patience: PATIENCE,
    };
    let answer = vendor.provider().forward(forward).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["request-id"].to_str().unwrap()), (404, "req_9"));
    assert_eq!(answer.headers().get("connection"), None);
    let body: Vec<Bytes> = answer.into_body().try_collect().await.unwrap();
    assert_eq!(body.concat(), br#"{"gone":true}"#);
    let received = vendor.received.lock().unwrap();
    assert_eq!(received[0].line, "GET /v1/messages/batches/b?limit=2 HTTP/1.1");
    assert_eq!(received[0].header("x-api-key"), Some(KEY));
}

#[tokio::test]
async fn an_answer_to_go_on_with_is_sent_without_its_white_space_and_comes_back_with_it_once() {
    let vendor = Vendor::start(vec![sse(&TEXT.replace("Grüße", " go on"))]).await;
    let messages = vec![Message::text(Role::User, "Hello?"), Message::text(Role::Assistant, "I ")];
    let changed = Arc::new(Conversation { messages, ..Conversation::default() });
    let request = ChatRequest { changed: Some(changed), ..request(asked(STREAMED)) };
    let got = frames(&vendor.provider(), request).await.unwrap();
    assert_eq!(gathered(&got).text(), "go on, 🌍!");
    assert_eq!(vendor.received.lock().unwrap()[0].json()["messages"][1]["content"], "I");
    let finish = got.iter().flat_map(|frame| &frame.events).find_map(|event| match event {
        Event::Finished(finish) => Some(finish.reason),
        _ => None,
    });
    assert_eq!(finish, Some(FinishReason::Stop));
}
