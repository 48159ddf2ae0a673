//! The OpenAI provider over real HTTP.

mod strangeness;
mod verbatim;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, Method};
use protocol::{FinishReason, Location, Role};
use router::{
    Conversation, Error, Event, Frame, Secret,
    answer::Whole,
    conversation::Message,
    dialect::{Asked, Dialect},
    egress::Checkpoint,
    providers::{
        ChatRequest, Edits, EmbedRequest, Forward, Patience, Provider, Refusals,
        openai::{Api, ModelOptions, OpenAi, Options, Prefill},
    },
};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use testkit::{Gate, ScriptedModel, Turn};
use verbatim::Verbatim;

const KEY: &str = "sk-do-not-print-me";
const MODEL: &str = ScriptedModel::MODEL;
const PATIENCE: Patience = Patience { headers: Duration::from_secs(10) };

fn options(base_url: &str) -> Options {
    Options { api_keys: vec![Secret::new(KEY)], ..Options::new("near", base_url, Location::Local) }
}

fn provider(base_url: &str) -> OpenAi {
    OpenAi::new(options(base_url)).unwrap()
}

fn question() -> Conversation {
    Conversation { messages: vec![Message::text(Role::User, "Hello?")], ..Conversation::default() }
}

fn request(asked: Asked, stream: bool) -> ChatRequest {
    let model = MODEL.to_owned();
    ChatRequest {
        model,
        asked: Arc::new(asked),
        changed: None,
        edits: Edits::default(),
        stream,
        checkpoint: None,
        patience: PATIENCE,
        trace: None,
        refusals: Refusals::default(),
    }
}

fn own() -> ChatRequest {
    request(Asked::own(MODEL.to_owned(), question(), 6), true)
}

fn original(dialect: Dialect, body: &str, stream: bool) -> ChatRequest {
    let mut asked = Asked::own("theirs".to_owned(), question(), 6);
    asked.dialect = dialect;
    asked.body = Bytes::copy_from_slice(body.as_bytes());
    asked.headers.insert("openai-beta", "thing=v1".parse().unwrap());
    asked.headers.insert("authorization", "Bearer the-callers-own".parse().unwrap());
    (asked.peek.stream, asked.peek.wants_usage) = (stream, false);
    request(asked, stream)
}

async fn frames(provider: &OpenAi, request: ChatRequest) -> Result<Vec<Frame>, Error> {
    provider.chat(request).await?.collect::<Vec<_>>().await.into_iter().collect()
}

fn gathered(frames: &[Frame]) -> Whole {
    let mut whole = Whole::default();
    frames.iter().flat_map(|frame| &frame.events).for_each(|event| whole.add(event));
    whole
}

fn raw(frames: &[Frame]) -> String {
    frames.iter().filter_map(|frame| frame.raw.as_deref()).map(String::from_utf8_lossy).collect()
}

#[derive(Debug)]
struct Blackens;

#[async_trait]
impl Checkpoint for Blackens {
    async fn clear(&self, body: Bytes) -> Result<Bytes, Error> {
        Ok(Bytes::from(String::from_utf8_lossy(&body).replace("secret", "[1]")))
    }

    fn redacts(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_conversation_is_answered_with_text_thought_tools_and_counts() {
    let turns = [
        Turn::text("Ça va, 🌍?").piece_bytes(1).thinking("Hm.").usage(12, 34),
        Turn::text("Look: ").and_tool("shell", json!({"command": "ls"})).and_tool("read", json!({"path": "a"})),
        Turn::text("And so on").finish_reason(FinishReason::Length),
    ];
    let server = ScriptedModel::start(turns).await;
    let provider = provider(&server.openai_url());
    let got = frames(&provider, own()).await.unwrap();
    let whole = gathered(&got);
    assert_eq!(
        (whole.text().as_str(), whole.usage().input_tokens, whole.usage().output_tokens),
        ("Ça va, 🌍?", 12, 34)
    );
    assert_eq!(raw(&got), "", "nobody who asked speaks this dialect");
    let tools = gathered(&frames(&provider, own()).await.unwrap());
    assert_eq!((tools.blocks.len(), tools.finish.unwrap().reason), (3, FinishReason::ToolCalls));
    let length = gathered(&frames(&provider, own()).await.unwrap());
    assert_eq!(length.finish.unwrap().reason, FinishReason::Length);
    assert_eq!(server.received()[0].headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(server.violations(), [] as [String; 0]);
}

#[tokio::test]
async fn the_key_is_never_shown() {
    let turns = [
        Turn::error(401, &format!("Incorrect API key provided: {KEY}")),
        Turn::text("").then_error(&format!("the key {KEY} ran out")),
    ];
    let server = ScriptedModel::start(turns).await;
    assert!(!format!("{:?}", options("http://a")).contains(KEY));
    for _ in 0..2 {
        // The refused key rests, so each error is had with a provider of its own.
        let error = frames(&provider(&server.openai_url()), own()).await.unwrap_err().to_string();
        assert!(error.contains("[key]") && !error.contains(KEY), "{error}");
    }
}

#[tokio::test]
async fn a_cut_answer_is_cut_and_a_dropped_one_ends_upstream() {
    let gate = Gate::new();
    let turns = [Turn::text("It begins").cut(), Turn::text("It begins and ").stall(), Turn::text("never").hold(&gate)];
    let server = ScriptedModel::start(turns).await;
    let provider = provider(&server.openai_url());
    assert!(matches!(frames(&provider, own()).await, Err(Error::Cut { .. })));
    let mut answer = provider.chat(own()).await.unwrap();
    while !answer.next().await.unwrap().unwrap().events.iter().any(Event::is_content) {}
    drop(answer);
    server.wait_abandoned(1).await;
    let waiting = tokio::spawn(async move { provider.chat(own()).await.map(|_| ()) });
    gate.reached().await;
    waiting.abort();
    server.wait_abandoned(2).await;
}

#[tokio::test]
async fn a_callers_bytes_and_the_answers_pass_as_they_are() {
    let chunk = "data: {\"id\":\"c\" ,\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}],\"new\":[1.50]}\r\n\r\n";
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3}}\n\n";
    let server = Verbatim::start(200, "text/event-stream", &format!("{chunk}{usage}data: [DONE]\n\n")).await;
    let body =
        r#"{"model": "theirs","stream":true , "messages":[{"role":"user","content":"hi"}],"temperature":1.50,"x":{}}"#;
    let got = frames(&provider(&server.url("/v1")), original(Dialect::OpenAiChat, body, true)).await.unwrap();
    assert_eq!(
        (raw(&got), gathered(&got).text(), gathered(&got).usage().input_tokens),
        (chunk.to_owned(), "hi".to_owned(), 3)
    );
    let seen = server.seen();
    assert!(seen[0].starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{}", seen[0]);
    let expected = body.replacen('{', r#"{"stream_options":{"include_usage":true},"#, 1).replace("theirs", MODEL);
    assert_eq!(seen[0].split_once("\r\n\r\n").unwrap().1, expected);
    assert!(seen[0].contains("openai-beta: thing=v1") && seen[0].contains(&format!("authorization: Bearer {KEY}")));
    assert!(!seen[0].contains("the-callers-own"));
}

#[tokio::test]
async fn an_answer_that_may_come_whole_comes_whole() {
    let answer = r#"{ "choices": [{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}], "usage":null }"#;
    let server = Verbatim::start(200, "application/json", answer).await;
    let body = r#"{"model":"theirs","messages":[]}"#;
    let got = frames(&provider(&server.url("/v1")), original(Dialect::OpenAiChat, body, false)).await.unwrap();
    assert_eq!((got.len(), raw(&got).as_str(), gathered(&got).text().as_str()), (1, answer, "hi"));
    assert!(server.seen()[0].ends_with(&body.replace("theirs", MODEL)), "{}", server.seen()[0]);
    let completions = r#"{"model":"theirs","prompt":"Once"}"#;
    frames(&provider(&server.url("/v1")), original(Dialect::OpenAiCompletions, completions, false)).await.unwrap();
    assert!(server.seen()[1].starts_with("POST /v1/completions "));
}

#[tokio::test]
async fn responses_pass_where_they_are_spoken_and_are_translated_where_not() {
    let answer = r#"{"id":"r","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"hi"}]}]}"#;
    let server = Verbatim::start(200, "application/json", answer).await;
    let speaks = OpenAi::new(Options { api: Api::Responses, ..options(&server.url("/v1")) }).unwrap();
    let body = r#"{"model":"theirs","input":"hi","store":true}"#;
    let got = frames(&speaks, original(Dialect::OpenAiResponses, body, false)).await.unwrap();
    assert_eq!((raw(&got).as_str(), gathered(&got).text().as_str()), (answer, "hi"));
    assert!(
        server.seen()[0].starts_with("POST /v1/responses ")
            && server.seen()[0].ends_with(&body.replace("theirs", MODEL))
    );

    let server = ScriptedModel::start([Turn::text("Yes.")]).await;
    let got = frames(&provider(&server.openai_url()), original(Dialect::OpenAiResponses, body, true)).await.unwrap();
    assert_eq!((raw(&got).as_str(), gathered(&got).text().as_str()), ("", "Yes."));
    assert_eq!(server.received()[0].last("user"), "Hello?");
}

#[tokio::test]
async fn what_leaves_redacted_comes_back_without_its_bytes_and_nothing_leaves_unchecked() {
    let answer = r#"{"choices":[{"index":0,"message":{"content":"[1]"},"finish_reason":"stop"}]}"#;
    let server = Verbatim::start(200, "application/json", answer).await;
    let cloud = OpenAi::new(Options { location: Location::Cloud, ..options(&server.url("/v1")) }).unwrap();
    let asks = original(Dialect::OpenAiChat, r#"{"model":"theirs","messages":["my secret"]}"#, false);
    assert!(matches!(frames(&cloud, asks.clone()).await, Err(Error::EgressRefused { .. })));
    assert_eq!(server.seen(), [] as [String; 0]);
    let got = frames(&cloud, ChatRequest { checkpoint: Some(Arc::new(Blackens)), ..asks }).await.unwrap();
    assert_eq!((raw(&got).as_str(), gathered(&got).text().as_str()), ("", "[1]"));
    assert!(server.seen()[0].contains("my [1]") && !server.seen()[0].contains("secret"));
}

#[tokio::test]
async fn vectors_come_in_the_order_of_the_texts() {
    let answer =
        r#"{"data":[{"index":1,"embedding":[3.0]},{"index":0,"embedding":[1.0]}],"usage":{"prompt_tokens":5}}"#;
    let server = Verbatim::start(200, "application/json", answer).await;
    let asks = |texts: &[&str]| EmbedRequest {
        model: "embedder".to_owned(),
        input: texts.iter().map(|&text| text.to_owned()).collect(),
        dimensions: Some(1),
        checkpoint: None,
        patience: PATIENCE,
        trace: None,
    };
    let provider = provider(&server.url("/v1"));
    let got = provider.embed(asks(&["a", "b"])).await.unwrap();
    assert_eq!((got.vectors, got.input_tokens), (vec![vec![1.0], vec![3.0]], 5));
    let expected = r#"{"model":"embedder","input":["a","b"],"encoding_format":"float","dimensions":1}"#;
    assert!(server.seen()[0].starts_with("POST /v1/embeddings ") && server.seen()[0].ends_with(expected));
    assert!(matches!(provider.embed(asks(&["a"])).await, Err(Error::Malformed { .. })));
    assert!(provider.embed(asks(&[])).await.unwrap().vectors.is_empty());
    assert_eq!(server.seen().len(), 2, "nothing is asked about nothing");
}

#[tokio::test]
async fn other_endpoints_are_passed_on_under_our_key_whatever_they_answer() {
    let server = Verbatim::start(418, "audio/x-strange", "\u{1}\u{2}").await;
    let provider = provider(&server.url("/v1"));
    let asks = |path: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "multipart/form-data; boundary=b".parse().unwrap());
        headers.insert("authorization", "Bearer the-callers-own".parse().unwrap());
        Forward {
            method: Method::POST,
            path: path.to_owned(),
            query: Some("a=1".to_owned()),
            headers,
            body: Bytes::from_static(b"--b--"),
            checkpoint: None,
            patience: PATIENCE,
        }
    };
    let answer = provider.forward(asks("/audio/transcriptions")).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (418, &"audio/x-strange".parse().unwrap())
    );
    assert_eq!(answer.headers().get("connection"), None);
    let body: Vec<_> = answer.into_body().map(Result::unwrap).collect().await;
    assert_eq!(body.concat(), b"\x01\x02");
    let seen = &server.seen()[0];
    assert!(seen.starts_with("POST /v1/audio/transcriptions?a=1 ") && seen.ends_with("--b--"), "{seen}");
    assert!(
        seen.contains(&format!("Bearer {KEY}")) && seen.contains("boundary=b") && !seen.contains("the-callers-own")
    );
    assert!(matches!(provider.forward(asks("/audio/../../admin")).await, Err(Error::Invalid { .. })));

    let refusing = Verbatim::start(401, "application/json", &format!("{{\"error\":\"bad {KEY}\"}}")).await;
    let error = self::provider(&refusing.url("/v1")).forward(asks("/audio")).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Denied { .. }) && !error.to_string().contains(KEY), "{error}");
}

#[tokio::test]
async fn what_is_configured_of_a_model_adds_to_what_is_listed() {
    let server = ScriptedModel::start([Turn::text("Yes.").without_usage()]).await;
    let known =
        ModelOptions { context_tokens: Some(1000), prefill: Some(Prefill::VllmFlags), ..ModelOptions::new(MODEL) };
    let models = vec![known, ModelOptions::new("text-embedding-3")];
    let provider = OpenAi::new(Options { models, ..options(&server.openai_url()) }).unwrap();
    let listed = provider.models().await.unwrap();
    let got: Vec<_> =
        listed.iter().map(|model| (model.name.as_str(), model.context_tokens, model.native_tools)).collect();
    assert_eq!(got, [(MODEL, Some(1000), true), ("text-embedding-3", None, false)]);
    assert!(provider.continues_prefill(MODEL) && !provider.continues_prefill("other"));
    assert_eq!(provider.notice(MODEL), None);
    frames(&provider, own()).await.unwrap();
    let notice = provider.notice(MODEL).unwrap();
    assert!(notice.contains("token counts"), "{notice}");
}

#[test]
fn a_base_url_that_cannot_work_is_refused_before_anything_starts() {
    for wrong in
        ["", "localhost:8000", "ftp://example.invalid", "http://user:word@example.invalid/v1", "http://a/v1?key=1"]
    {
        let made = OpenAi::new(Options::new("near", wrong, Location::Local));
        assert!(matches!(made.map(|_| ()), Err(Error::Configuration(_))), "{wrong}");
    }
}
