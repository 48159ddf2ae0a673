//! `devmesh attach`: come back to a job.

use super::follow::{self, OnApproval};
use crate::{
    context::Context,
    output::{Exit, Result},
    wiring::Signals,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Shows the job's log from its start, then what happens, and exits with the job's result.")]
pub struct Arguments {
    /// Job id, or the beginning of one
    job: String,
    /// Leave with exit code 6 when a decision is needed. The default where there is no terminal
    #[arg(long)]
    no_wait: bool,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let client = context.client()?;
    let mut signals = Signals::catch()?;
    let job = context.job(&client, &arguments.job).await?;
    let leave = arguments.no_wait || !context.output.stderr_is_terminal;
    let on_approval = if leave { OnApproval::Leave } else { OnApproval::Wait };
    follow::to_result(context, &client, job.id, on_approval, &mut signals).await
}
