//! What exams found out about models, kept and given back, and calls of models outside of jobs.

use crate::{
    provider::MODEL,
    sse::SseStream,
    support::{TestApp, options, parsed, problem},
};
use domain::{ErrorCode, Scope};
use protocol::{AuditPage, Calls, FoundModelProfile, KnownBy, Models, ProfileSource, Route};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const PATH: &str = "/api/v1/models/scripted%2Fparrot/profile";

/// What an exam hands in about a model with this digest.
pub fn put(digest: Option<&str>) -> Value {
    let profile = json!({"source": "family", "calls": "text", "edits": "blocks", "mode": "guided", "temperature": 0.5});
    let answer = json!({"question": "stops", "outcome": "failed", "why": "it went on", "ms": 5});
    json!({"digest": digest, "profile": profile, "exam": {"version": 1, "answers": [answer], "total_ms": 9}})
}

async fn changed(app: &TestApp, pointer: &str, value: Value) -> protocol::Problem {
    let mut body = put(None);
    *body.pointer_mut(pointer).unwrap() = value;
    problem(app.request(Method::PUT, PATH, Scope::Admin).json(&body)).await
}

#[tokio::test]
async fn what_an_exam_found_is_kept_listed_and_forgotten() {
    let app = TestApp::start().await;
    assert_eq!(problem(app.get(PATH, Scope::Viewer)).await.code, ErrorCode::NotFound, "nothing is known of parrots");
    let request = app.request(Method::PUT, PATH, Scope::Admin).json(&put(None));
    let kept: FoundModelProfile = parsed(request, StatusCode::OK).await;
    assert_eq!((kept.model.as_str(), kept.known_by), (MODEL, KnownBy::Name), "its provider tells no digest");
    assert_eq!((kept.profile.source, kept.profile.calls), (ProfileSource::Exam, Calls::Text));
    assert!(kept.profile.examined_at.is_some());
    let found: FoundModelProfile = parsed(app.get(PATH, Scope::Viewer), StatusCode::OK).await;
    assert_eq!(found, kept);
    let listed: Models = parsed(app.get("/api/v1/models", Scope::Viewer), StatusCode::OK).await;
    assert_eq!(listed.models[0].profile.as_ref(), Some(&kept.profile));
    assert_eq!(listed.routes[0].targets[0].profile.as_ref(), Some(&kept.profile));
    let route: Route = parsed(app.get("/api/v1/routes/scripted%2Fparrot", Scope::Agent), StatusCode::OK).await;
    assert_eq!(route.targets[0].profile.as_ref(), Some(&kept.profile), "agents go by it");

    let forget = || app.request(Method::DELETE, PATH, Scope::Admin);
    assert_eq!(forget().send().await.unwrap().status(), 204);
    assert_eq!(problem(forget()).await.code, ErrorCode::NotFound);
    assert_eq!(problem(app.get(PATH, Scope::Viewer)).await.code, ErrorCode::NotFound);
    let audit: AuditPage =
        parsed(app.get(&format!("/api/v1/audit?object={MODEL}"), Scope::Admin), StatusCode::OK).await;
    let actions: Vec<_> = audit.entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["model_profile.delete", "model_profile.put"]);
}

#[tokio::test]
async fn it_survives_a_restart() {
    let app = TestApp::start().await;
    let request = app.request(Method::PUT, PATH, Scope::Admin).json(&put(None));
    let kept: FoundModelProfile = parsed(request, StatusCode::OK).await;
    let folder = app.folder().to_owned();
    let directory = app.stop().await;
    let app = TestApp::on(folder, options()).await;
    let found: FoundModelProfile = parsed(app.get(PATH, Scope::Viewer), StatusCode::OK).await;
    assert_eq!(found, kept);
    app.stop().await;
    drop(directory);
}

#[tokio::test]
async fn what_does_not_fit_the_model_or_makes_no_sense_is_refused() {
    let app = TestApp::start().await;
    let long = "x".repeat(1_001);
    let answers = |count| vec![json!({"question": "stops", "outcome": "passed", "why": "", "ms": 1}); count];
    for (pointer, value, refused) in [
        ("/digest", json!("sha256:ab"), "/digest"),
        ("/profile/temperature", json!(2.5), "/profile/temperature"),
        ("/exam/answers", json!(answers(51)), "/exam/answers"),
        ("/exam/answers/0/why", json!(long), "/exam/answers/0/why"),
    ] {
        let refusal = changed(&app, pointer, value).await;
        assert_eq!((refusal.code, refusal.errors[0].pointer.as_str()), (ErrorCode::InvalidRequest, refused));
    }
    let refusal = changed(&app, "/digest", json!("sha256:ab")).await;
    assert!(refusal.detail.contains("has none now") && refusal.detail.contains("Examine it again"), "{refusal:?}");
    let elsewhere = "/api/v1/models/scripted%2Fabsent/profile";
    let refusal = problem(app.request(Method::PUT, elsewhere, Scope::Admin).json(&put(None))).await;
    assert_eq!(refusal.code, ErrorCode::NotFound);
}

#[tokio::test]
async fn a_call_outside_of_a_job_is_streamed_and_recorded() {
    let app = TestApp::start().await;
    let call = json!({"route": MODEL, "messages": [{"role": "user", "content": "hello"}], "grammar": "start: \"x\""});
    let request = tokio::spawn(app.post("/api/v1/model-calls", Scope::Model, &call).send());
    let asked = app.calls.next().await;
    assert!(asked.request.checkpoint.is_none(), "nothing of it may leave the machine");
    asked.say("Hello.").await;
    asked.done().await;
    let events = SseStream::new(request.await.unwrap().unwrap()).rest().await;
    let names: Vec<_> = events.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(names, ["started", "delta", "finished"]);
    assert_eq!(events[2].json()["answer"]["content"], "Hello.");
    let calls: Value = parsed(app.get("/api/v1/model-calls", Scope::Model), StatusCode::OK).await;
    assert_eq!(calls["model_calls"][0]["route"], MODEL);
}

#[tokio::test]
async fn whoever_hangs_up_stops_the_model() {
    let app = TestApp::start().await;
    let call = json!({"route": MODEL, "messages": [{"role": "user", "content": "hello"}]});
    let request = tokio::spawn(app.post("/api/v1/model-calls", Scope::User, &call).send());
    let asked = app.calls.next().await;
    asked.say("On and on").await;
    let mut stream = SseStream::new(request.await.unwrap().unwrap());
    stream.next().await.unwrap();
    drop(stream);
    asked.stopped().await;
}
