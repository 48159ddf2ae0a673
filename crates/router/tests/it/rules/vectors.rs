//! Embeddings go along their route, are paid for and leave a record, as answers do.

use super::money::priced;
use crate::stage::{Answer, CHAIN, NAMES, Stage, mounted};
use domain::ModelCallId;
use protocol::{AttemptOutcome, Egress, KeyPolicy, Location, ModelCallState};
use router::dialect::Dialect;
use serde_json::json;
use std::time::Duration;
use testkit::{FaultyModel, Reply, Wire};

const BOTH: [Dialect; 2] = [Dialect::OpenAiChat, Dialect::OllamaChat];

#[tokio::test(start_paused = true)]
async fn the_next_target_makes_them_when_the_first_one_cannot_and_the_record_says_so() {
    for dialect in BOTH {
        for (failing, reply) in [(Wire::OpenAiChat, Reply::status(500)), (Wire::Ollama, Reply::never_answers())] {
            let a = FaultyModel::start(failing).await.then(reply);
            let b = FaultyModel::start(Wire::OpenAiChat).await;
            let stage = Stage::of(
                vec![
                    mounted("a", failing, &a.base_url(), Location::Local),
                    mounted("b", Wire::OpenAiChat, &b.base_url(), Location::Cloud),
                ],
                |options| options.prices = priced(&[("b", 2_000_000, 0)]),
            )
            .await;
            let answer = stage.embed(dialect, "text", &[]).await;
            let case = format!("{dialect:?} after {failing:?}: {answer:?}");
            assert_eq!((answer.status, answer.header("x-devmesh-provider")), (200, Some("b")), "{case}");
            assert_eq!(answer.header("x-devmesh-fallbacks"), Some("1"), "{case}");
            let cost = 2 * FaultyModel::INPUT_TOKENS;
            assert_eq!(answer.header("x-devmesh-cost-microusd"), Some(cost.to_string().as_str()), "{case}");

            let record = stage.record(&answer).await;
            assert_eq!((record.state, &*record.dialect), (ModelCallState::Succeeded, "embeddings"), "{case}");
            assert_eq!((record.provider.as_deref(), record.fallbacks), (Some("b"), 1), "{case}");
            let outcomes: Vec<_> = record.attempts.iter().map(|attempt| attempt.outcome).collect();
            assert_eq!(outcomes, [AttemptOutcome::Failed, AttemptOutcome::Answered], "{case}");
            assert_eq!(record.candidates.len(), 2, "{case}");
            let tokens = record.tokens.unwrap();
            // Who was silent had the text, of one token.
            let read = FaultyModel::INPUT_TOKENS + u64::from(failing == Wire::Ollama);
            assert_eq!((tokens.input, tokens.output, record.cost_microusd), (read, 0, Some(cost)), "{case}");
            let spent = stage.books.accounts().account(stage.principal).unwrap();
            assert_eq!((spent.total.tokens, spent.total.microusd, spent.total.requests), (read, cost, 1), "{case}");
            assert_eq!((spent.reserved_tokens, spent.running_requests), (0, 0), "{case}");
            let metrics = stage.router.metrics();
            let counted = r#"dialect="embeddings",state="succeeded"} 1"#;
            assert!(metrics.contains(counted), "{case}: {metrics}");
        }
    }
}

#[tokio::test]
async fn a_target_that_the_money_is_not_enough_for_is_passed_over_for_one_that_is_free() {
    let (dear, free) = (FaultyModel::start(Wire::OpenAiChat).await, FaultyModel::start(Wire::Ollama).await);
    for prices in [priced(&[("a", 1_000_000, 0)]), priced(&[])] {
        let stage = Stage::of(
            vec![
                mounted("a", Wire::OpenAiChat, &dear.base_url(), Location::Cloud),
                mounted("b", Wire::Ollama, &free.base_url(), Location::Local),
            ],
            |options| options.prices = prices,
        )
        .await;
        let policy = KeyPolicy { budget_microusd: Some(1), ..KeyPolicy::default() };
        stage.books.accounts().set_policy(stage.principal, policy);
        let answer = stage.embed(Dialect::OpenAiChat, &"text ".repeat(100), &[]).await;
        assert_eq!((answer.status, answer.header("x-devmesh-provider")), (200, Some("b")), "{answer:?}");
        let record = stage.record(&answer).await;
        assert!(record.candidates.iter().any(|left| left.target.starts_with("a/") && !left.kept), "{record:?}");
        assert!(dear.received().is_empty());
    }
}

#[tokio::test]
async fn vectors_take_nothing_of_a_budget_but_their_text() {
    let model = FaultyModel::start(Wire::OpenAiChat).await;
    let stage = Stage::over(&[&model]).await;
    let policy = |tokens| KeyPolicy { budget_tokens: Some(tokens), ..KeyPolicy::default() };
    stage.books.accounts().set_policy(stage.principal, policy(10));
    assert_eq!(stage.embed(Dialect::OpenAiChat, "text", &[]).await.status, 200);
    let refused = stage.embed(Dialect::OpenAiChat, "a text of more than nine bytes", &[]).await;
    assert_eq!((refused.status, model.received().len()), (429, 1), "{refused:?}");
    let record = stage.record(&refused).await;
    assert_eq!((record.state, record.attempts.len()), (ModelCallState::Failed, 0));
}

#[tokio::test]
async fn limits_of_the_key_are_told_in_the_vendors_headers() {
    let model = FaultyModel::start(Wire::OpenAiChat).await;
    let stage = Stage::over(&[&model]).await;
    let policy = KeyPolicy { requests_per_minute: Some(1), ..KeyPolicy::default() };
    stage.books.accounts().set_policy(stage.principal, policy);
    let answer = stage.embed(Dialect::OpenAiChat, "text", &[]).await;
    assert_eq!(answer.header("x-ratelimit-remaining-requests"), Some("0"), "{answer:?}");
    let refused = stage.embed(Dialect::OpenAiChat, "text", &[]).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("60")), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn the_callers_deadline_holds_for_all_targets_together() {
    let models = [FaultyModel::start(Wire::Ollama).await, FaultyModel::start(Wire::OpenAiChat).await];
    models.iter().for_each(|model| model.push(Reply::never_answers()));
    let stage = Stage::over(&[&models[0], &models[1]]).await;
    let begun = tokio::time::Instant::now();
    let answer = stage.embed(Dialect::OpenAiChat, "text", &[("x-devmesh-deadline-ms", "300")]).await;
    assert!(answer.status >= 500 && answer.error().contains("0.3 s"), "{answer:?}");
    assert!(begun.elapsed() < Duration::from_millis(600), "{:?}", begun.elapsed());
    assert_eq!((models[0].received().len(), models[1].received().len()), (1, 0), "no time is left for the second one");
}

#[tokio::test]
async fn who_leaves_is_on_record_and_pays_for_the_text() {
    let model = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::never_answers());
    let stage = Stage::over(&[&model]).await;
    let inbound = stage.inbound(Dialect::OpenAiChat, &json!({"model": "chain", "input": "a text of some length"}), &[]);
    let (id, router): (ModelCallId, _) = (inbound.id, stage.router.clone());
    let asking = tokio::spawn(async move { router.embed_openai(inbound).await });
    model.wait_for(1).await;
    asking.abort();
    model.wait_for_disconnect().await;
    assert!(asking.await.is_err());
    let record = stage.books.calls().get(id).await.unwrap().expect("a call on record");
    assert_eq!((record.state, record.attempts[0].outcome), (ModelCallState::Cancelled, AttemptOutcome::Cancelled));
    let spent = stage.books.accounts().account(stage.principal).unwrap();
    assert!(spent.total.tokens > 0 && spent.running_requests == 0, "{spent:?}");
}

#[tokio::test]
async fn a_route_without_a_target_that_may_be_asked_says_why() {
    let model = FaultyModel::start(Wire::OpenAiChat).await;
    let providers = vec![mounted(NAMES[0], Wire::OpenAiChat, &model.base_url(), Location::Cloud)];
    let stage = Stage::of(providers, |options| options.routes[0].egress = Egress::LocalOnly).await;
    let refused = stage.embed(Dialect::OpenAiChat, "text", &[]).await;
    assert_eq!((refused.status, model.received().len()), (403, 0), "{refused:?}");
    assert_eq!(stage.record(&refused).await.state, ModelCallState::Failed);
}

#[tokio::test]
async fn a_request_passes_whole_to_who_speaks_its_api_and_others_name_what_they_lose() {
    let cases = [
        (json!([1, 2, 3]), json!({})),
        (json!([[1, 2], [3]]), json!({})),
        (json!(["a", "b"]), json!({"input_type": "query", "novel": {"a": [1.50]}, "encoding_format": "int8"})),
        (json!("a"), json!({"user": "u"})),
    ];
    for (input, more) in cases {
        let mut body = json!({"model": "chain", "input": input});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let own = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text(""));
        let stage = Stage::over(&[&own]).await;
        let inbound = stage.inbound(Dialect::OpenAiChat, &body, &[]);
        let answer = Answer::read(Dialect::OpenAiChat, stage.router.embed_openai(inbound).await).await;
        let mut expected = body.clone();
        expected["model"] = json!(FaultyModel::MODEL);
        assert_eq!((answer.status, &own.received()[0].body), (200, &expected), "{answer:?}");
        assert_eq!(answer.json()["model"], "chain", "{answer:?}");
        assert_eq!(answer.header("x-devmesh-lost-fields"), None, "{answer:?}");

        let foreign = FaultyModel::start(Wire::Ollama).await.then(Reply::text(""));
        let stage = Stage::over(&[&foreign]).await;
        let inbound = stage.inbound(Dialect::OpenAiChat, &body, &[]);
        let answer = Answer::read(Dialect::OpenAiChat, stage.router.embed_openai(inbound).await).await;
        if body["user"] == "u" {
            assert_eq!((answer.status, answer.header("x-devmesh-lost-fields")), (200, Some("/user")), "{answer:?}");
        } else {
            assert_eq!((answer.status, foreign.received().len()), (400, 0), "{answer:?}");
        }
    }
    let body = json!({"model": "chain", "input": "a", "novel": 1, "options": {"num_ctx": 1, "x": 2}});
    let own = FaultyModel::start(Wire::Ollama).await.then(Reply::text(""));
    let stage = Stage::over(&[&own]).await;
    let ask = async |stage: &Stage, body| {
        let inbound = stage.inbound(Dialect::OllamaChat, body, &[]);
        Answer::read(Dialect::OllamaChat, stage.router.embed_ollama(inbound, false).await).await
    };
    let answer = ask(&stage, &body).await;
    let sent = own.received()[0].body.clone();
    assert_eq!((answer.status, &sent["novel"], &sent["options"]["x"]), (200, &json!(1), &json!(2)), "{sent}");
    assert_eq!(answer.header("x-devmesh-lost-fields"), Some("/options/num_ctx"), "{answer:?}");
    let body = json!({"model": "chain", "input": "a", "novel": 1});
    let foreign = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text(""));
    let answer = ask(&Stage::over(&[&foreign]).await, &body).await;
    assert_eq!((answer.status, answer.header("x-devmesh-lost-fields")), (200, Some("/novel")), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_refused_inside_a_success_rests() {
    for dialect in BOTH {
        let refusal = json!({"error": {"message": "Incorrect API key provided.", "code": "invalid_api_key"}});
        let refusal = Reply::verbatim(refusal.to_string()).media_type("application/json");
        let model = FaultyModel::start(Wire::OpenAiChat).await.then(refusal);
        let stage = Stage::over(&[&model]).await;
        for _ in 0..3 {
            let answer = stage.embed(dialect, "text", &[]).await;
            assert!(answer.status >= 500, "{dialect:?}: {answer:?}");
            assert_eq!(answer.header("x-should-retry"), Some("false"), "{dialect:?}: {answer:?}");
        }
        assert_eq!(model.received().len(), 1, "{dialect:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn fewer_vectors_than_texts_are_no_answer_also_where_they_would_pass() {
    let openai = json!({"object": "list", "data": [{"index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 1}});
    let ollama = json!({"model": "m", "embeddings": [[0.5]], "prompt_eval_count": 1});
    for (dialect, wire, body) in
        [(Dialect::OpenAiChat, Wire::OpenAiChat, openai), (Dialect::OllamaChat, Wire::Ollama, ollama)]
    {
        let short = Reply::verbatim(body.to_string()).media_type("application/json");
        for (input, status) in [(json!(["one"]), 200), (json!(["one", "two"]), 502), (json!("one"), 200)] {
            let model = FaultyModel::start(wire).await.then(short.clone());
            let stage = Stage::over(&[&model]).await;
            let inbound = stage.inbound(dialect, &json!({"model": CHAIN, "input": input}), &[]);
            let answer = match dialect {
                Dialect::OllamaChat => stage.router.embed_ollama(inbound, false).await,
                _ => stage.router.embed_openai(inbound).await,
            };
            let answer = Answer::read(dialect, answer).await;
            assert_eq!(answer.status, status, "{input} of {wire:?}: {answer:?}");
        }
    }
}
