//! Targets that fail again and again, answers that are not what was asked for, and time that runs out.

use crate::stage::{Stage, own_question, streamed, unstreamed};
use protocol::{Egress, ModelStreamItem};
use router::dialect::Dialect;
use std::time::Duration;
use testkit::{FaultyModel, Reply, Wire};

const CHAT: Dialect = Dialect::OpenAiChat;
const A: &str = "a/faulty:latest";

#[tokio::test(start_paused = true)]
async fn a_target_that_keeps_failing_is_left_alone_and_tried_again_later() {
    for failure in [Reply::status(503), Reply::text("never").reset_after(0)] {
        let a = FaultyModel::start(Wire::OpenAiChat).await.then(failure);
        let b = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text("Forty two."));
        let stage = Stage::over(&[&a, &b]).await;
        for _ in 0..3 {
            assert_eq!(stage.ask(CHAT, &streamed(CHAT), &[]).await.said(), "Forty two.");
        }
        assert_eq!(stage.breaker(A), "open");
        let before = a.received().len();
        assert_eq!(stage.ask(CHAT, &streamed(CHAT), &[]).await.said(), "Forty two.");
        assert_eq!(a.received().len(), before, "it is not asked while it is left alone");
        a.push(Reply::text("Well again."));
        // The failing reply was the last one and comes once more; its probe makes the pause longer.
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(30)).await;
            stage.ask(CHAT, &streamed(CHAT), &[]).await;
        }
        let answer = stage.ask(CHAT, &streamed(CHAT), &[]).await;
        assert_eq!((answer.said().as_str(), stage.breaker(A).as_str()), ("Well again.", "closed"));
    }
}

#[tokio::test(start_paused = true)]
async fn silence_takes_as_long_as_the_limit_says_and_ends_upstream() {
    for silent in [Reply::never_answers(), Reply::hang_after_head(), Reply::role_only_then_stall()] {
        let a = FaultyModel::start(Wire::OpenAiChat).await.then(silent);
        let b = FaultyModel::start(Wire::Anthropic).await.then(Reply::text("Forty two."));
        let stage = Stage::over(&[&a, &b]).await;
        let answer = stage.ask(CHAT, &streamed(CHAT), &[]).await;
        assert_eq!(answer.said(), "Forty two.", "{answer:?}");
        let gone = a.wait_for_disconnect().await;
        let waited = gone.after_request.as_millis();
        assert!((1_000..=2_000).contains(&waited), "{waited} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flawed_answer_is_passed_on_with_its_flaw_when_nobody_does_better() {
    let a = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::empty());
    let b = FaultyModel::start(Wire::Ollama).await.then(Reply::empty());
    let stage = Stage::over(&[&a, &b]).await;
    let answer = stage.ask(CHAT, &unstreamed(CHAT), &[]).await;
    assert_eq!((answer.status, a.received().len(), b.received().len()), (200, 2, 2), "{answer:?}");
    assert!(answer.header("x-devmesh-quality").is_some(), "{answer:?}");
    assert!(stage.record(&answer).await.quality.is_some());
    assert_eq!(stage.breaker(A), "closed", "a poor answer is no broken target");
}

#[tokio::test(start_paused = true)]
async fn a_flaw_is_only_recorded_where_the_route_says_so() {
    let a = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::empty());
    let b = FaultyModel::start(Wire::Ollama).await;
    let stage = Stage::with(&[&a, &b], |options| options.routes[0].policy.enforce_quality = false).await;
    let answer = stage.ask(CHAT, &unstreamed(CHAT), &[]).await;
    assert_eq!((answer.status, a.received().len(), b.received().len()), (200, 1, 0), "{answer:?}");
    assert!(stage.record(&answer).await.quality.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_callers_own_deadline_ends_the_call() {
    let a = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::never_answers());
    let stage = Stage::over(&[&a]).await;
    let answer = stage.ask(CHAT, &streamed(CHAT), &[("x-devmesh-deadline-ms", "300")]).await;
    assert!(answer.status >= 400 && answer.error().contains("0.3 s"), "{answer:?}");
    let gone = a.wait_for_disconnect().await.after_request;
    assert!(gone < Duration::from_secs(1), "{gone:?}");
    for wrong in ["0", "-1", "soon", "1.5", "99999999999999999999"] {
        let answer = stage.ask(CHAT, &streamed(CHAT), &[("x-devmesh-deadline-ms", wrong)]).await;
        assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
    }
    assert_eq!(a.received().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_own_call_is_told_of_both_targets() {
    let a = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::status(500));
    let b = FaultyModel::start(Wire::Ollama).await.then(Reply::text("Forty two."));
    let mut stage = Stage::over(&[&a, &b]).await;
    stage.egress = Egress::LocalOnly;
    let items = stage.call(stage.own(own_question())).await;
    let Some(ModelStreamItem::Finished { answer }) = items.last() else { panic!("{items:?}") };
    assert_eq!((answer.content.as_str(), answer.provider.as_str()), ("Forty two.", "b"));
}
