//! `devmesh try`: one real job from nothing.
//!
//! ```text
//!   model there? ──no──▶ fetch it ─▶ mesh here? ──no──▶ start backend and one agent ─▶ job ─▶ events ─▶ patch ─▶ stop what was started
//! ```

mod sample;

use super::{
    diff::patch_of,
    follow::{Followed, OnApproval, Stage, follow},
    models::pull,
    run::{new_key, repository, task_text},
    serve::tell_token,
};
use crate::{
    config::Flags,
    context::Context,
    output::{Exit, FAINT, Failure, Result, STRONG, duration_ms, one_line, styled, write_patch},
    wiring::{Agents, Backend, Signals, listen, start_logging},
};
use client::Client;
use domain::JobKind;
use embedded_model::{bill, fetch::Origin};
use protocol::{CreateJob, Egress, Job, Limits, Models};
use std::{path::PathBuf, time::Duration};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Needs git and Python 3 with pip on this machine, and no Docker, Ollama or key. The first run fetches a model of 93 MB; later runs need no network."
)]
pub struct Arguments {
    /// What to do, in your words; `-` reads it from stdin. Default: describe the repository
    task: Option<String>,
    /// Your own repository or folder instead of a small sample. It is copied, never written to
    #[arg(long, value_name = "PATH")]
    repo: Option<PathBuf>,
    /// Edit with tools in a loop instead of answering once; wants a larger model than the default
    #[arg(long)]
    code: bool,
    /// Another model, as provider/name
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// TCP port for the mesh; 0 takes a free one
    #[arg(long)]
    port: Option<u16>,
}

impl Arguments {
    pub fn flags(&self) -> Flags {
        let port = self.port.map(|port| ("server.port".to_owned(), port.to_string(), "--port".to_owned()));
        port.into_iter().collect()
    }
}

const DEFAULT_TASK: &str = "Say in one or two short sentences what this project does.";
/// Where the default job writes its answer.
const ANSWER_FILE: &str = "NOTES.md";
/// The first job should end soon even on a slow machine: an `ask` is one turn and its answer is short.
const TRIAL_TIMEOUT_MS: u64 = 15 * 60 * 1000;
/// A backend that does not answer in this time is not one to build on.
const PROBE: Duration = Duration::from_secs(2);
/// How long to wait for the list of models before the job starts without mentioning others.
const LISTING: Duration = Duration::from_secs(3);
/// Log level when nobody set one: the terminal belongs to the job.
const QUIET: &str = "error";

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let settings = &context.config.settings;
    start_logging(settings, Some(QUIET))?;
    let mut signals = Signals::catch()?;
    let model = match &arguments.model {
        Some(name) => name.clone(),
        None => {
            let entry = bill::entry(pull::SMALLEST).map_err(|error| Failure::failed(error.to_string()))?;
            if pull::fetch_known(entry, Origin::Any, context, &mut signals).await?.is_none() {
                return Ok(Exit::Interrupted);
            }
            format!("embedded/{}", pull::SMALLEST)
        }
    };
    let task = arguments.task.as_deref().map(task_text).transpose()?;
    let job = arguments.job(task, &model, context).await?;
    let mesh = Mesh::find_or_start(context).await?;
    let outcome = work(&job, &arguments, context, &mesh.client, &mut signals).await;
    mesh.stop().await;
    outcome
}

impl Arguments {
    async fn job(&self, task: Option<String>, model: &str, context: &Context) -> Result<CreateJob> {
        let kind = if self.code { JobKind::Code } else { JobKind::Ask };
        if self.code && task.is_none() {
            return Err(Failure::usage("--code needs a task").next("devmesh try --code --repo . \"TASK\""));
        }
        let path = match &self.repo {
            Some(path) => path.clone(),
            None => sample::repository(&context.config.settings.data).await?,
        };
        let limits = Limits { total_timeout_ms: TRIAL_TIMEOUT_MS, ..Limits::default() };
        Ok(CreateJob {
            repository: Some(repository(&path, None)?),
            write_file: (kind == JobKind::Ask).then(|| ANSWER_FILE.to_owned()),
            route: Some(model.to_owned()),
            limits,
            ..CreateJob::new(kind, task.unwrap_or_else(|| DEFAULT_TASK.into()))
        })
    }
}

/// The mesh the job runs on: one that was there, or one that lives as long as this command.
struct Mesh {
    client: Client,
    own: Option<(Backend, Agents)>,
}

impl Mesh {
    async fn find_or_start(context: &Context) -> Result<Self> {
        if let Some(client) = running(context).await {
            context.output.say(format_args!("using the mesh at {}", client.base_url()));
            return Ok(Self { client, own: None });
        }
        let settings = &context.config.settings;
        if let Some(url) = &settings.url {
            // Why there is no token for it, when that is the reason.
            context.access()?;
            return Err(Failure::new(Exit::Unreachable, format!("no mesh of yours answers at {url}"))
                .next("devmesh doctor, or leave out --url to start one here"));
        }
        let listener = listen(settings).await?;
        let backend = Backend::start(settings, listener).await?;
        let filter = if settings.log.filter == "info" { QUIET } else { &settings.log.filter };
        let mut started = context.config.clone();
        started.settings.agents.count = 1;
        let agents = Agents::start(&started, &backend.url, &backend.app, filter).await?;
        if backend.first_token.is_some() {
            tell_token(context, &backend);
        }
        context.output.say(format_args!("mesh      {} on {}", backend.url, settings.data.display()));
        let client = Client::new(client::Options::new(backend.url.clone(), context.first_token()?))?;
        Ok(Self { client, own: Some((backend, agents)) })
    }

    async fn stop(self) {
        if let Some((backend, agents)) = self.own {
            agents.stop().await;
            backend.stop().await;
        }
    }
}

/// A mesh of this user that answers already.
async fn running(context: &Context) -> Option<Client> {
    let client = context.client().ok()?;
    let version = tokio::time::timeout(PROBE, client.version()).await;
    matches!(version, Ok(Ok(_))).then_some(client)
}

async fn work(
    job: &CreateJob,
    arguments: &Arguments,
    context: &Context,
    client: &Client,
    signals: &mut Signals,
) -> Result<Exit> {
    let output = &context.output;
    let job = client.create_job(job, Some(&new_key())).await?;
    output.say(format_args!("job       {}", job.id));
    let watching = follow(context, client, job.id, None, Stage::Talk, OnApproval::Wait, signals);
    let (followed, others) = tokio::join!(watching, other_models(client));
    match followed? {
        Followed::Closed(seen) => {
            let job = client.job(job.id).await?;
            let patch = match job.result.as_ref().and_then(|result| result.patch_artifact.as_ref()) {
                Some(_) => Some(patch_of(client, &job).await?),
                None => None,
            };
            if output.json {
                let text = patch.as_deref().map(String::from_utf8_lossy);
                output.json(&serde_json::json!({"job": job, "patch": text}))?;
            } else if let Some(patch) = &patch {
                write_patch(output, patch)?;
            }
            summary(context, &job, &seen.notices);
            offer(context, arguments, &job, &others);
            Ok(Exit::of_job(&job))
        }
        Followed::Interrupted | Followed::WaitsFor(_) | Followed::Deserted => {
            output.say("stopped; the job is kept and goes on when a mesh runs again");
            output.next(format_args!("devmesh up, then devmesh attach {}", job.id));
            Ok(Exit::Interrupted)
        }
    }
}

fn summary(context: &Context, job: &Job, notices: &[String]) {
    let output = &context.output;
    let result = job.result.clone().unwrap_or_default();
    let took = job
        .started_at
        .zip(job.finished_at)
        .map_or(0, |(from, to)| (to.as_millis() - from.as_millis()).max(0).unsigned_abs());
    output.say(format_args!(
        "{} by {} in {}",
        styled(STRONG, job.state),
        one_line(&result.models.join(", "), 200),
        duration_ms(took)
    ));
    if let Some(check) = &result.check {
        output.say(check);
    }
    if job.changed_nothing() {
        output.say("nothing was changed");
    }
    for notice in notices {
        output.say(one_line(notice, 300));
    }
}

/// What a real model on this machine could do instead, and the next step.
fn offer(context: &Context, arguments: &Arguments, job: &Job, models: &Option<Models>) {
    let output = &context.output;
    let ollama: Vec<_> = models
        .iter()
        .flat_map(|models| &models.models)
        .filter(|model| model.provider == "ollama" && model.available)
        .map(|model| one_line(&model.id, 128))
        .take(3)
        .collect();
    if let Some(first) = ollama.first().filter(|_| arguments.model.is_none()) {
        output.say(format_args!(
            "Ollama answers here too, with {}: {FAINT}devmesh try --model {first}{FAINT:#}",
            ollama.join(", ")
        ));
    }
    if job.result.as_ref().is_some_and(|result| result.patch_artifact.is_some()) && arguments.repo.is_some() {
        output.next(format_args!("devmesh up, then devmesh apply {}", super::short(job.id)));
    } else {
        output.next("devmesh up, then devmesh run --repo . \"TASK\"");
    }
}

/// Asked while the job runs, so that nobody waits for it.
async fn other_models(client: &Client) -> Option<Models> {
    tokio::time::timeout(LISTING, client.models(Egress::LocalOnly)).await.ok()?.ok()
}
