//! How spans reach a collector, and that calls never depend on it.

use super::{CHAT, PARENT, TRACE, Told, locals, model, parted};
use crate::stage::{Stage, streamed};
use http::{HeaderValue, StatusCode};
use router::telemetry::Options;
use serde_json::json;
use std::time::Duration;
use testkit::{Collector, FaultyModel, Reply, Wire};

fn dropped(stage: &Stage) -> u64 {
    let text = stage.router.metrics();
    let line = text.lines().find_map(|line| line.strip_prefix("devmesh_telemetry_spans_dropped_total "));
    line.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

#[tokio::test]
async fn the_collector_gets_its_headers_and_nobody_sees_them() {
    let collector = Collector::start().await;
    let sound = model(Wire::Ollama, Reply::text("Fine.")).await;
    let mut options = Options { service_name: "mesh-of-tests".to_owned(), ..Options::new(collector.endpoint()) };
    let mut key = HeaderValue::from_static("the-collectors-key");
    key.set_sensitive(true);
    options.headers.insert("x-api-key", key);
    assert!(!format!("{options:?}").contains("the-collectors-key"));
    let told = Told::with(options, locals(&[&sound])).await;
    told.stage.ask(CHAT, &streamed(CHAT), &[]).await;
    let spans = collector.wait_for(2).await;
    assert_eq!(spans[0].headers["x-api-key"], "the-collectors-key");
    assert_eq!(spans[0].headers["content-type"], "application/x-protobuf");
    assert_eq!(spans[0].resource["service.name"], "mesh-of-tests");
    assert_eq!(sound.received()[0].headers.get("x-api-key"), None);
}

#[tokio::test]
async fn a_caller_decides_of_its_own_traces_and_the_ratio_of_all_others() {
    let collector = Collector::start().await;
    let sound = model(Wire::Ollama, Reply::text("Fine.")).await;
    let none = Told::with(Options { sample_ratio: 0.0, ..Options::new(collector.endpoint()) }, locals(&[&sound])).await;
    none.stage.ask(CHAT, &streamed(CHAT), &[]).await;
    none.stage.ask(CHAT, &streamed(CHAT), &[("traceparent", PARENT)]).await;
    none.stop().await;
    assert_eq!(collector.spans().len(), 2);
    let all = Told::over(&collector, &[&sound]).await;
    let unsampled = PARENT.replace("-01", "-00");
    all.stage.ask(CHAT, &streamed(CHAT), &[("traceparent", &unsampled)]).await;
    all.stop().await;
    assert_eq!(collector.spans().len(), 2, "who asks not to be told of is not");
    let passed = &sound.received().pop().unwrap().headers["traceparent"];
    assert!(passed.starts_with(&format!("00-{TRACE}-")) && passed.ends_with("-00"), "{passed}");
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_is_gone_or_silent_harms_no_call() {
    let sound = model(Wire::OpenAiChat, Reply::text("Forty two.")).await;
    let gone = FaultyModel::refusing();
    let silent = Collector::start().await;
    silent.falls_silent();
    for endpoint in [gone.base_url(Wire::Ollama), silent.endpoint()] {
        let told = Told::with(Options { queue: 2, ..Options::new(endpoint) }, locals(&[&sound])).await;
        for _ in 0..20 {
            let asked = tokio::time::Instant::now();
            let answer = told.stage.ask(CHAT, &streamed(CHAT), &[]).await;
            assert_eq!(answer.said(), "Forty two.");
            assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
        }
        let ending = tokio::time::Instant::now();
        let stage = told.stop().await;
        assert!(ending.elapsed() <= Duration::from_millis(2_100), "{:?}", ending.elapsed());
        assert_eq!(dropped(&stage), 40, "every span is accounted for");
    }
}

#[tokio::test]
async fn what_was_refused_is_dropped_and_what_comes_later_arrives() {
    let collector = Collector::start().await;
    let sound = model(Wire::OpenAiChat, Reply::text("Fine.")).await;
    let told = Told::over(&collector, &[&sound]).await;
    collector.refuses_with(StatusCode::BAD_REQUEST);
    told.stage.ask(CHAT, &streamed(CHAT), &[]).await;
    testkit::eventually("two spans to be dropped", async || (dropped(&told.stage) == 2).then_some(())).await;
    collector.recovers();
    let answer = told.stage.ask(CHAT, &streamed(CHAT), &[]).await;
    let spans = collector.wait_for(2).await;
    let id = answer.header("x-devmesh-request-id").unwrap();
    assert_eq!((spans.len(), parted(&spans).0.get("devmesh.call_id")), (2, &json!(id)));
    let stage = told.stop().await;
    assert!(stage.router.metrics().contains("devmesh_telemetry_spans_sent_total 2\n"), "{}", stage.router.metrics());
}

#[tokio::test]
async fn nobody_is_told_where_nothing_was_set() {
    let sound = model(Wire::Ollama, Reply::text("Fine.")).await;
    let stage = Stage::over(&[&sound]).await;
    stage.ask(CHAT, &streamed(CHAT), &[("traceparent", PARENT)]).await;
    assert_eq!(sound.received()[0].headers.get("traceparent"), None);
    assert!(!stage.router.metrics().contains("devmesh_telemetry"));
}
