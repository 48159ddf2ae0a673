//! Answers from memory: only where route and caller ask for it, only to the same question of the same caller, and told.

use crate::stage::{Answer, DIALECTS, Stage, question};
use domain::{Clock, PrincipalId};
use protocol::{Egress, ModelCallState};
use router::{Caller, dialect::Dialect};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{FaultyModel, Reply, Wire};

const CHAT: Dialect = Dialect::OpenAiChat;
const USE: [(&str, &str); 1] = [("x-devmesh-cache", "use")];

async fn keeping(model: &FaultyModel) -> Stage {
    Stage::with(&[model], |options| options.routes[0].policy.cache = Some(Duration::from_secs(60))).await
}

async fn counting() -> FaultyModel {
    let model = FaultyModel::start(Wire::OpenAiChat).await;
    ["First.", "Second.", "Third."].into_iter().for_each(|text| model.push(Reply::text(text)));
    model
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_kept_only_where_both_sides_ask_for_it() {
    for (route, caller, asked) in [(true, true, 1), (true, false, 2), (false, true, 2), (false, false, 2)] {
        let model = counting().await;
        let stage = if route { keeping(&model).await } else { Stage::over(&[&model]).await };
        let headers = if caller { &USE[..] } else { &[] };
        stage.ask(CHAT, &question(CHAT, false), headers).await;
        let second = stage.ask(CHAT, &question(CHAT, false), headers).await;
        assert_eq!(model.received().len(), asked, "{route} {caller}");
        assert_eq!(second.header("x-devmesh-cache").is_some(), asked == 1, "{second:?}");
    }
    let wrong =
        Stage::over(&[&counting().await]).await.ask(CHAT, &question(CHAT, false), &[("x-devmesh-cache", "x")]).await;
    assert_eq!(wrong.status, 400, "{wrong:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_from_memory_says_so_and_costs_nothing_in_every_dialect() {
    for dialect in DIALECTS {
        for (first, second) in [(false, true), (true, false), (true, true)] {
            let model = counting().await;
            let stage = keeping(&model).await;
            assert_eq!(stage.ask(dialect, &question(dialect, first), &USE).await.said(), "First.");
            let before = stage.books.accounts().account(stage.principal).unwrap().total;
            tokio::time::advance(Duration::from_secs(7)).await;
            let hit = stage.ask(dialect, &question(dialect, second), &USE).await;
            let case = format!("{dialect:?}: {hit:?}");
            assert_eq!((hit.status, hit.said().as_str(), model.received().len()), (200, "First.", 1), "{case}");
            assert!(!second || hit.is_whole(), "{case}");
            assert_eq!(hit.header("x-devmesh-cache"), Some("hit; age=7"), "{case}");
            assert_eq!(hit.header("x-devmesh-cost-microusd"), Some("0"), "{case}");
            let record = stage.record(&hit).await;
            assert!(record.cache_hit && record.state == ModelCallState::Succeeded && record.attempts.is_empty());
            let after = stage.books.accounts().account(stage.principal).unwrap().total;
            assert_eq!(after.tokens, before.tokens, "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn another_question_another_caller_and_another_time_are_answered_anew() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change, usize); 5] = [
        ("nothing", |_| (), 1),
        ("its user", |body| body["user"] = json!("somebody"), 1),
        ("its text", |body| body["messages"][0]["content"] = json!("What is the answer? "), 2),
        ("its bound", |body| body["max_tokens"] = json!(7), 2),
        ("its temperature", |body| body["temperature"] = json!(0.5), 2),
    ];
    for (what, change, asked) in changes {
        let model = counting().await;
        let stage = keeping(&model).await;
        let mut body = question(CHAT, false);
        stage.ask(CHAT, &body, &USE).await;
        change(&mut body);
        stage.ask(CHAT, &body, &USE).await;
        assert_eq!(model.received().len(), asked, "{what}");
    }

    let model = counting().await;
    let mut stage = keeping(&model).await;
    stage.ask(CHAT, &question(CHAT, false), &USE).await;
    let mut of_another = stage.inbound(CHAT, &question(CHAT, false), &USE);
    of_another.caller = Caller::new(PrincipalId::new(stage.clock.now()));
    assert_eq!(Answer::read(CHAT, stage.router.answer(of_another).await).await.said(), "Second.");
    // Under another rule of egress the same model might not have answered.
    stage.egress = Egress::LocalOnly;
    assert_eq!(stage.ask(CHAT, &question(CHAT, false), &USE).await.said(), "Third.");

    let model = counting().await;
    let stage = keeping(&model).await;
    for (after, said) in [(0, "First."), (59, "First."), (2, "Second.")] {
        tokio::time::advance(Duration::from_secs(after)).await;
        assert_eq!(stage.ask(CHAT, &question(CHAT, false), &USE).await.said(), said, "{after}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_no_good_answer_is_not_kept() {
    for reply in [Reply::empty(), Reply::text("one two three").cut_after(2), Reply::status(400)] {
        let model = FaultyModel::start(Wire::OpenAiChat).await.then(reply);
        let stage = keeping(&model).await;
        let poor = stage.ask(CHAT, &question(CHAT, true), &USE).await;
        model.push(Reply::text("Good."));
        // The reply before was the last one and may come once more.
        let mut answer = stage.ask(CHAT, &question(CHAT, true), &USE).await;
        if answer.said() != "Good." {
            answer = stage.ask(CHAT, &question(CHAT, true), &USE).await;
        }
        assert_eq!((answer.said().as_str(), answer.header("x-devmesh-cache")), ("Good.", None), "after {poor:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_events_cannot_tell_is_kept_to_the_byte_or_not_at_all() {
    let choice = |index: usize| {
        json!({"index": index, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop",
            "logprobs": {"content": [{"token": "Hi.", "logprob": -0.5}]}})
    };
    let whole = json!({"id": "x", "object": "chat.completion", "novel": 1, "choices": [choice(0), choice(1)],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2}});
    for change in [json!({"n": 2}), json!({"logprobs": true})] {
        let model = FaultyModel::start(Wire::OpenAiChat).await;
        model.push(Reply::http_error(200, whole.to_string()));
        model.push(Reply::text("As a stream."));
        let stage = keeping(&model).await;
        let ask = async |stream: bool| {
            let mut body = question(CHAT, stream);
            body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            stage.ask(CHAT, &body, &USE).await
        };
        assert_eq!(ask(false).await.json(), whole, "{change}");
        let again = ask(false).await;
        assert_eq!((again.json(), again.header("x-devmesh-cache")), (whole.clone(), Some("hit; age=0")), "{change}");
        let streamed = ask(true).await;
        assert_eq!(streamed.header("x-devmesh-cache"), None, "{change}: {streamed:?}");
    }
}
