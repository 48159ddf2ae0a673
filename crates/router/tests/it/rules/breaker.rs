//! A target that fails is left alone and tried carefully; one that only loads its model is not taken for a failing one.

use crate::stage::{Answer, Stage, streamed};
use protocol::TargetHealth;
use router::dialect::Dialect;
use std::time::Duration;
use testkit::{FaultyModel, Reply, ServedModel, Wire};

const CHAT: Dialect = Dialect::OpenAiChat;
const A: &str = "a/faulty:latest";

fn health(stage: &Stage) -> TargetHealth {
    stage.router.health().targets.into_iter().find(|known| known.target == A).expect("it was asked")
}

#[tokio::test(start_paused = true)]
async fn one_probe_at_a_time_decides_whether_it_is_asked_again() {
    let a = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::status(503));
    let b = FaultyModel::start(Wire::Ollama).await.then(Reply::text("From b."));
    let stage = Stage::with(&[&a, &b], |options| options.routes[0].policy.retries = 0).await;
    for failures in 1..=5 {
        stage.ask(CHAT, &streamed(CHAT), &[]).await;
        let known = health(&stage);
        let expected = if failures < 5 { ("closed", failures) } else { ("open", known.consecutive_failures) };
        assert_eq!((known.breaker.as_str(), known.consecutive_failures), expected);
    }
    let pause = health(&stage).probed_in_ms.expect("it says when");
    assert!((1..=5_000).contains(&pause), "{pause}");

    // A probe that is under way keeps others out.
    a.push(Reply::text("one two three").between(Duration::from_millis(300)));
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(stage.ask(CHAT, &streamed(CHAT), &[]).await.said(), "one two three");
    assert_eq!(health(&stage).breaker, "closed");

    a.push(Reply::status(503));
    for _ in 0..5 {
        stage.ask(CHAT, &streamed(CHAT), &[]).await;
    }
    assert_eq!((health(&stage).breaker.as_str(), health(&stage).times_opened), ("open", 2));
    a.push(Reply::text("one two three").between(Duration::from_millis(300)));
    tokio::time::sleep(Duration::from_secs(11)).await;
    let before = a.received().len();
    let (router, inbound) = (stage.router.clone(), stage.inbound(CHAT, &streamed(CHAT), &[]));
    let probe = tokio::spawn(async move { Answer::read(CHAT, router.answer(inbound).await).await });
    a.wait_for(before + 1).await;
    assert_eq!(health(&stage).breaker, "half_open");
    assert_eq!(stage.ask(CHAT, &streamed(CHAT), &[]).await.said(), "From b.", "one probe is enough");
    assert_eq!(probe.await.unwrap().said(), "one two three");
    assert_eq!((a.received().len(), health(&stage).breaker.as_str()), (before + 1, "closed"));
}

#[tokio::test(start_paused = true)]
async fn a_model_that_takes_long_to_load_is_no_failing_one() {
    for (loaded, breaker) in [(false, "closed"), (true, "open")] {
        let mut model = ServedModel::new(FaultyModel::MODEL);
        model.loaded = loaded;
        let a = FaultyModel::serve(Wire::Ollama, [model]).await.then(Reply::never_answers());
        let b = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text("From b."));
        let stage = Stage::over(&[&a, &b]).await;
        for _ in 0..6 {
            assert_eq!(stage.ask(CHAT, &streamed(CHAT), &[]).await.said(), "From b.");
        }
        assert_eq!(stage.breaker(A), breaker, "loaded: {loaded}");
        assert_eq!(a.received().len(), if loaded { 5 } else { 6 });
    }
}
