use crate::{
    commands::short,
    context::Context,
    output::{Exit, Result, Table, age, one_line},
};
use domain::{Clock, JobKind, JobState, SystemClock};
use protocol::{Job, ListJobs};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only jobs in this state
    #[arg(long)]
    state: Option<JobState>,
    /// Only `ask` or `code` jobs
    #[arg(long)]
    kind: Option<JobKind>,
    /// At most this many
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: usize,
}

/// Jobs per request; the most the backend gives.
const PAGE: usize = 200;
/// Characters of a task in a cell.
const TASK_WIDTH: usize = 60;

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let client = context.client()?;
    let output = &context.output;
    let mut jobs: Vec<Job> = Vec::new();
    let mut cursor = None;
    while jobs.len() < arguments.limit {
        let limit = u32::try_from((arguments.limit - jobs.len()).min(PAGE)).unwrap_or(1);
        let list = ListJobs {
            state: arguments.state,
            kind: arguments.kind,
            limit: Some(limit),
            cursor,
            ..ListJobs::default()
        };
        let page = client.jobs(&list).await?;
        jobs.extend(page.jobs);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    if output.json {
        output.json(&jobs)?;
        return Ok(Exit::Done);
    }
    let now = SystemClock.now();
    let mut table = Table::new(["ID", "STATE", "KIND", "AGE", "TASK"]);
    for job in &jobs {
        let id = if output.stdout_is_terminal { short(job.id) } else { job.id.to_string() };
        let task = one_line(&job.spec.task, TASK_WIDTH);
        table.row([id, job.state.to_string(), job.spec.kind.to_string(), age(job.created_at, now), task]);
    }
    if table.is_empty() {
        output.say("no jobs");
        output.next("devmesh run \"TASK\"");
        return Ok(Exit::Done);
    }
    output.table(table)?;
    if cursor.is_some() {
        output.next(format_args!("devmesh jobs list --limit {} shows more", arguments.limit * 2));
    }
    Ok(Exit::Done)
}
