//! What a collector is told of calls.

mod delivery;

use crate::stage::{Answer, CHAIN, DIALECTS, MODEL, Stage, mounted, own_question, streamed, unstreamed};
use domain::{Clock, JobId};
use protocol::{Location, ModelStreamItem};
use router::{
    Caller, Mounted,
    dialect::Dialect,
    telemetry::{self, Options},
};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{Collector, FaultyModel, Reply, Span, Wire};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const CHAT: Dialect = Dialect::OpenAiChat;
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A stage whose router tells a collector.
struct Told {
    stage: Stage,
    stop: CancellationToken,
    service: JoinHandle<()>,
}

impl Told {
    async fn over(collector: &Collector, models: &[&FaultyModel]) -> Self {
        Self::with(Options::new(collector.endpoint()), locals(models)).await
    }

    async fn with(options: Options, providers: Vec<Mounted>) -> Self {
        let options = Options { gather: Duration::from_millis(10), ..options };
        let (telemetry, service) = telemetry::open(options).unwrap();
        let stop = CancellationToken::new();
        let service = tokio::spawn(service.run(stop.clone()));
        let stage = Stage::of(providers, |options| {
            options.telemetry = Some(telemetry);
            options.routes[0].policy.cache = Some(Duration::from_secs(60));
        })
        .await;
        Self { stage, stop, service }
    }

    /// Everything that waits is sent, or given up.
    async fn stop(self) -> Stage {
        self.stop.cancel();
        self.service.await.unwrap();
        self.stage
    }
}

fn locals(models: &[&FaultyModel]) -> Vec<Mounted> {
    let names = crate::stage::NAMES;
    models
        .iter()
        .zip(names)
        .map(|(model, name)| mounted(name, model.wire(), &model.base_url(), Location::Local))
        .collect()
}

async fn model(wire: Wire, reply: Reply) -> FaultyModel {
    FaultyModel::start(wire).await.then(reply)
}

/// The call's own span, and those of its attempts.
fn parted(spans: &[Span]) -> (&Span, Vec<&Span>) {
    let server = spans.iter().find(|span| span.kind == "server").expect("the call's own span");
    let attempts = spans.iter().filter(|span| span.kind == "client").collect();
    (server, attempts)
}

#[tokio::test]
async fn a_call_is_a_span_of_its_callers_trace_with_a_child_for_every_attempt() {
    let collector = Collector::start().await;
    let broken = model(Wire::OpenAiChat, Reply::status(400)).await;
    let sound = model(Wire::Anthropic, Reply::text("Forty two.")).await;
    let told = Told::over(&collector, &[&broken, &sound]).await;
    let mut body = streamed(CHAT);
    body["max_tokens"] = json!(64);
    body["temperature"] = json!(0.7);
    let answer = told.stage.ask(CHAT, &body, &[("traceparent", PARENT), ("tracestate", "theirs=1")]).await;
    assert_eq!(answer.said(), "Forty two.", "{answer:?}");
    let record = told.stage.record(&answer).await;

    let spans = collector.wait_for(3).await;
    let (server, attempts) = parted(&spans);
    assert_eq!((server.name.as_str(), server.trace_id.as_str()), (format!("chat {CHAIN}").as_str(), TRACE));
    assert_eq!((server.parent_id.as_str(), server.trace_state.as_str()), ("b7ad6b7169203331", "theirs=1"));
    assert_eq!((server.failed, server.get("error.type")), (false, &Value::Null));
    assert_eq!(server.starts.as_millis() as i64, record.at.as_millis());
    let expected = [
        ("gen_ai.operation.name", json!("chat")),
        ("gen_ai.provider.name", json!("b")),
        ("gen_ai.request.model", json!(CHAIN)),
        ("gen_ai.response.model", json!(MODEL)),
        ("gen_ai.request.max_tokens", json!(64)),
        ("gen_ai.request.temperature", json!(0.7)),
        ("gen_ai.request.stream", json!(true)),
        ("gen_ai.response.finish_reasons", json!(["stop"])),
        ("gen_ai.usage.input_tokens", json!(record.tokens.unwrap().input)),
        ("gen_ai.usage.output_tokens", json!(record.tokens.unwrap().output)),
        ("devmesh.call_id", json!(record.id.to_string())),
        ("devmesh.route", json!(CHAIN)),
        ("devmesh.dialect", json!("openai_chat")),
        ("devmesh.fallbacks", json!(1)),
        ("devmesh.cost_microusd", json!(0)),
        ("devmesh.egress", json!("allowed")),
        ("devmesh.cache_hit", json!(false)),
        ("devmesh.state", json!("succeeded")),
        ("devmesh.first_token_ms", json!(record.first_token_ms)),
    ];
    for (name, value) in expected {
        assert_eq!(server.get(name), &value, "{name}: {server:#?}");
    }
    assert!(record.tokens.unwrap().input > 0 && record.tokens.unwrap().output > 0, "{record:?}");

    let [failed, answered] = attempts.as_slice() else { panic!("{spans:#?}") };
    for (attempt, provider, target) in [(failed, "a", &broken), (answered, "b", &sound)] {
        assert_eq!(
            (attempt.name.as_str(), attempt.parent_id.as_str()),
            (format!("chat {MODEL}").as_str(), server.id.as_str())
        );
        assert_eq!(attempt.trace_id, TRACE);
        assert_eq!(attempt.get("gen_ai.provider.name"), provider);
        assert_eq!(
            (attempt.get("server.address"), attempt.get("server.port")),
            (&json!("127.0.0.1"), &json!(target.address().port()))
        );
        assert!(server.starts <= attempt.starts && attempt.ends <= server.ends, "{spans:#?}");
        let passed = &target.received()[0].headers;
        assert_eq!(passed["traceparent"], format!("00-{TRACE}-{}-01", attempt.id));
        assert_eq!(passed["tracestate"], "theirs=1");
    }
    assert_eq!((failed.failed, failed.get("devmesh.attempt.outcome")), (true, &json!("failed")));
    assert_eq!(failed.get("error.type"), "model_failed");
    assert_eq!((answered.failed, answered.get("devmesh.attempt.outcome")), (false, &json!("answered")));
    assert_eq!(answered.get("gen_ai.usage.output_tokens"), &json!(record.tokens.unwrap().output));
}

#[tokio::test]
async fn a_caller_without_a_trace_begins_one_and_garbage_is_ignored() {
    let collector = Collector::start().await;
    let sound = model(Wire::OpenAiChat, Reply::text("Fine.")).await;
    let told = Told::over(&collector, &[&sound]).await;
    told.stage.ask(CHAT, &streamed(CHAT), &[]).await;
    told.stage.ask(CHAT, &streamed(CHAT), &[("traceparent", "00-1-1-01")]).await;
    let spans = collector.wait_for(4).await;
    let roots: Vec<&Span> = spans.iter().filter(|span| span.is_root()).collect();
    assert_eq!(roots.len(), 2, "{spans:#?}");
    assert_ne!(roots[0].trace_id, roots[1].trace_id);
    assert!(spans.iter().all(|span| span.trace_id.len() == 32 && span.resource["service.name"] == "devmesh"));
}

#[tokio::test]
async fn a_cloud_is_not_told_which_trace_it_works_for() {
    let collector = Collector::start().await;
    for wire in [Wire::OpenAiChat, Wire::OpenAiResponses, Wire::Anthropic] {
        let cloud = model(wire, Reply::text("Fine.")).await;
        let providers = vec![mounted("a", wire, &cloud.base_url(), Location::Cloud)];
        let told = Told::with(Options::new(collector.endpoint()), providers).await;
        for dialect in DIALECTS {
            let answer =
                told.stage.ask(dialect, &unstreamed(dialect), &[("traceparent", PARENT), ("tracestate", "a=1")]).await;
            assert_eq!(answer.said(), "Fine.", "{answer:?}");
        }
        assert_eq!(cloud.received().len(), DIALECTS.len());
        for request in cloud.received() {
            assert!(!format!("{:?}", request.headers).contains("trace"), "{:?}", request.headers);
        }
        told.stop().await;
    }
    assert_eq!(
        collector.spans().iter().filter(|span| span.trace_id == TRACE).count(),
        24,
        "they are told of all the same"
    );
}

#[tokio::test]
async fn a_failed_call_says_why_in_words_of_ours() {
    let collector = Collector::start().await;
    let quoting =
        model(Wire::OpenAiChat, Reply::http_error(400, r#"{"error":{"message":"cannot read: What is the answer?"}}"#))
            .await;
    let told = Told::over(&collector, &[&quoting]).await;
    let answer = told.stage.ask(CHAT, &unstreamed(CHAT), &[]).await;
    assert!(answer.error().contains("What is the answer?"), "the caller is told: {answer:?}");
    let spans = collector.wait_for(2).await;
    for span in &spans {
        assert!(span.failed, "{span:#?}");
        assert_eq!(
            (span.get("error.type"), span.description.as_str()),
            (&json!("model_failed"), "The model failed while answering")
        );
    }
    assert_eq!(parted(&spans).0.get("gen_ai.provider.name"), "devmesh", "nobody else answered");
    assert!(!format!("{spans:?}").contains("What is the answer?"), "{spans:#?}");
}

#[tokio::test]
async fn a_caller_who_leaves_is_no_error() {
    let collector = Collector::start().await;
    let slow = model(Wire::OpenAiChat, Reply::text("A long answer.").stall_after(1)).await;
    let told = Told::over(&collector, &[&slow]).await;
    drop(told.stage.begin(CHAT, &streamed(CHAT), &[]).await);
    let spans = collector.wait_for(2).await;
    let (server, attempts) = parted(&spans);
    assert_eq!((server.failed, server.get("devmesh.state")), (false, &json!("cancelled")));
    assert_eq!((attempts[0].failed, attempts[0].get("devmesh.attempt.outcome")), (false, &json!("cancelled")));
}

#[tokio::test]
async fn an_answer_that_was_gone_on_with_is_one_call_of_two_attempts() {
    let collector = Collector::start().await;
    let cut = model(Wire::Ollama, Reply::text("one two three").cut_after(2)).await;
    let whole = model(Wire::OpenAiChat, Reply::text("one two three")).await;
    let options = Options { content: true, ..Options::new(collector.endpoint()) };
    let told = Told::with(options, locals(&[&cut, &whole])).await;
    let answer = told.stage.ask(CHAT, &streamed(CHAT), &[]).await;
    assert_eq!(answer.said(), "one two three", "{answer:?}");
    let record = told.stage.record(&answer).await;
    let spans = collector.wait_for(3).await;
    let (server, attempts) = parted(&spans);
    assert_eq!((server.failed, server.get("devmesh.state")), (false, &json!("succeeded")));
    let ends: Vec<_> = attempts
        .iter()
        .map(|attempt| (attempt.failed, attempt.get("devmesh.attempt.outcome"), attempt.get("devmesh.attempt.mode")))
        .collect();
    assert_eq!(ends, [(true, &json!("cut"), &json!("fresh")), (false, &json!("answered"), &json!("splice"))]);
    let tokens: u64 = attempts.iter().filter_map(|attempt| attempt.get("gen_ai.usage.output_tokens").as_u64()).sum();
    assert_eq!(server.get("gen_ai.usage.output_tokens"), &json!(record.tokens.unwrap().output));
    assert_eq!(tokens, record.tokens.unwrap().output, "a call's tokens are those of its attempts");
    let said = server.get("gen_ai.output.messages").as_str().unwrap();
    assert!(said.contains("\"one two three\""), "what the caller got, once: {said}");
}

#[tokio::test]
async fn an_answer_from_memory_is_a_call_without_attempts() {
    let collector = Collector::start().await;
    let sound = model(Wire::OpenAiChat, Reply::text("Fine.")).await;
    let told = Told::over(&collector, &[&sound]).await;
    for _ in 0..2 {
        let answer = told.stage.ask(CHAT, &unstreamed(CHAT), &[("x-devmesh-cache", "use")]).await;
        assert_eq!(answer.said(), "Fine.", "{answer:?}");
    }
    let spans = collector.wait_for(3).await;
    let hits: Vec<&Span> = spans.iter().filter(|span| span.get("devmesh.cache_hit") == true).collect();
    let [hit] = hits.as_slice() else { panic!("{spans:#?}") };
    assert!(spans.iter().all(|span| span.parent_id != hit.id), "nobody was asked: {spans:#?}");
    assert_eq!((hit.get("gen_ai.provider.name"), hit.get("devmesh.cost_microusd")), (&json!("a"), &json!(0)));
}

#[tokio::test]
async fn prompts_and_answers_are_told_only_where_that_was_asked_for() {
    let collector = Collector::start().await;
    let sound = model(Wire::Ollama, Reply::text("Forty two.")).await;
    let without = Told::over(&collector, &[&sound]).await;
    without.stage.ask(CHAT, &streamed(CHAT), &[]).await;
    without.stage.call(without.stage.own(own_question())).await;
    without.stop().await;
    let spans = collector.wait_for(4).await;
    let all = format!("{spans:?}");
    assert!(!all.contains("What is the answer?") && !all.contains("Forty"), "{all}");

    let options = Options { content: true, ..Options::new(collector.endpoint()) };
    let with = Told::with(options, locals(&[&sound])).await;
    with.stage.ask(CHAT, &streamed(CHAT), &[]).await;
    let spans = collector.wait_for(6).await.split_off(4);
    let (server, _) = parted(&spans);
    let content = |name: &str| -> Value { serde_json::from_str(server.get(name).as_str().unwrap()).unwrap() };
    assert_eq!(
        content("gen_ai.input.messages"),
        json!([{"role": "user", "parts": [{"type": "text", "content": "What is the answer?"}]}])
    );
    assert_eq!(
        content("gen_ai.output.messages"),
        json!([{"role": "assistant", "parts": [{"type": "text", "content": "Forty two."}], "finish_reason": "stop"}])
    );
}

#[tokio::test]
async fn calls_of_a_job_are_one_conversation() {
    let collector = Collector::start().await;
    let sound = model(Wire::Ollama, Reply::text("Fine.")).await;
    let told = Told::over(&collector, &[&sound]).await;
    let job = JobId::new(told.stage.clock.now());
    told.stage.books.open_job(job, None, router::accounts::JobBudget::default()).await.unwrap();
    let mut call = told.stage.own(own_question());
    call.caller = Caller { job: Some(job), ..call.caller };
    let items = told.stage.call(call).await;
    assert!(matches!(items.last(), Some(ModelStreamItem::Finished { .. })), "{items:?}");
    let spans = collector.wait_for(2).await;
    let (server, _) = parted(&spans);
    assert_eq!(
        (server.get("gen_ai.conversation.id"), server.get("devmesh.dialect")),
        (&json!(job.to_string()), &json!("devmesh"))
    );
}

#[tokio::test]
async fn embeddings_are_told_of_with_every_attempt() {
    let collector = Collector::start().await;
    let broken = model(Wire::OpenAiChat, Reply::status(500)).await;
    let sound = FaultyModel::start(Wire::OpenAiChat).await;
    let told = Told::over(&collector, &[&broken, &sound]).await;
    let inbound =
        told.stage.inbound(CHAT, &json!({"model": CHAIN, "input": "a secret text"}), &[("traceparent", PARENT)]);
    let answer = Answer::read(CHAT, told.stage.router.embed_openai(inbound).await).await;
    assert_eq!((answer.status, answer.header("x-devmesh-provider")), (200, Some("b")), "{}", answer.body);
    let spans = collector.wait_for(3).await;
    let (server, attempts) = parted(&spans);
    assert_eq!((server.name.as_str(), server.trace_id.as_str()), (format!("embeddings {CHAIN}").as_str(), TRACE));
    assert_eq!((server.get("gen_ai.provider.name"), server.get("devmesh.fallbacks")), (&json!("b"), &json!(1)));
    assert!(server.get("gen_ai.usage.input_tokens").as_u64() > Some(0), "{server:#?}");
    let outcomes: Vec<_> = attempts.iter().map(|attempt| attempt.get("devmesh.attempt.outcome")).collect();
    assert_eq!(outcomes, ["failed", "answered"]);
    assert!(!format!("{spans:?}").contains("a secret text"));
}

#[tokio::test]
async fn embeddings_that_nobody_waits_for_any_more_are_told_of_too() {
    let collector = Collector::start().await;
    let silent = model(Wire::OpenAiChat, Reply::never_answers()).await;
    let told = Told::over(&collector, &[&silent]).await;
    let inbound = told.stage.inbound(CHAT, &json!({"model": CHAIN, "input": "text"}), &[]);
    let router = told.stage.router.clone();
    let asking = tokio::spawn(async move { router.embed_openai(inbound).await.status() });
    silent.wait_for(1).await;
    asking.abort();
    let spans = collector.wait_for(2).await;
    let (server, attempts) = parted(&spans);
    assert_eq!((server.failed, server.get("devmesh.state")), (false, &json!("cancelled")));
    assert_eq!(attempts[0].get("devmesh.attempt.outcome"), &json!("cancelled"));
}
