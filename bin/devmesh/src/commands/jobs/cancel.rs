use crate::{
    commands::each::each,
    context::Context,
    output::{Exit, Result},
};
use protocol::CancelJob;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Job ids, or their beginnings
    #[arg(required = true)]
    jobs: Vec<String>,
    /// Why, for whoever looks at the job later
    #[arg(long, short)]
    message: Option<String>,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let client = context.client()?;
    let cancel = CancelJob { message: arguments.message };
    each(&context.output, &arguments.jobs, async |text| {
        let job = context.job(&client, text).await?;
        let job = client.cancel_job(job.id, &cancel).await?;
        context.output.show(&job, || {
            format!("{}\t{}", job.id, if job.state.is_terminal() { job.state.as_str() } else { "cancelling" })
        })
    })
    .await
}
