use crate::fixtures::{answer, ask, failure, ollama, router};
use protocol::{FinishReason, ToolSpec};
use serde_json::json;
use testkit::{ScriptedModel, ServedModel, Turn};

const SCRIPTED: &str = "ollama/scripted:latest";

#[tokio::test]
async fn every_call_to_a_model_carries_the_same_context_and_never_lets_it_be_cut() {
    let turns = [Turn::text("One."), Turn::json(&json!({"ok": true})), Turn::tool("shell", json!({}))];
    let server = ScriptedModel::serve([ServedModel::new("scripted:latest").context_tokens(10_000)], turns).await;
    let router = router(vec![ollama(&server)], vec![]);
    answer(&router, ask(SCRIPTED)).await;
    let mut with_schema = ask("default");
    with_schema.response_schema =
        Some(json!({"type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}}}));
    with_schema.max_output_tokens = Some(50);
    assert_eq!(answer(&router, with_schema).await.0.content, r#"{"ok":true}"#);
    let mut with_tools = ask(SCRIPTED);
    let parameters = json!({"type": "object"});
    with_tools.tools = vec![ToolSpec { name: "shell".to_owned(), description: "Runs.".to_owned(), parameters }];
    assert_eq!(answer(&router, with_tools).await.0.finish_reason, FinishReason::ToolCalls);
    for received in server.received() {
        assert_eq!(received.body["options"]["num_ctx"], 10_000);
        assert_eq!((&received.body["truncate"], &received.body["shift"]), (&json!(false), &json!(false)));
        assert_eq!(received.body["keep_alive"], "1800s");
    }
    assert_eq!(server.received()[1].body["options"]["num_predict"], 50);
    assert!(server.violations().is_empty());
}

#[tokio::test]
async fn counts_thoughts_and_limits_arrive() {
    let turns = [
        Turn::text("Ça va, 🌍?").piece_bytes(1).thinking("Hm.").usage(12, 34),
        Turn::text("And so on").finish_reason(FinishReason::Length),
    ];
    let server = ScriptedModel::start(turns).await;
    let router = router(vec![ollama(&server)], vec![]);
    let (whole, _) = answer(&router, ask(SCRIPTED)).await;
    assert_eq!((whole.content.as_str(), whole.input_tokens, whole.output_tokens), ("Ça va, 🌍?", 12, 34));
    assert!(whole.total_ms >= whole.first_token_ms);
    assert_eq!(answer(&router, ask(SCRIPTED)).await.0.finish_reason, FinishReason::Length);
}

#[tokio::test]
async fn ids_of_tool_calls_are_made_where_the_server_gives_none() {
    let turn = Turn::tool("a", json!({})).tool_id("").and_tool("b", json!({})).tool_id("");
    let server = ScriptedModel::start([turn]).await;
    let (answer, _) = answer(&router(vec![ollama(&server)], vec![]), ask(SCRIPTED)).await;
    let [first, second] = answer.tool_calls.as_slice() else { panic!("{answer:?}") };
    assert!(!first.id.is_empty() && first.id != second.id, "{answer:?}");
}

#[tokio::test]
async fn a_model_that_is_not_there_is_told_in_words() {
    let server = ScriptedModel::start([Turn::error(500, "model requires more system memory")]).await;
    let router = router(vec![ollama(&server)], vec![]);
    let (code, message, _) = failure(&router, ask(SCRIPTED)).await;
    assert_eq!(code, "model_unavailable");
    assert!(message.contains("more system memory (HTTP 500)"), "{message}");
}
