//! What a call may come to is held before anybody is asked, over all targets of its route.

use crate::stage::{MODEL, Stage, mounted, streamed, unstreamed};
use protocol::{KeyPolicy, Location, ModelCallState};
use router::{accounts::Prices, dialect::Dialect};
use serde_json::json;
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
