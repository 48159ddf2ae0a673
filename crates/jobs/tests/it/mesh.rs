//! A store in a temporary folder, a service at work on it, and the callers of a small mesh.

use domain::{Clock, Cursor, JobId, JobKind, JobState, PrincipalId, RequestId, Scope, Timestamp, WorkerId};
use jobs::{Caller, Handle, Options, Read, Service};
use protocol::{
    AppendEvents, Control, CreateJob, Event, EventBody, FinishJob, Heartbeat, HeartbeatAnswer, Job, JobResult, Lease,
    LeaseRequest, Outcome, ReleaseJob, RequestApproval,
};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
        mpsc,
    },
    time::{Duration, Instant as RealInstant},
};
use store::Store;
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

/// How long a test waits for something that happens by itself, in real time. Only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Mesh {
    pub handle: Handle,
    pub store: Store,
    pub user: Caller,
    pub agent: Caller,
    folder: TempDir,
    options: Options,
    pub clock: Arc<TestClock>,
    service: JoinHandle<()>,
    shutdown: CancellationToken,
    _still: StandStill,
}

/// A wall clock that goes with tokio's, so that pausing and advancing one does the same to the other.
pub struct TestClock {
    begun: Instant,
    begun_at: Timestamp,
    ahead_ms: AtomicI64,
}

impl TestClock {
    /// As somebody sets it, or a battery runs out.
    pub fn jump(&self, millis: i64) {
        self.ahead_ms.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.begun.elapsed().as_millis()).unwrap();
        self.begun_at.plus_millis(passed + self.ahead_ms.load(Ordering::SeqCst))
    }
}

/// Paused time jumps ahead whenever the runtime has nothing to do, and waiting for the store's own thread looks like
/// that. A blocking task that runs keeps it from jumping: with this, time passes only where a test says so.
struct StandStill(#[expect(dead_code, reason = "its drop ends the blocking task")] mpsc::Sender<()>);

impl StandStill {
    fn begin() -> Self {
        let (sender, receiver) = mpsc::channel();
        tokio::task::spawn_blocking(move || receiver.recv());
        Self(sender)
    }
}

pub fn caller(scope: Scope) -> Caller {
    let now = Timestamp::from_millis(1_795_000_000_000);
    Caller { principal: PrincipalId::new(now), scope, request: RequestId::new(now) }
}

impl Mesh {
    pub async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        let clock = TestClock {
            begun: Instant::now(),
            begun_at: Timestamp::from_millis(1_795_386_615_000),
            ahead_ms: AtomicI64::new(0),
        };
        let folder = tempfile::tempdir().unwrap();
        Self::open(folder, options, Arc::new(clock), caller(Scope::User), caller(Scope::Agent)).await
    }

    async fn open(folder: TempDir, options: Options, clock: Arc<TestClock>, user: Caller, agent: Caller) -> Self {
        let store = Store::open(store::Options::new(folder.path())).await.unwrap();
        let (service, handle) = Service::start(store.clone(), clock.clone(), options.clone()).await.unwrap();
        let shutdown = CancellationToken::new();
        let service = tokio::spawn(service.run(shutdown.clone()));
        let still = StandStill::begin();
        Self { handle, store, user, agent, folder, options, clock, service, shutdown, _still: still }
    }

    /// Ends the backend and starts another on the same folder.
    pub async fn restart(self) -> Self {
        let (folder, options, clock, user, agent) = self.stop().await;
        Self::open(folder, options, clock, user, agent).await
    }

    /// As `restart`, with something done to the folder in between.
    pub async fn restart_after(self, meddle: impl FnOnce(PathBuf)) -> Self {
        let (folder, options, clock, user, agent) = self.stop().await;
        meddle(folder.path().to_owned());
        Self::open(folder, options, clock, user, agent).await
    }

    async fn stop(self) -> (TempDir, Options, Arc<TestClock>, Caller, Caller) {
        self.shutdown.cancel();
        self.service.await.unwrap();
        drop(self.handle);
        self.store.close().await;
        (self.folder, self.options, self.clock, self.user, self.agent)
    }

    /// Ends the service and nothing else.
    pub fn shut_down(&self) {
        self.shutdown.cancel();
    }

    pub async fn create(&self, spec: Value) -> Job {
        self.create_as(&self.user, spec).await
    }

    pub async fn create_as(&self, user: &Caller, spec: Value) -> Job {
        self.handle.create(user, job(spec), None).await.unwrap()
    }

    pub async fn job(&self, id: JobId) -> Job {
        self.handle.get(&caller(Scope::Admin), id).await.unwrap()
    }

    /// The next job that is ready, or about to be without any more time passing.
    pub async fn lease(&self) -> Lease {
        eventually("a job is ready", async || self.try_lease().await).await
    }

    pub async fn try_lease(&self) -> Option<Lease> {
        self.handle.lease(&self.agent, worker("worker", 0)).await.unwrap()
    }

    /// A job that was created and leased.
    pub async fn running(&self, spec: Value) -> Lease {
        let job = self.create(spec).await;
        let lease = self.lease().await;
        assert_eq!(lease.job_id, job.id);
        lease
    }

    /// A job that waits for a decision on `run`.
    pub async fn waiting(&self) -> (Lease, protocol::Approval) {
        let lease = self.running(ask("ask first")).await;
        let request = approval(&lease, json!({"command": "make"}));
        self.handle.request_approval(&self.agent, lease.job_id, request).await.unwrap();
        let page = self.handle.approvals(&self.user, Default::default()).await.unwrap();
        (lease, page.approvals.into_iter().next().unwrap())
    }

    pub async fn heartbeat(&self, lease: &Lease) -> Result<HeartbeatAnswer, jobs::Error> {
        let beat = Heartbeat { epoch: lease.epoch, attempt: lease.attempt, wait_ms: 0 };
        self.handle.heartbeat(&self.agent, lease.job_id, beat).await
    }

    pub async fn note(&self, lease: &Lease, producer_seq: u64, text: &str) -> Result<Cursor, jobs::Error> {
        let events = vec![EventBody::AgentNote { message: text.into() }];
        let append = AppendEvents { epoch: lease.epoch, attempt: lease.attempt, producer_seq, events };
        self.handle.append(&self.agent, lease.job_id, append).await.map(|appended| appended.head)
    }

    pub async fn succeed(&self, lease: &Lease) -> Job {
        self.handle.finish(&self.agent, lease.job_id, succeeded(lease, "done")).await.unwrap()
    }

    /// The whole log as it is now.
    pub async fn log(&self, job: JobId) -> Vec<Event> {
        let mut reader = self.handle.events(&caller(Scope::Admin), job, None).await.unwrap();
        let mut events = Vec::new();
        loop {
            let page = reader.page(1_000, Duration::ZERO).await.unwrap();
            if page.events.is_empty() {
                return events;
            }
            events.extend(page.events);
        }
    }

    pub async fn types(&self, job: JobId) -> Vec<String> {
        self.log(job).await.into_iter().map(|event| event.event_type).collect()
    }

    /// The log read to its `closed` event, by a reader that waits for it.
    pub async fn log_to_the_end(&self, job: JobId) -> Vec<Event> {
        let reader = self.handle.events(&caller(Scope::Admin), job, None).await.unwrap();
        read_to_the_end(reader, 1_000).await
    }

    /// Waits, without letting time pass for the mesh, until the job is in this state.
    pub async fn until(&self, id: JobId, state: JobState) -> Job {
        let reached = async || Some(self.job(id).await).filter(|job| job.state == state);
        eventually(&format!("the job is {state}"), reached).await
    }

    /// Waits, without letting time pass for the mesh, until the attempt is told this.
    pub async fn told(&self, lease: &Lease, control: Control) {
        let told = async || (self.heartbeat(lease).await.unwrap().control == control).then_some(());
        eventually(&format!("the attempt is told {control:?}"), told).await;
    }

    /// Whether every entry of an audit trail is there is a question for the database itself.
    pub fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(database_file(self.folder.path().to_owned())).unwrap()
    }
}

pub fn database_file(folder: PathBuf) -> PathBuf {
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut databases = files.filter(|path| {
        let header = std::fs::read(path).unwrap_or_default();
        header.starts_with(b"SQLite format 3")
    });
    databases.next().expect("a database in the data folder")
}

/// What is about to happen by itself, looked for until it has.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let give_up = RealInstant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(RealInstant::now() < give_up, "not after {PATIENCE:?}: {what}");
        breathe().await;
    }
}

/// A moment of real time, and nothing of the mesh's.
pub async fn breathe() {
    tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(1))).await.unwrap();
}

/// Lets everything that is due happen: time moves, then the tasks it woke run.
pub async fn pass(duration: Duration) {
    tokio::time::advance(duration).await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

pub async fn read_to_the_end(mut reader: jobs::EventReader, page: u32) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        match reader.next(page).await.unwrap() {
            Read::Events(page) => events.extend(page.events),
            Read::Closed => return events,
            other => panic!("{other:?}"),
        }
    }
}

pub fn job(spec: Value) -> CreateJob {
    serde_json::from_value(spec).unwrap()
}

pub fn ask(task: &str) -> Value {
    json!({"kind": JobKind::Ask, "task": task})
}

pub fn worker(name: &str, wait_ms: u64) -> LeaseRequest {
    let worker_id = WorkerId::new(Timestamp::from_millis(1_795_000_000_000));
    LeaseRequest { worker_id, worker_name: name.into(), wait_ms }
}

pub fn approval(lease: &Lease, arguments: Value) -> RequestApproval {
    RequestApproval {
        epoch: lease.epoch,
        attempt: lease.attempt,
        call_id: "call-1".into(),
        tool: "run".into(),
        arguments,
    }
}

pub fn succeeded(lease: &Lease, answer: &str) -> FinishJob {
    let result = JobResult { answer: Some(answer.into()), ..JobResult::default() };
    FinishJob { epoch: lease.epoch, attempt: lease.attempt, outcome: Outcome::Succeeded { result } }
}

pub fn handed_back(lease: &Lease, failed: bool) -> ReleaseJob {
    ReleaseJob { epoch: lease.epoch, attempt: lease.attempt, message: "because of a test".into(), failed }
}

pub const LEASE: Duration = Duration::from_secs(15);
/// Longer than any backoff after a lost lease.
pub const BACKOFF: Duration = Duration::from_secs(4);
