//! Limits of routes, keys and callers, as they stand in the body that the provider receives and on the clock.

use super::money::priced;
use crate::stage::{CHAIN, DIALECTS, MODEL, Stage, mounted, question, streamed};
use protocol::{Egress, Location};
use router::{Caller, dialect::Dialect};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{FaultyModel, Reply, Wire};
use tokio::time::Instant;

const CHAT: Dialect = Dialect::OpenAiChat;

/// A question with a bound on its answer and a temperature, where the dialect has them.
fn asking(dialect: Dialect, most: Option<u32>, temperature: f64) -> Value {
    let mut body = question(dialect, true);
    match dialect {
        Dialect::OllamaChat => {
            body["options"] = json!({"temperature": temperature});
            if let Some(most) = most {
                body["options"]["num_predict"] = json!(most);
            }
        }
        _ => {
            let field = if dialect == Dialect::OpenAiResponses { "max_output_tokens" } else { "max_tokens" };
            body["temperature"] = json!(temperature);
            if let Some(most) = most {
                body[field] = json!(most);
            }
        }
    }
    body
}

/// The same two as a provider is told them.
pub fn told(wire: Wire, body: &Value) -> (Option<u64>, Option<f64>) {
    let (bounds, place) = match wire {
        Wire::OpenAiChat => (["max_completion_tokens", "max_tokens"], body),
        Wire::OpenAiResponses => (["max_output_tokens"; 2], body),
        Wire::Anthropic => (["max_tokens"; 2], body),
        Wire::Ollama => (["num_predict"; 2], &body["options"]),
    };
    let bound = bounds.into_iter().find_map(|name| place.get(name)?.as_u64());
    (bound, place["temperature"].as_f64().map(|number| (number * 100.0).round() / 100.0))
}

#[tokio::test]
async fn the_provider_is_told_the_lowest_bound_and_a_temperature_within_the_routes() {
    // What the caller asks, what the key allows, and what the provider is told; the route allows 50, and 0.2 to 0.5.
    let cases = [
        ((Some(1_000), 1.5), None, (50, 0.5)),
        ((Some(10), 0.3), None, (10, 0.3)),
        ((Some(1_000), 0.1), Some(20), (20, 0.2)),
        ((Some(10), 0.3), Some(20), (10, 0.3)),
        ((Some(30), 0.3), Some(20), (20, 0.3)),
    ];
    for wire in Wire::ALL {
        for dialect in DIALECTS {
            for ((most, temperature), key, (bound, moved)) in cases {
                let model = FaultyModel::start(wire).await;
                let stage = Stage::with(&[&model], |options| {
                    options.routes[0].policy.max_output_tokens = Some(50);
                    options.routes[0].policy.temperature = Some((0.2, 0.5));
                })
                .await;
                let mut inbound = stage.inbound(dialect, &asking(dialect, most, temperature), &[]);
                inbound.caller = Caller { max_output_tokens: key, ..Caller::new(stage.principal) };
                assert_eq!(stage.router.answer(inbound).await.status(), 200);
                let case = format!("{dialect:?} over {wire:?}: {most:?} {temperature} {key:?}");
                assert_eq!(told(wire, &model.received()[0].body), (Some(bound), Some(moved)), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn a_caller_that_sets_no_bound_gets_the_routes() {
    for wire in Wire::ALL {
        // Anthropic's callers always set one.
        for dialect in [Dialect::OpenAiChat, Dialect::OpenAiResponses, Dialect::OllamaChat] {
            let model = FaultyModel::start(wire).await;
            let policy = |options: &mut router::Options| options.routes[0].policy.max_output_tokens = Some(50);
            let stage = Stage::with(&[&model], policy).await;
            stage.ask(dialect, &asking(dialect, None, 1.0), &[]).await;
            assert_eq!(told(wire, &model.received()[0].body).0, Some(50), "{dialect:?} over {wire:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_is_tried_again_as_often_as_the_route_says() {
    for retries in [0, 1, 3] {
        let a = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::status(503));
        let b = FaultyModel::start(Wire::Ollama).await.then(Reply::text("Fine."));
        let stage = Stage::with(&[&a, &b], |options| options.routes[0].policy.retries = retries).await;
        let answer = stage.ask(CHAT, &streamed(CHAT), &[]).await;
        assert_eq!((answer.status, a.received().len(), b.received().len()), (200, 1 + retries as usize, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_holds_over_tries_targets_and_queues() {
    let busy = || Reply::status(503);
    let deadline = [("x-devmesh-deadline-ms", "400")];
    for (first, second) in [
        (Reply::never_answers(), Reply::never_answers()),
        (busy(), Reply::never_answers()),
        (Reply::role_only_then_stall(), busy()),
    ] {
        let a = FaultyModel::start(Wire::OpenAiChat).await.then(first);
        let b = FaultyModel::start(Wire::OpenAiChat).await.then(second);
        let stage = Stage::with(&[&a, &b], |options| options.routes[0].policy.retries = 8).await;
        let begun = Instant::now();
        let answer = stage.ask(CHAT, &streamed(CHAT), &deadline).await;
        assert_eq!(answer.status, 504, "{answer:?}");
        assert!(begun.elapsed() < Duration::from_millis(600), "{:?}", begun.elapsed());
    }
    let model = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::never_answers());
    let mut provider = mounted("a", Wire::OpenAiChat, &model.base_url(), Location::Local);
    provider.concurrency = 1;
    let stage = Stage::of(vec![provider], |_| ()).await;
    let (router, inbound) = (stage.router.clone(), stage.inbound(CHAT, &streamed(CHAT), &[]));
    let first = tokio::spawn(async move { router.answer(inbound).await });
    model.wait_for(1).await;
    let begun = Instant::now();
    let answer = stage.ask(CHAT, &streamed(CHAT), &deadline).await;
    assert_eq!((answer.status, model.received().len()), (504, 1), "{answer:?}");
    assert!(begun.elapsed() < Duration::from_millis(600), "{:?}", begun.elapsed());
    first.abort();
}

#[tokio::test]
async fn what_could_cost_more_than_the_routes_cap_is_not_asked() {
    let models = [FaultyModel::start(Wire::OpenAiChat).await, FaultyModel::start(Wire::OpenAiChat).await];
    let local = FaultyModel::start(Wire::Ollama).await;
    let stage = Stage::of(
        vec![
            mounted("a", Wire::OpenAiChat, &models[0].base_url(), Location::Cloud),
            mounted("b", Wire::OpenAiChat, &models[1].base_url(), Location::Cloud),
            mounted("c", Wire::Ollama, &local.base_url(), Location::Local),
        ],
        |options| {
            // A hundred tokens at a hundred each; the second one has no price.
            options.prices = priced(&[("a", 0, 100_000_000)]);
            options.routes[0].policy.cost_cap_microusd = Some(5_000);
        },
    )
    .await;
    let answer = stage.ask(CHAT, &asking(CHAT, Some(100), 1.0), &[]).await;
    assert_eq!((answer.status, answer.header("x-devmesh-provider")), (200, Some("c")), "{answer:?}");
    let record = stage.record(&answer).await;
    let why: Vec<_> = record.candidates.iter().filter(|left| !left.kept).map(|left| left.why.as_str()).collect();
    assert!(why.len() == 2 && why[0].contains("$0.01") && why[1].contains("price"), "{why:?}");
    assert!(models.iter().all(|model| model.received().is_empty()));
    // A shorter answer fits.
    let answer = stage.ask(CHAT, &asking(CHAT, Some(10), 1.0), &[]).await;
    assert_eq!(answer.header("x-devmesh-provider"), Some("a"), "{answer:?}");
}

#[tokio::test]
async fn what_a_provider_cannot_be_told_is_named_to_the_caller_and_on_record() {
    let mut body = streamed(CHAT);
    let parameters = json!({"type": "object", "properties": {}});
    body["tools"] = json!([{"type": "function", "function": {"name": "search", "parameters": parameters}}]);
    body["logit_bias"] = json!({"17": 1});
    let lost = Some("/logit_bias");
    for (wire, lost) in [(Wire::Ollama, lost), (Wire::OpenAiChat, None), (Wire::Anthropic, lost)] {
        let model = FaultyModel::start(wire).await.then(Reply::call("search", json!({})));
        let stage = Stage::over(&[&model]).await;
        let answer = stage.ask(CHAT, &body, &[]).await;
        assert_eq!((answer.status, answer.header("x-devmesh-lost-fields")), (200, lost), "{wire:?}: {answer:?}");
        assert_eq!(stage.record(&answer).await.lost_fields.first().map(String::as_str), lost, "{wire:?}");
    }
}

/// One call that took a second, one that does not end, and what becomes of a third one.
async fn third_call(egress: Egress, budget: Duration) -> (Option<String>, String) {
    let a = FaultyModel::start(Wire::Ollama)
        .await
        .then(Reply::text("Slow.").first_after(Duration::from_secs(1)))
        .then(Reply::text("one two three four").between(Duration::from_millis(500)))
        .then(Reply::text("Late."));
    let b = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text("From afar."));
    let mut first = mounted("a", Wire::Ollama, &a.base_url(), Location::Local);
    first.concurrency = 1;
    let providers = vec![first, mounted("b", Wire::OpenAiChat, &b.base_url(), Location::Cloud)];
    let mut stage = Stage::of(providers, |options| options.routes[0].policy.latency_budget = Some(budget)).await;
    stage.egress = egress;
    assert_eq!(stage.ask(CHAT, &streamed(CHAT), &[]).await.said(), "Slow.");
    let (router, inbound) = (stage.router.clone(), stage.inbound(CHAT, &streamed(CHAT), &[]));
    let second =
        tokio::spawn(async move { drop(crate::stage::Answer::read(CHAT, router.answer(inbound).await).await) });
    a.wait_for(2).await;
    let answer = stage.ask(CHAT, &streamed(CHAT), &[]).await;
    second.await.unwrap();
    let candidates = stage.record(&answer).await.candidates;
    let left = candidates.iter().find(|left| !left.kept).map(|left| left.why.clone());
    (left, answer.said())
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_breaks_the_latency_budget_spills_to_the_cloud_where_that_is_allowed() {
    let (short, long) = (Duration::from_millis(500), Duration::from_secs(30));
    let (why, said) = third_call(Egress::Allowed, short).await;
    assert!(why.is_some_and(|why| why.contains("budget of 0.5 s")));
    assert_eq!(said, "From afar.");
    assert_eq!(third_call(Egress::Allowed, long).await, (None, "Late.".to_owned()), "there is time to wait");
    let (_, said) = third_call(Egress::LocalOnly, short).await;
    assert_eq!(said, "Late.", "nothing may leave, so it waits");
}

#[tokio::test]
async fn the_explanation_tells_what_a_call_could_cost_at_most() {
    let model = FaultyModel::start(Wire::OpenAiChat).await;
    let stage = Stage::of(vec![mounted("a", Wire::OpenAiChat, &model.base_url(), Location::Cloud)], |options| {
        options.prices = priced(&[("a", 1_000_000, 10_000_000)]);
    })
    .await;
    let request = protocol::ExplainRoute { prompt_bytes: 300, max_output_tokens: Some(50), ..Default::default() };
    let caller = Caller::new(stage.principal);
    let told = stage.router.explain(CHAIN, &request, caller, Egress::Allowed).await.unwrap();
    let target = &told.targets[0];
    assert_eq!((target.target.as_str(), target.cost_at_most_microusd), (format!("a/{MODEL}").as_str(), Some(600)));
}
