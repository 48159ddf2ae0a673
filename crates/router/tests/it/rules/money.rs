//! What a call may come to is held before anybody is asked, over all targets of its route.

use super::bounds::told;
use crate::stage::{CALLERS, DIALECTS, MODEL, Stage, mounted, question, streamed, unstreamed};
use protocol::{KeyPolicy, Location, ModelCallState};
use router::{accounts::Prices, dialect::Dialect};
use serde_json::json;
use std::time::Duration;
use testkit::{FaultyModel, Reply, Wire};

const CHAT: Dialect = Dialect::OpenAiChat;

/// Providers with what a million tokens in and out cost there, in millionths of a US dollar.
pub fn priced(providers: &[(&str, u64, u64)]) -> Prices {
    let line = |(name, input, output): &(&str, u64, u64)| {
        let usd = |microusd: u64| microusd as f64 / 1_000_000.0;
        let (input, output) = (usd(*input), usd(*output));
        format!("[\"{name}/{MODEL}\"]\ninput_usd_per_million = {input:.6}\noutput_usd_per_million = {output:.6}\n")
    };
    Prices::parse(&providers.iter().map(line).collect::<String>()).unwrap()
}

/// Two providers in the cloud where a token costs this many millionths of a US dollar.
async fn cloud(models: [&FaultyModel; 2], prices: [u64; 2]) -> Stage {
    let of = |at: usize, name| mounted(name, models[at].wire(), &models[at].base_url(), Location::Cloud);
    Stage::of(vec![of(0, "a"), of(1, "b")], |options| {
        let [a, b] = prices.map(|price| price * 1_000_000);
        options.prices = priced(&[("a", a, a), ("b", b, b)]);
        options.routes[0].policy.retries = 0;
    })
    .await
}

#[tokio::test]
async fn what_an_attempt_came_to_is_held_beside_what_the_next_one_may_come_to() {
    // An answer of nothing is whole, paid for, and not good enough.
    let poor = || Reply::empty().usage(100, 200);
    let body = json!({"model": "chain", "max_tokens": 100, "messages": [{"role": "user", "content": "What is it?"}]});
    // The second target may come to some 110: before it there were 300.
    for (budget, asked) in [(350, 0), (450, 1)] {
        let a = FaultyModel::start(Wire::OpenAiChat).await.then(poor());
        let b = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text("Fine.").usage(7, 3));
        let stage = cloud([&a, &b], [1, 1]).await;
        let policy = KeyPolicy { budget_microusd: Some(budget), ..KeyPolicy::default() };
        stage.books.accounts().set_policy(stage.principal, policy);
        let answer = stage.ask(CHAT, &body, &[]).await;
        assert_eq!((a.received().len(), b.received().len()), (1, asked), "{budget}: {answer:?}");
        let account = stage.books.accounts().account(stage.principal).unwrap();
        let spent = 300 + 10 * asked as u64;
        assert_eq!((account.total.microusd, account.reserved_microusd), (spent, 0), "{budget}: {answer:?}");
        let record = stage.record(&answer).await;
        assert_eq!(record.cost_microusd, Some(spent), "{budget}");
        assert!(account.total.microusd <= budget);
    }
}

#[tokio::test]
async fn a_try_that_there_is_no_money_for_is_not_made() {
    let body = json!({"model": "chain", "max_tokens": 100, "messages": [{"role": "user", "content": "What is it?"}]});
    let a = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::empty().usage(100, 200));
    let providers = vec![mounted("a", Wire::OpenAiChat, &a.base_url(), Location::Cloud)];
    let stage = Stage::of(providers, |options| {
        options.prices = priced(&[("a", 1_000_000, 1_000_000)]);
        options.routes[0].policy.retries = 3;
    })
    .await;
    let policy = KeyPolicy { budget_microusd: Some(450), ..KeyPolicy::default() };
    stage.books.accounts().set_policy(stage.principal, policy);
    let answer = stage.ask(CHAT, &body, &[]).await;
    assert_eq!((answer.status, a.received().len()), (200, 2), "the second one had room, a third one has none");
    assert_eq!(stage.record(&answer).await.cost_microusd, Some(600));
}

#[tokio::test]
async fn calls_at_once_cannot_spend_more_than_there_is() {
    let model = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text("one two three").usage(10, 90));
    let providers = vec![mounted("a", Wire::OpenAiChat, &model.base_url(), Location::Cloud)];
    let stage = Stage::of(providers, |options| options.prices = priced(&[("a", 1_000_000, 1_000_000)])).await;
    let policy = KeyPolicy { budget_microusd: Some(350), ..KeyPolicy::default() };
    stage.books.accounts().set_policy(stage.principal, policy);
    let body = json!({"model": "chain", "max_tokens": 90, "messages": [{"role": "user", "content": "What is it?"}]});
    let answers = futures_util::future::join_all((0..20).map(|_| stage.ask(CHAT, &body, &[]))).await;
    let answered = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(model.received().len(), answered, "nobody is asked what cannot be paid");
    assert!((1..=3).contains(&answered), "{answered}");
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 429)), "{answers:?}");
    let account = stage.books.accounts().account(stage.principal).unwrap();
    assert_eq!((account.total.microusd, account.reserved_microusd), (100 * answered as u64, 0));
}

#[tokio::test]
async fn a_dead_key_rests_and_the_others_go_on_in_turn() {
    let model = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::bad_key()).then(Reply::text("Fine."));
    let keys = ["sk-one", "sk-two", "sk-three"];
    let provider = crate::stage::keyed("a", Wire::OpenAiChat, &model.base_url(), Location::Local, &keys);
    let stage = Stage::of(vec![provider], |_| ()).await;
    for _ in 0..8 {
        let answer = stage.ask(CHAT, &streamed(CHAT), &[]).await;
        assert_eq!((answer.status, answer.said().as_str()), (200, "Fine."), "{answer:?}");
    }
    let used: Vec<_> = model.received().iter().map(|request| request.headers["authorization"].clone()).collect();
    let times = |key: &String| used.iter().filter(|used| *used == key).count();
    let (dead, living): (Vec<_>, Vec<_>) =
        keys.map(|key| format!("Bearer {key}")).into_iter().partition(|key| *key == used[0]);
    assert_eq!((used.len(), dead.iter().map(times).sum::<usize>()), (9, 1), "{used:?}");
    assert!(living.iter().all(|key| times(key) >= 2), "{used:?}");
}

#[tokio::test]
async fn a_call_that_nobody_could_answer_costs_nothing() {
    let a = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::status(500));
    let b = FaultyModel::start(Wire::Anthropic).await.then(Reply::status(500));
    let stage = cloud([&a, &b], [1, 2]).await;
    let answer = stage.ask(CHAT, &unstreamed(CHAT), &[]).await;
    let record = stage.record(&answer).await;
    assert_eq!((record.state, record.cost_microusd), (ModelCallState::Failed, Some(0)), "{record:?}");
    let account = stage.books.accounts().account(stage.principal).unwrap();
    assert_eq!((account.total.tokens, account.reserved_microusd, account.running_requests), (0, 0, 0));
}

/// One provider in the cloud where a token costs a millionth of a US dollar, and a key with this much of them.
async fn one(model: &FaultyModel, budget_microusd: u64) -> Stage {
    let providers = vec![mounted("a", model.wire(), &model.base_url(), Location::Cloud)];
    let stage = Stage::of(providers, |options| {
        options.prices = priced(&[("a", 1_000_000, 1_000_000)]);
        options.routes[0].policy.retries = 0;
    })
    .await;
    let policy = KeyPolicy { budget_microusd: Some(budget_microusd), ..KeyPolicy::default() };
    stage.books.accounts().set_policy(stage.principal, policy);
    stage
}

#[tokio::test]
async fn an_answer_without_counts_is_paid_for_what_was_asked_and_heard() {
    let said = "word ".repeat(400);
    for wire in Wire::ALL {
        for dialect in DIALECTS {
            for stream in [true, false] {
                let model = FaultyModel::start(wire).await.then(Reply::text(said.trim_end()).usage(0, 0));
                let stage = one(&model, 1_000_000).await;
                let answer = stage.ask(dialect, &question(dialect, stream), &[]).await;
                let case = format!("{dialect:?} over {wire:?}, stream: {stream}: {answer:?}");
                let account = stage.books.accounts().account(stage.principal).unwrap();
                assert!((500..700).contains(&account.total.tokens), "{} {case}", account.total.tokens);
                assert_eq!(account.total.microusd, account.total.tokens, "{case}");
                assert_eq!(stage.record(&answer).await.cost_microusd, Some(account.total.microusd), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn several_answers_at_once_are_held_and_paid_as_many_times() {
    let body = |choices: u32| json!({"model": "chain", "max_tokens": 100, "n": choices, "messages": [{"role": "user", "content": "x"}]});
    for (choices, budget, asked) in [(1, 300, 1), (2, 300, 1), (4, 300, 0), (4, 500, 1)] {
        let model = FaultyModel::start(Wire::OpenAiChat).await;
        let stage = one(&model, budget).await;
        let answer = stage.ask(CHAT, &body(choices), &[]).await;
        assert_eq!(model.received().len(), asked, "{choices} answers with {budget}: {answer:?}");
        assert_eq!(answer.status, if asked == 1 { 200 } else { 429 }, "{answer:?}");
    }
    // The same for a cap on one call, and where nobody set a bound: what the model can write, as often.
    for (choices, bound, cap, asked) in
        [(1, Some(100), 200, 1), (4, Some(100), 200, 0), (1, None, 9_000, 1), (2, None, 9_000, 0), (2, None, 17_000, 1)]
    {
        let model = FaultyModel::start(Wire::OpenAiChat).await;
        let providers = vec![mounted("a", Wire::OpenAiChat, &model.base_url(), Location::Cloud)];
        let stage = Stage::of(providers, |options| {
            options.prices = priced(&[("a", 1_000_000, 1_000_000)]);
            options.routes[0].policy.cost_cap_microusd = Some(cap);
        })
        .await;
        let mut body = body(choices);
        body["max_tokens"] = json!(bound);
        let answer = stage.ask(CHAT, &body, &[]).await;
        assert_eq!(model.received().len(), asked, "{choices} answers, {bound:?}, {cap}: {answer:?}");
        if let Some(received) = model.received().first() {
            assert_eq!(received.body["max_tokens"], json!(bound.unwrap_or(8_192)), "{choices} answers: {answer:?}");
        }
    }
}

#[tokio::test]
async fn where_money_is_capped_a_request_without_a_bound_gets_one() {
    for wire in [Wire::OpenAiChat, Wire::OpenAiResponses, Wire::Anthropic] {
        for (what, budget, location, asked, bound) in [
            ("money is capped", Some(1_000_000), Location::Cloud, None, Some(8_192)),
            ("the caller set one", Some(1_000_000), Location::Cloud, Some(50_000), Some(50_000)),
            ("nothing is capped", None, Location::Cloud, None, None),
            ("it costs nothing", Some(1_000_000), Location::Local, None, None),
        ] {
            let model = FaultyModel::start(wire).await;
            let providers = vec![mounted("a", wire, &model.base_url(), location)];
            let stage = Stage::of(providers, |options| options.prices = priced(&[("a", 1_000_000, 1_000_000)])).await;
            let policy = KeyPolicy { budget_microusd: budget, ..KeyPolicy::default() };
            stage.books.accounts().set_policy(stage.principal, policy);
            let mut body = unstreamed(CHAT);
            body["max_tokens"] = json!(asked);
            let answer = stage.ask(CHAT, &body, &[]).await;
            assert_eq!(answer.status, 200, "{what} {wire:?}: {answer:?}");
            // This vendor demands one, so there always is one.
            let bound = bound.or((wire == Wire::Anthropic).then_some(8_192));
            assert_eq!(told(wire, &model.received()[0].body).0, bound, "{what} {wire:?}");
        }
    }
}

#[tokio::test]
async fn a_cap_says_of_every_target_what_it_could_cost_in_dollars() {
    for dialect in CALLERS {
        let (a, b) = (FaultyModel::start(Wire::OpenAiChat).await, FaultyModel::start(Wire::Anthropic).await);
        let providers =
            [("a", &a), ("b", &b)].map(|(name, model)| mounted(name, model.wire(), &model.base_url(), Location::Cloud));
        let stage = Stage::of(providers.into(), |options| {
            options.prices = priced(&[("a", 1_000_000, 1_000_000)]);
            options.routes[0].policy.cost_cap_microusd = Some(10);
        })
        .await;
        let answer = stage.ask(dialect, &streamed(dialect), &[]).await;
        let (error, what) = (answer.error(), format!("{dialect:?}: {answer:?}"));
        for word in
            ["a/faulty:latest: it could cost $0.0", "$0.00001 a call", "b/faulty:latest: its price is not known"]
        {
            assert!(error.contains(word), "`{word}`, {what}");
        }
        let record = stage.record(&answer).await;
        assert_eq!((record.attempts.len(), record.fallbacks), (0, 0), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_was_sent_a_prompt_is_paid_for_it() {
    let deadline = &[("x-devmesh-deadline-ms", "300")][..];
    for (what, reply, headers, paid) in [
        ("silence", Reply::never_answers(), &[][..], true),
        ("nothing but a head", Reply::hang_after_head(), &[], true),
        ("a deadline", Reply::never_answers(), deadline, true),
        ("a reset", Reply::text("never").reset_after(0), &[], true),
        ("a refusal", Reply::status(400), &[], false),
        ("a failure", Reply::status(500), &[], false),
        ("an unknown key", Reply::bad_key(), &[], false),
    ] {
        let model = FaultyModel::start(Wire::OpenAiChat).await.then(reply);
        let stage = one(&model, 1_000_000).await;
        stage.ask(CHAT, &streamed(CHAT), headers).await;
        let account = stage.books.accounts().account(stage.principal).unwrap();
        assert_eq!((account.total.tokens > 0, account.reserved_tokens), (paid, 0), "{what}: {account:?}");
    }
    let nobody = FaultyModel::refusing();
    let providers = vec![mounted("a", Wire::OpenAiChat, &nobody.base_url(Wire::OpenAiChat), Location::Cloud)];
    let stage = Stage::of(providers, |_| ()).await;
    stage.ask(CHAT, &streamed(CHAT), &[]).await;
    assert_eq!(stage.books.accounts().account(stage.principal).unwrap().total.tokens, 0, "nobody was there");
    // A caller that leaves before the first word.
    let model = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::never_answers());
    let stage = one(&model, 1_000_000).await;
    let (router, inbound) = (stage.router.clone(), stage.inbound(CHAT, &streamed(CHAT), &[]));
    let call = tokio::spawn(async move { router.answer(inbound).await.status() });
    model.wait_for(1).await;
    call.abort();
    let _ = call.await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(stage.books.accounts().account(stage.principal).unwrap().total.tokens > 0);
}

#[tokio::test]
async fn an_image_is_an_image_in_every_dialect() {
    let data = "A".repeat(1_900_000);
    let text = json!({"type": "text", "text": "What is this?"});
    let url = format!("data:image/png;base64,{data}");
    let source = json!({"type": "base64", "media_type": "image/png", "data": data});
    let messages = |content| json!([{"role": "user", "content": content}]);
    let input = json!([{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]);
    for (dialect, mut body) in [
        (CHAT, json!({"messages": messages(json!([{"type": "image_url", "image_url": {"url": url}}, text]))})),
        (Dialect::OpenAiResponses, json!({"input": input})),
        (Dialect::Anthropic, json!({"messages": messages(json!([{"type": "image", "source": source}, text]))})),
        (Dialect::OllamaChat, json!({"messages": [{"role": "user", "content": "What is this?", "images": [data]}]})),
        (Dialect::OllamaGenerate, json!({"prompt": "What is this?", "images": [data]})),
    ] {
        body["model"] = json!("chain");
        body["max_tokens"] = json!(50);
        let model = FaultyModel::start(Wire::OpenAiChat).await;
        let stage = Stage::over(&[&model]).await;
        let policy = KeyPolicy { budget_tokens: Some(10_000), ..KeyPolicy::default() };
        stage.books.accounts().set_policy(stage.principal, policy);
        let answer = stage.ask(dialect, &body, &[]).await;
        assert_eq!(answer.status, 200, "{dialect:?}: {:.300}", answer.body);
    }
}
