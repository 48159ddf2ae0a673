use crate::server::{Server, options, problem};
use axum::{
    Json, Router,
    body::Body,
    extract::{Query, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::{post, put},
};
use client::{Client, Error, Upload};
use domain::{Epoch, ErrorCode, JobId, WorkerId};
use futures_util::StreamExt;
use protocol::{AppendEvents, Appended, EventBody, KnownJobs, KnownJobsRequest, LeaseRequest, ModelCall};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::net::TcpListener;

fn job() -> JobId {
    "019a2b3c-0000-7000-8000-000000000001".parse().unwrap()
}

const EPOCH: domain::Epoch = domain::Epoch(7);

fn batch() -> AppendEvents {
    AppendEvents {
        epoch: EPOCH,
        attempt: 1,
        producer_seq: 7,
        events: vec![EventBody::AgentNote { message: "hello".into() }],
    }
}

/// What came in, and what to answer next; the last answer stays.
#[derive(Default)]
struct Script {
    seen: Mutex<Vec<AppendEvents>>,
    answers: Mutex<Vec<(u16, &'static str)>>,
}

async fn append(State(script): State<Arc<Script>>, Json(body): Json<AppendEvents>) -> Response {
    script.seen.lock().unwrap().push(body);
    match script.answers.lock().unwrap().pop() {
        Some((status, code)) => problem(status, code),
        None => Json(Appended { head: "5f0c21ab.9".parse().unwrap(), repeated: false }).into_response(),
    }
}

async fn serve(answers: &[(u16, &'static str)]) -> (Server, Arc<Script>) {
    let script = Arc::new(Script::default());
    *script.answers.lock().unwrap() = answers.iter().rev().copied().collect();
    let router = Router::new().route("/api/v1/leases/{id}/events", post(append)).with_state(script.clone());
    (Server::start(router).await, script)
}

#[tokio::test]
async fn a_batch_is_sent_until_it_is_stored() {
    let (server, script) = serve(&[(503, "unavailable"), (507, "storage_full"), (429, "rate_limited")]).await;
    let appended = server.client().append_events(job(), &batch()).await.unwrap();
    assert_eq!(appended.head.to_string(), "5f0c21ab.9");
    let seen = script.seen.lock().unwrap();
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|body| *body == batch()), "every try is the same batch");
}

#[tokio::test]
async fn a_stale_attempt_is_told_at_once() {
    let (server, script) = serve(&[(409, "stale_attempt"), (409, "stale_attempt")]).await;
    let error = server.client().append_events(job(), &batch()).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::StaleAttempt));
    assert_eq!(script.seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_backend_that_is_away_is_waited_for_and_then_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = Client::new(options(address)).unwrap();
    let error = client.retrying_for(Duration::from_millis(100)).append_events(job(), &batch()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");

    let call = tokio::spawn(async move { client.append_events(job(), &batch()).await });
    let script = Arc::new(Script::default());
    let router = Router::new().route("/api/v1/leases/{id}/events", post(append)).with_state(script.clone());
    let _server = Server::on(TcpListener::bind(address).await.unwrap(), router);
    call.await.unwrap().unwrap();
}

#[tokio::test]
async fn no_job_is_not_an_error() {
    let router = Router::new().route("/api/v1/leases", post(async || axum::http::StatusCode::NO_CONTENT));
    let server = Server::start(router).await;
    let request = LeaseRequest { worker_id: WorkerId(uuid::Uuid::nil()), worker_name: "w".into(), wait_ms: 0 };
    assert_eq!(server.client().lease(&request).await.unwrap(), None);
}

#[tokio::test]
async fn however_many_jobs_are_asked_about_in_pieces() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let sizes = asked.clone();
    let route = post(async move |Json(mut body): Json<KnownJobsRequest>| {
        sizes.lock().unwrap().push(body.job_ids.len());
        body.job_ids.retain(|job| job.0.as_u128() % 2 == 0);
        Json(KnownJobs { epoch: Epoch(7), known: body.job_ids })
    });
    let server = Server::start(Router::new().route("/api/v1/jobs/known", route)).await;
    let jobs: Vec<_> = (0..2_001).map(|number| JobId(uuid::Uuid::from_u128(number))).collect();
    let known = server.client().known_jobs(&jobs).await.unwrap().unwrap();
    assert_eq!(*asked.lock().unwrap(), [1_000, 1_000, 1]);
    assert_eq!(known, KnownJobs { epoch: Epoch(7), known: jobs.into_iter().step_by(2).collect() });
    assert_eq!(server.client().known_jobs(&[]).await.unwrap(), None);
    assert_eq!(asked.lock().unwrap().len(), 3, "nothing is asked for nothing");
}

type Uploads = Arc<Mutex<Vec<(Vec<u8>, String, String)>>>;

async fn store(
    State(uploads): State<Uploads>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let mut bytes = Vec::new();
    let mut stream = body.into_data_stream();
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk.unwrap());
    }
    let media_type = headers["content-type"].to_str().unwrap().to_owned();
    let mut uploads = uploads.lock().unwrap();
    uploads.push((bytes, media_type, format!("{}.{}", query["epoch"], query["attempt"])));
    if uploads.len() == 1 {
        return problem(507, "storage_full");
    }
    Json(serde_json::json!({
        "job_id": job(), "name": "patch.diff", "media_type": "text/x-diff", "bytes": uploads[1].0.len(), "sha256": "0".repeat(64),
        "created_at": "2026-01-01T00:00:00.000Z",
    }))
    .into_response()
}

#[tokio::test]
async fn a_file_is_sent_whole_and_again_from_its_start() {
    let uploads = Uploads::default();
    let router = Router::new().route("/api/v1/leases/{id}/artifacts/{name}", put(store)).with_state(uploads.clone());
    let server = Server::start(router).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("big");
    let content: Vec<u8> = (0..3_000_000u32).map(|number| (number % 251) as u8).collect();
    std::fs::write(&path, &content).unwrap();
    let upload = Upload::File(path.clone());
    let artifact = server.client().put_artifact(job(), (EPOCH, 3), "patch.diff", "text/x-diff", &upload).await.unwrap();
    assert_eq!(artifact.bytes, content.len() as u64);
    {
        let uploads = uploads.lock().unwrap();
        assert_eq!(uploads.len(), 2);
        for (bytes, media_type, attempt) in uploads.iter() {
            assert!(*bytes == content);
            assert_eq!((media_type.as_str(), attempt.as_str()), ("text/x-diff", "00000007.3"));
        }
    }

    std::fs::remove_file(&path).unwrap();
    let error =
        server.client().put_artifact(job(), (EPOCH, 3), "patch.diff", "text/x-diff", &upload).await.unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error:?}");
}

#[tokio::test]
async fn a_model_call_that_may_have_begun_is_not_repeated() {
    let calls = Arc::new(Mutex::new(0));
    let counter = calls.clone();
    let route = post(move || {
        let counter = counter.clone();
        async move {
            *counter.lock().unwrap() += 1;
            std::future::pending::<()>().await
        }
    });
    let server = Server::start(Router::new().route("/api/v1/leases/{id}/model-calls", route)).await;
    let mut options = options(server.address);
    options.silence = Duration::from_millis(100);
    let call: ModelCall =
        serde_json::from_value(serde_json::json!({"epoch": EPOCH, "attempt": 1, "call_id": "c1", "messages": []}))
            .unwrap();
    let error = Client::new(options).unwrap().model_call(job(), &call).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert_eq!(*calls.lock().unwrap(), 1);
}
