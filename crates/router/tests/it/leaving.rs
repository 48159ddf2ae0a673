//! Callers that leave before they were answered: what was meant for them ends, and nothing of it stays behind.

use crate::stage::{CALLERS, DIALECTS, Stage, mounted, question, streamed, unstreamed};
use domain::ModelCallId;
use futures_util::StreamExt;
use protocol::{Location, ModelCallRecord, ModelCallState};
use router::{Mounted, dialect::Dialect, gateway::Body};
use std::time::Duration;
use testkit::{FaultyModel, Reply, Wire, eventually};
use tokio::task::JoinHandle;

const CHAT: Dialect = Dialect::OpenAiChat;

/// Asks in the background; aborting it is leaving.
fn asking(stage: &Stage, dialect: Dialect, stream: bool) -> (ModelCallId, JoinHandle<http::Response<Body>>) {
    let inbound = stage.inbound(dialect, &question(dialect, stream), &[]);
    let (id, router) = (inbound.id, stage.router.clone());
    (id, tokio::spawn(async move { router.answer(inbound).await }))
}

async fn leave(asking: JoinHandle<http::Response<Body>>) {
    asking.abort();
    assert!(asking.await.is_err_and(|error| error.is_cancelled()), "nobody answered it");
}

async fn record(stage: &Stage, id: ModelCallId) -> ModelCallRecord {
    stage.books.calls().get(id).await.unwrap().expect("every call is on record")
}

/// Tokens and calls that are held for the stage's caller.
fn held(stage: &Stage) -> (u64, u32) {
    let account = stage.books.accounts().account(stage.principal).expect("it has asked");
    (account.reserved_tokens, account.running_requests)
}

fn waiting(stage: &Stage) -> u64 {
    stage.router.health().queues[0].waiting
}

/// A provider with one place, and somebody in it.
async fn busy(model: &FaultyModel) -> (Stage, http::Response<Body>) {
    let provider = mounted("a", model.wire(), &model.base_url(), Location::Local);
    let stage = Stage::of(vec![Mounted { concurrency: 1, ..provider }], |options| {
        options.limits.inter_token = Duration::from_secs(600);
        options.limits.queue = Duration::from_secs(600);
    })
    .await;
    let first = stage.begin(CHAT, &streamed(CHAT), &[]).await;
    (stage, first)
}

#[tokio::test]
async fn who_leaves_a_queue_was_never_there() {
    for dialect in CALLERS {
        for stream in [true, false] {
            let model = FaultyModel::start(Wire::OpenAiChat).await;
            model.push(Reply::text("one two").stall_after(1));
            model.push(Reply::text("Next."));
            let (stage, first) = busy(&model).await;
            let before = held(&stage);
            let (id, asking) = asking(&stage, dialect, stream);
            eventually("a place in the queue", async || (waiting(&stage) == 1).then_some(())).await;
            assert!(held(&stage) > before, "{dialect:?}: what it may come to is held");
            leave(asking).await;
            assert_eq!((waiting(&stage), held(&stage)), (0, before), "{dialect:?}, stream {stream}");
            let left = record(&stage, id).await;
            assert_eq!((left.state, left.attempts.len()), (ModelCallState::Cancelled, 0), "{dialect:?}: {left:?}");
            assert_eq!((left.tokens.unwrap().input, left.cost_microusd), (0, Some(0)), "{dialect:?}: {left:?}");
            drop(first);
            model.wait_for_disconnect().await;
            assert_eq!(stage.ask(CHAT, &streamed(CHAT), &[]).await.said(), "Next.", "{dialect:?}");
            assert_eq!(model.received().len(), 2, "{dialect:?}: it was asked for those that stayed");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_leaves_a_queue_after_its_head_was_never_there_either() {
    for dialect in CALLERS {
        let model = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text("one two").stall_after(1));
        let (stage, _first) = busy(&model).await;
        let before = held(&stage);
        let waits = stage.begin(dialect, &streamed(dialect), &[]).await;
        assert_eq!((waits.status().as_u16(), waiting(&stage)), (200, 1), "{dialect:?}");
        drop(waits);
        assert_eq!((waiting(&stage), held(&stage), model.received().len()), (0, before, 1), "{dialect:?}");
    }
}

#[tokio::test]
async fn who_leaves_before_the_first_word_ends_the_work_upstream() {
    for wire in Wire::ALL {
        for reply in [Reply::never_answers(), Reply::hang_after_head(), Reply::role_only_then_stall()] {
            for dialect in DIALECTS {
                for stream in [true, false] {
                    let model = FaultyModel::start(wire).await.then(reply.clone());
                    let stage = Stage::with(&[&model], |options| {
                        let limits = &mut options.limits;
                        for limit in [
                            &mut limits.first_token_cold,
                            &mut limits.first_token_loaded,
                            &mut limits.one_body,
                            &mut limits.inter_token,
                        ] {
                            *limit = Duration::from_secs(600);
                        }
                    })
                    .await;
                    let (id, asking) = asking(&stage, dialect, stream);
                    model.wait_for(1).await;
                    leave(asking).await;
                    model.wait_for_disconnect().await;
                    let left = record(&stage, id).await;
                    let what = format!("{dialect:?} over {wire:?}, stream {stream}: {left:?}");
                    assert_eq!((left.state, left.attempts.len()), (ModelCallState::Cancelled, 1), "{what}");
                    assert!(left.tokens.unwrap().input > 0, "the prompt was read: {what}");
                    assert_eq!(held(&stage), (0, 0), "{what}");
                    assert_eq!(model.received().len(), 1, "{what}");
                }
            }
        }
    }
}

#[tokio::test]
async fn who_leaves_an_answer_that_comes_in_one_body_ends_it_in_its_middle() {
    for wire in Wire::ALL {
        for dialect in DIALECTS {
            let model = FaultyModel::start(wire).await.then(Reply::text("one two three").stall_after(2));
            let stage = Stage::with(&[&model], |options| {
                options.limits.inter_token = Duration::from_secs(600);
                options.limits.one_body = Duration::from_secs(600);
            })
            .await;
            let (id, asking) = asking(&stage, dialect, false);
            model.wait_for(1).await;
            leave(asking).await;
            model.wait_for_disconnect().await;
            assert_eq!(record(&stage, id).await.state, ModelCallState::Cancelled, "{dialect:?} over {wire:?}");
            assert_eq!(held(&stage), (0, 0), "{dialect:?} over {wire:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_leaves_after_a_sign_of_life_ends_the_work_too() {
    for dialect in CALLERS {
        let model = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::never_answers());
        let stage = Stage::with(&[&model], |options| options.limits.first_token_cold = Duration::from_secs(600)).await;
        let Body::Stream(mut stream) = stage.begin(dialect, &streamed(dialect), &[]).await.into_body() else {
            panic!("{dialect:?} streams")
        };
        assert!(!stream.next().await.unwrap().unwrap().is_empty(), "{dialect:?}");
        drop(stream);
        model.wait_for_disconnect().await;
        assert_eq!(held(&stage), (0, 0), "{dialect:?}");
        // Nobody is left to hear of it, and the next caller is heard.
        model.push(Reply::text("Next."));
        assert_eq!(stage.ask(CHAT, &unstreamed(CHAT), &[]).await.said(), "Next.", "{dialect:?}");
    }
}
