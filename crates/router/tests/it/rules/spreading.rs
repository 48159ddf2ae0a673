//! Equal targets share the work: by weight, the least busy first, what is in memory before what is not.

use crate::stage::{Answer, CHAIN, MODEL, Stage, mounted, streamed};
use protocol::{Egress, Location};
use router::{Balance, Options, RouteConfig, dialect::Dialect};
use serde_json::json;
use std::time::Duration;
use testkit::{FaultyModel, Reply, ServedModel, Wire};
use tokio::task::JoinHandle;

const CHAT: Dialect = Dialect::OpenAiChat;

fn spread(options: &mut Options) {
    options.routes[0].policy.balance = Balance::Spread;
}

/// A call that is under way, for as long as its answer takes.
fn begun(stage: &Stage, route: &str) -> JoinHandle<Answer> {
    let mut body = streamed(CHAT);
    body["model"] = json!(route);
    let (router, inbound) = (stage.router.clone(), stage.inbound(CHAT, &body, &[]));
    tokio::spawn(async move { Answer::read(CHAT, router.answer(inbound).await).await })
}

#[tokio::test]
async fn calls_one_after_the_other_are_shared_by_weight() {
    let models = [FaultyModel::start(Wire::OpenAiChat).await, FaultyModel::start(Wire::OpenAiChat).await];
    let stage = Stage::with(&[&models[0], &models[1]], |options| {
        spread(options);
        options.routes[0].targets[0].weight = 3;
    })
    .await;
    let mut order = Vec::new();
    for _ in 0..8 {
        order.push(stage.ask(CHAT, &streamed(CHAT), &[]).await.header("x-devmesh-provider").unwrap().to_owned());
    }
    assert_eq!((models[0].received().len(), models[1].received().len()), (6, 2), "{order:?}");
    assert!(order.windows(4).all(|four| four.contains(&"b".to_owned())), "no clumps: {order:?}");
}

#[tokio::test(start_paused = true)]
async fn the_less_busy_one_is_next() {
    let slow = || Reply::text("one two three four").between(Duration::from_millis(400));
    let models = [FaultyModel::start(Wire::OpenAiChat).await, FaultyModel::start(Wire::OpenAiChat).await];
    models.iter().for_each(|model| model.push(slow()));
    let stage = Stage::with(&[&models[0], &models[1]], spread).await;
    let mut calls = Vec::new();
    for number in 1..=6 {
        calls.push(begun(&stage, CHAIN));
        testkit::eventually("the call at one of them", async || {
            (models[0].received().len() + models[1].received().len() == number).then_some(())
        })
        .await;
        let busy = models.each_ref().map(|model| model.received().len());
        assert!(busy[0].abs_diff(busy[1]) <= 1, "{busy:?}");
    }
    for call in calls {
        assert_eq!(call.await.unwrap().said(), "one two three four");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_in_memory_comes_before_what_has_to_be_loaded() {
    for loaded in [0, 1] {
        let served = |at: usize| {
            let mut model = ServedModel::new(MODEL);
            model.loaded = at == loaded;
            model
        };
        let models =
            [FaultyModel::serve(Wire::Ollama, [served(0)]).await, FaultyModel::serve(Wire::Ollama, [served(1)]).await];
        let stage = Stage::with(&[&models[0], &models[1]], spread).await;
        let answer = stage.ask(CHAT, &streamed(CHAT), &[]).await;
        assert_eq!(answer.header("x-devmesh-provider"), Some(["a", "b"][loaded]), "{answer:?}");
        // Once both are, they take turns.
        models.iter().for_each(|model| model.push(Reply::text("Fine.")));
        let mut body = streamed(CHAT);
        body["model"] = json!(format!("{}/{MODEL}", ["b", "a"][loaded]));
        stage.ask(CHAT, &body, &[]).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        for _ in 0..2 {
            stage.ask(CHAT, &streamed(CHAT), &[]).await;
        }
        assert_eq!(models.each_ref().map(|model| model.received().len()), [2, 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn calls_for_the_model_that_is_being_loaded_go_before_those_for_another_one() {
    let names = ["small:latest", "large:latest"];
    let model = FaultyModel::serve(Wire::Ollama, names.map(ServedModel::new))
        .await
        .then(Reply::text("Slowly.").load_ms(1_000))
        .then(Reply::text("Fine."));
    let mut provider = mounted("a", Wire::Ollama, &model.base_url(), Location::Local);
    provider.concurrency = 1;
    let stage = Stage::of(vec![provider], |options| {
        let target = |name: &str| format!("a/{name}").parse().unwrap();
        options.routes = names
            .map(|name| RouteConfig::new(name.trim_end_matches(":latest"), vec![target(name)], Egress::LocalOnly))
            .to_vec();
        options.limits.queue = Duration::from_secs(60);
    })
    .await;
    let waiting = async |count| {
        testkit::eventually("the calls in the queue", async || {
            (stage.router.health().queues[0].waiting == count).then_some(())
        })
        .await;
    };
    let mut calls = vec![begun(&stage, "small")];
    model.wait_for(1).await;
    for (number, route) in ["large", "small", "small"].into_iter().enumerate() {
        calls.push(begun(&stage, route));
        waiting(number as u64 + 1).await;
    }
    for call in calls {
        assert_eq!(call.await.unwrap().status, 200);
    }
    let order: Vec<_> =
        model.received().iter().map(|request| request.body["model"].as_str().unwrap().to_owned()).collect();
    assert_eq!(order, ["small:latest", "small:latest", "small:latest", "large:latest"]);
}
