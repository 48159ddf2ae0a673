//! A caller that would rather wait than read half an answer gets the whole of a good one.

use crate::stage::{CALLERS, Ends, Stage, question, streamed};
use protocol::ModelCallState;
use testkit::{FaultyModel, Reply, Wire};

const BUFFERED: &[(&str, &str)] = &[("x-devmesh-buffered", "true")];

/// What goes wrong once the answer has begun.
fn spoilt() -> Vec<(&'static str, Reply)> {
    let reply = || Reply::text("sorry no such luck");
    vec![
        ("cut", reply().cut_after(2)),
        ("reset", reply().reset_after(2)),
        ("stalled", reply().stall_after(2)),
        ("an error", reply().error_after(2, "sorry, out of memory")),
        ("cut after all its words", reply().cut_after(99)),
        ("a loop", Reply::loops("sorry,and-once-more,and-once-more-again. ", 200)),
    ]
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_bad_answer_is_seen_and_all_of_the_next_one_is() {
    for wire in Wire::ALL {
        for (number, (fault, reply)) in spoilt().into_iter().enumerate() {
            for (at, dialect) in CALLERS.into_iter().enumerate() {
                // Without a stream nothing is passed on early in any case: each fault meets half of the dialects so.
                for stream in if (at + number) % 2 == 0 { &[true, false][..] } else { &[true] } {
                    let stream = *stream;
                    let a = FaultyModel::start(wire).await.then(reply.clone());
                    let b = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text("Forty two."));
                    let stage = Stage::over(&[&a, &b]).await;
                    let answer = stage.ask(dialect, &question(dialect, stream), BUFFERED).await;
                    let what = format!("{fault} on {wire:?}, {dialect:?}, stream {stream}: {answer:?}");
                    assert_eq!((answer.status, answer.said().as_str()), (200, "Forty two."), "{what}");
                    assert!(!answer.body.contains("sorry"), "{what}");
                    assert!(!stream || answer.ends() == Ends::of_a_whole(dialect), "{what}");
                    assert_eq!(answer.header("x-devmesh-provider"), Some("b"), "{what}");
                    assert_eq!((answer.header("x-devmesh-fallbacks"), b.received().len()), (Some("1"), 1), "{what}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn where_no_answer_becomes_whole_the_status_says_so() {
    for dialect in CALLERS {
        let a = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text("sorry no such luck").cut_after(2));
        let b = FaultyModel::start(Wire::Ollama).await.then(Reply::text("sorry again").cut_after(1));
        let stage = Stage::over(&[&a, &b]).await;
        let answer = stage.ask(dialect, &streamed(dialect), BUFFERED).await;
        assert!(answer.status >= 500 && !answer.body.contains("sorry"), "{dialect:?}: {answer:?}");
        assert!(answer.error().contains("was cut"), "{dialect:?}: {answer:?}");
        assert_eq!(stage.record(&answer).await.state, ModelCallState::Failed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_can_say_it_for_all_its_callers() {
    let a = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text("sorry no such luck").cut_after(2));
    let b = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text("Forty two."));
    let stage = Stage::with(&[&a, &b], |options| options.routes[0].policy.buffered = true).await;
    let answer = stage.ask(CALLERS[0], &streamed(CALLERS[0]), &[]).await;
    assert_eq!((answer.said().as_str(), answer.body.contains("sorry")), ("Forty two.", false), "{answer:?}");
}
