//! The backend in this process.
//!
//! ```text
//!   forget a dead one's address ─▶ bind port ─▶ open data folder ─▶ first token ─▶ jobs, router ─▶ serve ─▶ address written down: ready
//!   stop: api drains ─▶ jobs stop ─▶ books and spans are sent on ─▶ store closes ─▶ address removed
//! ```

use super::{folders, metrics, private, providers, reload, telemetry::Collecting};
use crate::{
    config::{Settings, read_regular_file},
    output::{Exit, Failure, Result},
};
use api::{Allowed, App, Parts};
use domain::{Clock, SystemClock};
use router::{Books, Router, accounts};
use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use store::Store;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// How long answers in flight may take once the backend stops. With the agents' share it stays under the 10 s that
/// container runtimes wait.
const DRAIN: Duration = Duration::from_secs(4);

/// A running backend.
pub struct Backend {
    /// What clients on this machine reach it under.
    pub url: String,
    /// The first admin token, when it was made by this start. Shown once.
    pub first_token: Option<String>,
    pub router: Arc<Router>,
    pub app: Arc<App>,
    settings: Settings,
    store: Store,
    stop_api: CancellationToken,
    stop_jobs: CancellationToken,
    stop_books: CancellationToken,
    api: JoinHandle<io::Result<()>>,
    jobs: JoinHandle<()>,
    books: JoinHandle<accounts::Pending>,
    collecting: Collecting,
}

#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Jobs(#[from] jobs::Error),
    #[error(transparent)]
    Models(#[from] router::Error),
    #[error(transparent)]
    Token(#[from] api::AdminTokenError),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        let what = error.to_string();
        match error {
            BackendError::Models(router::Error::Configuration(_)) => {
                Self::new(Exit::Usage, what).next("devmesh config show")
            }
            BackendError::Store(store::Error::FolderInUse { .. }) => Self::failed(what)
                .next("devmesh jobs list speaks to the mesh that has it; --data FOLDER starts another one"),
            _ => Self::failed(what).next("devmesh doctor"),
        }
    }
}

/// Takes the port for a backend on the data folder. What a killed one wrote down there is gone before: whoever finds the
/// folder taken must not be led to a port that is another program's by now.
pub async fn listen(settings: &Settings) -> Result<TcpListener> {
    if matches!(store::is_held(&settings.data), Ok(false)) {
        forget_address(&settings.data);
    }
    bind(settings).await
}

/// Takes the port, or says who has it and what to do.
pub async fn bind(settings: &Settings) -> Result<TcpListener> {
    let address = SocketAddr::new(settings.server.address, settings.server.port);
    TcpListener::bind(address).await.map_err(|error| {
        let port = address.port();
        match error.kind() {
            ErrorKind::AddrInUse => {
                Failure::failed(format!("port {port} on {} is in use by another program", address.ip()))
                    .next(format!("see who has it with `{}`, or take another port with --port", who_listens(port)))
            }
            ErrorKind::PermissionDenied => Failure::failed(format!("this user may not listen on port {port}"))
                .next("take a port above 1023 with --port"),
            _ => Failure::failed(format!("cannot listen on {address}: {error}"))
                .next("devmesh config explain server.address"),
        }
    })
}

fn who_listens(port: u16) -> String {
    if cfg!(target_os = "linux") {
        format!("ss -ltnp 'sport = :{port}'")
    } else {
        format!("lsof -nP -iTCP:{port} -sTCP:LISTEN")
    }
}

impl Backend {
    pub async fn start(settings: &Settings, listener: TcpListener) -> Result<Self, BackendError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = Store::open(store::Options::new(&settings.data)).await?;
        // Also when another one came and was killed in between. From here on only this process writes it.
        forget_address(&settings.data);
        let opened = accounts::open(&store, clock.clone(), accounts::Options::default()).await?;
        let (telemetry, collecting) = Collecting::start(settings.telemetry.as_ref())?;
        let router = Arc::new(providers::router(settings, Books::new(&opened, store.clone()), telemetry)?);
        let token_file = settings.admin_token_file();
        let first_token = api::ensure_admin_token(&store, &*clock, &token_file).await?.map(|secret| secret.expose());
        let (service, handle) = jobs::Service::start(store.clone(), clock.clone(), job_options(settings)).await?;
        let options = api_options(settings, &listener);
        let parts = Parts { store: store.clone(), jobs: handle, router: router.clone(), clock, options };
        let app = App::start(parts).await?;
        let (stop_api, stop_jobs, stop_books) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let books = tokio::spawn(opened.service.run(stop_books.clone()));
        let port = listener.local_addr().map_or(settings.server.port, |address| address.port());
        let url = format!("http://{}", settings.local_authority(port));
        let jobs = tokio::spawn(service.run(stop_jobs.clone()));
        let api = tokio::spawn(api::serve(listener, app.clone(), stop_api.clone()));
        tokio::spawn(reload::follow(settings.clone(), router.clone(), stop_api.clone()));
        tokio::spawn(reload::warm(settings.clone(), router.clone(), stop_api.clone()));
        if let Some(address) = settings.metrics {
            tokio::spawn(metrics::serve(address, router.clone(), stop_api.clone()));
        }
        let backend = Self {
            url,
            first_token,
            router,
            app,
            settings: settings.clone(),
            store,
            stop_api,
            stop_jobs,
            stop_books,
            api,
            jobs,
            books,
            collecting,
        };
        // The last of its files, and one that can be done without: on a full disk people have to get in to delete something.
        match backend.write_address() {
            Err(BackendError::File { path, source }) if source.kind() == ErrorKind::StorageFull => {
                tracing::warn!(error = %source, path = %path.display(), "the address is not written down; name it with --url");
            }
            written => written?,
        }
        Ok(backend)
    }

    /// Ends only when the server broke down, which nothing but a bug makes it do.
    pub async fn broken(&mut self) -> Failure {
        let ended = tokio::select! {
            ended = &mut self.api => match ended {
                Ok(Ok(())) => "the server ended by itself".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            },
            ended = &mut self.jobs => format!("the job engine ended by itself{}", ended.map_or_else(|error| format!(": {error}"), |()| String::new())),
        };
        Failure::failed(ended)
    }

    /// Lets answers in flight finish, writes everything down and gives the folder free.
    pub async fn stop(mut self) {
        self.stop_api.cancel();
        if !self.api.is_finished() {
            let _ = (&mut self.api).await;
        }
        self.stop_jobs.cancel();
        if !self.jobs.is_finished() {
            let _ = (&mut self.jobs).await;
        }
        // Calls are over by now; what they cost is written before the store closes.
        self.stop_books.cancel();
        let (books, ()) = tokio::join!(&mut self.books, self.collecting.stop());
        if let Ok(pending) = books
            && pending != accounts::Pending::default()
        {
            tracing::error!(?pending, "not everything that was booked could be written before the end");
        }
        forget_address(&self.settings.data);
        drop(self.app);
        self.store.close().await;
    }

    fn write_address(&self) -> Result<(), BackendError> {
        let path = url_path(&self.settings.data);
        private::write_file(&path, &self.url).map_err(|source| BackendError::File { path, source })
    }
}

/// Longest address, in bytes.
const ADDRESS_BYTES: u64 = 1024;

/// Where the backend of a data folder listens, as it wrote it down when it became ready. It says nothing of whether that
/// one still runs.
pub fn url_file(data: &Path) -> io::Result<String> {
    Ok(read_regular_file(&url_path(data), ADDRESS_BYTES)?.0.trim().to_owned())
}

fn forget_address(data: &Path) {
    // Usually there is none.
    let _ = std::fs::remove_file(url_path(data));
}

fn url_path(data: &Path) -> PathBuf {
    data.join("backend-url")
}

fn job_options(settings: &Settings) -> jobs::Options {
    jobs::Options {
        lease: settings.jobs.lease,
        idempotency_ttl: settings.jobs.idempotency,
        running_per_principal: settings.jobs.running_per_principal,
        retention: settings.jobs.retention,
        model_calls_retention: settings.jobs.model_calls_retention,
        audit_retention: settings.jobs.audit_retention,
        artifact_bytes: settings.server.artifact_bytes,
        roots: settings.agents.roots.clone(),
        remotes: settings.agents.remotes.clone(),
        private: folders::private(settings),
        homes: folders::homes(),
        ..jobs::Options::default()
    }
}

/// Agents append an event per step and chunk of output, for many jobs under one token.
const AGENT_SHARE: u32 = 40;

fn rates(per_second: u32) -> api::Rates {
    let agent = per_second.saturating_mul(AGENT_SHARE);
    api::Rates {
        token: api::Rate::new(per_second, per_second.saturating_mul(2)),
        agent: api::Rate::new(agent, agent.saturating_mul(2)),
        ..api::Rates::default()
    }
}

fn api_options(settings: &Settings, listener: &TcpListener) -> api::Options {
    let mut hosts: Vec<String> = settings.server.allowed_hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
    // Whoever was told to listen on an address may be asked under it.
    if let Ok(address) = listener.local_addr()
        && !address.ip().is_unspecified()
    {
        hosts.push(if address.is_ipv6() { format!("[{}]", address.ip()) } else { address.ip().to_string() });
    }
    api::Options {
        allowed: Allowed { hosts, origins: settings.server.allowed_origins.clone() },
        limits: api::Limits {
            connections: settings.server.connections,
            artifact_bytes: settings.server.artifact_bytes,
            drain: DRAIN,
            ..api::Limits::default()
        },
        rates: rates(settings.server.requests_per_second),
    }
}
