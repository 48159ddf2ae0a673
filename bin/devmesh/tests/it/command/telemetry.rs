//! Spans for a collector, as somebody who sets a variable gets them.

use super::{Home, Up};
use serde_json::Value;
use std::time::{Duration, Instant};
use testkit::{Collector, FaultyModel, Script, ScriptedModel, Turn, Wire};

async fn a_home(model: &ScriptedModel) -> Home {
    let mut home = Home::new();
    home.set("OLLAMA_BASE_URL", &model.base_url());
    home.set("DEVMESH_LOG__FILTER", "info,router=debug");
    home.set("DEVMESH_LOG__FORMAT", "json");
    home
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_a_span_and_what_waits_is_sent_before_the_end() {
    let collector = Collector::start().await;
    let model = ScriptedModel::start(Script::each(|_| Turn::text("Here I am."))).await;
    let mut home = a_home(&model).await;
    home.set("DEVMESH_TELEMETRY__OTLP_ENDPOINT", &collector.endpoint());
    home.set("DEVMESH_TELEMETRY__OTLP_HEADERS", "x-tenant=mine");
    home.set("OTEL_EXPORTER_OTLP_HEADERS", "x-of-another-program=1");
    let up = Up::start(&home, &[]).await;
    let job = home.run(&["run", "-d", "Are you there?"]).await.good().stdout.trim().to_owned();
    assert_eq!(home.run(&["attach", &job]).await.good().stdout, "Here I am.\n");
    let stopped = up.stop().await.good();

    let spans = collector.spans();
    let [call] = spans.iter().filter(|span| span.kind == "server").collect::<Vec<_>>()[..] else {
        panic!("{spans:#?}")
    };
    assert_eq!((call.name.as_str(), call.get("gen_ai.conversation.id")), ("chat default", &Value::from(job)));
    assert_eq!(
        (call.get("gen_ai.provider.name"), &call.resource["service.name"]),
        (&"ollama".into(), &"devmesh".into())
    );
    assert_eq!((call.headers["x-tenant"].as_str(), call.headers.get("x-of-another-program")), ("mine", None));
    assert!(!format!("{spans:?}").contains("Here I am."), "content is not told: {spans:#?}");
    let asked = &model.received()[0].headers["traceparent"];
    assert!(asked.contains(&call.trace_id), "a local model is told which trace it works for: {asked}");

    let lines: Vec<Value> = stopped.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let said =
        |message: &str| lines.iter().find(|line| line["fields"]["message"] == message).map(|line| &line["fields"]);
    let ended = said("a model call ended").unwrap_or_else(|| panic!("{}", stopped.stderr));
    assert_eq!(ended["trace_id"], call.trace_id.as_str());
    assert!(said("a collector is told of model calls, without prompts and answers").is_some(), "{}", stopped.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn content_is_told_where_it_was_asked_for_and_the_log_says_so() {
    let collector = Collector::start().await;
    let model = ScriptedModel::start(Script::each(|_| Turn::text("Here I am."))).await;
    let mut home = a_home(&model).await;
    home.set("DEVMESH_TELEMETRY__OTLP_ENDPOINT", &collector.endpoint());
    home.set("DEVMESH_TELEMETRY__CONTENT", "true");
    let up = Up::start(&home, &[]).await;
    home.run(&["run", "Are you there?"]).await.good();
    let stopped = up.stop().await.good();
    assert!(stopped.stderr.contains("the collector is told prompts and answers too"), "{}", stopped.stderr);
    let all = format!("{:?}", collector.spans());
    assert!(all.contains("Are you there?") && all.contains("Here I am."), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_of_other_programs_is_not_told() {
    let collector = Collector::start().await;
    let model = ScriptedModel::start(Script::each(|_| Turn::text("Here I am."))).await;
    let mut home = a_home(&model).await;
    home.set("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint());
    home.set("DEVMESH_TELEMETRY__CONTENT", "true");
    let up = Up::start(&home, &[]).await;
    home.run(&["run", "Are you there?"]).await.good();
    up.stop().await.good();
    assert_eq!(collector.requests(), 0);
    assert_eq!(model.received()[0].headers.get("traceparent"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_there_costs_one_line_of_the_log_and_no_job() {
    let gone = FaultyModel::refusing();
    let model = ScriptedModel::start(Script::each(|_| Turn::text("Here I am."))).await;
    let mut home = a_home(&model).await;
    home.set("DEVMESH_TELEMETRY__OTLP_ENDPOINT", &gone.base_url(Wire::Ollama));
    let up = Up::start(&home, &[]).await;
    for _ in 0..3 {
        assert_eq!(home.run(&["run", "Are you there?"]).await.good().stdout, "Here I am.\n");
    }
    let asked = Instant::now();
    let stopped = up.stop().await.good();
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert_eq!(stopped.stderr.matches("spans of model calls are dropped").count(), 1, "{}", stopped.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_none_is_told_before_anything_starts() {
    let mut home = Home::new();
    home.set("DEVMESH_TELEMETRY__OTLP_ENDPOINT", "http://127.0.0.1:9");
    home.set("DEVMESH_TELEMETRY__OTLP_HEADERS", "sk-do-not-show");
    let refused = home.run(&["serve", "--port", "0"]).await.with_code(2);
    assert!(refused.stderr.contains("telemetry.otlp_headers: entry 1 is not name=value"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("do-not-show"), "{}", refused.stderr);
}
