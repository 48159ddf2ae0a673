//! `devmesh approvals`: what waits for a decision.

use crate::{
    commands::{
        Ids,
        pages::{Ask, Pages},
    },
    context::Context,
    output::{Exit, Result, Table, age, one_line},
};
use domain::{Clock, SystemClock};
use protocol::{Decision, ListApprovals};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only those of this job
    #[arg(long)]
    job: Option<String>,
    /// Decided ones too
    #[arg(long, conflicts_with = "decided")]
    all: bool,
    /// Only decided ones
    #[arg(long)]
    decided: bool,
    #[command(flatten)]
    pages: Pages,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let client = context.client()?;
    let output = &context.output;
    let job_id = match &arguments.job {
        Some(text) => Some(context.job(&client, text).await?.id),
        None => None,
    };
    let pending = if arguments.all { None } else { Some(!arguments.decided) };
    let read = arguments.pages.read(async |ask: Ask| {
        let list = ListApprovals { job_id, pending, limit: ask.limit, cursor: ask.cursor };
        client.approvals(&list).await.map(|page| (page.approvals, page.next_cursor))
    });
    let listed = read.await?;
    if output.json {
        output.json(&listed.rows)?;
        listed.say_where_it_goes_on(output);
        return Ok(Exit::Done);
    }
    let now = SystemClock.now();
    let mut table = Table::new(["ID", "JOB", "WAITING", "TOOL", "CALL"]);
    // Either id is taken for an approval.
    let ids = listed.rows.iter().flat_map(|approval| [approval.id.to_string(), approval.job_id.to_string()]);
    let ids = Ids::of(output, ids);
    for approval in &listed.rows {
        let waiting = match approval.decision {
            None => age(approval.requested_at, now),
            Some(Decision::Approved) => "approved".into(),
            Some(Decision::Denied) => "denied".into(),
        };
        table.row([
            ids.show(approval.id),
            ids.show(approval.job_id),
            waiting,
            approval.tool.clone(),
            one_line(&approval.arguments.to_string(), 200),
        ]);
    }
    if table.is_empty() {
        output.say(if pending == Some(false) { "nothing was decided" } else { "nothing waits for a decision" });
        return Ok(Exit::Done);
    }
    output.table(table)?;
    listed.say_where_it_goes_on(output);
    output.next("devmesh approve ID, or devmesh deny ID -m \"what to do instead\"");
    Ok(Exit::Done)
}
