use crate::{
    context::Context,
    output::{Exit, Result, Table, duration_ms, one_line, plain, tokens_text},
};
use domain::JobState;
use protocol::Job;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Job id, or the beginning of one
    job: String,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let client = context.client()?;
    let output = &context.output;
    let job = context.job(&client, &arguments.job).await?;
    if output.json {
        output.json(&job)?;
        return Ok(Exit::Done);
    }
    output.table(facts(&job))?;
    if let Some(answer) = job.result.as_ref().and_then(|result| result.answer.as_deref()) {
        output.line(format_args!("\n{}", plain(answer)))?;
    }
    match job.state {
        JobState::Queued | JobState::Running => output.next(format_args!("devmesh attach {}", job.id)),
        JobState::WaitingApproval => output.next("devmesh approvals"),
        _ if job.result.as_ref().is_some_and(|result| result.patch_artifact.is_some()) => {
            output.next(format_args!("devmesh diff {}", job.id));
        }
        _ => output.next(format_args!("devmesh logs {}", job.id)),
    }
    Ok(Exit::Done)
}

fn facts(job: &Job) -> Table {
    let mut table = Table::new(["", ""]);
    let mut fact = |name: &str, value: String| table.row([name.to_owned(), value]);
    fact("id", job.id.to_string());
    fact(
        "state",
        match (job.reason, job.cancel_requested && !job.state.is_terminal()) {
            (Some(reason), _) => format!("{} ({reason})", job.state),
            (None, true) => format!("{}, being cancelled", job.state),
            (None, false) => job.state.to_string(),
        },
    );
    if let Some(message) = &job.message {
        fact("message", one_line(message, 400));
    }
    fact("kind", job.spec.kind.to_string());
    fact("task", one_line(&job.spec.task, 400));
    if let Some(repository) = &job.spec.repository {
        fact(
            "repository",
            format!(
                "{}{}",
                repository.path,
                repository.reference.as_ref().map_or_else(String::new, |name| format!(" at {name}"))
            ),
        );
    }
    if let Some(setup) = &job.spec.setup {
        fact("setup", one_line(setup, 400));
    }
    let ended = job.result.as_ref().and_then(|result| result.check.as_ref());
    if let Some(check) = ended.map(|check| &check.command).or(job.spec.check.as_ref()) {
        fact("check", one_line(check, 400));
    }
    fact("route", job.spec.route.clone().unwrap_or_else(|| "default".into()));
    fact("attempts", job.attempt.to_string());
    fact("created", job.created_at.to_string());
    if let (Some(started), Some(finished)) = (job.started_at, job.finished_at) {
        fact("took", duration_ms((finished.as_millis() - started.as_millis()).max(0).unsigned_abs()));
    }
    if let Some(result) = &job.result {
        if let Some(check) = &result.check {
            fact("", check.to_string());
        }
        if job.changed_nothing() {
            fact("changed", "nothing".into());
        }
        if !result.models.is_empty() {
            fact("models", result.models.join(", "));
        }
        fact("used", tokens_text(&result.usage));
        if let Some(branch) = &result.branch {
            fact("branch", branch.clone());
        }
    }
    if let Some(original) = job.retry_of {
        fact("retry of", original.to_string());
    }
    fact("log ends at", job.head.to_string());
    table
}
