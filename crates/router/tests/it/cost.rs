//! What an answer cost is the same wherever it is told.

use crate::stage::{Answer, CALLERS, Stage, keyed, own_question, question};
use protocol::{Location, ModelStreamItem};
use router::{accounts::Prices, dialect::Dialect};
use testkit::{FaultyModel, Reply, Wire};

const WHOLE: &str = "one two three four";
const PRICES: &str = r#"
    ["a/*"]
    input_usd_per_million = 1000
    output_usd_per_million = 5000
    ["b/*"]
    input_usd_per_million = 1
    output_usd_per_million = 2
"#;

async fn dear_and_cheap(a: &FaultyModel, b: &FaultyModel) -> Stage {
    let cloud = |name, model: &FaultyModel| keyed(name, model.wire(), &model.base_url(), Location::Cloud, &["sk"]);
    Stage::of(vec![cloud("a", a), cloud("b", b)], |options| options.prices = Prices::parse(PRICES).unwrap()).await
}

fn told(answer: &Answer) -> Option<u64> {
    let name = "x-devmesh-cost-microusd";
    let told = answer.notes(name).pop().or_else(|| answer.header(name).map(str::to_owned));
    told.map(|cost| cost.parse().unwrap())
}

#[tokio::test]
async fn an_answer_of_two_targets_costs_what_both_take() {
    for dialect in CALLERS {
        for (stream, headers) in [(true, &[][..]), (true, &[("x-devmesh-buffered", "true")]), (false, &[])] {
            let a = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text(WHOLE).cut_after(2));
            let b = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text(WHOLE).usage(7, 4));
            let stage = dear_and_cheap(&a, &b).await;
            let answer = stage.ask(dialect, &question(dialect, stream), headers).await;
            let what = format!("{dialect:?}, stream {stream}: {answer:?}");
            assert_eq!(answer.said(), WHOLE, "{what}");
            let record = stage.record(&answer).await;
            let cost = record.cost_microusd.expect("both prices are known");
            // The first one's prompt alone costs more than all of the second one, whose tokens are not priced as its.
            let as_the_first = record.tokens.unwrap().input * 1_000 + record.tokens.unwrap().output * 5_000;
            assert!(cost > 1_000 && cost < as_the_first, "{record:?}");
            assert_eq!(told(&answer), Some(cost), "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_set_aside_and_then_passed_on_is_paid_once() {
    let a = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::empty().usage(7, 4));
    let b = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::empty().usage(7, 4));
    let stage = dear_and_cheap(&a, &b).await;
    let answer = stage.ask(Dialect::OpenAiChat, &question(Dialect::OpenAiChat, false), &[]).await;
    assert!(answer.header("x-devmesh-quality").is_some(), "{answer:?}");
    assert_eq!((a.received().len(), b.received().len()), (2, 2));
    let record = stage.record(&answer).await;
    assert_eq!((record.tokens.unwrap().input, record.tokens.unwrap().output), (4 * 7, 4 * 4), "{record:?}");
    assert_eq!((told(&answer), record.cost_microusd), (Some(54_030), Some(54_030)), "{record:?}");
}

#[tokio::test]
async fn our_own_agents_are_told_the_same() {
    let a = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text(WHOLE).cut_after(2));
    let b = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text(WHOLE).usage(7, 4));
    let stage = dear_and_cheap(&a, &b).await;
    let call = stage.own(own_question());
    let id = call.id;
    let items = stage.call(call).await;
    let Some(ModelStreamItem::Finished { answer }) = items.last() else { panic!("{items:?}") };
    let record = stage.books.calls().get(id).await.unwrap().unwrap();
    assert_eq!((answer.content.as_str(), Some(answer.cost_microusd)), (WHOLE, record.cost_microusd));
}
