//! What a target's failure leads to, as long as the caller has nothing yet.

use crate::stage::{DIALECTS, KEY, Stage, keyed, mounted, question, streamed, unstreamed};
use protocol::Location;
use router::dialect::Dialect;
use std::time::Duration;
use testkit::{FaultyModel, Reply, RetryAfter, Wire};
use tokio::time::Instant;

/// What each model was asked, in numbers.
fn asked(models: &[&FaultyModel]) -> Vec<usize> {
    models.iter().map(|model| model.received().len()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_passing_failure_is_tried_again_at_the_same_target() {
    for wire in Wire::ALL {
        for dialect in DIALECTS {
            for stream in [true, false] {
                let a = FaultyModel::start(wire).await.then(Reply::text("Forty two.").status_once(503));
                let b = FaultyModel::start(Wire::OpenAiChat).await;
                let stage = Stage::over(&[&a, &b]).await;
                let answer = stage.ask(dialect, &question(dialect, stream), &[]).await;
                let case = format!("{dialect:?} over {wire:?}, stream: {stream}: {answer:?}");
                assert_eq!((answer.status, answer.said().as_str()), (200, "Forty two."), "{case}");
                assert_eq!(answer.header("x-devmesh-provider"), Some("a"), "{case}");
                assert_eq!(answer.header("x-devmesh-fallbacks"), Some("0"), "{case}");
                assert_eq!(asked(&[&a, &b]), [2, 0], "{case}");
            }
        }
    }
}

/// What the first target does, and how often it is asked before the second one answers.
fn led_on() -> Vec<(&'static str, Reply, usize)> {
    let never = "sorry, no such luck";
    vec![
        ("500 always", Reply::status(500), 2),
        ("503 always", Reply::status(503), 2),
        ("429 without a wait", Reply::rate_limited(RetryAfter::None), 2),
        ("429 with a long wait", Reply::rate_limited(RetryAfter::Seconds(600)), 1),
        ("401", Reply::bad_key(), 1),
        ("402", Reply::status(402), 1),
        ("403", Reply::status(403), 1),
        ("404", Reply::status(404), 1),
        ("400", Reply::status(400), 1),
        ("another content type", Reply::text(never).wrong_content_type(), 2),
        ("no head", Reply::never_answers(), 1),
        ("nothing but a head", Reply::hang_after_head(), 1),
        ("nothing but a role", Reply::role_only_then_stall(), 1),
        ("cut before content", Reply::text(never).cut_after(0), 2),
        ("reset before content", Reply::text(never).reset_after(0), 2),
        ("stall before content", Reply::text(never).stall_after(0), 1),
        ("an error before content", Reply::text(never).error_after(0, "oh dear"), 2),
        ("garbage only", Reply::garbage_only(), 2),
        ("nothing", Reply::empty(), 2),
    ]
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_before_content_leads_on_and_leaves_no_trace() {
    let mut wrong = Vec::new();
    for (at, wire) in Wire::ALL.into_iter().enumerate() {
        for (number, (what, reply, times)) in led_on().into_iter().enumerate() {
            // Its own dialect, whose bytes may pass as they are, and another one in turn.
            let other = DIALECTS[(at + 1 + number % 3) % 4];
            for (dialect, stream) in [(DIALECTS[at], true), (DIALECTS[at], false), (other, number % 2 == 0)] {
                let a = FaultyModel::start(wire).await.then(reply.clone());
                let b = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text("Forty two."));
                let stage = Stage::over(&[&a, &b]).await;
                let answer = stage.ask(dialect, &question(dialect, stream), &[]).await;
                let told = |name| answer.header(name).unwrap_or_default().to_owned();
                let who = (told("x-devmesh-provider"), told("x-devmesh-fallbacks"));
                let seen = (answer.status, answer.said(), who, asked(&[&a, &b]));
                let expected = (200, "Forty two.".to_owned(), ("b".to_owned(), "1".to_owned()), vec![times, 1]);
                let tells = answer.body.contains("sorry") || answer.body.contains("oh dear");
                if seen != expected || tells || (stream && !answer.is_whole()) {
                    wrong.push(format!("{what}, {dialect:?} over {wire:?}, stream {stream}: {seen:?} {tells}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_leads_on() {
    for wire in Wire::ALL {
        let nobody = FaultyModel::refusing();
        let b = FaultyModel::start(Wire::Ollama).await.then(Reply::text("Forty two."));
        let providers = vec![
            mounted("a", wire, &nobody.base_url(wire), Location::Local),
            mounted("b", Wire::Ollama, &b.base_url(), Location::Local),
        ];
        let stage = Stage::of(providers, |_| ()).await;
        let answer = stage.ask(Dialect::Anthropic, &streamed(Dialect::Anthropic), &[]).await;
        assert_eq!((answer.status, answer.said().as_str()), (200, "Forty two."), "{wire:?}: {answer:?}");
        assert_eq!(answer.header("x-devmesh-provider"), Some("b"), "{wire:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_a_provider_asks_for_is_kept() {
    // A date knows whole seconds only.
    for (how, least, most) in [
        (RetryAfter::Seconds(2), 2_000, 2_700),
        (RetryAfter::Millis(1_500), 1_500, 2_200),
        (RetryAfter::Date(Duration::from_secs(2)), 900, 2_700),
    ] {
        for wire in Wire::ALL {
            let a = FaultyModel::start(wire).await.then(Reply::rate_limited(how)).then(Reply::text("Now."));
            let b = FaultyModel::start(Wire::OpenAiChat).await;
            let stage = Stage::over(&[&a, &b]).await;
            let answer = stage.ask(Dialect::OpenAiChat, &streamed(Dialect::OpenAiChat), &[]).await;
            assert_eq!(
                (answer.said().as_str(), asked(&[&a, &b])),
                ("Now.", vec![2, 0]),
                "{how:?} {wire:?}: {answer:?}"
            );
            let waited = (a.received()[1].at - a.received()[0].at).as_millis();
            assert!((least..=most).contains(&waited), "{how:?} of {wire:?}: {waited} ms");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_wants_a_long_rest_gets_it_while_another_one_is_there() {
    let a = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::rate_limited(RetryAfter::Seconds(600)));
    let b = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text("Forty two."));
    let stage = Stage::over(&[&a, &b]).await;
    let begun = Instant::now();
    for _ in 0..3 {
        let answer = stage.ask(Dialect::OpenAiChat, &unstreamed(Dialect::OpenAiChat), &[]).await;
        assert_eq!(answer.said(), "Forty two.", "{answer:?}");
    }
    assert_eq!(asked(&[&a, &b]), [1, 3]);
    assert!(begun.elapsed() < Duration::from_secs(1), "nobody waits for a rest: {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn of_two_keys_the_bad_one_is_set_aside() {
    let a = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::bad_key()).then(Reply::text("Forty two."));
    let keys = ["sk-bad", KEY];
    let stage = Stage::of(vec![keyed("a", Wire::OpenAiChat, &a.base_url(), Location::Local, &keys)], |_| ()).await;
    for _ in 0..3 {
        let answer = stage.ask(Dialect::OpenAiChat, &streamed(Dialect::OpenAiChat), &[]).await;
        assert_eq!((answer.status, answer.said().as_str()), (200, "Forty two."), "{answer:?}");
    }
    let used: Vec<_> = a.received().iter().map(|request| request.headers["authorization"].clone()).collect();
    let good = used.iter().filter(|key| **key == used[1]).count();
    assert_eq!((used.len(), good), (4, 3), "the refused key was used again: {used:?}");
}

#[tokio::test(start_paused = true)]
async fn the_providers_bad_key_is_never_the_callers() {
    for dialect in DIALECTS {
        let a = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::bad_key());
        let stage = Stage::over(&[&a]).await;
        let answer = stage.ask(dialect, &streamed(dialect), &[]).await;
        assert!(answer.status >= 500, "{dialect:?}: {answer:?}");
        assert!(!answer.body.contains(KEY), "{answer:?}");
        assert_eq!(answer.header("x-should-retry"), Some("false"), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn refused_content_is_told_and_not_routed_around() {
    for wire in [Wire::OpenAiChat, Wire::OpenAiResponses, Wire::Anthropic] {
        for dialect in DIALECTS {
            let a = FaultyModel::start(wire).await.then(Reply::filtered());
            let b = FaultyModel::start(Wire::OpenAiChat).await;
            let stage = Stage::over(&[&a, &b]).await;
            let answer = stage.ask(dialect, &streamed(dialect), &[]).await;
            let case = format!("{dialect:?} over {wire:?}: {answer:?}");
            assert_eq!(asked(&[&a, &b]), [1, 0], "{case}");
            assert!((400..500).contains(&answer.status), "{case}");
            assert!(!answer.error().is_empty(), "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_a_filter_ends_is_passed_on() {
    for wire in [Wire::OpenAiChat, Wire::OpenAiResponses, Wire::Anthropic] {
        for stream in [true, false] {
            let a = FaultyModel::start(wire).await.then(Reply::text("Forty").filtered_while_answering());
            let b = FaultyModel::start(Wire::OpenAiChat).await;
            let stage = Stage::over(&[&a, &b]).await;
            let answer = stage.ask(Dialect::OpenAiChat, &question(Dialect::OpenAiChat, stream), &[]).await;
            assert_eq!(asked(&[&a, &b]), [1, 0], "{wire:?}: {answer:?}");
            assert_eq!(answer.said(), "Forty", "{wire:?}: {answer:?}");
            assert!(answer.body.contains(r#""finish_reason":"content_filter""#), "{wire:?}: {answer:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_asked_everybody_in_vain_is_told_so_in_the_own_dialect() {
    for dialect in DIALECTS {
        for stream in [true, false] {
            let a = FaultyModel::start(Wire::Anthropic).await.then(Reply::status(500));
            let b = FaultyModel::start(Wire::Ollama).await.then(Reply::status(500));
            let stage = Stage::over(&[&a, &b]).await;
            let answer = stage.ask(dialect, &question(dialect, stream), &[]).await;
            assert!(answer.status >= 500, "{dialect:?}: {answer:?}");
            assert_eq!(answer.header("x-should-retry"), None, "it may pass: {dialect:?}: {answer:?}");
            assert!(answer.error().contains("no other target"), "{}", answer.error());
            assert_eq!(asked(&[&a, &b]), [2, 2], "{dialect:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_in_one_body_may_take_longer_than_a_first_token() {
    for wire in [Wire::OpenAiChat, Wire::OpenAiResponses, Wire::Anthropic] {
        for location in [Location::Local, Location::Cloud] {
            let dialect = match wire {
                Wire::Anthropic => Dialect::Anthropic,
                Wire::OpenAiResponses => Dialect::OpenAiResponses,
                _ => Dialect::OpenAiChat,
            };
            let slow =
                FaultyModel::start(wire).await.then(Reply::text("one two").first_after(Duration::from_millis(300)));
            let providers = vec![mounted("a", wire, &slow.base_url(), location)];
            let stage = Stage::of(providers, |options| {
                let token = Duration::from_millis(50);
                options.limits.first_token_loaded = token;
                options.limits.first_token_cold = token;
                options.limits.first_token_cloud = token;
                options.limits.headers_cloud = token;
                options.limits.one_body = Duration::from_secs(20);
            })
            .await;
            let answer = stage.ask(dialect, &unstreamed(dialect), &[]).await;
            assert_eq!((answer.status, slow.received().len()), (200, 1), "{wire:?} {location:?}: {}", answer.body);
        }
    }
}
