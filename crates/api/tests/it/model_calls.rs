//! A model's answer on its way to the agent and into the log.

use crate::{
    sse::{SseEvent, SseStream},
    support::{TestApp, parsed, problem},
};
use domain::{ErrorCode, Scope};
use protocol::Lease;
use reqwest::{RequestBuilder, StatusCode};
use router::conversation::Part;
use serde_json::{Value, json};
use testkit::eventually;

fn call(app: &TestApp, lease: &Lease) -> RequestBuilder {
    let body = json!({"epoch": app.epoch(), "attempt": lease.attempt, "call_id": "c1", "messages": [{"role": "user", "content": "hello"}]});
    app.post(&format!("/api/v1/leases/{}/model-calls", lease.job_id), Scope::Agent, &body)
}

async fn log(app: &TestApp, lease: &Lease) -> Vec<(String, Value)> {
    let page = app.log(lease.job_id).await;
    page.events.into_iter().skip(2).map(|event| (event.event_type, event.payload)).collect()
}

fn names(events: &[SseEvent]) -> Vec<&str> {
    events.iter().map(|event| event.event.as_str()).collect()
}

#[tokio::test]
async fn an_answer_is_streamed_and_recorded() {
    let app = TestApp::start().await;
    let lease = app.leased_job().await;
    let request = tokio::spawn(call(&app, &lease).send());
    let asked = app.calls.next().await;
    let conversation = asked.request.conversation().unwrap();
    assert_eq!(conversation.messages[0].parts, [Part::Text("hello".into())]);
    assert!(asked.request.checkpoint.is_none(), "nothing of it may leave the machine");
    asked.say("Hel").await;
    let mut stream = SseStream::new(request.await.unwrap().unwrap());
    assert_eq!(stream.next().await.unwrap().event, "started");
    assert_eq!(stream.next().await.unwrap().json(), json!({"type": "delta", "text": "Hel"}));
    asked.say("lo.").await;
    asked.done().await;
    assert_eq!(stream.next().await.unwrap().json()["text"], "lo.");
    let finished = stream.next().await.unwrap();
    assert_eq!(finished.event, "finished");
    // It is in the log by the time the agent knows.
    let log = log(&app, &lease).await;
    assert_eq!(finished.json()["answer"]["content"], "Hello.");
    assert_eq!(stream.next().await, None);

    assert_eq!(log.first().unwrap().0, "model.started");
    assert_eq!(log.first().unwrap().1["notice"], "repeats what the test says");
    let (last, payload) = log.last().unwrap();
    assert_eq!(last, "model.finished");
    assert_eq!(
        (&payload["content"], &payload["input_tokens"], &payload["output_tokens"]),
        (&json!("Hello."), &json!(7), &json!(3))
    );
    let text: String = log
        .iter()
        .filter(|(name, _)| name == "model.delta")
        .map(|(_, payload)| payload["text"].as_str().unwrap())
        .collect();
    assert_eq!(text, "Hello.");
}

#[tokio::test]
async fn many_small_pieces_become_few_events() {
    let app = TestApp::start().await;
    let lease = app.leased_job().await;
    let request = tokio::spawn(call(&app, &lease).send());
    let asked = app.calls.next().await;
    for _ in 0..2_000 {
        asked.say("word ").await;
    }
    asked.done().await;
    let events = SseStream::new(request.await.unwrap().unwrap()).rest().await;
    assert_eq!(events.last().unwrap().event, "finished");
    let log = log(&app, &lease).await;
    let deltas: Vec<&str> = log
        .iter()
        .filter(|(name, _)| name == "model.delta")
        .map(|(_, payload)| payload["text"].as_str().unwrap())
        .collect();
    assert_eq!(deltas.concat(), "word ".repeat(2_000));
    assert!(deltas.len() <= 500, "{} events for 10,000 characters", deltas.len());
    assert!(deltas.iter().all(|text| text.len() < 2_048));
}

#[tokio::test]
async fn a_cut_answer_is_never_a_finished_one() {
    let app = TestApp::start().await;
    let lease = app.leased_job().await;
    let request = tokio::spawn(call(&app, &lease).send());
    let asked = app.calls.next().await;
    asked.say("Half an ans").await;
    asked.cut();
    app.calls.next().await.cut();
    let events = SseStream::new(request.await.unwrap().unwrap()).rest().await;
    // There is no other target, so the same one is asked once more, and breaks off at once.
    assert_eq!(names(&events), ["started", "delta", "started", "failed"]);
    assert_eq!(events[3].json()["code"], "model_failed");
    let log = log(&app, &lease).await;
    let recorded: Vec<&str> = log.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(recorded, ["model.started", "model.delta", "model.started", "model.failed"]);
}

#[tokio::test]
async fn cancelling_the_job_stops_the_model() {
    let app = TestApp::start().await;
    let lease = app.leased_job().await;
    let request = tokio::spawn(call(&app, &lease).send());
    let asked = app.calls.next().await;
    asked.say("On and on").await;
    let mut stream = SseStream::new(request.await.unwrap().unwrap());
    stream.next().await.unwrap();
    let path = format!("/api/v1/jobs/{}/cancel", lease.job_id);
    let _: Value = parsed(app.post(&path, Scope::User, &json!({})), StatusCode::ACCEPTED).await;
    asked.stopped().await;
    let events = stream.rest().await;
    assert_eq!(events.last().unwrap().event, "failed");
    eventually("the failed call in the log", async || {
        log(&app, &lease).await.iter().any(|(name, _)| name == "model.failed").then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_goes_away_stops_the_model_and_the_log_says_so() {
    let app = TestApp::start().await;
    let lease = app.leased_job().await;
    let request = tokio::spawn(call(&app, &lease).send());
    let asked = app.calls.next().await;
    asked.say("Is anybody there").await;
    let mut stream = SseStream::new(request.await.unwrap().unwrap());
    stream.next().await.unwrap();
    drop(stream);
    asked.stopped().await;
    let failed = eventually("the failed call in the log", async || {
        log(&app, &lease).await.into_iter().find(|(name, _)| name == "model.failed")
    })
    .await;
    assert!(failed.1["message"].as_str().unwrap().contains("agent"), "{failed:?}");
}

#[tokio::test]
async fn a_call_of_a_stale_attempt_reaches_no_model() {
    let app = TestApp::start().await;
    let lease = app.leased_job().await;
    let body = json!({"epoch": app.epoch(), "attempt": lease.attempt + 1, "call_id": "c1", "messages": []});
    let path = format!("/api/v1/leases/{}/model-calls", lease.job_id);
    assert_eq!(problem(app.post(&path, Scope::Agent, &body)).await.code, ErrorCode::StaleAttempt);
    let bad_id = json!({"epoch": app.epoch(), "attempt": lease.attempt, "call_id": "a b", "messages": []});
    assert_eq!(problem(app.post(&path, Scope::Agent, &bad_id)).await.errors[0].pointer, "/call_id");
    app.finish(&lease).await;
    assert_eq!(problem(call(&app, &lease)).await.code, ErrorCode::StaleAttempt);
}

#[tokio::test]
async fn a_route_that_leads_nowhere_fails_the_call() {
    let app = TestApp::start().await;
    let lease = app.leased(json!({"kind": "ask", "task": "x", "route": "no-such-route"})).await;
    let events = SseStream::new(call(&app, &lease).send().await.unwrap()).rest().await;
    assert_eq!(names(&events), ["failed"]);
    assert_eq!(events[0].json()["code"], "not_found");
    assert_eq!(log(&app, &lease).await[0].0, "model.failed");
}

#[tokio::test]
async fn a_jobs_calls_may_do_no_more_than_its_owner_its_route_and_itself() {
    // What the owner's policy says, what the agent asks for, and what the model is told; `None`: nobody is asked.
    for (policy, asked, told) in [
        (json!({}), None, Some(None)),
        (json!({}), Some(500), Some(Some(500))),
        (json!({"max_output_tokens": 50}), None, Some(Some(50))),
        (json!({"max_output_tokens": 50}), Some(500), Some(Some(50))),
        (json!({"max_output_tokens": 50}), Some(20), Some(Some(20))),
        (json!({"models": ["elsewhere/*"]}), None, None),
        (json!({"routes": ["another"]}), None, None),
        (json!({"budget_tokens": 1}), None, None),
    ] {
        let app = TestApp::start().await;
        let owner = app.new_token(Scope::User).await;
        let job = json!({"kind": "ask", "task": "say something"});
        let created = app.http.post(app.url("/api/v1/jobs")).bearer_auth(&owner.secret).json(&job);
        let created: Value =
            parsed(created.header("idempotency-key", format!("{policy}{asked:?}")), StatusCode::ACCEPTED).await;
        app.router
            .books()
            .accounts()
            .set_policy(owner.token.principal, serde_json::from_value(policy.clone()).unwrap());
        let lease = app.lease().await;
        assert_eq!(created["id"], json!(lease.job_id));
        let mut body = json!({"epoch": app.epoch(), "attempt": lease.attempt, "call_id": "c1", "messages": [{"role": "user", "content": "hello"}]});
        if let Some(asked) = asked {
            body["max_output_tokens"] = json!(asked);
        }
        let path = format!("/api/v1/leases/{}/model-calls", lease.job_id);
        let request = tokio::spawn(app.post(&path, Scope::Agent, &body).send());
        if let Some(told) = told {
            let call = app.calls.next().await;
            assert_eq!(call.request.conversation().unwrap().max_output_tokens, told, "{policy} {asked:?}");
            call.say("Fine.").await;
            call.done().await;
        }
        let events = SseStream::new(request.await.unwrap().unwrap()).rest().await;
        let last = if told.is_some() { "finished" } else { "failed" };
        assert_eq!(events.last().unwrap().event, last, "{policy} {asked:?}: {:?}", names(&events));
    }
}
