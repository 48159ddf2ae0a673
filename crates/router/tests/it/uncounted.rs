//! What is told of answers whose server counts no tokens.

use crate::stage::{MODEL, Stage, own_wire, question};
use router::dialect::Dialect;
use serde_json::json;
use testkit::{FaultyModel, Reply, ServedModel};

fn without_counts(dialect: Dialect) -> Reply {
    let body = match dialect {
        Dialect::OpenAiResponses => json!({"id": "r", "object": "response", "status": "completed", "output": [
            {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [
                {"type": "output_text", "text": "Hi.", "annotations": []}]}]}),
        _ => json!({"id": "c", "object": "chat.completion", "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}]}),
    };
    Reply::verbatim(body.to_string())
}

#[tokio::test]
async fn a_model_that_did_not_count_is_told_of_until_it_counts() {
    for dialect in [Dialect::OpenAiChat, Dialect::OpenAiResponses] {
        let models = [ServedModel::new(MODEL), ServedModel::new("other")];
        let a = FaultyModel::serve(own_wire(dialect), models).await;
        let a = a.then(without_counts(dialect)).then(Reply::text("Hi.").usage(7, 2));
        let stage = Stage::over(&[&a]).await;
        let other = json!("a/other");
        for (at, model, notice, used) in [
            (1, None, false, None),
            (2, Some(&other), false, Some("9")),
            (3, None, true, Some("9")),
            (4, None, false, Some("9")),
        ] {
            let mut body = question(dialect, false);
            if let Some(model) = model {
                body["model"] = model.clone();
            }
            let answer = stage.ask(dialect, &body, &[]).await;
            let what = format!("call {at} in {dialect:?}: {answer:?}");
            let told = answer.header("x-devmesh-notice");
            assert_eq!(told.is_some_and(|notice| notice.contains("estimated")), notice, "{what}");
            assert_eq!(answer.header("x-devmesh-context-used"), used, "{what}");
            assert!(stage.record(&answer).await.tokens.unwrap().input > 0, "{what}");
        }
    }
}
