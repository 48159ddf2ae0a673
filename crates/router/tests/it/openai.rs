use crate::fixtures::{answer, ask, failure, openai as provider, router};
use protocol::{FinishReason, Location};
use router::{
    Error, Options, Provider, Router, Secret,
    openai::{self, ModelOptions, OpenAi},
};
use serde_json::json;
use std::sync::Arc;
use testkit::{ScriptedModel, Turn};

const SCRIPTED: &str = "near/scripted:latest";
const KEY: &str = "sk-do-not-print-me";

#[tokio::test]
async fn text_tools_and_counts_arrive() {
    let turns = [
        Turn::text("Ça va, 🌍?").piece_bytes(1).thinking("Hm.").usage(12, 34),
        Turn::text("Look: ").and_tool("shell", json!({"command": "ls"})).and_tool("read", json!({"path": "a"})),
        Turn::text("And so on").finish_reason(FinishReason::Length),
    ];
    let server = ScriptedModel::start(turns).await;
    let router = router(vec![provider("near", &server.openai_url(), Location::Local)], vec![]);
    let (text, _) = answer(&router, ask(SCRIPTED)).await;
    assert_eq!((text.content.as_str(), text.input_tokens, text.output_tokens), ("Ça va, 🌍?", 12, 34));
    let (tools, _) = answer(&router, ask(SCRIPTED)).await;
    assert_eq!((tools.content.as_str(), tools.finish_reason), ("Look: ", FinishReason::ToolCalls));
    let calls: Vec<_> = tools.tool_calls.iter().map(|call| (call.name.as_str(), call.arguments.clone())).collect();
    assert_eq!(calls, [("shell", json!({"command": "ls"})), ("read", json!({"path": "a"}))]);
    assert_eq!(answer(&router, ask(SCRIPTED)).await.0.finish_reason, FinishReason::Length);
    assert_eq!(server.received()[0].body["stream_options"]["include_usage"], true);
}

#[tokio::test]
async fn counts_that_are_not_reported_are_zero_and_the_model_says_so_from_then_on() {
    let server = ScriptedModel::start([Turn::text("Yes.").without_usage()]).await;
    let provider = provider("near", &server.openai_url(), Location::Local);
    assert_eq!(provider.models().await.unwrap()[0].notice, None);
    let (answer, _) = answer(&router(vec![provider.clone()], vec![]), ask(SCRIPTED)).await;
    assert_eq!((answer.input_tokens, answer.output_tokens), (0, 0));
    let notice = provider.models().await.unwrap()[0].notice.clone().unwrap();
    assert!(notice.contains("token counts"), "{notice}");
}

#[tokio::test]
async fn the_key_is_sent_and_never_shown() {
    let turns = [
        Turn::text("Yes."),
        Turn::error(401, &format!("Incorrect API key provided: {KEY}")),
        Turn::text("").then_error(&format!("the key {KEY} ran out")),
    ];
    let server = ScriptedModel::start(turns).await;
    let options = openai::Options {
        api_key: Some(Secret::new(KEY)),
        ..openai::Options::new("near", server.openai_url(), Location::Local)
    };
    assert!(!format!("{options:?}").contains(KEY));
    let router = router(vec![Arc::new(OpenAi::new(options).unwrap()) as Arc<dyn Provider>], vec![]);
    answer(&router, ask(SCRIPTED)).await;
    assert_eq!(server.received()[0].headers["authorization"], format!("Bearer {KEY}"));
    for code in ["model_unavailable", "model_failed"] {
        let (got, message, fallbacks) = failure(&router, ask(SCRIPTED)).await;
        assert_eq!(got, code);
        assert!(message.contains("[key]") && !message.contains(KEY), "{message}");
        assert!(!format!("{fallbacks:?}").contains(KEY));
    }
}

#[tokio::test]
async fn what_is_configured_of_a_model_adds_to_what_is_listed() {
    let server = ScriptedModel::start([]).await;
    let known = |name: &str| ModelOptions {
        name: name.to_owned(),
        context_tokens: Some(1000),
        native_tools: false,
        structured_output: true,
    };
    let options = openai::Options {
        models: vec![known("scripted:latest"), known("unlisted")],
        ..openai::Options::new("near", server.openai_url(), Location::Local)
    };
    let models = OpenAi::new(options).unwrap().models().await.unwrap();
    let got: Vec<_> =
        models.iter().map(|model| (model.name.as_str(), model.context_tokens, model.native_tools)).collect();
    assert_eq!(got, [("scripted:latest", Some(1000), false), ("unlisted", Some(1000), false)]);
}

#[tokio::test]
async fn a_server_of_another_dialect_is_told_apart() {
    let server = ScriptedModel::start([Turn::text("Yes.")]).await;
    // Ollama's own dialect where OpenAI's was configured.
    let router = Router::new(Options::new(vec![provider("near", &server.base_url(), Location::Local)])).unwrap();
    let models = router.models().await;
    assert_eq!(models.unavailable.len(), 1, "{models:?}");
}

#[test]
fn a_base_url_that_cannot_work_is_refused_before_anything_starts() {
    for wrong in
        ["", "localhost:8000", "ftp://example.invalid", "http://user:word@example.invalid/v1", "http://a/v1?key=1"]
    {
        let made = OpenAi::new(openai::Options::new("near", wrong, Location::Local));
        assert!(matches!(made.map(|_| ()), Err(Error::Configuration(_))), "{wrong}");
    }
}
