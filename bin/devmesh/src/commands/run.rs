//! `devmesh run`: a job, followed to its end.

use super::follow::{self, OnApproval};
use crate::{
    context::Context,
    output::{Exit, Failure, Result},
    wiring::Signals,
};
use domain::{JobKind, Priority};
use protocol::{ApprovalPolicies, ApprovalPolicy, CreateJob, Egress, Limits, Repository, WorkMode};
use std::{
    io::{IsTerminal, Read},
    path::{Path, PathBuf},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Ctrl-C detaches and leaves the job running; `devmesh attach` comes back to it.")]
pub struct Arguments {
    /// What to do, in your words; `-` reads it from stdin
    task: String,
    /// Git repository or folder to work on. It is cloned or copied, never written to
    #[arg(long, value_name = "PATH")]
    repo: Option<PathBuf>,
    /// Branch, tag or commit to start from
    #[arg(long = "ref", value_name = "REF", requires = "repo")]
    reference: Option<String>,
    /// Edit with tools in a loop instead of answering once
    #[arg(long)]
    code: bool,
    /// With --code: a command that makes the workspace ready, such as "npm ci"; it runs once, before everything else
    #[arg(long, value_name = "COMMAND", requires = "code")]
    setup: Option<String>,
    /// With --code: the command that tells whether the work is right, such as "pytest -q"; `none` for none. Default: found in the repository
    #[arg(long, value_name = "COMMAND", requires = "code")]
    check: Option<String>,
    /// With --code: who decides what comes next, the model (free) or the agent (guided). Default: what does the model best
    #[arg(long, value_enum, value_name = "MODE", requires = "code", default_value_t = Mode::Auto, hide_default_value = true)]
    mode: Mode,
    /// Write the answer to this file of the repository, and hand back the patch
    #[arg(long = "write", value_name = "FILE", conflicts_with = "code")]
    write_file: Option<String>,
    /// Logical model name, or provider/model
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Let prompts leave this machine, where the model's route allows it
    #[arg(long)]
    allow_cloud: bool,
    /// 0 to 9, higher first
    #[arg(long, value_name = "LEVEL")]
    priority: Option<u8>,
    /// Stop after this many model turns
    #[arg(long, value_name = "COUNT")]
    max_steps: Option<u32>,
    /// Stop after this many tokens, in and out
    #[arg(long, value_name = "COUNT")]
    max_tokens: Option<u64>,
    /// Stop after spending this much, in US dollars
    #[arg(long, value_name = "DOLLARS")]
    budget: Option<f64>,
    /// Stop after this much time, in seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Ask me before each shell command
    #[arg(long)]
    ask_run: bool,
    /// Ask me before each written file
    #[arg(long)]
    ask_write: bool,
    /// Do not wait for decisions: leave with exit code 6 when one is needed. The default where there is no terminal
    #[arg(long)]
    no_wait: bool,
    /// Create the job and leave it alone
    #[arg(long, short)]
    detach: bool,
    /// Repeats of the same request with this key make one job
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

/// Who decides what comes next.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Mode {
    Auto,
    Free,
    Guided,
}

impl From<Mode> for Option<WorkMode> {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Auto => None,
            Mode::Free => Some(WorkMode::Free),
            Mode::Guided => Some(WorkMode::Guided),
        }
    }
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let job = arguments.job()?;
    let client = context.client()?;
    // From here on Ctrl-C waits until it is known which job to come back to.
    let mut signals = Signals::catch()?;
    let key = arguments.idempotency_key.clone().unwrap_or_else(new_key);
    let created = client.create_job(&job, Some(&key)).await?;
    let output = &context.output;
    if arguments.detach {
        output.show(&created, || created.id.to_string())?;
        output.next(format_args!("devmesh attach {}", created.id));
        return Ok(Exit::Done);
    }
    output.say(format_args!("job {}", created.id));
    follow::to_result(context, &client, created.id, arguments.on_approval(context), &mut signals).await
}

impl Arguments {
    fn on_approval(&self, context: &Context) -> OnApproval {
        if self.no_wait || !context.output.stderr_is_terminal { OnApproval::Leave } else { OnApproval::Wait }
    }

    fn job(&self) -> Result<CreateJob> {
        let policy = |ask| if ask { ApprovalPolicy::Ask } else { ApprovalPolicy::Auto };
        let priority = self.priority.map(Priority::try_from).transpose().map_err(Failure::usage)?;
        let repository = self.repo.as_deref().map(|path| repository(path, self.reference.clone())).transpose()?;
        if self.code && repository.is_none() {
            return Err(
                Failure::usage("a code job needs something to work on").next("devmesh run --code --repo . \"TASK\"")
            );
        }
        Ok(CreateJob {
            kind: if self.code { JobKind::Code } else { JobKind::Ask },
            task: task_text(&self.task)?,
            repository,
            write_file: self.write_file.clone(),
            setup: self.setup.clone(),
            check: self.check.clone(),
            route: self.model.clone(),
            mode: self.mode.into(),
            priority: priority.unwrap_or_default(),
            limits: self.limits()?,
            approvals: ApprovalPolicies { run: policy(self.ask_run), write_file: policy(self.ask_write) },
            egress: if self.allow_cloud { Egress::Allowed } else { Egress::LocalOnly },
        })
    }

    fn limits(&self) -> Result<Limits> {
        let mut limits = Limits::default();
        if let Some(steps) = self.max_steps {
            limits.steps = steps;
        }
        if let Some(tokens) = self.max_tokens {
            limits.tokens = tokens;
        }
        if let Some(dollars) = self.budget {
            if !dollars.is_finite() || !(0.0..=1e6).contains(&dollars) {
                return Err(Failure::usage(format!("--budget is in US dollars, from 0 to 1000000; got {dollars}")));
            }
            limits.cost_microusd = (dollars * 1e6).round() as u64;
        }
        if let Some(seconds) = self.timeout {
            limits.total_timeout_ms = seconds.saturating_mul(1000);
            limits.idle_timeout_ms = limits.idle_timeout_ms.min(limits.total_timeout_ms);
        }
        Ok(limits)
    }
}

/// Longest task read from stdin, in bytes: what the backend takes, and one more to be refused by it.
const TASK_BYTES: u64 = 2 * 1024 * 1024 + 1;

pub(super) fn task_text(argument: &str) -> Result<String> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    if std::io::stdin().is_terminal() {
        return Err(
            Failure::usage("`-` reads the task from stdin, and stdin is a terminal").next("devmesh run \"TASK\"")
        );
    }
    let mut text = String::new();
    std::io::stdin()
        .take(TASK_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| Failure::from(error).context("reading the task"))?;
    Ok(text)
}

/// The agent may have another working directory, so the path travels absolute.
pub(super) fn repository(path: &Path, reference: Option<String>) -> Result<Repository> {
    if let Some(address) = path.to_str().filter(|text| text.contains("://") && !path.exists()) {
        return Ok(Repository { path: address.to_owned(), reference });
    }
    let absolute = path.canonicalize().map_err(|error| Failure::usage(format!("`{}`: {error}", path.display())))?;
    if !absolute.is_dir() {
        return Err(Failure::usage(format!("`{}` is not a folder", path.display())));
    }
    let path = absolute
        .into_os_string()
        .into_string()
        .map_err(|path| Failure::usage(format!("`{}` is not UTF-8", path.display())))?;
    Ok(Repository { path, reference })
}

/// A repeat after a lost answer must not make a second job.
pub(super) fn new_key() -> String {
    format!("cli-{:032x}", rand::random::<u128>())
}
