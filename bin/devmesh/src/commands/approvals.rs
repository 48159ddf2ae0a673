//! `devmesh approvals`: what waits for a decision.

use crate::{
    commands::short,
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
    #[arg(long)]
    all: bool,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let client = context.client()?;
    let output = &context.output;
    let job_id = match &arguments.job {
        Some(text) => Some(context.job(&client, text).await?.id),
        None => None,
    };
    let list = ListApprovals { job_id, pending: (!arguments.all).then_some(true) };
    let approvals = client.approvals(&list).await?.approvals;
    if output.json {
        output.json(&approvals)?;
        return Ok(Exit::Done);
    }
    let now = SystemClock.now();
    let mut table = Table::new(["ID", "JOB", "WAITING", "TOOL", "CALL"]);
    for approval in &approvals {
        let waiting = match approval.decision {
            None => age(approval.requested_at, now),
            Some(Decision::Approved) => "approved".into(),
            Some(Decision::Denied) => "denied".into(),
        };
        let job = if output.stdout_is_terminal { short(approval.job_id) } else { approval.job_id.to_string() };
        table.row([
            approval.id.to_string(),
            job,
            waiting,
            approval.tool.clone(),
            one_line(&approval.arguments.to_string(), 200),
        ]);
    }
    if table.is_empty() {
        output.say("nothing waits for a decision");
        return Ok(Exit::Done);
    }
    output.table(table)?;
    output.next("devmesh approve ID, or devmesh deny ID -m \"what to do instead\"");
    Ok(Exit::Done)
}
