use crate::fixtures::{answer, ask, failure, items, ollama, ollama_at, openai, route, router};
use protocol::{FinishReason, Location, ModelStreamItem, ToolSpec};
use serde_json::json;
use testkit::{Fault, FaultProxy, ScriptedModel, ServedModel, Turn};

const SCRIPTED: &str = ScriptedModel::MODEL;

#[tokio::test]
async fn a_failure_before_the_first_byte_leads_to_the_next_target() {
    let broken = [Turn::error(503, "server busy"), Turn::text("").cut(), Turn::text("").then_error("out of memory")];
    for turn in broken {
        let (first, second) = (ScriptedModel::start([turn]).await, ScriptedModel::start([Turn::text("Yes.")]).await);
        let targets = [format!("one/{SCRIPTED}"), format!("two/{SCRIPTED}")];
        let table = vec![route("code", &[&targets[0], &targets[1]])];
        let router = router(
            vec![ollama_at("one", &first.base_url()), openai("two", &second.openai_url(), Location::Local)],
            table,
        );
        let (answer, why) = answer(&router, ask("code")).await;
        assert_eq!((answer.content.as_str(), answer.provider.as_str()), ("Yes.", "two"));
        assert_eq!(answer.fallbacks.len(), 1);
        assert_eq!((answer.fallbacks[0].provider.as_str(), answer.fallbacks[0].model.as_str()), ("one", SCRIPTED));
        assert!(why.contains(&answer.fallbacks[0].error) && why.contains("number 2"), "{why}");
    }
}

#[tokio::test]
async fn a_target_that_is_not_there_is_passed_over() {
    let model = ScriptedModel::start([Turn::text("Yes.")]).await;
    let proxy = FaultProxy::start(model.address()).await;
    proxy.set(Fault::Refuse).await;
    let (gone, there) = (format!("gone/{SCRIPTED}"), format!("ollama/{SCRIPTED}"));
    let router =
        router(vec![ollama_at("gone", &proxy.base_url()), ollama(&model)], vec![route("code", &[&gone, &there])]);
    let (answer, _) = answer(&router, ask("code")).await;
    assert_eq!(answer.content, "Yes.");
    assert!(answer.fallbacks[0].error.contains("Is it running"), "{:?}", answer.fallbacks);
}

#[tokio::test]
async fn after_the_first_byte_no_other_model_goes_on() {
    for turn in [Turn::text("Half an ans").cut(), Turn::text("Half an ans").then_error("out of memory")] {
        let (first, second) = (ScriptedModel::start([turn]).await, ScriptedModel::start([Turn::text("Yes.")]).await);
        let targets = [format!("one/{SCRIPTED}"), format!("two/{SCRIPTED}")];
        let table = vec![route("code", &[&targets[0], &targets[1]])];
        let router = router(vec![ollama_at("one", &first.base_url()), ollama_at("two", &second.base_url())], table);
        let items = items(&router, ask("code")).await;
        let Some(ModelStreamItem::Failed { code, fallbacks, .. }) = items.last() else { panic!("{items:?}") };
        assert_eq!((code.as_str(), fallbacks.len()), ("model_failed", 1));
        assert!(second.received().is_empty());
        assert!(!items.iter().any(|item| matches!(item, ModelStreamItem::Finished { .. })));
    }
}

#[tokio::test]
async fn a_reset_in_the_middle_is_never_an_answer() {
    let model = ScriptedModel::start([Turn::text("One two three four five six").piece_bytes(1)]).await;
    let proxy = FaultProxy::start(model.address()).await;
    let router = router(vec![ollama_at("ollama", &proxy.base_url())], vec![]);
    router.models().await;
    proxy.set(Fault::ResetAfter(1500)).await;
    let (code, message, _) = failure(&router, ask(&format!("ollama/{SCRIPTED}"))).await;
    assert_eq!(code, "model_failed");
    assert!(message.contains("was cut"), "{message}");
}

#[tokio::test]
async fn a_prompt_that_does_not_fit_goes_to_a_larger_window_only() {
    let too_long = || Turn::error(400, "the input length exceeds the context length");
    let models = [
        ServedModel::new("small").context_tokens(2048),
        ServedModel::new("same").context_tokens(2048),
        ServedModel::new("large").context_tokens(8192),
    ];
    let server = ScriptedModel::serve(models.clone(), [too_long(), Turn::text("It fits.")]).await;
    let table = vec![route("code", &["ollama/small", "ollama/same", "ollama/large"])];
    let (answer, _) = answer(&router(vec![ollama(&server)], table), ask("code")).await;
    assert_eq!((answer.model.as_str(), answer.fallbacks.len()), ("large", 1));
    assert_eq!(server.received().len(), 2, "a window of the same size is not tried");

    let server = ScriptedModel::serve(models, [too_long(), Turn::error(503, "busy")]).await;
    let table = vec![route("code", &["ollama/small", "ollama/large"])];
    let (code, message, fallbacks) = failure(&router(vec![ollama(&server)], table), ask("code")).await;
    assert_eq!(code, "context_length_exceeded", "what the caller can mend comes first");
    assert!(message.starts_with("none of 2 targets of `code` answered"), "{message}");
    assert_eq!(fallbacks.len(), 2);
}

#[tokio::test]
async fn tools_go_to_models_that_have_them_if_there_is_one() {
    let models = [ServedModel::new("plain").capabilities(&["completion"]), ServedModel::new("handy")];
    let server =
        ScriptedModel::serve(models, [Turn::tool("shell", json!({"command": "ls"})), Turn::text("Hello.")]).await;
    let router = router(vec![ollama(&server)], vec![route("code", &["ollama/plain", "ollama/handy"])]);
    let mut call = ask("code");
    call.tools = vec![ToolSpec {
        name: "shell".to_owned(),
        description: "Runs a command.".to_owned(),
        parameters: json!({"type": "object"}),
    }];
    let (with_tools, why) = answer(&router, call).await;
    assert_eq!((with_tools.model.as_str(), with_tools.finish_reason), ("handy", FinishReason::ToolCalls));
    assert_eq!(with_tools.tool_calls[0].arguments, json!({"command": "ls"}));
    assert!(why.contains("without tool calls of their own are left out"), "{why}");
    let (without, why) = answer(&router, ask("code")).await;
    assert_eq!((without.model.as_str(), why.as_str()), ("plain", "route `code` names it first"));
}

#[tokio::test]
async fn what_a_content_filter_refused_is_not_asked_elsewhere() {
    let first = ScriptedModel::start([Turn::error(400, "blocked by content_filter")]).await;
    let second = ScriptedModel::start([Turn::text("Yes.")]).await;
    let targets = [format!("one/{SCRIPTED}"), format!("two/{SCRIPTED}")];
    let table = vec![route("code", &[&targets[0], &targets[1]])];
    let router = router(vec![ollama_at("one", &first.base_url()), ollama_at("two", &second.base_url())], table);
    let (code, _, _) = failure(&router, ask("code")).await;
    assert_eq!((code.as_str(), second.received().len()), ("model_failed", 0));
}
