//! A whole mesh in one process: the real store, job engine, router and API on a port of 127.0.0.1, a scripted model, and
//! agents that speak to it over HTTP.

use agent::{Agent, sandbox};
use client::{ByteStream, Client};
use domain::{JobId, JobKind, JobState, SystemClock};
use futures_util::StreamExt;
use protocol::{
    CreateJob, Egress, Event, EventBody, Job, ListApprovals, ListEvents, Location, Repository, ToolOutcome,
};
use router::{
    Books, Mounted, Provider, RouteConfig, Router, accounts,
    providers::{ollama, openai},
    redaction::Patterns,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use store::Store;
use tempfile::TempDir;
use testkit::{FaultProxy, SampleRepository, ScriptedModel, ServedModel, eventually_within};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What routes call the scripted model's server.
const PROVIDER: &str = "ollama";

/// More calls at once than any test makes: no test here is about waiting for one's turn.
const MODEL_CONCURRENCY: usize = 64;

/// Longest any job here takes, a gigabyte of output on a busy machine included.
const PATIENCE: Duration = Duration::from_secs(90);

/// How the scripted model can be told of tools.
#[derive(Clone, Copy, Default)]
pub enum Speaks {
    #[default]
    Tools,
    /// Through Ollama, which says that the model has no tools.
    NoTools,
    PlainText,
}

/// What the mesh is made of besides the script.
#[derive(Default)]
pub struct Setup {
    pub dialect: Speaks,
    /// The model's name, which may tell its size.
    pub model: Option<&'static str>,
    /// Another one, which the route names after it.
    pub second: Option<&'static str>,
    pub jobs: jobs::Options,
}

pub struct Mesh {
    pub model: ScriptedModel,
    /// With the rights of an administrator.
    pub client: Client,
    /// Speaks as an agent, through `line`.
    agents: Client,
    /// Between the agents and the backend.
    pub line: FaultProxy,
    folder: TempDir,
    _stop: DropGuard,
}

/// A running agent.
pub struct Worker {
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), agent::Error>>,
}

impl Mesh {
    pub async fn start(script: impl Into<testkit::Script>) -> Self {
        Self::with(Setup::default(), script).await
    }

    pub async fn with(setup: Setup, script: impl Into<testkit::Script>) -> Self {
        // In the build's own folder rather than under `/tmp`, so that commands get a `/tmp` of their own.
        let folder = tempfile::Builder::new().prefix("mesh-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let capabilities: &[&str] = match setup.dialect {
            Speaks::Tools => &["completion", "tools"],
            Speaks::NoTools | Speaks::PlainText => &["completion"],
        };
        let name = setup.model.unwrap_or(ScriptedModel::MODEL);
        let names: Vec<&str> = std::iter::once(name).chain(setup.second).collect();
        let served = names.iter().map(|name| ServedModel::new(name).capabilities(capabilities));
        let model = ScriptedModel::serve(served.collect::<Vec<_>>(), script).await;
        let provider: Arc<dyn Provider> = match setup.dialect {
            Speaks::Tools | Speaks::NoTools => {
                let options = ollama::Options { base_url: model.base_url(), ..Default::default() };
                Arc::new(ollama::Ollama::new(options).unwrap())
            }
            Speaks::PlainText => {
                let known = |name: &&str| openai::ModelOptions {
                    context_tokens: Some(8_192),
                    native_tools: false,
                    structured_output: false,
                    ..openai::ModelOptions::new(*name)
                };
                let models = names.iter().map(known).collect();
                let options = openai::Options::new(PROVIDER, model.openai_url(), Location::Local);
                Arc::new(openai::OpenAi::new(openai::Options { models, ..options }).unwrap())
            }
        };
        let store = Store::open(store::Options::new(folder.path().join("data"))).await.unwrap();
        let clock = Arc::new(SystemClock);
        let opened = accounts::open(&store, clock.clone(), accounts::Options::default()).await.unwrap();
        let mounted = Mounted::new(provider, MODEL_CONCURRENCY);
        let mut options = router::Options::new(
            vec![mounted],
            Patterns::built_in().unwrap(),
            clock.clone(),
            Books::new(&opened, store.clone()),
        );
        let targets = names.iter().map(|name| format!("{PROVIDER}/{name}").parse().unwrap()).collect();
        options.routes = vec![RouteConfig::new("default", targets, Egress::LocalOnly)];
        let router = Arc::new(Router::new(options).unwrap());
        let token_file = folder.path().join("admin-token");
        let admin = api::ensure_admin_token(&store, clock.as_ref(), &token_file).await.unwrap().unwrap();
        let (service, jobs) = jobs::Service::start(store.clone(), clock.clone(), setup.jobs).await.unwrap();
        let app = api::App::start(api::Parts { store, jobs, router, clock, options: api::Options::default() });
        let app = app.await.unwrap();
        let agent = app.mint_agent_token("test agent").await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let line = FaultProxy::start(address).await;
        let url = format!("http://{address}");
        let stop = CancellationToken::new();
        tokio::spawn(service.run(stop.clone()));
        tokio::spawn(opened.service.run(stop.clone()));
        tokio::spawn(api::serve(listener, app, stop.clone()));
        Self {
            model,
            client: Client::new(client::Options::new(&url, admin.expose())).unwrap(),
            agents: Client::new(client::Options::new(line.base_url(), agent.expose())).unwrap(),
            line,
            folder,
            _stop: stop.drop_guard(),
        }
    }

    /// Starts an agent. All agents of a mesh share one folder of workspaces, as restarts of one agent would.
    pub async fn agent(&self) -> Worker {
        self.agent_with(|_| {}).await
    }

    pub async fn agent_with(&self, change: impl FnOnce(&mut sandbox::Options)) -> Worker {
        self.agent_of(|options| change(&mut options.sandbox)).await
    }

    pub async fn agent_of(&self, change: impl FnOnce(&mut agent::Options)) -> Worker {
        let path = ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned());
        let sandbox = sandbox::Options::new(self.workspaces(), vec![path]);
        let mut options = agent::Options::new(self.agents.clone(), "test agent", sandbox);
        options.model_retry_pause = Duration::from_millis(10);
        change(&mut options);
        let agent = Agent::start(options).await.unwrap();
        let shutdown = CancellationToken::new();
        Worker { running: tokio::spawn(agent.run(shutdown.clone())), shutdown }
    }

    pub fn workspaces(&self) -> PathBuf {
        self.folder.path().join("workspaces")
    }

    pub async fn create(&self, job: CreateJob) -> JobId {
        self.client.create_job(&job, None).await.unwrap().id
    }

    /// The job once it is over.
    pub async fn ended(&self, id: JobId) -> Job {
        self.when(id, "the end of the job", |job| job.state.is_terminal()).await
    }

    pub async fn when(&self, id: JobId, what: &str, condition: impl Fn(&Job) -> bool) -> Job {
        eventually_within(PATIENCE, what, async || Some(self.client.job(id).await.unwrap()).filter(&condition)).await
    }

    /// The whole log.
    pub async fn events(&self, id: JobId) -> Vec<Event> {
        let mut events = Vec::new();
        let mut after = None;
        loop {
            let list = ListEvents { after: after.clone(), limit: Some(1_000), wait_ms: None };
            let page = self.client.events_page(id, &list).await.unwrap();
            after = Some(page.next_cursor.to_string());
            if page.events.is_empty() {
                return events;
            }
            events.extend(page.events);
        }
    }

    pub async fn bodies(&self, id: JobId) -> Vec<EventBody> {
        self.events(id).await.iter().filter_map(Event::body).collect()
    }

    pub async fn notes(&self, id: JobId) -> Vec<String> {
        let note = |body| match body {
            EventBody::AgentNote { message } => Some(message),
            _ => None,
        };
        self.bodies(id).await.into_iter().filter_map(note).collect()
    }

    /// How the tool calls ended, in order.
    pub async fn outcomes(&self, id: JobId) -> Vec<(String, ToolOutcome)> {
        let outcome = |body| match body {
            EventBody::ToolFinished { call_id, outcome, .. } => Some((call_id, outcome)),
            _ => None,
        };
        self.bodies(id).await.into_iter().filter_map(outcome).collect()
    }

    pub async fn artifact(&self, id: JobId, name: &str) -> Vec<u8> {
        let mut stream: ByteStream = self.client.artifact(id, name).await.unwrap();
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk.unwrap());
        }
        bytes
    }

    /// The patch of a job that has one.
    pub async fn patch(&self, job: &Job) -> String {
        let name = job.result.as_ref().and_then(|result| result.patch_artifact.clone());
        let name = name.unwrap_or_else(|| panic!("the job handed back no patch: {job:?}"));
        String::from_utf8(self.artifact(job.id, &name).await).unwrap()
    }

    /// Decides on the one approval that waits.
    pub async fn decide(&self, id: JobId, decision: protocol::Decision, message: Option<&str>) {
        self.when(id, "a question", |job| job.state == JobState::WaitingApproval).await;
        let list = ListApprovals { job_id: Some(id), pending: Some(true), ..ListApprovals::default() };
        let page = self.client.approvals(&list).await.unwrap();
        let [approval] = &page.approvals[..] else { panic!("one approval waits, not {page:?}") };
        let decide = protocol::DecideApproval {
            decision,
            arguments_sha256: approval.arguments_sha256.clone(),
            message: message.map(str::to_owned),
        };
        self.client.decide(approval.id, &decide).await.unwrap();
    }
}

impl Worker {
    /// As a power cut would: nothing is said to anybody.
    pub async fn vanish(mut self) {
        self.running.abort();
        assert!((&mut self.running).await.unwrap_err().is_cancelled());
    }

    /// Stops in good order.
    pub async fn shut_down(mut self) {
        self.shutdown.cancel();
        tokio::time::timeout(testkit::DEADLINE, &mut self.running).await.unwrap().unwrap().unwrap();
    }
}

/// Nothing of an agent outlives its test.
impl Drop for Worker {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// Without a check: the loop alone.
pub fn code(repository: &SampleRepository, task: &str) -> CreateJob {
    CreateJob { check: Some(protocol::NO_CHECK.into()), ..checked(repository, task) }
}

/// With the check that is found.
pub fn checked(repository: &SampleRepository, task: &str) -> CreateJob {
    on(JobKind::Code, repository.path(), task)
}

pub fn ask(repository: &SampleRepository, task: &str) -> CreateJob {
    on(JobKind::Ask, repository.path(), task)
}

fn on(kind: JobKind, path: &Path, task: &str) -> CreateJob {
    let repository = Repository { path: path.display().to_string(), reference: None };
    CreateJob { repository: Some(repository), ..CreateJob::new(kind, task) }
}
