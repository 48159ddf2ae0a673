//! What happens when a target breaks off after its first words: another one goes on, or the caller is told.

use crate::stage::{CALLERS, DIALECTS, Ends, MODEL, Stage, mounted, own_question, streamed, unstreamed};
use domain::{Clock, PrincipalId};
use protocol::{Location, ModelCallState, ModelStreamItem};
use router::{
    Mounted,
    dialect::Dialect,
    gateway::Body,
    providers::ollama::{Ollama, Options},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use testkit::{FaultyModel, Reply, Wire};

const WHOLE: &str = "one two three four";

fn breaks() -> [(&'static str, Reply); 4] {
    let reply = || Reply::text(WHOLE);
    [
        ("cut", reply().cut_after(2)),
        ("reset", reply().reset_after(2).between(Duration::from_millis(5))),
        ("stall", reply().stall_after(2)),
        ("error", reply().error_after(2, "out of memory")),
    ]
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_off_is_gone_on_with_by_one_that_begins_alike() {
    for wire in Wire::ALL {
        for (fault, reply) in breaks() {
            for dialect in CALLERS {
                let a = FaultyModel::start(wire).await.then(reply.clone());
                let b = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text(WHOLE));
                let stage = Stage::over(&[&a, &b]).await;
                let answer = stage.ask(dialect, &streamed(dialect), &[]).await;
                let what = format!("{fault} on {wire:?}, asked in {dialect:?}: {}", answer.body);
                assert_eq!((answer.said().as_str(), answer.is_whole()), (WHOLE, true), "{what}");
                assert_eq!(answer.ends(), Ends::of_a_whole(dialect), "{what}");
                assert_eq!(b.received().len(), 1, "{what}");
                let record = stage.record(&answer).await;
                assert_eq!((record.state, record.attempts.len()), (ModelCallState::Succeeded, 2), "{what}");
                // Both read the prompt and spoke.
                let tokens = record.tokens.unwrap();
                assert!(tokens.output > 4 && tokens.input > FaultyModel::INPUT_TOKENS, "{record:?}");
            }
        }
    }
}

#[tokio::test]
async fn two_answers_are_never_made_one_and_no_part_passes_for_the_whole() {
    for other in ["one or two", "one two", "two"] {
        for dialect in CALLERS {
            let a = FaultyModel::start(Wire::Ollama).await.then(Reply::text(WHOLE).cut_after(3));
            let b = FaultyModel::start(Wire::Anthropic).await.then(Reply::text(other));
            let stage = Stage::over(&[&a, &b]).await;
            let answer = stage.ask(dialect, &streamed(dialect), &[]).await;
            assert_eq!(answer.said().trim_end(), "one two three", "{dialect:?} {}", answer.body);
            assert_eq!(answer.ends(), Ends::of_a_failed(dialect), "{dialect:?} {}", answer.body);
            assert_eq!(stage.record(&answer).await.state, ModelCallState::Failed);
        }
    }
}

/// Two targets of which the second one goes on with an answer that was begun.
async fn with_prefill(a: &FaultyModel, b: &FaultyModel) -> Stage {
    let options = Options { name: "b".to_owned(), base_url: b.base_url(), prefill: Some(true), ..Options::default() };
    let first = mounted("a", a.wire(), &a.base_url(), Location::Local);
    Stage::of(vec![first, Mounted::new(Arc::new(Ollama::new(options).unwrap()), 4)], |_| ()).await
}

#[tokio::test]
async fn a_model_that_can_is_given_the_answer_so_far_and_goes_on() {
    for dialect in CALLERS {
        let a = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text(WHOLE).cut_after(2));
        let b = FaultyModel::start(Wire::Ollama).await.then(Reply::text(" three four"));
        let stage = with_prefill(&a, &b).await;
        let answer = stage.ask(dialect, &streamed(dialect), &[]).await;
        assert_eq!((answer.said().as_str(), answer.is_whole()), (WHOLE, true), "{dialect:?} {}", answer.body);
        let messages = b.received()[0].body["messages"].as_array().unwrap().clone();
        let last = messages.last().unwrap();
        assert_eq!((&last["role"], &last["content"]), (&"assistant".into(), &"one two".into()));
    }
}

#[tokio::test]
async fn who_goes_on_with_an_answer_has_what_is_left_of_its_limit() {
    // The caller has 8 bytes by then, some two tokens.
    for (limit, left) in [(100, 98), (3, 1), (2, 1), (1, 1)] {
        for dialect in CALLERS {
            let mut body = streamed(dialect);
            match dialect {
                Dialect::OpenAiResponses => body["max_output_tokens"] = limit.into(),
                Dialect::OllamaChat | Dialect::OllamaGenerate => body["options"]["num_predict"] = limit.into(),
                _ => body["max_tokens"] = limit.into(),
            }
            let a = FaultyModel::start(Wire::Anthropic).await.then(Reply::text(WHOLE).cut_after(2));
            let b = FaultyModel::start(Wire::Ollama).await.then(Reply::text(" three four"));
            let stage = with_prefill(&a, &b).await;
            assert_eq!(stage.ask(dialect, &body, &[]).await.said(), WHOLE, "{dialect:?}");
            let asked = &b.received()[0].body["options"]["num_predict"];
            assert_eq!(*asked, left, "{dialect:?}: the limit is {limit} for both together");
        }
    }
}

#[tokio::test]
async fn after_two_rescues_that_fail_the_caller_is_told_once() {
    for wire in Wire::ALL {
        for dialect in CALLERS {
            let cut = Reply::text(WHOLE).cut_after(2);
            let a = FaultyModel::start(wire).await.then(cut.clone());
            let b = FaultyModel::start(Wire::Anthropic).await.then(cut.clone());
            let c = FaultyModel::start(Wire::OpenAiChat).await.then(cut);
            let d = FaultyModel::start(Wire::Ollama).await.then(Reply::text(WHOLE));
            let stage = Stage::over(&[&a, &b, &c, &d]).await;
            let answer = stage.ask(dialect, &streamed(dialect), &[]).await;
            let what = format!("{dialect:?} over {wire:?}: {}", answer.body);
            assert_eq!((answer.said().as_str(), answer.ends()), ("one two ", Ends::of_a_failed(dialect)), "{what}");
            let asked = [&a, &b, &c, &d].map(|model| model.received().len());
            assert_eq!(asked, [1, 1, 1, 0], "{what}");
            let record = stage.record(&answer).await;
            assert_eq!((record.state, record.attempts.len()), (ModelCallState::Failed, 3), "{what}");
        }
    }
}

#[tokio::test]
async fn half_a_tool_call_is_never_completed_by_another_model() {
    let call = || Reply::call("search", serde_json::json!({"query": "a rather long question"}));
    let breaks = [call().cut_after(2), call().reset_after(2)];
    for (wire, call) in Wire::ALL.into_iter().flat_map(|wire| breaks.each_ref().map(|call| (wire, call))) {
        for dialect in DIALECTS {
            let a = FaultyModel::start(wire).await.then(call.clone());
            let b = FaultyModel::start(Wire::OpenAiChat).await.then(call.clone().thinking("Hm."));
            let stage = Stage::over(&[&a, &b]).await;
            let answer = stage.ask(dialect, &streamed(dialect), &[]).await;
            let what = format!("{dialect:?} over {wire:?}: {}", answer.body);
            assert_eq!(answer.ends(), Ends::of_a_failed(dialect), "{what}");
            assert_eq!((a.received().len(), b.received().len()), (1, 0), "{what}");
            for words in ["reading a body", "response body", "chunk size", "reset by peer"] {
                assert!(!answer.body.contains(words), "nobody can do anything with `{words}`, {what}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_cut_off_and_asks_again_is_answered_by_another_target() {
    let call = Reply::call("search", serde_json::json!({"query": "a rather long question"}));
    for wire in Wire::ALL {
        for dialect in DIALECTS {
            let a = FaultyModel::start(wire).await.then(call.clone().cut_after(2));
            let b = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text("From b."));
            let mut stage = Stage::over(&[&a, &b]).await;
            let what = format!("{dialect:?} over {wire:?}");
            let cut = stage.ask(dialect, &streamed(dialect), &[]).await;
            assert_eq!(cut.ends(), Ends::of_a_failed(dialect), "{what}: {cut:?}");
            let again = stage.ask(dialect, &streamed(dialect), &[]).await;
            assert_eq!((again.said().as_str(), a.received().len()), ("From b.", 1), "{what}: {again:?}");
            let record = stage.record(&again).await;
            assert!(record.candidates[0].why.contains("just broke off"), "{what}: {:?}", record.candidates);

            // Where nobody else can, it is asked all the same.
            b.push(Reply::status(400));
            a.push(Reply::text("From a."));
            assert_eq!(stage.ask(dialect, &streamed(dialect), &[]).await.said(), "From a.", "{what}");
            // Nobody else is sent elsewhere, and after a while nobody is.
            let cut_off = stage.principal;
            for (principal, later) in [(PrincipalId::new(stage.clock.now()), 0), (cut_off, 31)] {
                tokio::time::sleep(Duration::from_secs(later)).await;
                stage.principal = principal;
                assert_eq!(stage.ask(dialect, &streamed(dialect), &[]).await.said(), "From a.", "{what}, {later} s");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn half_a_tool_call_that_nobody_has_seen_is_simply_made_again() {
    let arguments = serde_json::json!({"query": "a rather long question"});
    let call = Reply::call("search", arguments.clone());
    for wire in Wire::ALL {
        for dialect in DIALECTS {
            let a = FaultyModel::start(wire).await.then(call.clone().cut_after(2));
            let b = FaultyModel::start(Wire::OpenAiChat).await.then(call.clone());
            let stage = Stage::over(&[&a, &b]).await;
            let answers = [
                stage.ask(dialect, &unstreamed(dialect), &[]).await,
                stage.ask(dialect, &streamed(dialect), &[("x-devmesh-buffered", "true")]).await,
            ];
            for answer in answers {
                assert_eq!(answer.called(), [("search".to_owned(), arguments.clone())], "{dialect:?}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_only_target_is_tried_once_more_and_own_callers_get_one_answer() {
    let a = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text(WHOLE).cut_after(2)).then(Reply::text(WHOLE));
    let stage = Stage::over(&[&a]).await;
    let items = stage.call(stage.own(own_question())).await;
    let Some(ModelStreamItem::Finished { answer }) = items.last() else { panic!("{items:?}") };
    assert_eq!((answer.content.as_str(), a.received().len()), (WHOLE, 2));
}

#[tokio::test]
async fn a_caller_that_leaves_before_the_head_or_within_the_answer_ends_the_work_and_is_booked() {
    let (mut late, question) = (Vec::new(), streamed(Dialect::OpenAiChat));
    for _ in 0..5 {
        for (reply, heard) in [(Reply::never_answers(), false), (Reply::text(WHOLE).stall_after(2), true)] {
            let a = FaultyModel::start(Wire::OpenAiChat).await.then(reply);
            let stage = Stage::over(&[&a]).await;
            let inbound = stage.inbound(Dialect::OpenAiChat, &question, &[]);
            let (id, router) = (inbound.id, stage.router.clone());
            let asking = tokio::spawn(async move { router.answer(inbound).await });
            a.wait_for(1).await;
            let left = if heard {
                let Body::Stream(stream) = asking.await.unwrap().into_body() else { panic!("{MODEL} streams") };
                let left = Instant::now();
                drop(stream);
                left
            } else {
                let left = Instant::now();
                asking.abort();
                left
            };
            a.wait_for_disconnect().await;
            late.push(left.elapsed());
            let record = stage.books.calls().get(id).await.unwrap().expect("a call on record");
            assert_eq!((record.state, record.attempts.len()), (ModelCallState::Cancelled, 1), "heard: {heard}");
            assert!(record.tokens.unwrap().input > 0, "{record:?}");
        }
    }
    late.sort();
    assert!(late[late.len() / 2] <= Duration::from_millis(100), "{late:?}");
}
