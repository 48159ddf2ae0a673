//! The real API on a real socket over a real store, with a model that says what the test tells it to.

use crate::provider::{Calls, ScriptedProvider};
use domain::{Epoch, JobId, Scope, SystemClock};
use protocol::{CreateJob, CreatedToken, EventPage, Job, Lease, Problem};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use router::{Books, Mounted, Provider, Router, accounts, redaction::Patterns};
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};
use store::Store;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub struct TestApp {
    pub address: std::net::SocketAddr,
    pub app: Arc<api::App>,
    pub store: Store,
    pub router: Arc<Router>,
    /// What the router asks the model, as it asks it.
    pub calls: Calls,
    pub http: reqwest::Client,
    pub shutdown: CancellationToken,
    tokens: BTreeMap<Scope, String>,
    server: Option<JoinHandle<std::io::Result<()>>>,
    service: Option<JoinHandle<()>>,
    journal: Option<JoinHandle<()>>,
    stop_service: CancellationToken,
    folder: PathBuf,
    _directory: Option<TempDir>,
}

/// Limits that make waits short without making anything else different.
pub fn options() -> api::Options {
    let mut options = api::Options::default();
    options.limits.drain = Duration::from_secs(5);
    options
}

impl TestApp {
    pub async fn start() -> Self {
        Self::with(options()).await
    }

    pub async fn with(options: api::Options) -> Self {
        Self::with_providers(options, Vec::new()).await
    }

    /// With these providers besides the scripted one, which comes last.
    pub async fn with_providers(options: api::Options, providers: Vec<Arc<dyn Provider>>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("data");
        let mut app = Self::open(folder, options, providers).await;
        app._directory = Some(directory);
        app
    }

    /// On a data folder that is there already, or not yet.
    pub async fn on(folder: PathBuf, options: api::Options) -> Self {
        Self::open(folder, options, Vec::new()).await
    }

    pub async fn open(folder: PathBuf, options: api::Options, providers: Vec<Arc<dyn Provider>>) -> Self {
        let store = Store::open(store::Options::new(&folder)).await.unwrap();
        let clock = Arc::new(SystemClock);
        let first = folder.join("admin-token");
        api::ensure_admin_token(&store, clock.as_ref(), &first).await.unwrap();
        let admin = std::fs::read_to_string(&first).unwrap().trim().to_owned();

        let (service, jobs) =
            jobs::Service::start(store.clone(), clock.clone(), jobs::Options::default()).await.unwrap();
        let stop_service = CancellationToken::new();
        let service = tokio::spawn(service.run(stop_service.clone()));
        let (provider, calls) = ScriptedProvider::new();
        let opened = accounts::open(&store, clock.clone(), accounts::Options::default()).await.unwrap();
        let books = Books::new(&opened, store.clone());
        let journal = opened.service;
        let stop = stop_service.clone();
        let journal = tokio::spawn(async move {
            let _ = journal.run(stop).await;
        });
        let mounted: Vec<Mounted> = providers
            .into_iter()
            .chain([Arc::new(provider) as Arc<dyn Provider>])
            .map(|provider| Mounted::new(provider, 8))
            .collect();
        let router = Arc::new(
            Router::new(router::Options::new(mounted, Patterns::built_in().unwrap(), clock.clone(), books)).unwrap(),
        );
        let parts = api::Parts { store: store.clone(), jobs, router: router.clone(), clock, options };
        let app = api::App::start(parts).await.unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(api::serve(listener, app.clone(), shutdown.clone()));
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let mut test = Self {
            address,
            app,
            store,
            router,
            calls,
            http,
            shutdown,
            tokens: BTreeMap::from([(Scope::Admin, admin)]),
            server: Some(server),
            service: Some(service),
            journal: Some(journal),
            stop_service,
            folder,
            _directory: None,
        };
        for scope in [Scope::User, Scope::Viewer, Scope::Agent, Scope::Model] {
            let secret = test.new_token(scope).await.secret;
            test.tokens.insert(scope, secret);
        }
        test
    }

    pub fn token(&self, scope: Scope) -> &str {
        &self.tokens[&scope]
    }

    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A request with the token of this scope.
    pub fn request(&self, method: Method, path: &str, scope: Scope) -> RequestBuilder {
        self.http.request(method, self.url(path)).bearer_auth(self.token(scope))
    }

    pub fn get(&self, path: &str, scope: Scope) -> RequestBuilder {
        self.request(Method::GET, path, scope)
    }

    pub fn post(&self, path: &str, scope: Scope, body: &Value) -> RequestBuilder {
        self.request(Method::POST, path, scope).json(body)
    }

    pub async fn new_token(&self, scope: Scope) -> CreatedToken {
        let body = json!({"name": format!("{scope} of a test"), "scope": scope});
        parsed(self.post("/api/v1/tokens", Scope::Admin, &body), StatusCode::CREATED).await
    }

    pub async fn create_job(&self, task: &str) -> Job {
        parsed(self.post("/api/v1/jobs", Scope::User, &json!({"kind": "ask", "task": task})), StatusCode::ACCEPTED)
            .await
    }

    /// Puts a job into the queue and leases it.
    pub async fn leased_job(&self) -> Lease {
        self.leased(json!({"kind": "ask", "task": "say something"})).await
    }

    pub async fn leased(&self, spec: Value) -> Lease {
        let spec: CreateJob = serde_json::from_value(spec).unwrap();
        let body = serde_json::to_value(&spec).unwrap();
        let job: Job = parsed(self.post("/api/v1/jobs", Scope::User, &body), StatusCode::ACCEPTED).await;
        let lease = self.lease().await;
        assert_eq!(lease.job_id, job.id);
        lease
    }

    pub async fn lease(&self) -> Lease {
        let body =
            json!({"worker_id": "019a2b3c-0000-7000-8000-0000000000aa", "worker_name": "test", "wait_ms": 10_000});
        parsed(self.post("/api/v1/leases", Scope::Agent, &body), StatusCode::OK).await
    }

    /// Appends notes under the attempt, `count` of them with `bytes` of text each, in batches.
    pub async fn append_notes(&self, lease: &Lease, first_batch: u64, count: usize, bytes: usize) {
        let note = json!({"type": "agent.note", "payload": {"message": "x".repeat(bytes)}});
        let mut left = count;
        let mut producer_seq = first_batch;
        while left > 0 {
            let batch = left.min(64);
            let body = json!({"epoch": lease.epoch, "attempt": lease.attempt, "producer_seq": producer_seq, "events": vec![note.clone(); batch]});
            let path = format!("/api/v1/leases/{}/events", lease.job_id);
            let _: Value = parsed(self.post(&path, Scope::Agent, &body), StatusCode::OK).await;
            left -= batch;
            producer_seq += 1;
        }
    }

    pub async fn finish(&self, lease: &Lease) -> Job {
        let outcome = json!({"state": "succeeded", "result": {"answer": "done"}});
        let body = json!({"epoch": lease.epoch, "attempt": lease.attempt, "outcome": outcome});
        let path = format!("/api/v1/leases/{}/finish", lease.job_id);
        parsed(self.post(&path, Scope::Agent, &body), StatusCode::OK).await
    }

    /// The whole log as it is now.
    pub async fn log(&self, job: JobId) -> EventPage {
        parsed(self.get(&format!("/api/v1/jobs/{job}/events?limit=1000"), Scope::Admin), StatusCode::OK).await
    }

    pub fn epoch(&self) -> Epoch {
        self.store.epoch()
    }

    /// Stops the server, the service and the store, in this order, and returns once the folder is free.
    pub async fn stop(mut self) -> Option<TempDir> {
        self.shutdown.cancel();
        self.server.take().unwrap().await.unwrap().unwrap();
        self.stop_service.cancel();
        self.service.take().unwrap().await.unwrap();
        self.journal.take().unwrap().await.unwrap();
        self.store.clone().close().await;
        self._directory.take()
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.stop_service.cancel();
    }
}

/// The body, once the status is the one expected.
pub async fn parsed<T: serde::de::DeserializeOwned>(request: RequestBuilder, expected: StatusCode) -> T {
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, expected, "{text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The problem, after checking what every problem has.
pub async fn problem(request: RequestBuilder) -> Problem {
    problem_of(request.send().await.unwrap()).await
}

pub async fn problem_of(response: Response) -> Problem {
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    assert_eq!(headers["content-type"], "application/problem+json", "{status} {text}");
    let problem: Problem = serde_json::from_str(&text).unwrap();
    assert_eq!(problem.status, status.as_u16());
    assert_eq!(problem.code.status(), problem.status);
    assert_eq!(problem.r#type, format!("/api/errors/{}", problem.code));
    assert_eq!(headers["x-request-id"], problem.request_id.as_str());
    problem
}

/// Where an attempt puts a file.
pub fn artifact_path(lease: &Lease, name: &str) -> String {
    format!("/api/v1/leases/{}/artifacts/{name}?epoch={}&attempt={}", lease.job_id, lease.epoch, lease.attempt)
}
