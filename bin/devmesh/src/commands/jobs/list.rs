use crate::{
    commands::{
        Ids,
        pages::{Ask, Pages},
    },
    context::Context,
    output::{Exit, Result, Table, age, one_line},
};
use domain::{Clock, JobKind, JobState, SystemClock};
use protocol::ListJobs;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only jobs in this state
    #[arg(long)]
    state: Option<JobState>,
    /// Only `ask` or `code` jobs
    #[arg(long)]
    kind: Option<JobKind>,
    #[command(flatten)]
    pages: Pages,
}

/// Characters of a task in a cell.
const TASK_WIDTH: usize = 60;

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let client = context.client()?;
    let output = &context.output;
    let (state, kind) = (arguments.state, arguments.kind);
    let read = arguments.pages.read(async |ask: Ask| {
        let list = ListJobs { state, kind, limit: ask.limit, cursor: ask.cursor, ..ListJobs::default() };
        client.jobs(&list).await.map(|page| (page.jobs, page.next_cursor))
    });
    let listed = read.await?;
    if output.json {
        output.json(&listed.rows)?;
        listed.say_where_it_goes_on(output);
        return Ok(Exit::Done);
    }
    let now = SystemClock.now();
    let mut table = Table::new(["ID", "STATE", "KIND", "AGE", "TASK"]);
    let ids = Ids::of(output, listed.rows.iter().map(|job| job.id));
    for job in &listed.rows {
        let task = one_line(&job.spec.task, TASK_WIDTH);
        table.row([ids.show(job.id), job.state.to_string(), job.spec.kind.to_string(), age(job.created_at, now), task]);
    }
    if table.is_empty() {
        output.say("no jobs");
        output.next("devmesh run \"TASK\"");
        return Ok(Exit::Done);
    }
    output.table(table)?;
    listed.say_where_it_goes_on(output);
    Ok(Exit::Done)
}
