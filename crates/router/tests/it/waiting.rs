//! What a caller is told while it waits: a head before its connection is taken for dead, signs of life, its place in a
//! queue; and how long is waited for whom.

use crate::stage::{Answer, CALLERS, Ends, Stage, mounted, question, streamed, unstreamed};
use protocol::Location;
use router::{Mounted, Options, dialect::Dialect};
use std::time::Duration;
use testkit::{FaultyModel, Reply, Wire};
use tokio::time::Instant;

const CHAT: Dialect = Dialect::OpenAiChat;

fn patient(options: &mut Options) {
    let limits = &mut options.limits;
    (limits.first_token_cold, limits.first_token_loaded) = (Duration::from_secs(60), Duration::from_secs(60));
    limits.one_body = Duration::from_secs(60);
    limits.queue = Duration::from_secs(300);
}

/// What says "still there" in each dialect and adds nothing to the answer.
fn signs_of_life(answer: &Answer) -> usize {
    match answer.dialect {
        Dialect::Anthropic => answer.body.matches("event: ping").count(),
        Dialect::OllamaChat => answer.frames().iter().filter(|frame| is_empty(frame, "/message/content")).count(),
        Dialect::OllamaGenerate => answer.frames().iter().filter(|frame| is_empty(frame, "/response")).count(),
        _ => answer.body.matches(": still working\n\n").count(),
    }
}

fn is_empty(frame: &serde_json::Value, place: &str) -> bool {
    let has_notes = frame.as_object().is_some_and(|members| members.keys().any(|name| name.starts_with("x-devmesh-")));
    frame["done"] == false && frame.pointer(place).is_some_and(|text| text == "") && !has_notes
}

#[tokio::test(start_paused = true)]
async fn a_head_goes_out_before_a_slow_answer_and_life_is_shown_until_it_comes() {
    for wire in Wire::ALL {
        for dialect in CALLERS {
            let slow = Reply::text("At last.").first_after(Duration::from_secs(40));
            let model = FaultyModel::start(wire).await.then(slow);
            let stage = Stage::with(&[&model], patient).await;
            let asked = Instant::now();
            let mut body = streamed(dialect);
            body["novel"] = 1.into();
            let response = stage.begin(dialect, &body, &[]).await;
            let waited = asked.elapsed().as_secs();
            let answer = Answer::read(dialect, response).await;
            let what = format!("{dialect:?} over {wire:?}: {answer:?}");
            assert!((14..=16).contains(&waited), "{waited} s: {what}");
            assert_eq!((answer.status, answer.header("x-devmesh-provider")), (200, None), "{what}");
            assert!(answer.header("x-devmesh-request-id").is_some(), "{what}");
            assert_eq!((answer.said().as_str(), answer.ends()), ("At last.", Ends::of_a_whole(dialect)), "{what}");
            // With the head, and 15 s later. A vendor's own pings pass, too.
            let signs = signs_of_life(&answer);
            assert!(signs == 2 || dialect == Dialect::Anthropic && wire == Wire::Anthropic && signs > 2, "{what}");
            for (name, told) in [("provider", "a"), ("model", "faulty:latest"), ("fallbacks", "0")] {
                assert_eq!(answer.notes(&format!("x-devmesh-{name}")), [told], "{what}");
            }
            let translated = model.received()[0].body.get("novel").is_none();
            let lost: &[&str] = if translated { &["/novel"] } else { &[] };
            assert_eq!(answer.notes("x-devmesh-lost-fields"), lost, "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_an_early_head_a_failure_is_told_in_band_and_another_target_still_answers() {
    for dialect in CALLERS {
        let silent = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::never_answers());
        let stage = Stage::with(&[&silent], patient).await;
        let answer = stage.ask(dialect, &streamed(dialect), &[]).await;
        let Ends { heads: _, whole, errors, done } = answer.ends();
        let expected = (200, 0, 1, Ends::of_a_failed(dialect).done);
        assert_eq!((answer.status, whole, errors, done), expected, "{dialect:?}: {answer:?}");
        assert!(answer.body.contains("within 60 s"), "{dialect:?}: {answer:?}");

        let well = FaultyModel::start(Wire::Anthropic).await.then(Reply::text("Forty two."));
        let stage = Stage::with(&[&silent, &well], patient).await;
        let answer = stage.ask(dialect, &streamed(dialect), &[]).await;
        let what = format!("{dialect:?}: {answer:?}");
        assert_eq!((answer.said().as_str(), answer.ends()), ("Forty two.", Ends::of_a_whole(dialect)), "{what}");
        assert_eq!(answer.notes("x-devmesh-provider"), ["b"], "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_target_is_asked_once_and_left_within_its_limit() {
    for wire in Wire::ALL {
        for reply in [Reply::never_answers(), Reply::hang_after_head(), Reply::role_only_then_stall()] {
            for body in [streamed(CHAT), unstreamed(CHAT)] {
                let silent = FaultyModel::start(wire).await.then(reply.clone());
                let well = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text("Forty two."));
                let stage = Stage::over(&[&silent, &well]).await;
                let answer = stage.ask(CHAT, &body, &[]).await;
                let what = format!("{wire:?}, {reply:?}: {answer:?}");
                assert_eq!((answer.said().as_str(), silent.received().len()), ("Forty two.", 1), "{what}");
                let waited = silent.wait_for_disconnect().await.after_request.as_millis();
                assert!((1_000..=2_000).contains(&waited), "{waited} ms: {what}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_place_is_told_which_one_and_for_how_long() {
    for dialect in CALLERS {
        let slow = Reply::text("one two").first_after(Duration::from_secs(40));
        let model = FaultyModel::start(Wire::OpenAiChat).await.then(slow);
        let provider = mounted("a", model.wire(), &model.base_url(), Location::Local);
        let stage = Stage::of(vec![Mounted { concurrency: 1, ..provider }], patient).await;
        let ask = async |dialect| stage.ask(dialect, &streamed(dialect), &[]).await;
        let (first, second, third) = tokio::join!(ask(CHAT), ask(CHAT), ask(dialect));
        for answer in [&first, &second, &third] {
            let what = format!("{dialect:?}: {answer:?}");
            assert_eq!((answer.said().as_str(), answer.is_whole()), ("one two", true), "{what}");
        }
        assert_eq!(first.notes("x-devmesh-queue"), [] as [String; 0], "it never waited");
        // At 15 s and 30 s, before anybody knows how long a call takes. From 40 s on it is this one's turn.
        assert_eq!(second.notes("x-devmesh-queue"), ["position=1"; 2], "{dialect:?}");
        // Until 80 s, and 40 s are what the first call took.
        let told = third.notes("x-devmesh-queue");
        let (before, after) = told.split_at(2);
        assert_eq!(before, ["position=2"; 2], "{dialect:?}: {told:?}");
        assert!(after.len() >= 2 && after.iter().all(|told| told == "position=1; eta=40"), "{told:?}");
        assert!(signs_of_life(&third) >= 4, "{third:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_takes_too_long_leads_on() {
    let slow = Reply::text("one two").first_after(Duration::from_secs(40));
    let a = FaultyModel::start(Wire::OpenAiChat).await.then(slow);
    let b = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text("Forty two."));
    let provider = |name, model: &FaultyModel| mounted(name, model.wire(), &model.base_url(), Location::Local);
    let providers = vec![Mounted { concurrency: 1, ..provider("a", &a) }, provider("b", &b)];
    let stage = Stage::of(providers, |options| {
        patient(options);
        options.limits.queue = Duration::from_secs(20);
    })
    .await;
    let body = streamed(CHAT);
    let (first, second) = tokio::join!(stage.ask(CHAT, &body, &[]), stage.ask(CHAT, &body, &[]));
    assert_eq!((first.said().as_str(), second.said().as_str()), ("one two", "Forty two."), "{second:?}");
    assert_eq!(second.notes("x-devmesh-provider"), ["b"], "{second:?}");
    assert_eq!(a.received().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_limit_that_ended_an_answer_is_the_one_that_is_told() {
    let second = Duration::from_secs(1);
    let slow = Reply::text("one two three four five six").between(Duration::from_millis(600));
    for (reply, total, stream, said) in [
        (slow, second, true, "no whole answer within 1 s"),
        (Reply::never_answers(), second, true, "no whole answer within 1 s"),
        (Reply::never_answers(), second, false, "no whole answer within 1 s"),
        (Reply::never_answers(), 60 * second, true, "no answer to the request within 1.1 s"),
        (Reply::never_answers(), 60 * second, false, "no answer to the request within 1.5 s"),
    ] {
        let model = FaultyModel::start(Wire::OpenAiChat).await.then(reply.clone());
        let stage = Stage::with(&[&model], |options| {
            options.limits.total = total;
            options.limits.first_token_cold = options.limits.first_token_loaded;
        })
        .await;
        let answer = stage.ask(CHAT, &question(CHAT, stream), &[]).await;
        assert!(answer.error().contains(said), "{reply:?} {total:?} {stream}: {answer:?}");
    }
}
